use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use axum::response::{IntoResponse, Response};
use pin_project_lite::pin_project;
use stylobate_core::BoxFuture;

use crate::ApiError;

pin_project! {
    /// The future of a layer that hands a request on or answers it itself.
    pub struct AnswerFuture<F, E> {
        #[pin]
        answer: Answer<F, E>,
    }
}

pin_project! {
    #[project = AnswerProjection]
    enum Answer<F, E> {
        // The usual case: nothing is boxed.
        Inner { #[pin] future: F },
        Refused { error: Option<ApiError> },
        Later { future: BoxFuture<'static, Result<Response, E>> },
    }
}

impl<F, E> AnswerFuture<F, E> {
    /// Handed on.
    pub(crate) fn inner(future: F) -> Self {
        Self { answer: Answer::Inner { future } }
    }

    /// Refused on the spot.
    pub(crate) fn refused(error: ApiError) -> Self {
        Self { answer: Answer::Refused { error: Some(error) } }
    }

    /// Decided after waiting for something.
    pub(crate) fn later(future: BoxFuture<'static, Result<Response, E>>) -> Self {
        Self { answer: Answer::Later { future } }
    }
}

impl<F, R, E> Future for AnswerFuture<F, E>
where
    F: Future<Output = Result<R, E>>,
    R: IntoResponse,
{
    type Output = Result<Response, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(match self.project().answer.project() {
            AnswerProjection::Inner { future } => ready!(future.poll(cx)).map(IntoResponse::into_response),
            AnswerProjection::Refused { error } => {
                let error = error.take().unwrap_or_else(|| stylobate_core::Problem::internal().into());
                Ok(error.into_response())
            }
            AnswerProjection::Later { future } => ready!(future.as_mut().poll(cx)),
        })
    }
}

impl<F, E> std::fmt::Debug for AnswerFuture<F, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AnswerFuture").finish_non_exhaustive()
    }
}
