use serde_json::{Value, json};
use stylobate_core::{Message, PersonId};
use stylobate_events::Envelope;

use super::kinds::{
    API_KEY_CREATED, API_KEY_ROTATED, API_KEY_WIDENED, PASSWORD_CHANGED, REFRESH_REUSE_DETECTED,
};

/// What an event has to say to somebody about their own account. It is heard after the change has been committed and until it is
/// handled, so that no crash loses it.
pub(super) fn message_of(event: &Envelope) -> Option<Message> {
    let message = match event.kind.as_str() {
        "session.reuse_detected" => reuse(event),
        "password.changed" | "password.reset" => password(event),
        "api_key.created" => key(event, API_KEY_CREATED.name),
        "api_key.rotated" => key(event, API_KEY_ROTATED.name),
        "api_key.widened" => key(event, API_KEY_WIDENED.name),
        _ => None,
    };
    // The outbox may deliver an event twice.
    Some(message?.key(event.id.to_string()))
}

fn reuse(event: &Envelope) -> Option<Message> {
    let values = json!({
        "session_id": data(event, "session_id"),
        "address": data(event, "ip"),
        "user_agent": data(event, "user_agent"),
        "occurred_at": event.occurred_at,
    });
    let person = event.subject.parse().ok()?;
    Some(Message::to_person(REFRESH_REUSE_DETECTED.name, person).in_tenant(event.tenant_id).with(values))
}

fn password(event: &Envelope) -> Option<Message> {
    let by = data(event, "by");
    let values = json!({
        "is_by_link": by == "link",
        "is_by_administrator": by == "administrator",
        "ip": data(event, "ip"),
        "occurred_at": event.occurred_at,
    });
    // The account is the person's: no organisation has a say in the words, or sees the delivery.
    Some(Message::to_person(PASSWORD_CHANGED.name, event.subject.parse().ok()?).with(values))
}

fn key(event: &Envelope, kind: &'static str) -> Option<Message> {
    // A service account has no mailbox; its keys are in the trail and in the events.
    let owner: PersonId = event.data.get("user_id")?.as_str()?.parse().ok()?;
    let values = json!({
        "label": data(event, "label"),
        "expires_at": data(event, "expires_at"),
        "is_by_owner": event.actor.id.as_deref() == Some(owner.to_string().as_str()),
        "address": data(event, "ip"),
        "occurred_at": event.occurred_at,
    });
    Some(Message::to_person(kind, owner).in_tenant(event.tenant_id).with(values))
}

fn data(event: &Envelope, name: &str) -> Value {
    event.data.get(name).cloned().unwrap_or(Value::Null)
}
