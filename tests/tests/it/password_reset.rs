//! Forgotten passwords: links that arrive by mail, and what nobody learns who asks for them.

use reqwest::Method;
use serde_json::{Value, json};
use stylobate_tests::{Engine, MailServer, PASSWORD, Proxy, ReceivedMail, TestApp, eventually};

stylobate_tests::both_engines!(
    a_forgotten_password_is_set_anew_by_a_mailed_link,
    everybody_who_asks_is_answered_alike,
    links_lead_to_the_configured_address_and_nowhere_else,
    a_link_is_mailed_when_the_server_is_back,
    what_is_no_link_and_no_form_is_refused_by_name,
    a_page_says_when_to_ask_again,
    a_form_is_taken_from_a_page_of_the_server_only
);

const NEW: &str = "gravel thimble orchard nine";
const ASK: &str = "/auth/password-reset-request";
const SET: &str = "/auth/password-reset";

async fn app(engine: Engine) -> TestApp {
    TestApp::builder(engine).mail(&MailServer::StartTls.url()).start().await
}

async fn mail(address: &str, count: usize) -> ReceivedMail {
    eventually("a mail", async || MailServer::mails_to(address).into_iter().nth(count - 1)).await
}

/// The token of the link in the only mail to `address`.
async fn token(address: &str) -> String {
    mail(address, 1).await.token(SET)
}

async fn a_forgotten_password_is_set_anew_by_a_mailed_link(engine: Engine) {
    let mut app =
        TestApp::builder(engine).mail(&MailServer::StartTls.url()).env("LOG_LEVEL", "debug").start().await;
    let admin = app.administrator().await;
    let email = MailServer::fresh_address("ada");
    admin.add_person("ada", &email).await;
    let before = app.login("ada").await;
    let anybody = app.anonymous();
    assert_eq!(anybody.post(ASK, json!({ "email": email })).await.expect(200), json!({ "status": "ok" }));
    let token = token(&email).await;

    // Whoever counts clicks adds to links.
    let counted = anybody.get(&format!("{SET}?utm_source=mail&token={token}&fbclid=x")).await;
    assert!(counted.status == 200 && counted.text.contains(&token), "{}", counted.text);
    // Mail programs open links by themselves: that changes nothing.
    let path = format!("{SET}?token={token}");
    for _ in 0..2 {
        let page = anybody.get(&path).await;
        assert_eq!((page.status, page.header("cache-control")), (200, Some("no-store")));
        assert_eq!(page.header("referrer-policy"), Some("same-origin"));
        assert!(page.text.contains(&token) && page.text.contains("name=\"new_password\""), "{}", page.text);
    }
    // A password that is refused leaves the link good.
    let weak =
        anybody.post_form(&format!("{SET}/form"), &[("token", &token), ("new_password", "short")]).await;
    assert_eq!(weak.status, 422);
    assert!(weak.text.contains("role=\"alert\"") && weak.text.contains(&token), "{}", weak.text);
    let refused = anybody.post(SET, json!({ "token": token, "new_password": "short" })).await;
    refused.problem_of(422, "validation", "new_password");
    let set = anybody.post_form(&format!("{SET}/form"), &[("token", &token), ("new_password", NEW)]).await;
    assert_eq!((set.status, set.header("set-cookie")), (200, None), "{}", set.text);
    assert!(set.text.contains("The password has been set"), "{}", set.text);

    // Once; and nobody is signed in, not even who was.
    anybody.post(SET, json!({ "token": token, "new_password": NEW })).await.problem(403, "link_invalid");
    assert!(!anybody.get(&path).await.text.contains(&token));
    before.get("/auth/whoami").await.problem(401, "unauthenticated");
    let refresh = json!({ "refresh_token": before.refresh_token });
    anybody.post("/auth/refresh", refresh).await.problem(401, "refresh_invalid");
    anybody.try_login("ada", PASSWORD).await.problem(401, "invalid_credentials");
    anybody.login("ada", NEW).await.get("/auth/whoami").await.expect(200);

    // The owner hears of it, and the trail has it.
    let told = mail(&email, 2).await;
    assert!(
        MailServer::mails_to(&email)
            .iter()
            .any(|mail| { mail.fields("subject") == ["Stylobate: your password has been changed"] }),
        "{told:?}"
    );
    for action in ["auth.password_reset_request", "auth.password_reset"] {
        let events = admin.all(&format!("/audit-events?action={action}")).await;
        assert_eq!(events.len(), 1, "{action}");
        assert!(!events[0].to_string().contains(&token));
    }
    let log = app.server().output().join("\n");
    assert!(!log.contains(&token) && !log.contains(NEW), "A24");
}

/// A3, C30
async fn everybody_who_asks_is_answered_alike(engine: Engine) {
    let app = app(engine).await;
    let admin = app.administrator().await;
    let [known, disabled, locked, nobody] =
        ["known", "disabled", "locked", "nobody"].map(MailServer::fresh_address);
    admin.add_person("known", &known).await;
    let id = admin.add_person("disabled", &disabled).await;
    admin.patch(&format!("/people/{id}"), json!({ "status": "inactive" })).await.expect(200);
    admin.add_person("locked", &locked).await;
    for _ in 0..5 {
        app.anonymous().try_login("locked", "wrong").await.problem(401, "invalid_credentials");
    }
    let all = [&known, &disabled, &locked, &nobody, &nobody.to_uppercase()].map(String::clone);
    let mut said = Vec::new();
    for email in &all {
        said.push(app.anonymous().post(ASK, json!({ "email": email })).await.without_volatile());
    }
    assert!(said.iter().all(|one| *one == said[0] && one.0 == 200), "{said:?}");
    // One mail each, a link or that there is none to send.
    for (email, subject) in [
        (&known, "set a new password"),
        (&locked, "set a new password"),
        (&disabled, "there is no password to reset"),
        (&nobody, "there is no password to reset"),
    ] {
        let mail = MailServer::mail_to(email, subject).await;
        assert_eq!(mail.links().len(), usize::from(subject.starts_with("set")));
    }
}

/// C31
async fn links_lead_to_the_configured_address_and_nowhere_else(engine: Engine) {
    let public = "https://app.example.test/base";
    let app = TestApp::builder(engine)
        .mail(&MailServer::StartTls.url())
        .env("PUBLIC_URL", public)
        .env("FLOW_ADDRESS_LIMIT", "100")
        .env("TRUSTED_PROXIES", "127.0.0.1")
        .start()
        .await;
    let admin = app.administrator().await;
    let tricks: [&[(&str, &str)]; 12] = [
        &[("host", "evil.test")],
        &[("host", "app.example.test:evil.test")],
        &[("host", "evil.test#@app.example.test")],
        &[("x-forwarded-host", "evil.test")],
        &[("x-forwarded-host", "app.example.test, evil.test")],
        &[("x-forwarded-host", "evil.test"), ("x-forwarded-proto", "http"), ("x-forwarded-port", "81")],
        &[("forwarded", "host=evil.test;proto=http")],
        &[("forwarded", "for=1.2.3.4;host=\"evil.test\"")],
        &[("x-forwarded-server", "evil.test")],
        &[("x-host", "evil.test"), ("x-http-host-override", "evil.test")],
        &[("x-original-url", "http://evil.test/"), ("x-rewrite-url", "http://evil.test/")],
        &[("origin", "https://evil.test"), ("referer", "https://evil.test/")],
    ];
    for (nth, trick) in tricks.into_iter().enumerate() {
        let email = MailServer::fresh_address("ada");
        admin.add_person(&format!("ada{nth}"), &email).await;
        let mut request = app.anonymous().request(Method::POST, ASK).json(&json!({ "email": email }));
        for (name, value) in trick {
            request = request.header(*name, *value);
        }
        let answer = app.anonymous().send_raw(request).await;
        if answer.status != 200 {
            // Refused at the door: nothing is mailed, now or later.
            assert!((400..500).contains(&answer.status), "{trick:?}: {}", answer.text);
            app.anonymous().post(ASK, json!({ "email": email })).await.expect(200);
        }
        let mail = mail(&email, 1).await;
        assert!(
            mail.links().iter().all(|link| link.starts_with(&format!("{public}{SET}?token="))),
            "{trick:?}: {mail:?}"
        );
        assert!(!format!("{mail:?}").contains("evil.test"), "{trick:?}: {mail:?}");
        assert_eq!(MailServer::mails_to(&email).len(), 1, "{trick:?}");
    }
}

/// A32
async fn a_link_is_mailed_when_the_server_is_back(engine: Engine) {
    let proxy = Proxy::start(MailServer::StartTls.address()).await;
    let app = TestApp::builder(engine).mail(&MailServer::StartTls.url_through(proxy.port())).start().await;
    let admin = app.administrator().await;
    let (known, nobody) = (MailServer::fresh_address("ada"), MailServer::fresh_address("nobody"));
    admin.add_person("ada", &known).await;
    proxy.shut();
    let said = app.anonymous().post(ASK, json!({ "email": known })).await;
    let unknown = app.anonymous().post(ASK, json!({ "email": nobody })).await;
    assert_eq!(said.without_volatile(), unknown.without_volatile());
    said.expect(200);
    // No organisation sees the delivery: that it was tried shows at the server's health alone.
    eventually("mail to be down", async || {
        let health = app.anonymous().get("/health").await.expect(200);
        (health["checks"]["mail"]["status"] == "down").then_some(())
    })
    .await;
    assert!(MailServer::mails_to(&known).is_empty());
    proxy.open();
    let token = token(&known).await;
    app.anonymous().post(SET, json!({ "token": token, "new_password": NEW })).await.expect(200);
}

async fn a_page_says_when_to_ask_again(engine: Engine) {
    let app = TestApp::builder(engine).env("FLOW_ADDRESS_LIMIT", "5").start().await;
    let ask = async || app.anonymous().post_form(&format!("{ASK}/form"), &[("email", "a@b.example")]).await;
    for _ in 0..5 {
        assert_eq!(ask().await.status, 200);
    }
    let refused = ask().await;
    let seconds: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!(refused.status == 429 && (1..=300).contains(&seconds), "{seconds}: {}", refused.text);
    assert!(refused.text.contains("role=\"alert\""), "{}", refused.text);
}

/// A21: with `Referrer-Policy: no-referrer` browsers would send `Origin: null` themselves.
async fn a_form_is_taken_from_a_page_of_the_server_only(engine: Engine) {
    let mut app = app(engine).await;
    let own = app.server().address().to_owned();
    let body = json!({ "username": "admin", "password": PASSWORD, "session": "cookie" });
    let login = app.anonymous().request(Method::POST, "/auth/login").header("sec-fetch-site", "same-origin");
    let signed_in = app.anonymous().send_raw(login.json(&body)).await;
    let cookies = signed_in.headers.get_all("set-cookie").iter().map(|line| line.to_str().unwrap());
    let cookies: Vec<_> = cookies.filter_map(|line| line.split(';').next()).collect();
    let cookie = cookies.join("; ");
    assert!(cookie.contains("session="), "{signed_in}");
    let send = async |cookie: Option<&str>, origin: &str| {
        let request = app.anonymous().request(Method::POST, &format!("{ASK}/form")).header("origin", origin);
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        let request = cookie.into_iter().fold(request, |request, cookie| request.header("cookie", cookie));
        app.anonymous().send_raw(request.body("email=a%40b.example")).await
    };
    assert_eq!(send(Some(&cookie), &own).await.status, 200);
    for elsewhere in ["null", "https://evil.test"] {
        send(Some(&cookie), elsewhere).await.problem(403, "csrf");
        // Whoever presents no credential has nothing that a page could misuse.
        assert_eq!(send(None, elsewhere).await.status, 200, "{elsewhere}");
    }
}

async fn what_is_no_link_and_no_form_is_refused_by_name(engine: Engine) {
    let app = app(engine).await;
    let anybody = app.anonymous();
    anybody.post(ASK, json!({ "email": "nobody" })).await.problem_of(422, "validation", "email");
    anybody.post(ASK, json!({ "email": "a@b", "host": "x" })).await.problem_of(422, "validation", "host");
    anybody.post(ASK, json!({})).await.problem_of(422, "validation", "email");
    for other in [Value::Null, json!(7), json!("x"), json!(true)] {
        let said = anybody.post(ASK, other).await;
        assert!(!said.text.contains("struct") && !said.text.contains("Input"), "{}", said.text);
        said.problem_of(422, "validation", "");
    }
    for (email, code) in [
        ("jürgen@example.org", "email_local_part_not_ascii"),
        ("a@b_c", "email_domain_invalid"),
        ("nobody", "email_invalid"),
    ] {
        let said = anybody.post(ASK, json!({ "email": email })).await.expect(422);
        assert_eq!(said["errors"][0]["code"], code);
    }
    for token in ["", "x", "sbl_", &format!("sbl_{}", "A".repeat(86)), &"a".repeat(10_000)] {
        let set = json!({ "token": token, "new_password": NEW });
        anybody.post(SET, set).await.problem(403, "link_invalid");
    }
    let long = json!({ "token": "x", "new_password": "a".repeat(1_025) });
    anybody.post(SET, long).await.problem(403, "link_invalid");
    // What comes in a link is text.
    let hostile = "%22%3E%3Cscript%3Ealert(1)%3C/script%3E";
    let page = anybody.get(&format!("{SET}?token={hostile}")).await;
    assert_eq!(page.status, 200);
    assert!(!page.text.contains("<script") && page.text.contains("not valid any more"), "{}", page.text);
    let page = anybody.post_form(&format!("{ASK}/form"), &[("email", "\"><script>alert(1)</script>")]).await;
    assert_eq!(page.status, 422);
    assert!(!page.text.contains("<script"), "{}", page.text);
    for (path, fields) in [(ASK, &[("mail", "a@b")][..]), (SET, &[("token", "x")][..])] {
        anybody.post_form(&format!("{path}/form"), fields).await.problem_of(422, "validation", "form");
        let json = anybody.post(&format!("{path}/form"), Value::Null).await;
        json.problem(415, "unsupported_media_type");
    }
    // The names of the replaced systems lead to the same.
    for alias in ["/v1/auth/password/forgot", "/auth/forgot-password"] {
        anybody.post(alias, json!({ "email": MailServer::fresh_address("nobody") })).await.expect(200);
    }
    for alias in ["/v1/auth/password/reset", "/auth/reset-password"] {
        let set = json!({ "token": "x", "new_password": NEW });
        anybody.post(alias, set).await.problem(403, "link_invalid");
    }
}
