use serde_json::{Value, json};
use stylobate::{
    USER_DELETED,
    events::{EventType, Exchange},
    object_schema,
};

/// The types of events that this program tells beside those of the platform's crates.
pub(crate) fn event_types() -> Vec<EventType> {
    vec![
        organization("organization.created", "An organisation was made, with its roles and without people."),
        organization(
            "organization.updated",
            "An organisation is called otherwise, or its licence is another.",
        ),
        organization(
            "organization.deactivated",
            "Nobody can act in the organisation any more: its sessions and keys have ended.",
        ),
        organization("organization.activated", "People can act in the organisation again."),
        document("organization.settings_updated", "The settings of the organisation were replaced."),
        document("organization.privacy_updated", "The privacy settings of the organisation were replaced."),
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

fn organization(name: &'static str, description: &'static str) -> EventType {
    let schema = object_schema(&[
        ("actor_id", id_or_null()),
        ("organization_id", id()),
        ("org_code", json!({ "type": "string" })),
        ("name", json!({ "type": "string" })),
        ("is_active", json!({ "type": "boolean" })),
    ]);
    EventType { name, version: 1, exchange: Some(Exchange::AUDIT), description, schema }
}

fn document(name: &'static str, description: &'static str) -> EventType {
    let schema = object_schema(&[
        ("actor_id", id_or_null()),
        ("organization_id", id()),
        ("version", json!({ "type": "integer" })),
    ]);
    EventType { name, version: 1, exchange: Some(Exchange::AUDIT), description, schema }
}

fn id() -> Value {
    json!({ "type": "string", "format": "uuid" })
}

fn id_or_null() -> Value {
    json!({ "type": ["string", "null"], "format": "uuid" })
}

fn person(name: &'static str, description: &'static str) -> EventType {
    let nullable = |kind: &str| -> Value { json!({ "type": [kind, "null"] }) };
    let schema = object_schema(&[
        ("actor_id", id_or_null()),
        ("organization_id", id()),
        ("user_id", id()),
        ("username", nullable("string")),
        ("email", json!({ "type": "string", "format": "email" })),
        ("status", json!({ "type": "string" })),
        ("is_active", json!({ "type": "boolean" })),
    ]);
    EventType { name, version: 1, exchange: Some(Exchange::AUDIT), description, schema }
}
