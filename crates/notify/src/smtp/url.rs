use std::{fmt, net::IpAddr, str::FromStr};

use secrecy::SecretString;
use url::Url;

/// Where a mail server is and who we are to it: `smtp://user:password@host:587` with STARTTLS, or `smtps://…` with TLS from the
/// first byte (port 465). User and password are percent-encoded. Parameters: `tls=none` for neither, `hello=name` for what we call
/// ourselves (default `localhost`).
///
/// The password is in no message, log or `Debug` of ours.
#[derive(Clone)]
pub struct SmtpUrl {
    security: SmtpSecurity,
    host: String,
    port: u16,
    credentials: Option<(String, SecretString)>,
    hello: String,
}

/// How a connection to a mail server is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SmtpSecurity {
    /// After the first words (RFC 3207), or there is no connection.
    StartTls,
    /// From the first byte (RFC 8314).
    Tls,
    /// Not at all.
    None,
}

/// A text that is no address of a mail server; says why without repeating it, since it may hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the address of the mail server is not usable: {0}")]
pub struct SmtpUrlInvalid(&'static str);

impl SmtpUrl {
    /// Reads it.
    ///
    /// # Errors
    /// [`SmtpUrlInvalid`] when it is none.
    pub fn parse(text: &str) -> Result<Self, SmtpUrlInvalid> {
        let url = Url::parse(text).map_err(|_| SmtpUrlInvalid("it is no URL"))?;
        let mut security = match url.scheme() {
            "smtp" => SmtpSecurity::StartTls,
            "smtps" => SmtpSecurity::Tls,
            _ => return Err(SmtpUrlInvalid("it begins with neither smtp:// nor smtps://")),
        };
        if url.fragment().is_some() {
            return Err(SmtpUrlInvalid("it has a fragment: is a # in the password percent-encoded?"));
        }
        if !matches!(url.path(), "" | "/") {
            return Err(SmtpUrlInvalid("it has a path: is a / in the password percent-encoded?"));
        }
        let host = host(&url).ok_or(SmtpUrlInvalid("it names no host"))?;
        let mut hello = "localhost".to_owned();
        for (name, value) in url.query_pairs() {
            match (&*name, &*value) {
                ("tls", "none") if security == SmtpSecurity::StartTls => security = SmtpSecurity::None,
                ("tls", _) => {
                    return Err(SmtpUrlInvalid(
                        "its tls is not none: smtp:// is STARTTLS and smtps:// is TLS",
                    ));
                }
                ("hello", name) if is_domain(name) => name.clone_into(&mut hello),
                ("hello", _) => return Err(SmtpUrlInvalid("its hello is no domain")),
                _ => return Err(SmtpUrlInvalid("it has a parameter other than tls and hello")),
            }
        }
        let port = url.port().unwrap_or(if security == SmtpSecurity::Tls { 465 } else { 587 });
        if port == 0 {
            return Err(SmtpUrlInvalid("its port is 0"));
        }
        let password = url.password().map(decoded).transpose()?;
        let credentials = match (decoded(url.username())?, password) {
            (user, None) if user.is_empty() => None,
            (user, Some(password)) if !user.is_empty() => Some((user, password.into())),
            _ => return Err(SmtpUrlInvalid("it has a user without password, or a password without user")),
        };
        Ok(Self { security, host, port, credentials, hello })
    }

    /// How the connection is encrypted.
    #[must_use]
    pub fn security(&self) -> SmtpSecurity {
        self.security
    }

    /// Whether the server is this machine.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.host == "localhost" || self.host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }

    pub(super) fn host(&self) -> &str {
        &self.host
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn hello(&self) -> &str {
        &self.hello
    }

    pub(super) fn credentials(&self) -> Option<(&str, &SecretString)> {
        self.credentials.as_ref().map(|(user, password)| (user.as_str(), password))
    }
}

/// A domain in ASCII, or an address without brackets.
fn host(url: &Url) -> Option<String> {
    let host = url.host_str().filter(|host| !host.is_empty())?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if host.parse::<IpAddr>().is_ok() {
        return Some(host.to_owned());
    }
    // The scheme is none that the parser of URLs knows to have domains.
    match url::Host::parse(host).ok()? {
        url::Host::Domain(domain) => Some(domain),
        url::Host::Ipv4(address) => Some(address.to_string()),
        url::Host::Ipv6(_) => None,
    }
}

fn is_domain(text: &str) -> bool {
    (1..=253).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte))
}

fn decoded(text: &str) -> Result<String, SmtpUrlInvalid> {
    crate::percent::decoded(text)
        .ok_or(SmtpUrlInvalid("its user or password has control characters, or is percent-encoded wrongly"))
}

impl FromStr for SmtpUrl {
    type Err = SmtpUrlInvalid;

    fn from_str(text: &str) -> Result<Self, SmtpUrlInvalid> {
        Self::parse(text)
    }
}

impl fmt::Display for SmtpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.security == SmtpSecurity::Tls { "smtps" } else { "smtp" };
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        write!(f, "{scheme}://{host}:{}", self.port)
    }
}

impl fmt::Debug for SmtpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SmtpUrl({self}, {:?})", self.security)
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn every_part_is_read_and_decoded() {
        let url = SmtpUrl::parse("smtps://app%40x:p%40ss%2F@mail.Example.test:2465/?hello=app.example.test")
            .unwrap();
        assert_eq!((url.security(), url.host(), url.port()), (SmtpSecurity::Tls, "mail.example.test", 2_465));
        let (user, password) = url.credentials().unwrap();
        assert_eq!((user, password.expose_secret(), url.hello()), ("app@x", "p@ss/", "app.example.test"));
    }

    #[test]
    fn encryption_is_the_default_and_none_has_to_be_said() {
        let read = |text: &str| {
            let url = SmtpUrl::parse(text).unwrap();
            (url.security(), url.port(), url.is_loopback(), url.credentials().is_some())
        };
        assert_eq!(read("smtp://mail.test"), (SmtpSecurity::StartTls, 587, false, false));
        assert_eq!(read("smtps://mail.test"), (SmtpSecurity::Tls, 465, false, false));
        assert_eq!(read("smtp://a:b@127.0.0.1:25?tls=none"), (SmtpSecurity::None, 25, true, true));
        assert_eq!(read("smtp://[::1]:25?tls=none"), (SmtpSecurity::None, 25, true, false));
        assert_eq!(read("smtp://localhost?tls=none"), (SmtpSecurity::None, 587, true, false));
        assert_eq!(read("smtp://127.0.0.1.evil.test?tls=none"), (SmtpSecurity::None, 587, false, false));
    }

    // A24
    #[test]
    fn the_password_is_never_shown() {
        let url = SmtpUrl::parse("smtp://app:sesame@mail.test").unwrap();
        for shown in [format!("{url}"), format!("{url:?}"), format!("{url:#?}")] {
            assert!(shown.contains("smtp://mail.test:587") && !shown.contains("sesame"), "{shown}");
        }
        for wrong in [
            "sesame",
            "smtp:sesame",
            "http://a:sesame@h",
            "smtp://a:sesame@h:99999",
            "smtp://a:sesame@h:0",
            "smtps://a:sesame@h:0",
            "smtp://a:sesame@127.0.0.1:0?tls=none",
            "smtp://a:sesame@",
            "smtp://a:sesame@h/x",
            "smtp://a:ses#ame@h",
            "smtp://a:ses/ame@h",
            "smtp://a:sesame@h?x=1",
            "smtp://a:sesame@h?tls=opportunistic",
            "smtps://a:sesame@h?tls=none",
            "smtp://a:sesame@h?hello=a%0d%0aMAIL",
            "smtp://a:sesame%FF@h",
            "smtp://a:sesame%0d%0a@h",
            "smtp://:sesame@h",
            "smtp://sesame@h",
        ] {
            let error = SmtpUrl::parse(wrong).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("sesame"), "{error}");
        }
    }
}
