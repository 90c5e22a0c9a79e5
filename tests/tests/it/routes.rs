//! Every route that the API document names, under every path it is owed.

use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::{Value, json};
use stylobate_tests::{Client, Engine, TestApp};

/// A route of the API document.
struct Row {
    method: Method,
    path: String,
    /// `public: <reason>`, `authenticated` or the permission's key.
    permission: String,
    /// Whether the internal secret stands for it.
    takes_secret: bool,
}

/// Reads who may call what from the API document, as its readers do.
async fn rows(client: &Client) -> Vec<Row> {
    let document = client.get("/openapi.json").await.expect(200);
    assert!(document["openapi"].as_str().unwrap().starts_with("3."), "{}", document["openapi"]);
    let mut rows = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let Ok(method) = method.to_uppercase().parse::<Method>() else { continue };
            let description = operation["description"].as_str().unwrap_or_default();
            let permission = if let Some(reason) = description.strip_prefix("Public: ") {
                format!("public: {}", reason.trim_end_matches('.'))
            } else if let Some(key) = operation["x-permission"].as_str() {
                assert!(description.contains(&format!("`{key}`")), "{method} {path}: {description}");
                key.to_owned()
            } else {
                assert!(
                    operation["security"].is_array(),
                    "{method} {path} says neither who may call it nor why anybody"
                );
                "authenticated".to_owned()
            };
            let takes_secret = description.contains("or the internal secret");
            rows.push(Row { method, path: path.clone(), permission, takes_secret });
        }
    }
    rows
}

fn filled(path: &str) -> String {
    let parts = path.split('/').map(|part| match part.starts_with('{') {
        true => "0191e000-0000-7000-8000-000000000001",
        false => part,
    });
    parts.collect::<Vec<_>>().join("/")
}

/// A11: deny by default, on every route and for every method.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_route_has_a_permission_and_keeps_it() {
    let app = TestApp::start(Engine::Sqlite).await;
    let admin = app.administrator().await;
    let nobody = app.person(&admin, "nobody").await.client;
    let rows = rows(&app.anonymous()).await;
    assert!(rows.len() > 40, "only {} routes", rows.len());
    for Row { method, path, permission, .. } in &rows {
        let (asked, is_public) = (filled(path), permission.starts_with("public: "));
        if is_public {
            assert!(permission.len() > "public: ".len() + 5, "{method} {path} is public for no reason");
            continue;
        }
        for client in [app.anonymous(), app.anonymous().presenting("made up")] {
            client.send(method.clone(), &asked, None).await.problem(401, "unauthenticated");
        }
        if permission != "authenticated" {
            nobody.send(method.clone(), &asked, None).await.problem(403, "permission_denied");
            let allowed = admin.send(method.clone(), &asked, None).await;
            assert!(![401, 403, 405, 500].contains(&allowed.status), "{allowed}");
        }
    }
    let known: Vec<Value> =
        admin.all("/permissions").await.into_iter().map(|one| one["key"].clone()).collect();
    for Row { method, path, permission, .. } in rows.iter().filter(|row| !row.permission.contains([' ', ':']))
    {
        let is_known = permission == "authenticated" || known.contains(&Value::from(permission.as_str()));
        assert!(is_known, "{method} {path} asks {permission}, which the catalogue does not have");
    }
    // Diagnostics are there in some builds only.
    let rows = rows.into_iter().filter(|row| !DIAGNOSTICS.contains(&row.path.trim_end_matches('/')));
    // Who may do what is for people to review: a change shows in this file.
    let asks = |row: Row| match row.takes_secret {
        true => format!("{} or the internal secret", row.permission),
        false => row.permission,
    };
    let table: BTreeMap<String, String> =
        rows.map(|row| (format!("{} {}", row.path, row.method), asks(row))).collect();
    let table: Vec<String> =
        table.into_iter().map(|(route, permission)| format!("{route}: {permission}")).collect();
    insta::assert_snapshot!("permissions_of_routes", table.join("\n"));
}

/// C22: nothing that only looks like a route's path reaches it, and nothing that reaches it dodges its permission.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twisted_paths_open_nothing() {
    let app = TestApp::start(Engine::Sqlite).await;
    let admin = app.administrator().await;
    let nobody = app.person(&admin, "nobody").await.client;
    for path in [
        "/health/../people",
        "/health/%2e%2e/people",
        "/docs/..%2fpeople",
        "/people;x=1",
        "/people/",
        "//people",
        "/./people",
        "/%70eople",
        "/people%2f",
        "/people%00",
        "/PEOPLE",
        "/api/../people",
        "/api/v1//people",
        "/api/v1/api/people",
        "/people?x=/health",
        "/auth/me/../../people",
        "/p\u{e9}ople",
        "/people%20",
        "/.//people",
        "/healthz/people",
    ] {
        for client in [app.anonymous(), nobody.clone()] {
            let answer = client.get(path).await;
            assert!([400, 401, 403, 404, 422].contains(&answer.status), "{answer}");
        }
    }
    for name in ["x-original-url", "x-rewrite-url", "x-http-method-override", "x-forwarded-prefix"] {
        let request = app.anonymous().request(Method::GET, "/people").header(name, "/health");
        app.anonymous().send_raw(request).await.problem(401, "unauthenticated");
    }
}

/// Whoever tests the walls between organisations finds every place to put a foreign id in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_id_of_every_route_has_a_kind() {
    let app = TestApp::builder(Engine::Sqlite).without_administrator().start().await;
    let document = app.anonymous().get("/openapi.json").await.expect(200);
    let mut missing = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let told =
                operation["x-ids"].as_array().unwrap_or_else(|| panic!("{method} {path} tells no ids"));
            for id in told {
                assert!(id["kind"].as_str().is_some_and(|kind| !kind.is_empty()), "{method} {path}: {id}");
            }
            for (position, name) in ids(&document, operation) {
                if !told.iter().any(|id| id["in"] == position && id["name"] == name.as_str()) {
                    missing.push(format!("{method} {path}: {position} {name}"));
                }
            }
        }
    }
    assert!(missing.is_empty(), "ids of nobody knows what:\n{}", missing.join("\n"));
    let told = |path: &str, method: &str| document["paths"][path][method]["x-ids"].clone();
    assert_eq!(
        told("/people/{id}/roles", "post"),
        json!([
            {"in": "path", "name": "id", "kind": "person"},
            {"in": "body", "name": "role_id", "kind": "role"},
        ])
    );
    assert_eq!(told("/auth/sessions", "get"), json!([]));
}

/// Where an operation takes what is, by its schema or its name, an id.
fn ids(document: &Value, operation: &Value) -> Vec<(&'static str, String)> {
    let mut all = Vec::new();
    for parameter in operation["parameters"].as_array().into_iter().flatten() {
        let position = match parameter["in"].as_str() {
            Some("path") => "path",
            Some("query") => "query",
            _ => continue,
        };
        let name = parameter["name"].as_str().unwrap();
        ids_within(document, &parameter["schema"], name, 0, &mut |name| all.push((position, name)));
    }
    for content in operation["requestBody"]["content"].as_object().into_iter().flat_map(|all| all.values()) {
        ids_within(document, &content["schema"], "", 0, &mut |name| all.push(("body", name)));
    }
    all
}

fn ids_within(document: &Value, schema: &Value, name: &str, depth: usize, found: &mut dyn FnMut(String)) {
    // Schemas may hold themselves.
    if depth > 12 {
        return;
    }
    if let Some(reference) = schema["$ref"].as_str() {
        let referred = document.pointer(reference.trim_start_matches('#')).unwrap();
        return ids_within(document, referred, name, depth + 1, found);
    }
    let last = name.trim_end_matches("[]").rsplit('.').next().unwrap();
    let is_called_id = last == "id" || last.ends_with("_id") || last.ends_with("_ids");
    if schema["format"] == "uuid" || (is_called_id && !schema["items"].is_object()) {
        found(name.to_owned());
    }
    for key in ["oneOf", "anyOf", "allOf"] {
        for one in schema[key].as_array().into_iter().flatten() {
            ids_within(document, one, name, depth + 1, found);
        }
    }
    for (key, property) in schema["properties"].as_object().into_iter().flatten() {
        let inner = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
        ids_within(document, property, &inner, depth + 1, found);
    }
    if schema["items"].is_object() {
        ids_within(document, &schema["items"], &format!("{name}[]"), depth + 1, found);
    }
}

const DIAGNOSTICS: [&str; 3] = ["/echo", "/redis", "/rabbit"];

const GET: Method = Method::GET;
const POST: Method = Method::POST;
const PUT: Method = Method::PUT;
const PATCH: Method = Method::PATCH;
const DELETE: Method = Method::DELETE;

/// What the replaced systems answer, as far as this release owes it. They spell it with no prefix, `/api` and `/api/v1`.
const OWED: &[(Method, &str)] = &[
    (POST, "/auth/login"),
    (POST, "/auth/refresh"),
    (POST, "/auth/logout"),
    (GET, "/auth/whoami"),
    (GET, "/auth/me"),
    (PATCH, "/auth/me"),
    (POST, "/auth/password-change"),
    (POST, "/auth/password-change/forced"),
    (DELETE, "/auth/me"),
    (POST, "/auth/register"),
    (POST, "/auth/register/confirm"),
    (POST, "/auth/verify-email"),
    (POST, "/auth/verify-email/resend"),
    (POST, "/auth/email-change"),
    (POST, "/auth/email-change/confirm"),
    (POST, "/auth/password-reset-request"),
    (POST, "/auth/password-reset"),
    (POST, "/auth/invitations"),
    (POST, "/auth/invitations/accept"),
    (GET, "/auth/api-keys"),
    (POST, "/auth/api-keys"),
    (DELETE, "/auth/api-keys/{id}"),
    (POST, "/auth/api-keys/{id}/rotate"),
    (GET, "/auth/forward"),
    (GET, "/api-keys"),
    (POST, "/api-keys"),
    (GET, "/api-keys/{id}"),
    (PATCH, "/api-keys/{id}"),
    (DELETE, "/api-keys/{id}"),
    (POST, "/api-keys/{id}/rotate"),
    (GET, "/api-keys/{id}/usage"),
    (GET, "/service-accounts"),
    (POST, "/service-accounts"),
    (GET, "/service-accounts/{id}"),
    (PATCH, "/service-accounts/{id}"),
    (DELETE, "/service-accounts/{id}"),
    (GET, "/service-accounts/{id}/grants"),
    (PUT, "/service-accounts/{id}/grants"),
    (GET, "/service-accounts/{id}/keys"),
    (POST, "/service-accounts/{id}/keys"),
    (DELETE, "/service-accounts/{id}/keys/{key_id}"),
    (GET, "/service-accounts/{id}/roles"),
    (POST, "/service-accounts/{id}/roles"),
    (DELETE, "/service-accounts/{id}/roles/{role_id}"),
    (POST, "/service-tokens"),
    (POST, "/oauth/introspect"),
    (POST, "/oauth/revoke"),
    (GET, "/auth/sessions"),
    (DELETE, "/auth/sessions"),
    (DELETE, "/auth/sessions/{id}"),
    (GET, "/auth/switch-org"),
    (POST, "/auth/switch-org"),
    (GET, "/webhooks"),
    (POST, "/webhooks"),
    (DELETE, "/webhooks/{id}"),
    (GET, "/webhooks/{id}/deliveries"),
    (GET, "/v1/events"),
    (GET, "/v1/events/dead-letters"),
    (GET, "/people"),
    (POST, "/people"),
    (GET, "/people/{id}"),
    (PATCH, "/people/{id}"),
    (PUT, "/people/{id}"),
    (DELETE, "/people/{id}"),
    (POST, "/people/{id}/unlock"),
    (DELETE, "/people/{id}/sessions"),
    (GET, "/user-credentials"),
    (POST, "/user-credentials"),
    (GET, "/user-credentials/{id}"),
    (PATCH, "/user-credentials/{id}"),
    (DELETE, "/user-credentials/{id}"),
    (GET, "/sessions"),
    (GET, "/sessions/{id}"),
    (PATCH, "/sessions/{id}"),
    (DELETE, "/sessions/{id}"),
    (GET, "/people/{id}/roles"),
    (POST, "/people/{id}/roles"),
    (DELETE, "/people/{id}/roles/{role_id}"),
    (GET, "/roles"),
    (POST, "/roles"),
    (GET, "/roles/{id}"),
    (PATCH, "/roles/{id}"),
    (PUT, "/roles/{id}"),
    (DELETE, "/roles/{id}"),
    (GET, "/roles/{id}/permissions"),
    (POST, "/roles/{id}/permissions"),
    (DELETE, "/roles/{id}/permissions/{permission_id}"),
    (GET, "/permissions"),
    (POST, "/permissions"),
    (GET, "/permissions/{id}"),
    (PATCH, "/permissions/{id}"),
    (PUT, "/permissions/{id}"),
    (DELETE, "/permissions/{id}"),
    (GET, "/roles/{id}/parents"),
    (POST, "/roles/{id}/parents"),
    (DELETE, "/roles/{id}/parents/{parent_id}"),
    (GET, "/groups"),
    (POST, "/groups"),
    (GET, "/groups/{id}"),
    (PATCH, "/groups/{id}"),
    (DELETE, "/groups/{id}"),
    (GET, "/groups/{id}/members"),
    (POST, "/groups/{id}/members"),
    (DELETE, "/groups/{id}/members/{person_id}"),
    (GET, "/groups/{id}/roles"),
    (POST, "/groups/{id}/roles"),
    (DELETE, "/groups/{id}/roles/{role_id}"),
    (GET, "/people/{id}/groups"),
    (GET, "/people/{id}/overrides"),
    (POST, "/people/{id}/overrides"),
    (DELETE, "/people/{id}/overrides/{override_id}"),
    (GET, "/acl-entries"),
    (POST, "/acl-entries"),
    (GET, "/acl-entries/{id}"),
    (DELETE, "/acl-entries/{id}"),
    (POST, "/rbac/check"),
    (GET, "/rbac/users/{id}/permissions"),
    (GET, "/v1/rbac/effective/{id}"),
    (POST, "/v1/rbac/explain"),
    (GET, "/v1/rbac/who-can"),
    (POST, "/v1/rbac/what-if"),
    (GET, "/admin/rbac/snapshot/{id}"),
    (POST, "/admin/bootstrap/seed"),
    (POST, "/internal/cache/invalidate"),
    (GET, "/v1/orgs"),
    (POST, "/v1/orgs"),
    (GET, "/v1/orgs/{id}"),
    (PATCH, "/v1/orgs/{id}"),
    (DELETE, "/v1/orgs/{id}"),
    (POST, "/v1/orgs/{id}/activate"),
    (GET, "/v1/orgs/{id}/settings"),
    (PUT, "/v1/orgs/{id}/settings"),
    (GET, "/v1/orgs/{id}/privacy"),
    (PUT, "/v1/orgs/{id}/privacy"),
    (GET, "/v1/orgs/{id}/members"),
    (POST, "/v1/orgs/{id}/members"),
    (PATCH, "/v1/orgs/{id}/members/{person_id}"),
    (DELETE, "/v1/orgs/{id}/members/{person_id}"),
    (POST, "/v1/orgs/{id}/admins"),
    (GET, "/v1/orgs/{id}/users"),
    (POST, "/v1/orgs/{id}/users"),
    (GET, "/v1/users/{id}"),
    (PATCH, "/v1/users/{id}"),
    (DELETE, "/v1/users/{id}"),
    (GET, "/v1/users/{id}/contact"),
    (PATCH, "/v1/users/{id}/contact"),
    (POST, "/v1/bootstrap/organization"),
    (GET, "/admin/orgs/{id}/overview"),
    (GET, "/scheduler/tasks"),
    (POST, "/scheduler/tasks"),
    (GET, "/scheduler/status"),
    (GET, "/scheduler/tasks/{id}"),
    (PATCH, "/scheduler/tasks/{id}"),
    (DELETE, "/scheduler/tasks/{id}"),
    (POST, "/scheduler/tasks/refresh"),
    (POST, "/scheduler/tasks/{id}/enqueue"),
    (GET, "/audit-events"),
    (GET, "/audit-events/{id}"),
    (GET, "/audit-events/export"),
    (GET, "/notification-channels"),
    (POST, "/notification-channels"),
    (PUT, "/notification-channels/{id}"),
    (DELETE, "/notification-channels/{id}"),
    (POST, "/notification-channels/{id}/test"),
    (GET, "/notifications"),
    (POST, "/notifications"),
    (GET, "/notifications/unread-count"),
    (POST, "/notifications/{id}/read"),
    (POST, "/notifications/read-all"),
    (GET, "/ws/notifications"),
    (GET, "/health"),
    (GET, "/health/live"),
    (GET, "/health/ready"),
    (GET, "/health/db-pool"),
    (GET, "/metrics"),
    (GET, "/version"),
    (GET, "/openapi.json"),
    (GET, "/docs"),
    (GET, "/redoc"),
];

/// Other spellings of the same; each names its successor.
const ALIASES: &[(Method, &str, &str)] = &[
    (GET, "/instances/webhooks", "/webhooks"),
    (POST, "/instances/webhooks", "/webhooks"),
    (DELETE, "/instances/webhooks/{id}", "/webhooks/{id}"),
    (GET, "/instances/webhooks/{id}/deliveries", "/webhooks/{id}/deliveries"),
    (GET, "/auth/me/sessions", "/auth/sessions"),
    (DELETE, "/auth/me/sessions", "/auth/sessions"),
    (DELETE, "/auth/me/sessions/{id}", "/auth/sessions/{id}"),
    (POST, "/auth/me/password", "/auth/password-change"),
    (POST, "/v1/auth/login", "/auth/login"),
    (POST, "/v1/auth/refresh", "/auth/refresh"),
    (POST, "/v1/auth/logout", "/auth/logout"),
    (GET, "/v1/auth/me", "/auth/me"),
    (POST, "/v1/auth/password/forgot", "/auth/password-reset-request"),
    (POST, "/v1/auth/password/reset", "/auth/password-reset"),
    (POST, "/auth/forgot-password", "/auth/password-reset-request"),
    (POST, "/auth/reset-password", "/auth/password-reset"),
    (GET, "/rbac/roles", "/roles"),
    (POST, "/rbac/roles", "/roles"),
    (GET, "/rbac/roles/{id}", "/roles/{id}"),
    (PATCH, "/rbac/roles/{id}", "/roles/{id}"),
    (DELETE, "/rbac/roles/{id}", "/roles/{id}"),
    (GET, "/rbac/permissions", "/permissions"),
    (POST, "/rbac/permissions", "/permissions"),
    (GET, "/rbac/permissions/{id}", "/permissions/{id}"),
    (PATCH, "/rbac/permissions/{id}", "/permissions/{id}"),
    (DELETE, "/rbac/permissions/{id}", "/permissions/{id}"),
    (GET, "/v1/rbac/roles", "/roles"),
    (POST, "/v1/rbac/roles", "/roles"),
    (PATCH, "/v1/rbac/roles/{id}", "/roles/{id}"),
    (DELETE, "/v1/rbac/roles/{id}", "/roles/{id}"),
    (GET, "/v1/rbac/permissions", "/permissions"),
    (POST, "/v1/rbac/permissions", "/permissions"),
    (POST, "/v1/rbac/roles/{id}/permissions", "/roles/{id}/permissions"),
    (DELETE, "/v1/rbac/roles/{id}/permissions/{permission_id}", "/roles/{id}/permissions/{permission_id}"),
    (POST, "/v1/rbac/users/{id}/roles", "/people/{id}/roles"),
    (DELETE, "/v1/rbac/users/{id}/roles/{role_id}", "/people/{id}/roles/{role_id}"),
    (GET, "/orgs", "/v1/orgs"),
    (POST, "/orgs", "/v1/orgs"),
    (GET, "/orgs/{id}", "/v1/orgs/{id}"),
    (PATCH, "/orgs/{id}", "/v1/orgs/{id}"),
    (GET, "/orgs/{id}/members", "/v1/orgs/{id}/members"),
    (POST, "/orgs/{id}/members", "/v1/orgs/{id}/members"),
    (DELETE, "/orgs/{id}/members/{person_id}", "/v1/orgs/{id}/members/{person_id}"),
    (GET, "/settings/organization/{id}", "/v1/orgs/{id}/settings"),
    (GET, "/settings/organization/{id}/privacy", "/v1/orgs/{id}/privacy"),
    (GET, "/audit/export", "/audit-events/export"),
    (GET, "/v1/audit/logs", "/audit-events"),
    (GET, "/notifications/me", "/notifications"),
    (GET, "/notifications/me/unread-count", "/notifications/unread-count"),
    (POST, "/notifications/me/{id}/read", "/notifications/{id}/read"),
    (POST, "/notifications/me/read-all", "/notifications/read-all"),
    (GET, "/healthz", "/health"),
    (GET, "/readyz", "/health/ready"),
    (GET, "/metrics/prometheus", "/metrics"),
    (GET, "/swagger-redirect", "/docs"),
];

/// Routes of their own that older systems have and new callers should not use.
const DEPRECATED: &[(Method, &str)] = &[
    (PUT, "/auth/me"),
    (POST, "/api-keys/generate"),
    (GET, "/rbac/role-permissions"),
    (POST, "/rbac/role-permissions"),
    (GET, "/rbac/role-permissions/{link_id}"),
    (PATCH, "/rbac/role-permissions/{link_id}"),
    (DELETE, "/rbac/role-permissions/{link_id}"),
    (GET, "/rbac/person-roles"),
    (POST, "/rbac/person-roles"),
    (GET, "/rbac/person-roles/{link_id}"),
    (PATCH, "/rbac/person-roles/{link_id}"),
    (DELETE, "/rbac/person-roles/{link_id}"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_owed_path_answers_under_every_prefix() {
    // Without the secret there is no route for it.
    let app = TestApp::builder(Engine::Sqlite).env("BOOTSTRAP_SECRET", &"x".repeat(32));
    let app = app.without_administrator().start().await;
    let anonymous = app.anonymous();
    let documented = anonymous.get("/openapi.json").await.expect(200);
    for prefix in ["", "/api", "/api/v1"] {
        for (method, path) in OWED {
            let answer = ask(&anonymous, method, &format!("{prefix}{}", filled(path))).await;
            assert!(answer.0, "{method} {prefix}{path} does not answer: {}", answer.1);
            assert_eq!(answer.2, (None, None), "{method} {prefix}{path} is deprecated");
        }
        for (method, path, successor) in ALIASES {
            let (is_there, text, marks) = ask(&anonymous, method, &format!("{prefix}{}", filled(path))).await;
            assert!(is_there, "{method} {prefix}{path} does not answer: {text}");
            let (deprecation, link) = marks;
            // `/api/v1` is a prefix of its own: with it, the same text may be the proper name of the successor.
            if ["/api", "/api/v1"]
                .iter()
                .any(|other| format!("{other}{successor}") == format!("{prefix}{path}"))
            {
                assert_eq!((deprecation, link), (None, None), "{method} {prefix}{path} is deprecated");
                continue;
            }
            assert!(deprecation.is_some(), "{method} {prefix}{path} is not marked as deprecated");
            let link = link.unwrap_or_default();
            let expected = format!("{}>; rel=\"successor-version\"", filled(successor));
            assert!(link.ends_with(&expected), "{method} {prefix}{path} names {link}");
        }
    }
    for (method, path) in DEPRECATED {
        let (is_there, text, (deprecation, _)) = ask(&anonymous, method, &filled(path)).await;
        assert!(is_there && deprecation.is_some(), "{method} {path}: {text}");
        let operation = &documented["paths"][path][method.as_str().to_lowercase()];
        assert_eq!(operation["deprecated"], Value::Bool(true), "{method} {path}");
    }
    if documented["paths"].as_object().unwrap().keys().any(|path| path.starts_with("/echo")) {
        for (method, path) in [(POST, "/echo/"), (GET, "/redis/"), (PUT, "/redis/"), (POST, "/rabbit/")] {
            let (is_there, text, _) = ask(&anonymous, &method, path).await;
            assert!(is_there, "{method} {path} does not answer: {text}");
        }
    }
    for (method, path) in OWED {
        let operation = &documented["paths"][path][method.as_str().to_lowercase()];
        assert!(operation.is_object(), "{method} {path} is not documented");
    }
    for (method, path, _) in ALIASES {
        let operation = &documented["paths"][path][method.as_str().to_lowercase()];
        assert_eq!(
            operation["deprecated"],
            Value::Bool(true),
            "{method} {path} is not documented as deprecated"
        );
    }
}

/// Whether there is a route, what it said, and what marks a path as deprecated.
async fn ask(
    client: &Client,
    method: &Method,
    path: &str,
) -> (bool, String, (Option<String>, Option<String>)) {
    let answer = client.send(method.clone(), path, None).await;
    let header = |name| answer.header(name).map(str::to_owned);
    (![404, 405].contains(&answer.status), answer.to_string(), (header("deprecation"), header("link")))
}
