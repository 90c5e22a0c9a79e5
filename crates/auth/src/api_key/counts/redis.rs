use std::fmt;

use deadpool_redis::{Config, Pool, Runtime, redis};
use stylobate_core::BoxFuture;

use super::{KeyCount, KeyCounts, KeyCountsUnavailable};
use crate::patience::patiently;

/// Counts in Redis, for services of several processes. Its keys vanish two hours after their last use.
#[derive(Clone)]
pub struct RedisKeyCounts {
    pool: Pool,
    prefix: String,
}

/// An hour, and one for clocks that disagree.
const KEPT_SECONDS: i64 = 2 * 60 * 60;

impl RedisKeyCounts {
    /// Counts in the Redis server at `url`, under keys that begin with `prefix`. Connects when first used.
    ///
    /// # Errors
    /// [`KeyCountsUnavailable`] when the address is none.
    pub fn connect(url: &str, prefix: &str) -> Result<Self, KeyCountsUnavailable> {
        let pool = Config::from_url(url)
            .create_pool(Some(Runtime::Tokio1))
            .map_err(|error| KeyCountsUnavailable(error.into()))?;
        Ok(Self::new(pool, prefix))
    }

    /// Counts through a pool that exists.
    #[must_use]
    pub fn new(pool: Pool, prefix: &str) -> Self {
        Self { pool, prefix: prefix.to_owned() }
    }
}

impl KeyCounts for RedisKeyCounts {
    fn add<'a>(&'a self, counts: &'a [KeyCount]) -> BoxFuture<'a, Result<Vec<u64>, KeyCountsUnavailable>> {
        Box::pin(async move {
            let mut pipe = redis::pipe();
            for KeyCount { key, hour, count } in counts {
                let name = format!("{}api-key:{key}:{hour}", self.prefix);
                pipe.cmd("INCRBY").arg(&name).arg(*count);
                pipe.cmd("EXPIRE").arg(name).arg(KEPT_SECONDS).ignore();
            }
            if counts.is_empty() {
                return Ok(Vec::new());
            }
            let mut connection = patiently(self.pool.get()).await.map_err(KeyCountsUnavailable)?;
            patiently(pipe.query_async(&mut connection)).await.map_err(KeyCountsUnavailable)
        })
    }
}

impl fmt::Debug for RedisKeyCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisKeyCounts").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}
