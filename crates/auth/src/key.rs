//! Signing keys: what a token is signed and checked with.
//!
//! 1. A key carries exactly one algorithm. A token's `alg` is only ever compared with it and never chooses anything
//!    (RFC 8725 §3.1), so a public key can not be taken for an HMAC secret.
//! 2. Keys are parsed and checked once, when they are made; a weak key is an error and not a warning.
//! 3. A [`KeySet`] is an immutable snapshot; [`Keys`] is the handle through which all parts of a process see the
//!    present one. Looking a key up is one map access: a `kid` never becomes a path, a query or an address.
//! 4. The key ring (feature `sql`) keeps generated keys in the database, sealed by the key-encryption key, so that any
//!    number of processes agree. Keys supplied by an operator stay in the configuration.
//! 5. A new key is published before it signs, and an old one verifies until the last token it signed is over; so nobody
//!    is signed out by a rotation. A key that was stolen is revoked instead, and its tokens stop at once.
//! 6. Only public halves are ever shown (RFC 7517); an HMAC key has none.

mod algorithm;
mod der;
mod edwards;
mod error;
mod jwk;
mod kid;
mod pem;
mod public;
#[cfg(feature = "sql")]
mod ring_store;
#[cfg(feature = "sql")]
mod rotation;
#[cfg(feature = "sql")]
mod secret;
#[cfg(feature = "sql")]
mod secrets;
mod set;
mod signing;

pub use algorithm::SigningAlgorithm;
pub use error::KeyError;
#[cfg(feature = "sql")]
pub(crate) use jwk::read_named as read_jwk;
pub(crate) use jwk::read_set;
pub use jwk::{Jwk, JwkSet};
pub use kid::Kid;
pub use public::VerifyingKey;
#[cfg(feature = "sql")]
pub use ring_store::{KeyInfo, KeyRing, KeyRingConfig, Rotation};
#[cfg(feature = "sql")]
pub use rotation::{KeyPhase, KeyTimes};
#[cfg(feature = "sql")]
pub(crate) use secret::PlatformSecret;
#[cfg(feature = "sql")]
pub(crate) use secrets::SealedSecrets;
pub use set::{KeySet, Keys};
pub use signing::SigningKey;

/// Fills `N` bytes from the system's source of randomness.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], KeyError> {
    use ring::rand::SecureRandom as _;

    let mut bytes = [0; N];
    ring::rand::SystemRandom::new().fill(&mut bytes).map_err(|_| KeyError::RandomnessUnavailable)?;
    Ok(bytes)
}
