use std::fmt;

use chrono::{DateTime, Utc};
use deadpool_redis::{Config, Pool, Runtime, redis};
use stylobate_core::BoxFuture;

use super::{NonceStore, NonceStoreError, RequestNonce};
use crate::patience::patiently;

/// Nonces in Redis, for services of several processes without SQL.
///
/// Each is one key that vanishes when it is over. Redis must keep what it acknowledged (`appendonly yes`, `appendfsync always`
/// where a crash of the server counts) and must not evict (`maxmemory-policy noeviction`): a nonce that is gone is a signature
/// that can be used again while it is fresh. A fail-over to a replica that lags loses the same.
///
/// Each answer is waited for a second at most; after that the store counts as away.
#[derive(Clone)]
pub struct RedisNonces {
    pool: Pool,
    prefix: String,
}

impl RedisNonces {
    /// Nonces in the Redis server at `url`, under keys that begin with `prefix`. Connects when first used.
    ///
    /// # Errors
    /// [`NonceStoreError::Unavailable`] when the address is none.
    pub fn connect(url: &str, prefix: &str) -> Result<Self, NonceStoreError> {
        let pool = Config::from_url(url)
            .create_pool(Some(Runtime::Tokio1))
            .map_err(|error| NonceStoreError::Unavailable(error.into()))?;
        Ok(Self::new(pool, prefix))
    }

    /// Nonces through a pool that exists.
    #[must_use]
    pub fn new(pool: Pool, prefix: &str) -> Self {
        Self { pool, prefix: prefix.to_owned() }
    }

    /// What its keys begin with.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    async fn set(&self, nonce: &RequestNonce, now: DateTime<Utc>) -> Result<bool, NonceStoreError> {
        // The digest has one length, so it separates the prefix from the key's name, whatever characters that has.
        let key = format!("{}nonce:{}:{}", self.prefix, hex::encode(nonce.digest()), nonce.key_id());
        // Redis lets a key go after so many ms have passed by its own clock; the moment of `expires_at` itself counts.
        let left = nonce.expires_at().signed_duration_since(now).num_milliseconds().saturating_add(2).max(1);
        let mut connection = patiently(self.pool.get()).await.map_err(NonceStoreError::Unavailable)?;
        let mut set = redis::cmd("SET");
        set.arg(key).arg(1).arg("NX").arg("PX").arg(left);
        let answer: Option<String> =
            patiently(set.query_async(&mut connection)).await.map_err(NonceStoreError::Unavailable)?;
        Ok(answer.is_some())
    }
}

impl fmt::Debug for RedisNonces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisNonces").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

impl NonceStore for RedisNonces {
    fn remember<'a>(
        &'a self,
        nonce: &'a RequestNonce,
        now: DateTime<Utc>,
    ) -> BoxFuture<'a, Result<bool, NonceStoreError>> {
        Box::pin(self.set(nonce, now))
    }

    fn sweep(&self, _now: DateTime<Utc>, _nonces_max: u32) -> BoxFuture<'_, Result<u64, NonceStoreError>> {
        // Nonces go by their own expiry.
        Box::pin(async { Ok(0) })
    }
}
