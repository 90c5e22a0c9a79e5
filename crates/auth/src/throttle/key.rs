use std::{fmt, net::IpAddr};

use stylobate_core::{PersonId, SessionId};

/// The account somebody tries to sign in to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AccountKey {
    /// A person, under all names.
    Person(PersonId),
    /// A name that nobody has, as its keyed digest.
    Nobody([u8; 32]),
}

impl AccountKey {
    /// The person's id or the digest. The lengths differ, so one is never the other.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Person(id) => id.as_uuid().as_bytes().to_vec(),
            Self::Nobody(digest) => digest.to_vec(),
        }
    }

    /// Whether it is a person's.
    #[must_use]
    pub fn person(&self) -> Option<PersonId> {
        match self {
            Self::Person(id) => Some(*id),
            Self::Nobody(_) => None,
        }
    }
}

impl fmt::Debug for AccountKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Person(id) => write!(f, "Person({id})"),
            Self::Nobody(_) => f.write_str("Nobody"),
        }
    }
}

/// Where a try comes from, as it is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AddressKey {
    /// It is not known; all such clients are one, and there is no counter of addresses for them.
    Unknown,
    /// An IPv4 address, also one that is written as IPv6.
    V4([u8; 4]),
    /// The first 64 bits of an IPv6 address: those belong to one customer (RFC 6177 §2).
    V6Network([u8; 8]),
}

impl AddressKey {
    /// How a client's address is counted.
    #[must_use]
    pub fn new(address: Option<IpAddr>) -> Self {
        match address.map(|address| address.to_canonical()) {
            None => Self::Unknown,
            Some(IpAddr::V4(address)) => Self::V4(address.octets()),
            Some(IpAddr::V6(address)) => {
                let [a, b, c, d, e, f, g, h, ..] = address.octets();
                Self::V6Network([a, b, c, d, e, f, g, h])
            }
        }
    }

    /// The bytes it is compared by; none when it is not known.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Unknown => &[],
            Self::V4(octets) => octets,
            Self::V6Network(octets) => octets,
        }
    }
}

/// Tells one known device from another.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceId([u8; 16]);

impl DeviceId {
    /// The device with this number.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Whoever holds a live session of the account: a known device without a cookie.
    #[must_use]
    pub fn of_session(session: SessionId) -> Self {
        Self(*session.as_uuid().as_bytes())
    }

    /// Its number.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DeviceId([redacted])")
    }
}

/// What a counter counts, in the order in which stores lock them: two tries never wait for each other in a circle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CounterKind {
    /// Failures of one known device.
    Device,
    /// Failures of all known devices of an account.
    Devices,
    /// Failures of all strangers on an account.
    Account,
    /// Failures of one client on an account.
    Pair,
    /// Failures of one client on all accounts.
    Address,
}

impl CounterKind {
    /// All of them, in order.
    pub const ALL: [Self; 5] = [Self::Device, Self::Devices, Self::Account, Self::Pair, Self::Address];

    /// The word for it in rows.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Device => "device",
            Self::Devices => "devices",
            Self::Account => "account",
            Self::Pair => "pair",
            Self::Address => "address",
        }
    }

    /// The kind of a word in a row.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// Names one counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CounterKey {
    /// A known device of an account.
    Device(AccountKey, DeviceId),
    /// All known devices of an account.
    Devices(AccountKey),
    /// All strangers on an account.
    Account(AccountKey),
    /// A client on an account.
    Pair(AccountKey, AddressKey),
    /// A client on all accounts.
    Address(AddressKey),
}

impl CounterKey {
    /// What it counts.
    #[must_use]
    pub fn kind(&self) -> CounterKind {
        match self {
            Self::Device(..) => CounterKind::Device,
            Self::Devices(_) => CounterKind::Devices,
            Self::Account(_) => CounterKind::Account,
            Self::Pair(..) => CounterKind::Pair,
            Self::Address(_) => CounterKind::Address,
        }
    }

    /// The account it belongs to; none for addresses.
    #[must_use]
    pub fn account(&self) -> Option<&AccountKey> {
        match self {
            Self::Device(account, _) | Self::Devices(account) | Self::Account(account) => Some(account),
            Self::Pair(account, _) => Some(account),
            Self::Address(_) => None,
        }
    }

    /// What tells it from others of its kind and account: the device or the address; empty for the others.
    #[must_use]
    pub fn part(&self) -> &[u8] {
        match self {
            Self::Device(_, device) => device.as_bytes(),
            Self::Devices(_) | Self::Account(_) => &[],
            Self::Pair(_, address) | Self::Address(address) => address.as_bytes(),
        }
    }
}

/// One try to sign in: what it is counted against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoginTry {
    /// The account.
    pub account: AccountKey,
    /// The client.
    pub address: AddressKey,
    /// The device, when it has proved to be a known one of this account.
    pub device: Option<DeviceId>,
}

impl LoginTry {
    /// The counter of a kind that it is about.
    #[must_use]
    pub fn key(&self, kind: CounterKind) -> Option<CounterKey> {
        match kind {
            CounterKind::Device => Some(CounterKey::Device(self.account, self.device?)),
            CounterKind::Devices => Some(CounterKey::Devices(self.account)),
            CounterKind::Account => Some(CounterKey::Account(self.account)),
            CounterKind::Pair => Some(CounterKey::Pair(self.account, self.address)),
            CounterKind::Address => {
                (self.address != AddressKey::Unknown).then_some(CounterKey::Address(self.address))
            }
        }
    }

    /// Everything it is about, in order.
    #[must_use]
    pub fn keys(&self) -> Vec<CounterKey> {
        CounterKind::ALL.into_iter().filter_map(|kind| self.key(kind)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_network_of_64_bits_is_one_client() {
        let key = |text: &str| AddressKey::new(Some(text.parse().unwrap()));
        assert_eq!(key("2001:db8::1"), key("2001:db8::ffff:1"));
        assert_ne!(key("2001:db8::1"), key("2001:db8:0:1::1"));
        assert_eq!(key("::ffff:192.0.2.1"), key("192.0.2.1"));
        assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
    }

    #[test]
    fn the_order_of_keys_is_that_of_kinds() {
        let account = AccountKey::Nobody([0; 32]);
        let address = AddressKey::V4([192, 0, 2, 1]);
        let login = LoginTry { account, address, device: Some(DeviceId::from_bytes([1; 16])) };
        let keys = login.keys();
        assert!(keys.is_sorted());
        assert_eq!(keys.iter().map(CounterKey::kind).collect::<Vec<_>>(), CounterKind::ALL);
        let unknown = LoginTry { address: AddressKey::Unknown, device: None, ..login };
        assert_eq!(unknown.keys().len(), 3);
    }
}
