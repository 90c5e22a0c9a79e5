//! What bodies are, before anybody looks into them.

use std::time::Duration;

use axum::body::{Body, Bytes};
use http::{HeaderMap, Request, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use stylobate_core::Problem;

use crate::{
    ApiError,
    body_limit::{BODY_BYTES_MAX, BodyBytesMax, too_large},
};

/// How long a body may take to arrive (SECURITY A28).
const READ_LIMIT: Duration = Duration::from_secs(10);

/// Only `media`, in lower case: whoever takes JSON takes nothing that a form or a plain cross-site request can send (SECURITY A21,
/// C26).
pub(crate) fn require_media(headers: &HeaderMap, media: &str) -> Result<(), ApiError> {
    let mut lines = headers.get_all(header::CONTENT_TYPE).iter();
    let line = lines.next().and_then(|line| line.to_str().ok());
    let sound = lines.next().is_none() && line.is_some_and(|line| is_media(line, media));
    let plain = headers.get(header::CONTENT_ENCODING).is_none_or(|coding| coding.as_bytes() == b"identity");
    if sound && plain { Ok(()) } else { Err(unsupported(media)) }
}

fn is_media(line: &str, media: &str) -> bool {
    let mut parts = line.split(';').map(str::trim);
    // The usual spelling first: it needs no splitting of parameters.
    let is_named = parts.next().is_some_and(|named| named.eq_ignore_ascii_case(media));
    is_named
        && parts.all(|parameter| {
            let Some((name, value)) = parameter.split_once('=') else { return false };
            let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
            name.eq_ignore_ascii_case("charset") && value.eq_ignore_ascii_case("utf-8")
        })
}

pub(crate) fn unsupported(media: &str) -> ApiError {
    let detail = format!("The body must be `{media}`, uncompressed.");
    Problem::new(415, "unsupported_media_type").detail(detail).into()
}

pub(crate) async fn read(request: Request<Body>) -> Result<Bytes, ApiError> {
    let limit = request.extensions().get::<BodyBytesMax>().map_or(BODY_BYTES_MAX, |limit| limit.0);
    read_body(request.into_body(), limit).await
}

/// Reads all of a body of at most `bytes_max` bytes.
pub(crate) async fn read_body(body: Body, bytes_max: usize) -> Result<Bytes, ApiError> {
    let collecting = Limited::new(body, bytes_max).collect();
    match tokio::time::timeout(READ_LIMIT, collecting).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if is_too_large(&*error) => Err(too_large().into()),
        // The client went away or broke the framing; nobody reads this.
        Ok(Err(_)) => {
            Err(Problem::new(400, "body_broken").detail("The body ended before it was complete.").into())
        }
        Err(_) => Err(Problem::new(408, "body_timeout").detail("The body did not arrive in time.").into()),
    }
}

/// The limit may be reached here or in the layer around, which wraps its error.
fn is_too_large(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.is::<LengthLimitError>() {
            return true;
        }
        next = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_json_in_utf8_is_json() {
        for good in [
            "application/json",
            "Application/JSON",
            "application/json; charset=utf-8",
            "application/json;charset=\"UTF-8\"",
        ] {
            assert!(is_media(good, "application/json"), "{good}");
        }
        for bad in [
            "",
            "text/plain",
            "text/json",
            "application/jsonx",
            "application/json; charset=utf-16",
            "application/json; x=y",
            "application/json;",
            "application/x-www-form-urlencoded; application/json",
            "multipart/form-data; boundary=application/json",
            "application/ json",
        ] {
            assert!(!is_media(bad, "application/json"), "{bad}"); // A21, C26
        }
    }
}
