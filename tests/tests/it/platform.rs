//! What operators and their tools meet: probes, metrics, documents, headers.

use reqwest::Method;
use serde_json::{Value, json};
use stylobate_tests::{Answer, Engine, PASSWORD, TestApp};

stylobate_tests::both_engines!(probes_metrics_documents_and_headers);

async fn probes_metrics_documents_and_headers(engine: Engine) {
    let app = TestApp::start(engine).await;
    let admin = app.administrator().await;
    probes(&app).await;
    metrics(&app).await;
    documents(&app).await;
    headers(&app).await;
    forwarded_addresses_are_not_believed(&app, &admin).await;
    cross_origin(&app).await;
}

async fn probes(app: &TestApp) {
    let anonymous = app.anonymous();
    for path in ["/health", "/health/ready", "/health/live", "/healthz", "/readyz"] {
        let answer = anonymous.get(path).await;
        let health = answer.expect(200);
        assert_eq!(health["status"], "up", "{health}");
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
    let checks = anonymous.get("/health/ready").await.expect(200)["checks"].clone();
    assert!(!checks.as_object().unwrap().is_empty(), "{checks}");
    assert!(
        !checks.to_string().contains("127.0.0.1") && !checks.to_string().contains("postgres://"),
        "{checks}"
    );
    let pool = anonymous.get("/health/db-pool").await.expect(200);
    assert!(pool.as_object().is_some_and(|pool| pool.values().any(Value::is_number)), "{pool}");
    let version = anonymous.get("/version").await.expect(200);
    assert_eq!(version["version"], env!("CARGO_PKG_VERSION"), "{version}");
}

/// A24
async fn metrics(app: &TestApp) {
    let anonymous = app.anonymous();
    let unknown = uuid::Uuid::from_u128(0x5eed);
    anonymous.get(&format!("/people/{unknown}")).await.problem(401, "unauthenticated");
    let scrape = async || {
        let answer = anonymous.get("/metrics").await;
        assert_eq!(answer.status, 200, "{answer}");
        assert!(answer.header("content-type").unwrap().starts_with("text/plain; version=0.0.4"), "{answer}");
        answer.text
    };
    anonymous.get("/a-path-nobody-has").await.problem(404, "not_found");
    scrape().await; // is a route of its own, and seen by the next
    let before = scrape().await;
    for expected in [
        "http_server_request_duration_seconds_bucket",
        "http_server_active_requests",
        "/people/{id}",
        "401",
        "\npassword_hash_computed_total ",
        "\npassword_hash_waiting 0",
        "\npassword_hash_permits ",
    ] {
        assert!(before.contains(expected), "no {expected} in {before}");
    }
    for number in 0..50 {
        anonymous.get(&format!("/random-{number}/path")).await.problem(404, "not_found");
        anonymous
            .get(&format!("/people/{}", uuid::Uuid::from_u128(number)))
            .await
            .problem(401, "unauthenticated");
    }
    let after = scrape().await;
    assert!(
        !after.contains(&unknown.to_string()) && !after.contains("random-"),
        "labels come from a closed set"
    );
    let series = |text: &str| text.lines().filter(|line| line.starts_with("http_server_request")).count();
    assert_eq!(series(&after), series(&before), "random paths add no series");
    // Through a proxy, the scraper is not on this machine.
    let proxied = anonymous.request(Method::GET, "/metrics").header("x-forwarded-for", "127.0.0.1");
    assert!([401, 403, 404].contains(&anonymous.send_raw(proxied).await.status));
}

/// Both viewers work without the internet, and everything they need is there.
async fn documents(app: &TestApp) {
    let anonymous = app.anonymous();
    for (folder, page) in [("/", "docs"), ("/", "redoc"), ("/api/", "docs"), ("/api/v1/", "redoc")] {
        let answer = anonymous.get(&format!("{folder}{page}")).await;
        assert_eq!(answer.status, 200, "{answer}");
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.contains("default-src 'none'") && !policy.contains("http"), "{policy}");
        let parts = answer.text.split("src=\"").chain(answer.text.split("href=\"")).skip(1);
        let links: Vec<&str> =
            parts.filter_map(|part| part.split('"').next()).filter(|link| !link.contains('<')).collect();
        assert!(!links.is_empty(), "{answer}");
        for link in links {
            assert!(!link.contains("//"), "{page} loads {link}");
            let path = if link.starts_with('/') { link.to_owned() } else { format!("{folder}{link}") };
            let file = anonymous.get(&path).await;
            assert!(file.status == 200 && file.text.len() > 50, "{path}: {}", file.status);
        }
    }
    let command = app.program().clone().run(&["openapi"]).await.expect_success();
    let printed: Value = serde_json::from_str(&command).unwrap();
    assert_eq!(
        printed,
        anonymous.get("/openapi.json").await.expect(200),
        "the command prints what the server serves"
    );
    for (path, expected) in [
        ("/ws/notifications", ["after", "Sec-WebSocket-Protocol"]),
        ("/notifications/stream", ["after", "Last-Event-ID"]),
    ] {
        let parameters = printed["paths"][path]["get"]["parameters"].as_array().unwrap();
        let names: Vec<_> = parameters.iter().map(|one| one["name"].as_str().unwrap()).collect();
        assert_eq!(names, expected, "{path}");
    }
}

/// A22
async fn headers(app: &TestApp) {
    let anonymous = app.anonymous();
    let mut ids = Vec::new();
    for path in ["/health", "/people", "/nothing", "/docs", "/setup", "/openapi.json", "/metrics"] {
        let answer = anonymous.get(path).await;
        // A form says to its own server where it comes from.
        let referrer = if path == "/setup" { "same-origin" } else { "no-referrer" };
        for (name, expected) in [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", referrer),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
        ] {
            assert_eq!(answer.header(name), Some(expected), "{name} of {path}");
        }
        let policy = answer.header("content-security-policy").unwrap_or_default();
        assert!(policy.contains("frame-ancestors 'none'"), "{path}: {policy}");
        assert_eq!(answer.header("server"), None);
        assert_eq!(answer.header("strict-transport-security"), None, "not over plain http");
        ids.push(request_id(&answer));
    }
    // A caller's own id is not taken over: it stands in logs and the trail.
    let forged = "0191e000-0000-7000-8000-0000000000aa";
    for value in [forged, "\u{1b}[31m", "x"] {
        let request = anonymous.request(Method::GET, "/health");
        let request = request.header(
            "x-request-id",
            reqwest::header::HeaderValue::from_bytes(value.as_bytes())
                .unwrap_or(reqwest::header::HeaderValue::from_static("y")),
        );
        ids.push(request_id(&anonymous.send_raw(request).await));
    }
    let count = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), count, "every request has its own id");
    assert!(!ids.contains(&forged.to_owned()));
    let setup = anonymous.get("/setup?token=x").await;
    let policy = setup.header("content-security-policy").unwrap();
    assert!(!policy.contains("unsafe"), "{policy}");
}

fn request_id(answer: &Answer) -> String {
    let id = answer.header("x-request-id").expect("a request id");
    assert!(id.parse::<uuid::Uuid>().is_ok(), "{id}");
    id.to_owned()
}

/// A19
async fn forwarded_addresses_are_not_believed(app: &TestApp, admin: &stylobate_tests::Client) {
    for name in
        ["x-forwarded-for", "x-real-ip", "forwarded", "cf-connecting-ip", "true-client-ip", "x-client-ip"]
    {
        let value = if name == "forwarded" { "for=203.0.113.9" } else { "203.0.113.9" };
        let request =
            admin.request(Method::POST, "/roles").header(name, value).json(&json!({ "name": name }));
        let answer = admin.send_raw(request).await;
        answer.expect(201);
        let trail = admin.all(&format!("/audit-events?request_id={}", request_id(&answer))).await;
        assert_eq!(trail[0]["ip_address"], "127.0.0.1", "{name} was believed");
    }
    // Links and challenges come from the configuration, not from who is asked for.
    let request = app.anonymous().request(Method::GET, "/auth/me").header("x-forwarded-host", "evil.example");
    let answer = app.anonymous().send_raw(request).await;
    assert!(!format!("{:?}", answer.headers).contains("evil") && !answer.text.contains("evil"));
}

/// A21
async fn cross_origin(app: &TestApp) {
    let anonymous = app.anonymous();
    for origin in ["https://evil.example", "null", "http://127.0.0.1.evil.example"] {
        let request = anonymous.request(Method::OPTIONS, "/people").header("origin", origin);
        let request = request.header("access-control-request-method", "POST");
        let answer = anonymous.send_raw(request).await;
        assert_ne!(answer.header("access-control-allow-origin"), Some(origin), "{origin} is reflected");
        assert_ne!(answer.header("access-control-allow-origin"), Some("*"));
    }
}

/// A19, and who may scrape: with a proxy in front and a token for metrics.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trusted_proxy_is_believed_and_a_metrics_token_is_asked_for() {
    let token = "a-token-for-scrapers-only";
    let app = TestApp::builder(Engine::Sqlite)
        .env("TRUSTED_PROXIES", "127.0.0.1")
        .env("METRICS_TOKEN", token)
        .env("CORS_ORIGINS", "https://app.example.org")
        .env("DOCS_PUBLIC", "false")
        .env("JWT_ALGORITHM", "HS256")
        .env("JWT_SECRET", "M3eZq0yJ8uR2wK6tX9vB4nC7pL1sD5gH")
        .start()
        .await;
    let admin = app.administrator().await;
    let anonymous = app.anonymous();
    // The rightmost address that is no proxy of ours; what stands before it is the caller's own invention.
    let login = anonymous
        .request(Method::POST, "/auth/login")
        .header("x-forwarded-for", "198.51.100.66, 203.0.113.9");
    let login = login.json(&json!({ "username": "admin", "password": PASSWORD }));
    let session = anonymous.with_tokens(&anonymous.send_raw(login).await.expect(200));
    let own = session.all("/auth/sessions").await;
    let own = own.iter().find(|session| session["is_current"] == true).unwrap();
    assert_eq!(own["ip_address"], "203.0.113.9", "{own}");
    let header = session.access_token.as_ref().unwrap().split('.').next().unwrap();
    assert!(
        header.starts_with("eyJhbGciOiJIUzI1NiI") || header.contains("SFMyNTYi"),
        "signed as configured: {header}"
    );

    anonymous.get("/metrics").await.problem(401, "unauthenticated");
    admin.get("/metrics").await.problem(401, "unauthenticated");
    for (presented, status) in [(token, 200), ("a-token-for-scrapers-onlx", 401), ("", 401)] {
        for path in ["/metrics", "/metrics/prometheus"] {
            let request = anonymous.request(Method::GET, path).bearer_auth(presented);
            assert_eq!(anonymous.send_raw(request).await.status, status, "{path} with {presented}");
        }
    }
    anonymous.get("/openapi.json").await.problem(401, "unauthenticated");
    anonymous.get("/docs").await.problem(401, "unauthenticated");
    admin.get("/openapi.json").await.expect(200);

    let origin = "https://app.example.org";
    let request = anonymous.request(Method::OPTIONS, "/people").header("origin", origin);
    let request = request.header("access-control-request-method", "POST");
    let answer = anonymous.send_raw(request).await;
    assert_eq!(answer.header("access-control-allow-origin"), Some(origin), "{answer}");
}
