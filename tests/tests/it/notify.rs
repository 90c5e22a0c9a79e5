//! Messages: what happens over HTTP is heard by channels, mails and open connections, and the log says what came of each.

use serde_json::{Value, json};
use stylobate_tests::{Client, Engine, PASSWORD, Receiver, TestApp, eventually};

use crate::decisions::give;

stylobate_tests::both_engines!(
    an_event_notifies_a_channel_and_the_log_tells_what_came_of_it,
    channels_are_checked_and_show_no_secret,
    channels_and_notifications_are_of_their_owner,
    who_looks_after_what_is_switched_off_is_told,
    messages_are_measured,
    the_owner_of_a_reused_refresh_token_is_told,
    templates_are_checked_when_they_are_saved,
    notifications_are_listed_counted_and_read,
    nothing_is_sent_to_suppressed_addresses,
    preferences_are_kept,
    what_belonged_to_a_person_goes_with_them
);

/// An installation that sends webhooks to this machine, in the clear.
async fn app(engine: Engine) -> TestApp {
    let builder = TestApp::builder(engine).env("WEBHOOK_ALLOWED_NETWORKS", "127.0.0.0/8");
    builder.env("WEBHOOK_INSECURE_ALLOW_HTTP", "true").start().await
}

fn webhook(url: &str, events: &[&str]) -> Value {
    json!({ "channel_type": "webhook", "label": "On call", "config": { "url": url }, "events": events })
}

/// The delivery through a channel that `is_wanted`, once it is there.
pub(crate) async fn delivery(client: &Client, channel: &str, is_wanted: impl Fn(&Value) -> bool) -> Value {
    let path = format!("/notification-deliveries?channel_id={channel}");
    eventually("a delivery of the channel", async || {
        client.all(&path).await.into_iter().find(|one| is_wanted(one))
    })
    .await
}

async fn an_event_notifies_a_channel_and_the_log_tells_what_came_of_it(engine: Engine) {
    let app = app(engine).await;
    let admin = app.administrator().await;
    let receiver = Receiver::start().await;
    let made = admin.post("/notification-channels", webhook(&receiver.url("/hook"), &["role.*"])).await;
    let made = made.expect(201);
    let id = made["id"].as_str().unwrap().to_owned();
    assert!(made["secret"].as_str().unwrap().starts_with("whsec_"), "{made}");

    let test = admin.post(&format!("/notification-channels/{id}/test"), Value::Null).await.expect(202);
    assert_eq!((&test["kind"], &test["channel_id"]), (&json!("channel_test"), &json!(id)));
    let sent = receiver.wait_for(1).await;
    assert_eq!(sent[0].line, "POST /hook");
    assert!(!sent[0].header("webhook-signature").is_empty(), "{sent:?}");
    let tested = delivery(&admin, &id, |one| one["kind"] == "channel_test" && one["status"] == "sent").await;
    assert_eq!((&tested["id"], &tested["response_code"]), (&test["id"], &json!(204)), "{tested}");

    admin.post("/roles", json!({ "name": "clerk" })).await.expect(201);
    eventually("the new role to be told", async || {
        let heard = receiver.received();
        heard.iter().any(|one| String::from_utf8_lossy(&one.body).contains("role.created")).then_some(())
    })
    .await;
    let told = delivery(&admin, &id, |one| one["kind"] == "event" && one["status"] == "sent").await;
    assert_eq!((&told["reason"], &told["error"]), (&Value::Null, &Value::Null), "{told}");
    // What it does not listen to is not sent.
    app.person(&admin, "ada").await;

    receiver.answers(500, "");
    admin.post("/roles", json!({ "name": "guard" })).await.expect(201);
    let failing = delivery(&admin, &id, |one| one["error"].is_string()).await;
    assert_eq!(
        (&failing["status"], &failing["response_code"]),
        (&json!("pending"), &json!(500)),
        "{failing}"
    );
    assert!(failing["due_at"].is_string() && failing["attempts"].as_u64() >= Some(1), "{failing}");
    receiver.answers(410, "");
    admin.post("/roles", json!({ "name": "cook" })).await.expect(201);
    let refused = delivery(&admin, &id, |one| one["status"] == "failed").await;
    assert_eq!(
        (&refused["reason"], &refused["response_code"]),
        (&json!("refused"), &json!(410)),
        "{refused}"
    );
    // Who says that there is nothing any more is asked no more.
    let stopped = eventually("the channel to be switched off", async || {
        let shown = admin.get(&format!("/notification-channels/{id}")).await.expect(200);
        (shown["is_active"] == false).then_some(shown)
    })
    .await;
    assert_eq!(stopped["disabled_reason"], "gone", "{stopped}");
    admin
        .post(&format!("/notification-channels/{id}/test"), Value::Null)
        .await
        .problem(409, "notify_channel_inactive");
    let heard = receiver.received();
    assert!(
        heard.iter().all(|one| !String::from_utf8_lossy(&one.body).contains("user.created")),
        "{heard:?}"
    );
}

/// The notifications of `kind`, once there is one.
async fn told(client: &Client, kind: &str) -> Vec<Value> {
    eventually("a notification", async || {
        let mut found = client.all("/notifications").await;
        found.retain(|one| one["kind"] == kind);
        (!found.is_empty()).then_some(found)
    })
    .await
}

async fn who_looks_after_what_is_switched_off_is_told(engine: Engine) {
    let app = app(engine).await;
    let admin = app.administrator().await;
    let (ada, bob) = (app.person(&admin, "ada").await, app.person(&admin, "bob").await);
    give(&admin, &ada, "integrator", &["webhook.manage"]).await;
    let receiver = Receiver::start().await;
    receiver.answers(410, "");
    let hook = json!({ "url": receiver.url("/endpoint"), "events": ["role.created"] });
    let hook = admin.post("/webhooks", hook).await.expect(201)["id"].as_str().unwrap().to_owned();
    admin.post("/roles", json!({ "name": "clerk" })).await.expect(201);
    for client in [&admin, &ada.client] {
        let found = told(client, "webhook_disabled").await;
        let one = &found[0];
        assert_eq!(
            (found.len(), &one["severity"], &one["category"]),
            (1, &json!("warning"), &json!("alert"))
        );
        assert_eq!((&one["entity_type"], &one["entity_id"]), (&json!("webhook"), &json!(hook)), "{one}");
        assert!(one["message"].as_str().unwrap().contains(&hook), "{one}");
    }

    // The channel of the organisation, whose other channels hear of it and itself does not.
    let gone = Receiver::start().await;
    gone.answers(410, "");
    let lost = webhook(&gone.url("/channel"), &["role.created", "notification_channel.*"]);
    let lost = admin.post("/notification-channels", lost).await.expect(201);
    let other = Receiver::start().await;
    let other_hook = webhook(&other.url("/"), &["notification_channel.*"]);
    admin.post("/notification-channels", other_hook).await.expect(201);
    admin.post("/roles", json!({ "name": "cook" })).await.expect(201);
    let found = told(&admin, "channel_disabled").await;
    assert_eq!((found.len(), &found[0]["entity_id"]), (1, &lost["id"]), "{found:?}");
    assert!(found[0]["title"].as_str().unwrap().contains("On call"), "{found:?}");
    let heard = other.wait_for(1).await;
    assert!(String::from_utf8_lossy(&heard[0].body).contains("notification_channel.disabled"), "{heard:?}");
    assert_eq!(gone.received().len(), 1);
    // Who manages webhooks does not manage channels.
    let all = ada.client.all("/notifications").await;
    assert!(all.iter().all(|one| one["kind"] != "channel_disabled"), "{all:?}");

    // A person's own: themselves, and nobody else.
    let own = webhook(&gone.url("/own"), &["*"]);
    let own = bob.client.post("/notification-channels/me", own).await.expect(201);
    bob.client
        .post(&format!("/notification-channels/me/{}/test", own["id"].as_str().unwrap()), Value::Null)
        .await
        .expect(202);
    let found = told(&bob.client, "channel_disabled").await;
    assert_eq!((found.len(), &found[0]["entity_id"]), (1, &own["id"]), "{found:?}");
    assert_eq!(bob.client.all("/notifications").await.len(), 1);
    assert_eq!(told(&admin, "channel_disabled").await.len(), 1);
    assert_eq!(gone.received().len(), 2);
}

async fn messages_are_measured(engine: Engine) {
    let app = app(engine).await;
    let admin = app.administrator().await;
    let receiver = Receiver::start().await;
    let made =
        admin.post("/notification-channels", webhook(&receiver.url("/"), &["none.*"])).await.expect(201);
    let id = made["id"].as_str().unwrap();
    admin.post(&format!("/notification-channels/{id}/test"), Value::Null).await.expect(202);
    let wanted = [
        r#"notify_deliveries_total{medium="webhook",outcome="sent"} 1"#,
        r#"notify_delivery_seconds_count{medium="webhook"} 1"#,
        "notify_pending 0",
        "notify_overdue_seconds 0",
        "live_connections 0",
    ];
    let text = eventually("what was sent to be measured", async || {
        let text = app.anonymous().get("/metrics").await.text;
        wanted.iter().all(|line| text.lines().any(|one| one == *line)).then_some(text)
    })
    .await;
    for line in text.lines().filter(|line| line.starts_with("notify_")) {
        let names: Vec<_> = line.split(['{', ',']).filter_map(|part| part.split_once("=\"")).collect();
        assert!(names.iter().all(|(name, _)| ["medium", "outcome", "le"].contains(name)), "{line}");
    }
    assert!(!text.contains(id) && !text.contains(&receiver.url("/")), "labels come from a closed set");
}

async fn channels_are_checked_and_show_no_secret(engine: Engine) {
    let app = app(engine).await;
    let admin = app.administrator().await;
    let of = |channel_type: &str, config: Value| json!({ "channel_type": channel_type, "label": "x", "config": config });
    let refused = [
        (of("slack", json!({ "url": "https://evil.test/hook" })), "config.url"),
        (of("slack", json!({ "url": "https://hooks.slack.com.evil.test/hook" })), "config.url"),
        (of("mattermost", json!({ "url": "https://chat.test/hook" })), "config.url"),
        (of("webhook", json!({ "url": "http://169.254.169.254/latest" })), "config.url"),
        (of("telegram", json!({ "bot_token": "x", "chat_id": "1" })), "config.bot_token"),
        (of("email", json!({ "address": "a@example.org\r\nBcc: b@example.org" })), "config.address"),
        (of("sms", json!({})), "channel_type"),
        (of("pigeon", json!({})), "channel_type"),
    ];
    for (body, field) in refused {
        admin.post("/notification-channels", body).await.problem_of(422, "validation", field);
    }
    let mut foreign = webhook("http://127.0.0.1:9/", &["*"]);
    foreign["tenant_id"] = json!("0198c5f0-0000-7000-8000-000000000001");
    admin.post("/notification-channels", foreign).await.problem_of(422, "validation", "tenant_id");
    let slack = "https://hooks.slack.com/services/T0/B0/canary0secret";
    let made = admin.post("/notification-channels", of("slack", json!({ "url": slack }))).await.expect(201);
    let path = format!("/notification-channels/{}", made["id"].as_str().unwrap());
    let shown = admin.get(&path).await.expect(200);
    assert!(shown.get("config").is_none() && !shown.to_string().contains("canary"), "{shown}");
    let changed = json!({ "label": "On call", "is_active": false, "version": shown["version"] });
    let changed = admin.put(&path, changed).await.expect(200);
    assert_eq!((&changed["label"], &changed["disabled_reason"]), (&json!("On call"), &json!("by_hand")));
    admin.put(&path, json!({ "label": "y", "version": shown["version"] })).await.problem(409, "stale");
    admin.delete(&path).await.expect(204);
    admin.get(&path).await.problem(404, "not_found");
    let audit = admin.all("/audit-events").await;
    for action in ["create", "update", "delete"] {
        let action = format!("notification_channel.{action}");
        assert!(audit.iter().any(|event| event["action"] == *action), "{action}");
    }
    assert!(!json!(audit).to_string().contains("canary"), "{audit:?}");
}

async fn channels_and_notifications_are_of_their_owner(engine: Engine) {
    let app = app(engine).await;
    let admin = app.administrator().await;
    let (ada, bob) = (app.person(&admin, "ada").await, app.person(&admin, "bob").await);
    let shared = admin.post("/notification-channels", webhook("http://127.0.0.1:9/", &["none.*"])).await;
    let shared = shared.expect(201)["id"].as_str().unwrap().to_owned();
    ada.client.get("/notification-channels").await.problem(403, "permission_denied");
    ada.client.get(&format!("/notification-channels/{shared}")).await.problem(403, "permission_denied");
    let own = ada.client.post("/notification-channels/me", webhook("http://127.0.0.1:9/", &["*"])).await;
    let own = own.expect(201)["id"].as_str().unwrap().to_owned();
    assert_eq!(ada.client.all("/notification-channels/me").await.len(), 1);
    for (client, path) in [
        (&bob.client, format!("/notification-channels/me/{own}")),
        (&ada.client, format!("/notification-channels/me/{shared}")),
        (&admin, format!("/notification-channels/me/{own}")),
        (&admin, format!("/notification-channels/{own}")),
    ] {
        client.get(&path).await.problem(404, "not_found");
        client.put(&path, json!({ "label": "x" })).await.problem(404, "not_found");
        client.post(&format!("{path}/test"), Value::Null).await.problem(404, "not_found");
        client.delete(&path).await.problem(404, "not_found");
    }
    let test =
        ada.client.post(&format!("/notification-channels/me/{own}/test"), Value::Null).await.expect(202);
    let log = format!("/notification-channels/me/{own}/deliveries");
    let tried = eventually("what came of the test", async || {
        ada.client.all(&log).await.pop().filter(|one| one["error"].is_string())
    })
    .await;
    assert_eq!((&tried["id"], &tried["error"]), (&test["id"], &json!("egress_connect_failed")), "{tried}");
    for client in [&bob.client, &admin] {
        client.get(&log).await.problem(404, "not_found");
    }
    // Otherwise anybody could have the product write to anybody.
    let mail = json!({ "channel_type": "email", "label": "x", "config": { "address": "bob@example.org" } });
    ada.client.post("/notification-channels/me", mail).await.problem_of(422, "validation", "config.address");

    let written =
        json!({ "recipient_id": ada.id, "title": "Hello", "action_url": "/invoices/7", "type": "warning" });
    ada.client.post("/notifications", written.clone()).await.problem(403, "permission_denied");
    let written = admin.post("/notifications", written).await.expect(201);
    assert_eq!((&written["severity"], &written["link"]), (&json!("warning"), &json!("/invoices/7")));
    let read = format!("/notifications/{}/read", written["id"].as_str().unwrap());
    bob.client.post(&read, Value::Null).await.problem(404, "not_found");
    assert!(bob.client.all("/notifications").await.is_empty());
    let stranger = "0198c5f0-0000-7000-8000-000000000001";
    for (body, field) in [
        (json!({ "recipient_id": stranger, "title": "x" }), "recipient_id"),
        (json!({ "recipient_id": ada.id, "title": "x", "sender_id": bob.id }), "sender_id"),
        (json!({ "recipient_id": ada.id, "title": "x", "link": "//evil.test" }), "link"),
        (json!({ "recipient_id": ada.id, "title": "x", "link": "javascript:alert(1)" }), "link"),
        (json!({ "recipient_id": ada.id, "title": "x\ny" }), "title"),
        (json!({ "recipient_id": ada.id, "title": "x", "is_read": true }), "is_read"),
    ] {
        admin.post("/notifications", body).await.problem_of(422, "validation", field);
    }
}

async fn the_owner_of_a_reused_refresh_token_is_told(engine: Engine) {
    let app = app(engine).await;
    let admin = app.administrator().await;
    let ada = app.person(&admin, "ada").await;
    let login = json!({ "username": "ada", "password": PASSWORD });
    let tokens = app.anonymous().post("/auth/login", login).await.expect(200);
    let old = json!({ "refresh_token": tokens["refresh_token"] });
    let renewed = app.anonymous().post("/auth/refresh", old.clone()).await.expect(200);
    let newer = json!({ "refresh_token": renewed["refresh_token"] });
    app.anonymous().post("/auth/refresh", newer).await.expect(200);
    app.anonymous().post("/auth/refresh", old).await.problem(401, "refresh_invalid");
    let listed = eventually("a mail in the outbox", async || {
        let page = admin.get("/outbox").await;
        page.text.split("outbox/").nth(1).and_then(|rest| rest.split('"').next()).map(str::to_owned)
    })
    .await;
    let mail = admin.get(&format!("/outbox/{listed}")).await;
    assert_eq!(mail.header("content-type"), Some("text/plain; charset=utf-8"));
    let text = &mail.text;
    assert!(text.contains("ada@example.org") && text.contains("multipart/alternative"), "{text}");
    assert!(text.contains("signed out"), "{text}");
    ada.client.get("/outbox").await.problem(403, "permission_denied");
    admin.get("/outbox/0198c5f0-0000-7000-8000-000000000001").await.problem(404, "not_found");
    admin.get("/outbox/..%2Fkek").await.problem(422, "validation");
    let told = eventually("a notification", async || ada.client.all("/notifications").await.pop()).await;
    assert_eq!((&told["kind"], &told["category"]), (&json!("refresh_reuse_detected"), &json!("security")));
    // The log has it, and not what it says.
    let log = admin.all("/notification-deliveries?medium=email").await;
    assert_eq!((log.len(), &log[0]["status"]), (1, &json!("sent")), "{log:?}");
    assert!(!json!(log).to_string().contains("ada@example.org"), "{log:?}");
}

async fn templates_are_checked_when_they_are_saved(engine: Engine) {
    let app = app(engine).await;
    let admin = app.administrator().await;
    let kinds = admin.get("/notification-templates").await.expect(200);
    let names: Vec<_> = kinds["items"].as_array().unwrap().iter().map(|kind| kind["kind"].clone()).collect();
    assert!(names.contains(&json!("refresh_reuse_detected")), "{names:?}");
    let path = "/notification-templates/event/en";
    let good =
        json!({ "subject": "Note: {{ event }}", "text": "{{ event }} by {{ actor }}\n", "version": 0 });
    for (part, text) in [
        ("subject", "{{ secret }}"),
        ("text", "{{ event"),
        ("text", "{% include 'x' %}"),
        ("text", "https://evil.test/"),
        ("html", "<script>alert(1)</script>"),
        ("html", "<a href=\"https://evil.test\">x</a>"),
    ] {
        let mut body = good.clone();
        body[part] = json!(text);
        admin.put(path, body).await.problem_of(422, "validation", part);
    }
    admin.put("/notification-templates/none/en", good.clone()).await.problem(404, "not_found");
    for locale in ["e", "en%20US", "1en"] {
        let path = format!("/notification-templates/event/{locale}");
        admin.put(&path, good.clone()).await.problem_of(422, "validation", "locale");
    }
    let nowhere = json!({ "locale": "en US" });
    let shown = admin.post("/notification-templates/event/preview", nowhere).await;
    shown.problem_of(422, "validation", "locale");
    let draft = json!({ "subject": "Draft: {{ event }}", "text": "x\n" });
    let shown = admin.post("/notification-templates/event/preview", draft).await.expect(200);
    assert_eq!(shown["subject"], "Draft: user.created");
    let saved = admin.put(path, good.clone()).await.expect(200);
    assert_eq!((&saved["locale"], &saved["is_platform"]), (&json!("en"), &json!(false)), "{saved}");
    // Every spelling of a language is that one.
    admin.put("/notification-templates/event/EN", good.clone()).await.problem(409, "stale");
    admin.put(path, good).await.problem(409, "stale");
    let kinds = admin.get("/notification-templates").await.expect(200);
    let event = kinds["items"].as_array().unwrap().iter().find(|kind| kind["kind"] == "event").unwrap();
    assert_eq!(event["overrides"][0]["locale"], "en", "{event}");
    assert!(event["overrides"][0].get("text").is_none(), "{event}");
    let read = admin.get("/notification-templates/event").await.expect(200);
    assert_eq!(read["overrides"][0]["subject"], "Note: {{ event }}", "{read}");
    let shown =
        admin.post("/notification-templates/event/preview", json!({ "locale": "en" })).await.expect(200);
    assert_eq!(shown["subject"], "Note: user.created");
    // What is sent from now on says so.
    let receiver = Receiver::start().await;
    admin.post("/notification-channels", webhook(&receiver.url("/"), &["role.created"])).await.expect(201);
    admin.post("/roles", json!({ "name": "clerk" })).await.expect(201);
    let sent = receiver.wait_for(1).await;
    let body = String::from_utf8_lossy(&sent[0].body).into_owned();
    assert!(body.contains("Note: role.created"), "{body}");
    admin.delete(path).await.expect(204);
    admin.delete(path).await.problem(404, "not_found");
}

async fn notifications_are_listed_counted_and_read(engine: Engine) {
    let app = app(engine).await;
    let admin = app.administrator().await;
    let ada = app.person(&admin, "ada").await;
    for title in ["one", "two", "three"] {
        let body = json!({ "recipient_id": ada.id, "title": title, "message": "m" });
        admin.post("/notifications", body).await.expect(201);
    }
    let unread = async |path: &str| ada.client.get(path).await.expect(200)["unread_count"].clone();
    assert_eq!(unread("/notifications/unread-count").await, 3);
    let listed = ada.client.all("/notifications").await;
    let titles: Vec<_> = listed.iter().map(|one| one["title"].as_str().unwrap()).collect();
    assert_eq!(titles, ["three", "two", "one"]);
    let id = listed[1]["id"].as_str().unwrap();
    let read = ada.client.post(&format!("/notifications/{id}/read"), Value::Null).await.expect(200);
    assert_eq!(read["is_read"], true);
    let again = ada.client.post(&format!("/notifications/me/{id}/read"), Value::Null).await.expect(200);
    assert_eq!(again["read_at"], read["read_at"]);
    let left = ada.client.all("/notifications/me?unread_only=true").await;
    assert_eq!(left.len(), 2, "{left:?}");
    let all = ada.client.post("/notifications/read-all", Value::Null).await.expect(200);
    assert_eq!((&all["read"], unread("/notifications/me/unread-count").await), (&json!(2), json!(0)));
}

async fn nothing_is_sent_to_suppressed_addresses(engine: Engine) {
    let app = app(engine).await;
    let admin = app.administrator().await;
    let address = json!({ "medium": "email", "address": "oncall@example.org", "reason": "left" });
    let made = admin.post("/notification-suppressions", address.clone()).await.expect(201);
    assert_ne!(made["destination"], "oncall@example.org");
    let mail = json!({ "channel_type": "email", "label": "x", "config": { "address": "OnCall@example.org" }, "events": ["role.created"] });
    let channel = admin.post("/notification-channels", mail).await.expect(201);
    let id = channel["id"].as_str().unwrap();
    admin.post("/roles", json!({ "name": "clerk" })).await.expect(201);
    let dropped = delivery(&admin, id, |one| one["status"] == "dropped").await;
    assert_eq!(dropped["reason"], "suppressed", "{dropped}");
    let path = format!("/notification-suppressions/{}", made["id"].as_str().unwrap());
    admin.delete(&path).await.expect(204);
    assert!(admin.all("/notification-suppressions").await.is_empty());
    admin.post("/roles", json!({ "name": "cook" })).await.expect(201);
    delivery(&admin, id, |one| one["status"] == "sent").await;

    let past = json!({ "medium": "email", "address": "a@example.org", "reason": "r", "expires_at": "2020-01-01T00:00:00Z" });
    admin.post("/notification-suppressions", past).await.problem_of(422, "validation", "expires_at");
    // What counts for all organisations is decided elsewhere, and is none of theirs.
    let path = "/notification-suppressions/platform";
    let made = admin.post(path, address).await.expect(201);
    let one = format!("/notification-suppressions/{}", made["id"].as_str().unwrap());
    admin.delete(&one).await.problem(404, "not_found");
    assert!(admin.all("/notification-suppressions").await.is_empty());
    assert_eq!(admin.all(path).await.len(), 1);
    let tested = admin.post(&format!("/notification-channels/{id}/test"), Value::Null).await.expect(202);
    let dropped = delivery(&admin, id, |one| one["id"] == tested["id"] && one["status"] == "dropped").await;
    assert_eq!(dropped["reason"], "suppressed", "{dropped}");
    let ada = app.person(&admin, "ada").await;
    ada.client.get(path).await.problem(403, "permission_denied");
    admin.delete(&format!("{path}/{}", made["id"].as_str().unwrap())).await.expect(204);
    assert!(admin.all(path).await.is_empty());
}

async fn preferences_are_kept(engine: Engine) {
    let app = app(engine).await;
    let admin = app.administrator().await;
    let path = "/notification-preferences";
    let nothing = json!({ "quiet_hours": null, "muted": [] });
    assert_eq!(admin.get(path).await.expect(200), nothing);
    let set = json!({ "quiet_hours": { "from_min": 1320, "to_min": 420 }, "muted": ["deploy"] });
    assert_eq!(admin.put(path, set.clone()).await.expect(200), set);
    assert_eq!(admin.get(path).await.expect(200), set);
    let wrong = json!({ "quiet_hours": { "from_min": 1440, "to_min": 0 } });
    admin.put(path, wrong).await.problem_of(422, "validation", "quiet_hours");
    let wrong = json!({ "muted": ["deploy", "security"] });
    admin.put(path, wrong).await.problem_of(422, "validation", "muted");
    assert_eq!(admin.get(path).await.expect(200), set);
}

async fn what_belonged_to_a_person_goes_with_them(engine: Engine) {
    let app = app(engine).await;
    let admin = app.administrator().await;
    let ada = app.person(&admin, "ada").await;
    ada.client.post("/notification-channels/me", webhook("http://127.0.0.1:9/", &["*"])).await.expect(201);
    let body = json!({ "recipient_id": ada.id, "title": "x" });
    admin.post("/notifications", body).await.expect(201);
    let rows = async || {
        let channels = app.place.count("SELECT count(*) FROM notification_channels").await;
        channels + app.place.count("SELECT count(*) FROM notifications").await
    };
    assert_eq!(rows().await, 2);
    admin.delete(&format!("/people/{}", ada.id)).await.expect(204);
    eventually("the rows to go", async || (rows().await == 0).then_some(())).await;
}
