use std::time::Duration;

use http::{HeaderMap, HeaderValue, header};
use stylobate_core::Problem;

use crate::{ApiError, Error, SessionCookie};

/// The cookies that a service sets.
#[derive(Debug, Clone, Default)]
pub struct Cookies {
    /// Carries sessions of whoever asks for a cookie at sign-in.
    pub session: SessionCookie,
    /// Carries refresh tokens, when they are not to be in the hands of scripts. Default: none.
    pub refresh: Option<RefreshCookie>,
}

/// When browsers send a cookie with requests that another site began (RFC 6265bis §5.2).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SameSite {
    /// Never.
    Strict,
    /// When a person follows a link, and not with what pages send by themselves. The default.
    #[default]
    Lax,
    /// Always; only together with `Secure`.
    None,
}

impl SameSite {
    fn as_str(self) -> &'static str {
        match self {
            Self::Strict => "Strict",
            Self::Lax => "Lax",
            Self::None => "None",
        }
    }
}

/// A cookie that carries a refresh token: `HttpOnly`, so that no script reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefreshCookie {
    name: String,
    secure: bool,
    same_site: SameSite,
    domain: Option<String>,
    path: String,
}

impl RefreshCookie {
    /// A cookie called `name`: `Secure`, `SameSite=Lax`, for this host alone, sent to paths under `/auth`.
    ///
    /// # Errors
    /// [`Error::CookieInvalid`] when it is no cookie name (RFC 6265 §4.1.1).
    pub fn new(name: impl Into<String>) -> Result<Self, Error> {
        let cookie = Self {
            name: name.into(),
            secure: true,
            same_site: SameSite::Lax,
            domain: None,
            path: "/auth".to_owned(),
        };
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if cookie.name.is_empty() || !cookie.name.bytes().all(is_token) {
            return Err(invalid("the name is none"));
        }
        Ok(cookie)
    }

    /// Whether browsers send it over TLS only.
    #[must_use]
    pub fn secure(mut self, secure: bool) -> Self {
        self.secure = secure;
        self
    }

    /// When browsers send it with requests that another site began.
    #[must_use]
    pub fn same_site(mut self, same_site: SameSite) -> Self {
        self.same_site = same_site;
        self
    }

    /// Lets sub-domains of `domain` have it, too.
    #[must_use]
    pub fn domain(mut self, domain: impl Into<String>) -> Self {
        self.domain = Some(domain.into());
        self
    }

    /// Under which path browsers send it.
    #[must_use]
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
        self
    }

    /// Checks the parts against each other: browsers drop what contradicts itself, without a word.
    ///
    /// # Errors
    /// [`Error::CookieInvalid`] says what is wrong.
    pub fn validate(&self) -> Result<(), Error> {
        let path_is_sound = self.path.starts_with('/')
            && self.path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b';');
        if !path_is_sound {
            return Err(invalid("the path does not begin with `/`, or holds a character that no path holds"));
        }
        let in_domain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
        if self.domain.as_ref().is_some_and(|domain| domain.is_empty() || !domain.bytes().all(in_domain)) {
            return Err(invalid("the domain is none"));
        }
        let name = self.name.to_ascii_lowercase();
        if (name.starts_with("__secure-") || name.starts_with("__host-")) && !self.secure {
            return Err(invalid("the name's prefix needs `Secure`"));
        }
        if name.starts_with("__host-") && (self.domain.is_some() || self.path != "/") {
            return Err(invalid("the prefix `__Host-` needs the path `/` and no domain"));
        }
        if self.same_site == SameSite::None && !self.secure {
            return Err(invalid("`SameSite=None` needs `Secure`"));
        }
        Ok(())
    }

    /// The cookie's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The value of `Set-Cookie` that gives `token` to the browser for `lifetime`.
    #[must_use]
    pub fn set(&self, token: &str, lifetime: Duration) -> Option<HeaderValue> {
        self.header(token, lifetime.as_secs())
    }

    /// The value of `Set-Cookie` that takes the cookie away.
    #[must_use]
    pub fn clear(&self) -> Option<HeaderValue> {
        self.header("", 0)
    }

    /// The token that a request carries.
    ///
    /// # Errors
    /// 400 `ambiguous_credential` when it carries two.
    pub fn find<'h>(&self, headers: &'h HeaderMap) -> Result<Option<&'h str>, ApiError> {
        Ok(find(headers, &self.name)?.filter(|token| !token.is_empty()))
    }

    fn header(&self, value: &str, max_age: u64) -> Option<HeaderValue> {
        let mut text = format!("{}={value}; Path={}; Max-Age={max_age}; HttpOnly", self.name, self.path);
        if let Some(domain) = &self.domain {
            text += "; Domain=";
            text += domain;
        }
        if self.secure {
            text += "; Secure";
        }
        text += "; SameSite=";
        text += self.same_site.as_str();
        sensitive(&text)
    }
}

impl SessionCookie {
    /// The value of `Set-Cookie` that gives a session's secret to the browser, until it is closed or the session ends. No
    /// script reads it, no other host gets it, and no other site's request carries it unless somebody follows a link.
    #[must_use]
    pub fn set(self, secret: &str) -> Option<HeaderValue> {
        self.header(secret, "")
    }

    /// The value of `Set-Cookie` that takes the cookie away.
    #[must_use]
    pub fn clear(self) -> Option<HeaderValue> {
        self.header("", "; Max-Age=0")
    }

    fn header(self, value: &str, max_age: &str) -> Option<HeaderValue> {
        let secure = match self {
            Self::Host => "; Secure",
            Self::Plain => "",
        };
        sensitive(&format!("{}={value}; Path=/{max_age}; HttpOnly{secure}; SameSite=Lax", self.name()))
    }
}

fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn invalid(problem: &'static str) -> Error {
    Error::CookieInvalid { problem }
}

/// The value of the one cookie called `name` (RFC 6265 §4.2.1).
pub(crate) fn find<'h>(headers: &'h HeaderMap, name: &str) -> Result<Option<&'h str>, ApiError> {
    let mut found = None;
    for line in headers.get_all(header::COOKIE) {
        // Pair by pair: what another host of the site put into a cookie of its own must not hide ours.
        let pairs = line.as_bytes().split(|byte| *byte == b';').filter_map(|pair| str::from_utf8(pair).ok());
        for (one, value) in pairs.filter_map(|pair| pair.split_once('=')) {
            if one.trim() == name && found.replace(value.trim()).is_some() {
                return Err(ambiguous());
            }
        }
    }
    Ok(found)
}

pub(crate) fn ambiguous() -> ApiError {
    Problem::new(400, "ambiguous_credential")
        .detail("The request presents more than one credential of a kind.")
        .into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(value: Option<HeaderValue>) -> String {
        value.unwrap().to_str().unwrap().to_owned()
    }

    #[test]
    fn the_session_cookie_has_every_attribute_that_keeps_it() {
        assert_eq!(
            text(SessionCookie::Host.set("s3cret")),
            "__Host-session=s3cret; Path=/; HttpOnly; Secure; SameSite=Lax"
        );
        assert_eq!(
            text(SessionCookie::Plain.set("s3cret")),
            "session=s3cret; Path=/; HttpOnly; SameSite=Lax"
        );
        assert_eq!(
            text(SessionCookie::Host.clear()),
            "__Host-session=; Path=/; Max-Age=0; HttpOnly; Secure; SameSite=Lax"
        );
        // A24
        assert!(!format!("{:?}", SessionCookie::Host.set("s3cret").unwrap()).contains("s3cret"));
        assert!(SessionCookie::Host.set("line\nbreak").is_none());
    }

    #[test]
    fn a_neighbours_cookie_that_is_not_ascii_hides_none() {
        let mut headers = HeaderMap::new();
        let line = HeaderValue::from_bytes(b"pref=Stra\xc3\x9fe; bad=\xff; session=s; x\xff=1").unwrap();
        headers.append(header::COOKIE, line);
        assert_eq!(find(&headers, "session").unwrap(), Some("s"));
        assert_eq!(find(&headers, "bad").unwrap(), None);
    }

    #[test]
    fn the_refresh_cookie_is_as_the_operator_says() {
        let cookie = RefreshCookie::new("refresh_token").unwrap();
        assert_eq!(
            text(cookie.set("t", Duration::from_secs(60))),
            "refresh_token=t; Path=/auth; Max-Age=60; HttpOnly; Secure; SameSite=Lax"
        );
        let other = cookie.secure(false).same_site(SameSite::Strict).domain("example.org").path("/api/auth");
        other.validate().unwrap();
        assert_eq!(
            text(other.clear()),
            "refresh_token=; Path=/api/auth; Max-Age=0; HttpOnly; Domain=example.org; SameSite=Strict"
        );
    }

    #[test]
    fn what_browsers_would_drop_is_refused() {
        for name in ["", "a b", "a=b", "a;b", "ä"] {
            assert_eq!(RefreshCookie::new(name).unwrap_err().code(), "cookie_invalid", "{name}");
        }
        let named = |name: &str| RefreshCookie::new(name).unwrap();
        for wrong in [
            named("r").path("auth"),
            named("r").path("/a;b"),
            named("r").domain("exa mple.org"),
            named("r").domain(""),
            named("r").secure(false).same_site(SameSite::None),
            named("__Secure-r").secure(false),
            named("__Host-r"),
            named("__Host-r").path("/").domain("example.org"),
        ] {
            assert_eq!(wrong.validate().unwrap_err().code(), "cookie_invalid", "{wrong:?}");
        }
        named("__Host-r").path("/").validate().unwrap();
    }

    fn headers(lines: &[String]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            if let Ok(value) = HeaderValue::from_str(line) {
                headers.append(header::COOKIE, value);
            }
        }
        headers
    }

    proptest! {
        #[test]
        fn fuzz_cookie_any_header_names_at_most_one_session(
            lines in prop::collection::vec("[ -~\t;=]{0,60}|(__Host-session|session|x)=[a-c]{0,3}(; ?(__Host-session|session)=?[a-c;=]{0,4}){0,3}", 0..4)
        ) {
            let headers = headers(&lines);
            let times: usize = headers
                .get_all(header::COOKIE)
                .iter()
                .filter_map(|line| line.to_str().ok())
                .flat_map(|line| line.split(';'))
                .filter(|pair| pair.split_once('=').is_some_and(|(name, _)| name.trim() == "session"))
                .count();
            match find(&headers, "session") {
                Err(_) => prop_assert!(times > 1),
                Ok(None) => prop_assert_eq!(times, 0),
                Ok(Some(value)) => {
                    prop_assert_eq!(times, 1);
                    prop_assert!(!value.contains(';'));
                }
            }
        }

        #[test]
        fn fuzz_cookie_no_bytes_panic(lines in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 0..4)) {
            let mut headers = HeaderMap::new();
            for line in &lines {
                if let Ok(value) = HeaderValue::from_bytes(line) {
                    headers.append(header::COOKIE, value);
                }
            }
            let _ = find(&headers, "__Host-session");
        }

        #[test]
        fn fuzz_cookie_what_is_set_is_found(secret in "[A-Za-z0-9_-]{1,100}") {
            let set = text(SessionCookie::Host.set(&secret));
            let sent = set.split(';').next().unwrap().to_owned();
            let headers = headers(&[sent]);
            prop_assert_eq!(find(&headers, "__Host-session").unwrap(), Some(secret.as_str()));
        }
    }
}
