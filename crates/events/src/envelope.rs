use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stylobate_core::{Actor, EventId, TenantId, TraceParent};

use crate::EventsError;

/// Most bytes of an event as JSON: 256 KiB. Brokers and receivers keep many in memory.
pub const ENVELOPE_MAX: usize = 256 << 10;
/// Most characters of a subject.
pub const SUBJECT_MAX: usize = 200;

/// An event as others are told it: the same JSON in process, on a broker, in webhooks and in lists.
///
/// Fields may be added; whoever reads it ignores those that it does not know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Envelope {
    /// Names the event, and stays the same however often it is delivered: who has seen it may forget the next one.
    pub id: EventId,
    /// What happened: `user.created`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The version of `data`.
    pub version: u16,
    /// When it happened.
    pub occurred_at: DateTime<Utc>,
    /// In which tenant; `None` is the platform.
    pub tenant_id: Option<TenantId>,
    /// Who caused it.
    pub actor: Actor,
    /// What it is about: events of one subject of one tenant are told in the order in which they were committed.
    pub subject: String,
    /// Which event of its subject it is: 1, 2, 3 …
    pub sequence: u64,
    /// The trace it belongs to (W3C Trace Context §3.2).
    pub trace: Option<TraceParent>,
    /// The payload.
    pub data: Value,
}

impl Envelope {
    /// The event as JSON.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        // Names, numbers and what was JSON before cannot fail to be written into memory.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads an event.
    ///
    /// # Errors
    /// [`EventsError::TooLarge`] above [`ENVELOPE_MAX`], [`EventsError::Malformed`] when it is none.
    pub fn from_json(json: &[u8]) -> Result<Self, EventsError> {
        if json.len() > ENVELOPE_MAX {
            let kind = "unread".to_owned();
            return Err(EventsError::TooLarge { kind, bytes: json.len(), max: ENVELOPE_MAX });
        }
        serde_json::from_slice(json).map_err(EventsError::Malformed)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use stylobate_core::ActorKind;

    use super::*;

    fn event() -> Envelope {
        Envelope {
            id: "0198c5f0-0000-7000-8000-000000000001".parse().unwrap(),
            kind: "user.created".to_owned(),
            version: 1,
            occurred_at: DateTime::from_timestamp(1_772_366_400, 123_456_000).unwrap(),
            tenant_id: Some("0198c5f0-0000-7000-8000-000000000002".parse().unwrap()),
            actor: Actor { kind: ActorKind::System, id: None },
            subject: "person:7".to_owned(),
            sequence: 3,
            trace: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".parse().unwrap()),
            data: json!({ "name": "Ada" }),
        }
    }

    #[test]
    fn the_json_is_what_consumers_were_promised() {
        let json: Value = serde_json::from_slice(&event().to_json()).unwrap();
        assert_eq!(
            json,
            json!({
                "id": "0198c5f0-0000-7000-8000-000000000001",
                "type": "user.created",
                "version": 1,
                "occurred_at": "2026-03-01T12:00:00.123456Z",
                "tenant_id": "0198c5f0-0000-7000-8000-000000000002",
                "actor": { "kind": "system", "id": null },
                "subject": "person:7",
                "sequence": 3,
                "trace": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                "data": { "name": "Ada" },
            })
        );
        assert_eq!(Envelope::from_json(&event().to_json()).unwrap(), event());
    }

    #[test]
    fn fields_that_are_added_later_are_passed_over() {
        let mut json: Value = serde_json::from_slice(&event().to_json()).unwrap();
        json["region"] = json!("eu");
        assert_eq!(Envelope::from_json(json.to_string().as_bytes()).unwrap(), event());
    }

    #[test]
    fn what_is_no_event_or_too_long_is_refused() {
        for wrong in ["", "{}", "[]", "{\"id\":1}", "\u{0}"] {
            let refused = Envelope::from_json(wrong.as_bytes()).unwrap_err();
            assert_eq!(refused.code(), "event_malformed", "{wrong}");
        }
        let refused = Envelope::from_json(&vec![b' '; ENVELOPE_MAX + 1]).unwrap_err();
        assert_eq!(refused.code(), "event_too_large");
    }
}
