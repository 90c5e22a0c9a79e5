//! RabbitMQ: a [`Sink`](crate::Sink) that publishes the outbox, and a consumer that hears each event once.

mod consumer;
mod inbox;
mod link;
mod message;
mod outbound;
mod publisher;
mod topology;
mod trial;
mod url;

pub use consumer::{Consumer, ConsumerOptions};
pub use inbox::prune_inbox;
pub use link::Broker;
pub use publisher::{Publisher, PublisherOptions, Unroutable};
pub use topology::QueueKind;
pub use trial::BrokerTrouble;
pub use url::{AmqpUrl, AmqpUrlInvalid};
