use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Instant,
};

use axum::response::{IntoResponse, Response};
use http::HeaderValue;
use pin_project_lite::pin_project;
use stylobate_core::RequestId;
use tracing::Span;

use super::{Shared, service::X_REQUEST_ID};
use crate::{ApiError, ClientAddress, api_error};

/// What is left to do once the answer is there.
pub(super) struct Tail {
    pub(super) shared: Arc<Shared>,
    pub(super) began: Instant,
    pub(super) request_id: RequestId,
    pub(super) client: ClientAddress,
    /// Dropped with the future, so that requests whose client went away stop counting.
    #[cfg(feature = "metrics")]
    pub(super) in_flight: Option<stylobate_observability::InFlight>,
    #[cfg(feature = "metrics")]
    pub(super) method: http::Method,
    #[cfg(feature = "metrics")]
    pub(super) route: Option<axum::extract::MatchedPath>,
}

pin_project! {
    /// The future of [`EdgeLayer`](super::EdgeLayer).
    pub struct EdgeFuture<F> {
        #[pin]
        inner: Option<F>,
        refused: Option<ApiError>,
        span: Span,
        tail: Tail,
    }
}

impl<F> EdgeFuture<F> {
    pub(super) fn inner(future: F, span: Span, tail: Tail) -> Self {
        Self { inner: Some(future), refused: None, span, tail }
    }

    pub(super) fn refused(error: ApiError, span: Span, tail: Tail) -> Self {
        Self { inner: None, refused: Some(error), span, tail }
    }
}

impl<F, R, E> Future for EdgeFuture<F>
where
    F: Future<Output = Result<R, E>>,
    R: IntoResponse,
{
    type Output = Result<Response, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let _inside = this.span.enter();
        let mut response = match this.inner.as_pin_mut() {
            Some(future) => ready!(future.poll(cx))?.into_response(),
            None => this.refused.take().map_or_else(Response::default, ApiError::into_response),
        };
        this.tail.finish(&mut response);
        Poll::Ready(Ok(response))
    }
}

impl Tail {
    fn finish(&mut self, response: &mut Response) {
        api_error::name_request(response, self.request_id);
        if let Ok(id) =
            HeaderValue::from_str(self.request_id.as_uuid().hyphenated().encode_lower(&mut [0; 36]))
        {
            response.headers_mut().insert(X_REQUEST_ID, id);
        }
        // A response does not lend headers and extensions at the same time, so the headers step out for a moment.
        let mut headers = std::mem::take(response.headers_mut());
        self.shared.headers.apply(&mut headers, response.extensions(), self.client.scheme);
        *response.headers_mut() = headers;
        let status = response.status().as_u16();
        let took = self.began.elapsed();
        #[cfg(feature = "metrics")]
        if let Some(metrics) = &self.shared.metrics {
            let route = self.route.as_ref().map(axum::extract::MatchedPath::as_str);
            metrics.record(self.method.as_str(), route, status, took);
            self.in_flight = None;
        }
        tracing::debug!(
            target: "stylobate::access",
            status,
            duration_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
            address = self.client.ip.map(tracing::field::display),
            code = api_error::problem_code(response),
            "answered"
        );
    }
}

impl<F> std::fmt::Debug for EdgeFuture<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EdgeFuture").field("request_id", &self.tail.request_id).finish_non_exhaustive()
    }
}
