//! A password that has to be changed before anything else.

use serde_json::{Value, json};
use stylobate_tests::{Answer, Client, Engine, PASSWORD, TestApp};

stylobate_tests::both_engines!(a_forced_change_leads_back_to_signing_in);

const FIRST: &str = "a lantern above 9 stairs";
const NEW: &str = "an orchard of 12 pear trees";

async fn forced(anonymous: &Client, username: &str, current: &str, new: &str) -> Answer {
    let body = json!({ "username": username, "current_password": current, "new_password": new });
    anonymous.post("/auth/password-change/forced", body).await
}

async fn a_forced_change_leads_back_to_signing_in(engine: Engine) {
    let app = TestApp::start(engine).await;
    let admin = app.administrator().await;
    let anonymous = app.anonymous();
    let body = json!({
        "first_name": "Ada", "last_name": "Lovelace", "username": "countess", "email": "countess@example.org",
        "password": FIRST, "must_change_password": true,
    });
    let person = admin.post("/people", body).await.expect(201);
    assert_eq!(person["must_change_password"], true);
    let path = format!("/people/{}", person["id"].as_str().unwrap());

    let refused = anonymous.try_login("countess", FIRST).await.problem(428, "must_change_password");
    assert!(refused["detail"].as_str().unwrap().contains("/auth/password-change/forced"), "{refused}");
    // Like a sign-in: nothing tells an unknown account from a wrong password (A3).
    let wrong = forced(&anonymous, "countess", "not what it is", NEW).await;
    let unknown = forced(&anonymous, "nobody", "not what it is", NEW).await;
    let without_id = |answer: &Answer| {
        let mut problem = answer.problem(401, "invalid_credentials");
        problem["request_id"] = Value::Null;
        problem
    };
    assert_eq!(without_id(&wrong), without_id(&unknown));
    let long = "p".repeat(1_025);
    for bad in ["short", &long, "countess-countess-1", FIRST] {
        forced(&anonymous, "countess", FIRST, bad).await.problem_of(422, "validation", "new_password");
    }
    anonymous.try_login("countess", FIRST).await.problem(428, "must_change_password");

    let done = forced(&anonymous, "COUNTESS@example.org", FIRST, NEW).await;
    done.expect(204);
    assert_eq!(done.text, "", "it begins no session");
    forced(&anonymous, "countess", FIRST, NEW).await.problem(401, "invalid_credentials");
    anonymous.try_login("countess", FIRST).await.problem(401, "invalid_credentials");
    let ada = anonymous.login("countess", NEW).await;
    assert_eq!(ada.get("/auth/me").await.expect(200)["must_change_password"], false);
    // Whoever need not change it changes it signed in.
    forced(&anonymous, "countess", NEW, FIRST).await.problem(409, "password_change_not_required");

    // Somebody else may ask for another one at any time; nobody lifts it from themselves.
    admin.patch(&path, json!({ "must_change_password": true })).await.expect(200);
    ada.get("/auth/me").await.problem(401, "unauthenticated"); // A5
    let refresh = json!({ "refresh_token": ada.refresh_token });
    anonymous.post("/auth/refresh", refresh).await.problem(401, "refresh_invalid");
    anonymous.try_login("countess", NEW).await.problem(428, "must_change_password");
    // Changes that do not name it leave it.
    let kept = admin.patch(&path, json!({ "city": "London" })).await.expect(200);
    assert_eq!(kept["must_change_password"], true);
    forced(&anonymous, "countess", NEW, "a harbour of 12 red boats").await.expect(204);
    let me = admin.get("/auth/me").await.expect(200);
    let own = format!("/people/{}", me["id"].as_str().unwrap());
    let answer = admin.patch(&own, json!({ "must_change_password": true })).await;
    answer.problem_of(422, "validation", "must_change_password");

    // A4: wrong tries count together with those of sign-in.
    let mut throttled = false;
    for _ in 0..6 {
        throttled = forced(&anonymous, "countess", "not what it is", NEW).await.status == 429;
    }
    assert!(throttled);
    anonymous.try_login("countess", "a harbour of 12 red boats").await.problem(429, "login_throttled");

    commands_ask_for_it(&app).await;
}

async fn commands_ask_for_it(app: &TestApp) {
    let program = app.program();
    let anonymous = app.anonymous();
    let superuser = [
        "createsuperuser",
        "--username",
        "grace",
        "--email",
        "grace@example.org",
        "--password",
        FIRST,
        "--must-change-password",
        "--no-input",
    ];
    program.run(&superuser).await.expect_success();
    anonymous.try_login("grace", FIRST).await.problem(428, "must_change_password");
    forced(&anonymous, "grace", FIRST, NEW).await.expect(204);
    anonymous.login("grace", NEW).await;
    let seed = ["seed-admin", "--username", "grace", "--email", "grace@example.org", "--password", FIRST];
    let reset = [&seed[..], &["--force-reset", "--must-change-password"]].concat();
    program.run(&reset).await.expect_success();
    anonymous.try_login("grace", FIRST).await.problem(428, "must_change_password");
}

/// A password that the minimum has outgrown still proves who it is, and has to be changed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outgrown_password_has_to_be_changed() {
    let mut app = TestApp::start(Engine::Sqlite).await;
    app.server().kill();
    let minimum = (PASSWORD.chars().count() + 1).to_string();
    let program = app.program().clone().env("DEFAULT_PASSWORD_MIN_LENGTH", minimum);
    let server = stylobate_tests::Server::start(&program).await;
    let anonymous = app.anonymous().at(server.address());
    anonymous.try_login("admin", PASSWORD).await.problem(428, "must_change_password");
    let refused = forced(&anonymous, "admin", PASSWORD, "violet kayak under 38 bridge").await;
    refused.problem_of(422, "validation", "new_password");
    forced(&anonymous, "admin", PASSWORD, "violet kayak under 38 long bridges").await.expect(204);
    anonymous.login("admin", "violet kayak under 38 long bridges").await;
}
