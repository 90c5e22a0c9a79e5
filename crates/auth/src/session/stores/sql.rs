use std::fmt;

use chrono::{DateTime, Utc};
use stylobate_core::{PersonId, SessionId};
use stylobate_db::{Db, Error, Scope, Tx};

use super::{SessionRecord, SessionStore, SessionStoreError, StoreFuture};
use crate::{
    Person, SessionKey, people,
    session::store::{
        EndReason, NewCookie, NewSession, delete_expired, end_row, find_by_key, find_live_ids, insert,
        list_known, touch,
    },
};

/// These tables are read before any tenant is known.
const SCOPE: Scope = Scope::Platform("sessions");

/// Sessions in the table that [`MIGRATIONS`](crate::MIGRATIONS) makes, for services that have the tables and check every
/// cookie by [`CookieSessions`](crate::CookieSessions): a session belongs to an active person, and ends when the person's
/// credential epoch is raised.
///
/// Not for the database of an [`Auth`](crate::Auth) that signs people in: a session that is ended here is not revoked, so
/// that an `Auth` which remembers it accepts its cookie for up to half a minute more, and its access tokens until they
/// expire. `Auth` keeps its cookie sessions in the same table itself, and ends them with everything that was issued.
#[derive(Clone)]
pub struct SqlSessions {
    db: Db,
}

impl SqlSessions {
    /// Sessions in `db`.
    #[must_use]
    pub fn new(db: &Db) -> Self {
        Self { db: db.clone() }
    }
}

impl From<Error> for SessionStoreError {
    fn from(error: Error) -> Self {
        Self(Box::new(error))
    }
}

impl SessionStore for SqlSessions {
    fn insert<'a>(
        &'a self,
        key: SessionKey,
        record: &'a SessionRecord,
        sessions_max: u32,
    ) -> StoreFuture<'a, Vec<SessionId>> {
        let record = record.clone();
        Box::pin(async move {
            let add = async move |tx: &mut Tx| insert_record(tx, key, &record, sessions_max).await;
            Ok(self.db.transact(SCOPE, add).await?)
        })
    }

    fn find(&self, key: SessionKey, now: DateTime<Utc>) -> StoreFuture<'_, Option<SessionRecord>> {
        Box::pin(async move {
            let mut conn = self.db.read().await?;
            let known = find_by_key(&mut conn, key, now).await?;
            Ok(known.map(|known| known.record))
        })
    }

    fn touch(
        &self,
        key: SessionKey,
        now: DateTime<Utc>,
        idle_expires_at: DateTime<Utc>,
    ) -> StoreFuture<'_, bool> {
        Box::pin(async move {
            let used = async move |tx: &mut Tx| touch(tx, key, now, idle_expires_at).await;
            Ok(self.db.transact(SCOPE, used).await?)
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
            let rotate = async move |tx: &mut Tx| rotate_key(tx, old, new, proved_at, now).await;
            Ok(self.db.transact(SCOPE, rotate).await?)
        })
    }

    fn list(&self, person: PersonId, now: DateTime<Utc>) -> StoreFuture<'_, Vec<SessionRecord>> {
        Box::pin(async move {
            let mut conn = self.db.read().await?;
            Ok(list_known(&mut conn, person, now).await?)
        })
    }

    fn end(&self, key: SessionKey, now: DateTime<Utc>) -> StoreFuture<'_, bool> {
        Box::pin(async move {
            let end = async move |tx: &mut Tx| end_by_key(tx, key, now).await;
            Ok(self.db.transact(SCOPE, end).await?)
        })
    }

    fn end_one(&self, person: PersonId, id: SessionId, now: DateTime<Utc>) -> StoreFuture<'_, bool> {
        Box::pin(async move {
            let end = async move |tx: &mut Tx| end_own(tx, person, id, now).await;
            Ok(self.db.transact(SCOPE, end).await?)
        })
    }

    fn end_all(
        &self,
        person: PersonId,
        except: Option<SessionId>,
        now: DateTime<Utc>,
    ) -> StoreFuture<'_, Vec<SessionId>> {
        Box::pin(async move {
            let end = async move |tx: &mut Tx| end_own_but(tx, person, except, now).await;
            Ok(self.db.transact(SCOPE, end).await?)
        })
    }

    fn sweep(&self, now: DateTime<Utc>) -> StoreFuture<'_, u64> {
        Box::pin(async move {
            let sweep = async move |tx: &mut Tx| delete_expired(tx, now, DateTime::UNIX_EPOCH, 500).await;
            Ok(self.db.transact(SCOPE, sweep).await?.0)
        })
    }
}

impl fmt::Debug for SqlSessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqlSessions").field("db", &self.db).finish()
    }
}

/// Adds a session of its own transaction; above `sessions_max` the oldest end. Returns those.
async fn insert_record(
    tx: &mut Tx,
    key: SessionKey,
    record: &SessionRecord,
    sessions_max: u32,
) -> Result<Vec<SessionId>, Error> {
    let person = people::lock(tx, record.person).await?;
    let person = person.filter(Person::is_active).ok_or(Error::NotFound)?;
    let now = record.created_at;
    let new = NewSession {
        id: record.id,
        person: record.person,
        tenant: record.tenant,
        epoch: person.credential_epoch,
        amr: &record.amr,
        auth_time: record.auth_time,
        address: record.address,
        user_agent: record.user_agent.as_deref(),
        created_at: now,
        now,
        cookie: Some(NewCookie { key, idle_expires_at: record.idle_expires_at }),
        expires_at: record.expires_at,
    };
    let too_many = (insert(tx, &new).await? + 1 - i64::from(sessions_max)).max(0);
    let live = find_live_ids(tx, record.person, now).await?;
    let oldest = live.into_iter().filter(|id| *id != record.id);
    let mut ended = Vec::new();
    for id in oldest.take(usize::try_from(too_many).unwrap_or(usize::MAX)) {
        end_row(tx, id, EndReason::SessionLimit, now).await?;
        ended.push(id);
    }
    Ok(ended)
}

/// Lets a live cookie session go on under another secret.
async fn rotate_key(
    tx: &mut Tx,
    old: SessionKey,
    new: SessionKey,
    proved_at: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<bool, Error> {
    let Some(known) = find_by_key(tx, old, now).await? else { return Ok(false) };
    let rows = tx
        .q("UPDATE sessions SET token_hash = $1, auth_time = $2 WHERE token_hash = $3 AND ended_at IS NULL")
        .bind(new.as_bytes().to_vec())
        .bind(proved_at.unwrap_or(known.record.auth_time))
        .bind(old.as_bytes().to_vec())
        .run()
        .await?;
    Ok(rows > 0)
}

/// Ends the cookie session of a secret. Returns whether it was live.
async fn end_by_key(tx: &mut Tx, key: SessionKey, now: DateTime<Utc>) -> Result<bool, Error> {
    match find_by_key(tx, key, now).await? {
        Some(known) => end_row(tx, known.record.id, EndReason::Logout, now).await,
        None => Ok(false),
    }
}

/// Ends one of a person's cookie sessions. Returns whether it was live and theirs.
async fn end_own(tx: &mut Tx, person: PersonId, id: SessionId, now: DateTime<Utc>) -> Result<bool, Error> {
    let is_live = list_known(tx, person, now).await?.iter().any(|record| record.id == id);
    Ok(is_live && end_row(tx, id, EndReason::Revoked, now).await?)
}

/// Ends a person's cookie sessions but `except`. Returns those it ended.
async fn end_own_but(
    tx: &mut Tx,
    person: PersonId,
    except: Option<SessionId>,
    now: DateTime<Utc>,
) -> Result<Vec<SessionId>, Error> {
    let mut ended = Vec::new();
    for record in list_known(tx, person, now).await? {
        if Some(record.id) != except && end_row(tx, record.id, EndReason::Revoked, now).await? {
            ended.push(record.id);
        }
    }
    Ok(ended)
}
