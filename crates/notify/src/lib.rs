#![doc = include_str!("../README.md")]

#[cfg(feature = "sql")]
mod as_text;
mod catalogue;
#[cfg(feature = "sql")]
mod channel;
#[cfg(feature = "sql")]
mod channel_config;
#[cfg(all(feature = "client", feature = "sql"))]
mod chat;
#[cfg(feature = "conformance")]
pub mod conformance;
mod contact;
#[cfg(feature = "sql")]
mod delivery;
mod direct;
mod error;
#[cfg(any(feature = "client", feature = "sql"))]
mod failure;
#[cfg(feature = "client")]
mod gateway;
mod kind;
mod mail;
mod mail_watch;
#[cfg(feature = "sql")]
mod mask;
#[cfg(feature = "sql")]
mod medium;
#[cfg(feature = "sql")]
mod message;
#[cfg(feature = "sql")]
mod notification;
#[cfg(any(feature = "client", feature = "smtp"))]
mod percent;
mod phone;
mod plain;
#[cfg(feature = "sql")]
mod policy;
#[cfg(feature = "client")]
mod post;
#[cfg(feature = "sql")]
mod preferences;
#[cfg(feature = "sql")]
mod schema;
#[cfg(feature = "sql")]
mod service;
#[cfg(feature = "smtp")]
mod smtp;
#[cfg(feature = "sql")]
mod store;
#[cfg(feature = "sql")]
mod stored_template;
#[cfg(feature = "sql")]
mod suppression;
mod template;
mod transport;
#[cfg(all(feature = "client", feature = "sql"))]
mod webhook;

pub use catalogue::MessageCatalogue;
pub use contact::{Contact, Directory, DirectoryError};
pub use direct::{Direct, DirectBuilder};
pub use error::NotifyError;
#[cfg(feature = "client")]
pub use gateway::{SmsGateway, SmsUrlInvalid};
pub use kind::{Budget, Category, Media, MessageKind, Severity, TemplateText};
pub use mail::{AddressInvalid, Composer, DkimKey, EmailAddress, Mail, Mailbox};
pub use mail_watch::MailWatch;
pub use phone::{PhoneInvalid, PhoneNumber};
#[cfg(feature = "smtp")]
pub use smtp::{SmtpBuilder, SmtpLimits, SmtpSecurity, SmtpTransport, SmtpUrl, SmtpUrlInvalid};
pub use template::{Draft, OverrideKey, Product, PublicUrl, Rendered, Renderer, TemplateOverride};
pub use transport::{FailureClass, FileTransport, LogTransport, MailTransport, Receipt, SendError};

#[cfg(feature = "sql")]
pub use stylobate_core::{
    MessageDeliveryId, MessageId, NotificationChannelId, NotificationId, SuppressionId,
};
#[cfg(feature = "sql")]
pub use {
    channel::{ChannelChange, ChannelDisabled, ChannelOwner, ChannelQuery, NewChannel, NotificationChannel},
    channel_config::ChatHosts,
    delivery::{DeliveryRef, DeliveryState, MessageDelivery, MessageDeliveryQuery, Reason},
    medium::Medium,
    message::{Accepted, Announcement, MessageRef, Next},
    notification::{NewNotification, Notification, NotificationQuery},
    policy::{quiet::QuietHours, retry::ATTEMPTS_MAX},
    preferences::Preferences,
    schema::MIGRATIONS,
    service::{
        Budgets, CHANNEL_TEST, CHANNELS_MAX, Dispatch, LOCALES_MAX, Notifier, NotifierBuilder,
        VALUES_BYTES_MAX, error::NotifierError,
    },
    stored_template::{StoredTemplate, TemplateVersion},
    suppression::Suppression,
};
