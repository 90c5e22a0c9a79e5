use std::fmt;

use chrono::{DateTime, Utc};
use stylobate_core::BoxFuture;

use super::{AccountKey, Counter, CounterKey, CounterKind};

/// One counter that becomes another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CounterChange {
    /// Which one.
    pub key: CounterKey,
    /// As it was read; `None` when there was none.
    pub before: Option<Counter>,
    /// As it becomes; `None` removes it.
    pub after: Option<Counter>,
}

/// Where counters are kept.
///
/// A store decides nothing: it reads counters and replaces them when they are still what was read
/// ([`LoginThrottle`](super::LoginThrottle) reads again otherwise), so that of parallel failures none is lost. Times are
/// whole microseconds. An implementation of your own is held to its contract by the feature `conformance`.
pub trait CounterStore: fmt::Debug + Send + Sync {
    /// Reads counters, in the order of `keys`. One without failures is none.
    ///
    /// # Errors
    /// [`CounterStoreError`]: nobody signs in then.
    fn find<'a>(
        &'a self,
        keys: &'a [CounterKey],
    ) -> BoxFuture<'a, Result<Vec<Option<Counter>>, CounterStoreError>>;

    /// Makes all changes if every counter is still as it was read, and none otherwise. Says which of both. No key occurs
    /// twice. `now` is for whoever has to know when a counter expires.
    ///
    /// # Errors
    /// [`CounterStoreError`]: whether the changes were made is not known.
    fn replace<'a>(
        &'a self,
        changes: &'a [CounterChange],
        now: DateTime<Utc>,
    ) -> BoxFuture<'a, Result<bool, CounterStoreError>>;

    /// Reads everything that belongs to an account, in any order.
    ///
    /// # Errors
    /// [`CounterStoreError`].
    fn find_account<'a>(
        &'a self,
        account: &'a AccountKey,
    ) -> BoxFuture<'a, Result<Vec<(CounterKind, Counter)>, CounterStoreError>>;

    /// Removes everything that belongs to an account. Says whether there was anything.
    ///
    /// # Errors
    /// [`CounterStoreError`].
    fn clear_account<'a>(&'a self, account: &'a AccountKey)
    -> BoxFuture<'a, Result<bool, CounterStoreError>>;

    /// Removes up to `counters_max` counters that are forgotten, and says how many. A store whose counters vanish by
    /// themselves has nothing to do.
    ///
    /// # Errors
    /// [`CounterStoreError`].
    fn sweep(&self, now: DateTime<Utc>, counters_max: u32) -> BoxFuture<'_, Result<u64, CounterStoreError>>;
}

/// Counters could not be read or changed. Nobody may sign in while that is so: an outage would otherwise be the time to
/// guess.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CounterStoreError {
    /// The store does not answer.
    #[error("the login counters cannot be reached")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The counters changed each time they were to be replaced: too many tries on one account or from one address.
    #[error("the login counters are changed by too many at once")]
    Contended,
    /// There is no room for another counter.
    #[error("there is no room for another login counter")]
    Full,
    /// What is stored is no counter.
    #[error("a stored login counter is malformed")]
    Malformed,
    /// The database could not do it.
    #[cfg(feature = "sql")]
    #[error("the login counters could not be read or changed")]
    Db(#[source] stylobate_db::Error),
}

impl CounterStoreError {
    /// The stable code of the situation.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unavailable(_) => "login_counters_unavailable",
            Self::Contended => "login_counters_contended",
            Self::Full => "login_counters_full",
            Self::Malformed => "login_counters_malformed",
            #[cfg(feature = "sql")]
            Self::Db(error) => error.code(),
        }
    }
}
