use std::{collections::BTreeMap, time::Duration};

use lapin::{
    BasicProperties,
    message::Delivery,
    types::{AMQPValue, FieldTable, ShortString},
};

use crate::Envelope;

/// The version of the payload.
const VERSION: &str = "x-event-version";
/// Which event of its subject it is.
const SEQUENCE: &str = "x-event-sequence";
/// The trace it belongs to, as in HTTP (W3C Trace Context §3.2).
const TRACE: &str = "traceparent";
/// How many times a consumer has failed with it.
pub(super) const ATTEMPTS: &str = "x-attempts";
/// Why a consumer has given it up: a stable word.
pub(super) const REASON: &str = "x-reason";
/// The same for people.
pub(super) const ERROR: &str = "x-error";

/// A message to be published.
#[derive(Debug, Clone)]
pub(super) struct Message {
    /// An exchange, or the empty name: the one that leads to the queue called `routing_key`.
    pub(super) exchange: ShortString,
    pub(super) routing_key: ShortString,
    pub(super) properties: BasicProperties,
    pub(super) body: Vec<u8>,
}

impl Message {
    /// `event` for `exchange`, where its type is the routing key. None when a name is longer than AMQP can say (255 bytes).
    pub(super) fn of(event: &Envelope, exchange: &str) -> Option<Self> {
        let kind = ShortString::try_new(event.kind.as_str()).ok()?;
        let mut headers = FieldTable::default();
        headers.insert(VERSION.into(), AMQPValue::LongUInt(event.version.into()));
        headers
            .insert(SEQUENCE.into(), AMQPValue::LongLongInt(event.sequence.try_into().unwrap_or(i64::MAX)));
        if let Some(trace) = &event.trace {
            headers.insert(TRACE.into(), AMQPValue::LongString(trace.to_string().into()));
        }
        let seconds = event.occurred_at.timestamp().try_into().unwrap_or_default();
        let properties = BasicProperties::default()
            .with_message_id(event.id.to_string().into())
            .with_type(kind.clone())
            .with_timestamp(seconds)
            .with_content_type("application/json".into())
            .with_delivery_mode(2)
            .with_headers(headers);
        let exchange = ShortString::try_new(exchange).ok()?;
        Some(Self { exchange, routing_key: kind, properties, body: event.to_json() })
    }

    /// What was delivered, for the queue called `queue`, with these headers besides its own.
    pub(super) fn again(
        delivery: &Delivery,
        queue: &ShortString,
        headers: impl IntoIterator<Item = (&'static str, AMQPValue)>,
    ) -> Self {
        let own = delivery.properties.headers().iter().flat_map(|headers| headers.inner());
        let own = own.filter(|(name, _)| !is_brokers(name.as_str()));
        let mut all: BTreeMap<ShortString, AMQPValue> =
            own.map(|(name, value)| (name.clone(), value.clone())).collect();
        all.extend(headers.into_iter().map(|(name, value)| (name.into(), value)));
        // An expiration of the publisher's would end the wait in a delay queue, or the dead letter.
        let mut properties = BasicProperties::default().with_headers(all.into()).with_delivery_mode(2);
        let own = &delivery.properties;
        for (value, set) in [
            (own.message_id(), BasicProperties::with_message_id as fn(BasicProperties, ShortString) -> _),
            (own.kind(), BasicProperties::with_type),
            (own.content_type(), BasicProperties::with_content_type),
            (own.content_encoding(), BasicProperties::with_content_encoding),
            (own.correlation_id(), BasicProperties::with_correlation_id),
            (own.app_id(), BasicProperties::with_app_id),
        ] {
            if let Some(value) = value {
                properties = set(properties, value.clone());
            }
        }
        if let Some(timestamp) = own.timestamp() {
            properties = properties.with_timestamp(*timestamp);
        }
        Self {
            exchange: ShortString::default(),
            routing_key: queue.clone(),
            properties,
            body: delivery.data.clone(),
        }
    }
}

/// Whether the broker writes the header itself, about the life of one copy: another copy has a life of its own, and one that seems
/// to go round in circles would be dropped.
fn is_brokers(name: &str) -> bool {
    ["x-death", "x-first-death-", "x-last-death-", "x-delivery-count", "x-acquired-count"]
        .iter()
        .any(|prefix| name.starts_with(prefix))
}

/// How many times a consumer has failed with what was delivered.
pub(super) fn attempts(delivery: &Delivery) -> u32 {
    let headers = delivery.properties.headers().as_ref();
    let attempts = match headers.and_then(|headers| headers.inner().get(ATTEMPTS)) {
        Some(AMQPValue::LongUInt(attempts)) => i64::from(*attempts),
        Some(AMQPValue::LongInt(attempts)) => (*attempts).into(),
        Some(AMQPValue::LongLongInt(attempts)) => *attempts,
        _ => 0,
    };
    u32::try_from(attempts.max(0)).unwrap_or(u32::MAX)
}

/// The text, cut where it gets long.
pub(super) fn excerpt(text: &str) -> AMQPValue {
    let most = text.char_indices().nth(500).map_or(text.len(), |(at, _)| at);
    AMQPValue::LongString(text.get(..most).unwrap_or_default().into())
}

/// The number of milliseconds as AMQP's queues take it.
pub(super) fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
