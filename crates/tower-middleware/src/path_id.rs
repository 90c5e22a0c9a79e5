use std::str::FromStr;

use axum::extract::{FromRequestParts, RawPathParams};
use http::request::Parts;

use crate::ApiError;

/// The one typed parameter of a path: `/roles/{id}`. Anything that does not parse is 422 `validation` on the
/// parameter, before any row is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PathId<T>(pub T);

/// The two typed parameters of a path, in the order of the template: `/roles/{id}/permissions/{permission_id}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PathIds<A, B>(pub A, pub B);

impl<T: FromStr, S: Send + Sync> FromRequestParts<S> for PathId<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let parameters = parameters(parts, state).await?;
        Ok(Self(nth(&parameters, 0)?))
    }
}

impl<A: FromStr, B: FromStr, S: Send + Sync> FromRequestParts<S> for PathIds<A, B> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let parameters = parameters(parts, state).await?;
        Ok(Self(nth(&parameters, 0)?, nth(&parameters, 1)?))
    }
}

async fn parameters<S: Send + Sync>(parts: &mut Parts, state: &S) -> Result<RawPathParams, ApiError> {
    // A parameter that is no UTF-8 after decoding; axum does not say which one to programs.
    RawPathParams::from_request_parts(parts, state)
        .await
        .map_err(|_| ApiError::field("path", "invalid", "is not valid"))
}

fn nth<T: FromStr>(parameters: &RawPathParams, index: usize) -> Result<T, ApiError> {
    let Some((name, value)) = parameters.iter().nth(index) else {
        tracing::error!("the route has fewer parameters than its handler takes");
        return Err(stylobate_core::Problem::internal().into());
    };
    value.parse().map_err(|_| ApiError::field(name, "invalid", "is not valid"))
}
