#![doc = include_str!("../README.md")]

#[cfg(feature = "sql")]
mod backoff;
mod catalogue;
mod envelope;
mod error;
#[cfg(feature = "sql")]
mod guard;
#[cfg(feature = "sql")]
mod health;
#[cfg(feature = "sql")]
mod measures;
#[cfg(feature = "sql")]
mod outbox;
#[cfg(feature = "rabbitmq")]
mod rabbitmq;
#[cfg(feature = "sql")]
mod record;
#[cfg(feature = "sql")]
mod relay;
#[cfg(feature = "sql")]
mod schema;
#[cfg(feature = "sql")]
mod service;
#[cfg(feature = "sql")]
mod sink;
#[cfg(feature = "sql")]
mod store;
#[cfg(feature = "sql")]
mod subscriber;
mod webhooks;

pub use catalogue::{Catalogue, EventType, Exchange};
pub use envelope::{ENVELOPE_MAX, Envelope, SUBJECT_MAX};
pub use error::EventsError;
pub use stylobate_core::{EventId, TraceParent};
pub use webhooks::{
    Rejected, SecretInvalid, TOLERANCE, WebhookHeaders, WebhookMessageId, WebhookSecret, verify,
};

#[cfg(feature = "sql")]
pub use {
    health::EventsHealth,
    outbox::Outbox,
    record::{DeadLetter, DeadLetterQuery, EventQuery, SubscriberCounts},
    relay::{Relay, RelayOptions},
    schema::MIGRATIONS,
    service::{Events, Kept},
    sink::{Delivery, Outage, Outcome, Report, Sink, Types},
    subscriber::{Refused, Subscriber},
};

#[cfg(feature = "rabbitmq")]
pub use rabbitmq::{
    AmqpUrl, AmqpUrlInvalid, Broker, BrokerTrouble, Consumer, ConsumerOptions, Publisher, PublisherOptions,
    QueueKind, Unroutable, prune_inbox,
};

#[cfg(feature = "webhooks")]
pub use webhooks::{
    ATTEMPTS_MAX, DeliveryQuery, DeliveryState, DisabledReason, Dispatch, Dispatched, ENDPOINTS_MAX,
    EndpointChange, EndpointQuery, NewEndpoint, Next, SignatureStyle, WebhookDelivery, WebhookEndpoint,
    Webhooks, WebhooksError,
};
