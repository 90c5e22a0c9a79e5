use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::response::{IntoResponse, Response};
use http::Request;
use pin_project_lite::pin_project;
use stylobate_core::Problem;
use tokio::time::{Instant, Sleep};
use tower::{Layer, Service};

use crate::ApiError;

/// How long an answer may take: longer than any sound request, shorter than what proxies wait (SECURITY A28).
const LIMIT: Duration = Duration::from_secs(30);

/// Answers 503 `request_timeout` when the head of the answer is not there in time. The work is dropped where it waits.
///
/// A timer is set only once the work waits for something, so requests that answer at once pay nothing.
#[derive(Debug, Clone, Copy)]
pub struct TimeLimitLayer(Duration);

impl TimeLimitLayer {
    /// A limit of `limit`.
    #[must_use]
    pub fn new(limit: Duration) -> Self {
        Self(limit)
    }
}

impl Default for TimeLimitLayer {
    /// 30 s.
    fn default() -> Self {
        Self(LIMIT)
    }
}

/// The service of [`TimeLimitLayer`].
#[derive(Debug, Clone)]
pub struct TimeLimit<S> {
    inner: S,
    limit: Duration,
}

impl<S> Layer<S> for TimeLimitLayer {
    type Service = TimeLimit<S>;

    fn layer(&self, inner: S) -> TimeLimit<S> {
        TimeLimit { inner, limit: self.0 }
    }
}

impl<S, B> Service<Request<B>> for TimeLimit<S>
where
    S: Service<Request<B>>,
    S::Response: IntoResponse,
{
    type Response = Response;
    type Error = S::Error;
    type Future = TimeLimitFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        TimeLimitFuture { inner: self.inner.call(request), limit: self.limit, timer: None }
    }
}

pin_project! {
    /// The future of [`TimeLimitLayer`].
    #[derive(Debug)]
    pub struct TimeLimitFuture<F> {
        #[pin]
        inner: F,
        limit: Duration,
        // Boxed: it is large, and most requests never wait.
        timer: Option<Pin<Box<Sleep>>>,
    }
}

impl<F, R, E> Future for TimeLimitFuture<F>
where
    F: Future<Output = Result<R, E>>,
    R: IntoResponse,
{
    type Output = Result<Response, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(answer) = this.inner.poll(cx) {
            return Poll::Ready(answer.map(IntoResponse::into_response));
        }
        let limit = *this.limit;
        let timer =
            this.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(Instant::now() + limit)));
        timer.as_mut().poll(cx).map(|()| {
            tracing::warn!(
                limit_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX),
                "the request took too long"
            );
            let problem = Problem::new(503, "request_timeout").detail("The request took too long.");
            Ok(ApiError::from(problem.retry_after(1)).into_response())
        })
    }
}
