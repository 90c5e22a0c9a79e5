//! Which cookies an answer sets and takes away.

use std::time::Duration;

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use stylobate_auth::{NewCookieSession, TokenPair};
use stylobate_tower_middleware::{ApiError, ApiResult};

use super::{Flows, login::Tokens};

const CLEAR_SITE_DATA: HeaderName = HeaderName::from_static("clear-site-data");

impl Flows {
    /// Tokens for the client; the refresh token goes into its cookie where the service has one, and not into the body.
    pub(super) fn tokens(&self, pair: TokenPair) -> Response {
        let mut tokens = Tokens::from(pair);
        let lifetime = Duration::from_secs(u64::from(self.auth.config().refresh_ttl_days) * 24 * 60 * 60);
        let set = self.cookies.refresh.as_ref().zip(tokens.refresh_token.as_deref());
        match set.and_then(|(cookie, token)| cookie.set(token, lifetime)) {
            Some(cookie) => {
                tokens.refresh_token = Some(String::new());
                with_cookies([cookie], Json(tokens))
            }
            None => Json(tokens).into_response(),
        }
    }

    /// A session in its cookie; the body says how long it lives.
    pub(super) fn cookie_session(&self, session: &NewCookieSession) -> ApiResult<Response> {
        let cookie = self.cookies.session.set(session.secret.expose_secret());
        // The secret is base64url: a header holds it.
        let cookie = cookie.ok_or_else(|| ApiError::from(stylobate_core::Problem::internal()))?;
        Ok(with_cookies([cookie], Json(Tokens::from(session))))
    }

    /// The refresh token that a request carries in its cookie, where the service has one.
    pub(super) fn refresh_cookie<'h>(&self, headers: &'h HeaderMap) -> ApiResult<Option<&'h str>> {
        match &self.cookies.refresh {
            Some(cookie) => cookie.find(headers),
            None => Ok(None),
        }
    }

    /// Takes the cookies of a session away. What the browser keeps of the pages goes as well (ASVS 14.3.1); other cookies
    /// stay, such as the one that says that somebody signed in here before.
    pub(super) fn signed_out(&self, headers: &HeaderMap) -> Response {
        let session = headers.contains_key(header::COOKIE).then(|| self.cookies.session.clear());
        let refresh = self.cookies.refresh.as_ref().and_then(|cookie| cookie.clear());
        let cookies: Vec<HeaderValue> = session.flatten().into_iter().chain(refresh).collect();
        let is_browser = !cookies.is_empty();
        let mut response = with_cookies(cookies, StatusCode::NO_CONTENT);
        if is_browser {
            let value = HeaderValue::from_static("\"cache\", \"storage\"");
            response.headers_mut().insert(CLEAR_SITE_DATA, value);
        }
        response
    }
}

fn with_cookies(cookies: impl IntoIterator<Item = HeaderValue>, answer: impl IntoResponse) -> Response {
    let mut response = answer.into_response();
    for cookie in cookies {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}
