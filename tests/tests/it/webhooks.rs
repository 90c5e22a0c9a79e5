//! Webhooks: a change over HTTP is heard by a receiver outside, signed, and by nobody inside.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use stylobate_core::{Clock as _, SystemClock};
use stylobate_events::{TOLERANCE, WebhookHeaders, WebhookSecret, verify};
use stylobate_tests::{Client, Engine, Received, Receiver, TestApp, eventually};
use tokio::net::{TcpListener, TcpStream};

stylobate_tests::both_engines!(
    a_change_reaches_a_receiver_with_a_valid_signature,
    a_webhook_is_made_changed_stopped_and_removed,
    what_fails_is_on_record_and_sent_again,
    one_job_is_left_of_a_delivery_that_is_asked_for_again_and_again,
    secrets_are_rotated_without_a_gap,
    webhooks_are_of_one_organisation,
    a_silent_receiver_does_not_take_all_places,
    private_addresses_are_never_connected_to,
    deliveries_go_on_after_a_kill
);

/// An installation that sends webhooks to this machine, in the clear.
async fn app(engine: Engine) -> TestApp {
    let builder = TestApp::builder(engine).env("WEBHOOK_ALLOWED_NETWORKS", "127.0.0.0/8");
    builder.env("WEBHOOK_INSECURE_ALLOW_HTTP", "true").start().await
}

async fn webhook(client: &Client, url: &str, events: &[&str]) -> (String, WebhookSecret) {
    let made = client.post("/webhooks", json!({ "url": url, "events": events })).await.expect(201);
    let secret = WebhookSecret::parse(made["secret"].as_str().unwrap()).unwrap();
    (made["id"].as_str().unwrap().to_owned(), secret)
}

/// The id of the message, if `secret` has signed it just now.
fn verified(received: &Received, secret: &WebhookSecret) -> Option<String> {
    let headers = WebhookHeaders::find(|name| received.headers.get(name).map(String::as_str)).ok()?;
    let id =
        verify(&headers, &received.body, std::slice::from_ref(secret), SystemClock.now(), TOLERANCE).ok()?;
    Some(id.to_string())
}

/// The deliveries of a webhook, once there are as many as `number` in `status`.
async fn deliveries(client: &Client, id: &str, status: &str, number: usize) -> Vec<Value> {
    let path = format!("/webhooks/{id}/deliveries?status={status}");
    eventually("deliveries of the webhook", async || {
        let found = client.all(&path).await;
        (found.len() >= number).then_some(found)
    })
    .await
}

async fn a_change_reaches_a_receiver_with_a_valid_signature(engine: Engine) {
    let app = app(engine).await;
    let admin = app.administrator().await;
    let receiver = Receiver::start().await;
    let (id, secret) = webhook(&admin, &receiver.url("/hook?a=1"), &["user.*"]).await;
    let ada = app.person(&admin, "ada").await;
    // Beside it may come what happened before and is told late.
    let is_hers = |one: &Received| one.json()["data"]["user_id"] == json!(ada.id);
    let message = eventually("the change", async || receiver.received().into_iter().find(is_hers)).await;
    let message = &message;
    assert_eq!(message.line, "POST /hook?a=1");
    let event = message.json();
    assert_eq!(
        (&event["type"], &event["data"]["user_id"]),
        (&json!("user.created"), &json!(ada.id)),
        "{event}"
    );
    assert_eq!((&event["subject"], &event["sequence"]), (&json!(ada.id), &json!(1)), "{event}");
    assert_eq!(verified(message, &secret).as_deref(), event["id"].as_str());
    assert_eq!(verified(message, &WebhookSecret::generate().unwrap()), None);
    let mut forged = message.clone();
    forged.body[20] ^= 1;
    assert_eq!(verified(&forged, &secret), None);
    // The log, and the list of what happened, say the same.
    let delivered = eventually("the delivery", async || {
        let delivered = deliveries(&admin, &id, "delivered", 1).await;
        delivered.into_iter().find(|one| one["event_id"] == event["id"])
    })
    .await;
    assert_eq!(delivered["response_code"], 204);
    let listed = admin.get(&format!("/v1/events/{}", event["id"].as_str().unwrap())).await.expect(200);
    assert_eq!(listed, event);
    let of_ada = admin.all(&format!("/v1/events?subject={}", ada.id)).await;
    let types: Vec<_> = of_ada.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert!(types.contains(&"user.created") && types.contains(&"auth.login"), "{types:?}");
    // What it does not hear of is not sent: Ada has signed in since.
    assert!(receiver.received().iter().all(|one| one.json()["type"] != "auth.login"));
}

async fn a_webhook_is_made_changed_stopped_and_removed(engine: Engine) {
    let app = app(engine).await;
    let admin = app.administrator().await;
    let receiver = Receiver::start().await;
    let refused = [
        (json!({ "url": "ftp://example.org/" }), "url"),
        (json!({ "url": "http://user:pass@127.0.0.1/" }), "url"),
        (json!({ "url": "http://169.254.169.254/latest/meta-data" }), "url"),
        (json!({ "url": receiver.url("/"), "events": [] }), "events"),
        (json!({ "url": receiver.url("/"), "events": ["user.creatd"] }), "events"),
        (json!({ "url": receiver.url("/"), "description": "x".repeat(201) }), "description"),
        (json!({ "url": receiver.url("/"), "signature": "none" }), "signature"),
        (json!({ "url": receiver.url("/"), "secret": "mine" }), "secret"),
    ];
    for (body, field) in refused {
        admin.post("/webhooks", body).await.problem_of(422, "validation", field);
    }
    let (id, _) = webhook(&admin, &receiver.url("/"), &["*"]).await;
    let path = format!("/webhooks/{id}");
    let shown = admin.get(&path).await.expect(200);
    assert_eq!((&shown["is_active"], &shown["events"]), (&json!(true), &json!(["*"])), "{shown}");
    assert!(shown.get("secret").is_none(), "{shown}");
    assert_eq!(admin.all("/webhooks").await, std::slice::from_ref(&shown));
    // As the replaced system spells it.
    assert_eq!(admin.all("/instances/webhooks").await, [shown]);
    let test = admin.post(&format!("{path}/test"), Value::Null).await.expect(202);
    assert_eq!(test["event"], "webhook.test");
    // Beside it comes what happened before and is told late.
    let is_test = |one: &Received| one.json()["type"] == "webhook.test";
    eventually("the test", async || receiver.received().iter().any(is_test).then_some(())).await;

    let stopped = admin.patch(&path, json!({ "is_active": false })).await.expect(200);
    assert_eq!((&stopped["is_active"], &stopped["disabled_reason"]), (&json!(false), &json!("by_hand")));
    admin.post(&format!("{path}/test"), Value::Null).await.problem(409, "webhook_disabled");
    let changed =
        json!({ "is_active": true, "events": ["role.created"], "signature": "classic", "description": "CI" });
    let changed = admin.patch(&path, changed).await.expect(200);
    assert_eq!((&changed["disabled_reason"], &changed["signature"]), (&Value::Null, &json!("classic")));
    admin.post("/roles", json!({ "name": "clerk" })).await.expect(201);
    let is_role =
        |one: &Received| one.headers.get("x-webhook-event").is_some_and(|event| event == "role.created");
    let classic = eventually("the role", async || receiver.received().into_iter().find(is_role)).await;
    assert!(classic.header("x-webhook-signature").starts_with("sha256="), "{classic:?}");
    assert_eq!(classic.header("idempotency-key"), classic.json()["id"].as_str().unwrap());
    admin.delete(&path).await.expect(204);
    admin.get(&path).await.problem(404, "not_found");
    let actions: Vec<_> = admin.all("/audit-events").await;
    for action in ["webhook.create", "webhook.update", "webhook.test", "webhook.delete"] {
        assert!(actions.iter().any(|event| event["action"] == action), "{action}");
    }
}

async fn what_fails_is_on_record_and_sent_again(engine: Engine) {
    let app = app(engine).await;
    let admin = app.administrator().await;
    let receiver = Receiver::start().await;
    receiver.answers(302, "location: http://127.0.0.1:9/\r\n");
    let (id, secret) = webhook(&admin, &receiver.url("/"), &["role.created"]).await;
    admin.post("/roles", json!({ "name": "clerk" })).await.expect(201);
    let path = format!("/webhooks/{id}");
    let tried = eventually("a failed attempt", async || {
        let found = admin.all(&format!("{path}/deliveries")).await;
        found.into_iter().find(|one| one["error"].is_string())
    })
    .await;
    assert_eq!((&tried["status"], &tried["response_code"]), (&json!("pending"), &json!(302)), "{tried}");
    assert!(tried["due_at"].is_string() && tried["error"].is_string(), "{tried}");
    let failing = admin.get(&path).await.expect(200);
    assert!(failing["failing_since"].is_string(), "{failing}");
    // The receiver is well again: nobody has to wait for the next attempt.
    receiver.answers(200, "");
    let delivery = format!("{path}/deliveries/{}", tried["id"].as_str().unwrap());
    admin.post(&format!("{delivery}/redeliver"), Value::Null).await.expect(202);
    deliveries(&admin, &id, "delivered", 1).await;
    let received = receiver.received();
    let (first, last) = (received.first().unwrap(), received.last().unwrap());
    let ids = [first, last].map(|one| verified(one, &secret).expect("a signature"));
    assert_eq!(ids[0], ids[1], "the same message id");
    let shown = admin.get(&delivery).await.expect(200);
    assert_eq!(shown["payload"], last.json());
    // One that says that it is gone is not asked again.
    receiver.answers(410, "");
    admin.post("/roles", json!({ "name": "gone" })).await.expect(201);
    let gone = eventually("the webhook to be disabled", async || {
        let shown = admin.get(&path).await.expect(200);
        (shown["is_active"] == false).then_some(shown)
    })
    .await;
    assert_eq!(gone["disabled_reason"], "gone", "{gone}");
    eventually("the event that tells of it", async || {
        (!admin.all("/v1/events?type=webhook.disabled").await.is_empty()).then_some(())
    })
    .await;
}

async fn one_job_is_left_of_a_delivery_that_is_asked_for_again_and_again(engine: Engine) {
    let app = app(engine).await;
    let admin = app.administrator().await;
    let receiver = Receiver::start().await;
    receiver.answers(500, "");
    let (id, _) = webhook(&admin, &receiver.url("/"), &["role.created"]).await;
    admin.post("/roles", json!({ "name": "clerk" })).await.expect(201);
    let owed = deliveries(&admin, &id, "pending", 1).await.remove(0);
    let again = format!("/webhooks/{id}/deliveries/{}/redeliver", owed["id"].as_str().unwrap());
    for asked in 1..=4 {
        receiver.wait_for(asked).await;
        admin.post(&again, Value::Null).await.expect(202);
    }
    // Those of earlier askings end when their time has come, a few seconds later.
    eventually("one job", async || {
        let jobs = admin.all("/v1/jobs?name=webhooks.deliver").await;
        assert!(jobs.len() >= 5, "{jobs:?}");
        let ended =
            |job: &&Value| ["completed", "discarded", "cancelled"].iter().any(|one| job["state"] == *one);
        (jobs.len() - jobs.iter().filter(ended).count() == 1).then_some(())
    })
    .await;
    assert_eq!(deliveries(&admin, &id, "pending", 1).await.len(), 1);
}

async fn secrets_are_rotated_without_a_gap(engine: Engine) {
    let app = app(engine).await;
    let admin = app.administrator().await;
    let receiver = Receiver::start().await;
    let (id, old) = webhook(&admin, &receiver.url("/"), &["*"]).await;
    let rotate = format!("/webhooks/{id}/rotate-secret");
    admin.post(&rotate, json!({ "overlap_seconds": 604_801 })).await.problem_of(
        422,
        "validation",
        "overlap_seconds",
    );
    let rotated = admin.post(&rotate, json!({})).await.expect(200);
    let new = WebhookSecret::parse(rotated["secret"].as_str().unwrap()).unwrap();
    assert!(rotated["previous_secret_until"].is_string(), "{rotated}");
    let test = format!("/webhooks/{id}/test");
    admin.post(&test, Value::Null).await.expect(202);
    let of_test =
        |received: &[Received]| received.iter().find(|one| one.json()["type"] == "webhook.test").cloned();
    let both = eventually("the test", async || of_test(&receiver.received())).await;
    assert!(verified(&both, &old).is_some() && verified(&both, &new).is_some(), "{both:?}");
    let rotated = admin.post(&rotate, json!({ "overlap_seconds": 0 })).await.expect(200);
    let newest = WebhookSecret::parse(rotated["secret"].as_str().unwrap()).unwrap();
    let before = receiver.received().len();
    admin.post(&test, Value::Null).await.expect(202);
    let alone = eventually("the second test", async || of_test(&receiver.received()[before..])).await;
    assert!(verified(&alone, &newest).is_some() && verified(&alone, &new).is_none(), "{alone:?}");
}

async fn webhooks_are_of_one_organisation(engine: Engine) {
    let app = app(engine).await;
    let admin = app.administrator().await;
    let receiver = Receiver::start().await;
    let (id, _) = webhook(&admin, &receiver.url("/"), &["*"]).await;
    let ada = app.person(&admin, "ada").await;
    for path in ["/webhooks".to_owned(), format!("/webhooks/{id}"), "/v1/events".to_owned()] {
        ada.client.get(&path).await.problem(403, "permission_denied");
    }
    app.anonymous().get("/webhooks").await.problem(401, "unauthenticated");
    admin.get("/webhooks/00000000-0000-0000-0000-000000000000").await.problem(404, "not_found");
}

// A27, C37
async fn private_addresses_are_never_connected_to(engine: Engine) {
    // Plain http is allowed, addresses of this machine are not.
    let app = TestApp::builder(engine).env("WEBHOOK_INSECURE_ALLOW_HTTP", "true").start().await;
    let admin = app.administrator().await;
    let canary = Receiver::start().await;
    let port = canary.url("").rsplit_once(':').unwrap().1.to_owned();
    let hosts = [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "0.0.0.0",
        "0",
        "[::]",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::127.0.0.1]",
        "[2002:7f00:1::]",
        "[2001:0:7f00:1::]",
        "localhost",
        "LOCALHOST",
        "localhost.",
        "a.localhost",
        "127.0.0.1.",
        "①②⑦.0.0.1",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.0.1",
        "169.254.169.254",
        "100.64.0.1",
        "[fe80::1]",
        "[fd00::1]",
    ];
    for host in hosts {
        let url = format!("http://{host}:{port}/");
        let answer = admin.post("/webhooks", json!({ "url": url, "events": ["*"] })).await;
        answer.problem_of(422, "validation", "url");
    }
    assert_eq!(canary.received().len(), 0);
}

async fn a_silent_receiver_does_not_take_all_places(engine: Engine) {
    let app = app(engine).await;
    let admin = app.administrator().await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", silent.local_addr().unwrap());
    let connections = Arc::new(Mutex::new(Vec::new()));
    let accepted = Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((connection, _)) = silent.accept().await {
            accepted.lock().unwrap().push(connection);
        }
    });
    let (stuck, _) = webhook(&admin, &url, &["role.created"]).await;
    let receiver = Receiver::start().await;
    let (other, _) = webhook(&admin, &receiver.url("/"), &["role.created"]).await;
    for _ in 0..20 {
        admin.post(&format!("/webhooks/{stuck}/test"), Value::Null).await.expect(202);
    }
    admin.post(&format!("/webhooks/{other}/test"), Value::Null).await.expect(202);
    receiver.wait_for(1).await;
    let is_open = |connection: &TcpStream| {
        // What was sent is never read, so nothing but the end of the connection is nothing.
        let mut buffer = [0; 1 << 16];
        loop {
            match connection.try_read(&mut buffer) {
                Ok(0) => return false,
                Ok(_) => {}
                Err(error) => return error.kind() == std::io::ErrorKind::WouldBlock,
            }
        }
    };
    let open = connections.lock().unwrap().iter().filter(|connection| is_open(connection)).count();
    assert!(open <= 3, "{open} attempts at once");
}

async fn deliveries_go_on_after_a_kill(engine: Engine) {
    let builder = TestApp::builder(engine).env("WEBHOOK_ALLOWED_NETWORKS", "127.0.0.0/8");
    let builder = builder.env("WEBHOOK_INSECURE_ALLOW_HTTP", "true").env("JOB_LEASE_SECONDS", "5");
    let mut app = builder.start().await;
    let admin = app.administrator().await;
    let receiver = Receiver::start().await;
    receiver.answers(503, "retry-after: 3\r\n");
    let (id, _) = webhook(&admin, &receiver.url("/"), &["role.created"]).await;
    for n in 0..5 {
        admin.post("/roles", json!({ "name": format!("clerk-{n}") })).await.expect(201);
    }
    eventually("an attempt at each", async || {
        let found = admin.all(&format!("/webhooks/{id}/deliveries")).await;
        (found.len() == 5 && found.iter().all(|one| one["response_code"] == 503)).then_some(())
    })
    .await;
    app.server().kill();
    receiver.answers(204, "");
    app.restart().await;
    let admin = app.administrator().await;
    deliveries(&admin, &id, "delivered", 5).await;
    let names: std::collections::BTreeSet<_> =
        receiver.received().iter().map(|one| one.json()["data"]["name"].to_string()).collect();
    assert_eq!(names.len(), 5, "{names:?}");
}
