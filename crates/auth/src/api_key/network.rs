use std::{fmt, net::IpAddr, str::FromStr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Serialize, Serializer};

/// The networks from which a key is accepted; at most [`COUNT_MAX`](Self::COUNT_MAX).
///
/// An IPv4 address inside an IPv6 one (`::ffff:192.0.2.7`, RFC 4291 §2.5.5.2) is the IPv4 address, in networks as in callers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowedNetworks(Vec<IpNet>);

/// A text that is no network in CIDR notation (RFC 4632 §3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is no network in CIDR notation")]
pub struct NetworkInvalid;

impl AllowedNetworks {
    /// How many networks a key may have.
    pub const COUNT_MAX: usize = 50;

    /// Reads networks (`192.0.2.0/24`) and addresses (`2001:db8::7`, which is a network of one). Bits beyond the prefix are
    /// dropped.
    ///
    /// # Errors
    /// [`NetworkInvalid`] for the first that is neither.
    pub fn parse<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> Result<Self, NetworkInvalid> {
        texts.into_iter().map(|text| network(text.as_ref())).collect::<Result<_, _>>().map(Self)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none, so that no address is in one.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `address` is in one of them.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// Whether every address in these networks is in one of `others`.
    pub(super) fn is_within(&self, others: &Self) -> bool {
        let has = |network: &IpNet| others.0.iter().any(|other| other.contains(network));
        self.0.iter().all(has)
    }
}

fn network(text: &str) -> Result<IpNet, NetworkInvalid> {
    let network = match IpAddr::from_str(text) {
        Ok(address) => IpNet::from(address),
        Err(_) => text.parse().map_err(|_| NetworkInvalid)?,
    };
    Ok(match network {
        IpNet::V6(network) => mapped(network).map_or(IpNet::V6(network), IpNet::V4),
        v4 @ IpNet::V4(_) => v4,
    }
    .trunc())
}

/// The IPv4 network that an IPv6 one of mapped addresses is.
fn mapped(network: Ipv6Net) -> Option<Ipv4Net> {
    let prefix = network.prefix_len().checked_sub(96)?;
    Ipv4Net::new(network.addr().to_ipv4_mapped()?, prefix).ok()
}

/// Separated by blanks, as it is stored.
impl fmt::Display for AllowedNetworks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, network) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { " " };
            write!(f, "{separator}{network}")?;
        }
        Ok(())
    }
}

impl Serialize for AllowedNetworks {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(IpNet::to_string))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contains(networks: &[&str], address: &str) -> bool {
        AllowedNetworks::parse(networks).unwrap().contains(address.parse().unwrap())
    }

    #[test]
    fn addresses_are_in_their_networks_alone() {
        for (network, inside, outside) in [
            ("192.0.2.0/24", "192.0.2.255", "192.0.3.0"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.8"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::1"),
            ("2001:db8::7", "2001:db8::7", "2001:db8::8"),
            ("0.0.0.0/0", "203.0.113.1", "2001:db8::1"),
            ("::/0", "2001:db8::1", "203.0.113.1"),
        ] {
            assert!(contains(&[network], inside), "{inside} in {network}");
            assert!(!contains(&[network], outside), "{outside} in {network}");
        }
        assert!(contains(&["198.51.100.0/24", "192.0.2.0/24"], "192.0.2.1"));
        assert!(!contains(&[], "192.0.2.1"));
    }

    #[test]
    fn networks_are_within_those_that_have_all_of_them() {
        let of = |texts: &[&str]| AllowedNetworks::parse(texts).unwrap();
        for (inner, outer, is_within) in [
            (&["192.0.2.0/24"][..], &["192.0.2.0/24"][..], true),
            (&["192.0.2.7", "192.0.2.64/26"], &["2001:db8::/32", "192.0.2.0/24"], true),
            (&["192.0.2.0/23"], &["192.0.2.0/24"], false),
            (&["192.0.2.7", "198.51.100.7"], &["192.0.2.0/24"], false),
            (&["192.0.2.7"], &["::/0"], false),
        ] {
            assert_eq!(of(inner).is_within(&of(outer)), is_within, "{inner:?} in {outer:?}");
        }
    }

    #[test]
    fn a_mapped_address_is_the_ipv4_address() {
        assert!(contains(&["192.0.2.0/24"], "::ffff:192.0.2.7"));
        assert!(contains(&["::ffff:192.0.2.0/120"], "192.0.2.7"));
        assert!(contains(&["::ffff:192.0.2.7"], "192.0.2.7"));
        assert!(!contains(&["::ffff:192.0.2.0/120"], "192.0.3.7"));
        // ::ffff:0:0/96 is all of IPv4; no wider network of IPv6 has any of it.
        assert!(contains(&["::ffff:0:0/96"], "203.0.113.1"));
        assert!(!contains(&["::/64"], "::ffff:192.0.2.7"));
    }

    #[test]
    fn what_is_stored_is_read_again() {
        let networks = AllowedNetworks::parse(["192.0.2.77/24", "2001:db8::1"]).unwrap();
        assert_eq!(networks.to_string(), "192.0.2.0/24 2001:db8::1/128");
        assert_eq!(AllowedNetworks::parse(networks.to_string().split_whitespace()), Ok(networks));
        for text in
            ["", "192.0.2.0/33", "192.0.2/24", "192.0.2.0/-1", "example.org", " 192.0.2.1", "192.0.2.0/24/8"]
        {
            assert_eq!(AllowedNetworks::parse([text]), Err(NetworkInvalid), "{text}");
        }
    }
}
