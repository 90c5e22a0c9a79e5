use http::{Extensions, HeaderMap, HeaderName, HeaderValue, header};

use crate::{ContentPolicy, CspNonce, Scheme};

/// When browsers are told to come back over TLS only (`Strict-Transport-Security`, RFC 6797).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Hsts {
    /// On answers to requests that came over TLS: the default. Elsewhere browsers ignore the header anyway (§8.1).
    #[default]
    OverTls,
    /// Always, for TLS that ends before a proxy which cannot be trusted to say so.
    Always,
    /// Never.
    Off,
}

/// The headers that keep a browser from misusing an answer.
///
/// Every answer gets `nosniff`, a content security policy, `frame-ancestors 'none'` in it, no referrer, the three
/// cross-origin policies (COOP, COEP, CORP) and, unless it says otherwise, `Cache-Control: no-store`.
/// A header that the handler has set itself stays as it is.
#[derive(Debug, Clone, Default)]
pub struct SecurityHeaders {
    hsts: Hsts,
}

/// One year, the least that ASVS 5.0 V3.4.1 accepts.
const HSTS: HeaderValue = HeaderValue::from_static("max-age=31536000; includeSubDomains");

/// What API answers are allowed to do in a browser: nothing.
const API_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'",
);

const FIXED: [(HeaderName, HeaderValue); 8] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    // For browsers that do not know frame-ancestors.
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
    (HeaderName::from_static("cross-origin-embedder-policy"), HeaderValue::from_static("require-corp")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
    (
        HeaderName::from_static("permissions-policy"),
        HeaderValue::from_static("camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
    ),
    // ASVS 5.0 V14.3.2: an answer is kept only where somebody has thought about it.
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
];

impl SecurityHeaders {
    /// Chooses when `Strict-Transport-Security` is sent. Default: over TLS.
    #[must_use]
    pub fn with_hsts(mut self, hsts: Hsts) -> Self {
        self.hsts = hsts;
        self
    }

    /// Adds what is missing. A [`CspNonce`] or [`ContentPolicy`] among the extensions of the response chooses the policy of a page.
    pub(crate) fn apply(&self, headers: &mut HeaderMap, extensions: &Extensions, scheme: Scheme) {
        headers.reserve(FIXED.len() + 2);
        for (name, value) in &FIXED {
            set(headers, name, || value.clone());
        }
        set(headers, &header::CONTENT_SECURITY_POLICY, || {
            if let Some(policy) = extensions.get::<ContentPolicy>() {
                policy.header()
            } else if let Some(nonce) = extensions.get::<CspNonce>() {
                nonce.policy()
            } else {
                API_POLICY
            }
        });
        let secure = match self.hsts {
            Hsts::OverTls => scheme == Scheme::Https,
            Hsts::Always => true,
            Hsts::Off => false,
        };
        if secure {
            set(headers, &header::STRICT_TRANSPORT_SECURITY, || HSTS);
        }
    }
}

fn set(headers: &mut HeaderMap, name: &HeaderName, value: impl FnOnce() -> HeaderValue) {
    if let header::Entry::Vacant(vacant) = headers.entry(name) {
        vacant.insert(value());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(hsts: Hsts, scheme: Scheme, extensions: &Extensions) -> HeaderMap {
        let mut headers = HeaderMap::new();
        SecurityHeaders::default().with_hsts(hsts).apply(&mut headers, extensions, scheme);
        headers
    }

    #[test]
    fn an_api_answer_may_do_nothing_in_a_browser() {
        // A22
        let headers = applied(Hsts::OverTls, Scheme::Http, &Extensions::new());
        assert_eq!(headers[header::CONTENT_SECURITY_POLICY], API_POLICY);
        assert_eq!(headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        assert_eq!(headers[header::CACHE_CONTROL], "no-store");
        assert_eq!(headers[header::REFERRER_POLICY], "no-referrer");
        for name in ["opener", "embedder", "resource"] {
            assert!(headers.contains_key(format!("cross-origin-{name}-policy")), "{name}");
        }
        assert!(!headers.contains_key(header::STRICT_TRANSPORT_SECURITY));
    }

    #[test]
    fn transport_security_follows_the_scheme_unless_told() {
        let sent = |hsts, scheme| {
            applied(hsts, scheme, &Extensions::new()).contains_key(header::STRICT_TRANSPORT_SECURITY)
        };
        assert!(sent(Hsts::OverTls, Scheme::Https) && sent(Hsts::Always, Scheme::Http));
        assert!(!sent(Hsts::OverTls, Scheme::Http) && !sent(Hsts::Off, Scheme::Https));
    }

    #[test]
    fn a_page_gets_the_policy_it_asked_for_and_its_own_headers_stay() {
        let mut extensions = Extensions::new();
        extensions.insert(ContentPolicy::parse("default-src 'self'; frame-ancestors 'none'").unwrap());
        let mut headers = HeaderMap::new();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("max-age=60"));
        SecurityHeaders::default().apply(&mut headers, &extensions, Scheme::Http);
        assert_eq!(headers[header::CONTENT_SECURITY_POLICY], "default-src 'self'; frame-ancestors 'none'");
        assert_eq!(headers[header::CACHE_CONTROL], "max-age=60");
    }
}
