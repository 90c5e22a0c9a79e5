use axum::{
    extract::{FromRequestParts as _, Request},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
};
use serde::Deserialize;
use stylobate_core::{Credential, KeyOwner, Principal, Subject};
use stylobate_tower_middleware::{
    ApiError, ApiResult, Context, FurtherPermission, Permission, StrictQuery, TrustedOrigin, problem_for,
};
use utoipa::IntoParams;

use super::TAG;
use crate::{Route, Routes};

/// `GET /auth/forward`: for proxies that ask before they pass a request on (`auth_request` of nginx, `forwardAuth` of Traefik,
/// `forward_auth` of Caddy). It judges the credential of the request as any route does, and what the proxy is configured to ask
/// for in `?permission=`.
///
/// | answer | meaning |
/// |---|---|
/// | 204 | let it through, with the headers that [`FORWARD_AUTH_HEADERS`] lists |
/// | 400 `ambiguous_credential` | the request presents two credentials |
/// | 401 | nobody is signed in |
/// | 403 `permission_denied` | the permission is missing; it is recorded as any denial |
/// | 403 `csrf` | another site may have made a browser send a request that changes something, or opens a WebSocket, with its session cookie |
/// | 429 `api_key_throttled` | the API key is over its limit: every request that a proxy asks about is a use of the key |
/// | 503 | it cannot be judged |
///
/// The proxy must drop the headers `X-Auth-*` that clients send, and must pass on the method in `X-Forwarded-Method` (Traefik and
/// Caddy do): a session cookie is taken for `GET`, `HEAD` and `OPTIONS` alone unless `Origin` or `Sec-Fetch-Site` show that the
/// request comes from a page of ours.
#[must_use]
pub fn forward_auth_routes() -> Routes {
    let route = Route::get("/auth/forward", Permission::AnyCredential)
        .tag(TAG)
        .summary("Judges the credential of a request for a proxy in front of another service")
        .header("X-Forwarded-Method", "The method of the request that the proxy asks about.")
        .query::<Wanted>()
        .answers(204, None);
    Routes::new().add(route, &(), forward)
}

/// The headers that a proxy passes on, and what they hold. Absent ones do not apply.
pub const FORWARD_AUTH_HEADERS: [(&str, &str); 7] = [
    ("X-Auth-Subject", "who acts: the id of a person, an API key or a service account"),
    ("X-Auth-Subject-Kind", "`person`, `api_key` or `service`"),
    ("X-Auth-Owner", "whose API key it is: the id of a person or a service account"),
    ("X-Auth-Organization", "the id of the organisation they act for"),
    ("X-Auth-Session", "the id of the session"),
    ("X-Auth-Impersonator", "the id of the person who really acts"),
    ("X-Auth-Scopes", "what limits the credential, separated by blanks; absent when nothing does"),
];

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// The permission that the request needs: `orders.read`.
    permission: Option<String>,
}

/// What a proxy's request says of the one that it asks about.
const METHOD: HeaderName = HeaderName::from_static("x-forwarded-method");

async fn forward(
    context: Context,
    StrictQuery(wanted): StrictQuery<Wanted>,
    further: FurtherPermission,
    request: Request,
) -> ApiResult<(StatusCode, HeaderMap)> {
    let (mut request, _) = request.into_parts();
    if context.principal.credential == Credential::Cookie && is_in_danger(&request.headers) {
        TrustedOrigin::from_request_parts(&mut request, &()).await?;
    }
    // Proxies drop empty headers, and no header says that nothing limits the caller.
    if context.principal.scopes.as_ref().is_some_and(Vec::is_empty) {
        return Err(problem_for("permission_denied").into());
    }
    if let Some(permission) = wanted.permission {
        if !is_name(&permission) {
            return Err(ApiError::field("permission", "invalid", "is no name of a permission"));
        }
        further.require(permission).await?;
    }
    Ok((StatusCode::NO_CONTENT, told(&context.principal)))
}

/// Whether another site could gain by the request that the proxy asks about: it may change something, also because its method is
/// not told, or it opens a WebSocket, which the page that opened it can read.
fn is_in_danger(headers: &HeaderMap) -> bool {
    let mut methods = headers.get_all(METHOD).iter();
    let method = methods.next().map(HeaderValue::as_bytes);
    let is_safe = methods.next().is_none() && matches!(method, Some(b"GET" | b"HEAD" | b"OPTIONS"));
    !is_safe || headers.contains_key(header::SEC_WEBSOCKET_KEY)
}

/// The most characters of the name of a permission.
const PERMISSION_CHARS_MAX: usize = 128;

/// It is written to the trail when it is refused: a name, and no text of whoever asks.
fn is_name(permission: &str) -> bool {
    (1..=PERMISSION_CHARS_MAX).contains(&permission.len())
        && permission.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte))
}

fn told(principal: &Principal) -> HeaderMap {
    let (subject, kind, owner) = match principal.subject {
        Subject::Person { id } => (Some(id.to_string()), "person", None),
        Subject::Service { id } => (Some(id.to_string()), "service", None),
        Subject::ApiKey { id, owner } => {
            let owner = match owner {
                KeyOwner::Person { id } => id.to_string(),
                KeyOwner::Service { id } => id.to_string(),
            };
            (Some(id.to_string()), "api_key", Some(owner))
        }
        Subject::System => (None, "system", None),
        Subject::Anonymous => (None, "anonymous", None),
    };
    let values = [
        subject,
        Some(kind.to_owned()),
        owner,
        principal.tenant.map(|id| id.to_string()),
        principal.session.map(|id| id.to_string()),
        principal.impersonator.map(|id| id.to_string()),
        principal.scopes.as_ref().map(|scopes| scopes.join(" ")),
    ];
    let mut headers = HeaderMap::new();
    for ((name, _), value) in FORWARD_AUTH_HEADERS.iter().zip(values) {
        // Ids and the keys of permissions are ASCII.
        if let Some(value) = value.and_then(|value| HeaderValue::try_from(value).ok())
            && let Ok(name) = HeaderName::try_from(*name)
        {
            headers.insert(name, value);
        }
    }
    headers
}

#[cfg(test)]
mod tests {
    use stylobate_core::{ApiKeyId, PersonId, TenantId};
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_proxy_learns_who_acts_and_whose_rights_they_have() {
        let id = Uuid::from_u128;
        let principal = Principal {
            subject: Subject::ApiKey {
                id: ApiKeyId::from_uuid(id(1)),
                owner: KeyOwner::Person { id: PersonId::from_uuid(id(2)) },
            },
            tenant: Some(TenantId::from_uuid(id(3))),
            scopes: Some(vec!["orders.read".to_owned(), "orders.write".to_owned()]),
            ..Principal::anonymous()
        };
        let headers = told(&principal);
        assert_eq!(headers["x-auth-subject"], id(1).to_string());
        assert_eq!(headers["x-auth-subject-kind"], "api_key");
        assert_eq!(headers["x-auth-owner"], id(2).to_string());
        assert_eq!(headers["x-auth-organization"], id(3).to_string());
        assert_eq!(headers["x-auth-scopes"], "orders.read orders.write");
        assert!(!headers.contains_key("x-auth-session"));
        // Without a limit there is none to tell, which is not an empty one.
        assert!(!told(&Principal::person(PersonId::from_uuid(id(2)))).contains_key("x-auth-scopes"));
    }

    #[test]
    fn only_a_method_that_is_told_once_and_changes_nothing_is_safe() {
        let of = |methods: &[&'static str]| {
            let mut headers = HeaderMap::new();
            methods.iter().for_each(|method| {
                headers.append(METHOD, HeaderValue::from_static(method));
            });
            !is_in_danger(&headers)
        };
        assert!(of(&["GET"]) && of(&["HEAD"]) && of(&["OPTIONS"]));
        for methods in
            [&[][..], &["POST"], &["get"], &["GET", "GET"], &["GET", "POST"], &["GET, POST"], &[""]]
        {
            assert!(!of(methods), "{methods:?}");
        }
        let mut socket = HeaderMap::new();
        socket.insert(METHOD, HeaderValue::from_static("GET"));
        assert!(!is_in_danger(&socket));
        socket.insert(header::SEC_WEBSOCKET_KEY, HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ=="));
        assert!(is_in_danger(&socket));
    }
}
