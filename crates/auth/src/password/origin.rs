use std::net::IpAddr;

/// Who a hash is for, as far as fairness goes: an IPv4 address, the first 64 bits of an IPv6 one (they belong to one customer, RFC 6177
/// §2), or nobody in particular.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Origin {
    /// Commands, tests, work of the server itself.
    #[default]
    Unnamed,
    V4([u8; 4]),
    V6([u8; 8]),
}

impl From<Option<IpAddr>> for Origin {
    fn from(address: Option<IpAddr>) -> Self {
        match address.map(|address| address.to_canonical()) {
            None => Self::Unnamed,
            Some(IpAddr::V4(address)) => Self::V4(address.octets()),
            Some(IpAddr::V6(address)) => {
                let [a, b, c, d, e, f, g, h, ..] = address.octets();
                Self::V6([a, b, c, d, e, f, g, h])
            }
        }
    }
}
