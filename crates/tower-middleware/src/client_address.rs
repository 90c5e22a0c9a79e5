use std::net::IpAddr;

use http::{HeaderMap, HeaderName, header};
use ipnet::IpNet;

use crate::Error;

mod forwarded;

/// Whether the client speaks TLS, to us or to a trusted proxy before us.
///
/// A server that terminates TLS itself puts `Scheme::Https` into the extensions of each request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// In clear.
    #[default]
    Http,
    /// Over TLS.
    Https,
}

/// Which header trusted proxies write. Only that one is read: a proxy that writes one passes the other through as the
/// client sent it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ForwardingHeader {
    /// `X-Forwarded-For`, with `X-Forwarded-Proto` for the scheme. The default: what most proxies write.
    #[default]
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

/// The client behind the proxies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientAddress {
    /// Its address; `None` when the connection has none (a Unix socket, a call within the process).
    pub ip: Option<IpAddr>,
    /// Whether it speaks TLS.
    pub scheme: Scheme,
    /// Whether the direct peer is a trusted proxy, so that its other headers count as well.
    pub via_proxy: bool,
}

/// Whom to believe about addresses: nobody, unless told.
///
/// 1. A peer outside the trusted networks *is* the client; its forwarding headers are ignored.
/// 2. Behind a trusted peer, all lines of the forwarding header are joined and read from the right: the first address that
///    is not a trusted proxy is the client. What stands left of it the client may have written itself.
/// 3. Something that is no address ends the walk at the proxy that passed it on.
/// 4. The host is never taken from forwarding headers; links come from configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies {
    networks: Vec<IpNet>,
    everybody: bool,
    hops_max: Option<usize>,
    header: ForwardingHeader,
}

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Networks wider than these are no proxies but everybody. `10.0.0.0/8` and the unique local addresses `fc00::/7` (RFC
/// 4193) are the widest that people own.
const PREFIX_BITS_MIN: (u8, u8) = (8, 7);

impl TrustedProxies {
    /// Trusts nobody: the default.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Trusts addresses and networks such as `10.0.0.7`, `192.168.0.0/16` or `fd00::/8`.
    ///
    /// # Errors
    /// [`Error::ProxyInvalid`] for anything else (names are not looked up), [`Error::ProxyWildcard`] for `*` and for
    /// networks so wide that they name nobody in particular.
    pub fn parse<'a>(entries: impl IntoIterator<Item = &'a str>) -> Result<Self, Error> {
        let networks = entries.into_iter().map(str::trim).filter(|entry| !entry.is_empty()).map(network);
        Ok(Self { networks: networks.collect::<Result<_, _>>()?, ..Self::default() })
    }

    /// Trusts whoever connects. Then every client may claim any address; right only where nobody but the proxy can
    /// reach the port.
    #[must_use]
    pub fn dangerous_trust_all() -> Self {
        Self { everybody: true, ..Self::default() }
    }

    /// Believes at most `hops` forwarded addresses, however many networks are trusted; 0 sets no cap. Useful when clients
    /// live in the same networks as proxies.
    #[must_use]
    pub fn with_hops_max(mut self, hops: usize) -> Self {
        self.hops_max = (hops > 0).then_some(hops);
        self
    }

    /// Chooses the header. Default: `X-Forwarded-For`.
    #[must_use]
    pub fn with_header(mut self, header: ForwardingHeader) -> Self {
        self.header = header;
        self
    }

    /// Whether `ip` is a trusted proxy.
    #[must_use]
    pub fn is_trusted(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.everybody || self.networks.iter().any(|network| network.contains(&ip))
    }

    /// Whether nobody is trusted.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.networks.is_empty() && !self.everybody
    }

    /// Finds the client behind `peer`, whose connection is `scheme`.
    #[must_use]
    pub fn client(&self, peer: Option<IpAddr>, scheme: Scheme, headers: &HeaderMap) -> ClientAddress {
        let Some(peer) = peer.map(|ip| ip.to_canonical()) else {
            return ClientAddress { ip: None, scheme, via_proxy: false };
        };
        if self.is_none() || !self.is_trusted(peer) {
            return ClientAddress { ip: Some(peer), scheme, via_proxy: false };
        }
        let (ip, told) = match self.header {
            ForwardingHeader::XForwardedFor => (self.by_x_forwarded_for(peer, headers), proto(headers)),
            ForwardingHeader::Forwarded => self.by_forwarded(peer, headers),
        };
        ClientAddress { ip: Some(ip), scheme: told.unwrap_or(scheme), via_proxy: true }
    }

    fn by_x_forwarded_for(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let lines = headers.get_all(X_FORWARDED_FOR).iter().rev();
        let hops = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
        let addresses = hops.map(|hop| std::str::from_utf8(hop).ok().and_then(address));
        self.walk(peer, addresses.map(|ip| (ip, ()))).0
    }

    fn by_forwarded(&self, peer: IpAddr, headers: &HeaderMap) -> (IpAddr, Option<Scheme>) {
        let lines = headers.get_all(header::FORWARDED).iter();
        let Some(mut elements) = forwarded::parse(lines) else { return (peer, None) };
        elements.reverse();
        let (ip, told) =
            self.walk(peer, elements.into_iter().map(|element| (element.client, element.scheme)));
        (ip, told.flatten())
    }

    /// Goes from the peer towards the client, over `hops` from right to left.
    fn walk<T>(&self, peer: IpAddr, hops: impl Iterator<Item = (Option<IpAddr>, T)>) -> (IpAddr, Option<T>) {
        let mut reached = (peer, None);
        for (ip, told) in hops.take(self.hops_max.unwrap_or(usize::MAX)) {
            let Some(ip) = ip else { break };
            reached = (ip, Some(told));
            if !self.is_trusted(ip) {
                break;
            }
        }
        reached
    }
}

fn network(entry: &str) -> Result<IpNet, Error> {
    let wildcard = || Error::ProxyWildcard { entry: entry.to_owned() };
    if entry == "*" {
        return Err(wildcard());
    }
    if let Ok(ip) = entry.parse::<IpAddr>() {
        let ip = ip.to_canonical();
        return if ip.is_unspecified() { Err(wildcard()) } else { Ok(ip.into()) };
    }
    let network: IpNet = entry.parse().map_err(|_| Error::ProxyInvalid { entry: entry.to_owned() })?;
    let narrow = match network {
        IpNet::V4(v4) => v4.prefix_len() >= PREFIX_BITS_MIN.0,
        IpNet::V6(v6) => v6.prefix_len() >= PREFIX_BITS_MIN.1,
    };
    if narrow { Ok(network.trunc()) } else { Err(wildcard()) }
}

/// `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`, surrounded by blanks at most.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim_matches([' ', '\t']);
    let ip = match text.strip_prefix('[') {
        Some(rest) => {
            let (ip, port) = rest.split_once(']')?;
            let ip = ip.parse::<std::net::Ipv6Addr>().ok()?;
            (port.is_empty() || port.strip_prefix(':').is_some_and(is_port)).then_some(IpAddr::V6(ip))
        }
        None => text.parse().ok().or_else(|| {
            let (ip, port) = text.split_once(':')?;
            let ip = ip.parse::<std::net::Ipv4Addr>().ok()?;
            is_port(port).then_some(IpAddr::V4(ip))
        }),
    }?;
    // 0.0.0.0 is nobody's address; taking it would let every client that claims it look like one.
    let ip = ip.to_canonical();
    (!ip.is_unspecified()).then_some(ip)
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok()
}

/// The scheme as the nearest proxy tells it: the last value of the last line.
fn proto(headers: &HeaderMap) -> Option<Scheme> {
    let line = headers.get_all(X_FORWARDED_PROTO).iter().next_back()?.to_str().ok()?;
    scheme_named(line.rsplit(',').next()?.trim())
}

fn scheme_named(text: &str) -> Option<Scheme> {
    if text.eq_ignore_ascii_case("https") {
        Some(Scheme::Https)
    } else if text.eq_ignore_ascii_case("http") {
        Some(Scheme::Http)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn headers(lines: &[(HeaderName, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(name.clone(), value.parse().unwrap());
        }
        headers
    }

    fn seen(proxies: &TrustedProxies, peer: &str, lines: &[(HeaderName, &str)]) -> (IpAddr, Scheme) {
        let client = proxies.client(Some(ip(peer)), Scheme::Http, &headers(lines));
        (client.ip.unwrap(), client.scheme)
    }

    fn inner() -> TrustedProxies {
        TrustedProxies::parse(["10.0.0.0/8", "fd00::/8"]).unwrap()
    }

    #[test]
    fn nobody_is_believed_by_default() {
        let lines = [(X_FORWARDED_FOR, "192.0.2.1"), (X_FORWARDED_PROTO, "https")];
        assert_eq!(seen(&TrustedProxies::none(), "10.0.0.1", &lines), (ip("10.0.0.1"), Scheme::Http)); // A19, C24
    }

    #[test]
    fn a_peer_outside_the_networks_is_the_client() {
        let lines = [(X_FORWARDED_FOR, "192.0.2.1"), (X_FORWARDED_PROTO, "https")];
        assert_eq!(seen(&inner(), "203.0.113.9", &lines), (ip("203.0.113.9"), Scheme::Http));
    }

    #[test]
    fn the_rightmost_untrusted_address_of_all_lines_is_the_client() {
        let lines = [
            (X_FORWARDED_FOR, "127.0.0.1, 198.51.100.66"),
            (X_FORWARDED_FOR, "192.0.2.1"),
            (X_FORWARDED_FOR, "10.1.1.1 ,\t[fd00::7]:443"),
            (X_FORWARDED_PROTO, "http, https"),
        ];
        assert_eq!(seen(&inner(), "10.0.0.1", &lines), (ip("192.0.2.1"), Scheme::Https));
        assert_eq!(seen(&inner(), "::ffff:10.0.0.1", &lines), (ip("192.0.2.1"), Scheme::Https));
    }

    #[test]
    fn what_is_no_address_ends_the_walk_at_the_proxy_that_passed_it_on() {
        for bad in [
            "unknown",
            "",
            "_hidden",
            "1.2.3",
            "010.0.0.1",
            "1.2.3.4:x",
            "[::1",
            "localhost",
            "0.0.0.0",
            "fe80::1%eth0",
        ] {
            let line = format!("192.0.2.1, {bad}, 10.1.1.1");
            assert_eq!(seen(&inner(), "10.0.0.1", &[(X_FORWARDED_FOR, &line)]).0, ip("10.1.1.1"), "{bad}");
        }
    }

    #[test]
    fn a_chain_of_nothing_but_proxies_ends_at_its_far_end() {
        assert_eq!(seen(&inner(), "10.0.0.1", &[(X_FORWARDED_FOR, "10.2.2.2, 10.1.1.1")]).0, ip("10.2.2.2"));
    }

    #[test]
    fn hops_are_capped() {
        let lines = [(X_FORWARDED_FOR, "192.0.2.1, 10.2.2.2, 10.1.1.1")];
        assert_eq!(seen(&inner().with_hops_max(1), "10.0.0.1", &lines).0, ip("10.1.1.1"));
        assert_eq!(seen(&inner().with_hops_max(0), "10.0.0.1", &lines).0, ip("192.0.2.1"));
    }

    #[test]
    fn forwarded_is_read_only_when_chosen_and_then_alone() {
        let lines = [
            (
                header::FORWARDED,
                r#"for=198.51.100.1;proto=http, for="[2001:db8::5]:1";proto=https;host=evil"#,
            ),
            (header::FORWARDED, "for=10.9.9.9;proto=http"),
            (X_FORWARDED_FOR, "192.0.2.1"),
        ];
        assert_eq!(seen(&inner(), "10.0.0.1", &lines).0, ip("192.0.2.1"));
        let chosen = inner().with_header(ForwardingHeader::Forwarded);
        assert_eq!(seen(&chosen, "10.0.0.1", &lines), (ip("2001:db8::5"), Scheme::Https));
        assert_eq!(seen(&chosen, "10.0.0.1", &[(header::FORWARDED, "for=\"")]).0, ip("10.0.0.1"));
    }

    #[test]
    fn everybody_must_be_trusted_out_loud() {
        for entry in
            ["*", "0.0.0.0/0", "::/0", "0.0.0.0", "::", "128.0.0.0/1", "::/1", "0.0.0.0/7", "::ffff:0.0.0.0"]
        {
            let entry = TrustedProxies::parse([entry]).unwrap_err();
            assert_eq!(entry.code(), "proxy_wildcard", "{entry}"); // A19
        }
        let all = TrustedProxies::dangerous_trust_all();
        assert_eq!(seen(&all, "203.0.113.9", &[(X_FORWARDED_FOR, "192.0.2.1")]).0, ip("192.0.2.1"));
    }

    #[test]
    fn entries_that_are_no_networks_are_refused() {
        for entry in ["proxy.local", "10.0.0.0/33", "10.0.0", "10.0.0.0/8,::1", "1.2.3.4:80"] {
            assert_eq!(TrustedProxies::parse([entry]).unwrap_err().code(), "proxy_invalid", "{entry}");
        }
        assert!(TrustedProxies::parse(["", "  "]).unwrap().is_none());
        assert!(TrustedProxies::parse(["10.0.0.1/8"]).unwrap().is_trusted(ip("10.255.0.1")));
    }

    #[test]
    fn a_connection_without_an_address_has_none() {
        let lines = headers(&[(X_FORWARDED_FOR, "192.0.2.1")]);
        let client = TrustedProxies::dangerous_trust_all().client(None, Scheme::Https, &lines);
        assert_eq!(client, ClientAddress { ip: None, scheme: Scheme::Https, via_proxy: false });
    }
}
