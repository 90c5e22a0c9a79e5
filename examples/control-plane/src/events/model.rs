use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stylobate::{
    core::ActorKind,
    events::{DeadLetter, Envelope, EventType, SubscriberCounts},
};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

/// An event, as everybody is told it.
#[derive(Serialize, ToSchema)]
pub(super) struct EventView {
    id: Uuid,
    /// What happened: `user.created`.
    r#type: String,
    /// The version of `data`.
    version: u16,
    occurred_at: DateTime<Utc>,
    /// In which organisation; `null` is the platform.
    tenant_id: Option<Uuid>,
    actor: EventActorView,
    /// What it is about.
    subject: String,
    /// Which event of its subject it is: 1, 2, 3 …
    sequence: u64,
    /// The trace it belongs to (W3C Trace Context).
    trace: Option<String>,
    data: Value,
}

/// Who caused an event.
#[derive(Serialize, ToSchema)]
struct EventActorView {
    /// `user`, `api_key`, `service`, `system` or `anonymous`.
    #[schema(value_type = String)]
    kind: ActorKind,
    id: Option<String>,
}

impl From<Envelope> for EventView {
    fn from(event: Envelope) -> Self {
        Self {
            id: event.id.as_uuid(),
            r#type: event.kind,
            version: event.version,
            occurred_at: event.occurred_at,
            tenant_id: event.tenant_id.map(|id| id.as_uuid()),
            actor: EventActorView { kind: event.actor.kind, id: event.actor.id },
            subject: event.subject,
            sequence: event.sequence,
            trace: event.trace.map(|trace| trace.to_string()),
            data: event.data,
        }
    }
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct EventFilter {
    /// Of this type.
    #[serde(default)]
    pub(super) r#type: Option<String>,
    /// About this subject.
    #[serde(default)]
    pub(super) subject: Option<String>,
    /// That were written at this time or later, to the millisecond.
    #[serde(default)]
    pub(super) from: Option<DateTime<Utc>>,
    /// That were written before this time, to the millisecond.
    #[serde(default)]
    pub(super) to: Option<DateTime<Utc>>,
}

/// A type of event.
#[derive(Serialize, ToSchema)]
pub(super) struct EventTypeView {
    name: &'static str,
    version: u16,
    /// The exchange it is published to; `null` keeps it from the broker.
    exchange: Option<&'static str>,
    description: &'static str,
    /// What `data` looks like (JSON Schema).
    schema: Value,
}

impl From<&EventType> for EventTypeView {
    fn from(one: &EventType) -> Self {
        Self {
            name: one.name,
            version: one.version,
            exchange: one.exchange.map(|exchange| exchange.name()),
            description: one.description,
            schema: one.schema.clone(),
        }
    }
}

/// Every type of event.
#[derive(Serialize, ToSchema)]
pub(super) struct EventTypesView {
    pub(super) items: Vec<EventTypeView>,
}

/// A delivery that was given up.
#[derive(Serialize, ToSchema)]
pub(super) struct EventDeadLetterView {
    /// Who did not get it.
    subscriber: String,
    event_id: Uuid,
    /// How often it was tried.
    attempts: u32,
    /// Why it failed the last time.
    error: String,
    parked_at: DateTime<Utc>,
    /// The event; `null` when its row cannot be read.
    event: Option<EventView>,
}

impl From<DeadLetter> for EventDeadLetterView {
    fn from(letter: DeadLetter) -> Self {
        Self {
            subscriber: letter.subscriber,
            event_id: letter.event_id.as_uuid(),
            attempts: letter.attempts,
            error: letter.error,
            parked_at: letter.parked_at,
            event: letter.event.map(EventView::from),
        }
    }
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct EventDeadLetterFilter {
    /// Of this subscriber.
    #[serde(default)]
    pub(super) subscriber: Option<String>,
    /// Of this organisation.
    #[serde(default)]
    pub(super) organization_id: Option<Uuid>,
}

/// Which deliveries that were given up are owed once more.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ReplayInput {
    pub(super) subscriber: String,
    /// One event; all of the subscriber's unless given, at most 10,000.
    #[serde(default)]
    pub(super) event_id: Option<Uuid>,
}

/// How many deliveries are owed once more.
#[derive(Serialize, ToSchema)]
pub(super) struct ReplayedView {
    pub(super) replayed: u64,
}

/// Somebody who hears events.
#[derive(Serialize, ToSchema)]
pub(super) struct SubscriberView {
    name: String,
    /// How many events it will have as soon as they can be delivered.
    owed: u64,
    /// How many wait for one of the same subject that failed, with it.
    held: u64,
    /// How many were given up.
    dead: u64,
    /// When the oldest event that it is owed was written.
    oldest_at: Option<DateTime<Utc>>,
    last_delivered_at: Option<DateTime<Utc>>,
    /// Whether a process works for it.
    is_served: bool,
}

impl From<SubscriberCounts> for SubscriberView {
    fn from(counts: SubscriberCounts) -> Self {
        Self {
            name: counts.name,
            owed: counts.owed,
            held: counts.held,
            dead: counts.dead,
            oldest_at: counts.oldest_at,
            last_delivered_at: counts.last_delivered_at,
            is_served: counts.is_served,
        }
    }
}

/// Everybody who hears events.
#[derive(Serialize, ToSchema)]
pub(super) struct SubscribersView {
    pub(super) items: Vec<SubscriberView>,
}
