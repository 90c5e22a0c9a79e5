use std::fmt;

use chrono::{DateTime, Utc};
use stylobate_core::{PersonId, SessionId};
use stylobate_db::{Db, Error, Scope, Tx};

use super::{SessionRecord, SessionStore, SessionStoreError, Stored};
use crate::{SessionKey, session::store};

/// These tables are read before any tenant is known.
const SCOPE: Scope = Scope::Platform("sessions");

/// Sessions in the table that [`MIGRATIONS`](crate::MIGRATIONS) makes, beside those of [`Auth`](crate::Auth): a session
/// belongs to an active person, and ends when the person's credential epoch is raised.
///
/// [`Auth`](crate::Auth) itself does not go through it: it ends sessions in the transactions of their reasons and revokes
/// what was issued for them.
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
    ) -> Stored<'a, Vec<SessionId>> {
        let record = record.clone();
        Box::pin(async move {
            let insert = async move |tx: &mut Tx| store::insert_record(tx, key, &record, sessions_max).await;
            Ok(self.db.transact(SCOPE, insert).await?)
        })
    }

    fn find(&self, key: SessionKey, now: DateTime<Utc>) -> Stored<'_, Option<SessionRecord>> {
        Box::pin(async move {
            let mut conn = self.db.read().await?;
            let known = store::find_by_key(&mut conn, key, now).await?;
            Ok(known.map(|known| known.record))
        })
    }

    fn touch(&self, key: SessionKey, now: DateTime<Utc>, idle_expires_at: DateTime<Utc>) -> Stored<'_, bool> {
        Box::pin(async move {
            let touch = async move |tx: &mut Tx| store::touch(tx, key, now, idle_expires_at).await;
            Ok(self.db.transact(SCOPE, touch).await?)
        })
    }

    fn rotate(
        &self,
        old: SessionKey,
        new: SessionKey,
        proved_at: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> Stored<'_, bool> {
        Box::pin(async move {
            let rotate = async move |tx: &mut Tx| store::rotate_key(tx, old, new, proved_at, now).await;
            Ok(self.db.transact(SCOPE, rotate).await?)
        })
    }

    fn list(&self, person: PersonId, now: DateTime<Utc>) -> Stored<'_, Vec<SessionRecord>> {
        Box::pin(async move {
            let mut conn = self.db.read().await?;
            Ok(store::list_records(&mut conn, person, now).await?)
        })
    }

    fn end(&self, key: SessionKey, now: DateTime<Utc>) -> Stored<'_, bool> {
        Box::pin(async move {
            let end = async move |tx: &mut Tx| store::end_by_key(tx, key, now).await;
            Ok(self.db.transact(SCOPE, end).await?)
        })
    }

    fn end_one(&self, person: PersonId, id: SessionId, now: DateTime<Utc>) -> Stored<'_, bool> {
        Box::pin(async move {
            let end = async move |tx: &mut Tx| store::end_own(tx, person, id, now).await;
            Ok(self.db.transact(SCOPE, end).await?)
        })
    }

    fn end_all(
        &self,
        person: PersonId,
        except: Option<SessionId>,
        now: DateTime<Utc>,
    ) -> Stored<'_, Vec<SessionId>> {
        Box::pin(async move {
            let end = async move |tx: &mut Tx| store::end_own_but(tx, person, except, now).await;
            Ok(self.db.transact(SCOPE, end).await?)
        })
    }

    fn sweep(&self, now: DateTime<Utc>) -> Stored<'_, u64> {
        Box::pin(async move {
            let sweep =
                async move |tx: &mut Tx| store::delete_expired(tx, now, DateTime::UNIX_EPOCH, 500).await;
            Ok(self.db.transact(SCOPE, sweep).await?.0)
        })
    }
}

impl fmt::Debug for SqlSessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqlSessions").field("db", &self.db).finish()
    }
}
