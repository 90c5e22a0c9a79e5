use std::fmt;

use super::SignatureFault;

/// What a request is for: scheme, authority, path and query, normalized as far as RFC 9421 §2.2 and RFC 9110 §4.2.3 say.
///
/// Scheme and host are in lower case, the scheme's own port is left out, an empty path is `/`. Path and query stay as
/// they were sent: nothing is decoded, and no dots are resolved.
#[derive(Clone, PartialEq, Eq)]
pub struct TargetUri {
    scheme: &'static str,
    authority: Box<str>,
    /// Path, and query with its question mark.
    path_and_query: Box<str>,
    /// Where the query begins in it; its length when there is none.
    path_bytes: usize,
    request_target: Option<Box<str>>,
}

impl TargetUri {
    /// The longest target, in bytes: what servers accept in a request line at most.
    pub const BYTES_MAX: usize = 32 * 1_024;

    /// The target `scheme://authority` with a path and query as it was sent, beginning with `/` or empty.
    ///
    /// The authority is what the client meant: of a server behind a proxy the public one, not what the proxy asks it for.
    ///
    /// # Errors
    /// [`SignatureFault::TargetMalformed`] for another scheme than `http` and `https`, user information, a port that is none,
    /// characters that an address does not have, and more than [`BYTES_MAX`](Self::BYTES_MAX) bytes.
    pub fn new(scheme: &str, authority: &str, path_and_query: &str) -> Result<Self, SignatureFault> {
        let (scheme, port) = if scheme.eq_ignore_ascii_case("https") {
            ("https", "443")
        } else if scheme.eq_ignore_ascii_case("http") {
            ("http", "80")
        } else {
            return Err(SignatureFault::TargetMalformed);
        };
        let authority = normal_authority(authority, port).ok_or(SignatureFault::TargetMalformed)?;
        let is_sound = (path_and_query.is_empty() || path_and_query.starts_with(['/', '?']))
            && authority.len() + path_and_query.len() <= Self::BYTES_MAX
            && path_and_query.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
        if !is_sound {
            return Err(SignatureFault::TargetMalformed);
        }
        let path_and_query = match path_and_query.strip_prefix('/') {
            Some(_) => path_and_query.to_owned(),
            None => format!("/{path_and_query}"),
        };
        let path_bytes = path_and_query.find('?').unwrap_or(path_and_query.len());
        let path_and_query = path_and_query.into();
        Ok(Self { scheme, authority: authority.into(), path_and_query, path_bytes, request_target: None })
    }

    /// The same target, asked for by a request target of another form than path and query: an absolute address, or an
    /// authority (RFC 9112 §3.2). It only matters where a signature covers `@request-target`.
    ///
    /// # Errors
    /// [`SignatureFault::TargetMalformed`] when it is empty, too long or has characters that an address does not have.
    pub fn with_request_target(mut self, request_target: &str) -> Result<Self, SignatureFault> {
        let is_sound = (1..=Self::BYTES_MAX).contains(&request_target.len())
            && request_target.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_sound {
            return Err(SignatureFault::TargetMalformed);
        }
        self.request_target = Some(request_target.into());
        Ok(self)
    }

    /// `http` or `https`.
    #[must_use]
    pub fn scheme(&self) -> &str {
        self.scheme
    }

    /// The host in lower case, and the port unless it is the scheme's own.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// The path as it was sent.
    #[must_use]
    pub fn path(&self) -> &str {
        self.path_and_query.get(..self.path_bytes).unwrap_or_default()
    }

    /// The query as it was sent, without its question mark; `None` when there is no question mark either.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.path_and_query.get(self.path_bytes..)?.strip_prefix('?')
    }

    pub(super) fn request_target(&self) -> &str {
        self.request_target.as_deref().unwrap_or(&self.path_and_query)
    }
}

/// Host and port (RFC 3986 §3.2), in lower case and without the port that the scheme has anyway.
fn normal_authority(authority: &str, scheme_port: &str) -> Option<String> {
    let lower = authority.to_ascii_lowercase();
    let (host, port) = match lower.strip_prefix('[') {
        Some(rest) => {
            let (address, behind) = rest.split_once(']')?;
            address.parse::<std::net::Ipv6Addr>().ok()?;
            (lower.get(..address.len() + 2)?, behind)
        }
        None => lower.split_at_checked(lower.find(':').unwrap_or(lower.len()))?,
    };
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=".contains(&byte);
    if !host.starts_with('[') && (host.is_empty() || !host.bytes().all(is_name)) {
        return None;
    }
    let port = match port.strip_prefix(':') {
        None if port.is_empty() => "",
        None => return None,
        Some(digits) => digits,
    };
    let is_port =
        port.is_empty() || (port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok());
    if !is_port {
        return None;
    }
    Some(if port.is_empty() || port == scheme_port { host.to_owned() } else { format!("{host}:{port}") })
}

impl TargetUri {
    pub(super) fn write(&self, out: &mut impl fmt::Write) -> fmt::Result {
        out.write_str(self.scheme)?;
        out.write_str("://")?;
        out.write_str(&self.authority)?;
        out.write_str(&self.path_and_query)
    }
}

impl fmt::Display for TargetUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f)
    }
}

impl fmt::Debug for TargetUri {
    /// Without the query, in which others put secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TargetUri({}://{}{})", self.scheme, self.authority, self.path())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_normalized_as_rfc_9110_section_4_2_3_says() {
        for (scheme, authority, path, uri) in [
            ("https", "www.example.com", "/path?param=value", "https://www.example.com/path?param=value"),
            ("HTTPS", "Www.Example.COM:443", "", "https://www.example.com/"),
            ("http", "example.com:80", "?q", "http://example.com/?q"),
            ("http", "example.com:443", "/", "http://example.com:443/"),
            ("https", "example.com:", "/a/../b//c", "https://example.com/a/../b//c"),
            ("https", "[2001:DB8::1]:8443", "/%2F", "https://[2001:db8::1]:8443/%2F"),
            ("https", "127.0.0.1:8001", "//evil.example/", "https://127.0.0.1:8001//evil.example/"),
        ] {
            assert_eq!(TargetUri::new(scheme, authority, path).unwrap().to_string(), uri);
        }
        let target = TargetUri::new("https", "example.com", "/p?a?b").unwrap();
        assert_eq!((target.path(), target.query()), ("/p", Some("a?b")));
        assert_eq!(TargetUri::new("https", "example.com", "/p?").unwrap().query(), Some(""));
        assert_eq!(TargetUri::new("https", "example.com", "/p").unwrap().query(), None);
    }

    #[test]
    fn what_is_no_target_is_refused() {
        let long = format!("/{}", "a".repeat(TargetUri::BYTES_MAX));
        for (scheme, authority, path) in [
            ("ftp", "example.com", "/"),
            ("https", "", "/"),
            ("https", ":443", "/"),
            ("https", "user@example.com", "/"),
            ("https", "user:secret@example.com", "/"),
            ("https", "example.com/", "/"),
            ("https", "example.com:99999", "/"),
            ("https", "example.com:+1", "/"),
            ("https", "example.com:1:2", "/"),
            ("https", "[::1", "/"),
            ("https", "[::1]x", "/"),
            ("https", "[v1.a]", "/"),
            ("https", "ex ample.com", "/"),
            ("https", "ex\u{e4}mple.com", "/"),
            ("https", "example.com\n", "/"),
            ("https", "example.com", "path"),
            ("https", "example.com", "*"),
            ("https", "example.com", "/a b"),
            ("https", "example.com", "/a\nb"),
            ("https", "example.com", "/a#b"),
            ("https", "example.com", "/\u{e4}"),
            ("https", "example.com", long.as_str()),
        ] {
            let refused = TargetUri::new(scheme, authority, path);
            assert_eq!(refused, Err(SignatureFault::TargetMalformed), "{scheme} {authority:?} {path:.20?}");
        }
        let target = TargetUri::new("https", "example.com", "/").unwrap();
        assert!(target.clone().with_request_target("").is_err());
        assert!(target.clone().with_request_target("a b").is_err());
        assert!(target.with_request_target("*").is_ok());
    }

    #[test]
    fn a_query_is_not_printed() {
        let target = TargetUri::new("https", "example.com", "/p?token=s3cret").unwrap();
        assert!(!format!("{target:?}").contains("s3cret"));
    }
}
