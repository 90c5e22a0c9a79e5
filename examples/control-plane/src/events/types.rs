use serde_json::{Value, json};
use stylobate::{
    USER_DELETED,
    events::{EventType, Exchange},
    object_schema,
};

/// The types of events that this program tells beside those of the platform's crates.
pub(crate) fn event_types() -> Vec<EventType> {
    vec![
        person(
            "user.created",
            "Somebody was made a member of the organisation, with an account of their own.",
        ),
        person("user.updated", "What is known about somebody was changed, or whether they can sign in."),
        person("user.deactivated", "Somebody can no longer sign in."),
        person(USER_DELETED, "Somebody's account was removed. Forget what was told of them."),
        person("member.added", "Somebody who has an account already joined the organisation."),
        person(
            "member.suspended",
            "Somebody may act in the organisation no longer; their account goes on elsewhere.",
        ),
        person("member.reinstated", "Somebody who was suspended may act in the organisation again."),
        person("member.removed", "Somebody left the organisation; their account goes on elsewhere."),
    ]
}

fn person(name: &'static str, description: &'static str) -> EventType {
    let id = json!({ "type": "string", "format": "uuid" });
    let nullable = |kind: &str| -> Value { json!({ "type": [kind, "null"] }) };
    let schema = object_schema(&[
        ("actor_id", json!({ "type": ["string", "null"], "format": "uuid" })),
        ("organization_id", id.clone()),
        ("user_id", id),
        ("username", nullable("string")),
        ("email", json!({ "type": "string", "format": "email" })),
        ("status", json!({ "type": "string" })),
        ("is_active", json!({ "type": "boolean" })),
    ]);
    EventType { name, version: 1, exchange: Some(Exchange::AUDIT), description, schema }
}
