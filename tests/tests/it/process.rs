//! Starting, stopping, killing: the program as its operator meets it.

use std::time::Duration;

use serde_json::{Value, json};
use stylobate_tests::{Engine, Ledger, Load, PASSWORD, TestApp, eventually};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

stylobate_tests::both_engines!(
    killed_servers_lose_nothing,
    stopping_finishes_what_began,
    commands_beside_a_server
);

/// A29 at small scale; `cargo xtask chaos db` runs the full count.
async fn killed_servers_lose_nothing(engine: Engine) {
    let mut app = TestApp::start(engine).await;
    let client = app.administrator().await;
    let mut all = Ledger::default();
    for round in 0..3 {
        let load = Load::start(&client, 6, round, 29);
        eventually("writes to be acknowledged", async || (load.acknowledged() >= 60).then_some(())).await;
        app.server().kill();
        let ledger = load.stop().await;
        assert_eq!(ledger.strange_refusals(), []);
        app.restart().await;
        let verdict = ledger.check_acknowledged(&client).await;
        assert!(verdict.is_sound(), "round {round}: {verdict:?}");
        all.merge(ledger);
    }
    let verdict = all.check_everything(&client).await;
    assert!(verdict.is_sound(), "{verdict:?}");
}

/// A32: a request that is being answered when the signal comes is answered to its end.
async fn stopping_finishes_what_began(engine: Engine) {
    let mut app = TestApp::start(engine).await;
    let address = app.server().address().strip_prefix("http://").unwrap().to_owned();
    let body = json!({ "username": "admin", "password": PASSWORD }).to_string();
    let mut begun = Vec::new();
    for _ in 0..4 {
        let mut connection = TcpStream::connect(&address).await.unwrap();
        let head = format!(
            "POST /auth/login HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\nexpect: 100-continue\r\nconnection: close\r\n\r\n",
            body.len()
        );
        connection.write_all(head.as_bytes()).await.unwrap();
        // The server asks for the body once the handler waits for it: the request is under way.
        let mut asked = [0; 64];
        let read = connection.read(&mut asked).await.unwrap();
        assert!(asked[..read].starts_with(b"HTTP/1.1 100 "), "{}", String::from_utf8_lossy(&asked[..read]));
        begun.push(connection);
    }
    app.server().terminate();
    eventually("the server to take no new work", async || {
        match app.anonymous().try_send(reqwest::Method::GET, "/health/ready", None).await {
            Ok(answer) if answer.status == 200 => None,
            _ => Some(()),
        }
    })
    .await;
    for mut connection in begun {
        connection.write_all(body.as_bytes()).await.unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.contains("refresh_token"), "{answer}");
    }
    let status = app.server().ended().await;
    assert!(status.success(), "{status}\n{}", app.server().output().join("\n"));
    app.restart().await;
    app.administrator().await;
}

async fn commands_beside_a_server(engine: Engine) {
    let app = TestApp::builder(engine).without_administrator().start().await;
    let program = app.program();
    // Idempotent, and seen by the running server.
    for _ in 0..2 {
        program.run(&["seed-admin", "--username", "root", "--password", PASSWORD]).await.expect_success();
        program.run(&["seed-rbac"]).await.expect_success();
        program.run(&["migrate"]).await.expect_success();
    }
    let root = app.login("root").await;
    eventually("the new administrator to be seen", async || {
        (root.get("/people").await.status == 200).then_some(())
    })
    .await;
    assert_eq!(root.all("/people").await.len(), 1);

    let new = "an orchard of 12 pear trees";
    let keep = program.run(&["seed-admin", "--username", "root", "--password", new]).await;
    keep.expect_success();
    app.anonymous().try_login("root", new).await.problem(401, "invalid_credentials");
    let reset = program.run(&["seed-admin", "--username", "root", "--password", new, "--force-reset"]).await;
    reset.expect_success();
    app.anonymous().try_login("root", new).await.expect(200);
    app.anonymous().try_login("root", PASSWORD).await.problem(401, "invalid_credentials");
    eventually("the old session to be refused", async || {
        (root.get("/auth/whoami").await.status == 401).then_some(())
    })
    .await;

    let superuser = |password: &[&'static str]| {
        let names = ["createsuperuser", "--username", "grace", "--email", "grace@example.org", "--no-input"];
        [&names[..], password].concat()
    };
    let missing = program.run(&superuser(&[])).await;
    assert!(!missing.success && missing.text.contains("password"), "{}", missing.text);
    let weak = program.run(&superuser(&["--password", "grace-grace-grace"])).await;
    assert!(!weak.success && weak.text.contains("password"), "{}", weak.text);
    let details = [
        "--password",
        PASSWORD,
        "--middle-name=Brewster",
        "--nationality=US",
        "--date-of-birth=1906-12-09",
        "--phone-number=+1 703",
    ];
    let text = program.run(&superuser(&details)).await.expect_success();
    assert!(!text.contains(PASSWORD));
    let me = app.login("grace").await.get("/auth/me").await.expect(200);
    for (field, value) in [
        ("middle_name", "Brewster"),
        ("nationality", "US"),
        ("date_of_birth", "1906-12-09"),
        ("phone", "+1 703"),
    ] {
        assert_eq!(me[field], value, "{field}: {me}");
    }

    let status = program.run(&["migrate", "--status"]).await.expect_success();
    assert!(status.contains("applied") && !status.contains("missing"), "{status}");
    let help = program.run(&["--help"]).await.expect_success();
    for command in ["serve", "migrate", "createsuperuser", "seed-admin", "seed-rbac", "openapi"] {
        assert!(help.contains(command), "{help}");
    }
    assert!(!program.run(&["fly"]).await.success);
}

/// Asking what is missing makes nothing: no folder, no database.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_status_of_an_empty_place_leaves_it_empty() {
    let place = stylobate_tests::Place::new(Engine::Sqlite).await;
    let program = stylobate_tests::Program::at(&place);
    let status = program.run(&["migrate", "--status"]).await.expect_success();
    assert!(status.contains("missing") && !status.contains("applied"), "{status}");
    assert_eq!(std::fs::read_dir(place.folder()).unwrap().count(), 0);
    program.run(&["migrate"]).await.expect_success();
    let migrated = program.run(&["migrate", "--status"]).await.expect_success();
    assert_eq!(migrated, status.replace("missing", "applied"));
}

/// A key that does not open the ring stops the start, and the right one goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_key_encryption_key_stops_the_start() {
    let mut app = TestApp::start(Engine::Sqlite).await;
    let admin = app.administrator().await;
    app.server().kill();
    let other = app.program().clone().env("KEY_ENCRYPTION_KEY", "0".repeat(63) + "1").run(&["serve"]).await;
    assert!(!other.success && other.text.contains("kek_mismatch"), "{}", other.text);
    app.restart().await;
    admin.get("/auth/me").await.expect(200);
}

/// A29, A32: the database goes and comes back; the server says so and recovers by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_database_is_told_and_survived() {
    let mut app = TestApp::builder(Engine::Postgres).behind_proxy().start().await;
    let client = app.administrator().await;
    let load = Load::start(&client, 4, 0, 29);
    eventually("writes to be acknowledged", async || (load.acknowledged() >= 30).then_some(())).await;
    app.proxy.as_ref().unwrap().shut();
    eventually("readiness to tell", async || (client.get("/health/ready").await.status == 503).then_some(()))
        .await;
    client.get("/health/live").await.expect(200);
    let refused = eventually("requests to be refused", async || {
        let answer = client.get("/people").await;
        assert!([200, 503].contains(&answer.status), "{answer}");
        (answer.status == 503).then_some(answer)
    })
    .await;
    assert!(refused.header("retry-after").is_some(), "{refused}");
    let login = app.anonymous().try_login("admin", PASSWORD).await;
    assert_eq!(login.status, 503, "{login}");
    let refresh =
        app.anonymous().post("/auth/refresh", json!({ "refresh_token": client.refresh_token })).await;
    assert_eq!(refresh.status, 503, "{refresh}");
    assert!(app.server().is_running());

    app.proxy.as_ref().unwrap().open();
    eventually("the server to be ready again", async || {
        (client.get("/health/ready").await.status == 200).then_some(())
    })
    .await;
    let before = load.acknowledged();
    eventually("writes to be acknowledged again", async || (load.acknowledged() > before).then_some(()))
        .await;
    let ledger = load.stop().await;
    assert_eq!(ledger.strange_refusals(), []);
    let verdict = ledger.check_everything(&client).await;
    assert!(verdict.is_sound(), "{verdict:?}");
    app.login("admin").await;
    let text = app.server().output().join("\n");
    assert!(!text.contains("panicked"), "{text}");
}

/// Nothing that a caller sends or a person has as a secret gets into the log (A24, C39).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_is_one_json_object_a_line_without_secrets() {
    let mut app =
        TestApp::builder(Engine::Sqlite).env("LOG_FORMAT", "json").env("LOG_LEVEL", "debug").start().await;
    let admin = app.administrator().await;
    let nasty = "canary\u{1b}[31m\n{\"level\":\"forged\"}\u{202e}";
    admin.anonymous().try_login(nasty, "canary-password").await.problem(401, "invalid_credentials");
    let request = admin
        .request(reqwest::Method::GET, "/people?search=canary-query")
        .header("user-agent", "canary-agent");
    admin.send_raw(request.header("cookie", "session=canary-cookie")).await;
    tokio::time::sleep(Duration::from_millis(1)).await; // lets the reader take the last lines
    let lines = eventually("lines of the log", async || {
        let lines: Vec<String> =
            app.server().output().into_iter().filter(|line| line.starts_with('{')).collect();
        (!lines.is_empty()).then_some(lines)
    })
    .await;
    for line in &lines {
        let parsed: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert_ne!(parsed["level"], "forged");
    }
    let text = app.server().output().join("\n");
    for canary in [
        PASSWORD,
        "canary-password",
        "canary-query",
        "canary-cookie",
        "\u{1b}",
        admin.access_token.as_ref().unwrap(),
    ] {
        assert!(!text.contains(canary), "the log holds {canary:?}");
    }
    assert!(!text.contains(&admin.refresh_token));
}
