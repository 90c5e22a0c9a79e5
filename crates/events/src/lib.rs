#![doc = include_str!("../README.md")]

mod catalogue;
mod envelope;
mod error;
#[cfg(feature = "rabbitmq")]
mod rabbitmq;
#[cfg(feature = "sql")]
mod schema;
#[cfg(feature = "sql")]
mod sink;
#[cfg(feature = "sql")]
mod subscriber;
mod webhooks;

pub use catalogue::{Catalogue, EventType, Exchange};
pub use envelope::{ENVELOPE_MAX, Envelope, SUBJECT_MAX};
pub use error::EventsError;
#[cfg(feature = "rabbitmq")]
pub use rabbitmq::{
    AmqpUrl, AmqpUrlInvalid, Broker, Consumer, ConsumerOptions, Publisher, PublisherOptions, QueueKind,
    Unroutable, prune_inbox,
};
#[cfg(feature = "sql")]
pub use schema::MIGRATIONS;
#[cfg(feature = "sql")]
pub use sink::{Delivery, Outage, Outcome, Report, Sink, Types};
pub use stylobate_core::{EventId, TraceParent};
#[cfg(feature = "sql")]
pub use subscriber::{Refused, Subscriber};
#[cfg(feature = "webhooks")]
pub use webhooks::{
    ATTEMPTS_MAX, DeliveryQuery, DeliveryState, DisabledReason, Dispatch, ENDPOINTS_MAX, EndpointChange,
    EndpointQuery, NewEndpoint, Next, SignatureStyle, WebhookDelivery, WebhookEndpoint, Webhooks,
    WebhooksError,
};
pub use webhooks::{MessageId, Rejected, SecretInvalid, TOLERANCE, WebhookHeaders, WebhookSecret, verify};
