use serde_json::{Value, json};
use stylobate_core::{Message, PersonId};
use stylobate_events::Envelope;

use super::kinds::REFRESH_REUSE_DETECTED;

/// What an event has to say to somebody about their own account. It is heard after the change has been committed and until it is
/// handled, so that no crash loses it.
pub(super) fn message_of(event: &Envelope) -> Option<Message> {
    if event.kind != "session.reuse_detected" {
        return None;
    }
    let person: PersonId = event.subject.parse().ok()?;
    let data = |name: &str| event.data.get(name).cloned().unwrap_or(Value::Null);
    let values = json!({
        "session_id": data("session_id"),
        "address": data("ip"),
        "user_agent": data("user_agent"),
        "occurred_at": event.occurred_at,
    });
    let message = Message::to_person(REFRESH_REUSE_DETECTED.name, person).in_tenant(event.tenant_id);
    // The outbox may deliver an event twice.
    Some(message.with(values).key(event.id.to_string()))
}
