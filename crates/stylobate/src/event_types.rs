//! What the platform's own crates tell.

use serde_json::{Value, json};
use stylobate_events::{EventType, Exchange};

/// The types of events that the platform's crates emit; a service adds its own with
/// [`PlatformBuilder::events`](crate::PlatformBuilder::events).
#[must_use]
pub fn default_event_types() -> Vec<EventType> {
    vec![
        session("auth.login", "Somebody signed in: a session has begun."),
        session("auth.logout", "Somebody signed out: a session has ended."),
        session(
            "auth.switch_org",
            "Somebody who was signed in went on in this organisation: a session has begun.",
        ),
        session(
            "session.reuse_detected",
            "A refresh token was used a second time, so it may have been stolen: its session has been ended.",
        ),
        password(
            "password.changed",
            "A person's password was changed: by its owner, or by somebody who manages people.",
        ),
        password("password.reset", "A mailed link set a person's password."),
        invitation("invitation.created", "An address was invited to the organisation."),
        invitation("invitation.revoked", "An invitation was taken back before anybody joined with it."),
        invitation("invitation.accepted", "Somebody joined the organisation with an invitation."),
        role("role.created", "A role was made."),
        role("role.updated", "A role was renamed, described anew, or switched on or off."),
        role("role.deleted", "A role was removed."),
        assignment("role.assigned", "Somebody was given a role."),
        assignment("role.unassigned", "Somebody has a role no longer."),
        api_key("api_key.created", "An API key was made."),
        api_key("api_key.rotated", "An API key has another secret; the one before may be good for a while."),
        api_key("api_key.widened", "An API key may do more than before, or is accepted from more places."),
        api_key("api_key.revoked", "An API key was revoked, by somebody or with its owner."),
        service_account("service_account.created", "A service account was made."),
        service_account(
            "service_account.updated",
            "A service account was renamed or described anew, switched on or off, or may do something else.",
        ),
        service_account("service_account.deleted", "A service account was removed with its API keys."),
        #[cfg(feature = "notify")]
        channel_disabled(),
    ]
}

/// The schema of a payload with these fields, all of which are there.
#[must_use]
pub fn object_schema(fields: &[(&str, Value)]) -> Value {
    let properties: serde_json::Map<String, Value> =
        fields.iter().map(|(name, schema)| ((*name).to_owned(), schema.clone())).collect();
    let required: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
    json!({ "type": "object", "properties": properties, "required": required })
}

/// The schema of an id.
fn id() -> Value {
    json!({ "type": "string", "format": "uuid" })
}

/// The same, or none.
fn id_or_null() -> Value {
    json!({ "type": ["string", "null"], "format": "uuid" })
}

fn text() -> Value {
    json!({ "type": "string" })
}

fn text_or_null() -> Value {
    json!({ "type": ["string", "null"] })
}

fn session(name: &'static str, description: &'static str) -> EventType {
    let schema = object_schema(&[
        ("user_id", id()),
        ("organization_id", id_or_null()),
        ("session_id", id()),
        ("ip", text_or_null()),
        ("user_agent", text_or_null()),
    ]);
    EventType { name, version: 1, exchange: Some(Exchange::SECURITY), description, schema }
}

fn password(name: &'static str, description: &'static str) -> EventType {
    let schema = object_schema(&[
        ("user_id", id()),
        ("by", json!({ "enum": ["owner", "administrator", "link"] })),
        ("ip", text_or_null()),
        ("user_agent", text_or_null()),
    ]);
    EventType { name, version: 1, exchange: Some(Exchange::SECURITY), description, schema }
}

fn invitation(name: &'static str, description: &'static str) -> EventType {
    let schema = object_schema(&[
        ("organization_id", id()),
        ("invitation_id", id()),
        ("role_id", id_or_null()),
        ("invited_by", id_or_null()),
        ("user_id", id_or_null()),
    ]);
    EventType { name, version: 1, exchange: Some(Exchange::AUDIT), description, schema }
}

fn role(name: &'static str, description: &'static str) -> EventType {
    let schema = object_schema(&[
        ("organization_id", id_or_null()),
        ("role_id", id()),
        ("name", text()),
        ("is_active", json!({ "type": "boolean" })),
    ]);
    EventType { name, version: 1, exchange: Some(Exchange::AUDIT), description, schema }
}

fn assignment(name: &'static str, description: &'static str) -> EventType {
    let schema = object_schema(&[
        ("organization_id", id_or_null()),
        ("role_id", id()),
        ("subject_kind", text()),
        ("subject_id", id()),
        ("expires_at", json!({ "type": ["string", "null"], "format": "date-time" })),
    ]);
    EventType { name, version: 1, exchange: Some(Exchange::AUDIT), description, schema }
}

fn api_key(name: &'static str, description: &'static str) -> EventType {
    let schema = object_schema(&[
        ("organization_id", id()),
        ("key_id", id()),
        ("user_id", id_or_null()),
        ("service_account_id", id_or_null()),
        ("label", text()),
        ("expires_at", json!({ "type": "string", "format": "date-time" })),
        ("ip", text_or_null()),
        ("user_agent", text_or_null()),
    ]);
    EventType { name, version: 1, exchange: Some(Exchange::AUDIT), description, schema }
}

fn service_account(name: &'static str, description: &'static str) -> EventType {
    let schema = object_schema(&[
        ("organization_id", id()),
        ("service_account_id", id()),
        ("name", text()),
        ("is_active", json!({ "type": "boolean" })),
    ]);
    EventType { name, version: 1, exchange: Some(Exchange::AUDIT), description, schema }
}

#[cfg(feature = "notify")]
fn channel_disabled() -> EventType {
    let schema = object_schema(&[
        ("channel_id", id()),
        ("owner_id", id_or_null()),
        ("reason", json!({ "enum": ["gone", "failing"] })),
    ]);
    EventType {
        name: "notification_channel.disabled",
        version: 1,
        exchange: None,
        description: "A channel of messages was switched off because its other side is gone, or failed for days: one of the \
                      organisation, or of the person who owns it.",
        schema,
    }
}
