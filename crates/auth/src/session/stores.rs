use std::net::IpAddr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use stylobate_core::{BoxFuture, PersonId, SessionId, TenantId};

use super::{SessionKey, SessionLife, SessionState};

mod memory;
#[cfg(feature = "redis")]
mod redis;
#[cfg(feature = "sql")]
mod sql;

pub use memory::MemorySessions;
#[cfg(feature = "redis")]
pub use redis::RedisSessions;
#[cfg(feature = "sql")]
pub use sql::SqlSessions;

/// A cookie session as stores keep it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRecord {
    /// Its public id; it stays when the secret is exchanged.
    pub id: SessionId,
    /// Whose it is.
    pub person: PersonId,
    /// For which tenant it was begun.
    pub tenant: Option<TenantId>,
    /// How the person signed in (RFC 8176).
    pub amr: Vec<String>,
    /// When the person last proved who they are.
    pub auth_time: DateTime<Utc>,
    /// From where it was begun.
    pub address: Option<IpAddr>,
    /// With which program it was begun.
    pub user_agent: Option<String>,
    /// When it began.
    pub created_at: DateTime<Utc>,
    /// When it was last used, as far as that was written.
    pub last_seen_at: DateTime<Utc>,
    /// When it ends by idling.
    pub idle_expires_at: DateTime<Utc>,
    /// When it ends in any case.
    pub expires_at: DateTime<Utc>,
}

impl SessionRecord {
    /// Whether it is alive at `now`.
    #[must_use]
    pub fn is_live(&self, now: DateTime<Utc>) -> bool {
        let life = SessionLife {
            idle_expires_at: Some(self.idle_expires_at),
            expires_at: self.expires_at,
            ended_at: None,
        };
        life.state(now) == SessionState::Live
    }
}

/// A store of sessions could not do its work.
#[derive(Debug, thiserror::Error)]
#[error("the store of sessions could not be used")]
pub struct SessionStoreError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

impl SessionStoreError {
    /// The stable code of the situation.
    #[must_use]
    pub fn code(&self) -> &'static str {
        "session_store_unavailable"
    }
}

/// What a store answers.
pub type StoreFuture<'a, T> = BoxFuture<'a, Result<T, SessionStoreError>>;

/// Keeps cookie sessions, found by the digest of their secret.
///
/// [`MemorySessions`] is for tests and single processes, `RedisSessions` (feature `redis`) for services without SQL,
/// `SqlSessions` for those with it. Another one holds itself to the suite `session_conformance` (feature `conformance`).
///
/// 1. Every method is one step: of two at once, one happens first.
/// 2. A session that has ended, or reached a limit at `now`, is as if it had never been.
/// 3. What a method has ended does not come back, and is refused by the next call of any process.
pub trait SessionStore: Send + Sync {
    /// Adds a session. When the person then has more than `sessions_max` live ones, the oldest end. Returns those.
    fn insert<'a>(
        &'a self,
        key: SessionKey,
        record: &'a SessionRecord,
        sessions_max: u32,
    ) -> StoreFuture<'a, Vec<SessionId>>;

    /// Finds a live session.
    fn find(&self, key: SessionKey, now: DateTime<Utc>) -> StoreFuture<'_, Option<SessionRecord>>;

    /// Writes that a session was used at `now` and idles out at `idle_expires_at`. Neither ever moves back. Returns whether
    /// it is live.
    fn touch(
        &self,
        key: SessionKey,
        now: DateTime<Utc>,
        idle_expires_at: DateTime<Utc>,
    ) -> StoreFuture<'_, bool>;

    /// Lets a live session go on under another secret: `old` is unknown from here on. `proved_at`, when there is one,
    /// becomes its `auth_time`. Returns whether there was such a session.
    fn rotate(
        &self,
        old: SessionKey,
        new: SessionKey,
        proved_at: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> StoreFuture<'_, bool>;

    /// The live sessions of a person, oldest first.
    fn list(&self, person: PersonId, now: DateTime<Utc>) -> StoreFuture<'_, Vec<SessionRecord>>;

    /// Ends the session of a secret. Returns whether it was live.
    fn end(&self, key: SessionKey, now: DateTime<Utc>) -> StoreFuture<'_, bool>;

    /// Ends one of a person's sessions. Returns whether it was live and theirs.
    fn end_one(&self, person: PersonId, id: SessionId, now: DateTime<Utc>) -> StoreFuture<'_, bool>;

    /// Ends the sessions of a person but `except`. Returns those it ended.
    fn end_all(
        &self,
        person: PersonId,
        except: Option<SessionId>,
        now: DateTime<Utc>,
    ) -> StoreFuture<'_, Vec<SessionId>>;

    /// Removes up to a few hundred sessions that have run out. Returns how many; a store whose entries go by themselves
    /// returns 0.
    fn sweep(&self, now: DateTime<Utc>) -> StoreFuture<'_, u64>;
}
