use std::{fmt, str::FromStr};

use http::{HeaderValue, Uri, uri::Scheme};

use crate::Error;

/// A web origin (RFC 6454): scheme, host and port, in the spelling that browsers send.
///
/// Parsed once: lower case, without the scheme's own port, without a path. `*` and `null` are no origins.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Origin(String);

impl Origin {
    /// The text as a browser sends it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn to_header(&self) -> Option<HeaderValue> {
        HeaderValue::from_str(&self.0).ok()
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Origin {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let invalid = || Error::OriginInvalid { origin: text.to_owned() };
        let uri: Uri = text.trim().parse().map_err(|_| invalid())?;
        let (Some(scheme), Some(authority)) = (uri.scheme(), uri.authority()) else { return Err(invalid()) };
        let own_port = match scheme {
            scheme if *scheme == Scheme::HTTPS => 443,
            scheme if *scheme == Scheme::HTTP => 80,
            _ => return Err(invalid()),
        };
        let bare = uri.path_and_query().is_none_or(|rest| rest.as_str() == "/");
        if !bare || authority.as_str().contains(['@', '*']) || authority.host().is_empty() {
            return Err(invalid());
        }
        let host = authority.host().to_ascii_lowercase();
        Ok(Self(match authority.port_u16() {
            Some(port) if port != own_port => format!("{scheme}://{host}:{port}"),
            None if authority.as_str().ends_with(':') => return Err(invalid()),
            _ => format!("{scheme}://{host}"),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_take_the_spelling_of_browsers() {
        for (text, origin) in [
            ("https://app.example.com", "https://app.example.com"),
            ("HTTPS://App.Example.com:443/", "https://app.example.com"),
            ("http://localhost:3000", "http://localhost:3000"),
            ("http://[::1]:80", "http://[::1]"),
        ] {
            assert_eq!(text.parse::<Origin>().unwrap().as_str(), origin, "{text}");
        }
    }

    #[test]
    fn wildcards_paths_and_other_schemes_are_refused() {
        for text in [
            "*",
            "null",
            "",
            "app.example.com",
            "https://*.example.com",
            "https://a/b",
            "https://a?x",
            "file:///a",
            "https://u@a",
            "https://",
        ] {
            assert_eq!(text.parse::<Origin>().unwrap_err().code(), "origin_invalid", "{text}");
        }
    }
}
