//! Bodies that routes take, queries that they need, and names in their paths. `<role>` stands for the id of the row of that
//! kind, `<unique>` for a name that nothing has.

use std::sync::LazyLock;

use reqwest::Method;
use serde_json::{Value, json};

use crate::PASSWORD;

/// What stands in paths and is no id.
pub(super) const WORDS: [(&str, &str); 4] =
    [("kind", "event"), ("locale", "en"), ("name", "matrix"), ("subscriber", "nobody")];

/// Parameters without which a query is refused: method, template, name, value.
pub(super) const QUERIES: [(&str, &str, &str, &str); 1] =
    [("GET", "/v1/rbac/who-can", "permission_name", "user.read")];

/// The body for trying the place `name`, when it needs another than all others of the route.
pub(super) fn sample_at(method: &Method, canonical: &str, name: Option<&str>) -> Option<Value> {
    match (method.as_str(), canonical, name) {
        // It is one or the other.
        ("POST", "/api-keys" | "/api-keys/generate", Some("service_account_id")) => {
            Some(json!({ "service_account_id": "<service_account>", "label": "<unique>" }))
        }
        _ => sample(method, canonical),
    }
}

/// A body that `method` of `canonical` takes, about the rows that it names.
#[must_use]
pub fn sample(method: &Method, canonical: &str) -> Option<Value> {
    let asked = format!("{method} {canonical}");
    SAMPLES.iter().find(|(routes, _)| of(routes).any(|route| route == asked)).map(|(_, body)| body.clone())
}

/// The routes that have a body here, each as its method and template.
pub(super) fn sampled() -> impl Iterator<Item = &'static str> {
    SAMPLES.iter().flat_map(|(routes, _)| of(routes))
}

/// Routes, with ` | ` between them, and the body that they take.
type Sample = (&'static str, Value);

static SAMPLES: LazyLock<Vec<Sample>> =
    LazyLock::new(|| [access(), accounts(), organisations(), flows(), messages(), work()].concat());

fn of(routes: &'static str) -> impl Iterator<Item = &'static str> {
    routes.split(" | ")
}

fn access() -> Vec<Sample> {
    let question = || {
        json!({
            "user_id": "<person>", "permission_name": "user.read", "organization_id": "<org>",
            "resource": { "kind": "document", "id": "7", "owner_id": "<person>" },
        })
    };
    vec![
        ("POST /roles | PUT /roles/{id}", json!({ "name": "<unique>" })),
        ("PATCH /roles/{id} | PATCH /permissions/{id}", json!({ "description": "<unique>" })),
        ("POST /roles/{id}/permissions", json!({ "permission_id": "<permission>" })),
        ("PATCH /roles/{id}/permissions/{permission_id}", json!({ "effect": "allow", "condition": null })),
        ("POST /roles/{id}/parents", json!({ "parent_id": "<role#2>" })),
        ("POST /permissions | PUT /permissions/{id}", json!({ "key": "matrix.<unique>" })),
        ("POST /rbac/role-permissions", json!({ "role_id": "<role>", "permission_id": "<permission>" })),
        (
            "PATCH /rbac/role-permissions/{link_id}",
            json!({ "role_id": "<role>", "permission_id": "<permission#2>" }),
        ),
        ("POST /rbac/person-roles", json!({ "person_id": "<person>", "role_id": "<role>" })),
        ("PATCH /rbac/person-roles/{link_id}", json!({ "person_id": "<person>", "role_id": "<role#2>" })),
        (
            "POST /people/{id}/roles | POST /service-accounts/{id}/roles | POST /groups/{id}/roles",
            json!({ "role_id": "<role>" }),
        ),
        ("PATCH /people/{id}/roles/{role_id}", json!({ "expires_at": null })),
        ("POST /people/{id}/overrides", json!({ "permission_id": "<permission>", "effect": "allow" })),
        (
            "POST /acl-entries",
            json!({
                "resource_kind": "document", "resource_id": "7", "user_id": "<person>", "permission_id": "<permission>",
                "effect": "allow",
            }),
        ),
        ("POST /rbac/check | POST /v1/rbac/explain", question()),
        (
            "POST /v1/rbac/what-if",
            json!({ "question": question(), "changes": [
            { "change": "attach_permission", "role_id": "<role>", "permission_id": "<permission>" },
            { "change": "add_parent", "role_id": "<role>", "parent_id": "<role#2>" },
        ] }),
        ),
        ("POST /groups", json!({ "name": "<unique>" })),
        ("PATCH /groups/{id}", json!({ "name": "<unique>", "description": "<unique>" })),
        ("POST /groups/{id}/members", json!({ "person_id": "<person>" })),
    ]
}

fn accounts() -> Vec<Sample> {
    let person = || json!({ "first_name": "Ada", "last_name": "Byron", "email": "<unique>@plain.example" });
    vec![
        ("POST /people | PUT /people/{id}", person()),
        ("PATCH /people/{id} | PATCH /auth/me | PUT /auth/me", json!({ "city": "London" })),
        ("POST /user-credentials", json!({ "person_id": "<person>", "password": PASSWORD })),
        ("PATCH /user-credentials/{id}", json!({ "person_id": "<person>", "failed_login_attempts": 0 })),
        ("PATCH /sessions/{id}", json!({ "status": "revoked" })),
        ("POST /api-keys | POST /api-keys/generate", json!({ "person_id": "<person>", "label": "<unique>" })),
        ("POST /auth/api-keys | PATCH /api-keys/{id}", json!({ "label": "<unique>" })),
        ("POST /api-keys/{id}/rotate | POST /auth/api-keys/{id}/rotate", json!({})),
        ("POST /service-accounts", json!({ "name": "<unique>" })),
        ("PATCH /service-accounts/{id}", json!({ "description": "<unique>" })),
        (
            "PUT /service-accounts/{id}/grants",
            json!({ "grants": [{ "audience": "https://plain.example", "operations": ["*"] }] }),
        ),
        (
            "POST /service-accounts/{id}/keys",
            json!({
                "label": "<unique>",
                "jwk": { "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" },
            }),
        ),
        ("POST /service-tokens", json!({ "audience": "https://plain.example" })),
    ]
}

fn organisations() -> Vec<Sample> {
    // As the replaced system makes accounts.
    let account = || {
        json!({
            "first_name": "Ada", "last_name": "Byron", "username": "<unique>", "password": PASSWORD,
            "contact_information": { "email": "<unique>@plain.example" },
        })
    };
    vec![
        ("POST /v1/orgs | PATCH /v1/orgs/{id}", json!({ "name": "<unique>" })),
        ("POST /v1/orgs/{id}/delete", json!({ "code": "plain" })),
        ("PUT /v1/orgs/{id}/settings | PUT /v1/orgs/{id}/privacy", json!({ "settings": { "a": 1 } })),
        ("POST /v1/orgs/{id}/members", json!({ "person_id": "<person>" })),
        ("PATCH /v1/orgs/{id}/members/{person_id}", json!({ "status": "suspended" })),
        ("POST /v1/orgs/{id}/admins", account()),
        ("POST /v1/orgs/{id}/users", account()),
        ("PATCH /v1/users/{id}", json!({ "first_name": "Grace" })),
        ("PATCH /v1/users/{id}/contact", json!({ "city": "London" })),
        (
            "POST /v1/bootstrap/organization",
            json!({ "organization_name": "<unique>", "admin_user": account() }),
        ),
        ("POST /auth/switch-org", json!({ "organization_id": "<org>" })),
        (
            "POST /auth/invitations",
            json!({ "email": "<unique>@plain.example", "role_id": "<role>", "organization_id": "<org>" }),
        ),
    ]
}

fn flows() -> Vec<Sample> {
    let token = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let newcomer = || {
        json!({
            "email": "<unique>@plain.example", "username": "<unique>", "password": PASSWORD, "first_name": "Ada",
            "last_name": "Byron",
        })
    };
    vec![
        ("POST /auth/login", json!({ "username": "<unique>", "password": "wrong" })),
        ("POST /auth/refresh", json!({ "refresh_token": token })),
        ("POST /auth/logout", json!({})),
        ("POST /auth/password-change", json!({ "current_password": "wrong", "new_password": PASSWORD })),
        (
            "POST /auth/password-change/forced",
            json!({ "username": "<unique>", "current_password": "wrong", "new_password": PASSWORD }),
        ),
        ("DELETE /auth/me", json!({ "current_password": "wrong" })),
        ("POST /auth/verify-email | POST /auth/email-change/confirm", json!({ "token": token })),
        (
            "POST /auth/email-change",
            json!({ "new_email": "<unique>@plain.example", "current_password": "wrong" }),
        ),
        ("POST /auth/password-reset-request", json!({ "email": "<unique>@plain.example" })),
        ("POST /auth/password-reset", json!({ "token": token, "new_password": PASSWORD })),
        ("POST /auth/register", newcomer()),
        ("POST /auth/register/confirm", json!({ "token": token, "password": PASSWORD })),
        (
            "POST /auth/invitations/accept",
            json!({ "token": token, "username": "<unique>", "password": PASSWORD, "first_name": "A", "last_name": "B" }),
        ),
    ]
}

fn messages() -> Vec<Sample> {
    let channel = || {
        json!({
            "channel_type": "webhook", "label": "<unique>", "config": { "url": "<receiver>" },
            "events": ["webhook.disabled"],
        })
    };
    vec![
        ("POST /webhooks", json!({ "url": "<receiver>", "events": ["webhook.disabled"] })),
        ("PATCH /webhooks/{id}", json!({ "description": "<unique>" })),
        ("POST /webhooks/{id}/rotate-secret", json!({})),
        ("POST /notification-channels | POST /notification-channels/me", channel()),
        (
            "PUT /notification-channels/{id} | PUT /notification-channels/me/{id}",
            json!({ "label": "<unique>" }),
        ),
        ("POST /notifications", json!({ "recipient_id": "<person>", "title": "plain" })),
        (
            "POST /notification-suppressions | POST /notification-suppressions/platform",
            json!({ "medium": "email", "address": "<unique>@plain.example", "reason": "plain" }),
        ),
        ("PUT /notification-templates/{kind}/{locale}", json!({ "subject": "plain", "text": "plain" })),
        ("POST /notification-templates/{kind}/preview", json!({})),
        ("PUT /notification-preferences", json!({ "muted": [] })),
        ("POST /v1/events/dead-letters/replay", json!({ "subscriber": "nobody" })),
    ]
}

fn work() -> Vec<Sample> {
    vec![
        ("PATCH /v1/jobs/{id}", json!({ "payload": {} })),
        (
            "POST /scheduler/tasks",
            json!({
                "name": "<unique>", "task_name": "auth.sweep", "interval_seconds": 86_400, "enabled": false,
            }),
        ),
        ("PATCH /scheduler/tasks/{id}", json!({ "enabled": false })),
    ]
}
