use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// Which addresses may be connected to: those of the public internet, and those that an operator allows beside them.
///
/// 1. IPv4: everything but the blocks that the IANA registry of special-purpose addresses (RFC 6890) calls not globally reachable,
///    multicast, the reserved rest, the relays of 6to4, and the one public address at which a cloud keeps its metadata.
/// 2. IPv6: `2000::/3` without documentation, 6to4 (RFC 3056) and the protocol assignments in `2001::/23`, Teredo (RFC 4380) among
///    them. So link-local, unique-local, site-local, multicast, and IPv4 that is mapped or compatible, are all out.
/// 3. `64:ff9b::/96`, by which networks without IPv4 reach it (RFC 6052), is as good as the IPv4 address in it.
/// 4. An allowed network lifts this for the addresses in it, as they are written: `127.0.0.0/8` says nothing about
///    `::ffff:127.0.0.1`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AddressPolicy {
    allowed: Vec<IpNet>,
    allows_http: bool,
}

/// An address that must not be connected to. What kind of address it is stays out of the message: those who may name a host
/// are not told what it resolves to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the address is not one of the public internet")]
pub struct Forbidden {
    kind: &'static str,
}

impl Forbidden {
    /// What kind of address it is, for the operator's log: `loopback`, `private` …
    #[must_use]
    pub fn kind(&self) -> &'static str {
        self.kind
    }
}

impl AddressPolicy {
    /// The public internet over `https`, and nothing else.
    #[must_use]
    pub fn public() -> Self {
        Self::default()
    }

    /// Allows the addresses of `networks` too, whatever they are: for receivers inside, and for tests.
    #[must_use]
    pub fn allow(mut self, networks: impl IntoIterator<Item = IpNet>) -> Self {
        self.allowed.extend(networks);
        self
    }

    /// Allows plain `http` too. Whoever is on the way can then read and change what is said.
    #[must_use]
    pub fn insecure_allow_http(mut self) -> Self {
        self.allows_http = true;
        self
    }

    /// Whether plain `http` is allowed.
    #[must_use]
    pub fn allows_http(&self) -> bool {
        self.allows_http
    }

    /// Decides about one address.
    ///
    /// # Errors
    /// [`Forbidden`].
    pub fn check(&self, address: IpAddr) -> Result<(), Forbidden> {
        if self.allowed.iter().any(|network| network.contains(&address)) {
            return Ok(());
        }
        let kind = match address {
            IpAddr::V4(address) => special_v4(address),
            IpAddr::V6(address) => special_v6(address),
        };
        kind.map_or(Ok(()), |kind| Err(Forbidden { kind }))
    }
}

/// Blocks of IPv4 that are not the public internet: their first address, the length of their prefix, and what they are.
const SPECIAL_V4: [([u8; 4], u32, &str); 17] = [
    ([0, 0, 0, 0], 8, "unspecified"),
    ([10, 0, 0, 0], 8, "private"),
    ([100, 64, 0, 0], 10, "shared"),
    ([127, 0, 0, 0], 8, "loopback"),
    // Also where clouds keep their metadata: 169.254.169.254, 169.254.170.2.
    ([169, 254, 0, 0], 16, "link-local"),
    ([172, 16, 0, 0], 12, "private"),
    ([192, 0, 0, 0], 24, "protocol"),
    ([192, 0, 2, 0], 24, "documentation"),
    // Relays of 6to4 (RFC 7526).
    ([192, 88, 99, 0], 24, "relay"),
    ([192, 168, 0, 0], 16, "private"),
    ([198, 18, 0, 0], 15, "benchmarking"),
    ([198, 51, 100, 0], 24, "documentation"),
    ([203, 0, 113, 0], 24, "documentation"),
    ([224, 0, 0, 0], 4, "multicast"),
    ([255, 255, 255, 255], 32, "broadcast"),
    ([240, 0, 0, 0], 4, "reserved"),
    // A public address that answers guests of one cloud with their secrets.
    ([168, 63, 129, 16], 32, "metadata"),
];

fn special_v4(address: Ipv4Addr) -> Option<&'static str> {
    let within = |first: [u8; 4], prefix: u32| {
        (address.to_bits() ^ Ipv4Addr::from(first).to_bits()).checked_shr(32 - prefix) == Some(0)
    };
    SPECIAL_V4.iter().find(|(first, prefix, _)| within(*first, *prefix)).map(|(.., kind)| *kind)
}

fn special_v6(address: Ipv6Addr) -> Option<&'static str> {
    if let [0x64, 0xff9b, 0, 0, 0, 0, ..] = address.segments() {
        let [.., a, b, c, d] = address.octets();
        return special_v4(Ipv4Addr::new(a, b, c, d));
    }
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => Some("unspecified"),
        [0, 0, 0, 0, 0, 0, 0, 1] => Some("loopback"),
        [0, 0, 0, 0, 0, 0xffff, ..] => Some("mapped"),
        // Teredo among them.
        [0x2001, 0..=0x1ff, ..] => Some("protocol"),
        [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => Some("documentation"),
        [0x2002, ..] => Some("6to4"),
        [0x2000..=0x3fff, ..] => None,
        [0xfc00..=0xfdff, ..] => Some("unique-local"),
        [0xfe80..=0xfebf, ..] => Some("link-local"),
        [0xff00..=0xffff, ..] => Some("multicast"),
        _ => Some("not global"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn is_public(text: &str) -> bool {
        AddressPolicy::public().check(text.parse().unwrap()).is_ok()
    }

    /// Every way in which an IPv4 address is written into an IPv6 one.
    fn carriers(v4: Ipv4Addr) -> [Ipv6Addr; 5] {
        let bits = u128::from(v4.to_bits());
        let prefixed =
            |prefix: &str| Ipv6Addr::from_bits(prefix.parse::<Ipv6Addr>().unwrap().to_bits() | bits);
        let sixth = Ipv6Addr::from_bits((0x2002 << 112) | (bits << 80) | 1);
        // Teredo has the client's address with its bits turned (RFC 4380 §4).
        let teredo = Ipv6Addr::from_bits((0x2001_0000 << 96) | (bits ^ 0xffff_ffff));
        [prefixed("::ffff:0:0"), prefixed("::"), prefixed("64:ff9b::"), sixth, teredo]
    }

    proptest! {
        // C37
        #[test]
        fn what_the_standard_library_calls_special_is_forbidden(bits: u32) {
            let v4 = Ipv4Addr::from_bits(bits);
            let special = v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_multicast()
                || v4.is_broadcast() || v4.is_documentation() || v4.is_unspecified();
            prop_assert!(!special || AddressPolicy::public().check(v4.into()).is_err(), "{v4}");
        }

        #[test]
        fn an_ipv4_address_carried_by_an_ipv6_one_is_never_better(bits: u32) {
            let v4 = Ipv4Addr::from_bits(bits);
            let policy = AddressPolicy::public();
            for v6 in carriers(v4) {
                let passes = policy.check(v6.into()).is_ok();
                prop_assert!(!passes || policy.check(v4.into()).is_ok(), "{v6} of {v4}");
            }
        }

        #[test]
        fn special_addresses_are_forbidden_however_they_are_carried(which in 0..SPECIAL_V4.len(), host: u32) {
            let (first, prefix, _) = SPECIAL_V4[which];
            let mask = u32::MAX.checked_shr(prefix).unwrap_or(0);
            let v4 = Ipv4Addr::from_bits(Ipv4Addr::from(first).to_bits() | (host & mask));
            prop_assert!(AddressPolicy::public().check(v4.into()).is_err(), "{v4}");
            for v6 in carriers(v4) {
                prop_assert!(AddressPolicy::public().check(v6.into()).is_err(), "{v6} of {v4}");
            }
        }

        #[test]
        fn nothing_passes_outside_global_unicast(bits: u128) {
            let v6 = Ipv6Addr::from_bits(bits);
            let is_global = bits >> 125 == 1 || bits >> 32 == 0x64_ff9b << 64;
            prop_assert!(is_global || AddressPolicy::public().check(v6.into()).is_err(), "{v6}");
        }

        #[test]
        fn an_allowed_network_lifts_it_for_itself_alone(bits: u32) {
            let v4 = Ipv4Addr::from_bits(bits);
            let policy = AddressPolicy::public().allow(["10.0.0.0/8".parse().unwrap()]);
            let expected = v4.octets()[0] == 10 || AddressPolicy::public().check(v4.into()).is_ok();
            prop_assert_eq!(policy.check(v4.into()).is_ok(), expected);
        }
    }

    #[test]
    fn the_public_internet_is_allowed() {
        for text in [
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.167.255.255",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2606:4700:4700::1111",
            "2a00:1450:4001::1",
            "2001:200::1",
            "2003::1",
            "2620:fe::fe",
            "64:ff9b::8.8.8.8",
        ] {
            assert!(is_public(text), "{text}");
        }
    }

    #[test]
    fn everything_else_is_not() {
        for text in [
            "0.0.0.0",
            "0.255.255.255",
            "10.0.0.1",
            "100.64.0.0",
            "100.127.255.255",
            "100.100.100.200",
            "127.0.0.1",
            "127.255.255.255",
            "168.63.129.16",
            "169.254.169.254",
            "169.254.170.2",
            "172.16.0.0",
            "172.31.255.255",
            "192.0.0.192",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.0.1",
            "198.18.0.0",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::2",
            "::127.0.0.1",
            "::8.8.8.8",
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "::ffff:0:127.0.0.1",
            "100::1",
            "64:ff9b::127.0.0.1",
            "64:ff9b::10.0.0.1",
            "64:ff9b:1::8.8.8.8",
            "64:ff9b:1:a9fe:a9:fe00::",
            "2001::1",
            "2001:0:a00:1::",
            "2001:2::1",
            "2001:10::1",
            "2001:20::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "2002:a9fe:a9fe::1",
            "2002:808:808::1",
            "3fff::1",
            "3fff:fff::1",
            "4000::1",
            "5f00::1",
            "fc00::1",
            "fd00:ec2::254",
            "fd20:ce::254",
            "fe80::1",
            "fe80::a9fe:a9fe",
            "fec0::1",
            "ff02::1",
            "ffff::1",
        ] {
            assert!(!is_public(text), "{text}");
        }
    }

    #[test]
    fn the_message_does_not_say_what_the_address_is() {
        let refused = AddressPolicy::public().check(IpAddr::V4(Ipv4Addr::LOCALHOST)).unwrap_err();
        assert_eq!((refused.kind(), refused.to_string().contains("loopback")), ("loopback", false));
    }
}
