use serde_json::{Value, json};
use stylobate_core::{Message, PersonId};
use stylobate_events::Envelope;

use super::kinds::{API_KEY_CREATED, API_KEY_ROTATED, REFRESH_REUSE_DETECTED};

/// What an event has to say to somebody about their own account. It is heard after the change has been committed and until it is
/// handled, so that no crash loses it.
pub(super) fn message_of(event: &Envelope) -> Option<Message> {
    let data = |name: &str| event.data.get(name).cloned().unwrap_or(Value::Null);
    let kind = match event.kind.as_str() {
        "api_key.created" => API_KEY_CREATED.name,
        "api_key.rotated" => API_KEY_ROTATED.name,
        "session.reuse_detected" => return reuse(event, data),
        _ => return None,
    };
    // A service account has no mailbox; its keys are in the trail and in the events.
    let owner: PersonId = event.data.get("user_id")?.as_str()?.parse().ok()?;
    let values = json!({
        "label": data("label"),
        "expires_at": data("expires_at"),
        "is_by_owner": event.actor.id.as_deref() == Some(owner.to_string().as_str()),
        "address": data("ip"),
        "occurred_at": event.occurred_at,
    });
    let message = Message::to_person(kind, owner).in_tenant(event.tenant_id).with(values);
    Some(message.key(event.id.to_string()))
}

fn reuse(event: &Envelope, data: impl Fn(&str) -> Value) -> Option<Message> {
    let person: PersonId = event.subject.parse().ok()?;
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
