//! Signed requests: whose signature is good acts for its service, and nobody else gets through by one.

use std::sync::Arc;

use axum::{Router, body::Body, extract::OriginalUri, response::Response, routing::any};
use bytes::Bytes;
use http::Request;
use stylobate_auth::{
    FixedKeys, KeyHolder, Kid, LegacyConfig, LegacySigner, MemoryNonces, MessageFields, NonceStore,
    RequestParts, RequestSigner, RequestVerifier, RequestVerifierConfig, SigningAlgorithm, SigningKey,
    TargetUri,
};
use stylobate_core::{Clock as _, ServiceId};
use stylobate_testkit::ManualClock;
use stylobate_tower_middleware::{CurrentPrincipal, Origin, SignedBy, SignedRequestLayer};
use tower::ServiceBuilder;

use crate::{
    edge::Captured,
    support::{authenticate, edge, id, problem, router, send, text},
};

fn orders() -> ServiceId {
    id(0x5e)
}

fn holder() -> KeyHolder {
    KeyHolder { service: orders(), tenant: None, name: "orders".into() }
}

/// A service that is signed to, and the key of the one that signs.
struct House {
    signer: RequestSigner,
    key_id: Kid,
    legacy: LegacySigner,
    clock: Arc<ManualClock>,
    verifier: RequestVerifier,
}

impl House {
    fn new() -> Self {
        Self::with(Arc::new(MemoryNonces::new()))
    }

    fn with(nonces: Arc<dyn NonceStore>) -> Self {
        let (key, _) = SigningKey::generate(SigningAlgorithm::EdDsa).unwrap();
        let keys = FixedKeys::new().with(key.verifying_key().clone(), holder()).unwrap();
        let legacy = LegacySigner::new("svc-orders".into(), &[7; 32]).unwrap();
        let callers = FixedKeys::new().with(legacy.verifying_key().clone(), holder()).unwrap();
        let config = RequestVerifierConfig {
            body_bytes_max: 64,
            legacy: Some(LegacyConfig::new(Arc::new(callers))),
            ..RequestVerifierConfig::default()
        };
        let verifier = RequestVerifier::new(Arc::new(keys), nonces, config).unwrap();
        let key_id = key.kid().clone();
        let signer = RequestSigner::new(key).unwrap();
        Self { signer, key_id, legacy, clock: Arc::new(ManualClock::new()), verifier }
    }

    fn layer(&self) -> SignedRequestLayer {
        SignedRequestLayer::dangerous_answering_at_any_host(self.verifier.clone(), self.clock.clone())
    }

    fn layer_at(&self, public: &Origin) -> SignedRequestLayer {
        SignedRequestLayer::new(self.verifier.clone(), self.clock.clone(), public)
    }

    fn app(&self) -> Router {
        self.app_with(self.layer())
    }

    fn app_with(&self, layer: SignedRequestLayer) -> Router {
        let layers = ServiceBuilder::new().layer(edge()).layer(layer).layer(authenticate());
        let routes = [
            (
                "/who",
                any(async |who: CurrentPrincipal, SignedBy(signed): SignedBy, body: Bytes| {
                    format!("{:?} {:?} {} {}", who.subject, who.credential, signed.holder.name, body.len())
                }),
            ),
            ("/services", any(async |SignedBy(signed): SignedBy| signed.key_id.to_string())),
            (
                "/maybe",
                any(async |who: Option<CurrentPrincipal>, body: Bytes| {
                    format!("{} {}", who.is_some(), body.len())
                }),
            ),
        ];
        router(routes).layer(layers)
    }

    /// A request for `path` of the service that clients know as `authority`.
    fn signed(&self, authority: &str, path: &str, body: &str) -> Request<Body> {
        let target = TargetUri::new("http", authority, path).unwrap();
        let parts = RequestParts { method: "POST", target: &target, fields: MessageFields::default() };
        let signed = self.signer.sign(&parts, body.as_bytes(), self.clock.now()).unwrap();
        let mut request = Request::builder().method("POST").uri(path).header("host", authority);
        for (name, value) in signed.iter() {
            request = request.header(name, value);
        }
        request.body(Body::from(body.to_owned())).unwrap()
    }

    fn ours(&self) -> Request<Body> {
        self.signed("app.example", "/who?a=b", "{}")
    }
}

/// A body that must not be read.
fn unread() -> Body {
    let never =
        futures_util::stream::poll_fn(|_| -> std::task::Poll<Option<Result<Bytes, std::io::Error>>> {
            panic!("the body was read")
        });
    Body::from_stream(never)
}

async fn refused(response: Response, status: u16, code: &str) {
    assert_eq!(response.status(), status);
    let accepts = response.headers().get("accept-signature").map(|value| value.to_str().unwrap().to_owned());
    let challenge =
        response.headers().get("www-authenticate").map(|value| value.to_str().unwrap().to_owned());
    if status == 401 {
        let expected = r#"sig1=("@method" "@authority" "@target-uri" "content-digest");created"#;
        assert_eq!(accepts.as_deref(), Some(expected));
        assert_eq!(challenge.as_deref(), Some("Signature"));
    } else {
        assert_eq!((accepts, challenge), (None, None));
    }
    assert_eq!(problem(response).await["code"], code);
}

#[tokio::test]
async fn whoever_signed_is_the_principal_and_handlers_read_what_was_hashed() {
    let house = House::new();
    let response = send(house.app(), house.ours()).await;
    assert_eq!(text(response).await, format!("Service {{ id: {:?} }} Signature orders 2", orders()));
}

#[tokio::test]
async fn a_request_that_is_not_signed_passes_untouched() {
    let house = House::new();
    // More than is read of a signed body.
    let long =
        Request::post("/maybe").header("host", "app.example").body(Body::from("x".repeat(100))).unwrap();
    assert_eq!(text(send(house.app(), long).await).await, "false 100");
    let bearer = Request::post("/maybe").header("host", "app.example").header("authorization", "Bearer ada");
    let bearer = bearer.header("content-digest", "nothing").body(Body::empty()).unwrap();
    assert_eq!(text(send(house.app(), bearer).await).await, "true 0");
}

#[tokio::test]
async fn a_handler_for_services_refuses_whoever_has_not_signed() {
    let house = House::new();
    let by_service = send(house.app(), house.signed("app.example", "/services", "")).await;
    assert_eq!(by_service.status(), 200);
    let by_person =
        Request::post("/services").header("host", "app.example").header("authorization", "Bearer ada");
    let by_person = send(house.app(), by_person.body(Body::empty()).unwrap()).await;
    assert_eq!(by_person.headers()["www-authenticate"], "Signature");
    assert_eq!(by_person.status(), 401);
    assert_eq!(problem(by_person).await["code"], "unauthenticated");
}

#[tokio::test]
async fn a_signature_is_good_for_one_request_at_every_process() {
    let house = House::new();
    let (first, second) = (house.app(), house.app_with(house.layer()));
    let (parts, _) = house.ours().into_parts();
    let again = || Request::from_parts(parts.clone(), Body::from("{}"));
    assert_eq!(send(first.clone(), again()).await.status(), 200);
    for app in [first, second] {
        refused(send(app, again()).await, 401, "request_replayed").await;
    }
}

#[tokio::test]
async fn a_replay_is_on_record_with_the_key_that_signed() {
    let house = House::new();
    let (parts, _) = house.ours().into_parts();
    let again = || Request::from_parts(parts.clone(), Body::from("{}"));
    let captured = Captured::default();
    let _logging = captured.begin();
    assert_eq!(send(house.app(), again()).await.status(), 200);
    assert!(!captured.text().contains("request_replayed"));
    let response = send(house.app(), again()).await;
    let key_id = house.key_id.as_str();
    let log = captured.text();
    let mut lines = log.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let line = lines.find(|line| line["message"] == "a signed request was sent again").unwrap();
    assert_eq!((&line["key_id"], &line["code"]), (&key_id.into(), &"request_replayed".into()));
    assert!(!text(response).await.contains(key_id), "a caller does not learn it");
}

#[tokio::test]
async fn what_was_changed_is_refused() {
    let house = House::new();
    let (parts, _) = house.ours().into_parts();
    let with = |change: fn(&mut http::request::Parts), body: &'static str| {
        let mut parts = parts.clone();
        change(&mut parts);
        send(house.app(), Request::from_parts(parts, Body::from(body)))
    };
    let invalid = "request_signature_invalid";
    refused(with(|_| {}, "[]").await, 401, invalid).await;
    refused(with(|_| {}, "").await, 401, invalid).await;
    refused(with(|parts| parts.uri = "/maybe?a=b".parse().unwrap(), "{}").await, 401, invalid).await;
    refused(with(|parts| parts.uri = "/who?a=c".parse().unwrap(), "{}").await, 401, invalid).await;
    refused(with(|parts| parts.method = http::Method::PUT, "{}").await, 401, invalid).await;
    let other_host = |parts: &mut http::request::Parts| {
        parts.headers.insert("host", "other.example".parse().unwrap());
    };
    refused(with(other_host, "{}").await, 401, invalid).await;
    for name in ["signature", "signature-input", "content-digest"] {
        let mut parts = parts.clone();
        parts.headers.remove(name);
        let request = Request::from_parts(parts, Body::from("{}"));
        refused(send(house.app(), request).await, 401, invalid).await;
    }
    let mut unsigned = parts.clone();
    unsigned.headers.remove("signature");
    unsigned.headers.remove("signature-input");
    assert_eq!(send(house.app(), Request::from_parts(unsigned, Body::from("{}"))).await.status(), 401);
    assert_eq!(with(|_| {}, "{}").await.status(), 200, "nothing of that used the signature up");
}

#[tokio::test]
async fn a_signature_of_a_minute_ago_is_refused() {
    let house = House::new();
    let request = house.ours();
    house.clock.advance(chrono::TimeDelta::seconds(61));
    refused(send(house.app(), request).await, 401, "request_signature_invalid").await;
}

#[tokio::test]
async fn nobody_without_a_key_has_a_body_read() {
    let house = House::new();
    let stranger = House::new();
    let (parts, _) = stranger.ours().into_parts();
    let response = send(house.app(), Request::from_parts(parts, unread())).await;
    refused(response, 401, "request_signature_invalid").await;
}

/// SECURITY A9: body cap before hashing.
#[tokio::test]
async fn a_body_above_the_limit_is_413_announced_or_not() {
    let house = House::new();
    let long = "x".repeat(65);
    refused(send(house.app(), house.signed("app.example", "/who", &long)).await, 413, "body_too_large").await;
    let (parts, _) = house.signed("app.example", "/who", &long).into_parts();
    let chunks =
        long.as_bytes().chunks(8).map(|chunk| Ok::<_, std::io::Error>(Bytes::copy_from_slice(chunk)));
    let chunked = Body::from_stream(futures_util::stream::iter(chunks.collect::<Vec<_>>()));
    refused(send(house.app(), Request::from_parts(parts, chunked)).await, 413, "body_too_large").await;
    let fits = house.signed("app.example", "/who", &"x".repeat(64));
    assert_eq!(send(house.app(), fits).await.status(), 200);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_ends_is_408() {
    let house = House::new();
    let (parts, _) = house.ours().into_parts();
    let never = Body::from_stream(futures_util::stream::pending::<Result<Bytes, std::io::Error>>());
    refused(send(house.app(), Request::from_parts(parts, never)).await, 408, "body_timeout").await;
}

#[tokio::test]
async fn a_signature_goes_beside_no_other_credential() {
    let house = House::new();
    // Explicit ones are seen before the signature is used up: without them the request is good.
    for (name, value) in
        [("authorization", "Bearer ada"), ("authorization", "Basic YTpi"), ("x-api-key", "sb_test_x")]
    {
        let (head, body) = house.ours().into_parts();
        let mut twice = Request::from_parts(head.clone(), Body::from("{}"));
        twice.headers_mut().insert(name, value.parse().unwrap());
        let app = house.app();
        refused(send(app.clone(), twice).await, 400, "ambiguous_credential").await;
        assert_eq!(send(app, Request::from_parts(head, body)).await.status(), 200, "{name}");
    }
    let mut session = house.ours();
    session.headers_mut().insert("cookie", "__Host-session=ada".parse().unwrap());
    refused(send(house.app(), session).await, 400, "ambiguous_credential").await;
    let mut other_cookie = house.ours();
    other_cookie.headers_mut().insert("cookie", "theme=dark".parse().unwrap());
    assert_eq!(send(house.app(), other_cookie).await.status(), 200);
}

/// A store that answers nothing.
#[derive(Debug)]
struct Away;

impl NonceStore for Away {
    fn remember<'a>(
        &'a self,
        _nonce: &'a stylobate_auth::RequestNonce,
        _now: chrono::DateTime<chrono::Utc>,
    ) -> stylobate_core::BoxFuture<'a, Result<bool, stylobate_auth::NonceStoreError>> {
        Box::pin(async { Err(stylobate_auth::NonceStoreError::Unavailable("away".into())) })
    }

    fn sweep(
        &self,
        _now: chrono::DateTime<chrono::Utc>,
        _nonces_max: u32,
    ) -> stylobate_core::BoxFuture<'_, Result<u64, stylobate_auth::NonceStoreError>> {
        Box::pin(async { Ok(0) })
    }
}

/// SECURITY A9: store down is 503.
#[tokio::test]
async fn without_its_store_nothing_signed_is_accepted() {
    let house = House::with(Arc::new(Away));
    let response = send(house.app(), house.ours()).await;
    assert_eq!(response.headers()["retry-after"], "1");
    refused(response, 503, "signature_store_unavailable").await;
    let unsigned = Request::post("/maybe").header("host", "app.example").body(Body::empty()).unwrap();
    assert_eq!(send(house.app(), unsigned).await.status(), 200);
}

#[tokio::test]
async fn behind_a_proxy_the_public_address_is_what_was_signed() {
    let house = House::new();
    let origin: Origin = "http://api.example.test".parse().unwrap();
    let app = house.app_with(house.layer_at(&origin));
    // The proxy asks for the service by another name.
    let mut request = house.signed("api.example.test", "/who", "{}");
    request.headers_mut().insert("host", "10.0.0.7:8001".parse().unwrap());
    assert_eq!(send(app.clone(), request).await.status(), 200);
    // What was signed for another name of the machine is not for this one, whatever the host says.
    for host in ["10.0.0.7:8001", "api.example.test"] {
        let mut request = house.signed("10.0.0.7:8001", "/who", "{}");
        request.headers_mut().insert("host", host.parse().unwrap());
        request.headers_mut().insert("x-forwarded-host", "10.0.0.7:8001".parse().unwrap());
        refused(send(app.clone(), request).await, 401, "request_signature_invalid").await;
    }
    let https: Origin = "https://api.example.test".parse().unwrap();
    let app = house.app_with(house.layer_at(&https));
    let in_clear = house.signed("api.example.test", "/who", "{}");
    refused(send(app, in_clear).await, 401, "request_signature_invalid").await;
}

#[tokio::test]
async fn the_path_is_the_one_that_was_sent() {
    let house = House::new();
    let sent = house.signed("app.example", "/api/v1/who", "{}");
    let (mut parts, body) = sent.into_parts();
    // As a table of paths rewrites it before routing.
    let original = std::mem::replace(&mut parts.uri, "/who".parse().unwrap());
    parts.extensions.insert(OriginalUri(original));
    assert_eq!(send(house.app(), Request::from_parts(parts, body)).await.status(), 200);
    let rewritten = house.signed("app.example", "/who", "{}");
    let (mut parts, body) = rewritten.into_parts();
    parts.extensions.insert(OriginalUri("/api/v1/who".parse().unwrap()));
    let response = send(house.app(), Request::from_parts(parts, body)).await;
    refused(response, 401, "request_signature_invalid").await;
}

#[tokio::test]
async fn an_absolute_request_target_and_one_of_http_2_are_the_same_target() {
    let house = House::new();
    for version in [http::Version::HTTP_11, http::Version::HTTP_2] {
        let (mut parts, body) = house.signed("app.example", "/who", "{}").into_parts();
        parts.uri = "http://app.example/who".parse().unwrap();
        parts.version = version;
        parts.headers.remove("host");
        assert_eq!(send(house.app(), Request::from_parts(parts, body)).await.status(), 200, "{version:?}");
    }
}

#[tokio::test]
async fn the_profile_of_the_replaced_systems_is_answered_alike() {
    let house = House::new();
    let target = TargetUri::new("http", "app.example", "/who").unwrap();
    let fields = house.legacy.sign("POST", &target, b"{}", house.clock.now()).unwrap();
    let ask = || {
        let request = Request::post("/who").header("host", "app.example");
        let request = fields.iter().fold(request, |request, (name, value)| request.header(*name, value));
        request.body(Body::from("{}")).unwrap()
    };
    assert_eq!(send(house.app(), ask()).await.status(), 200);
    refused(send(house.app(), ask()).await, 401, "request_replayed").await;
    let mut queried = ask();
    *queried.uri_mut() = "/who?a=b".parse().unwrap();
    refused(send(house.app(), queried).await, 401, "request_signature_invalid").await;
}

#[test]
fn the_layer_prints_no_keys() {
    let house = House::new();
    assert!(!format!("{:?}", house.layer()).contains("keys"));
}
