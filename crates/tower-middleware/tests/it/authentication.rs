use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use axum::{Router, body::Body, routing::get};
use http::{Method, request::Builder};
use stylobate_auth::{
    FetchedJwks, JwkSet, JwksSource, JwksUnavailable, KeySet, Keys, RemoteJwks, RemoteJwksConfig,
    RemoteServiceVerifier, ServiceClaims, ServiceTokenSigner, SigningAlgorithm, SigningKey, TokenConfig,
};
use stylobate_core::{BoxFuture, Clock as _, Principal, ServiceId, SystemClock};
use stylobate_tower_middleware::{
    AuthenticateLayer, Authenticator, Context, CredentialRefused, CsrfLayer, CurrentPrincipal, Presented,
    SessionCookie, TrustedProxies,
};
use tower::ServiceBuilder;

use crate::support::{
    Known, ada, edge, from_peer, id, platform, problem, request, router, send, tenant, text,
};

fn app() -> Router {
    platform([
        ("/me", get(async |who: CurrentPrincipal| format!("{:?} {:?}", who.person_id(), who.credential))),
        ("/maybe", get(async |who: Option<CurrentPrincipal>| who.is_some().to_string())),
        (
            "/context",
            get(async |context: Context| {
                format!(
                    "{:?} {:?} {}",
                    context.principal.person_id(),
                    context.address,
                    context.request_id.is_some()
                )
            }),
        ),
    ])
}

async fn asked(path: &str, add: impl FnOnce(Builder) -> Builder) -> axum::response::Response {
    send(app(), add(request("GET", path)).body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn bearer_tokens_and_session_cookies_become_the_principal() {
    let by_token = asked("/me", |request| request.header("authorization", "Bearer ada")).await;
    assert_eq!(text(by_token).await, format!("{:?} Bearer", Some(ada())));
    let after_waiting = asked("/me", |request| request.header("authorization", "bearer slow")).await;
    assert_eq!(text(after_waiting).await, format!("{:?} Bearer", Some(ada())));
    let by_cookie = asked("/me", |request| request.header("cookie", "a=b; __Host-session=ada")).await;
    assert_eq!(text(by_cookie).await, format!("{:?} Cookie", Some(ada())));
}

#[tokio::test]
async fn the_token_of_a_socket_is_among_its_subprotocols() {
    let socket = |request: Builder| request.header("upgrade", "websocket");
    let offered = "bearer, ada";
    let response = asked("/me", |request| socket(request).header("sec-websocket-protocol", offered)).await;
    assert_eq!(text(response).await, format!("{:?} Bearer", Some(ada())));
    let refused =
        asked("/me", |request| socket(request).header("sec-websocket-protocol", "bearer, stale")).await;
    assert_eq!(refused.status(), 401);
    // It is one of two opinions beside a header, and nothing where no socket is asked for.
    let both = |request| {
        socket(request).header("sec-websocket-protocol", offered).header("authorization", "Bearer ada")
    };
    assert_eq!(problem(asked("/me", both).await).await["code"], "ambiguous_credential");
    let plain = asked("/maybe", |request| request.header("sec-websocket-protocol", offered)).await;
    assert_eq!(text(plain).await, "false");
}

#[tokio::test]
async fn nobody_is_asked_to_prove_who_it_is() {
    let response = asked("/me", |request| request).await;
    assert_eq!(response.headers()["www-authenticate"], "Bearer");
    assert_eq!(problem(response).await["code"], "unauthenticated");
    assert_eq!(text(asked("/maybe", |request| request).await).await, "false");
}

#[tokio::test]
async fn a_bad_credential_is_named_as_bad_and_does_not_close_public_routes() {
    for bad in ["Bearer stale", "Basic dXNlcjpwYXNz", "Bearer", "ada"] {
        let response = asked("/me", |request| request.header("authorization", bad)).await;
        assert_eq!(response.headers()["www-authenticate"], r#"Bearer error="invalid_token""#, "{bad}");
        assert_eq!(problem(response).await["code"], "unauthenticated");
        let public = asked("/maybe", |request| request.header("authorization", bad)).await;
        assert_eq!(text(public).await, "false");
    }
    // An explicit header is not rescued by a cookie.
    let both = |request: Builder| {
        request.header("authorization", "Bearer stale").header("cookie", "__Host-session=ada")
    };
    assert_eq!(asked("/me", both).await.status(), 401);
}

#[tokio::test]
async fn credentials_that_cannot_be_judged_are_503() {
    let response = asked("/me", |request| request.header("authorization", "Bearer away")).await;
    assert_eq!(response.headers()["retry-after"], "1");
    assert_eq!(problem(response).await["code"], "auth_unavailable");
}

/// Judges nobody in time, and counts who makes it try.
#[derive(Default)]
struct Away(AtomicUsize);

impl Authenticator for Away {
    fn authenticate<'a>(&'a self, _: Presented<'a>) -> BoxFuture<'a, Result<Principal, CredentialRefused>> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Box::pin(async { Err(CredentialRefused::Unavailable) })
    }
}

#[tokio::test]
async fn nobody_waits_for_a_judgement_that_is_not_asked_for() {
    let away = Arc::new(Away::default());
    let authenticate = AuthenticateLayer::new(Arc::clone(&away) as Arc<dyn Authenticator>);
    let layers = ServiceBuilder::new()
        .layer(edge())
        .layer(authenticate.with_open_routes([(Method::GET, "/open"), (Method::POST, "/open")]))
        .layer(CsrfLayer::new([]).unwrap());
    let who = async |context: Context| context.principal.is_authenticated().to_string();
    let app = router([
        ("/open", get(who).post(who).delete(who)),
        ("/asking", get(async |_who: CurrentPrincipal| "in")),
    ])
    .layer(layers);
    let ask = async |method: &str, path: &str, header: (&'static str, &'static str)| {
        let request = request(method, path).header(header.0, header.1);
        send(app.clone(), request.body(Body::empty()).unwrap()).await
    };
    let bearer = ("authorization", "Bearer ada");
    for method in ["GET", "HEAD", "POST"] {
        assert_eq!(ask(method, "/open", bearer).await.status(), 200);
    }
    assert_eq!(away.0.load(Ordering::Relaxed), 0);
    // Another method of the same path was not named.
    ask("DELETE", "/open", bearer).await;
    assert_eq!(ask("GET", "/asking", bearer).await.status(), 503);
    assert_eq!(away.0.load(Ordering::Relaxed), 2);
    // A21: a cookie is protected also where nobody asks whether it is good.
    let by_cookie = ask("POST", "/open", ("cookie", "__Host-session=ada")).await;
    assert_eq!(problem(by_cookie).await["code"], "csrf");
}

#[tokio::test]
async fn two_authorization_headers_are_refused() {
    let twice = |request: Builder| {
        request.header("authorization", "Bearer ada").header("authorization", "Bearer grace")
    };
    assert_eq!(problem(asked("/maybe", twice).await).await["code"], "ambiguous_credential");
}

#[tokio::test]
async fn the_plain_cookie_counts_only_where_it_was_chosen() {
    let plain = |request: Builder| request.header("cookie", "session=ada");
    assert_eq!(asked("/me", plain).await.status(), 401);
    let layers = ServiceBuilder::new()
        .layer(edge())
        .layer(AuthenticateLayer::new(Arc::new(Known)).with_cookie(SessionCookie::Plain));
    let app = router([("/me", get(async |_who: CurrentPrincipal| "in"))]).layer(layers);
    assert_eq!(send(app, plain(request("GET", "/me")).body(Body::empty()).unwrap()).await.status(), 200);
}

#[tokio::test]
async fn services_learn_where_the_caller_is() {
    let layers = ServiceBuilder::new()
        .layer(edge().with_proxies(TrustedProxies::parse(["10.0.0.1"]).unwrap()))
        .layer(AuthenticateLayer::new(Arc::new(Known)));
    let app = router([(
        "/",
        get(async |context: Context| {
            let agent = context.user_agent.as_deref().unwrap_or_default().len();
            format!("{} {agent} {}", context.address.unwrap(), context.request_id.unwrap())
        }),
    )])
    .layer(layers);
    let request =
        request("GET", "/").header("x-forwarded-for", "192.0.2.7").header("user-agent", "x".repeat(2_000));
    let response = send(app, from_peer(request.body(Body::empty()).unwrap(), "10.0.0.1:5")).await;
    let id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
    assert_eq!(text(response).await, format!("192.0.2.7 512 {id}"));
}

#[tokio::test]
async fn services_learn_of_the_one_trace_that_a_request_names() {
    const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let layers = ServiceBuilder::new().layer(edge()).layer(AuthenticateLayer::new(Arc::new(Known)));
    let told =
        async |context: Context| context.traceparent.map_or("none".to_owned(), |trace| trace.to_string());
    let app = router([("/", get(told))]).layer(layers);
    for (headers, trace) in
        [(vec![], "none"), (vec![TRACE], TRACE), (vec!["00-0-0-01"], "none"), (vec![TRACE, TRACE], "none")]
    {
        let asked = headers
            .into_iter()
            .fold(request("GET", "/"), |asked, header| asked.header("traceparent", header));
        let response = send(app.clone(), asked.body(Body::empty()).unwrap()).await;
        assert_eq!(text(response).await, trace);
    }
}

#[tokio::test]
async fn without_layers_the_context_is_anonymous_and_nobody_is_signed_in() {
    let app = router([
        ("/context", get(async |context: Context| context.principal.is_authenticated().to_string())),
        ("/me", get(async |_who: CurrentPrincipal| "in")),
    ]);
    let ask = |path| send(app.clone(), request("GET", path).body(Body::empty()).unwrap());
    assert_eq!(text(ask("/context").await).await, "false");
    assert_eq!(ask("/me").await.status(), 401);
}

/// The published keys of an issuer, or nothing while it is away.
struct Issuer(Option<String>);

impl JwksSource for Issuer {
    fn fetch(&self) -> BoxFuture<'_, Result<FetchedJwks, JwksUnavailable>> {
        let shown = self.0.clone().map(|json| FetchedJwks { json: json.into_bytes(), max_age: None });
        Box::pin(async move { shown.ok_or_else(|| JwksUnavailable::new("away")) })
    }
}

// V9.2.3
#[tokio::test]
async fn a_service_that_has_the_keys_alone_lets_other_services_in() {
    const BILLING: &str = "https://billing.example.test";
    let (key, _) = SigningKey::generate(SigningAlgorithm::EdDsa).unwrap();
    let set = KeySet::signing_with(key);
    let shown = JwkSet::of(&set).to_json();
    let config = |audience: &str| TokenConfig::new("https://id.example.test", audience);
    let signer = ServiceTokenSigner::new(Keys::new(set), config("https://id.example.test")).unwrap();
    let token = |audience: &str| {
        let claims = signer.claims(id::<ServiceId>(0x5e), tenant(), 1, SystemClock.now());
        let operations = vec!["invoice.read".to_owned()];
        signer.issue(&ServiceClaims { audience: audience.to_owned(), operations, ..claims }).unwrap()
    };
    let ask = async |issuer: Issuer, token: String| {
        let jwks = RemoteJwks::new(issuer, RemoteJwksConfig::default());
        let verifier = RemoteServiceVerifier::new(jwks, config(BILLING)).unwrap();
        let who =
            get(async |who: CurrentPrincipal| format!("{:?} {:?} {:?}", who.subject, who.tenant, who.scopes));
        let layers = ServiceBuilder::new().layer(edge()).layer(AuthenticateLayer::new(Arc::new(verifier)));
        let request = request("GET", "/me").header("authorization", format!("Bearer {token}"));
        send(router([("/me", who)]).layer(layers), request.body(Body::empty()).unwrap()).await
    };
    let issuer = || Issuer(Some(shown.clone()));
    let subject = stylobate_core::Subject::Service { id: id(0x5e) };
    let expected = format!("{subject:?} {:?} {:?}", Some(tenant()), Some(["invoice.read"]));
    assert_eq!(text(ask(issuer(), token(BILLING)).await).await, expected);
    let foreign = ask(issuer(), token("https://other.example.test")).await;
    assert_eq!(problem(foreign).await["code"], "unauthenticated");
    assert_eq!(problem(ask(issuer(), "made.up.token".to_owned()).await).await["code"], "unauthenticated");
    // Nothing can be said without keys.
    assert_eq!(problem(ask(Issuer(None), token(BILLING)).await).await["code"], "auth_unavailable");
}
