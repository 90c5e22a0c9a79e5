use std::{fmt, net::IpAddr};

use http::uri::PathAndQuery;
use url::{Host, Url};

use crate::{AddressPolicy, Error};

/// The longest URL: what browsers and proxies agree to carry.
pub const URL_CHARS_MAX: usize = 2_048;

/// Why a text is no URL that can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TargetInvalid(&'static str);

/// A URL that may be asked, as far as can be said before its name is resolved: read once, by the rules of browsers (WHATWG URL),
/// so that `0x7f.1`, `2130706433` and `１２７.0.0.1` are the address that they stand for.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    url: Url,
    host: Host,
    port: u16,
    path: PathAndQuery,
}

impl Target {
    /// Reads a URL of `https`, or of `http` where the policy allows that, without user information and of up to
    /// [`URL_CHARS_MAX`] characters. A fragment is dropped: it is never sent.
    ///
    /// # Errors
    /// [`Error::Target`] when it is none; [`Error::Forbidden`] when its host is an address, or a name for this machine, that the
    /// policy forbids.
    pub fn parse(text: &str, policy: &AddressPolicy) -> Result<Self, Error> {
        // Browsers forgive these; who writes them into a setting is mistaken or up to something.
        if text.len() > URL_CHARS_MAX {
            return Err(TargetInvalid("the URL is longer than 2048 characters").into());
        }
        if text.chars().any(|one| one.is_control() || one.is_whitespace() || one == '\\') {
            return Err(TargetInvalid("the URL contains a space, a control character or a backslash").into());
        }
        let mut url = Url::parse(text).map_err(|_| TargetInvalid("the URL cannot be read"))?;
        url.set_fragment(None);
        let target = Self::of(url)?;
        target.check(policy)?;
        Ok(target)
    }

    fn of(url: Url) -> Result<Self, TargetInvalid> {
        if !matches!(url.scheme(), "https" | "http") {
            return Err(TargetInvalid("the URL is not https"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(TargetInvalid("the URL contains a user name or password"));
        }
        let host = url.host().ok_or(TargetInvalid("the URL has no host"))?.to_owned();
        if let Host::Domain(name) = &host {
            // RFC 1035 §2.3.4. Without its last dot, which says that it is complete.
            let name = name.strip_suffix('.').unwrap_or(name);
            if name.is_empty()
                || name.len() > 253
                || name.split('.').any(|label| label.is_empty() || label.len() > 63)
            {
                return Err(TargetInvalid("the host is no name"));
            }
        }
        let port = url.port_or_known_default().filter(|port| *port > 0);
        let port = port.ok_or(TargetInvalid("the URL has no port that can be asked"))?;
        let path = match url.query() {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_owned(),
        };
        let path = PathAndQuery::try_from(path).map_err(|_| TargetInvalid("the URL cannot be sent"))?;
        Ok(Self { url, host, port, path })
    }

    /// What can be said before the name is resolved. The client asks again with its own policy.
    pub(crate) fn check(&self, policy: &AddressPolicy) -> Result<(), Error> {
        if !self.is_https() && !policy.allows_http() {
            return Err(TargetInvalid("the URL is not https").into());
        }
        match &self.host {
            Host::Ipv4(address) => policy.check(IpAddr::V4(*address))?,
            Host::Ipv6(address) => policy.check(IpAddr::V6(*address))?,
            // RFC 6761 §6.3: such a name is this machine, whatever the resolver says.
            Host::Domain(name) if is_localhost(name) => policy.check(IpAddr::from([127, 0, 0, 1]))?,
            Host::Domain(_) => {}
        }
        Ok(())
    }

    /// The URL, in its normal form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.url.as_str()
    }

    /// Scheme, host and port: what may be logged of it, as paths and queries can hold secrets.
    #[must_use]
    pub fn origin(&self) -> String {
        self.url.origin().ascii_serialization()
    }

    /// Whether it is asked over TLS.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.url.scheme() == "https"
    }

    /// The host: an address, or a name in its ASCII form.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    #[cfg(feature = "client")]
    pub(crate) fn path(&self) -> &PathAndQuery {
        &self.path
    }

    /// The `Host` header: with the port when it is not the scheme's own.
    #[cfg(feature = "client")]
    pub(crate) fn authority(&self) -> String {
        match self.url.port() {
            Some(port) => format!("{}:{port}", self.host),
            None => self.host.to_string(),
        }
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({}/…)", self.origin())
    }
}

fn is_localhost(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    let (_, last) = name.rsplit_once('.').unwrap_or(("", name));
    last.eq_ignore_ascii_case("localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Target, Error> {
        Target::parse(text, &AddressPolicy::public())
    }

    #[test]
    fn urls_of_the_public_internet_are_taken() {
        for (text, normal) in [
            ("https://hooks.example.com/a?b=c", "https://hooks.example.com/a?b=c"),
            ("HTTPS://Hooks.Example.COM", "https://hooks.example.com/"),
            ("https://bücher.example/x", "https://xn--bcher-kva.example/x"),
            ("https://hooks.example.com:8443/#top", "https://hooks.example.com:8443/"),
            ("https://hooks.example.com./", "https://hooks.example.com./"),
            ("https://8.8.8.8/", "https://8.8.8.8/"),
            ("https://[2606:4700:4700::1111]/", "https://[2606:4700:4700::1111]/"),
            ("https://mylocalhost/", "https://mylocalhost/"),
        ] {
            assert_eq!(parse(text).unwrap().as_str(), normal);
        }
    }

    #[test]
    fn what_is_no_url_to_ask_is_refused() {
        let long = format!("https://a.example/{}", "x".repeat(URL_CHARS_MAX));
        let label = format!("https://{}.example/", "x".repeat(64));
        for text in [
            "",
            "/",
            "a.example",
            "//a.example",
            "http://a.example/",
            "ftp://a.example/",
            "file:///etc/passwd",
            "gopher://a.example/",
            "javascript:alert(1)",
            "data:text/plain,x",
            "unix:/run/x",
            "https:",
            "https://",
            "https:///",
            "https://user@a.example/",
            "https://user:word@a.example/",
            "https://:word@a.example/",
            "https://a.example:0/",
            "https://a.example:65536/",
            "https://a.example:x/",
            "https://a..example/",
            "https://.example/",
            "https://a.example\\@b.example/",
            " https://a.example/",
            "https://a.exa mple/",
            "https://a.example/\r\nx: y",
            "https://a.example/\t",
            "https://a.example/\0",
            "https://[::1",
            "https://[fe80::1%25eth0]/",
            "https://[fe80::1%eth0]/",
            "https://a%00b.example/",
            "https://a.example%2f@b/",
            "https://256.1.1.1/",
            "https://1.2.3.4.5/",
            "https://0x100000000/",
            &long,
            &label,
        ] {
            let refused = parse(text).unwrap_err();
            assert_eq!(refused.code(), "egress_url_invalid", "{text}");
        }
    }

    // A27, C37: what a URL says already. The names are for `tests/it/corpus.rs`.
    #[test]
    fn addresses_are_recognised_in_every_spelling() {
        for text in [
            "https://127.0.0.1/",
            "https://127.0.0.1./",
            "https://127.1/",
            "https://127.0.1/",
            "https://2130706433/",
            "https://0x7f000001/",
            "https://0x7f.0.0.1/",
            "https://0X7F.1/",
            "https://0177.0.0.1/",
            "https://017700000001/",
            "https://0177.1/",
            "https://127.0.0.0x1/",
            "https://0/",
            "https://0.0.0.0/",
            "https://00.0.0.0/",
            "https://10.0.0.1/",
            "https://012.0.0.1/",
            "https://0xa9fea9fe/",
            "https://169.254.169.254/latest/meta-data/",
            "https://2852039166/",
            "https://169.254.43518/",
            "https://１２７.０.０.１/",
            "https://127。0。0。1/",
            "https://①②⑦.⓪.⓪.①/",
            "https://%31%32%37.0.0.1/",
            "https://localhost/",
            "https://LOCALHOST/",
            "https://localhost./",
            "https://a.localhost/",
            "https://a.localhost./",
            "https://ｌocalhost/",
            "https://[::]/",
            "https://[::1]/",
            "https://[0:0:0:0:0:0:0:1]/",
            "https://[::ffff:127.0.0.1]/",
            "https://[::ffff:7f00:1]/",
            "https://[::127.0.0.1]/",
            "https://[64:ff9b::7f00:1]/",
            "https://[64:ff9b:1::1]/",
            "https://[2002:7f00:1::]/",
            "https://[2001::1]/",
            "https://[fe80::1]/",
            "https://[fec0::1]/",
            "https://[fd00:ec2::254]/",
            "https://[ff02::1]/",
            "https://255.255.255.255/",
        ] {
            let refused = parse(text).unwrap_err();
            assert_eq!(refused.code(), "egress_address_forbidden", "{text}");
        }
    }

    #[test]
    fn plain_http_is_for_those_who_ask_for_it() {
        let policy = AddressPolicy::public().insecure_allow_http();
        assert!(Target::parse("http://a.example/", &policy).is_ok());
        assert!(Target::parse("http://127.0.0.1/", &policy).is_err());
        let policy = policy.allow(["127.0.0.0/8".parse().unwrap()]);
        assert!(Target::parse("http://127.0.0.1/", &policy).is_ok());
        assert!(Target::parse("http://localhost:8001/", &policy).is_ok());
    }

    #[test]
    fn paths_and_queries_stay_out_of_logs() {
        let target = parse("https://a.example:8443/secret?token=1").unwrap();
        assert_eq!(format!("{target:?}"), "Target(https://a.example:8443/…)");
    }
}
