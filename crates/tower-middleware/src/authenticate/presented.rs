use std::fmt;

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
    /// The value of the session cookie.
    Session(&'a str),
}

impl fmt::Debug for Presented<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nothing => "Nothing",
            Self::Unknown => "Unknown",
            Self::Bearer(_) => "Bearer([redacted])",
            Self::Session(_) => "Session([redacted])",
        })
    }
}

/// The same, kept while somebody waits.
pub(crate) struct OwnedCredential {
    text: String,
    is_session: bool,
}

impl Presented<'_> {
    pub(crate) fn to_owned(self) -> OwnedCredential {
        let (text, is_session) = match self {
            Self::Bearer(text) => (text, false),
            Self::Session(text) => (text, true),
            Self::Nothing | Self::Unknown => ("", false),
        };
        OwnedCredential { text: text.to_owned(), is_session }
    }
}

impl OwnedCredential {
    pub(crate) fn as_presented(&self) -> Presented<'_> {
        if self.is_session { Presented::Session(&self.text) } else { Presented::Bearer(&self.text) }
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

    /// Finds the one credential of a request.
    pub(crate) fn presented(self, headers: &HeaderMap) -> Result<Presented<'_>, ApiError> {
        let mut lines = headers.get_all(header::AUTHORIZATION).iter();
        let of_socket = SocketProtocols::of(headers)?.token;
        if let Some(line) = lines.next() {
            let is_one = lines.next().is_none() && of_socket.is_none();
            return if is_one { Ok(bearer(line)) } else { Err(ambiguous()) };
        }
        if let Some(token) = of_socket {
            return Ok(Presented::Bearer(token));
        }
        let found = cookies::find(headers, self.name())?;
        Ok(found.map_or(Presented::Nothing, Presented::Session))
    }
}

/// `Bearer` in any case (RFC 9110 §11.1), one or more blanks, and a token of `token68` characters.
fn bearer(line: &HeaderValue) -> Presented<'_> {
    let split = line.to_str().ok().and_then(|line| line.split_once(' '));
    let Some((scheme, token)) = split else { return Presented::Unknown };
    let token = token.trim_matches(' ');
    let is_token68 = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
    if scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() && token.bytes().all(is_token68) {
        Presented::Bearer(token)
    } else {
        Presented::Unknown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(lines: &[(&'static str, &str)]) -> Result<String, u16> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        match SessionCookie::Host.presented(&headers) {
            Ok(Presented::Bearer(token)) => Ok(format!("bearer {token}")),
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
        assert_eq!(format!("{:?}", Presented::Bearer("canary")), "Bearer([redacted])"); // A24
    }
}
