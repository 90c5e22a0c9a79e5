//! What the environment may say, and what stops a start.

use stylobate_tests::{Engine, PASSWORD, Place, Program, Server, TestApp};

stylobate_tests::both_engines!(migrations_are_shown_and_applied);

/// What a production start needs beside a database.
const PRODUCTION: [(&str, &str); 5] = [
    ("APP_ENV", "production"),
    ("PUBLIC_URL", "https://control-plane.example.org"),
    ("METRICS_TOKEN", "a-token-for-scrapers-only"),
    ("KEY_ENCRYPTION_KEY", "9b1f0c6e4d7a2853e6f1b0c9d8a7463520fedcba98765432100f1e2d3c4b5a69"),
    ("LOG_LEVEL", "warn"),
];

fn production(place: &Place) -> Program {
    let program = Program::at(place).without("JWT_ISSUER");
    PRODUCTION.iter().fold(program, |program, (name, value)| program.env(name, *value))
}

/// A34
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_server_on_one_sqlite_file_stops() {
    let app = TestApp::builder(Engine::Sqlite).without_administrator().start().await;
    let second = app.program().run(&["serve"]).await;
    assert!(!second.success && second.text.contains("sqlite_single_server"), "{}", second.text);
    app.anonymous().get("/health/ready").await.expect(200);
}

/// A34: everything that is wrong is named at once, and no value is shown.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn weak_settings_stop_a_production_start() {
    let place = Place::new(Engine::Sqlite).await;
    let bare = Program::at(&place).without("JWT_ISSUER").env("APP_ENV", "production").run(&["serve"]).await;
    assert!(!bare.success);
    for name in ["KEY_ENCRYPTION_KEY", "METRICS_TOKEN", "PUBLIC_URL"] {
        assert!(bare.text.contains(name), "{name} is not named: {}", bare.text);
    }
    let weak = [
        ("JWT_ALGORITHM", "HS256"),
        ("JWT_SECRET", "canary-secret"),
        ("KEY_ENCRYPTION_KEY", "canary-key"),
        ("METRICS_TOKEN", "canary"),
        ("PUBLIC_URL", "http://control-plane.example.org"),
        ("TRUSTED_PROXIES", "0.0.0.0/0"),
        ("CORS_ORIGINS", "*"),
        ("LOGIN_ATTEMPT_LIMIT", "0"),
        ("JWT_ACCESS_TTL_MINUTES", "900"),
    ];
    let program = weak.iter().fold(production(&place), |program, (name, value)| program.env(name, *value));
    let run = program.run(&["serve"]).await;
    assert!(!run.success);
    for (name, _) in weak.iter().filter(|(name, _)| *name != "JWT_ALGORITHM") {
        assert!(run.text.contains(name), "{name} is not named: {}", run.text);
    }
    assert!(!run.text.contains("canary"), "{}", run.text);
    let misspelt = Program::at(&place).env("STYLOBATE_SERVER__COLOUR", "red").run(&["serve"]).await;
    assert!(!misspelt.success && misspelt.text.contains("STYLOBATE_SERVER__COLOUR"), "{}", misspelt.text);
    assert!(!place.folder().join("data/control-plane.db").exists(), "a refused start leaves nothing behind");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sound_settings_start_production() {
    let place = Place::new(Engine::Sqlite).await;
    let gateway = "twilio://AC1:canary@api.twilio.com?from=%2B15550100";
    let server = Server::start(&production(&place).env("SMS_URL", gateway)).await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let get = async |path: &str| client.get(format!("{}{path}", server.address())).send().await.unwrap();
    let health = get("/health").await;
    assert_eq!(health.status(), 200);
    assert_eq!(health.headers()["strict-transport-security"], "max-age=31536000; includeSubDomains"); // A22
    for path in ["/metrics", "/docs", "/redoc", "/openapi.json"] {
        assert_eq!(get(path).await.status(), 401, "{path} is not for everybody");
    }
    for path in ["/redis", "/redis/"] {
        assert_eq!(get(path).await.status(), 404, "diagnostics are not for production");
    }
    let said = server.output().join("\n");
    assert!(said.contains("https://control-plane.example.org/setup?token="), "{said}");
    // No kind of message goes by SMS.
    assert!(said.contains("SMS_URL has no effect") && !said.contains("canary"), "{said}");
}

/// A34: the server of a production installation has no more rights in the database than it needs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn production_refuses_the_owner_and_the_superuser() {
    let place = Place::new(Engine::Postgres).await;
    let own = place.environment();
    let same =
        production(&place).env("DATABASE_MIGRATION_URL", own["DATABASE_URL"].clone()).run(&["serve"]).await;
    assert!(!same.success && same.text.contains("DATABASE_MIGRATION_URL"), "{}", same.text);
    let superuser =
        production(&place).env("DATABASE_URL", place.superuser_url().unwrap()).run(&["serve"]).await;
    assert!(!superuser.success && superuser.text.contains("DATABASE_URL"), "{}", superuser.text);
    let app = Server::start(&production(&place)).await;
    assert!(app.setup_link().is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_of_variables_is_read_and_the_environment_wins() {
    let builder = TestApp::builder(Engine::Sqlite).dotenv("JWT_ACCESS_TTL_MINUTES=7\nAPP_ENV=production\n");
    let app = builder.start().await;
    let tokens = app.anonymous().try_login("admin", PASSWORD).await.expect(200);
    assert!((415..=420).contains(&tokens["expires_in"].as_u64().unwrap()), "{tokens}");
}

async fn migrations_are_shown_and_applied(engine: Engine) {
    let place = Place::new(engine).await;
    let program = Program::at(&place);
    let before = program.run(&["migrate", "--status"]).await.expect_success();
    assert!(before.contains("missing") && !before.contains("applied"), "{before}");
    let after = program.run(&["migrate"]).await.expect_success();
    assert!(after.contains("applied") && !after.contains("missing"), "{after}");
    assert_eq!(program.run(&["migrate"]).await.expect_success(), after, "a second time changes nothing");
    let undone = program.run(&["migrate", "--to", "0"]).await.expect_success();
    assert!(undone.contains("missing") && !undone.contains("applied"), "{undone}");
    assert_eq!(program.run(&["migrate"]).await.expect_success(), after);
    Server::start(&program).await;
}
