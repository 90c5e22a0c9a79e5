use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode, header};
use stylobate_auth::{Auth, JwkSet};
use stylobate_tower_middleware::Permission;

use super::TAG;
use crate::{Route, Routes};

/// For how long the keys may be remembered. New ones are published longer before they sign.
const CACHE: &str = "public, max-age=300";
/// RFC 7517 §8.5.2.
const MEDIA_TYPE: &str = "application/jwk-set+json";

/// `GET /.well-known/jwks.json`: the public keys with which access tokens are verified (RFC 7517), also those that will
/// sign soon and those whose last tokens are still alive. With a shared secret there are none.
#[must_use]
pub fn jwks_routes(auth: &Auth) -> Routes {
    let reason = Permission::Public("whoever verifies tokens has no credential, and public keys are public");
    let route =
        Route::get("/.well-known/jwks.json", reason).tag(TAG).summary("The keys that verify access tokens");
    Routes::new().add(route.answers(200, Some(MEDIA_TYPE)).answers(304, None), auth, jwks)
}

async fn jwks(State(auth): State<Auth>, headers: HeaderMap) -> Response {
    let set = JwkSet::of(&auth.keys().current());
    let tag = set.etag();
    let caching = [(header::CACHE_CONTROL, CACHE.to_owned()), (header::ETAG, tag.clone())];
    if is_known(&headers, &tag) {
        return (StatusCode::NOT_MODIFIED, caching).into_response();
    }
    (caching, [(header::CONTENT_TYPE, MEDIA_TYPE)], set.to_json()).into_response()
}

/// `If-None-Match` compares weakly (RFC 9110 §13.1.2).
fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    let values = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let mut tags = values.flat_map(|value| value.split(',')).map(str::trim);
    tags.any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_tag_is_recognised_in_every_spelling() {
        for (value, is_found) in [
            ("\"a\"", true),
            ("W/\"a\"", true),
            ("\"b\", \"a\"", true),
            ("*", true),
            ("\"b\"", false),
            ("a", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::IF_NONE_MATCH, value.parse().unwrap());
            assert_eq!(is_known(&headers, "\"a\""), is_found, "{value}");
        }
        assert!(!is_known(&HeaderMap::new(), "\"a\""));
    }
}
