//! What messages say: every one that the product sends, as people read it, and words of others that nobody can send.

use serde_json::{Value, json};
use stylobate_tests::{Engine, Receiver, TestApp};

stylobate_tests::both_engines!(
    a_template_that_fails_later_silences_nothing,
    an_organisation_has_no_words_for_what_the_platform_says_of_accounts,
    what_is_too_long_is_refused_and_names_the_field
);

/// Lists, notifications in the product, short messages and chats say subject and text; mail says HTML too where there is some.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_message_says_what_it_said_before() {
    let app = TestApp::builder(Engine::Sqlite).env("PUBLIC_URL", "https://app.example.test").start().await;
    let admin = app.administrator().await;
    let kinds = admin.get("/notification-templates").await.expect(200);
    let mut said = Vec::new();
    for kind in kinds["items"].as_array().unwrap() {
        let text = |name: &str| kind[name].as_str().unwrap();
        for template in kind["templates"].as_array().unwrap() {
            let locale = template["locale"].as_str().unwrap();
            let path = format!("/notification-templates/{}/preview", text("kind"));
            let shown = admin.post(&path, json!({ "locale": locale })).await.expect(200);
            assert_eq!(shown["locale"], locale);
            let title = format!("{} ({}, {}, {locale})", text("kind"), text("category"), text("severity"));
            said.push(format!("=== {title} ===\n{}", as_read(&shown)));
        }
    }
    assert!(said.len() >= 2 * 5, "both languages of each kind: {said:?}");
    insta::assert_snapshot!("messages", said.join("\n"));
}

fn as_read(shown: &Value) -> String {
    let (subject, text) = (shown["subject"].as_str().unwrap(), shown["text"].as_str().unwrap());
    let html = shown["html"].as_str().map(|html| format!("--- html\n{html}\n")).unwrap_or_default();
    format!("--- subject\n{subject}\n--- text\n{text}{html}")
}

async fn an_organisation_has_no_words_for_what_the_platform_says_of_accounts(engine: Engine) {
    let app = TestApp::start(engine).await;
    let admin = app.administrator().await;
    let kinds = admin.get("/notification-templates").await.expect(200);
    let listed: Vec<_> = kinds["items"].as_array().unwrap().iter().map(|kind| &kind["kind"]).collect();
    assert!(listed.contains(&&json!("refresh_reuse_detected")), "{listed:?}");
    for kind in
        ["password_reset", "password_changed", "email_verification", "email_changed", "account_deleted"]
    {
        assert!(!listed.contains(&&json!(kind)), "{listed:?}");
        let path = format!("/notification-templates/{kind}");
        let own = json!({ "subject": "s", "text": "t" });
        admin.get(&path).await.problem(404, "not_found");
        admin.post(&format!("{path}/preview"), json!({})).await.problem(404, "not_found");
        admin.post(&format!("{path}/preview"), own.clone()).await.problem(404, "not_found");
        admin.put(&format!("{path}/en"), own).await.problem(404, "not_found");
        admin.delete(&format!("{path}/en")).await.problem(404, "not_found");
    }
    assert_eq!(app.place.count("SELECT count(*) FROM notify_templates").await, 0);
}

/// It passed with sample values, and does not with those that come.
async fn a_template_that_fails_later_silences_nothing(engine: Engine) {
    let builder = TestApp::builder(engine).env("WEBHOOK_ALLOWED_NETWORKS", "127.0.0.0/8");
    let app = builder.env("WEBHOOK_INSECURE_ALLOW_HTTP", "true").start().await;
    let admin = app.administrator().await;
    let receiver = Receiver::start().await;
    let new = json!({
        "channel_type": "webhook", "label": "x", "config": { "url": receiver.url("/") },
        // What making the administrator was about may be heard late.
        "events": ["role.created", "role.updated"],
    });
    admin.post("/notification-channels", new).await.expect(201);
    let path = "/notification-templates/event/en";
    let text = "{% if event == 'role.created' %}{{ event.no.such }}{% endif %}x\n";
    admin.put(path, json!({ "subject": "s", "text": text })).await.expect(200);
    let made = admin.post("/roles", json!({ "name": "clerk" })).await.expect(201);
    // It is said in the product's own words.
    let sent = receiver.wait_for(1).await;
    let body: Value = serde_json::from_slice(&sent[0].body).unwrap();
    assert!(body.to_string().contains("role.created") && !body.to_string().contains("\"s\""), "{body}");
    // What does not meet that line is said in theirs.
    let role = format!("/roles/{}", made["id"].as_str().unwrap());
    admin.patch(&role, json!({ "description": "d" })).await.expect(200);
    let sent = receiver.wait_for(2).await;
    let body = String::from_utf8_lossy(&sent[1].body).into_owned();
    assert!(body.contains("role.updated") && body.contains("\"s\""), "{body}");
    assert!(admin.all("/notification-deliveries?status=failed").await.is_empty());
}

async fn what_is_too_long_is_refused_and_names_the_field(engine: Engine) {
    let app = TestApp::start(engine).await;
    let admin = app.administrator().await;
    let ada = app.person(&admin, "ada").await;
    // Just below what a body may have, and above it.
    let (long, longer) = ("x".repeat(1_000_000), "x".repeat(1 << 20));
    let channel = |label: &str, address: &str| json!({ "channel_type": "email", "label": label, "config": { "address": address } });
    let note =
        |title: &str, message: &str| json!({ "recipient_id": ada.id, "title": title, "message": message });
    let template =
        |subject: &str, text: &str, html: &str| json!({ "subject": subject, "text": text, "html": html });
    let suppression =
        |address: &str, reason: &str| json!({ "medium": "email", "address": address, "reason": reason });
    let save = "/notification-templates/event/en";
    for (path, body, field) in [
        ("/notifications", note(&long, "m"), "title"),
        ("/notifications", note("t", &long), "message"),
        ("/notification-channels", channel(&long, "a@example.org"), "label"),
        ("/notification-channels", channel("l", &long), "config.address"),
        ("/notification-suppressions", suppression(&long, "r"), "address"),
        ("/notification-suppressions", suppression("a@example.org", &long), "reason"),
        ("/notification-templates/event/preview", template(&long, "t", "x"), "subject"),
        ("/notification-templates/event/preview", template("s", &long, "x"), "text"),
        ("/notification-templates/event/preview", template("s", "t", &long), "html"),
    ] {
        admin.post(path, body).await.problem_of(422, "validation", field);
    }
    for (body, field) in [
        (template(&long, "t", "x"), "subject"),
        (template("s", &long, "x"), "text"),
        (template("s", "t", &long), "html"),
        // Short, and long when it is rendered.
        (
            template(
                "s",
                "{% for a in range(9999) %}{% for b in range(9999) %}{{ a }}{{ b }}{% endfor %}{% endfor %}",
                "x",
            ),
            "text",
        ),
    ] {
        admin.put(save, body).await.problem_of(422, "validation", field);
    }
    admin.post("/notifications", note("t", &longer)).await.problem(413, "body_too_large");
    admin.put(save, template("s", &longer, "x")).await.problem(413, "body_too_large");
    // What is no language.
    let sound = json!({ "subject": "s", "text": "t\n" });
    for locale in ["no%20locale", "x", "en_U%24", &"e".repeat(1_000)] {
        let answer = admin.put(&format!("/notification-templates/event/{locale}"), sound.clone()).await;
        answer.problem_of(422, "validation", "locale");
    }
    assert_eq!(app.place.count("SELECT count(*) FROM notify_templates").await, 0);
    assert_eq!(app.place.count("SELECT count(*) FROM notification_channels").await, 0);
}
