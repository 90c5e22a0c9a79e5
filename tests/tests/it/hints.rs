//! Organisations that requests name beside their credential: they only assert, whoever asks.

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use stylobate_tests::{Answer, Client, Engine, PASSWORD, TestApp, text};

use crate::{cookies::Browser, decisions::SECRET};

stylobate_tests::both_engines!(
    another_organisation_looks_like_a_missing_one,
    unclear_names_are_refused,
    names_mean_nothing_where_nobody_asks_who_it_is,
    names_bind_every_credential_and_every_method,
    what_a_route_takes_itself_is_no_name
);

const PLACES: [&str; 6] = ["X-Org-Id", "X-Tenant-ID", "organization_id", "org_id", "tenant_id", "Host"];
const MISSING: &str = "0191e000-0000-7000-8000-0000000000ff";

/// An installation with the organisation of everybody and another one, whose code is `globex`.
struct World {
    app: TestApp,
    root: Client,
    own: String,
    foreign: String,
}

impl World {
    async fn new(engine: Engine) -> Self {
        let app = TestApp::builder(engine)
            .env("TENANCY_MODE", "multi")
            .env("TENANCY_BASE_DOMAIN", "example.test")
            .env("INTERNAL_API_SECRET", SECRET)
            .start()
            .await;
        let root = app.administrator().await;
        let own = text(&root.get("/auth/whoami").await.expect(200), "tenant").to_owned();
        let made = root.post("/v1/orgs", json!({ "name": "Globex", "code": "globex" })).await.expect(201);
        let foreign = text(&made, "id").to_owned();
        Self { app, root, own, foreign }
    }
}

/// A request that names an organisation somewhere.
fn naming(client: &Client, method: Method, path: &str, place: &str, named: &str) -> RequestBuilder {
    match place {
        "Host" => client.request(method, path).header("host", format!("{named}.example.test")),
        "X-Org-Id" | "X-Tenant-ID" => client.request(method, path).header(place, named),
        parameter => {
            let joint = if path.contains('?') { '&' } else { '?' };
            client.request(method, &format!("{path}{joint}{parameter}={named}"))
        }
    }
}

async fn ask(client: &Client, path: &str, place: &str, named: &str) -> Answer {
    client.send_raw(naming(client, Method::GET, path, place, named)).await
}

/// What tells one refusal from another.
fn seen(answer: &Answer) -> (Vec<(String, String)>, Value) {
    let (_, headers, _) = answer.without_volatile();
    let mut problem = answer.problem(404, "not_found");
    problem["request_id"] = Value::Null;
    (headers, problem)
}

// Platform administrators as well: they name organisations in paths.
async fn another_organisation_looks_like_a_missing_one(engine: Engine) {
    let world = World::new(engine).await;
    let (root, own, foreign) = (&world.root, world.own.as_str(), world.foreign.as_str());
    let missing = seen(&root.get(&format!("/people/{MISSING}")).await);
    let paths = ["/people?limit=1", "/roles", "/auth/me", "/api/v1/permissions?limit=1&order_dir=desc"];
    for place in PLACES {
        for path in paths {
            for named in ["default", "DEFAULT"] {
                ask(root, path, place, named).await.expect(200);
            }
            for named in ["globex", "Globex", "initech"] {
                assert_eq!(seen(&ask(root, path, place, named).await), missing, "{path} {place} {named}");
            }
            if place == "Host" {
                continue;
            }
            ask(root, path, place, own).await.expect(200);
            ask(root, path, place, &own.to_uppercase()).await.expect(200);
            for named in [foreign, MISSING] {
                assert_eq!(seen(&ask(root, path, place, named).await), missing, "{path} {place} {named}");
            }
        }
    }
    // Hosts that are not below the domain name nobody.
    for host in ["localhost", "127.0.0.1"] {
        let request = root.request(Method::GET, "/auth/me").header("host", host);
        root.send_raw(request).await.expect(200);
    }
    let request = root.request(Method::GET, "/auth/me").header("host", "globex.example.org");
    root.send_raw(request).await.problem(421, "misdirected_request");
    // What stays open, before it is opened.
    for path in ["/notifications/stream", "/ws/notifications"] {
        assert_eq!(seen(&ask(root, path, "tenant_id", foreign).await), missing, "{path}");
    }
    ask(root, "/ws/notifications", "tenant_id", own).await.problem(426, "upgrade_required");
    // A code that is changed counts at once.
    root.patch(&format!("/v1/orgs/{own}"), json!({ "code": "acme" })).await.expect(200);
    for place in PLACES {
        ask(root, "/auth/me", place, "acme").await.expect(200);
        assert_eq!(seen(&ask(root, "/auth/me", place, "default").await), missing, "{place}");
    }
    // Who named what is on record.
    let denied = root.all("/audit-events?action=tenant.deny").await;
    let is_on_record = |place: &str, named: &str| {
        denied.iter().any(|row| row["metadata"]["hint"] == place && row["entity_id"] == named)
    };
    assert!(is_on_record("X-Org-Id", foreign) && is_on_record("Host", "initech"), "{denied:?}");
    assert!(denied.iter().all(|row| row["outcome"] == "denied"), "{denied:?}");
}

async fn unclear_names_are_refused(engine: Engine) {
    let world = World::new(engine).await;
    let (root, own, foreign) = (&world.root, world.own.as_str(), world.foreign.as_str());
    let refused = async |request: RequestBuilder, field: &str| {
        root.send_raw(request).await.problem_of(400, "tenant_hint_invalid", field);
    };
    for place in ["X-Org-Id", "X-Tenant-ID", "organization_id", "org_id", "tenant_id"] {
        for named in ["", "-acme", "a.b", "%20", "'--", "*"] {
            refused(naming(root, Method::GET, "/people", place, named), place).await;
        }
    }
    // No domain of organisations: a host like any other.
    let deeper = naming(root, Method::GET, "/people", "Host", "a.b");
    root.send_raw(deeper).await.problem(421, "misdirected_request");
    // Twice, also the same.
    refused(root.request(Method::GET, &format!("/people?org_id={own}&org%5Fid={own}")), "org_id").await;
    let twice = root.request(Method::GET, "/people").header("x-org-id", own).header("x-org-id", own);
    refused(twice, "X-Org-Id").await;
    // One against the other.
    let both = |one: &str, other: &str| {
        root.request(Method::GET, "/people").header("x-org-id", one).header("x-tenant-id", other)
    };
    for (one, other) in [
        (own, foreign),
        (foreign, own),
        ("default", "globex"),
        ("globex", "initech"),
        (own, "globex"),
        ("default", MISSING),
        (foreign, MISSING),
    ] {
        refused(both(one, other), "X-Tenant-ID").await;
    }
    refused(naming(root, Method::GET, &format!("/people?tenant_id={own}"), "Host", "globex"), "Host").await;
    // All of them may agree.
    let path = format!("/people?organization_id={own}&org_id=default&tenant_id={own}&limit=1");
    let all = naming(root, Method::GET, &path, "Host", "default");
    root.send_raw(all.header("x-org-id", "Default").header("x-tenant-id", own)).await.expect(200);
    // Whether an id and a code are of the same organisation is nobody's business.
    let answers = [both(foreign, "globex"), both(MISSING, "globex"), both(foreign, "initech")];
    for request in answers {
        root.send_raw(request).await.problem(404, "not_found");
    }
}

async fn names_mean_nothing_where_nobody_asks_who_it_is(engine: Engine) {
    let world = World::new(engine).await;
    let ada = world.app.person(&world.root, "ada").await;
    let (root, foreign) = (&world.root, world.foreign.as_str());
    let anonymous = root.anonymous();
    for client in [&anonymous, &ada.client] {
        for place in PLACES {
            for path in ["/health", "/version", "/.well-known/jwks.json"] {
                ask(client, path, place, "globex").await.expect(200);
            }
            let sign_in = naming(client, Method::POST, "/auth/login", place, "globex");
            let body = json!({ "username": "ada", "password": PASSWORD });
            client.send_raw(sign_in.json(&body)).await.expect(200);
        }
    }
    // Who is nobody is told that, whatever they name.
    for named in [foreign, "default", "a b"] {
        ask(&anonymous, "/people", "X-Org-Id", named).await.problem(401, "unauthenticated");
        let stale = anonymous.presenting("made up");
        ask(&stale, "/people", "X-Org-Id", named).await.problem(401, "unauthenticated");
    }
    // And so is who may not.
    ask(&ada.client, "/people", "X-Org-Id", foreign).await.problem(403, "permission_denied");
    // A public route that looks who asks is held to it.
    let leave = naming(&ada.client, Method::POST, "/auth/logout", "X-Org-Id", foreign);
    ada.client.send_raw(leave).await.problem(404, "not_found");
    ada.client.get("/auth/me").await.expect(200);
    let leave = naming(&ada.client, Method::POST, "/auth/logout", "X-Org-Id", "default");
    ada.client.send_raw(leave).await.expect(204);
}

async fn names_bind_every_credential_and_every_method(engine: Engine) {
    let world = World::new(engine).await;
    let (root, own, foreign) = (&world.root, world.own.as_str(), world.foreign.as_str());
    // A browser that is signed in by cookie.
    let browser = Browser::signed_in(&root.anonymous(), "admin").await;
    for (named, status) in [(own, 200), ("default", 200), (foreign, 404), ("globex", 404)] {
        let request = browser.request(Method::GET, "/people?limit=1").header("x-org-id", named);
        assert_eq!(root.send_raw(request).await.status, status, "{named}");
    }
    // Programs of the operator act for no organisation.
    let path = format!("/admin/rbac/snapshot/{own}");
    for (named, status) in [(Some(own), 404), (Some(foreign), 404), (None, 200)] {
        let request = root.anonymous().request(Method::GET, &path).header("x-internal-secret", SECRET);
        let request = named.into_iter().fold(request, |request, named| request.header("x-org-id", named));
        assert_eq!(root.send_raw(request).await.status, status, "{named:?}");
    }
    // Nothing is changed for another organisation.
    let before = root.all("/roles").await.len();
    let body = json!({ "name": "clerk" });
    for place in PLACES {
        let request = naming(root, Method::POST, "/roles", place, "globex").json(&body);
        root.send_raw(request).await.problem(404, "not_found");
        for (method, path) in [(Method::PATCH, "/auth/me"), (Method::DELETE, "/auth/sessions")] {
            let request = naming(root, method, path, place, "globex").json(&json!({}));
            root.send_raw(request).await.problem(404, "not_found");
        }
    }
    assert_eq!(root.all("/roles").await.len(), before);
    let request = naming(root, Method::POST, "/roles", "org_id", own).json(&body);
    root.send_raw(request).await.expect(201);
}

async fn what_a_route_takes_itself_is_no_name(engine: Engine) {
    let world = World::new(engine).await;
    let (root, own, foreign) = (&world.root, world.own.as_str(), world.foreign.as_str());
    let path = "/v1/events/dead-letters";
    for named in [own, foreign] {
        ask(root, path, "organization_id", named).await.expect(200);
    }
    ask(root, path, "org_id", foreign).await.problem(404, "not_found");
    ask(root, &format!("{path}?organization_id={foreign}"), "org_id", own).await.expect(200);
    // In paths the platform names whom it likes.
    root.get(&format!("/v1/orgs/{foreign}")).await.expect(200);
    ask(root, &format!("/v1/orgs/{foreign}"), "X-Org-Id", own).await.expect(200);
    ask(root, &format!("/v1/orgs/{foreign}"), "X-Org-Id", foreign).await.problem(404, "not_found");
    // Lists stay strict about everything else.
    ask(root, "/people?organisation=x", "org_id", own).await.problem_of(422, "validation", "organisation");
}
