//! Sessions that cookies carry, refresh tokens in cookies, and refreshes that are sent again.

use reqwest::{Method, RequestBuilder};
use serde_json::json;
use stylobate_tests::{Answer, Client, Engine, PASSWORD, TestApp, eventually};

stylobate_tests::both_engines!(
    a_browser_signs_in_by_cookie,
    a_cookie_session_ends_by_its_limits,
    a_refresh_is_sent_again_with_its_key,
    a_refresh_token_lives_in_its_cookie
);

/// What `Set-Cookie` gives for `name`: the value, and the whole line.
pub(crate) fn set_cookie(answer: &Answer, name: &str) -> (String, String) {
    let lines = answer.headers.get_all("set-cookie").iter().filter_map(|line| line.to_str().ok());
    let mut ours = lines.filter(|line| line.starts_with(&format!("{name}=")));
    let line =
        ours.next().unwrap_or_else(|| panic!("{answer} sets no {name}: {:?}", answer.headers)).to_owned();
    assert!(ours.next().is_none(), "{answer} sets {name} twice");
    let value = line.split([';', '=']).nth(1).unwrap().to_owned();
    (value, line)
}

/// A browser with one cookie, on a page of the service itself.
#[derive(Clone)]
pub(crate) struct Browser {
    client: Client,
    cookie: String,
}

impl Browser {
    pub(crate) async fn signed_in(client: &Client, username: &str) -> Self {
        Self::new(client, &Self::sign_in(client, username, None).await)
    }

    async fn sign_in(client: &Client, username: &str, cookie: Option<&str>) -> Answer {
        let body = json!({ "username": username, "password": PASSWORD, "session": "cookie" });
        let mut request = client.request(Method::POST, "/auth/login").header("sec-fetch-site", "same-origin");
        if let Some(cookie) = cookie {
            request = request.header("cookie", cookie);
        }
        let answer = client.send_raw(request.json(&body)).await;
        answer.expect(200);
        answer
    }

    fn new(client: &Client, answer: &Answer) -> Self {
        let (value, _) = set_cookie(answer, "session");
        Self { client: client.clone(), cookie: format!("session={value}") }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, path).header("cookie", &self.cookie)
    }

    async fn get(&self, path: &str) -> Answer {
        self.client.send_raw(self.request(Method::GET, path)).await
    }

    async fn post(&self, path: &str, site: Option<(&str, &str)>) -> Answer {
        let mut request = self.request(Method::POST, path);
        if let Some((name, value)) = site {
            request = request.header(name, value);
        }
        self.client.send_raw(request).await
    }
}

async fn a_browser_signs_in_by_cookie(engine: Engine) {
    let app = TestApp::start(engine).await;
    let admin = app.administrator().await;
    app.person(&admin, "sam").await;
    let anonymous = app.anonymous();
    let answer = Browser::sign_in(&anonymous, "sam", None).await;
    let body = answer.json();
    assert_eq!((&body["token_type"], &body["expires_in"]), (&json!("cookie"), &json!(24 * 60 * 60)));
    assert!(body.get("access_token").is_none() && body.get("refresh_token").is_none(), "{body}");
    // Over plain http on loopback without the prefix and without `Secure`.
    let (value, line) = set_cookie(&answer, "session");
    assert_eq!(line, format!("session={value}; Path=/; HttpOnly; SameSite=Lax"));
    assert_eq!((value.len(), body.to_string().contains(&value)), (43, false));

    let sam = Browser::new(&anonymous, &answer);
    let who = sam.get("/auth/whoami").await.expect(200);
    assert_eq!((&who["credential"], &who["session"]), (&json!("cookie"), &body["session_id"]));
    sam.get("/auth/me").await.expect(200);
    let listed = sam.get("/auth/sessions").await.expect(200);
    assert!(listed["items"].as_array().unwrap().iter().any(|one| one["is_current"] == true), "{listed}");

    // A21: only pages of the service itself change anything.
    for foreign in [
        None,
        Some(("sec-fetch-site", "cross-site")),
        Some(("sec-fetch-site", "same-site")),
        Some(("origin", "https://evil.example")),
        Some(("origin", "null")),
    ] {
        sam.post("/auth/logout", foreign).await.problem(403, "csrf");
    }
    sam.get("/auth/whoami").await.expect(200);
    // Two cookies are two opinions.
    let twice = Browser { cookie: format!("{0}; {0}", sam.cookie), ..sam.clone() };
    twice.get("/auth/whoami").await.problem(400, "ambiguous_credential");
    for made_up in ["", "x", &"A".repeat(43), &value[1..]] {
        let other = Browser { cookie: format!("session={made_up}"), ..sam.clone() };
        other.get("/auth/whoami").await.problem(401, "unauthenticated");
    }

    // C18: the id from before a sign-in is dead after it.
    let again = Browser::sign_in(&anonymous, "sam", Some(&sam.cookie)).await;
    let again = Browser::new(&anonymous, &again);
    assert_ne!(again.cookie, sam.cookie);
    sam.get("/auth/whoami").await.problem(401, "unauthenticated");
    again.get("/auth/whoami").await.expect(200);

    let out = again.post("/auth/logout", Some(("sec-fetch-site", "same-origin"))).await;
    out.expect(204);
    assert_eq!(set_cookie(&out, "session").1, "session=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax");
    assert_eq!(out.header("clear-site-data"), Some("\"cache\", \"storage\"")); // ASVS 14.3.1
    again.get("/auth/whoami").await.problem(401, "unauthenticated"); // A5
    let unknown = json!({ "username": "sam", "password": PASSWORD, "session": "pigeon" });
    anonymous.post("/auth/login", unknown).await.problem_of(422, "validation", "session");
}

async fn a_cookie_session_ends_by_its_limits(engine: Engine) {
    let builder =
        TestApp::builder(engine).env("SESSION_TIMEOUT_MINUTES", "5").env("SESSION_ABSOLUTE_HOURS", "1");
    let mut app = builder.start().await;
    let client = app.anonymous();
    let answer = Browser::sign_in(&client, "admin", None).await;
    assert_eq!(answer.json()["expires_in"], 60 * 60);
    let used = Browser::new(&client, &answer);
    let idle = Browser::signed_in(&client, "admin").await;
    let over = Browser::signed_in(&client, "admin").await;
    for browser in [&used, &idle, &over] {
        browser.get("/auth/whoami").await.expect(200);
    }
    // As if time had passed: five minutes without a request for one, an hour since the sign-in for another. Nothing that
    // a process remembers outlives its restart.
    let id = async |browser: &Browser| -> uuid::Uuid {
        let who = browser.get("/auth/whoami").await.expect(200);
        who["session"].as_str().unwrap().parse().unwrap()
    };
    let (idle_id, over_id) = (id(&idle).await, id(&over).await);
    app.server().kill();
    for (column, session) in [("idle_expires_at", idle_id), ("expires_at", over_id)] {
        let session = app.place.id(session);
        let earlier = match engine {
            Engine::Postgres => format!("{column} - interval '1 hour'"),
            Engine::Sqlite => format!("strftime('%Y-%m-%dT%H:%M:%f+00:00', {column}, '-1 hour')"),
        };
        app.place.sql(&format!("UPDATE sessions SET {column} = {earlier} WHERE id = {session};")).await;
    }
    app.restart().await;
    used.get("/auth/whoami").await.expect(200);
    for browser in [&idle, &over] {
        browser.get("/auth/whoami").await.problem(401, "unauthenticated");
    }
}

async fn a_refresh_is_sent_again_with_its_key(engine: Engine) {
    const KEY: &str = "8e03978e-40d5-43dd-bc93-6894a57f9324";
    let app = TestApp::start(engine).await;
    let first = app.login("admin").await;
    let refresh = async |token: &str, key: Option<&str>| {
        let mut request = app.anonymous().request(Method::POST, "/auth/refresh");
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        app.anonymous().send_raw(request.json(&json!({ "refresh_token": token }))).await
    };
    for bad in [
        "short",
        "jgOXjkDVQ928k2iUpX-TJ",
        "00000000-0000-0000-0000-000000000000",
        "not of base64url, at all!",
    ] {
        refresh(&first.refresh_token, Some(bad)).await.problem_of(422, "validation", "Idempotency-Key");
    }
    let given = refresh(&first.refresh_token, Some(KEY)).await.expect(200);
    let again = refresh(&first.refresh_token, Some(&format!("\"{KEY}\""))).await.expect(200);
    assert_eq!(given["refresh_token"], again["refresh_token"]);
    first.with_tokens(&again).get("/auth/me").await.expect(200);
    refresh(&first.refresh_token, None).await.problem(409, "refresh_in_progress");
    let other = "9e03978e-40d5-43dd-bc93-6894a57f9324";
    refresh(&first.refresh_token, Some(other)).await.problem(409, "refresh_in_progress");
    let second = given["refresh_token"].as_str().unwrap();
    let third = refresh(second, None).await.expect(200);
    // A6: once the successor was used, the key does not help.
    refresh(&first.refresh_token, Some(KEY)).await.problem(401, "refresh_invalid");
    first.with_tokens(&third).get("/auth/me").await.problem(401, "unauthenticated");
}

async fn a_refresh_token_lives_in_its_cookie(engine: Engine) {
    let app = TestApp::builder(engine).env("REFRESH_COOKIE_NAME", "refresh_token").start().await;
    let client = app.anonymous();
    let signed_in = client.try_login("admin", PASSWORD).await;
    let body = signed_in.expect(200);
    assert_eq!(body["refresh_token"], "", "the body leaves it empty");
    let (token, line) = set_cookie(&signed_in, "refresh_token");
    assert_eq!(line, format!("refresh_token={token}; Path=/auth; Max-Age=2592000; HttpOnly; SameSite=Lax"));
    let send = async |path: &str, token: &str, site: Option<&str>| {
        let mut request =
            client.request(Method::POST, path).header("cookie", format!("refresh_token={token}"));
        if let Some(site) = site {
            request = request.header("sec-fetch-site", site);
        }
        client.send_raw(request).await
    };
    // A21
    for foreign in [None, Some("cross-site"), Some("same-site")] {
        send("/auth/refresh", &token, foreign).await.problem(403, "csrf");
    }
    let renewed = send("/auth/refresh", &token, Some("same-origin")).await;
    let body = renewed.expect(200);
    assert_eq!(body["refresh_token"], "");
    let (next, _) = set_cookie(&renewed, "refresh_token");
    assert_ne!(next, token);
    let bearer = client.presenting(body["access_token"].as_str().unwrap());
    bearer.get("/auth/me").await.expect(200);
    // What the body left empty may be sent back like that.
    let echoed =
        client.request(Method::POST, "/auth/refresh").header("cookie", format!("refresh_token={next}"));
    let echoed = echoed.header("sec-fetch-site", "same-origin").json(&json!({ "refresh_token": "" }));
    let echoed = client.send_raw(echoed).await;
    echoed.expect(200);
    let (next, _) = set_cookie(&echoed, "refresh_token");
    // The body goes before the cookie, and without either there is nothing to redeem.
    client.send(Method::POST, "/auth/refresh", None).await.problem_of(422, "validation", "refresh_token");

    // C18: whoever signs in again in the same browser leaves no session behind.
    let body = json!({ "username": "admin", "password": PASSWORD });
    let again = client.request(Method::POST, "/auth/login").header("cookie", format!("refresh_token={next}"));
    let again = client.send_raw(again.header("sec-fetch-site", "same-origin").json(&body)).await;
    let access = again.expect(200)["access_token"].as_str().unwrap().to_owned();
    bearer.get("/auth/me").await.problem(401, "unauthenticated");
    let (next, _) = set_cookie(&again, "refresh_token");
    let bearer = client.presenting(&access);
    bearer.get("/auth/me").await.expect(200);

    let out = send("/auth/logout", &next, Some("same-origin")).await;
    out.expect(204);
    assert!(set_cookie(&out, "refresh_token").1.contains("; Max-Age=0; "), "{out}");
    bearer.get("/auth/me").await.problem(401, "unauthenticated");
    send("/auth/refresh", &next, Some("same-origin")).await.problem(401, "refresh_invalid");
}

/// A5, at the door of two processes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_process_refuses_the_cookie_of_an_ended_session() {
    let app = TestApp::start(Engine::Postgres).await;
    let (_other_server, other) = app.another_server().await;
    let here = Browser::signed_in(&app.anonymous(), "admin").await;
    let there = Browser { client: other, ..here.clone() };
    there.get("/auth/whoami").await.expect(200);
    here.post("/auth/logout", Some(("sec-fetch-site", "same-origin"))).await.expect(204);
    here.get("/auth/whoami").await.problem(401, "unauthenticated");
    eventually("the other process to know of the logout", async || {
        (there.get("/auth/whoami").await.status == 401).then_some(())
    })
    .await;
}
