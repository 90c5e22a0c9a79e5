use axum::{body::Body, extract::FromRequest};
use http::Request;
use serde::de::DeserializeOwned;

use crate::{ApiError, body, strict_query::Parameters};

/// A form (`application/x-www-form-urlencoded`), read strictly.
///
/// | what is wrong | answer |
/// |---|---|
/// | another `Content-Type`, two of them, or any charset but UTF-8 | 415 `unsupported_media_type` |
/// | more bytes than the [limit](crate::BodyLimitLayer) | 413 `body_too_large` |
/// | not there within 10 s | 408 `body_timeout` |
/// | a field that is given twice | 400 `duplicate_parameter` |
/// | unknown (where the type says `deny_unknown_fields`), missing or mistyped field, NUL, or bytes that are not UTF-8 | 422 `validation` |
#[derive(Debug, Clone, Copy, Default)]
pub struct StrictForm<T>(pub T);

const MEDIA: &str = "application/x-www-form-urlencoded";

impl<T, S> FromRequest<S> for StrictForm<T>
where
    T: DeserializeOwned,
    S: Send + Sync,
{
    type Rejection = ApiError;

    async fn from_request(request: Request<Body>, _state: &S) -> Result<Self, ApiError> {
        body::require_media(request.headers(), MEDIA)?;
        let bytes = body::read(request).await?;
        let text =
            std::str::from_utf8(&bytes).map_err(|_| ApiError::field("", "invalid", "must be UTF-8"))?;
        Parameters::read(text)?.into_type().map(Self)
    }
}
