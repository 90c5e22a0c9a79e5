use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll, ready},
};

use axum::response::{IntoResponse, Response};
use http::Request;
use pin_project_lite::pin_project;
use stylobate_core::Problem;
use tower::{Layer, Service};

use crate::ApiError;

/// Turns a panic into a 500 problem, so that one broken request is one broken answer (SECURITY A32).
///
/// The panic itself is in the log, written by the process' panic hook. Nothing of it reaches the caller.
#[derive(Debug, Clone, Copy, Default)]
pub struct CatchPanicLayer;

impl CatchPanicLayer {
    /// Catches panics.
    #[must_use]
    pub fn new() -> Self {
        Self
    }
}

/// The service of [`CatchPanicLayer`].
#[derive(Debug, Clone)]
pub struct CatchPanic<S>(S);

impl<S> Layer<S> for CatchPanicLayer {
    type Service = CatchPanic<S>;

    fn layer(&self, inner: S) -> CatchPanic<S> {
        CatchPanic(inner)
    }
}

impl<S, B> Service<Request<B>> for CatchPanic<S>
where
    S: Service<Request<B>>,
    S::Response: IntoResponse,
{
    type Response = Response;
    type Error = S::Error;
    type Future = CatchPanicFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // Unwind safety: after a panic the service is dropped with its request, axum clones one per request.
        CatchPanicFuture { inner: catch_unwind(AssertUnwindSafe(|| self.0.call(request))).ok() }
    }
}

pin_project! {
    /// The future of [`CatchPanicLayer`].
    #[derive(Debug)]
    pub struct CatchPanicFuture<F> {
        // Nothing when the call itself panicked.
        #[pin]
        inner: Option<F>,
    }
}

impl<F, R, E> Future for CatchPanicFuture<F>
where
    F: Future<Output = Result<R, E>>,
    R: IntoResponse,
{
    type Output = Result<Response, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let polled = match this.inner.as_mut().as_pin_mut() {
            // Unwind safety: the future is never polled again, its remains are dropped below.
            Some(future) => catch_unwind(AssertUnwindSafe(|| future.poll(cx))).ok(),
            None => None,
        };
        Poll::Ready(match polled {
            Some(poll) => ready!(poll).map(IntoResponse::into_response),
            None => {
                // Dropping what is left may panic as well.
                let _ = catch_unwind(AssertUnwindSafe(|| this.inner.set(None)));
                Ok(ApiError::from(Problem::internal()).into_response())
            }
        })
    }
}
