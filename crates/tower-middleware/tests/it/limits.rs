use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes, HttpBody},
    routing::{get, post},
};
use http_body_util::StreamBody;
use serde_json::Value;
use stylobate_tower_middleware::{BodyLimitLayer, StrictJson, TimeLimitLayer};
use tower::ServiceBuilder;

use crate::support::{edge, platform, problem, request, router, send};

const MIB: usize = 1024 * 1024;

/// A body of `left` bytes whose length nobody announces.
struct Chunked {
    left: usize,
}

impl HttpBody for Chunked {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        let bytes = self.left.min(64 * 1024);
        self.left -= bytes;
        Poll::Ready((bytes > 0).then(|| Ok(http_body::Frame::data(Bytes::from(vec![b' '; bytes])))))
    }
}

fn app() -> Router {
    platform([
        ("/json", post(async |_body: StrictJson<Value>| "done")),
        ("/bytes", post(async |_body: Bytes| "done")),
        ("/ignored", post(async || "done")),
    ])
}

async fn post_body(app: Router, path: &str, body: Body) -> axum::response::Response {
    let request = request("POST", path).header("content-type", "application/json");
    send(app, request.body(body).unwrap()).await
}

#[tokio::test]
async fn a_body_over_the_limit_is_413_on_every_route_that_reads_it() {
    // C45
    for path in ["/json", "/bytes", "/ignored"] {
        let announced = post_body(app(), path, Body::from(vec![b' '; MIB + 1])).await;
        assert_eq!(problem(announced).await["code"], "body_too_large", "{path}");
    }
    for path in ["/json", "/bytes"] {
        let chunked = post_body(app(), path, Body::new(Chunked { left: 2 * MIB })).await;
        assert_eq!(chunked.status(), 413, "{path}");
    }
    let lied = request("POST", "/ignored").header("content-length", (5 * MIB).to_string());
    assert_eq!(send(app(), lied.body(Body::empty()).unwrap()).await.status(), 413);
}

#[tokio::test]
async fn a_body_at_the_limit_passes() {
    let mut body = vec![b' '; MIB];
    body[..2].copy_from_slice(b"{}");
    assert_eq!(post_body(app(), "/json", Body::from(body)).await.status(), 200);
    assert_eq!(post_body(app(), "/bytes", Body::new(Chunked { left: MIB })).await.status(), 200);
}

#[tokio::test]
async fn a_route_may_have_a_limit_of_its_own() {
    let route = |bytes| {
        let layers = ServiceBuilder::new().layer(edge()).layer(BodyLimitLayer::new(bytes));
        router([("/json", post(async |_body: StrictJson<Value>| "done"))]).layer(layers)
    };
    let json = |bytes: usize| Body::from(format!("\"{}\"", "x".repeat(bytes - 2)));
    assert_eq!(post_body(route(10), "/json", json(10)).await.status(), 200);
    assert_eq!(post_body(route(10), "/json", json(11)).await.status(), 413);
    assert_eq!(post_body(route(3 * MIB), "/json", json(2 * MIB)).await.status(), 200);
}

#[tokio::test]
async fn without_the_layer_the_extractor_still_has_a_limit() {
    let app = router([("/json", post(async |_body: StrictJson<Value>| "done"))]).layer(edge());
    assert_eq!(post_body(app, "/json", Body::new(Chunked { left: 2 * MIB })).await.status(), 413);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_408() {
    let never = Body::new(StreamBody::new(futures_never()));
    assert_eq!(problem(post_body(app(), "/json", never).await).await["code"], "body_timeout"); // A28
}

fn futures_never() -> Never {
    Never
}

/// A stream that never yields.
struct Never;

impl futures_util::Stream for Never {
    type Item = Result<http_body::Frame<Bytes>, Infallible>;

    fn poll_next(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Pending
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_takes_too_long_is_503_and_others_are_not_disturbed() {
    let layers = ServiceBuilder::new().layer(edge()).layer(TimeLimitLayer::new(Duration::from_secs(30)));
    let app = router([
        ("/slow", get(async || tokio::time::sleep(Duration::from_secs(31)).await)),
        ("/fast", get(async || tokio::time::sleep(Duration::from_secs(29)).await)),
    ])
    .layer(layers);
    let slow = send(app.clone(), request("GET", "/slow").body(Body::empty()).unwrap()).await;
    assert_eq!(slow.headers()["retry-after"], "1");
    assert_eq!(problem(slow).await["code"], "request_timeout"); // A28
    let fast = send(app, request("GET", "/fast").body(Body::empty()).unwrap()).await;
    assert_eq!(fast.status(), 200);
}
