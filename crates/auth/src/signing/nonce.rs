//! Nonces: what keeps a signature from being used twice.

use std::{fmt, sync::Arc};

use chrono::{DateTime, Utc};
use ring::digest;
use stylobate_core::BoxFuture;

#[cfg(feature = "conformance")]
mod conformance;
mod memory;
#[cfg(feature = "redis")]
mod redis;
#[cfg(feature = "sql")]
mod sql;

#[cfg(feature = "conformance")]
pub use conformance::nonce_conformance;
pub use memory::MemoryNonces;
#[cfg(feature = "redis")]
pub use redis::RedisNonces;
#[cfg(feature = "sql")]
pub use sql::SqlNonces;
#[cfg(feature = "sql")]
pub(crate) use sql::sweep;

/// One use of a key, told apart from all its others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestNonce {
    key_id: Arc<str>,
    digest: [u8; 32],
    expires_at: DateTime<Utc>,
}

impl RequestNonce {
    /// The use of the key called `key_id`, up to 256 bytes, that `unique` tells apart. No signature with it is accepted after
    /// `expires_at`.
    #[must_use]
    pub fn new(key_id: impl Into<Arc<str>>, unique: &[u8], expires_at: DateTime<Utc>) -> Self {
        Self::of_profile(b"", key_id.into(), unique, expires_at)
    }

    /// As [`new`](Self::new), with `profile` in front of what tells the use apart.
    pub(super) fn of_profile(
        profile: &[u8],
        key_id: Arc<str>,
        unique: &[u8],
        expires_at: DateTime<Utc>,
    ) -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(profile);
        context.update(unique);
        let mut digest = [0; 32];
        digest.copy_from_slice(context.finish().as_ref());
        Self { key_id, digest, expires_at }
    }

    /// The name of the key.
    #[must_use]
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// The SHA-256 digest of what tells the use apart.
    #[must_use]
    pub fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// Until when it has to be remembered, this moment included.
    #[must_use]
    pub fn expires_at(&self) -> DateTime<Utc> {
        self.expires_at
    }
}

/// Remembers which signatures have been used.
///
/// [`MemoryNonces`] is for services of one process, `SqlNonces` (feature `postgres` or `sqlite`) and `RedisNonces` (feature
/// `redis`) for those of several. Another one holds itself to the suite `nonce_conformance` (feature `conformance`).
///
/// 1. Of all calls with one nonce, in all processes, one is told that it is the first.
/// 2. A nonce is remembered until its `expires_at`. What cannot be remembered is an error, and never forgets another.
pub trait NonceStore: fmt::Debug + Send + Sync {
    /// Remembers a nonce from `now` on. Returns whether it is new.
    ///
    /// # Errors
    /// [`NonceStoreError`]: whether it is remembered is not known, and nothing is accepted.
    fn remember<'a>(
        &'a self,
        nonce: &'a RequestNonce,
        now: DateTime<Utc>,
    ) -> BoxFuture<'a, Result<bool, NonceStoreError>>;

    /// Removes up to `nonces_max` nonces that are over, and says how many. A store whose nonces vanish by themselves has nothing
    /// to do.
    ///
    /// # Errors
    /// [`NonceStoreError`].
    fn sweep(&self, now: DateTime<Utc>, nonces_max: u32) -> BoxFuture<'_, Result<u64, NonceStoreError>>;
}

/// A nonce could not be remembered. No signed request is accepted while that is so: an outage would otherwise be the time to
/// replay.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NonceStoreError {
    /// The store does not answer.
    #[error("the nonces of signed requests cannot be reached")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// There is no room for another nonce.
    #[error("there is no room for another nonce of a signed request")]
    Full,
    /// The database could not do it.
    #[cfg(feature = "sql")]
    #[error("the nonces of signed requests could not be read or written")]
    Db(#[source] stylobate_db::Error),
}

impl NonceStoreError {
    /// The stable code of the situation.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unavailable(_) => "request_nonces_unavailable",
            Self::Full => "request_nonces_full",
            #[cfg(feature = "sql")]
            Self::Db(error) => error.code(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_a_part_of_what_tells_uses_apart() {
        let end = DateTime::from_timestamp(1_772_366_400, 0).unwrap();
        let of = |profile: &[u8], unique: &[u8]| RequestNonce::of_profile(profile, "k".into(), unique, end);
        // As it always was: what is remembered stays so.
        assert_eq!(of(b"rfc9421\0", b"n"), RequestNonce::new("k", b"rfc9421\0n", end));
        assert_ne!(of(b"rfc9421\0", b"n"), of(b"legacy\0", b"n"));
        let sha256 = digest::digest(&digest::SHA256, b"rfc9421\0n");
        assert_eq!(of(b"rfc9421\0", b"n").digest(), sha256.as_ref());
    }
}
