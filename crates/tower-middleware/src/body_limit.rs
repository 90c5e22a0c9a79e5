mod drained;

use std::task::{Context, Poll};

use axum::{
    body::{Body, HttpBody},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{Request, header};
use http_body_util::Limited;
use stylobate_core::Problem;
use tower::{BoxError, Layer, Service};

use crate::future::AnswerFuture;
use drained::Drained;

/// How large a body may be, in bytes, unless told: 1 MiB (SECURITY A28).
pub(crate) const BODY_BYTES_MAX: usize = 1024 * 1024;

/// The limit that holds for a request, for extractors that read the body.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BodyBytesMax(pub(crate) usize);

/// Answers 413 `body_too_large` to bodies over the limit, whether their length is announced or only shows while reading (chunked).
///
/// What is left of a body when its request has been answered is read for up to 5 s and 4 MiB, so that its sender sees the
/// answer instead of a reset connection. Larger bodies are cut off.
#[derive(Debug, Clone, Copy)]
pub struct BodyLimitLayer(usize);

impl BodyLimitLayer {
    /// A limit of `bytes`.
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        Self(bytes)
    }
}

impl Default for BodyLimitLayer {
    /// 1 MiB.
    fn default() -> Self {
        Self(BODY_BYTES_MAX)
    }
}

/// The service of [`BodyLimitLayer`].
#[derive(Debug, Clone)]
pub struct BodyLimit<S> {
    inner: S,
    bytes: usize,
}

impl<S> Layer<S> for BodyLimitLayer {
    type Service = BodyLimit<S>;

    fn layer(&self, inner: S) -> BodyLimit<S> {
        BodyLimit { inner, bytes: self.0 }
    }
}

impl<S, B> Service<Request<B>> for BodyLimit<S>
where
    S: Service<Request<Body>>,
    S::Response: IntoResponse,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response;
    type Error = S::Error;
    type Future = AnswerFuture<S::Future, S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let limit = self.bytes as u64;
        let announced = request
            .headers()
            .get(header::CONTENT_LENGTH)
            .and_then(|length| length.to_str().ok()?.parse().ok());
        let hint = request.body().size_hint();
        let is_too_large = announced.is_some_and(|bytes: u64| bytes > limit) || hint.lower() > limit;
        // The server holds a body to its announced length; only one without is counted while it is read.
        let bounded = hint.upper().is_some_and(|bytes| bytes <= limit);
        let (mut parts, body) = request.into_parts();
        let body = Body::new(body);
        // Most requests have no body, and pay nothing for this.
        let body = if body.is_end_stream() {
            body
        } else {
            Body::new(Drained::new(body, !parts.headers.contains_key(header::EXPECT)))
        };
        if is_too_large {
            return AnswerFuture::refused(too_large().into());
        }
        if self.bytes != BODY_BYTES_MAX {
            parts.extensions.insert(BodyBytesMax(self.bytes));
        }
        let body = if bounded { body } else { Body::new(Limited::new(body, self.bytes)) };
        AnswerFuture::inner(self.inner.call(Request::from_parts(parts, body)))
    }
}

/// 413.
pub(crate) fn too_large() -> Problem {
    Problem::new(413, "body_too_large").detail("The body is larger than this route accepts.")
}
