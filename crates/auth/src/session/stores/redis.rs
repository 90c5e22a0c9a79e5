use std::fmt;

use chrono::{DateTime, Utc};
use deadpool_redis::{
    Config, Connection, Pool, Runtime,
    redis::{self, FromRedisValue},
};
use stylobate_core::{PersonId, SessionId};

use super::{SessionRecord, SessionStore, SessionStoreError, StoreFuture};
use crate::{SessionKey, patience::patiently};

/// Sessions in Redis, for services without SQL: any number of processes share them.
///
/// A session is a hash, a person a sorted set of theirs. Every method that changes something is one script, so that nothing
/// comes between its steps. Entries expire by Redis' own clock as well, which only frees memory: whether a session is
/// live is judged by the caller's clock. Redis must keep what it acknowledged (`appendonly yes`) and must not evict
/// (`maxmemory-policy noeviction`): a lost entry is a person signed out.
///
/// Each answer is waited for a second at most; after that the store counts as away.
///
/// All keys begin with one hash tag, so that a cluster keeps them in one slot.
pub struct RedisSessions {
    pool: Pool,
    prefix: String,
}

/// What every script begins with: whether a session is live.
macro_rules! script {
    ($body:literal) => {
        concat!(
            "local function live(key, now) \
               local at = redis.call('HMGET', key, 'idle', 'expires') \
               return at[1] and at[2] and tonumber(at[1]) > now and tonumber(at[2]) > now \
             end ",
            $body
        )
    };
}

/// KEYS: session, person. ARGV: prefix, member, now, most, id, person, body, seen, idle, expires, auth time.
const INSERT: &str = script!(
    "local now, alive, ended = tonumber(ARGV[3]), {}, {}
     for _, member in ipairs(redis.call('ZRANGE', KEYS[2], 0, -1)) do
       local key = ARGV[1] .. string.sub(member, 38)
       if live(key, now) then alive[#alive + 1] = member
       else redis.call('DEL', key); redis.call('ZREM', KEYS[2], member) end
     end
     for i = 1, math.min(#alive + 1 - tonumber(ARGV[4]), #alive) do
       redis.call('DEL', ARGV[1] .. string.sub(alive[i], 38))
       redis.call('ZREM', KEYS[2], alive[i])
       ended[#ended + 1] = string.sub(alive[i], 1, 36)
     end
     redis.call('HSET', KEYS[1], 'id', ARGV[5], 'person', ARGV[6], 'body', ARGV[7], 'seen', ARGV[8],
                'idle', ARGV[9], 'expires', ARGV[10], 'auth', ARGV[11])
     local ends = math.min(tonumber(ARGV[9]), tonumber(ARGV[10]))
     redis.call('PEXPIREAT', KEYS[1], string.format('%.0f', math.ceil(ends / 1000)))
     redis.call('ZADD', KEYS[2], ARGV[3], ARGV[2])
     local clock, left = redis.call('TIME'), redis.call('PTTL', KEYS[2])
     local last = math.ceil(tonumber(ARGV[10]) / 1000)
     if left < 0 or last - clock[1] * 1000 > left then
       redis.call('PEXPIREAT', KEYS[2], string.format('%.0f', last))
     end
     return ended"
);

/// KEYS: session. ARGV: now, idle end.
const TOUCH: &str = script!(
    "local now = tonumber(ARGV[1])
     if not live(KEYS[1], now) then return 0 end
     local at = redis.call('HMGET', KEYS[1], 'seen', 'idle', 'expires')
     if now > tonumber(at[1]) then redis.call('HSET', KEYS[1], 'seen', ARGV[1]) end
     if tonumber(ARGV[2]) > tonumber(at[2]) then
       redis.call('HSET', KEYS[1], 'idle', ARGV[2])
       local ends = math.min(tonumber(ARGV[2]), tonumber(at[3]))
       redis.call('PEXPIREAT', KEYS[1], string.format('%.0f', math.ceil(ends / 1000)))
     end
     return 1"
);

/// KEYS: old session, new session. ARGV: person prefix, old digest, new digest, now, auth time or nothing.
const ROTATE: &str = script!(
    "if not live(KEYS[1], tonumber(ARGV[4])) then return 0 end
     local who = redis.call('HMGET', KEYS[1], 'person', 'id')
     local person = ARGV[1] .. who[1]
     local score = redis.call('ZSCORE', person, who[2] .. ':' .. ARGV[2])
     redis.call('RENAME', KEYS[1], KEYS[2])
     if ARGV[5] ~= '' then redis.call('HSET', KEYS[2], 'auth', ARGV[5]) end
     redis.call('ZREM', person, who[2] .. ':' .. ARGV[2])
     redis.call('ZADD', person, score, who[2] .. ':' .. ARGV[3])
     return 1"
);

/// KEYS: person. ARGV: prefix, now.
const LIST: &str = script!(
    "local found = {}
     for _, member in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
       local key = ARGV[1] .. string.sub(member, 38)
       if live(key, tonumber(ARGV[2])) then
         found[#found + 1] = redis.call('HMGET', key, 'body', 'seen', 'idle', 'auth')
       end
     end
     return found"
);

/// KEYS: session. ARGV: person prefix, digest, now.
const END: &str = script!(
    "local was_live = live(KEYS[1], tonumber(ARGV[3])) and 1 or 0
     local who = redis.call('HMGET', KEYS[1], 'person', 'id')
     if who[1] then redis.call('ZREM', ARGV[1] .. who[1], who[2] .. ':' .. ARGV[2]) end
     redis.call('DEL', KEYS[1])
     return was_live"
);

/// KEYS: person. ARGV: prefix, now, `only` or `except`, id.
const END_SOME: &str = script!(
    "local ended = {}
     for _, member in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
       local key, id = ARGV[1] .. string.sub(member, 38), string.sub(member, 1, 36)
       if (id == ARGV[4]) == (ARGV[3] == 'only') then
         if live(key, tonumber(ARGV[2])) then ended[#ended + 1] = id end
         redis.call('DEL', key); redis.call('ZREM', KEYS[1], member)
       end
     end
     return ended"
);

/// Body, last seen, idle end and time of proof of a session; each nothing when it is not there.
type Fields = (Option<String>, Option<i64>, Option<i64>, Option<i64>);

impl RedisSessions {
    /// Sessions in the Redis behind `pool`, under keys that begin with `stylobate:`.
    #[must_use]
    pub fn new(pool: Pool) -> Self {
        Self { pool, prefix: "stylobate:".to_owned() }
    }

    /// Sessions in the Redis at `url`, such as `redis://:password@host:6379/0`.
    ///
    /// # Errors
    /// [`SessionStoreError`] when the address is none. Whether anybody answers there is found out at the first use.
    pub fn connect(url: &str) -> Result<Self, SessionStoreError> {
        Ok(Self::new(Config::from_url(url).create_pool(Some(Runtime::Tokio1)).map_err(failed)?))
    }

    /// Begins all keys with `prefix`, to keep services apart that share a Redis.
    #[must_use]
    pub fn with_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    fn session_prefix(&self) -> String {
        format!("{{{}sessions}}:s:", self.prefix)
    }

    fn person_prefix(&self) -> String {
        format!("{{{}sessions}}:p:", self.prefix)
    }

    fn session(&self, key: SessionKey) -> String {
        self.session_prefix() + &digest(key)
    }

    fn person(&self, person: PersonId) -> String {
        self.person_prefix() + &person.to_string()
    }

    async fn connection(&self) -> Result<Connection, SessionStoreError> {
        patiently(self.pool.get()).await.map_err(SessionStoreError)
    }

    async fn run<T: FromRedisValue>(
        &self,
        script: &'static str,
        keys: &[String],
        values: &[String],
    ) -> Result<T, SessionStoreError> {
        let mut connection = self.connection().await?;
        let mut command = redis::cmd("EVAL");
        command.arg(script).arg(keys.len()).arg(keys).arg(values);
        patiently(command.query_async(&mut connection)).await.map_err(SessionStoreError)
    }
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> SessionStoreError {
    SessionStoreError(Box::new(error))
}

fn digest(key: SessionKey) -> String {
    hex::encode(key.as_bytes())
}

fn member(id: SessionId, key: SessionKey) -> String {
    format!("{id}:{}", digest(key))
}

fn micros(at: DateTime<Utc>) -> String {
    at.timestamp_micros().to_string()
}

fn record(fields: Fields) -> Result<Option<SessionRecord>, SessionStoreError> {
    let (Some(body), Some(seen), Some(idle), Some(auth)) = fields else { return Ok(None) };
    let mut record: SessionRecord = serde_json::from_str(&body).map_err(failed)?;
    let time = |micros| {
        DateTime::from_timestamp_micros(micros).ok_or_else(|| SessionStoreError("a time out of range".into()))
    };
    record.last_seen_at = time(seen)?;
    record.idle_expires_at = time(idle)?;
    record.auth_time = time(auth)?;
    Ok(Some(record))
}

fn ids(texts: Vec<String>) -> Result<Vec<SessionId>, SessionStoreError> {
    texts.iter().map(|text| text.parse::<SessionId>().map_err(failed)).collect()
}

impl SessionStore for RedisSessions {
    fn insert<'a>(
        &'a self,
        key: SessionKey,
        record: &'a SessionRecord,
        sessions_max: u32,
    ) -> StoreFuture<'a, Vec<SessionId>> {
        Box::pin(async move {
            let keys = [self.session(key), self.person(record.person)];
            let values = [
                self.session_prefix(),
                member(record.id, key),
                micros(record.created_at),
                sessions_max.to_string(),
                record.id.to_string(),
                record.person.to_string(),
                serde_json::to_string(record).map_err(failed)?,
                micros(record.last_seen_at),
                micros(record.idle_expires_at),
                micros(record.expires_at),
                micros(record.auth_time),
            ];
            ids(self.run(INSERT, &keys, &values).await?)
        })
    }

    fn find(&self, key: SessionKey, now: DateTime<Utc>) -> StoreFuture<'_, Option<SessionRecord>> {
        Box::pin(async move {
            let mut connection = self.connection().await?;
            let mut command = redis::cmd("HMGET");
            command.arg(self.session(key)).arg(&["body", "seen", "idle", "auth"]);
            let fields = patiently(command.query_async::<Fields>(&mut connection)).await;
            let fields = fields.map_err(SessionStoreError)?;
            Ok(record(fields)?.filter(|record| record.is_live(now)))
        })
    }

    fn touch(
        &self,
        key: SessionKey,
        now: DateTime<Utc>,
        idle_expires_at: DateTime<Utc>,
    ) -> StoreFuture<'_, bool> {
        Box::pin(async move {
            self.run(TOUCH, &[self.session(key)], &[micros(now), micros(idle_expires_at)]).await
        })
    }

    fn rotate(
        &self,
        old: SessionKey,
        new: SessionKey,
        proved_at: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> StoreFuture<'_, bool> {
        Box::pin(async move {
            let keys = [self.session(old), self.session(new)];
            let proved = proved_at.map(micros).unwrap_or_default();
            let values = [self.person_prefix(), digest(old), digest(new), micros(now), proved];
            self.run(ROTATE, &keys, &values).await
        })
    }

    fn list(&self, person: PersonId, now: DateTime<Utc>) -> StoreFuture<'_, Vec<SessionRecord>> {
        Box::pin(async move {
            let found: Vec<Fields> =
                self.run(LIST, &[self.person(person)], &[self.session_prefix(), micros(now)]).await?;
            found.into_iter().filter_map(|fields| record(fields).transpose()).collect()
        })
    }

    fn end(&self, key: SessionKey, now: DateTime<Utc>) -> StoreFuture<'_, bool> {
        Box::pin(async move {
            self.run(END, &[self.session(key)], &[self.person_prefix(), digest(key), micros(now)]).await
        })
    }

    fn end_one(&self, person: PersonId, id: SessionId, now: DateTime<Utc>) -> StoreFuture<'_, bool> {
        Box::pin(async move {
            let values = [self.session_prefix(), micros(now), "only".to_owned(), id.to_string()];
            let ended: Vec<String> = self.run(END_SOME, &[self.person(person)], &values).await?;
            Ok(!ended.is_empty())
        })
    }

    fn end_all(
        &self,
        person: PersonId,
        except: Option<SessionId>,
        now: DateTime<Utc>,
    ) -> StoreFuture<'_, Vec<SessionId>> {
        Box::pin(async move {
            let except = except.map(|id| id.to_string()).unwrap_or_default();
            let values = [self.session_prefix(), micros(now), "except".to_owned(), except];
            ids(self.run(END_SOME, &[self.person(person)], &values).await?)
        })
    }

    fn sweep(&self, _now: DateTime<Utc>) -> StoreFuture<'_, u64> {
        // Entries go by their own expiry.
        Box::pin(async { Ok(0) })
    }
}

impl fmt::Debug for RedisSessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisSessions").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}
