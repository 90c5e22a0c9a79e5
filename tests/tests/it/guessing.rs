//! A4: an attacker makes strangers wait, and nobody who is known.

use reqwest::Method;
use serde_json::json;
use stylobate_tests::{Answer, Engine, PASSWORD, TestApp};

stylobate_tests::both_engines!(a_known_device_signs_in_through_an_attack, unknown_names_are_locked_alike);

const WRONG: &str = "a wrong password of theirs";
const NEW: &str = "an orchard of 12 pear trees";

/// A sign-in from an address, with a cookie line or none.
async fn sign_in(app: &TestApp, address: &str, name: &str, password: &str, cookie: Option<&str>) -> Answer {
    let anonymous = app.anonymous();
    let mut request = anonymous.request(Method::POST, "/auth/login").header("x-forwarded-for", address);
    if let Some(cookie) = cookie {
        request = request.header("cookie", cookie);
    }
    anonymous.send_raw(request.json(&json!({ "username": name, "password": password }))).await
}

/// `name=value` of the only cookie that an answer sets, and its attributes.
fn cookie_of(answer: &Answer) -> (String, String) {
    let lines: Vec<_> = answer.headers.get_all("set-cookie").iter().collect();
    let [line] = lines.as_slice() else { panic!("{answer}: {lines:?}") };
    let (pair, attributes) = line.to_str().unwrap().split_once("; ").unwrap();
    (pair.to_owned(), attributes.to_owned())
}

/// Twenty wrong passwords from four addresses.
async fn attack(app: &TestApp, name: &str, networks: &str) {
    for n in 0..20 {
        let answer = sign_in(app, &format!("{networks}.{}", n / 5), name, WRONG, None).await;
        answer.problem(401, "invalid_credentials");
        assert!(!answer.headers.contains_key("set-cookie"), "{answer}");
    }
    refused(&sign_in(app, &format!("{networks}.99"), name, PASSWORD, None).await);
}

fn refused(answer: &Answer) {
    answer.problem(429, "login_throttled");
    let seconds: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=15 * 60).contains(&seconds), "{seconds}");
    assert!(!answer.headers.contains_key("set-cookie"), "{answer}");
}

async fn a_known_device_signs_in_through_an_attack(engine: Engine) {
    let app = TestApp::builder(engine).env("TRUSTED_PROXIES", "127.0.0.1").start().await;
    let admin = app.administrator().await;
    app.person(&admin, "olive").await;
    app.person(&admin, "peter").await;
    let home = "192.0.2.1";
    let first = sign_in(&app, home, "olive", PASSWORD, None).await;
    first.expect(200);
    let (olive, attributes) = cookie_of(&first);
    // Over plain http on loopback: neither the prefix nor `Secure`, which browsers would not take.
    assert!(olive.starts_with("known-device="), "{olive}");
    assert_eq!(attributes, "Path=/; Max-Age=34560000; HttpOnly; SameSite=Lax");
    let (peter, _) = cookie_of(&sign_in(&app, home, "peter", PASSWORD, None).await);

    attack(&app, "olive", "198.51.100").await;
    let again = sign_in(&app, home, "Olive@example.org", PASSWORD, Some(&format!("a=b; {olive}; c=d"))).await;
    again.expect(200);
    assert_ne!(cookie_of(&again).0, "known-device=", "the cookie begins anew");
    // Without it, with another person's, a forged one, or two of them, the owner is a stranger.
    refused(&sign_in(&app, home, "olive", PASSWORD, None).await);
    let forged = format!("{}{}", &olive[..olive.len() - 1], if olive.ends_with('A') { "B" } else { "A" });
    let long = format!("known-device={}", "A".repeat(4_000));
    for cookie in [&peter, &forged, &long, &format!("{olive}; {olive}"), "known-device=", "known-device"] {
        refused(&sign_in(&app, home, "olive", PASSWORD, Some(cookie)).await);
    }
    // C14: by itself it opens nothing.
    sign_in(&app, home, "olive", WRONG, Some(&olive)).await.problem(401, "invalid_credentials");
    let whoami = app.anonymous().request(Method::GET, "/auth/whoami").header("cookie", &olive);
    app.anonymous().send_raw(whoami).await.problem(401, "unauthenticated");

    // A new password ends the attack, voids the cookie and gives the client another.
    let signed_in = sign_in(&app, home, "olive", PASSWORD, Some(&olive)).await.expect(200);
    let client = app.anonymous().with_tokens(&signed_in);
    let body = json!({ "current_password": PASSWORD, "new_password": NEW });
    let changed = client.post("/auth/password-change", body).await;
    changed.expect(200);
    let (renewed, _) = cookie_of(&changed);
    sign_in(&app, home, "olive", NEW, None).await.expect(200);
    attack(&app, "olive", "203.0.113").await;
    refused(&sign_in(&app, home, "olive", NEW, Some(&olive)).await);
    sign_in(&app, home, "olive", NEW, Some(&renewed)).await.expect(200);

    let run = app.program().run(&["unlock", "--username", "nobody"]).await;
    assert!(!run.success && run.text.contains("person_not_found"), "{}", run.text);
    app.program().run(&["unlock", "--username", "olive"]).await.expect_success();
    sign_in(&app, "203.0.113.0", "olive", NEW, None).await.expect(200);
}

/// A3
async fn unknown_names_are_locked_alike(engine: Engine) {
    let app = TestApp::builder(engine).env("TRUSTED_PROXIES", "127.0.0.1").start().await;
    let admin = app.administrator().await;
    app.person(&admin, "olive").await;
    app.person(&admin, "peter").await;
    let (device, _) = cookie_of(&sign_in(&app, "192.0.2.1", "olive", PASSWORD, None).await);
    for n in 0..24 {
        // Also with a cookie, which is that of neither.
        let cookie = (n % 2 == 1).then_some(device.as_str()).filter(|_| n > 20);
        let mut answers = Vec::new();
        for (name, network) in [("nobody", "198.51.100"), ("peter", "198.51.101")] {
            answers.push(sign_in(&app, &format!("{network}.{}", n / 5), name, WRONG, cookie).await);
        }
        let seen = |answer: &Answer| {
            let mut names: Vec<String> = answer.headers.keys().map(ToString::to_string).collect();
            names.sort();
            (answer.status, answer.json()["code"].clone(), answer.json()["detail"].clone(), names)
        };
        assert_eq!(seen(&answers[0]), seen(&answers[1]), "try {n}");
        assert_eq!(answers[0].status, if n < 20 { 401 } else { 429 }, "try {n}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_tls_the_cookie_belongs_to_the_host_alone() {
    let app = TestApp::builder(Engine::Sqlite).env("PUBLIC_URL", "https://id.example.org").start().await;
    let anonymous = app.anonymous();
    let answer = anonymous.try_login("admin", PASSWORD).await;
    answer.expect(200);
    let (pair, attributes) = cookie_of(&answer);
    assert!(pair.starts_with("__Host-known-device="), "{pair}");
    assert_eq!(attributes, "Path=/; Max-Age=34560000; HttpOnly; SameSite=Lax; Secure");
}
