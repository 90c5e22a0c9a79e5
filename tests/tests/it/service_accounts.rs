//! Service accounts: made, given rights, used, and ended.

use reqwest::{Method, Request, RequestBuilder};
use serde_json::{Value, json};
use stylobate_auth::{RequestSigner, SigningAlgorithm, SigningKey};
use stylobate_core::{Clock as _, SystemClock};
use stylobate_tests::{Answer, Client, Engine, NOBODY, TestApp, eventually, text};

use crate::decisions::{give, id_of};

stylobate_tests::both_engines!(
    a_service_account_goes_through_its_life,
    nobody_makes_a_service_that_may_more_than_they,
    a_service_of_the_platform_does_what_the_scopes_of_its_key_say,
    services_of_others_are_missing,
    a_service_signs_with_the_key_that_it_registered,
    what_is_no_public_key_is_not_registered,
    a_service_gets_tokens_for_what_the_registry_has
);

const BILLING: &str = "https://billing.example.test";
/// The audience of the installations in here.
const HERE: &str = "https://api.example.test";

fn path_of(account: &Value) -> String {
    format!("/service-accounts/{}", text(account, "id"))
}

async fn account(root: &Client, name: &str) -> Value {
    root.post("/service-accounts", json!({ "name": name })).await.expect(201)
}

/// A program with a key of `account`.
async fn program(root: &Client, account: &Value, scopes: Value) -> Client {
    let body = json!({ "service_account_id": account["id"], "scopes": scopes });
    let made = root.post("/api-keys", body).await.expect(201);
    root.anonymous().presenting(text(&made, "key"))
}

/// A role with these permissions, given to `account`.
async fn empower(root: &Client, account: &Value, name: &str, keys: &[&str]) -> String {
    let role = root.post("/roles", json!({ "name": name })).await.expect(201);
    let role = text(&role, "id").to_owned();
    for key in keys {
        let permission = id_of(root, "/permissions", "key", key).await;
        let body = json!({ "permission_id": permission });
        root.post(&format!("/roles/{role}/permissions"), body).await.expect(201);
    }
    let given =
        root.post(&format!("{}/roles", path_of(account)), json!({ "role_id": role })).await.expect(201);
    assert_eq!((&given["service_account_id"], &given["role_id"]), (&account["id"], &json!(role)));
    role
}

fn granting(audience: &str, operations: &[&str]) -> Value {
    json!({ "grants": [{ "audience": audience, "operations": operations }] })
}

// A8
async fn a_service_account_goes_through_its_life(engine: Engine) {
    let app = TestApp::start(engine).await;
    let root = app.administrator().await;
    let made = root
        .post("/service-accounts", json!({ "name": "importer", "description": "of orders" }))
        .await
        .expect(201);
    let path = path_of(&made);
    assert_eq!((&made["name"], &made["is_active"]), (&json!("importer"), &json!(true)));
    assert_eq!(root.get(&path).await.expect(200), made);
    let body = json!({ "name": "IMPORTER" });
    root.post("/service-accounts", body).await.problem_of(409, "service_account_name_taken", "name");
    for (field, value) in [
        ("name", json!("")),
        ("name", json!("a".repeat(101))),
        ("name", json!("a\u{200b}b")),
        ("description", json!("a".repeat(501))),
        ("id", json!(NOBODY)),
        ("organization_id", json!(NOBODY)),
        ("version", json!(7)),
    ] {
        let mut body = json!({ "name": "another" });
        body[field] = value;
        root.post("/service-accounts", body).await.problem_of(422, "validation", field);
    }

    // It may what its roles allow, and nothing that is a person's.
    let service = program(&root, &made, Value::Null).await;
    let who = service.get("/auth/whoami").await.expect(200);
    assert_eq!(who["subject"]["owner"], json!({ "kind": "service", "id": made["id"] }));
    service.get("/people").await.problem(403, "permission_denied");
    let role = empower(&root, &made, "reader", &["user.read"]).await;
    service.get("/people").await.expect(200);
    service.get("/auth/me").await.problem(403, "person_required");
    let roles = root.all(&format!("{path}/roles")).await;
    assert_eq!((roles.len(), &roles[0]["id"]), (1, &json!(role)));
    let again = root.post(&format!("{path}/roles"), json!({ "role_id": role })).await;
    again.problem(409, "already_assigned");
    root.delete(&format!("{path}/roles/{role}")).await.expect(204);
    root.delete(&format!("{path}/roles/{role}")).await.problem(404, "not_found");
    service.get("/people").await.problem(403, "permission_denied");
    root.post(&format!("{path}/roles"), json!({ "role_id": role })).await.expect(201);

    // Off, its keys rest.
    let off = root.patch(&path, json!({ "is_active": false })).await.expect(200);
    assert_eq!(off["is_active"], json!(false));
    service.get("/auth/whoami").await.problem(401, "unauthenticated");
    assert_eq!(root.all("/service-accounts?is_active=true").await, Vec::<Value>::new());
    assert_eq!(root.all("/service-accounts?is_active=false").await, [off]);
    let patch = json!({ "is_active": true, "name": "orders", "description": null });
    let on = root.patch(&path, patch).await.expect(200);
    assert_eq!((&on["name"], &on["description"]), (&json!("orders"), &Value::Null));
    service.get("/people").await.expect(200);
    root.patch(&path, json!({ "status": "active" })).await.problem_of(422, "validation", "status");

    // Gone with keys and roles.
    root.delete(&path).await.expect(204);
    service.get("/auth/whoami").await.problem(401, "unauthenticated");
    root.delete(&path).await.problem(404, "not_found");
    root.get(&path).await.problem(404, "not_found");
    root.get(&format!("{path}/roles")).await.problem(404, "not_found");
    root.post(&format!("{path}/roles"), json!({ "role_id": role })).await.problem(404, "not_found");
    assert_eq!(root.all("/api-keys").await.len(), 0);
    let links = root.all("/rbac/person-roles").await;
    assert!(links.iter().all(|link| link["person_id"] != made["id"]), "{links:?}");
    let trail = json!(root.all("/audit-events").await).to_string();
    for action in
        ["service_account.create", "service_account.update", "service_account.delete", "role.revoke"]
    {
        assert!(trail.contains(action), "{action}");
    }
    let events = json!(root.all("/v1/events").await).to_string();
    for event in ["service_account.created", "service_account.updated", "service_account.deleted"] {
        assert!(events.contains(event), "{event}");
    }
}

// C16
async fn nobody_makes_a_service_that_may_more_than_they(engine: Engine) {
    let app = TestApp::builder(engine).env("API_KEY_RATE_MAX", "1000").start().await;
    let root = app.administrator().await;
    let manager = app.person(&root, "manager").await;
    let rights =
        ["service_account.read", "service_account.manage", "role.assign", "role.read", "api_key.create"];
    give(&root, &manager, "manager of services", &rights).await;
    let manager = manager.client;
    let (own, strong) = (account(&manager, "own").await, account(&root, "strong").await);
    let role = empower(&root, &strong, "strong", &["user.delete"]).await;

    // What gives more, or takes hold of it.
    let body = json!({ "role_id": role });
    manager.post(&format!("{}/roles", path_of(&own)), body).await.problem(403, "beyond_own_permissions");
    let body = json!({ "service_account_id": strong["id"] });
    manager.post("/api-keys", body).await.problem(403, "beyond_own_permissions");
    let path = path_of(&strong);
    for body in [json!({ "name": "mine" }), json!({ "description": null }), json!({ "is_active": true })] {
        manager.patch(&path, body).await.problem(403, "beyond_own_permissions");
    }
    manager.delete(&path).await.problem(403, "beyond_own_permissions");
    let grants = granting(BILLING, &["*"]);
    manager.put(&format!("{path}/grants"), grants.clone()).await.problem(403, "beyond_own_permissions");
    assert_eq!(root.get(&format!("{path}/grants")).await.expect(200), json!({ "grants": [] }));
    assert_eq!(root.get(&path).await.expect(200), strong);

    // What ends something is another thing, and their own are theirs to change.
    manager.patch(&path, json!({ "is_active": false })).await.expect(200);
    manager.put(&format!("{}/grants", path_of(&own)), grants).await.expect(200);
    manager.patch(&path_of(&own), json!({ "name": "other" })).await.expect(200);
    manager.delete(&path_of(&own)).await.expect(204);

    // Whom the platform has given a role is the platform's.
    let platform = id_of(&root, "/roles", "name", "super_admin").await;
    root.post(&format!("{path}/roles"), json!({ "role_id": platform })).await.expect(201);
    manager.patch(&path, json!({ "is_active": false })).await.problem(403, "platform_owned");
    manager.delete(&path).await.problem(403, "platform_owned");
    root.delete(&path).await.expect(204);
}

// A8, A12
async fn a_service_of_the_platform_does_what_the_scopes_of_its_key_say(engine: Engine) {
    let app =
        TestApp::builder(engine).env("TENANCY_MODE", "multi").env("API_KEY_RATE_MAX", "1000").start().await;
    let root = app.administrator().await;
    let own = text(&root.get("/auth/whoami").await.expect(200), "tenant").to_owned();
    let other = root.post("/v1/orgs", json!({ "name": "Other" })).await.expect(201);
    let other = text(&other, "id").to_owned();
    let operator = account(&root, "operator").await;
    let made_without = program(&root, &operator, json!(["platform.organizations.manage"])).await;
    made_without.get(&format!("/admin/orgs/{other}/overview")).await.problem(403, "permission_denied");
    let role = id_of(&root, "/roles", "name", "super_admin").await;
    let roles = format!("{}/roles", path_of(&operator));
    root.post(&roles, json!({ "role_id": role })).await.expect(201);

    // What each scope opens, in whatever organisation.
    let overviews = [&own, &other].map(|id| (Method::GET, format!("/admin/orgs/{id}/overview"), 200));
    let snapshots = [&own, &other].map(|id| (Method::GET, format!("/admin/rbac/snapshot/{id}"), 200));
    let (again, of_one) = ("/internal/cache/invalidate", format!("?organization_id={other}"));
    let invalidations = [again.to_owned(), format!("{again}{of_one}")].map(|path| (Method::POST, path, 200));
    let seed = (Method::POST, "/admin/bootstrap/seed".to_owned(), 202);
    let mut opened: Vec<(&str, Method, String, u16)> = Vec::new();
    let mut opens = |scope, routes: Vec<(Method, String, u16)>| {
        opened.extend(routes.into_iter().map(|(method, path, status)| (scope, method, path, status)));
    };
    opens("platform.organizations.manage", overviews.to_vec());
    opens("platform.rbac.manage", [snapshots, invalidations].concat());
    opens("platform.bootstrap", vec![seed]);
    for scope in ["platform.organizations.manage", "platform.rbac.manage", "platform.bootstrap"] {
        let body = json!({ "service_account_id": operator["id"], "scopes": [scope] });
        let key = root.post("/api-keys", body).await.expect(201);
        let service = root.anonymous().presenting(text(&key, "key"));
        for (needed, method, path, status) in &opened {
            let answer = service.send(method.clone(), path, None).await;
            if *needed == scope {
                answer.expect(*status);
            } else {
                answer.problem(403, "permission_denied");
            }
        }
        service.get("/people").await.problem(403, "permission_denied");
        service.get("/v1/orgs").await.problem(403, "permission_denied");
        service.post("/v1/orgs", json!({ "name": "Third" })).await.problem(403, "permission_denied");

        root.delete(&format!("/api-keys/{}", text(&key, "id"))).await.expect(204);
        for (_, method, path, _) in &opened {
            service.send(method.clone(), path, None).await.problem(401, "unauthenticated");
        }
    }
    // The role is what its keys narrow.
    made_without.get(&format!("/admin/orgs/{other}/overview")).await.expect(200);
    root.delete(&format!("{roles}/{role}")).await.expect(204);
    made_without.get(&format!("/admin/orgs/{other}/overview")).await.problem(403, "permission_denied");
}

// A12
async fn services_of_others_are_missing(engine: Engine) {
    let app = TestApp::start(engine).await;
    let root = app.administrator().await;
    let role = root.post("/roles", json!({ "name": "reader" })).await.expect(201);
    let now = app.place.long_ago();
    let (foreign, tenant) = ("0191e000-0000-7000-8000-0000000000c1", "0191e000-0000-7000-8000-0000000000c2");
    let id = |text: &str| app.place.id(text.parse().unwrap());
    app.place
        .sql(&format!(
            "INSERT INTO service_accounts (id, tenant_id, name, name_key, status, version, created_at, updated_at)
                 VALUES ({}, {}, 'foreign', 'foreign', 'active', 1, {now}, {now});",
            id(foreign),
            id(tenant),
        ))
        .await;
    let role_body = json!({ "role_id": role["id"] });
    // As if there were none: one of another organisation, and one that nobody ever made.
    for id in [foreign, NOBODY] {
        let path = format!("/service-accounts/{id}");
        for (method, path, body) in [
            (Method::GET, path.clone(), None),
            (Method::PATCH, path.clone(), Some(json!({ "name": "mine" }))),
            (Method::DELETE, path.clone(), None),
            (Method::GET, format!("{path}/grants"), None),
            (Method::PUT, format!("{path}/grants"), Some(granting(BILLING, &["*"]))),
            (Method::GET, format!("{path}/roles"), None),
            (Method::POST, format!("{path}/roles"), Some(role_body.clone())),
            (Method::DELETE, format!("{path}/roles/{}", text(&role, "id")), None),
        ] {
            root.send(method, &path, body.as_ref()).await.problem(404, "not_found");
        }
        let key = json!({ "service_account_id": id });
        root.post("/api-keys", key).await.problem_of(422, "validation", "service_account_id");
        // Nor by the routes of people.
        root.post(&format!("/people/{id}/roles"), role_body.clone()).await.problem(404, "not_found");
    }
    assert_eq!(root.all("/service-accounts").await.len(), 0);
}

// V13.2.1, V9.2.3
async fn a_service_gets_tokens_for_what_the_registry_has(engine: Engine) {
    let app = TestApp::builder(engine).env("JWT_AUDIENCE", HERE).start().await;
    let root = app.administrator().await;
    let made = account(&root, "importer").await;
    let path = path_of(&made);
    empower(&root, &made, "reader", &["user.read", "role.read"]).await;
    let here = root.get("/auth/whoami").await.expect(200);
    let service = program(&root, &made, Value::Null).await;
    let ask = async |client: &Client, body: Value| client.post("/service-tokens", body).await;
    let refused = ask(&service, json!({ "audience": BILLING })).await;
    refused.problem(403, "audience_refused");

    let grants = json!({ "grants": [
        { "audience": BILLING, "operations": ["invoice.read", "order.*"] },
        { "audience": HERE, "operations": ["user.read", "user.delete"] },
    ] });
    let sorted = root.put(&format!("{path}/grants"), grants).await.expect(200);
    assert_eq!(root.get(&format!("{path}/grants")).await.expect(200), sorted);
    for (grants, field) in [
        (granting("", &["a"]), "audience"),
        (granting("two words", &["a"]), "audience"),
        (granting("a", &[]), "operations"),
        (granting("a", &["two words"]), "operations"),
    ] {
        root.put(&format!("{path}/grants"), grants).await.problem_of(422, "validation", field);
    }

    let token = ask(&service, json!({ "audience": HERE })).await.expect(200);
    assert_eq!((&token["token_type"], &token["expires_in"]), (&json!("Bearer"), &json!(300)));
    let caller = root.anonymous().presenting(text(&token, "access_token"));
    let who = caller.get("/auth/whoami").await.expect(200);
    assert_eq!(who["subject"], json!({ "kind": "service", "id": made["id"] }));
    assert_eq!((&who["tenant"], &who["scopes"]), (&here["tenant"], &json!(["user.delete", "user.read"])));
    // It cannot be revoked by itself (RFC 7009 section 2.2.1), only ended with the account.
    let form = [("token", text(&token, "access_token"))];
    root.post_form("/oauth/revoke", &form).await.problem(400, "unsupported_token_type");
    // What both the roles and the operations allow.
    caller.get("/people").await.expect(200);
    caller.get("/roles").await.problem(403, "permission_denied");
    caller.delete(&format!("/people/{NOBODY}")).await.problem(403, "permission_denied");
    caller.get("/auth/me").await.problem(403, "person_required");
    // A token does not beget the next, and a person needs none.
    ask(&caller, json!({ "audience": HERE })).await.problem(403, "service_required");
    ask(&root, json!({ "audience": HERE })).await.problem(403, "service_required");
    ask(&root.anonymous(), json!({ "audience": HERE })).await.problem(401, "unauthenticated");

    // Narrowed by what is asked, and by the key.
    let less = ask(&service, json!({ "audience": BILLING, "operations": ["order.read"] })).await.expect(200);
    assert_eq!((&less["operations"], &less["audience"]), (&json!(["order.read"]), &json!(BILLING)));
    ask(&service, json!({ "audience": BILLING, "operations": ["*"] })).await.problem(403, "audience_refused");
    ask(&service, json!({ "audience": "a b" })).await.problem_of(422, "validation", "audience");
    ask(&service, json!({ "audience": BILLING, "scope": "*" })).await.problem_of(422, "validation", "scope");
    let narrow = program(&root, &made, json!(["user.read"])).await;
    let narrowed = ask(&narrow, json!({ "audience": HERE })).await.expect(200);
    assert_eq!(narrowed["operations"], json!(["user.read"]));
    ask(&narrow, json!({ "audience": BILLING })).await.problem(403, "audience_refused");

    // What is for others is nothing here, and access tokens are none of a service's.
    let foreign = root.anonymous().presenting(text(&less, "access_token"));
    foreign.get("/auth/whoami").await.problem(401, "unauthenticated");

    // Another registry, another name: tokens of before are over, at the next request.
    root.patch(&path, json!({ "description": "of orders" })).await.expect(200);
    caller.get("/auth/whoami").await.problem(401, "unauthenticated");
    let token = ask(&service, json!({ "audience": HERE })).await.expect(200);
    let caller = root.anonymous().presenting(text(&token, "access_token"));
    caller.get("/people").await.expect(200);
    root.patch(&path, json!({ "is_active": false })).await.expect(200);
    caller.get("/people").await.problem(401, "unauthenticated");
    ask(&service, json!({ "audience": HERE })).await.problem(401, "unauthenticated");

    // A24: what happened is on record, and no token is.
    let trail = json!(root.all("/audit-events").await).to_string();
    for action in ["service_account.grant", "service_token.issue", "service_token.refuse"] {
        assert!(trail.contains(action), "{action}");
    }
    assert!(!trail.contains(text(&token, "access_token")), "the trail holds a token");
}

/// A5: disabled a moment ago here, refused at another process within a second.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_process_learns_of_a_disabled_service() {
    let app = TestApp::builder(Engine::Postgres).env("JWT_AUDIENCE", HERE);
    // Two servers are one installation, whatever their ports.
    let app = app.env("JWT_ISSUER", "https://id.example.test").start().await;
    let root = app.administrator().await;
    let (_other_server, other) = app.another_server().await;
    let made = account(&root, "importer").await;
    let path = path_of(&made);
    empower(&root, &made, "reader", &["user.read"]).await;
    root.put(&format!("{path}/grants"), granting(HERE, &["user.read"])).await.expect(200);
    let service = program(&root, &made, Value::Null).await;
    let token = service.post("/service-tokens", json!({ "audience": HERE })).await.expect(200);
    let there = other.anonymous().presenting(text(&token, "access_token"));
    there.get("/people").await.expect(200);
    root.patch(&path, json!({ "is_active": false })).await.expect(200);
    eventually("the end at the other process", async || {
        (there.get("/people").await.status == 401).then_some(())
    })
    .await;
}

/// A new key of `account`, registered, that signs.
async fn registered(root: &Client, account: &Value) -> (Value, RequestSigner) {
    let (key, _) = SigningKey::generate(SigningAlgorithm::EdDsa).unwrap();
    let body = json!({ "label": "first", "jwk": key.verifying_key().to_jwk().unwrap() });
    let made = root.post(&format!("{}/keys", path_of(account)), body).await.expect(201);
    let signer = RequestSigner::new(key.with_kid(text(&made, "id").parse().unwrap())).unwrap();
    (made, signer)
}

/// The request, signed now.
fn signed(signer: &RequestSigner, request: RequestBuilder) -> (reqwest::Client, Request) {
    let (http, request) = request.build_split();
    let mut request = request.unwrap();
    signer.sign_request(&mut request, SystemClock.now()).unwrap();
    (http, request)
}

async fn send(client: &Client, (http, request): (reqwest::Client, Request)) -> Answer {
    client.send_raw(RequestBuilder::from_parts(http, request)).await
}

async fn get(client: &Client, signer: &RequestSigner, path: &str) -> Answer {
    send(client, signed(signer, client.request(Method::GET, path))).await
}

// A9, C47
async fn a_service_signs_with_the_key_that_it_registered(engine: Engine) {
    let app = TestApp::start(engine).await;
    let root = app.administrator().await;
    let nobody = root.anonymous();
    let made = account(&root, "importer").await;
    let path = path_of(&made);
    empower(&root, &made, "reader", &["user.read"]).await;
    let (key, signer) = registered(&root, &made).await;
    let listed = root.get(&format!("{path}/keys")).await.expect(200);
    assert_eq!(listed["items"], json!([key]));

    let who = get(&nobody, &signer, "/auth/whoami").await.expect(200);
    assert_eq!(who["subject"], json!({ "kind": "service", "id": made["id"] }));
    assert_eq!((&who["credential"], &who["scopes"]), (&json!("signature"), &Value::Null));
    get(&nobody, &signer, "/people").await.expect(200);
    get(&nobody, &signer, "/roles").await.problem(403, "permission_denied");
    get(&nobody, &signer, "/auth/me").await.problem(403, "person_required");
    // What is signed is the path as it was sent, also where another answers.
    get(&nobody, &signer, "/api/v1/people?limit=1&search=%C3%A4").await.expect(200);

    // Once, and as it was signed.
    let (http, request) = signed(&signer, nobody.request(Method::GET, "/people"));
    let again = || (http.clone(), request.try_clone().unwrap());
    send(&nobody, again()).await.expect(200);
    send(&nobody, again()).await.problem(401, "request_replayed");
    let (_, mut moved) = signed(&signer, nobody.request(Method::GET, "/people"));
    moved.url_mut().set_query(Some("limit=1"));
    send(&nobody, (http.clone(), moved)).await.problem(401, "request_signature_invalid");
    let grants = granting(BILLING, &["invoice.read"]);
    root.put(&format!("{path}/grants"), grants).await.expect(200);
    let body = json!({ "audience": BILLING });
    let ask = || nobody.request(Method::POST, "/service-tokens").json(&body);
    let token = send(&nobody, signed(&signer, ask())).await.expect(200);
    assert_eq!(token["operations"], json!(["invoice.read"]));
    let (_, mut swapped) = signed(&signer, ask());
    *swapped.body_mut() = Some(json!({ "audience": "https://other.example.test" }).to_string().into());
    send(&nobody, (http.clone(), swapped)).await.problem(401, "request_signature_invalid");
    // Beside another credential it is one too many.
    let both = signed(&signer, root.request(Method::GET, "/people"));
    send(&nobody, both).await.problem(400, "ambiguous_credential");

    // The same key of another account is another key.
    let other = account(&root, "other").await;
    let body = json!({ "label": "the same", "jwk": key["public_key"] });
    let twin = root.post(&format!("{}/keys", path_of(&other)), body).await.expect(201);
    assert!(twin["id"] != key["id"] && twin["public_key"]["x"] == key["public_key"]["x"], "{twin}");
    assert_eq!(get(&nobody, &signer, "/auth/whoami").await.expect(200), who);
    let of_other = format!("{}/keys/{}", path_of(&other), text(&key, "id"));
    root.delete(&of_other).await.problem(404, "not_found");
    for name in [NOBODY, text(&key, "id"), "orders"] {
        let (unknown, _) = SigningKey::generate(SigningAlgorithm::EdDsa).unwrap();
        let stranger = RequestSigner::new(unknown.with_kid(name.parse().unwrap())).unwrap();
        get(&nobody, &stranger, "/people").await.problem(401, "request_signature_invalid");
    }

    // Off, revoked, gone: at the next request.
    root.patch(&path, json!({ "is_active": false })).await.expect(200);
    get(&nobody, &signer, "/people").await.problem(401, "request_signature_invalid");
    root.patch(&path, json!({ "is_active": true })).await.expect(200);
    get(&nobody, &signer, "/people").await.expect(200);
    let (next, next_signer) = registered(&root, &made).await;
    let key_path = format!("{path}/keys/{}", text(&key, "id"));
    root.delete(&key_path).await.expect(204);
    root.delete(&key_path).await.expect(204);
    get(&nobody, &signer, "/people").await.problem(401, "request_signature_invalid");
    get(&nobody, &next_signer, "/people").await.expect(200);
    let keys = root.get(&format!("{path}/keys")).await.expect(200)["items"].clone();
    assert!(keys[0]["revoked_at"].is_string() && keys[1] == next, "{keys}");
    root.delete(&path).await.expect(204);
    get(&nobody, &next_signer, "/people").await.problem(401, "request_signature_invalid");
    let trail = json!(root.all("/audit-events").await).to_string();
    assert!(trail.contains("service_key.create") && trail.contains("service_key.revoke"), "{trail}");
}

/// RFC 8410 §10.1.
const PEM: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----";

// A9
async fn what_is_no_public_key_is_not_registered(engine: Engine) {
    let app = TestApp::start(engine).await;
    let root = app.administrator().await;
    let made = account(&root, "importer").await;
    let path = format!("{}/keys", path_of(&made));
    let sound = json!({ "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" });
    let with = |name: &str, value: Value| {
        let mut jwk = sound.clone();
        jwk[name] = value;
        json!({ "label": "key", "jwk": jwk })
    };
    for (body, field) in [
        (json!({ "label": "key" }), "pem"),
        (json!({ "label": "", "jwk": sound }), "label"),
        (json!({ "label": "key", "pem": PEM }), "algorithm"),
        (json!({ "label": "key", "pem": PEM, "algorithm": "none" }), "algorithm"),
        (json!({ "label": "key", "pem": PEM, "algorithm": "ES256" }), "pem"),
        (json!({ "label": "key", "pem": "secret", "algorithm": "EdDSA" }), "pem"),
        (json!({ "label": "key", "pem": PEM, "algorithm": "EdDSA", "jwk": sound }), "jwk"),
        (json!({ "label": "key", "jwk": sound, "algorithm": "EdDSA" }), "algorithm"),
        (json!({ "label": "key", "jwk": {} }), "jwk"),
        // Whoever shows the private half has lost it; a shared secret is none of ours.
        (with("d", json!("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A")), "jwk"),
        (with("use", json!("enc")), "jwk"),
        (with("x", json!("AAAA")), "jwk"),
        (json!({ "label": "key", "jwk": { "kty": "oct", "k": "AAAA", "alg": "HS256" } }), "jwk"),
        (json!({ "label": "key", "jwk": sound, "expires_at": "2020-01-01T00:00:00Z" }), "expires_at"),
        (json!({ "label": "key", "jwk": sound, "expires_at": "2200-01-01T00:00:00Z" }), "expires_at"),
        (json!({ "label": "key", "jwk": sound, "id": NOBODY }), "id"),
    ] {
        let answer = root.post(&path, body).await;
        answer.problem_of(422, "validation", field);
        assert!(!answer.text.contains("nWGxne"), "{answer}");
    }
    assert_eq!(root.get(&path).await.expect(200), json!({ "items": [] }));
    let read =
        root.post(&path, json!({ "label": "key", "pem": PEM, "algorithm": "EdDSA" })).await.expect(201);
    assert_eq!((&read["public_key"]["alg"], &read["public_key"]["kid"]), (&json!("EdDSA"), &read["id"]));
    for _ in 1..10 {
        root.post(&path, json!({ "label": "key", "jwk": sound })).await.expect(201);
    }
    let more = root.post(&path, json!({ "label": "key", "jwk": sound })).await;
    more.problem(409, "service_key_limit");
}

/// A5, A9: what one process accepted no other does, and a service that is disabled signs nothing within a second.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signature_is_used_once_whatever_the_process_until_the_service_is_disabled() {
    let app = TestApp::builder(Engine::Postgres).env("PUBLIC_URL", "http://localhost:8001").start().await;
    let root = app.administrator().await;
    let (_other_server, other) = app.another_server().await;
    let made = account(&root, "importer").await;
    empower(&root, &made, "reader", &["user.read"]).await;
    let (_, signer) = registered(&root, &made).await;
    // What counts is the public address, wherever the request arrives.
    let ask = |client: &Client| {
        let request = client.request(Method::GET, "/people").header("host", "localhost:8001");
        signed(&signer, request)
    };
    let (http, request) = ask(&root.anonymous());
    let mut there = request.try_clone().unwrap();
    let elsewhere = other.request(Method::GET, "/people").build().unwrap();
    *there.url_mut() = elsewhere.url().clone();
    send(&root, (http.clone(), request)).await.expect(200);
    send(&other, (http, there)).await.problem(401, "request_replayed");
    send(&other, ask(&other.anonymous())).await.expect(200);
    get(&other.anonymous(), &signer, "/people").await.problem(401, "request_signature_invalid");

    root.patch(&path_of(&made), json!({ "is_active": false })).await.expect(200);
    eventually("the end at the other process", async || {
        (send(&other, ask(&other.anonymous())).await.status == 401).then_some(())
    })
    .await;
}
