use std::{fmt, str::FromStr};

use lapin::uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo};
use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

/// Where a broker is and who we are to it: `amqp://user:password@host:5672/vhost`, or `amqps://` for TLS. The virtual host is
/// percent-encoded; without a path it is `/`. Without credentials they are RabbitMQ's own (`guest`), which it takes from the
/// loopback address only. The one parameter is `heartbeat`, in seconds (default 10, 1 to 600).
///
/// The password is in no message, log or `Debug` of ours.
#[derive(Clone)]
pub struct AmqpUrl {
    scheme: AMQPScheme,
    username: String,
    password: SecretString,
    host: String,
    port: u16,
    vhost: String,
    heartbeat: u16,
}

/// A text that is no address of a broker; says why without repeating it, since it may hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the address of the broker is not usable: {0}")]
pub struct AmqpUrlInvalid(&'static str);

/// A peer that is silent for two of these is taken for gone.
const HEARTBEAT: u16 = 10;

impl AmqpUrl {
    /// Reads it.
    ///
    /// # Errors
    /// [`AmqpUrlInvalid`] when it is none.
    pub fn parse(text: &str) -> Result<Self, AmqpUrlInvalid> {
        let url = Url::parse(text).map_err(|_| AmqpUrlInvalid("it is no URL"))?;
        if url.cannot_be_a_base() || !text.contains("://") {
            return Err(AmqpUrlInvalid("it is no URL with a host"));
        }
        if !matches!(url.scheme(), "amqp" | "amqps") {
            return Err(AmqpUrlInvalid("it begins with neither amqp:// nor amqps://"));
        }
        if text.chars().any(char::is_control) {
            return Err(AmqpUrlInvalid("it has control characters"));
        }
        if url.port() == Some(0) {
            return Err(AmqpUrlInvalid("its port is 0"));
        }
        if url.path().trim_start_matches('/').contains('/') {
            return Err(AmqpUrlInvalid("its virtual host has a / that is not percent-encoded"));
        }
        if url.fragment().is_some() {
            return Err(AmqpUrlInvalid("it has a fragment: is a # in the password percent-encoded?"));
        }
        let host = url.host_str().unwrap_or_default();
        if host.is_empty() {
            return Err(AmqpUrlInvalid("it names no host"));
        }
        // The client's own parser takes an IPv6 address for no host at all.
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let mut heartbeat = HEARTBEAT;
        for (name, value) in url.query_pairs() {
            if name != "heartbeat" {
                return Err(AmqpUrlInvalid("it has a parameter other than heartbeat"));
            }
            let seconds = value.parse().ok().filter(|seconds| (1..=600).contains(seconds));
            heartbeat = seconds.ok_or(AmqpUrlInvalid("its heartbeat is not 1 to 600 seconds"))?;
        }
        let AMQPUri { scheme, authority, vhost, .. } =
            text.parse().map_err(|_| AmqpUrlInvalid("its percent-encoding is wrong"))?;
        let AMQPUserInfo { username, password } = authority.userinfo;
        if username.len() > 255 || vhost.len() > 255 {
            return Err(AmqpUrlInvalid("its user or virtual host has more than 255 bytes"));
        }
        Ok(Self { scheme, username, password: password.into(), host, port: authority.port, vhost, heartbeat })
    }

    /// As the client takes it; with the password, so it goes to the client and nowhere else.
    pub(super) fn to_uri(&self) -> AMQPUri {
        let password = self.password.expose_secret().to_owned();
        AMQPUri {
            scheme: self.scheme.clone(),
            authority: AMQPAuthority {
                userinfo: AMQPUserInfo { username: self.username.clone(), password },
                host: self.host.clone(),
                port: self.port,
            },
            vhost: self.vhost.clone(),
            query: AMQPQueryString { heartbeat: Some(self.heartbeat), ..AMQPQueryString::default() },
        }
    }
}

impl FromStr for AmqpUrl {
    type Err = AmqpUrlInvalid;

    fn from_str(text: &str) -> Result<Self, AmqpUrlInvalid> {
        Self::parse(text)
    }
}

impl fmt::Display for AmqpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scheme, username, host, port, vhost, .. } = self;
        write!(f, "{scheme}://{username}@{host}:{port} (virtual host {vhost})")
    }
}

impl fmt::Debug for AmqpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AmqpUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> AMQPUri {
        AmqpUrl::parse(text).unwrap().to_uri()
    }

    #[test]
    fn every_part_is_read_and_decoded() {
        let uri = uri("amqps://app:p%40ss%2F@broker.example:5679/team%2Fa?heartbeat=30");
        assert_eq!(uri.scheme, AMQPScheme::AMQPS);
        assert_eq!(uri.authority.userinfo.password, "p@ss/");
        assert_eq!((uri.authority.host.as_str(), uri.authority.port), ("broker.example", 5_679));
        assert_eq!((uri.vhost.as_str(), uri.query.heartbeat), ("team/a", Some(30)));
    }

    #[test]
    fn what_is_left_out_is_as_rabbitmq_has_it() {
        let uri = uri("amqp://localhost");
        assert_eq!((uri.authority.port, uri.vhost.as_str()), (5_672, "/"));
        assert_eq!(uri.authority.userinfo.username, "guest");
        assert_eq!(self::uri("amqps://localhost").authority.port, 5_671);
        assert_eq!(uri.query.heartbeat, Some(HEARTBEAT));
    }

    #[test]
    fn an_ipv6_address_is_a_host() {
        let uri = uri("amqp://a:b@[::1]:5673/%2F");
        assert_eq!((uri.authority.host.as_str(), uri.authority.port), ("::1", 5_673));
    }

    // C-class promise of the crate: no secret in messages.
    #[test]
    fn the_password_is_never_shown() {
        let url = AmqpUrl::parse("amqp://app:sesame@localhost/%2F").unwrap();
        for shown in [format!("{url}"), format!("{url:?}"), format!("{url:#?}")] {
            assert!(shown.contains("app@localhost:5672") && !shown.contains("sesame"), "{shown}");
        }
        for wrong in [
            "amqp:sesame",
            "sesame",
            "http://a:sesame@h",
            "amqp://a:sesame@h:99999",
            "amqp://a:sesame@h:0",
            "amqp://a:sesame@h/a/b",
            "amqp://a:sesame\n@h",
            "amqp://a:sesame@h/?x=1",
            "amqp://a:sesame@h/?heartbeat=0",
            "amqp://a:ses#ame@h",
            "amqp://",
            "amqp://a:sesame%FF@h",
        ] {
            let error = AmqpUrl::parse(wrong).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("sesame"), "{error}");
        }
    }
}
