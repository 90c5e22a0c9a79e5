use std::time::Duration;

use http::{HeaderName, HeaderValue, Method, header};
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::{Origin, policy_epoch::X_POLICY_EPOCH};

/// How long browsers may keep the answer to a preflight: ten minutes, so that a changed list takes effect soon.
const PREFLIGHT_KEPT_FOR: Duration = Duration::from_secs(600);

/// Lets pages of exactly these origins call the API, with credentials (Fetch §3.3).
///
/// An origin is allowed when its text is on the list; nothing is reflected, and there is no wildcard. An empty list allows
/// none. Attach it outside authentication: preflights carry no credential.
pub fn cors_layer<'a>(origins: impl IntoIterator<Item = &'a Origin>) -> CorsLayer {
    let origins: Vec<HeaderValue> = origins.into_iter().filter_map(Origin::to_header).collect();
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins))
        .allow_credentials(true)
        .allow_methods([Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            header::ACCEPT,
            header::IF_MATCH,
            HeaderName::from_static("x-api-key"),
            HeaderName::from_static("x-org-id"),
            HeaderName::from_static("x-tenant-id"),
            X_POLICY_EPOCH,
        ])
        .expose_headers([
            HeaderName::from_static("x-request-id"),
            X_POLICY_EPOCH,
            header::RETRY_AFTER,
            header::ETAG,
            header::CONTENT_DISPOSITION,
        ])
        .max_age(PREFLIGHT_KEPT_FOR)
}
