use axum::{
    Router,
    body::Body,
    routing::{get, post},
};
use http::{Request, request::Builder};
use serde::Deserialize;
use stylobate_tower_middleware::{CsrfLayer, Origin, StrictJson, TrustedOrigin, cors_layer};
use tower::ServiceBuilder;

use crate::support::{authenticate, edge, platform, problem, request, router, send};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only read by serde")]
struct Body1 {
    name: String,
}

async fn status(app: Router, add: impl FnOnce(Builder) -> Builder) -> u16 {
    send(app, add(request("POST", "/")).body(Body::empty()).unwrap()).await.status().as_u16()
}

fn app() -> Router {
    platform([("/", post(async || "done"))])
}

#[tokio::test]
async fn another_site_cannot_use_the_cookie() {
    let cookie = |request: Builder| request.header("cookie", "__Host-session=ada");
    for (name, value, expected) in [
        ("sec-fetch-site", "same-origin", 200),
        ("sec-fetch-site", "none", 200),
        ("sec-fetch-site", "cross-site", 403),
        ("sec-fetch-site", "same-site", 403), // a sibling sub-domain, C26
        ("sec-fetch-site", "SAME-ORIGIN", 403),
        ("origin", "https://app.example", 200),
        ("origin", "https://evil.example", 403),
        ("origin", "https://app.example.evil.example", 403),
        ("origin", "https://sibling.app.example", 403),
        ("origin", "null", 403),
        ("origin", "", 403),
        ("x-other", "x", 403), // neither header
    ] {
        // A21
        assert_eq!(
            status(app(), |request| cookie(request).header(name, value)).await,
            expected,
            "{name}: {value}"
        );
    }
    let twice = |request| {
        cookie(request).header("origin", "https://app.example").header("origin", "https://evil.example")
    };
    assert_eq!(status(app(), twice).await, 403);
}

#[tokio::test]
async fn only_cookies_need_the_proof() {
    let foreign = |request: Builder| request.header("origin", "https://evil.example");
    assert_eq!(status(app(), |request| foreign(request).header("authorization", "Bearer ada")).await, 200);
    assert_eq!(status(app(), foreign).await, 200);
    // A cookie beside a bearer token changes nothing: the token is what counts.
    let both = |request| {
        foreign(request).header("authorization", "Bearer ada").header("cookie", "__Host-session=ada")
    };
    assert_eq!(status(app(), both).await, 200);
}

// C27
#[tokio::test]
async fn another_site_opens_no_socket_whatever_it_presents() {
    let opened = async |lines: &[(&str, &str)]| {
        let app = platform([("/", get(async || "done"))]);
        let start = request("GET", "/").header("upgrade", "websocket");
        let head = lines.iter().fold(start, |request, (name, value)| request.header(*name, *value));
        send(app, head.body(Body::empty()).unwrap()).await.status().as_u16()
    };
    let (cookie, token) = (("cookie", "__Host-session=ada"), ("sec-websocket-protocol", "bearer, ada"));
    for (origin, expected) in [
        ("https://app.example", 200),
        ("https://evil.example", 403),
        ("https://sibling.app.example", 403),
        ("null", 403),
        ("", 403),
    ] {
        for credential in [cookie, token, ("x-nothing", "x")] {
            assert_eq!(opened(&[("origin", origin), credential]).await, expected, "{origin} {credential:?}");
        }
    }
    // Programs have no origin. A browser would: a cookie without one is refused.
    assert_eq!(opened(&[token]).await, 200);
    assert_eq!(opened(&[cookie]).await, 403);
}

#[tokio::test]
async fn another_site_gets_nothing_from_a_handler_that_asks_for_a_trusted_origin() {
    let console: Origin = "https://console.example".parse().unwrap();
    let layer = CsrfLayer::new([&console]).unwrap().https_only();
    let asking = || router([("/", get(async |_: TrustedOrigin| "done"))]);
    let layered =
        || asking().layer(ServiceBuilder::new().layer(edge()).layer(authenticate()).layer(layer.clone()));
    // Without the layer there is no list.
    let alone = || asking().layer(ServiceBuilder::new().layer(edge()).layer(authenticate()));
    let asked = async |app: Router, method: &str, (name, value): (&str, &str)| {
        let head = request(method, "/").header("cookie", "__Host-session=ada").header(name, value);
        send(app, head.body(Body::empty()).unwrap()).await.status().as_u16()
    };
    for (line, expected) in [
        (("origin", "https://app.example"), [200, 200]),
        (("sec-fetch-site", "same-origin"), [200, 200]),
        (("origin", "https://console.example"), [200, 403]),
        (("origin", "http://app.example"), [403, 200]),
        (("origin", "https://evil.example"), [403, 403]),
        (("origin", "https://app.example:8443"), [403, 403]),
        (("origin", "null"), [403, 403]),
        (("sec-fetch-site", "cross-site"), [403, 403]),
        (("sec-fetch-site", "same-site"), [403, 403]),
        (("x-nothing", "x"), [403, 403]),
    ] {
        let statuses = [asked(layered(), "GET", line).await, asked(alone(), "GET", line).await];
        assert_eq!(statuses, expected, "{line:?}");
        assert_eq!(asked(layered(), "HEAD", line).await, expected[0], "{line:?}");
    }
    // Programs have no origin.
    let token = request("GET", "/").header("authorization", "Bearer ada");
    assert_eq!(send(layered(), token.body(Body::empty()).unwrap()).await.status(), 200);
}

#[tokio::test]
async fn a_further_cookie_needs_the_proof_where_nothing_else_is_presented() {
    let layers = ServiceBuilder::new()
        .layer(edge())
        .layer(authenticate())
        .layer(CsrfLayer::new([]).unwrap().and_for_cookie("refresh_token"));
    let app = || router([("/", post(async || "done"))]).layer(layers.clone());
    let cookie = |request: Builder| request.header("cookie", "a=b; refresh_token=t");
    assert_eq!(status(app(), |request| request.header("sec-fetch-site", "cross-site")).await, 200);
    assert_eq!(status(app(), |request| cookie(request).header("sec-fetch-site", "cross-site")).await, 403); // A21
    assert_eq!(status(app(), cookie).await, 403);
    assert_eq!(status(app(), |request| cookie(request).header("sec-fetch-site", "same-origin")).await, 200);
    let bearer = |request| cookie(request).header("authorization", "Bearer ada");
    assert_eq!(status(app(), bearer).await, 200);
    let twice = |request: Builder| request.header("cookie", "refresh_token=a; refresh_token=b");
    assert_eq!(status(app(), twice).await, 403);
}

#[tokio::test]
async fn forms_need_the_proof_always() {
    let layers = ServiceBuilder::new()
        .layer(edge())
        .layer(authenticate())
        .layer(CsrfLayer::new([]).unwrap().for_forms());
    let form = || router([("/", post(async || "done"))]).layer(layers.clone());
    assert_eq!(status(form(), |request| request.header("sec-fetch-site", "cross-site")).await, 403);
    assert_eq!(status(form(), |request| request.header("sec-fetch-site", "same-origin")).await, 200);
}

#[tokio::test]
async fn safe_methods_pass_and_a_method_override_does_not_help() {
    let app = platform([("/", get(async || "done").post(async || "done"))]);
    let send_as = async |method: &str| {
        let request = request(method, "/")
            .header("cookie", "__Host-session=ada")
            .header("sec-fetch-site", "cross-site")
            .header("x-http-method-override", "GET");
        send(app.clone(), request.body(Body::empty()).unwrap()).await.status().as_u16()
    };
    assert_eq!((send_as("GET").await, send_as("HEAD").await, send_as("POST").await), (200, 200, 403));
}

#[tokio::test]
async fn a_trusted_origin_may_use_the_cookie_from_outside() {
    let origin: Origin = "https://console.example".parse().unwrap();
    let layers =
        ServiceBuilder::new().layer(edge()).layer(authenticate()).layer(CsrfLayer::new([&origin]).unwrap());
    let app = router([("/", post(async || "done"))]).layer(layers);
    let from = |origin: &'static str| {
        move |request: Builder| {
            let request = request.header("cookie", "__Host-session=ada").header("origin", origin);
            request.header("sec-fetch-site", "cross-site")
        }
    };
    assert_eq!(status(app.clone(), from("https://console.example")).await, 200);
    assert_eq!(status(app, from("https://console.example.evil.example")).await, 403);
}

#[tokio::test]
async fn over_https_a_page_over_plain_http_is_another_site() {
    // A21: whoever sits on the wire can serve such a page under the service's own name.
    let local: Origin = "http://localhost:3000".parse().unwrap();
    let layer = CsrfLayer::new([&local]).unwrap();
    let app = |layer: CsrfLayer| {
        let layers = ServiceBuilder::new().layer(edge()).layer(authenticate()).layer(layer);
        router([("/", post(async || "done"))]).layer(layers)
    };
    let from = |origin: &'static str| {
        move |request: Builder| {
            let request = request.header("cookie", "__Host-session=ada");
            request.header("origin", origin)
        }
    };
    let strict = || app(layer.clone().https_only());
    assert_eq!(status(strict(), from("https://app.example")).await, 200);
    assert_eq!(status(strict(), from("http://app.example")).await, 403);
    assert_eq!(status(strict(), from("HTTP://app.example")).await, 403);
    assert_eq!(status(strict(), from("http://localhost:3000")).await, 200);
    assert_eq!(status(app(layer.clone()), from("http://app.example")).await, 200);
}

#[tokio::test]
async fn no_content_type_but_json_is_read_as_json() {
    let app = platform([("/", post(async |_body: StrictJson<Body1>| "done"))]);
    let send_as = async |kinds: &[&str]| {
        let add = |builder: Builder, kind: &&str| builder.header("content-type", *kind);
        let request = kinds.iter().fold(request("POST", "/"), add);
        send(app.clone(), request.body(Body::from(r#"{"name":"a"}"#)).unwrap()).await
    };
    for kind in ["application/json", "APPLICATION/JSON", "application/json; charset=UTF-8"] {
        assert_eq!(send_as(&[kind]).await.status(), 200, "{kind}");
    }
    // A21, C26: what a form, a plain fetch or a sloppy client can send.
    for kinds in [
        &[][..],
        &[""],
        &["text/plain"],
        &["text/plain; application/json"],
        &["application/x-www-form-urlencoded"],
        &["multipart/form-data; boundary=x"],
        &["application/json-seq"],
        &["application/vnd.api+json"],
        &["text/json"],
        &["*/*"],
        &["application/json, text/plain"],
        &["application/json", "text/plain"],
        &["application/json; charset=utf-7"],
    ] {
        assert_eq!(problem(send_as(kinds).await).await["code"], "unsupported_media_type", "{kinds:?}");
    }
}

#[tokio::test]
async fn origins_are_allowed_by_their_exact_text_and_never_reflected() {
    let origin: Origin = "https://console.example".parse().unwrap();
    let app = router([("/", get(async || "done"))])
        .layer(ServiceBuilder::new().layer(edge()).layer(cors_layer([&origin])));
    let allowed = async |method: &str, origin: &str| {
        let request: Request<Body> = request(method, "/")
            .header("origin", origin)
            .header("access-control-request-method", "GET")
            .body(Body::empty())
            .unwrap();
        let response = send(app.clone(), request).await;
        assert!(response.headers()["vary"].to_str().unwrap().contains("origin"));
        response.headers().get("access-control-allow-origin").map(|value| value.to_str().unwrap().to_owned())
    };
    for method in ["GET", "OPTIONS"] {
        assert_eq!(
            allowed(method, "https://console.example").await.as_deref(),
            Some("https://console.example")
        );
        for foreign in [
            "https://evil.example",
            "null",
            "https://console.example.evil.example",
            "http://console.example",
            "https://console.example:8443",
        ] {
            assert_eq!(allowed(method, foreign).await, None, "{method} {foreign}"); // A21
        }
    }
}
