use std::fmt;

use chrono::{DateTime, Utc};
use deadpool_redis::{
    Config, Connection, Pool, Runtime,
    redis::{self, AsyncCommands as _},
};
use stylobate_core::BoxFuture;

use super::{AccountKey, Counter, CounterChange, CounterKey, CounterKind, CounterStore, CounterStoreError};
use crate::patience::patiently;

/// Counters in Redis, for services of several processes without SQL.
///
/// Everything of one account is one hash, so that an unlock is one deletion; an address is a key of its own. A change
/// is one script, which replaces counters only while they are what was read. Keys vanish by themselves when they are
/// forgotten; those of persons who have failed logins do not, so give the server a policy of no eviction
/// (`maxmemory-policy noeviction`) and keep it on disk: a counter that is gone is a lock that is gone. The script
/// touches keys of several slots, so it needs one server with or without replicas, not a cluster.
#[derive(Clone)]
pub struct RedisCounters {
    pool: Pool,
    prefix: String,
}

/// Each change has a key and four arguments: field (none for a plain key), what is expected, what is to be (none for
/// nothing), and for how long in ms (0 for ever). The first argument of all is the present in µs.
const REPLACE: &str = r"
local present = tonumber(ARGV[1])
for i = 1, #KEYS do
  local at = 4 * i - 2
  local found
  if ARGV[at] == '' then
    found = redis.call('GET', KEYS[i])
  else
    found = redis.call('HGET', KEYS[i], ARGV[at])
  end
  if (found or '') ~= ARGV[at + 1] then
    return 0
  end
end
for i = 1, #KEYS do
  local at = 4 * i - 2
  local key, field, after, ttl = KEYS[i], ARGV[at], ARGV[at + 2], tonumber(ARGV[at + 3])
  if field == '' then
    if after == '' then
      redis.call('DEL', key)
    else
      redis.call('SET', key, after, 'PX', ttl)
    end
  elseif after == '' then
    redis.call('HDEL', key, field)
  else
    local left = redis.call('PTTL', key)
    redis.call('HSET', key, field, after)
    if ttl == 0 then
      redis.call('PERSIST', key)
    elseif left == -2 or (left >= 0 and left < ttl) then
      redis.call('PEXPIRE', key, ttl)
    end
    if redis.call('HLEN', key) > 256 then
      local all = redis.call('HGETALL', key)
      for j = 1, #all, 2 do
        local expires = tonumber(string.match(all[j + 1], '(%d+)$'))
        if expires and expires <= present then
          redis.call('HDEL', key, all[j])
        end
      end
    end
  end
end
return 1
";

impl RedisCounters {
    /// Counts in the Redis server at `url`, under keys that begin with `prefix`. Connects when first used.
    ///
    /// # Errors
    /// [`CounterStoreError::Unavailable`] when the address is none.
    pub fn connect(url: &str, prefix: &str) -> Result<Self, CounterStoreError> {
        let pool = Config::from_url(url)
            .create_pool(Some(Runtime::Tokio1))
            .map_err(|error| CounterStoreError::Unavailable(error.into()))?;
        Ok(Self::new(pool, prefix))
    }

    /// Counts through a pool that exists.
    #[must_use]
    pub fn new(pool: Pool, prefix: &str) -> Self {
        Self { pool, prefix: prefix.to_owned() }
    }

    /// What its keys begin with.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    async fn connection(&self) -> Result<Connection, CounterStoreError> {
        patiently(self.pool.get()).await.map_err(CounterStoreError::Unavailable)
    }

    fn account_key(&self, account: &AccountKey) -> String {
        format!("{}login:account:{}", self.prefix, hex::encode(account.to_bytes()))
    }

    /// The key, and the field when it is that of a hash.
    fn place(&self, key: &CounterKey) -> (String, String) {
        let part = hex::encode(key.part());
        match key.account() {
            None => (format!("{}login:address:{part}", self.prefix), String::new()),
            Some(account) => {
                let kind = key.kind().as_str();
                (
                    self.account_key(account),
                    if part.is_empty() { kind.to_owned() } else { format!("{kind}:{part}") },
                )
            }
        }
    }
}

impl fmt::Debug for RedisCounters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisCounters").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

/// `failures|window_started_at|locked_until|expires_at`, times in µs. One counter has one text, so texts are compared.
fn write(counter: Option<&Counter>) -> String {
    counter.map_or_else(String::new, |counter| {
        let locked =
            counter.locked_until.map_or_else(String::new, |until| until.timestamp_micros().to_string());
        let (from, to) =
            (counter.window_started_at.timestamp_micros(), counter.expires_at.timestamp_micros());
        format!("{}|{from}|{locked}|{to}", counter.failures)
    })
}

fn read(text: &str) -> Result<Counter, CounterStoreError> {
    parse(text).ok_or(CounterStoreError::Malformed)
}

fn parse(text: &str) -> Option<Counter> {
    let time = |text: &str| DateTime::from_timestamp_micros(text.parse().ok()?);
    let mut parts = text.split('|');
    let failures = parts.next()?.parse().ok()?;
    let window_started_at = time(parts.next()?)?;
    let locked_until = match parts.next()? {
        "" => None,
        until => Some(time(until)?),
    };
    let expires_at = time(parts.next()?)?;
    parts.next().is_none().then_some(Counter { failures, window_started_at, locked_until, expires_at })
}

/// For how many ms a counter is kept; 0 for ever.
fn kept_for(counter: &Counter, now: DateTime<Utc>) -> i64 {
    // Longer than anything that is forgotten, so what is left is never forgotten.
    let long = chrono::TimeDelta::days(1_000);
    let left = counter.expires_at.signed_duration_since(now);
    if left > long { 0 } else { left.num_milliseconds().max(1) }
}

impl CounterStore for RedisCounters {
    fn find<'a>(
        &'a self,
        keys: &'a [CounterKey],
    ) -> BoxFuture<'a, Result<Vec<Option<Counter>>, CounterStoreError>> {
        Box::pin(async move {
            if keys.is_empty() {
                return Ok(Vec::new());
            }
            let mut pipe = redis::pipe();
            for key in keys {
                match self.place(key) {
                    (key, field) if field.is_empty() => pipe.get(key),
                    (key, field) => pipe.hget(key, field),
                };
            }
            let mut connection = self.connection().await?;
            let found = patiently(pipe.query_async::<Vec<Option<String>>>(&mut connection))
                .await
                .map_err(CounterStoreError::Unavailable)?;
            found.iter().map(|text| text.as_deref().map(read).transpose()).collect()
        })
    }

    fn replace<'a>(
        &'a self,
        changes: &'a [CounterChange],
        now: DateTime<Utc>,
    ) -> BoxFuture<'a, Result<bool, CounterStoreError>> {
        Box::pin(async move {
            let mut script = redis::cmd("EVAL");
            script.arg(REPLACE).arg(changes.len());
            let places: Vec<(String, String)> =
                changes.iter().map(|change| self.place(&change.key)).collect();
            for (key, _) in &places {
                script.arg(key);
            }
            script.arg(now.timestamp_micros());
            for (change, (_, field)) in changes.iter().zip(&places) {
                let ttl = change.after.as_ref().map_or(0, |counter| kept_for(counter, now));
                script
                    .arg(field)
                    .arg(write(change.before.as_ref()))
                    .arg(write(change.after.as_ref()))
                    .arg(ttl);
            }
            let mut connection = self.connection().await?;
            let made = patiently(script.query_async::<i64>(&mut connection))
                .await
                .map_err(CounterStoreError::Unavailable)?;
            Ok(made == 1)
        })
    }

    fn find_account<'a>(
        &'a self,
        account: &'a AccountKey,
    ) -> BoxFuture<'a, Result<Vec<(CounterKind, Counter)>, CounterStoreError>> {
        Box::pin(async move {
            let mut connection = self.connection().await?;
            let fields = patiently(connection.hgetall::<_, Vec<(String, String)>>(self.account_key(account)))
                .await
                .map_err(CounterStoreError::Unavailable)?;
            let counter = |(field, text): &(String, String)| {
                let word = field.split(':').next().unwrap_or_default();
                let kind = CounterKind::from_word(word).ok_or(CounterStoreError::Malformed)?;
                Ok((kind, read(text)?))
            };
            fields.iter().map(counter).collect()
        })
    }

    fn clear_account<'a>(
        &'a self,
        account: &'a AccountKey,
    ) -> BoxFuture<'a, Result<bool, CounterStoreError>> {
        Box::pin(async move {
            let mut connection = self.connection().await?;
            let deleted: i64 = patiently(connection.del::<_, i64>(self.account_key(account)))
                .await
                .map_err(CounterStoreError::Unavailable)?;
            Ok(deleted > 0)
        })
    }

    fn sweep(&self, _: DateTime<Utc>, _: u32) -> BoxFuture<'_, Result<u64, CounterStoreError>> {
        Box::pin(std::future::ready(Ok(0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_read_as_it_was_written() {
        let at = |micros: i64| DateTime::from_timestamp_micros(micros).unwrap();
        let locked = Counter {
            failures: 7,
            window_started_at: at(1_772_366_400_000_001),
            locked_until: Some(at(1_772_366_400_999_999)),
            expires_at: at(253_402_300_799_000_000),
        };
        for counter in [locked, Counter { locked_until: None, ..locked }] {
            assert_eq!(read(&write(Some(&counter))).unwrap(), counter);
        }
        for text in ["", "7", "7|1|2", "7|1||2|3", "-1|1||2", "x|1||2", "7|1||99999999999999999999"] {
            assert!(matches!(read(text), Err(CounterStoreError::Malformed)), "{text}");
        }
    }
}
