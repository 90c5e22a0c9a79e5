use chrono::{DateTime, Utc};
use serde::{Deserialize as _, Serialize, de::IntoDeserializer as _};
use stylobate_core::{Actor, ActorKind, EventId, TenantId};

use crate::{Envelope, EventsError};

/// Most characters of an actor's id.
pub(crate) const ACTOR_MAX: usize = 256;
/// Most characters of an error.
pub(crate) const ERROR_MAX: usize = 1_000;

/// At most `most` characters of `text`, in a form that both engines store.
pub(crate) fn shortened(text: &str, most: usize) -> String {
    let storable = |character| if character == '\0' { char::REPLACEMENT_CHARACTER } else { character };
    text.chars().take(most).map(storable).collect()
}

pub(crate) fn actor_kind_word(kind: ActorKind) -> &'static str {
    match kind {
        ActorKind::System => "system",
        ActorKind::User => "user",
        ActorKind::ApiKey => "api_key",
        ActorKind::Service => "service",
        ActorKind::Anonymous => "anonymous",
    }
}

/// An event on its way out.
#[derive(Debug, Clone, sqlx::FromRow)]
pub(crate) struct EventRow {
    pub(crate) ordinal: i64,
    pub(crate) id: uuid::Uuid,
    pub(crate) lane: uuid::Uuid,
    /// `None` when its row is missing.
    pub(crate) aggregate: Option<String>,
    pub(crate) sequence: i64,
    pub(crate) r#type: String,
    pub(crate) version: i64,
    pub(crate) occurred_at: DateTime<Utc>,
    pub(crate) written_at: DateTime<Utc>,
    pub(crate) actor_kind: String,
    pub(crate) actor_id: Option<String>,
    pub(crate) trace: Option<String>,
    pub(crate) data: String,
}

impl TryFrom<EventRow> for Envelope {
    type Error = EventsError;

    fn try_from(row: EventRow) -> Result<Self, EventsError> {
        let bad = |column| EventsError::RowInvalid { column, ordinal: row.ordinal };
        let word: serde::de::value::StrDeserializer<'_, serde::de::value::Error> =
            row.actor_kind.as_str().into_deserializer();
        Ok(Self {
            id: row.id.into(),
            version: row.version.try_into().map_err(|_| bad("version"))?,
            occurred_at: row.occurred_at,
            tenant_id: (!row.lane.is_nil()).then(|| row.lane.into()),
            actor: Actor {
                kind: ActorKind::deserialize(word).map_err(|_| bad("actor_kind"))?,
                id: row.actor_id,
            },
            sequence: row.sequence.try_into().map_err(|_| bad("sequence"))?,
            trace: row.trace.map(|text| text.parse().map_err(|_| bad("trace"))).transpose()?,
            data: serde_json::from_str(&row.data).map_err(|_| bad("data"))?,
            kind: row.r#type,
            subject: row.aggregate.ok_or(bad("aggregate_id"))?,
        })
    }
}

/// A delivery that was given up.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DeadLetter {
    /// To whom.
    pub subscriber: String,
    /// How often it was tried.
    pub attempts: u32,
    /// Why it failed the last time.
    pub error: String,
    /// When it was given up.
    pub parked_at: DateTime<Utc>,
    /// Of which event.
    pub event_id: EventId,
    /// The event; `None` when its row cannot be read, which is why nobody will ever have it.
    pub event: Option<Envelope>,
}

/// What is owed to a subscriber.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SubscriberCounts {
    /// Whom.
    pub name: String,
    /// How many events will be delivered as soon as they can be.
    pub owed: u64,
    /// How many events wait for one of their aggregate that failed, with it.
    pub held: u64,
    /// How many deliveries were given up.
    pub dead: u64,
    /// When the oldest event that it is owed was written.
    pub oldest_at: Option<DateTime<Utc>>,
    /// When it last had one, to within a few seconds; `None` before the first.
    pub last_delivered_at: Option<DateTime<Utc>>,
    /// Whether a relay works for it.
    pub is_served: bool,
}

/// Which events of the caller's tenant a list shows, newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventQuery {
    /// Of this type only.
    pub kind: Option<String>,
    /// About this subject only.
    pub subject: Option<String>,
    /// That were written at this time or later, to the millisecond.
    pub from: Option<DateTime<Utc>>,
    /// That were written before this time, to the millisecond.
    pub to: Option<DateTime<Utc>>,
    /// How many a page has. One of a filter may have less though others follow: events are looked through ten thousand at a
    /// time, from the newest on.
    pub limit: stylobate_core::PageLimit,
    /// Where the page before ended.
    pub cursor: Option<String>,
}

/// Which dead letters a list shows, those that were given up last first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeadLetterQuery {
    /// Of this subscriber only.
    pub subscriber: Option<String>,
    /// Of this tenant only; a caller that acts for a tenant sees no others anyway.
    pub tenant: Option<TenantId>,
    /// How many a page has.
    pub limit: stylobate_core::PageLimit,
    /// Where the page before ended.
    pub cursor: Option<String>,
}
