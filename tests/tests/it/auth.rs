//! Signing in, staying in, and being put out at once.

use reqwest::Method;
use serde_json::{Value, json};
use stylobate_tests::{Answer, Client, Engine, PASSWORD, TestApp, eventually, refresh_race};

stylobate_tests::both_engines!(
    sign_in_and_out,
    parallel_refreshes_have_one_winner,
    failed_logins_are_throttled
);

async fn sign_in_and_out(engine: Engine) {
    let app = TestApp::start(engine).await;
    let admin = app.administrator().await;
    login_tells_nothing(&app).await;
    tokens_are_checked(&app, &admin).await;
    refresh_rotates_and_reuse_ends_the_family(&app).await;
    logout_ends_the_session(&app).await;
    sessions_are_listed_and_ended(&app, &admin).await;
    password_change_ends_everything_else(&app, &admin).await;
    disabled_and_deleted_people_are_out(&app, &admin).await;
}

/// A3: nothing tells an unknown account from a wrong password.
async fn login_tells_nothing(app: &TestApp) {
    let anonymous = app.anonymous();
    let tokens = anonymous.try_login("admin", PASSWORD).await.expect(200);
    assert_eq!(tokens["token_type"], "bearer");
    // Whole seconds that are left of 15 minutes.
    assert!((895..=900).contains(&tokens["expires_in"].as_u64().unwrap()), "{tokens}");
    assert_eq!(tokens["access_token"].as_str().unwrap().split('.').count(), 3, "a signed token");
    assert!(!tokens["refresh_token"].as_str().unwrap().contains('.'), "an opaque token");
    for username in ["ADMIN", "admin@example.org", "Admin@Example.ORG"] {
        anonymous.try_login(username, PASSWORD).await.expect(200);
    }
    let with =
        json!({ "username": "admin", "password": PASSWORD, "provider": "local", "org_code": "default" });
    anonymous.post("/auth/login", with).await.expect(200);
    let elsewhere = json!({ "username": "admin", "password": PASSWORD, "org_code": "elsewhere" });
    anonymous.post("/auth/login", elsewhere).await.problem(403, "not_a_member");

    let wrong = anonymous.try_login("admin", "a password that is not theirs").await;
    let unknown = anonymous.try_login("nobody", "a password that is not theirs").await;
    let nameless = anonymous.try_login("no\u{202e}body", "a password that is not theirs").await;
    for answer in [&wrong, &unknown, &nameless] {
        answer.problem(401, "invalid_credentials");
        assert_eq!(masked(answer), masked(&wrong));
    }
    // A1: verified exactly as typed.
    for password in [PASSWORD.to_uppercase(), format!("{PASSWORD} "), format!(" {PASSWORD}")] {
        anonymous.try_login("admin", &password).await.problem(401, "invalid_credentials");
    }
    anonymous.try_login("admin", PASSWORD).await.expect(200);
}

/// Body and headers without what differs from request to request.
fn masked(answer: &Answer) -> (Value, Vec<(String, String)>) {
    let mut body = answer.json();
    body["request_id"] = Value::Null;
    let volatile = ["date", "x-request-id", "content-length"];
    let mut headers: Vec<_> =
        answer.headers.iter().map(|(name, value)| (name.to_string(), format!("{value:?}"))).collect();
    headers.retain(|(name, _)| !volatile.contains(&name.as_str()));
    headers.sort();
    (body, headers)
}

/// A7, at the door; the vectors stand with the verifier.
async fn tokens_are_checked(app: &TestApp, admin: &Client) {
    let good = admin.access_token.clone().unwrap();
    let (rest, signature) = good.rsplit_once('.').unwrap();
    let (header, claims) = rest.split_once('.').unwrap();
    let none = "eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0"; // {"alg":"none","typ":"at+jwt"}
    for bad in [
        String::new(),
        "x".into(),
        format!("{header}.{claims}."),
        format!("{none}.{claims}."),
        format!("{none}.{claims}.{signature}"),
        format!("{header}.{claims}.{}", signature.chars().rev().collect::<String>()),
        format!("{good}x"),
        admin.refresh_token.clone(),
        "a.b.c".repeat(4_000),
    ] {
        let caller = app.anonymous().presenting(&bad);
        let answer = caller.get("/auth/me").await;
        assert!([401, 431].contains(&answer.status), "{answer}");
        if answer.status == 401 {
            answer.problem(401, "unauthenticated");
            assert!(answer.header("www-authenticate").unwrap().starts_with("Bearer"), "{answer}");
        }
    }
    for scheme in [format!("Basic {good}"), format!("Bearer  {good} x"), good.clone()] {
        let request = app.anonymous().request(Method::GET, "/auth/me").header("authorization", scheme);
        assert_eq!(app.anonymous().send_raw(request).await.status, 401);
    }
    // V14.2.1: never from the address.
    app.anonymous().get(&format!("/auth/me?access_token={good}")).await.problem(401, "unauthenticated");
}

/// A6
async fn refresh_rotates_and_reuse_ends_the_family(app: &TestApp) {
    let first = app.login("admin").await;
    let second = refreshed(&first).await;
    assert_ne!(first.refresh_token, second.refresh_token);
    second.get("/auth/me").await.expect(200);
    let third = refreshed(&second).await;
    let body = |client: &Client| json!({ "refresh_token": client.refresh_token });
    app.anonymous().post("/auth/refresh", body(&first)).await.problem(401, "refresh_invalid");
    app.anonymous().post("/auth/refresh", body(&third)).await.problem(401, "refresh_invalid");
    // A5: what the family's access tokens open is shut at the next request.
    third.get("/auth/me").await.problem(401, "unauthenticated");
    let unknown = app.anonymous().post("/auth/refresh", json!({ "refresh_token": "made up" })).await;
    unknown.problem(401, "refresh_invalid");

    let bound = app.login("admin").await;
    let wrong =
        json!({ "refresh_token": bound.refresh_token, "session_id": "0191e000-0000-7000-8000-000000000001" });
    app.anonymous().post("/auth/refresh", wrong).await.problem(401, "refresh_invalid");
}

async fn refreshed(client: &Client) -> Client {
    let body = json!({ "refresh_token": client.refresh_token });
    client.with_tokens(&client.anonymous().post("/auth/refresh", body).await.expect(200))
}

async fn logout_ends_the_session(app: &TestApp) {
    let (one, other) = (app.login("admin").await, app.login("admin").await);
    one.send(Method::POST, "/auth/logout", None).await.expect(204);
    one.get("/auth/me").await.problem(401, "unauthenticated"); // A5
    let refresh = json!({ "refresh_token": one.refresh_token });
    app.anonymous().post("/auth/refresh", refresh.clone()).await.problem(401, "refresh_invalid");
    other.get("/auth/me").await.expect(200);
    // With the refresh token alone, as a client whose access token has run out.
    app.anonymous().post("/auth/logout", json!({ "refresh_token": other.refresh_token })).await.expect(204);
    other.get("/auth/me").await.problem(401, "unauthenticated");
    app.anonymous().send(Method::POST, "/auth/logout", None).await.problem(401, "unauthenticated");
    // A token that says nothing keeps no session alive, and of two sessions presented neither.
    for useless in ["", "sbr_x"] {
        let one = app.login("admin").await;
        one.post("/auth/logout", json!({ "refresh_token": useless })).await.expect(204);
        one.get("/auth/me").await.problem(401, "unauthenticated");
    }
    let (one, other) = (app.login("admin").await, app.login("admin").await);
    one.post("/auth/logout", json!({ "refresh_token": other.refresh_token })).await.expect(204);
    one.get("/auth/me").await.problem(401, "unauthenticated");
    other.get("/auth/me").await.problem(401, "unauthenticated");
}

async fn sessions_are_listed_and_ended(app: &TestApp, admin: &Client) {
    app.person(admin, "sam").await;
    let (here, there, far) = (app.login("sam").await, app.login("sam").await, app.login("sam").await);
    let listed = here.all("/auth/sessions").await;
    assert_eq!(listed.iter().filter(|session| session["is_current"] == true).count(), 1, "{listed:?}");
    assert!(listed.iter().all(|session| session["ip_address"] == "127.0.0.1"), "{listed:?}");
    assert!(!Value::from(listed.clone()).to_string().contains("hash"));
    let id_of_there =
        there.all("/auth/sessions").await.into_iter().find(|session| session["is_current"] == true);
    let id_of_there = id_of_there.unwrap()["id"].as_str().unwrap().to_owned();

    here.delete(&format!("/auth/sessions/{id_of_there}")).await.expect(204);
    there.get("/auth/me").await.problem(401, "unauthenticated");
    far.get("/auth/me").await.expect(200);
    let ended = here.delete("/auth/sessions").await.expect(200);
    assert!(ended["ended"].as_u64().unwrap() >= 1, "{ended}");
    far.get("/auth/me").await.problem(401, "unauthenticated");
    here.get("/auth/me").await.expect(200);
    assert_eq!(here.all("/auth/sessions").await.len(), 1);
}

async fn password_change_ends_everything_else(app: &TestApp, admin: &Client) {
    let person = app.person(admin, "carol").await;
    let elsewhere = app.login("carol").await;
    let new = "an orchard of 12 pear trees";
    let change = async |current: &str, new: &str| {
        let body = json!({ "current_password": current, "new_password": new });
        person.client.post("/auth/password-change", body).await
    };
    let wrong = change("not the present password", new).await;
    assert!([401, 403, 422].contains(&wrong.status), "{wrong}");
    change(PASSWORD, "short").await.problem(422, "validation");
    change(PASSWORD, "carol-carol-carol").await.problem(422, "validation");
    change(PASSWORD, &"p".repeat(1_025)).await.problem_of(422, "validation", "new_password");
    change(&"p".repeat(1_025), new).await.problem_of(422, "validation", "current_password");
    elsewhere.get("/auth/me").await.expect(200);

    let renewed = change(PASSWORD, new).await.expect(200);
    elsewhere.get("/auth/me").await.problem(401, "unauthenticated");
    // Whoever held anything of the session that asked is out as well; it goes on with what the answer holds.
    person.client.get("/auth/me").await.problem(401, "unauthenticated");
    let stolen = json!({ "refresh_token": person.client.refresh_token });
    app.anonymous().post("/auth/refresh", stolen).await.problem(401, "refresh_invalid");
    let person = app.anonymous().with_tokens(&renewed);
    person.get("/auth/me").await.expect(200);
    let refresh = json!({ "refresh_token": person.refresh_token });
    app.anonymous().post("/auth/refresh", refresh).await.expect(200);
    let anonymous = app.anonymous();
    anonymous.try_login("carol", PASSWORD).await.problem(401, "invalid_credentials");
    anonymous.try_login("carol", new).await.expect(200);
}

/// A5
async fn disabled_and_deleted_people_are_out(app: &TestApp, admin: &Client) {
    for (name, is_deleted) in [("dave", false), ("erin", true)] {
        let person = app.person(admin, name).await;
        let path = format!("/people/{}", person.id);
        if is_deleted {
            admin.delete(&path).await.expect(204);
        } else {
            admin.patch(&path, json!({ "is_active": false })).await.expect(200);
        }
        person.client.get("/auth/whoami").await.problem(401, "unauthenticated");
        let refresh = json!({ "refresh_token": person.client.refresh_token });
        app.anonymous().post("/auth/refresh", refresh).await.problem(401, "refresh_invalid");
        app.anonymous().try_login(name, PASSWORD).await.problem(401, "invalid_credentials");
        if !is_deleted {
            admin.patch(&path, json!({ "is_active": true })).await.expect(200);
            person.client.get("/auth/whoami").await.problem(401, "unauthenticated");
            app.login(name).await.get("/auth/whoami").await.expect(200);
        }
    }
}

/// A6 at small scale; `cargo xtask chaos auth` runs the full count.
async fn parallel_refreshes_have_one_winner(engine: Engine) {
    let app = TestApp::start(engine).await;
    for round in 0..20 {
        let family = app.login("admin").await;
        let outcome = refresh_race(&family, &family.refresh_token, 50).await;
        assert!(outcome.is_sound(), "round {round}: {outcome:?}");
    }
}

/// A4, C11
async fn failed_logins_are_throttled(engine: Engine) {
    let app = TestApp::builder(engine).env("LOGIN_ATTEMPT_LIMIT", "3").start().await;
    let admin = app.administrator().await;
    let victim = app.person(&admin, "victim").await;
    let anonymous = app.anonymous();
    // One account under all its names: letter case, spelling, the e-mail address.
    let names = ["victim", "VICTIM", "victim@example.org", "ｖictim", "Victim@example.ORG"];
    let mut tries = names.iter().cycle();
    let throttled = eventually("the account to be throttled", async || {
        let answer = anonymous.try_login(tries.next()?, "a wrong password of theirs").await;
        (answer.status == 429).then_some(answer)
    })
    .await;
    throttled.problem(429, "login_throttled");
    let seconds: u64 = throttled.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=15 * 60).contains(&seconds), "{seconds}");
    // The right password is not tried either, in any spelling, and forged addresses do not help.
    for name in names {
        let request = anonymous.request(Method::POST, "/auth/login").header("x-forwarded-for", "203.0.113.7");
        let request = request.json(&json!({ "username": name, "password": PASSWORD }));
        anonymous.send_raw(request).await.problem(429, "login_throttled");
    }
    // Whoever is in stays in, and the counter survives a restart (C25).
    victim.client.get("/auth/me").await.expect(200);
    let mut app = app;
    app.kill_and_restart().await;
    app.anonymous().try_login("victim", PASSWORD).await.problem(429, "login_throttled");
    // An account that does not exist waits as well (A3).
    let unknown = eventually("the unknown account to be throttled", async || {
        let answer = app.anonymous().try_login("somebody", "a wrong password of theirs").await;
        (answer.status == 429).then_some(answer)
    })
    .await;
    unknown.problem(429, "login_throttled");
}

/// The paths and bodies of the auth microservice, which clients of it keep using for a while.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_paths_of_the_auth_microservice_sign_in_and_out() {
    let app = TestApp::start(Engine::Sqlite).await;
    for prefix in ["/v1", "/api/v1"] {
        let anonymous = app.anonymous();
        let body = json!({ "username": "admin", "password": PASSWORD });
        let login = anonymous.post(&format!("{prefix}/auth/login"), body).await;
        // Under `/api/v1` it is the name of today.
        assert_eq!(login.header("deprecation").is_some(), prefix == "/v1", "{login}");
        let tokens = login.expect(200);
        let refresh = json!({ "session_id": tokens["session_id"], "refresh_token": tokens["refresh_token"] });
        let renewed = anonymous.post(&format!("{prefix}/auth/refresh"), refresh).await.expect(200);
        assert_eq!(renewed["session_id"], tokens["session_id"]);
        let client = anonymous.with_tokens(&renewed);
        let me = client.get(&format!("{prefix}/auth/me")).await.expect(200);
        assert_eq!(me["username"], "admin");
        client.send(Method::POST, &format!("{prefix}/auth/logout"), None).await.expect(204);
        client.get(&format!("{prefix}/auth/me")).await.problem(401, "unauthenticated");
    }
}

/// A5, A11: what one process revokes or grants, another knows soon after.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_process_learns_of_revocations_and_grants() {
    let app = TestApp::start(Engine::Postgres).await;
    let admin = app.administrator().await;
    let (_other_server, other) = app.another_server().await;
    let at_other = |client: &Client| other.presenting(client.access_token.as_ref().unwrap());

    let person = app.person(&admin, "pat").await;
    let there = at_other(&person.client);
    there.get("/auth/whoami").await.expect(200);
    there.get("/roles").await.problem(403, "permission_denied");
    let role = at_other(&admin).all("/roles?search=support").await;
    let role = role[0]["id"].as_str().expect("a seeded role").to_owned();
    admin.post(&format!("/people/{}/roles", person.id), json!({ "role_id": role })).await.expect(201);
    eventually("the other process to know of the role", async || {
        (there.get("/roles").await.status == 200).then_some(())
    })
    .await;
    person.client.send(Method::POST, "/auth/logout", None).await.expect(204);
    person.client.get("/auth/whoami").await.problem(401, "unauthenticated");
    eventually("the other process to know of the logout", async || {
        (there.get("/auth/whoami").await.status == 401).then_some(())
    })
    .await;
    // Tokens of one process are refreshed at the other: they share their keys.
    let again = other.login("pat", PASSWORD).await;
    let body = json!({ "refresh_token": again.refresh_token });
    app.anonymous().post("/auth/refresh", body).await.expect(200);
}
