mod memory;
#[cfg(feature = "redis")]
mod redis;
#[cfg(feature = "conformance")]
mod suite;

use stylobate_core::{ApiKeyId, BoxFuture};

#[cfg(feature = "redis")]
pub use self::redis::RedisKeyCounts;
pub use memory::MemoryKeyCounts;
#[cfg(feature = "conformance")]
pub use suite::key_counts_conformance;

/// How often a key has been used in an hour of the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyCount {
    /// The key.
    pub key: ApiKeyId,
    /// The hour: whole hours since 1970-01-01 in UTC.
    pub hour: i64,
    /// How often.
    pub count: u64,
}

/// The store that processes share could not count.
#[derive(Debug, thiserror::Error)]
#[error("uses of API keys could not be shared")]
pub struct KeyCountsUnavailable(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// Adds up how often keys are used by several processes, so that they share one limit.
///
/// It is asked a few times a second for all keys together, beside the requests: no request waits for it. What it cannot count at
/// the moment is counted later; meanwhile each process goes on from what it knew last. Hours that are over may be forgotten.
///
/// Implementations pass `key_counts_conformance`, in the feature `conformance`.
pub trait KeyCounts: Send + Sync {
    /// Adds `counts`, and returns what each key has had in its hour with them, in their order.
    ///
    /// The future fails with [`KeyCountsUnavailable`] when nothing, or not everything, is known to have been added.
    fn add<'a>(&'a self, counts: &'a [KeyCount]) -> BoxFuture<'a, Result<Vec<u64>, KeyCountsUnavailable>>;
}
