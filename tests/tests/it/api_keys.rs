//! API keys: made, used, narrowed, rotated and revoked.

use reqwest::Method;
use serde_json::{Value, json};
use stylobate_tests::{Answer, Client, Engine, MailServer, Proxy, TestApp, eventually, text};

use crate::decisions::give;

stylobate_tests::both_engines!(
    a_key_acts_for_its_owner_within_its_scopes,
    a_key_goes_through_its_life,
    keys_of_others_need_the_right_to_act_for_them,
    what_a_key_is_cannot_be_written,
    a_key_is_seen_once_and_nowhere_else,
    the_owner_is_told_of_a_key_and_of_its_new_secret,
    a_key_that_is_made_while_its_owner_goes_never_works
);

const REDIS_URL: &str = "STYLOBATE_TEST_REDIS_URL";

/// Everything but the checksum is random or an id, so that nothing accepts it.
const MADE_UP: &str = "sb_test_0000000000000000000000_0000000000000000000000000000000000000000000000000";

/// `client` with the key instead of everything else.
fn with_key(client: &Client, key: &str) -> Client {
    client.anonymous().presenting(key)
}

async fn by_header(client: &Client, key: &str, path: &str) -> Answer {
    let request = client.anonymous().request(Method::GET, path).header("x-api-key", key);
    client.send_raw(request).await
}

fn path_of(key: &Value) -> String {
    format!("/api-keys/{}", text(key, "id"))
}

// A8, C46
async fn a_key_acts_for_its_owner_within_its_scopes(engine: Engine) {
    let app = TestApp::start(engine).await;
    let root = app.administrator().await;
    let clerk = app.person(&root, "clerk").await;
    give(&root, &clerk, "reader", &["user.read", "role.read"]).await;

    let body = json!({ "label": "export", "scopes": ["user.read", "user.delete"] });
    let made = clerk.client.post("/auth/api-keys", body).await.expect(201);
    let key = text(&made, "key");
    assert!(key.starts_with("sb_test_") && key.starts_with(text(&made, "prefix")), "{made}");
    let program = with_key(&root, key);
    let who = program.get("/auth/whoami").await.expect(200);
    assert_eq!((&who["subject"]["kind"], &who["subject"]["id"]), (&json!("api_key"), &made["id"]));
    assert_eq!(who["subject"]["owner"], json!({ "kind": "person", "id": clerk.id }));
    assert_eq!((&who["scopes"], &who["session"]), (&made["scopes"], &Value::Null));
    assert_eq!(by_header(&root, key, "/auth/whoami").await.expect(200), who);

    // What both the owner and the scopes allow, on each route.
    program.get("/people").await.expect(200);
    program.get("/roles").await.problem(403, "permission_denied");
    program.delete(&format!("/people/{}", clerk.id)).await.problem(403, "permission_denied");
    // What is a person's own is not their programs'.
    for path in ["/auth/me", "/auth/sessions", "/auth/api-keys", "/notifications"] {
        program.get(path).await.problem(403, "person_required");
    }
    program.post("/auth/api-keys", json!({})).await.problem(403, "person_required");

    // Without scopes it may what its owner may, and when that is less, less.
    let all = clerk.client.post("/auth/api-keys", json!({})).await.expect(201);
    let wide = with_key(&root, text(&all, "key"));
    wide.get("/roles").await.expect(200);
    wide.get("/auth/me").await.problem(403, "person_required");
    let role = root.all("/roles?search=reader").await[0]["id"].as_str().unwrap().to_owned();
    root.delete(&format!("/people/{}/roles/{role}", clerk.id)).await.expect(204);
    for program in [&wide, &program] {
        program.get("/people").await.problem(403, "permission_denied");
        program.get("/auth/whoami").await.expect(200);
    }

    // Two credentials are two opinions; a query is none.
    let request = clerk.client.request(Method::GET, "/auth/whoami").header("x-api-key", key);
    root.send_raw(request).await.problem(400, "ambiguous_credential");
    for path in [format!("/auth/whoami?api_key={key}"), format!("/auth/whoami?access_token={key}")] {
        root.anonymous().get(&path).await.problem(401, "unauthenticated");
    }
    for wrong in [MADE_UP, &key[..79], &key.replace("sb_test_", "sb_live_"), "sb_test_"] {
        with_key(&root, wrong).get("/auth/whoami").await.problem(401, "unauthenticated");
        by_header(&root, wrong, "/auth/whoami").await.problem(401, "unauthenticated");
    }
}

// A8
async fn a_key_goes_through_its_life(engine: Engine) {
    let app = TestApp::start(engine).await;
    let root = app.administrator().await;
    let made = root.post("/api-keys/generate", json!({ "label": "first" })).await.expect(201);
    let (path, first) = (path_of(&made), text(&made, "key").to_owned());
    let listed = root.all("/api-keys?is_active=true").await;
    assert_eq!((listed.len(), &listed[0]["label"]), (1, &json!("first")));
    assert!(listed[0].get("key").is_none() && listed[0].get("secret_hash").is_none(), "{}", listed[0]);
    with_key(&root, &first).get("/people").await.expect(200);

    // Both secrets are good until the overlap ends.
    let rotated = root.post(&format!("{path}/rotate"), json!({})).await.expect(200);
    let second = text(&rotated, "key").to_owned();
    assert!(rotated["previous_until"].is_string() && second != first, "{rotated}");
    for key in [&first, &second] {
        with_key(&root, key).get("/people").await.expect(200);
    }
    root.post(&format!("{path}/rotate"), json!({})).await.problem(409, "api_key_rotating");
    let long = json!({ "overlap_seconds": 2_592_001 });
    let other = root.post("/api-keys", json!({})).await.expect(201);
    let other_path = path_of(&other);
    root.post(&format!("{other_path}/rotate"), long).await.problem_of(422, "validation", "overlap_seconds");
    let at_once = json!({ "overlap_seconds": 0 });
    let renewed = root.post(&format!("{other_path}/rotate"), at_once).await.expect(200);
    with_key(&root, text(&other, "key")).get("/people").await.problem(401, "unauthenticated");
    with_key(&root, text(&renewed, "key")).get("/people").await.expect(200);

    // Narrowed and switched off, from the next request on.
    let program = with_key(&root, &second);
    let patched = root.patch(&path, json!({ "scopes": ["role.read"], "label": "roles" })).await.expect(200);
    assert_eq!((&patched["scopes"], &patched["label"]), (&json!(["role.read"]), &json!("roles")));
    program.get("/people").await.problem(403, "permission_denied");
    program.get("/roles").await.expect(200);
    root.patch(&path, json!({ "allowed_networks": ["198.51.100.0/24"] })).await.expect(200);
    program.get("/roles").await.problem(401, "unauthenticated");
    let here = json!({ "allowed_networks": ["127.0.0.0/8", "::1"], "requests_per_hour": 3 });
    root.patch(&path, here).await.expect(200);
    // Four of them are in one hour, whenever it ends.
    let mut refused = None;
    for _ in 0..7 {
        refused = Some(program.get("/roles").await).filter(|answer| answer.status == 429).or(refused);
    }
    let refused = refused.expect("an answer over the limit");
    refused.problem(429, "api_key_throttled");
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=3_600).contains(&wait), "{wait}");
    root.patch(&path, json!({ "requests_per_hour": 1_000, "scopes": null })).await.expect(200);
    program.get("/people").await.expect(200);
    root.patch(&path, json!({ "is_active": false })).await.expect(200);
    program.get("/people").await.problem(401, "unauthenticated");
    root.patch(&path, json!({ "is_active": true })).await.expect(200);
    program.get("/people").await.expect(200);

    let usage = root.get(&format!("{path}/usage")).await.expect(200);
    let sum = |name: &str| -> u64 {
        usage["items"].as_array().unwrap().iter().map(|day| day[name].as_u64().unwrap()).sum()
    };
    assert!(sum("requests") >= 5 && sum("refused") >= 2, "{usage}");
    assert!(root.get(&path).await.expect(200)["last_used_at"].is_string());

    root.delete(&path).await.expect(204);
    root.delete(&path).await.expect(204);
    for key in [&first, &second] {
        with_key(&root, key).get("/people").await.problem(401, "unauthenticated");
    }
    let ended = root.get(&path).await.expect(200);
    assert_eq!((&ended["revoke_reason"], ended["revoked_at"].is_string()), (&json!("revoked"), true));
    root.patch(&path, json!({ "is_active": true })).await.problem(409, "api_key_ended");
    root.post(&format!("{path}/rotate"), json!({})).await.problem(409, "api_key_ended");
    assert_eq!(root.all("/api-keys?is_active=false").await.len(), 1);
}

// A8, C16
async fn keys_of_others_need_the_right_to_act_for_them(engine: Engine) {
    let app = TestApp::builder(engine).env("API_KEY_RATE_MAX", "1000").start().await;
    let root = app.administrator().await;
    let (manager, clerk) = (app.person(&root, "manager").await, app.person(&root, "clerk").await);
    let rights = ["api_key.create", "api_key.read", "api_key.update", "api_key.delete", "user.read"];
    give(&root, &manager, "key manager", &rights).await;
    give(&root, &clerk, "clerk", &["user.read"]).await;
    let me = root.get("/auth/me").await.expect(200)["id"].clone();
    let manager_keys = async |body: Value| manager.client.post("/api-keys", body).await;

    // Of whoever may no more than oneself, and of nobody else.
    let of_clerk = manager_keys(json!({ "person_id": clerk.id, "label": "for the clerk" })).await.expect(201);
    assert_eq!(of_clerk["person_id"], json!(clerk.id));
    manager_keys(json!({ "person_id": me })).await.problem(403, "platform_owned");
    give(&root, &clerk, "more", &["role.read"]).await;
    manager_keys(json!({ "person_id": clerk.id })).await.problem(403, "beyond_own_permissions");
    let path = path_of(&of_clerk);
    for (method, path, body) in [
        (Method::PATCH, path.clone(), json!({ "scopes": null })),
        (Method::POST, format!("{path}/rotate"), json!({ "overlap_seconds": 0 })),
    ] {
        let answer = manager.client.send(method, &path, Some(&body)).await;
        answer.problem(403, "beyond_own_permissions");
    }
    // Ending what a program may is another thing.
    manager.client.delete(&path).await.expect(204);
    let of_root = root.post("/api-keys", json!({})).await.expect(201);
    manager.client.delete(&path_of(&of_root)).await.problem(403, "platform_owned");
    with_key(&root, text(&of_root, "key")).get("/people").await.expect(200);

    // A narrow key makes no wider one, not even of its own owner.
    let narrow = json!({ "scopes": ["api_key.*"] });
    let narrow = manager.client.post("/auth/api-keys", narrow).await.expect(201);
    let program = with_key(&root, text(&narrow, "key"));
    program.get("/api-keys").await.expect(200);
    program.post("/api-keys", json!({})).await.problem_of(422, "validation", "person_id");
    let wider = json!({ "person_id": manager.id });
    program.post("/api-keys", wider).await.problem(403, "beyond_own_permissions");
    program.patch(&path_of(&narrow), json!({ "scopes": null })).await.problem(403, "beyond_own_permissions");
    // What the platform gives its administrator counts in every organisation, and no scope of a key reaches that far.
    let narrow_root = root.post("/auth/api-keys", json!({ "scopes": ["api_key.*"] })).await.expect(201);
    let path = path_of(&narrow_root);
    let narrow_root = with_key(&root, text(&narrow_root, "key"));
    let me = json!({ "person_id": root.get("/auth/me").await.expect(200)["id"] });
    narrow_root.post("/api-keys", me).await.problem(403, "beyond_own_permissions");
    narrow_root.patch(&path, json!({ "scopes": null })).await.problem(403, "beyond_own_permissions");

    // Strangers and others' keys are missing.
    let nobody = json!({ "person_id": "0191e000-0000-7000-8000-000000000001" });
    manager_keys(nobody).await.problem(404, "not_found");
    let service = json!({ "service_account_id": "0191e000-0000-7000-8000-000000000001" });
    manager_keys(service).await.problem_of(422, "validation", "service_account_id");
    let own = format!("/auth/api-keys/{}", text(&narrow, "id"));
    clerk.client.delete(&own).await.problem(404, "not_found");
    clerk.client.post(&format!("{own}/rotate"), json!({})).await.problem(404, "not_found");
    assert_eq!(clerk.client.all("/auth/api-keys").await.len(), 1);
    manager.client.post(&format!("{own}/rotate"), json!({})).await.expect(200);
    manager.client.delete(&own).await.expect(204);
    program.get("/api-keys").await.problem(401, "unauthenticated");

    // Whoever is disabled, or removed, has no keys any more.
    let ended = clerk.client.post("/auth/api-keys", json!({})).await.expect(201);
    with_key(&root, text(&ended, "key")).get("/people").await.expect(200);
    root.patch(&format!("/people/{}", clerk.id), json!({ "status": "inactive" })).await.expect(200);
    with_key(&root, text(&ended, "key")).get("/people").await.problem(401, "unauthenticated");
    root.patch(&format!("/people/{}", clerk.id), json!({ "status": "active" })).await.expect(200);
    with_key(&root, text(&ended, "key")).get("/people").await.problem(401, "unauthenticated");
    assert_eq!(root.get(&path_of(&ended)).await.expect(200)["revoke_reason"], "owner_disabled");
    let last = root.post("/api-keys", json!({ "person_id": clerk.id })).await.expect(201);
    root.delete(&format!("/people/{}", clerk.id)).await.expect(204);
    root.get(&path_of(&ended)).await.problem(404, "not_found");
    with_key(&root, text(&last, "key")).get("/people").await.problem(401, "unauthenticated");
    // The trail has a row for each, beside that of the change that ended it.
    for key in [&ended, &last] {
        let rows =
            root.all(&format!("/audit-events?action=api_key.revoke&entity_id={}", text(key, "id"))).await;
        assert_eq!(rows.len(), 1, "{rows:?}");
    }
    for action in ["person.update", "person.delete"] {
        let rows = root.all(&format!("/audit-events?action={action}&entity_id={}", clerk.id)).await;
        assert!(!rows.is_empty(), "{action}");
    }
}

// C21: neither secrets nor hashes nor facts come from outside.
async fn what_a_key_is_cannot_be_written(engine: Engine) {
    let app = TestApp::builder(engine).env("API_KEY_RATE_MAX", "2").start().await;
    let root = app.administrator().await;
    for (field, value) in [
        ("key", json!("sb_test_chosen")),
        ("key_hash", json!("00")),
        ("secret_hash", json!("00")),
        ("revoked_at", Value::Null),
        ("last_used_at", json!("2026-01-01T00:00:00Z")),
        ("id", json!("0191e000-0000-7000-8000-000000000001")),
        ("tenant_id", json!("0191e000-0000-7000-8000-000000000001")),
        ("label", json!("")),
        ("label", json!("a".repeat(101))),
        ("scopes", json!(["two words"])),
        ("allowed_networks", json!(["example.org"])),
        ("allowed_networks", json!([])),
        ("requests_per_hour", json!(0)),
        ("expires_at", json!("2020-01-01T00:00:00Z")),
        ("expires_at", json!("2200-01-01T00:00:00Z")),
        ("service_account_id", json!("0191e000-0000-7000-8000-000000000001")),
    ] {
        for path in ["/api-keys", "/api-keys/generate"] {
            root.post(path, json!({ field: value })).await.problem_of(422, "validation", field);
        }
    }
    assert_eq!(root.all("/api-keys").await.len(), 0);
    let made = root.post("/api-keys", json!({ "label": "kept" })).await.expect(201);
    let before = root.get(&path_of(&made)).await.expect(200);
    for (field, value) in [
        ("key", json!("sb_test_chosen")),
        ("secret_hash", json!("00")),
        ("person_id", json!("0191e000-0000-7000-8000-000000000001")),
        ("revoked_at", Value::Null),
        ("last_used_at", Value::Null),
        ("expires_at", json!("2200-01-01T00:00:00Z")),
        ("is_active", json!("yes")),
    ] {
        root.patch(&path_of(&made), json!({ field: value })).await.problem_of(422, "validation", field);
    }
    assert_eq!(root.get(&path_of(&made)).await.expect(200), before);
    root.patch("/api-keys/0191e000-0000-7000-8000-000000000001", json!({})).await.problem(404, "not_found");

    // A20: only so many in a while.
    root.post("/api-keys/generate", json!({})).await.expect(201);
    let refused = root.post("/auth/api-keys", json!({})).await;
    refused.problem(429, "api_key_made_too_many");
    assert!(refused.header("retry-after").is_some());
}

/// A24: nothing but the answer that made it holds a key.
async fn a_key_is_seen_once_and_nowhere_else(engine: Engine) {
    let mut app = TestApp::builder(engine).env("LOG_FORMAT", "json").env("LOG_LEVEL", "debug").start().await;
    let root = app.administrator().await;
    let made = root.post("/auth/api-keys", json!({ "label": "canary" })).await.expect(201);
    let rotated = root.post(&format!("{}/rotate", path_of(&made)), json!({})).await.expect(200);
    for answer in [&made, &rotated] {
        let key = text(answer, "key");
        with_key(&root, key).get("/people").await.expect(200);
        by_header(&root, key, "/people").await.expect(200);
        // Mistyped, too long, in the address, as a name.
        by_header(&root, &format!("{key}0"), "/people").await.problem(401, "unauthenticated");
        root.anonymous().get(&format!("/people?api_key={key}")).await.problem(401, "unauthenticated");
        root.anonymous().try_login(key, key).await.problem(401, "invalid_credentials");
    }
    root.delete(&path_of(&made)).await.expect(204);
    with_key(&root, text(&rotated, "key")).get("/people").await.problem(401, "unauthenticated");

    let trail = eventually("the refusal on record", async || {
        let trail = json!(root.all("/audit-events").await).to_string();
        trail.contains("api_key.refuse").then_some(trail)
    })
    .await;
    for action in ["api_key.create", "api_key.rotate", "api_key.revoke"] {
        assert!(trail.contains(action), "{action}");
    }
    let events = json!(root.all("/v1/events").await).to_string();
    assert!(events.contains("api_key.created") && events.contains("api_key.rotated"), "{events}");
    let metrics = root.get("/metrics").await;
    metrics.expect(200);
    let metrics = metrics.text;
    let seen = json!(root.all("/api-keys").await).to_string();
    let log = app.server().output().join("\n");
    for answer in [&made, &rotated] {
        // What follows the visible part.
        let secret = &text(answer, "key")[text(answer, "prefix").len() + 1..];
        for (place, text) in
            [("trail", &trail), ("events", &events), ("metrics", &metrics), ("list", &seen), ("log", &log)]
        {
            assert!(!text.contains(secret), "the {place} holds a key");
        }
    }
}

// A8
async fn the_owner_is_told_of_a_key_and_of_its_new_secret(engine: Engine) {
    let app = TestApp::builder(engine).mail(&MailServer::StartTls.url()).start().await;
    let root = app.administrator().await;
    let email = format!("ada@{}.example", uuid::Uuid::new_v4().simple());
    let new = json!({ "first_name": "Ada", "last_name": "Lovelace", "email": email });
    let ada = root.post("/people", new).await.expect(201)["id"].clone();
    let new = json!({ "person_id": ada, "label": "export", "scopes": ["user.read", "role.read"] });
    let made = root.post("/api-keys", new).await.expect(201);
    let rotated = root.post(&format!("{}/rotate", path_of(&made)), json!({})).await.expect(200);
    // Less than before is nothing to be told of.
    root.patch(&path_of(&made), json!({ "scopes": ["user.read"], "label": "export" })).await.expect(200);
    root.patch(&path_of(&made), json!({ "scopes": ["user.*"] })).await.expect(200);
    let mails = eventually("three mails", async || {
        Some(MailServer::mails_to(&email)).filter(|mails| mails.len() == 3)
    })
    .await;
    let mut subjects: Vec<&str> = mails.iter().flat_map(|mail| mail.fields("subject")).collect();
    subjects.sort_unstable();
    let expected = [
        "Stylobate: an API key of yours has another secret",
        "Stylobate: an API key of yours may do more",
        "Stylobate: an API key of yours was made",
    ];
    assert_eq!(subjects, expected);
    for (mail, issued) in mails.iter().flat_map(|mail| [(mail, &made), (mail, &rotated)]) {
        // Long lines are broken (RFC 2045 §6.7).
        let body = mail.body.replace("=\r\n", "");
        let secret = &text(issued, "key")[text(issued, "prefix").len() + 1..];
        assert!(body.contains("export") && !body.contains(secret), "a mail holds a key");
    }
}

/// A5, A8: revoked a moment ago here, refused at another process within a second.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_process_learns_of_revoked_and_narrowed_keys() {
    let app = TestApp::start(Engine::Postgres).await;
    let root = app.administrator().await;
    let (_other_server, other) = app.another_server().await;
    let made = root.post("/api-keys", json!({})).await.expect(201);
    let there = with_key(&other, text(&made, "key"));
    there.get("/people").await.expect(200);
    root.patch(&path_of(&made), json!({ "scopes": ["role.read"] })).await.expect(200);
    eventually("the scopes at the other process", async || {
        (there.get("/people").await.status == 403).then_some(())
    })
    .await;
    let rotated = root.post(&format!("{}/rotate", path_of(&made)), json!({})).await.expect(200);
    with_key(&other, text(&rotated, "key")).get("/roles").await.expect(200);
    there.get("/roles").await.expect(200);
    root.delete(&path_of(&made)).await.expect(204);
    eventually("the revocation at the other process", async || {
        (there.get("/roles").await.status == 401).then_some(())
    })
    .await;
    with_key(&other, text(&rotated, "key")).get("/roles").await.problem(401, "unauthenticated");
}

// A8: whoever goes takes along no key that is made at the same moment.
async fn a_key_that_is_made_while_its_owner_goes_never_works(engine: Engine) {
    let app = TestApp::builder(engine).env("API_KEY_RATE_MAX", "1000").start().await;
    let root = app.administrator().await;
    for name in ["ada", "bob", "cyd", "dan", "eve", "fay"] {
        let owner = app.person(&root, name).await;
        let is_shared = matches!(name, "ada" | "cyd" | "eve");
        if is_shared {
            // Who belongs to another organisation as well leaves this one; who does not is removed.
            app.place.join_other_org(&owner.id).await;
        }
        let path = format!("/people/{}", owner.id);
        let of_owner = json!({ "person_id": owner.id });
        let (first, second, third, gone, fourth, fifth) = tokio::join!(
            owner.client.post("/auth/api-keys", json!({})),
            root.post("/api-keys", of_owner.clone()),
            owner.client.post("/auth/api-keys", json!({})),
            root.delete(&path),
            root.post("/api-keys", of_owner.clone()),
            owner.client.post("/auth/api-keys", json!({})),
        );
        gone.expect(204);
        for made in [first, second, third, fourth, fifth] {
            if made.status == 201 {
                with_key(&root, text(&made.json(), "key"))
                    .get("/auth/whoami")
                    .await
                    .problem(401, "unauthenticated");
            } else {
                assert!([401, 403, 404, 422].contains(&made.status), "{made:?}");
            }
        }
        let id = app.place.id(owner.id.parse().unwrap());
        let live =
            format!("SELECT count(*) FROM api_keys WHERE owner_person_id = {id} AND revoked_at IS NULL");
        assert_eq!(app.place.count(&live).await, 0, "{name}");
    }
}

/// One limit for all processes; when Redis goes away, each holds it by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_share_the_hourly_limit_of_a_key() {
    const LIMIT: usize = 200;
    let url = std::env::var(REDIS_URL)
        .unwrap_or_else(|_| panic!("{REDIS_URL} names no Redis; `cargo xtask test` starts one"));
    let mut url: reqwest::Url = url.parse().unwrap();
    let door = Proxy::start(format!("{}:{}", url.host_str().unwrap(), url.port().unwrap_or(6_379))).await;
    url.set_host(Some("127.0.0.1")).unwrap();
    url.set_port(Some(door.port())).unwrap();
    let app = TestApp::builder(Engine::Postgres).env("REDIS_URL", url.as_str()).start().await;
    let root = app.administrator().await;
    let (_other_server, other) = app.another_server().await;
    let key = async |limit: usize| {
        let made = root.post("/api-keys", json!({ "requests_per_hour": limit })).await.expect(201);
        let key = text(&made, "key");
        (with_key(&root, key), with_key(&other, key))
    };
    let is_let_through = async |client: &Client| {
        let answer = client.get("/auth/whoami").await;
        if answer.status != 200 {
            answer.problem(429, "api_key_throttled");
        }
        answer.status == 200
    };

    let (here, there) = key(LIMIT).await;
    let mut used_there = 0;
    eventually("the other process to know", async || {
        // All of the hour; of another one, when it begins meanwhile.
        while is_let_through(&here).await {}
        if is_let_through(&there).await {
            used_there += 1;
            return None;
        }
        Some(())
    })
    .await;
    assert!(used_there < LIMIT, "the other process has a limit of its own");

    door.shut();
    // What each knew last counts on, and a key that they cannot share has its limit at each.
    assert!(!is_let_through(&here).await && !is_let_through(&there).await);
    let (here, there) = key(3).await;
    for client in [&here, &there] {
        let mut through = 0;
        for _ in 0..7 {
            through += usize::from(is_let_through(client).await);
        }
        // Four of them are in one hour, whenever it ends.
        assert!((3..7).contains(&through), "{through}");
    }
}
