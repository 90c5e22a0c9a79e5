use std::{
    io,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Body,
    response::Html,
    routing::{get, post},
};
use stylobate_core::{RequestId, SystemClock};
use stylobate_observability::{LogConfig, LogFormat, log_subscriber};
use stylobate_tower_middleware::{
    AllowedHosts, ApiError, Arrival, ContentPolicy, CspNonce, TrustedProxies, method_not_allowed, not_found,
};

use crate::support::{edge, from_peer, get as fetch, platform, problem, request, router, send, text};

fn app() -> Router {
    router([
        ("/", get(async |arrival: Arrival| arrival.request_id.to_string())),
        ("/gone", get(async || ApiError::not_found())),
        ("/people/{id}", get(async || "x")),
    ])
}

#[tokio::test]
async fn every_answer_carries_the_id_of_its_request() {
    let response = fetch(app(), edge(), "/").await;
    let id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
    assert!(id.parse::<RequestId>().is_ok());
    assert_eq!(text(response).await, id);
    let refused = fetch(app(), edge(), "/gone").await;
    assert_eq!(problem(refused).await["code"], "not_found");
}

#[tokio::test]
async fn an_incoming_id_counts_only_from_a_trusted_proxy_and_only_as_one_uuid() {
    let told = "0193a1b2-0000-7000-8000-000000000001";
    let kept = async |peer: &str, ids: &[&str]| {
        let layer = edge().with_proxies(TrustedProxies::parse(["10.0.0.0/8"]).unwrap());
        let builder = ids.iter().fold(request("GET", "/"), |builder, id| builder.header("x-request-id", *id));
        let request = from_peer(builder.body(Body::empty()).unwrap(), peer);
        text(send(tower::Layer::layer(&layer, app()), request).await).await == told
    };
    assert!(kept("10.0.0.1:1", &[told]).await);
    assert!(!kept("203.0.113.1:1", &[told]).await);
    assert!(!kept("10.0.0.1:1", &[told, told]).await);
    assert!(!kept("10.0.0.1:1", &["not-a-uuid"]).await);
}

#[tokio::test]
async fn missing_routes_and_methods_are_problems_even_without_fallback_handlers() {
    let missing = fetch(app().layer(edge()), tower::layer::util::Identity::new(), "/nowhere").await;
    assert_eq!(problem(missing).await["code"], "not_found");
    let wrong = send(app().layer(edge()), request("PUT", "/").body(Body::empty()).unwrap()).await;
    assert_eq!(wrong.headers()["allow"], "GET,HEAD");
    assert_eq!(problem(wrong).await["code"], "method_not_allowed");
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "Routes is one floor up")]
async fn fallback_handlers_answer_problems() {
    let app = app().fallback(not_found).method_not_allowed_fallback(method_not_allowed).layer(edge());
    let missing = send(app.clone(), request("GET", "/nowhere").body(Body::empty()).unwrap()).await;
    assert_eq!(problem(missing).await["code"], "not_found");
    let wrong = send(app, request("PUT", "/").body(Body::empty()).unwrap()).await;
    assert_eq!(problem(wrong).await["detail"], "The resource does not support PUT.");
}

#[tokio::test]
async fn hosts_outside_the_list_never_reach_a_route() {
    let layer = || edge().with_hosts(AllowedHosts::only(["other.example"]).unwrap());
    let refused = fetch(app(), layer(), "/").await;
    assert_eq!(problem(refused).await["code"], "misdirected_request");
    let twice = request("GET", "/").header("host", "app.example").body(Body::empty()).unwrap();
    assert_eq!(problem(send(tower::Layer::layer(&edge(), app()), twice).await).await["code"], "bad_host"); // C48
}

#[tokio::test]
async fn pages_choose_their_policy() {
    const DOCS: ContentPolicy = ContentPolicy::from_static("default-src 'self'; frame-ancestors 'none'");
    let app = router([
        ("/page", get(async |nonce: CspNonce| (nonce.clone(), Html(format!("<script nonce=\"{nonce}\">"))))),
        ("/docs", get(async || (DOCS, Html("docs")))),
        ("/api", get(async || "{}")),
    ]);
    let page = fetch(app.clone(), edge(), "/page").await;
    let policy = page.headers()["content-security-policy"].to_str().unwrap().to_owned();
    let body = text(page).await;
    let nonce = body.split('"').nth(1).unwrap();
    assert!(policy.contains(&format!("script-src 'nonce-{nonce}'")) && !policy.contains("unsafe")); // A22
    let docs = fetch(app.clone(), edge(), "/docs").await;
    assert_eq!(docs.headers()["content-security-policy"], "default-src 'self'; frame-ancestors 'none'");
    let api = fetch(app, edge(), "/api").await;
    assert!(api.headers()["content-security-policy"].to_str().unwrap().starts_with("default-src 'none'"));
    assert_eq!(api.headers()["cache-control"], "no-store");
}

#[tokio::test]
async fn a_panic_is_one_broken_answer() {
    async fn late() -> &'static str {
        panic!("canary: password=hunter2")
    }
    let app = platform([("/", get(late)), ("/fine", get(async || "fine"))]);
    for _ in 0..3 {
        let broken = send(app.clone(), request("GET", "/").body(Body::empty()).unwrap()).await;
        let body = problem(broken).await;
        assert_eq!(body["code"], "internal"); // A32
        assert!(!body.to_string().contains("canary"));
        let fine = send(app.clone(), request("GET", "/fine").body(Body::empty()).unwrap()).await;
        assert_eq!(fine.status(), 200);
    }
}

#[derive(Clone, Default)]
pub(crate) struct Captured(Arc<Mutex<Vec<u8>>>);

impl Captured {
    /// The log while the guard lives, as lines of JSON.
    pub(crate) fn begin(&self) -> tracing::subscriber::DefaultGuard {
        let writer = self.clone();
        let config = LogConfig { format: LogFormat::Json, filter: "debug".into(), ..LogConfig::default() };
        let subscriber = log_subscriber(&config, Arc::new(SystemClock), move || writer.clone()).unwrap();
        tracing::subscriber::set_default(subscriber)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl io::Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn lines_inside_a_request_carry_its_ids_and_nothing_the_client_chose() {
    let captured = Captured::default();
    let app = platform([(
        "/people/{id}",
        post(async |_body: String| {
            tracing::info!("inside");
            ApiError::internal(io::Error::other("the disk is full"))
        }),
    )]);
    let request = request("POST", "/people/canary-path?q=canary-query")
        .header("authorization", "Bearer ada")
        .header("user-agent", "canary-agent")
        .header("cookie", "x=canary-cookie")
        .body(Body::from("canary-body"))
        .unwrap();
    let response = {
        let _logging = captured.begin();
        send(app, request).await
    };
    assert_eq!(response.status(), 500);
    let id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
    let log = captured.text();
    assert!(!log.contains("canary"), "{log}"); // A24
    let lines: Vec<serde_json::Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for message in ["inside", "the request failed", "answered"] {
        let line = lines.iter().find(|line| line["message"] == message).unwrap();
        assert_eq!(
            (line["request_id"].as_str(), line["route"].as_str()),
            (Some(id.as_str()), Some("/people/{id}"))
        );
        assert_eq!(line["actor"], crate::support::ada().to_string());
        assert_eq!(line["tenant"], crate::support::tenant().to_string());
    }
    let answered = lines.iter().find(|line| line["message"] == "answered").unwrap();
    assert_eq!((&answered["status"], &answered["code"]), (&500.into(), &"internal".into()));
    // A failure is logged once.
    assert_eq!(log.matches("the disk is full").count(), 1);
}

#[cfg(feature = "metrics")]
#[tokio::test]
async fn ten_thousand_paths_add_no_series() {
    use stylobate_observability::{Build, Metrics};
    let metrics = Metrics::new(Build { service: "test", version: "0" }, &SystemClock).unwrap();
    let app = app().layer(edge().with_metrics(metrics.http().clone()));
    let ask = async |path: String| {
        drop(send(app.clone(), request("GET", &path).body(Body::empty()).unwrap()).await);
    };
    ask("/people/0".into()).await;
    ask("/random/0".into()).await;
    let before = metrics.render().unwrap().lines().count();
    for n in 1..5_000 {
        ask(format!("/people/{n}")).await;
        ask(format!("/random/{n}")).await;
    }
    let text = metrics.render().unwrap();
    assert_eq!(text.lines().count(), before); // A24
    assert!(
        text.contains(r#"http_route="/people/{id}""#) && text.contains(r#"http_route="unmatched""#),
        "{text}"
    );
    assert!(text.contains("\nhttp_server_active_requests 0"));
}
