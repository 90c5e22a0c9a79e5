use std::{convert::Infallible, fmt, sync::Arc};

use axum::{
    extract::FromRequestParts,
    response::{IntoResponseParts, ResponseParts},
};
use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use http::{HeaderValue, request::Parts};

use crate::Error;

/// The number used once that lets a page's own scripts and styles run (CSP Level 3 §6.6.2.3).
///
/// A handler takes it as an argument, writes it into its `<script nonce>` and `<style nonce>`, and returns it beside the
/// page: `(nonce, Html(page))`. The security headers then carry the policy that names it. A page that forgets to return
/// it runs no scripts at all.
#[derive(Clone, PartialEq, Eq)]
pub struct CspNonce(Arc<str>);

/// 128 bits, twice what CSP Level 3 §7.1 asks for.
const NONCE_BYTES: usize = 16;

impl CspNonce {
    /// Draws a nonce from the system's randomness; `None` when there is none, so that no page runs with a guessable one.
    #[must_use]
    pub fn draw() -> Option<Self> {
        let mut bytes = [0; NONCE_BYTES];
        getrandom::fill(&mut bytes).ok()?;
        Some(Self(STANDARD_NO_PAD.encode(bytes).into()))
    }

    /// The text for the `nonce` attribute.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn policy(&self) -> HeaderValue {
        let policy = format!(
            "default-src 'none'; script-src 'nonce-{0}'; style-src 'nonce-{0}'; img-src 'self' data:; font-src 'self'; \
             connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; object-src 'none'",
            self.0
        );
        // Base64 and the text above are visible ASCII.
        HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
    }
}

impl fmt::Debug for CspNonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CspNonce([redacted])")
    }
}

impl fmt::Display for CspNonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for CspNonce {
    type Rejection = crate::ApiError;

    /// # Errors
    /// 500 when the system has no randomness.
    async fn from_request_parts(_parts: &mut Parts, _state: &S) -> Result<Self, Self::Rejection> {
        Self::draw().ok_or_else(|| stylobate_core::Problem::internal().into())
    }
}

impl IntoResponseParts for CspNonce {
    type Error = Infallible;

    fn into_response_parts(self, mut parts: ResponseParts) -> Result<ResponseParts, Infallible> {
        parts.extensions_mut().insert(self);
        Ok(parts)
    }
}

/// A content security policy of a page's own, for pages that cannot live with nonces (embedded API browsers). Returned
/// beside the page: `(policy, Html(page))`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContentPolicy(HeaderValue);

impl ContentPolicy {
    /// Takes a policy as it stands in the header.
    ///
    /// # Errors
    /// [`Error::PolicyInvalid`] when no header can hold it.
    pub fn parse(policy: &str) -> Result<Self, Error> {
        HeaderValue::from_str(policy).map(Self).map_err(|_| Error::PolicyInvalid)
    }

    /// A policy known when the program is written.
    ///
    /// # Panics
    /// When it holds anything but visible ASCII; in a constant that is an error of the compiler.
    #[must_use]
    pub const fn from_static(policy: &'static str) -> Self {
        Self(HeaderValue::from_static(policy))
    }

    pub(crate) fn header(&self) -> HeaderValue {
        self.0.clone()
    }
}

impl IntoResponseParts for ContentPolicy {
    type Error = Infallible;

    fn into_response_parts(self, mut parts: ResponseParts) -> Result<ResponseParts, Infallible> {
        parts.extensions_mut().insert(self);
        Ok(parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_nonce_is_new_and_the_policy_allows_nothing_unsafe() {
        let (one, two) = (CspNonce::draw().unwrap(), CspNonce::draw().unwrap());
        assert_ne!(one, two);
        let policy = one.policy();
        let text = policy.to_str().unwrap();
        assert!(text.contains(&format!("'nonce-{one}'")) && !text.contains("unsafe")); // A22
        assert!(text.contains("frame-ancestors 'none'") && text.contains("base-uri 'none'"));
    }

    #[test]
    fn a_policy_that_splits_the_header_is_refused() {
        assert_eq!(ContentPolicy::parse("default-src 'none'\r\nx: y"), Err(Error::PolicyInvalid));
    }
}
