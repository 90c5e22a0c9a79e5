use serde_json::{Value, json};
use stylobate_core::{Message, PersonId};
use stylobate_events::Envelope;

use super::kinds::{PASSWORD_CHANGED, REFRESH_REUSE_DETECTED};

/// What an event has to say to somebody about their own account. It is heard after the change has been committed and until it is
/// handled, so that no crash loses it.
pub(super) fn message_of(event: &Envelope) -> Option<Message> {
    let data = |name: &str| event.data.get(name).cloned().unwrap_or(Value::Null);
    let (kind, tenant, values) = match event.kind.as_str() {
        "session.reuse_detected" => {
            let values = json!({
                "session_id": data("session_id"),
                "address": data("ip"),
                "user_agent": data("user_agent"),
                "occurred_at": event.occurred_at,
            });
            (REFRESH_REUSE_DETECTED.name, event.tenant_id, values)
        }
        "password.changed" | "password.reset" => {
            let by = data("by");
            let values = json!({
                "is_by_link": by == "link",
                "is_by_administrator": by == "administrator",
                "ip": data("ip"),
                "occurred_at": event.occurred_at,
            });
            // The account is the person's: no organisation has a say in the words, or sees the delivery.
            (PASSWORD_CHANGED.name, None, values)
        }
        _ => return None,
    };
    let person: PersonId = event.subject.parse().ok()?;
    let message = Message::to_person(kind, person).in_tenant(tenant);
    // The outbox may deliver an event twice.
    Some(message.with(values).key(event.id.to_string()))
}
