//! Mail by real servers: what arrives, what is refused, put off or waited for, and what nobody is told about it.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use stylobate_tests::{Client, Engine, MailServer, PASSWORD, Proxy, ReceivedMail, TestApp, eventually};

use crate::notify::delivery;

stylobate_tests::both_engines!(
    mails_arrive_whole_by_each_kind_of_server,
    the_same_message_is_one_mail,
    a_mailbox_that_does_not_exist_is_left_alone,
    what_is_put_off_waits,
    a_server_with_the_certificate_of_another_gets_nothing,
    mail_waits_while_the_server_is_down_and_goes_when_it_is_back,
    a_slow_server_holds_nobody,
    no_address_and_no_password_is_told
);

/// A channel to `address` that hears of new roles.
async fn channel(client: &Client, address: &str) -> String {
    let config = json!({ "address": address });
    let new =
        json!({ "channel_type": "email", "label": "On call", "config": config, "events": ["role.created"] });
    client.post("/notification-channels", new).await.expect(201)["id"].as_str().unwrap().to_owned()
}

/// Something happens that channels hear of.
async fn role(client: &Client, name: &str) {
    client.post("/roles", json!({ "name": name })).await.expect(201);
}

/// The mails to `address`, once there is one.
async fn mails(address: &str) -> Vec<ReceivedMail> {
    eventually("a mail", async || Some(MailServer::mails_to(address)).filter(|mails| !mails.is_empty())).await
}

/// Uses a refresh token of `username` again and again after it was used up, of which its owner is told.
async fn reuse_a_refresh_token(app: &TestApp, username: &str) {
    let first = app.login(username).await;
    let refresh = async |client: &Client| {
        let body = json!({ "refresh_token": client.refresh_token });
        client.anonymous().post("/auth/refresh", body).await
    };
    let second = first.with_tokens(&refresh(&first).await.expect(200));
    refresh(&second).await.expect(200);
    for _ in 0..3 {
        refresh(&first).await.problem(401, "refresh_invalid");
    }
}

/// What `/health` says about mail; the server stays ready whatever that is.
async fn mail_health(app: &TestApp) -> Value {
    app.anonymous().get("/health/ready").await.expect(200);
    let health = app.anonymous().get("/health").await.expect(200);
    let (mail, whole) = (&health["checks"]["mail"]["status"], &health["status"]);
    assert!(mail == "up" || whole == "degraded", "{health}");
    health["checks"]["mail"].clone()
}

/// Once `/health` says that no mail is taken, for this reason and in no more words.
async fn mail_is_down(app: &TestApp, code: &str) {
    let down = eventually("mail to be down", async || {
        Some(mail_health(app).await).filter(|mail| mail["status"] == "down")
    })
    .await;
    let said = json!({ "status": "down", "latency_ms": down["latency_ms"], "detail": code });
    assert_eq!(down, said);
}

/// Once `/health` says that mail is taken.
async fn mail_is_up(app: &TestApp) {
    eventually("mail to be up", async || (mail_health(app).await["status"] == "up").then_some(())).await;
}

/// C50
async fn mails_arrive_whole_by_each_kind_of_server(engine: Engine) {
    for server in MailServer::ALL {
        let app = TestApp::builder(engine).mail(&server.url()).start().await;
        let admin = app.administrator().await;
        mail_is_up(&app).await;
        let to = MailServer::fresh_address("oncall");
        let id = channel(&admin, &to).await;
        let test = admin.post(&format!("/notification-channels/{id}/test"), Value::Null).await.expect(202);
        let tested =
            delivery(&admin, &id, |one| one["kind"] == "channel_test" && one["status"] == "sent").await;
        assert_eq!((&tested["id"], &tested["response_code"]), (&test["id"], &json!(250)), "{tested}");
        role(&admin, "clerk").await;
        delivery(&admin, &id, |one| one["kind"] == "event" && one["status"] == "sent").await;
        let arrived = MailServer::mails_to(&to);
        assert_eq!(arrived.len(), 2, "{arrived:?}");
        let told = arrived.iter().find(|mail| mail.fields("subject") == ["Stylobate: role.created"]);
        is_one_mail(told.unwrap_or_else(|| panic!("{arrived:?}")), &to);

        // A name that would like to be a header, a recipient and a link.
        let (to, name) = (
            MailServer::fresh_address("ada"),
            "Ada, \"x\" <eve@evil.test>, https://evil.test =?utf-8?q?=0D=0ABcc:_eve@evil.test?=",
        );
        let new = json!({
            "first_name": name, "last_name": "Lovelace", "username": "ada", "email": to, "password": PASSWORD,
        });
        admin.post("/people", new).await.expect(201);
        reuse_a_refresh_token(&app, "ada").await;
        let mails = mails(&to).await;
        is_one_mail(&mails[0], &to);
        assert_eq!(mails[0].fields("subject"), ["Stylobate: you have been signed out, to be safe"]);
        assert!(mails[0].fields("content-type")[0].starts_with("multipart/alternative"), "{:?}", mails[0]);
        assert!(!mails[0].body.contains("https://evil.test"), "{:?}", mails[0]);
    }
}

/// From us, to one recipient, with every field once.
fn is_one_mail(mail: &ReceivedMail, to: &str) {
    assert_eq!(mail.fields("from"), ["Example <no-reply@example.test>"], "{mail:?}");
    let [recipient] = mail.fields("to")[..] else { panic!("{mail:?}") };
    assert!(recipient == to || recipient.ends_with(&format!("<{to}>")), "{recipient}");
    for field in ["subject", "date", "message-id", "mime-version", "content-type", "auto-submitted"] {
        assert_eq!(mail.fields(field).len(), 1, "{field} of {mail:?}");
    }
    for field in ["bcc", "cc", "sender", "reply-to"] {
        assert!(mail.fields(field).is_empty(), "{field} of {mail:?}");
    }
}

async fn the_same_message_is_one_mail(engine: Engine) {
    let app = TestApp::builder(engine).mail(&MailServer::StartTls.url()).start().await;
    let admin = app.administrator().await;
    let to = MailServer::fresh_address("ada");
    admin.add_person("ada", &to).await;
    reuse_a_refresh_token(&app, "ada").await;
    assert_eq!(mails(&to).await.len(), 1);
    // Of another session it is another message. When that is there, what was said of the first is there too.
    reuse_a_refresh_token(&app, "ada").await;
    eventually("the second mail", async || (MailServer::mails_to(&to).len() > 1).then_some(())).await;
    assert_eq!(MailServer::mails_to(&to).len(), 2);
    assert_eq!(admin.all("/notification-deliveries?medium=email").await.len(), 2);
}

async fn a_mailbox_that_does_not_exist_is_left_alone(engine: Engine) {
    let app = TestApp::builder(engine).mail(&MailServer::StartTls.url()).start().await;
    let admin = app.administrator().await;
    let to = MailServer::fresh_address("refuse-550");
    admin.add_person("ada", &to).await;
    reuse_a_refresh_token(&app, "ada").await;
    let mail = async |status: &str| {
        let path = format!("/notification-deliveries?medium=email&status={status}");
        eventually(status, async || admin.all(&path).await.pop()).await
    };
    let failed = mail("failed").await;
    let told = (&failed["reason"], &failed["error"], &failed["response_code"]);
    assert_eq!(told, (&json!("bad_recipient"), &json!("smtp_recipient_refused"), &json!(550)), "{failed}");
    // Nothing is sent there any more, whoever wants to.
    reuse_a_refresh_token(&app, "ada").await;
    assert_eq!(mail("dropped").await["reason"], "suppressed");
    let id = channel(&admin, &to).await;
    role(&admin, "clerk").await;
    let dropped = delivery(&admin, &id, |one| one["status"] != "pending").await;
    assert_eq!(
        (&dropped["status"], &dropped["reason"]),
        (&json!("dropped"), &json!("suppressed")),
        "{dropped}"
    );
    // It is listed, with most of it hidden, and can be lifted.
    let [listed] = &admin.all("/notification-suppressions/platform").await[..] else { panic!("one") };
    assert_eq!(
        (&listed["medium"], &listed["reason"]),
        (&json!("email"), &json!("bad_recipient")),
        "{listed}"
    );
    assert!(listed["expires_at"].is_string() && !listed.to_string().contains(&to), "{listed}");
    let path = format!("/notification-suppressions/platform/{}", listed["id"].as_str().unwrap());
    admin.delete(&path).await.expect(204);
    role(&admin, "cook").await;
    delivery(&admin, &id, |one| one["response_code"] == 550).await;

    // A channel that leads to nobody says so too, and no other refusal says anything about an address.
    for (name, reason, code, status, again) in [
        ("refuse-550", "bad_recipient", "smtp_recipient_refused", 550, ("dropped", "suppressed")),
        ("refuse-554", "refused", "smtp_refused", 554, ("failed", "refused")),
    ] {
        let id = channel(&admin, &MailServer::fresh_address(name)).await;
        role(&admin, &format!("first-{status}")).await;
        let failed = delivery(&admin, &id, |one| one["status"] != "pending").await;
        let told = (&failed["status"], &failed["reason"], &failed["error"], &failed["response_code"]);
        assert_eq!(told, (&json!("failed"), &json!(reason), &json!(code), &json!(status)), "{failed}");
        role(&admin, &format!("second-{status}")).await;
        let is_next = |one: &Value| one["id"] != failed["id"] && one["status"] != "pending";
        let next = delivery(&admin, &id, is_next).await;
        assert_eq!((&next["status"], &next["reason"]), (&json!(again.0), &json!(again.1)), "{next}");
    }
}

async fn what_is_put_off_waits(engine: Engine) {
    let app = TestApp::builder(engine).mail(&MailServer::Tls.url()).start().await;
    let admin = app.administrator().await;
    for (name, code, status, attempts) in
        [("defer-451", "smtp_deferred", 451, 1), ("busy-421", "smtp_unavailable", 421, 0)]
    {
        let id = channel(&admin, &MailServer::fresh_address(name)).await;
        role(&admin, name).await;
        let waits = delivery(&admin, &id, |one| one["error"].is_string()).await;
        let told = (&waits["status"], &waits["error"], &waits["response_code"]);
        assert_eq!(told, (&json!("pending"), &json!(code), &json!(status)), "{waits}");
        let time =
            |name: &str| waits[name].as_str().unwrap().parse::<chrono::DateTime<chrono::Utc>>().unwrap();
        assert!(time("due_at") > time("attempted_at"), "{waits}");
        // That the server takes nothing now is no attempt at this mail.
        assert_eq!((&waits["attempts"], &waits["finished_at"]), (&json!(attempts), &Value::Null), "{waits}");
        admin.delete(&format!("/notification-channels/{id}")).await.expect(204);
    }
}

/// C50, A24
async fn a_server_with_the_certificate_of_another_gets_nothing(engine: Engine) {
    for server in [MailServer::StartTls, MailServer::Tls] {
        // The certificate names 127.0.0.1.
        let url = server.url().replace("127.0.0.1", "localhost");
        let app = TestApp::builder(engine).mail(&url).start().await;
        let admin = app.administrator().await;
        let to = MailServer::fresh_address("oncall");
        let id = channel(&admin, &to).await;
        role(&admin, "clerk").await;
        let waits = delivery(&admin, &id, |one| one["error"].is_string()).await;
        let told = (&waits["status"], &waits["error"], &waits["response_code"], &waits["attempts"]);
        assert_eq!(told, (&json!("pending"), &json!("smtp_tls_failed"), &Value::Null, &json!(0)), "{waits}");
        mail_is_down(&app, "smtp_tls_failed").await;
        assert_eq!(MailServer::mails_to(&to).len(), 0);
    }
    // Nor does it help to say a wrong password to the right one.
    let url = MailServer::StartTls.url().replace(&MailServer::StartTls.password(), "canary-of-a-password");
    let app = TestApp::builder(engine).mail(&url).start().await;
    mail_is_down(&app, "smtp_login_refused").await;
}

/// A32
async fn mail_waits_while_the_server_is_down_and_goes_when_it_is_back(engine: Engine) {
    let proxy = Proxy::start(MailServer::StartTls.address()).await;
    let app = TestApp::builder(engine).mail(&MailServer::StartTls.url_through(proxy.port())).start().await;
    let admin = app.administrator().await;
    let (to, ada) = (MailServer::fresh_address("oncall"), MailServer::fresh_address("ada"));
    let id = channel(&admin, &to).await;
    admin.add_person("ada", &ada).await;
    role(&admin, "before").await;
    delivery(&admin, &id, |one| one["status"] == "sent").await;
    assert_eq!(mail_health(&app).await["status"], "up");

    proxy.shut();
    // Whoever asks gets what they ask for.
    role(&admin, "meanwhile").await;
    reuse_a_refresh_token(&app, "ada").await;
    admin.post(&format!("/notification-channels/{id}/test"), Value::Null).await.expect(202);
    let waits = delivery(&admin, &id, |one| one["error"].is_string() && one["kind"] == "event").await;
    let told = (&waits["status"], &waits["error"], &waits["attempts"]);
    assert_eq!(told, (&json!("pending"), &json!("smtp_unreachable"), &json!(0)), "{waits}");
    mail_is_down(&app, "smtp_unreachable").await;
    assert_eq!(MailServer::mails_to(&ada).len(), 0);

    proxy.open();
    mail_is_up(&app).await;
    mails(&ada).await;
    let is_waiting = async || admin.all("/notification-deliveries?status=pending").await;
    eventually("all to be sent", async || is_waiting().await.is_empty().then_some(())).await;
    assert_eq!((MailServer::mails_to(&to).len(), MailServer::mails_to(&ada).len()), (3, 1));
}

async fn a_slow_server_holds_nobody(engine: Engine) {
    let app = TestApp::builder(engine).mail(&MailServer::StartTls.url()).start().await;
    let admin = app.administrator().await;
    let slow = channel(&admin, &MailServer::fresh_address("slow")).await;
    role(&admin, "clerk").await;
    // The server is asked about it, and says nothing for longer than it is waited for.
    let begun = delivery(&admin, &slow, |one| one["attempts"] == 1 && one["error"].is_null()).await;
    let to = MailServer::fresh_address("oncall");
    let quick = channel(&admin, &to).await;
    role(&admin, "cook").await;
    delivery(&admin, &quick, |one| one["status"] == "sent").await;
    assert_eq!(MailServer::mails_to(&to).len(), 1);
    let path = format!("/notification-deliveries/{}", begun["id"].as_str().unwrap());
    let still = admin.get(&path).await.expect(200);
    assert_eq!((&still["status"], &still["error"]), (&json!("pending"), &Value::Null), "{still}");
}

/// A24
async fn no_address_and_no_password_is_told(engine: Engine) {
    let server = MailServer::StartTls;
    let mut app = TestApp::builder(engine).mail(&server.url()).env("LOG_LEVEL", "trace").start().await;
    let admin = app.administrator().await;
    // As it is, and as it is said to the server (RFC 4616).
    let login = BASE64_STANDARD.encode(format!("\0stylobate\0{}", server.password()));
    let mut secrets = vec![server.password(), login];
    for name in ["canary", "refuse-550", "refuse-554", "defer-451", "busy-421", "spam", "drop"] {
        let to = MailServer::fresh_address(name);
        let id = channel(&admin, &to).await;
        role(&admin, name).await;
        delivery(&admin, &id, |one| one["finished_at"].is_string() || one["error"].is_string()).await;
        admin.delete(&format!("/notification-channels/{id}")).await.expect(204);
        secrets.push(to);
    }
    let ada = MailServer::fresh_address("canary");
    admin.add_person("ada", &ada).await;
    reuse_a_refresh_token(&app, "ada").await;
    mails(&ada).await;
    secrets.push(ada);

    let mut told = Vec::new();
    for path in [
        "/health",
        "/metrics",
        "/notification-deliveries",
        "/notification-channels",
        "/v1/jobs",
        "/notifications",
    ] {
        let answer = admin.get(path).await;
        answer.expect(200);
        told.push((path, answer.text));
    }
    told.push(("the log", app.server().output().join("\n")));
    let (_, log) = told.last().unwrap();
    assert!(log.contains("notify.deliver") && log.contains("refresh token was used twice"), "{log}");
    let of_mail = told.iter().find(|(what, _)| *what == "/notification-deliveries").unwrap();
    assert!(of_mail.1.contains("…@"), "{}", of_mail.1);
    for (what, text) in &told {
        for secret in &secrets {
            let line = text.lines().find(|line| line.contains(secret));
            assert!(line.is_none(), "{what} tells {secret}: {line:?}");
        }
    }
}
