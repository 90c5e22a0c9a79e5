use std::{fmt, net::IpAddr};

use http::{HeaderMap, HeaderValue, header};

use crate::{
    ApiError,
    cookies::{self, ambiguous},
    upgrade::SocketProtocols,
};

/// What a request presents to prove who acts.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Presented<'a> {
    /// Nothing.
    Nothing,
    /// An `Authorization` header that is no bearer token.
    Unknown,
    /// A bearer token (RFC 6750 §2.1), or that of a WebSocket, among its subprotocols.
    Bearer(&'a str),
    /// An API key, in `X-Api-Key` or as a bearer token that begins with `sb_`.
    ApiKey {
        /// The key.
        text: &'a str,
        /// Who presents it, as far as that is known, after trusted proxies have been taken off: a key may be for some networks.
        address: Option<IpAddr>,
    },
    /// The value of the session cookie.
    Session(&'a str),
}

impl fmt::Debug for Presented<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nothing => "Nothing",
            Self::Unknown => "Unknown",
            Self::Bearer(_) => "Bearer([redacted])",
            Self::ApiKey { .. } => "ApiKey([redacted])",
            Self::Session(_) => "Session([redacted])",
        })
    }
}

/// The same, kept while somebody waits.
pub(crate) enum OwnedCredential {
    None,
    Bearer(String),
    ApiKey { text: String, address: Option<IpAddr> },
    Session(String),
}

impl Presented<'_> {
    pub(crate) fn to_owned(self) -> OwnedCredential {
        match self {
            Self::Bearer(text) => OwnedCredential::Bearer(text.to_owned()),
            Self::ApiKey { text, address } => OwnedCredential::ApiKey { text: text.to_owned(), address },
            Self::Session(text) => OwnedCredential::Session(text.to_owned()),
            Self::Nothing | Self::Unknown => OwnedCredential::None,
        }
    }
}

impl OwnedCredential {
    pub(crate) fn as_presented(&self) -> Presented<'_> {
        match self {
            // Nobody owns what was not presented; were it judged, it would prove nobody.
            Self::None => Presented::Unknown,
            Self::Bearer(text) => Presented::Bearer(text),
            Self::ApiKey { text, address } => Presented::ApiKey { text, address: *address },
            Self::Session(text) => Presented::Session(text),
        }
    }
}

/// Which cookie carries a session.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SessionCookie {
    /// `__Host-session`: browsers take it only over TLS, for the whole host and no other (RFC 6265bis §4.1.3.2). The default.
    #[default]
    Host,
    /// `session`, without `Secure`: for plain http on loopback only.
    Plain,
}

impl SessionCookie {
    /// The cookie's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Host => "__Host-session",
            Self::Plain => "session",
        }
    }

    /// Finds the one credential of a request that comes from `address`.
    pub(crate) fn presented(
        self,
        headers: &HeaderMap,
        address: Option<IpAddr>,
    ) -> Result<Presented<'_>, ApiError> {
        let mut lines = headers.get_all(header::AUTHORIZATION).iter();
        let mut keys = headers.get_all(API_KEY).iter();
        let (line, key) = (lines.next(), keys.next());
        let of_socket = SocketProtocols::of(headers)?.token;
        let of_kinds = [line.is_some(), key.is_some(), of_socket.is_some()];
        let is_one = of_kinds.into_iter().filter(|is_there| *is_there).count() <= 1
            && lines.next().is_none()
            && keys.next().is_none();
        if !is_one {
            return Err(ambiguous());
        }
        if let Some(key) = key {
            let text = key.to_str().ok().filter(|text| !text.is_empty());
            return Ok(text.map_or(Presented::Unknown, |text| Presented::ApiKey { text, address }));
        }
        if let Some(line) = line {
            return Ok(token(line).map_or(Presented::Unknown, |token| Presented::of_token(token, address)));
        }
        if let Some(token) = of_socket {
            return Ok(Presented::of_token(token, address));
        }
        let found = cookies::find(headers, self.name())?;
        Ok(found.map_or(Presented::Nothing, Presented::Session))
    }
}

/// What carries an API key, besides `Authorization`.
const API_KEY: &str = "x-api-key";

impl<'a> Presented<'a> {
    /// A bearer token, which may be an API key: no other token begins like one.
    fn of_token(text: &'a str, address: Option<IpAddr>) -> Self {
        if text.starts_with("sb_") { Self::ApiKey { text, address } } else { Self::Bearer(text) }
    }
}

/// `Bearer` in any case (RFC 9110 §11.1), one or more blanks, and a token of `token68` characters.
fn token(line: &HeaderValue) -> Option<&str> {
    let (scheme, token) = line.to_str().ok()?.split_once(' ')?;
    let token = token.trim_matches(' ');
    let is_token68 = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
    let is_bearer =
        scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() && token.bytes().all(is_token68);
    is_bearer.then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(lines: &[(&'static str, &str)]) -> Result<String, u16> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        match SessionCookie::Host.presented(&headers, Some([192, 0, 2, 7].into())) {
            Ok(Presented::Bearer(token)) => Ok(format!("bearer {token}")),
            Ok(Presented::ApiKey { text, address: Some(_) }) => Ok(format!("key {text}")),
            Ok(Presented::Session(token)) => Ok(format!("session {token}")),
            Ok(other) => Ok(format!("{other:?}")),
            Err(error) => Err(error.problem().status),
        }
    }

    #[test]
    fn the_header_goes_before_the_cookie() {
        let cookie = ("cookie", "a=b; __Host-session=s1; c=d");
        assert_eq!(found(&[cookie]).unwrap(), "session s1");
        assert_eq!(found(&[cookie, ("authorization", "bEaReR t1")]).unwrap(), "bearer t1");
        assert_eq!(found(&[("cookie", "session=s1; x__Host-session=s2")]).unwrap(), "Nothing");
        assert_eq!(found(&[]).unwrap(), "Nothing");
    }

    #[test]
    fn two_credentials_of_a_kind_are_refused() {
        assert_eq!(found(&[("authorization", "Bearer a"), ("authorization", "Bearer a")]), Err(400));
        assert_eq!(found(&[("cookie", "__Host-session=a; __Host-session=b")]), Err(400));
        assert_eq!(found(&[("cookie", "__Host-session=a"), ("cookie", "__Host-session=a")]), Err(400));
    }

    // A8
    #[test]
    fn an_api_key_has_a_header_of_its_own_or_is_a_bearer_token() {
        let (cookie, key) = (("cookie", "__Host-session=s1"), ("x-api-key", "sb_live_k1"));
        assert_eq!(found(&[key]).unwrap(), "key sb_live_k1");
        assert_eq!(found(&[("authorization", "Bearer sb_live_k1")]).unwrap(), "key sb_live_k1");
        // It is explicit, as `Authorization` is.
        assert_eq!(found(&[cookie, key]).unwrap(), "key sb_live_k1");
        assert_eq!(found(&[("x-api-key", "t1")]).unwrap(), "key t1");
        assert_eq!(found(&[("x-api-key", "")]).unwrap(), "Unknown");
        // Two are two opinions, whether or not they are the same.
        for second in ["Bearer sb_live_k1", "Bearer t1", "Basic dXNlcjpwYXNz"] {
            assert_eq!(found(&[key, ("authorization", second)]), Err(400), "{second}");
        }
        assert_eq!(found(&[key, key]), Err(400));
    }

    #[test]
    fn what_is_no_bearer_token_is_unknown() {
        for line in [
            "",
            "Bearer",
            "Bearer ",
            "Basic dXNlcjpwYXNz",
            "Bearer a b",
            "Bearer a,b",
            "Bearer \"a\"",
            "Bearer\ta",
            "Token a",
        ] {
            assert_eq!(found(&[("authorization", line)]).unwrap(), "Unknown", "{line}");
        }
    }

    #[test]
    fn credentials_do_not_print() {
        // A24
        assert_eq!(format!("{:?}", Presented::Bearer("canary")), "Bearer([redacted])");
        let key = Presented::ApiKey { text: "canary", address: None };
        assert_eq!(format!("{key:?}"), "ApiKey([redacted])");
    }
}
