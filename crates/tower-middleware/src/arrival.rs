use axum::extract::FromRequestParts;
use http::request::Parts;
use stylobate_core::{Problem, RequestId};

use crate::{ApiError, ClientAddress};

/// What the edge found out about a request before anything else looked at it: an extension of every request that came
/// through [`EdgeLayer`](crate::EdgeLayer).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// The id everything done for the request is filed under.
    pub request_id: RequestId,
    /// Where it came from.
    pub client: ClientAddress,
}

impl<S: Send + Sync> FromRequestParts<S> for Arrival {
    type Rejection = ApiError;

    /// # Errors
    /// 500 when the route has no edge layer.
    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        parts.extensions.get::<Self>().copied().ok_or_else(|| {
            tracing::error!("the edge layer is missing");
            Problem::internal().into()
        })
    }
}
