//! What administrators see of credentials, and what they change beside the password; never what it is checked against.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use stylobate_core::PersonId;
use stylobate_db::{Conn, Error, Tx};
use uuid::Uuid;

use crate::LockState;

/// A credential without its secret. So far there is one kind, the password (provider `local`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CredentialRecord {
    /// Names the credential. A person has at most one password, so its credential is called by the person's id: stable
    /// over changes, and the same again when it is removed and made anew.
    pub id: Uuid,
    /// Whose it is.
    pub person_id: PersonId,
    /// What the person signs in with, besides the e-mail address.
    pub username: Option<String>,
    /// Whether a new password has to be set before a session can begin.
    pub must_change_password: bool,
    /// When the password was last set.
    pub password_updated_at: DateTime<Utc>,
    /// Who is locked out of the account, and until when.
    pub lock: LockState,
    /// When it last began a session. Forgotten when that session has run out and was swept.
    pub last_login_at: Option<DateTime<Utc>>,
    /// Whether it can be signed in with.
    pub is_active: bool,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed, a renewed hash included.
    pub updated_at: DateTime<Utc>,
}

#[derive(sqlx::FromRow)]
struct CredentialRow {
    person_id: Uuid,
    username: Option<String>,
    must_change_password: bool,
    password_updated_at: DateTime<Utc>,
    last_login_at: Option<DateTime<Utc>>,
    is_active: bool,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl CredentialRow {
    fn into_record(self, lock: LockState) -> CredentialRecord {
        CredentialRecord {
            id: self.person_id,
            person_id: PersonId::from_uuid(self.person_id),
            username: self.username,
            must_change_password: self.must_change_password,
            password_updated_at: self.password_updated_at,
            lock,
            last_login_at: self.last_login_at,
            is_active: self.is_active,
            created_at: self.created_at,
            updated_at: self.updated_at,
        }
    }
}

/// Reads the credentials of `people`, in their order; who has none is left out. `locks` says how accounts stand; those
/// that are not in it stand well.
pub(crate) async fn find_records(
    conn: &mut Conn,
    people: &[PersonId],
    locks: &HashMap<PersonId, LockState>,
) -> Result<Vec<CredentialRecord>, Error> {
    let mut sql = conn.builder(
        "SELECT c.person_id, p.username, p.must_change_password, \
         COALESCE(c.password_updated_at, c.updated_at) AS password_updated_at, \
         (SELECT max(s.auth_time) FROM sessions s WHERE s.person_id = c.person_id) AS last_login_at, c.is_active, \
         COALESCE(c.created_at, c.updated_at) AS created_at, c.updated_at \
         FROM credentials c JOIN people p ON p.id = c.person_id WHERE c.kind = 'password' AND c.person_id IN ",
    );
    sql.list(people.iter().map(PersonId::as_uuid));
    let rows: Vec<CredentialRow> = conn.q_build(sql).all().await?;
    let mut records: Vec<CredentialRecord> = rows
        .into_iter()
        .map(|row| {
            let lock = locks.get(&PersonId::from_uuid(row.person_id)).copied().unwrap_or_default();
            row.into_record(lock)
        })
        .collect();
    records.sort_by_key(|record| people.iter().position(|person| *person == record.person_id));
    Ok(records)
}

/// Whether the person's password can be signed in with; `None` when there is none.
pub(crate) async fn is_password_active(conn: &mut Conn, person: PersonId) -> Result<Option<bool>, Error> {
    conn.q("SELECT is_active FROM credentials WHERE person_id = $1 AND kind = 'password'")
        .bind(person.as_uuid())
        .scalar_opt()
        .await
}

/// Switches the person's password on or off.
pub(crate) async fn set_password_active(
    tx: &mut Tx,
    person: PersonId,
    is_active: bool,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    // As for a renewed hash: `updated_at` moves, so what it stood for until now is written down.
    tx.q("UPDATE credentials SET is_active = $1, updated_at = $2, created_at = COALESCE(created_at, updated_at), \
          password_updated_at = COALESCE(password_updated_at, updated_at) \
          WHERE person_id = $3 AND kind = 'password'")
        .bind(is_active)
        .bind(now)
        .bind(person.as_uuid())
        .run()
        .await?;
    Ok(())
}

/// Removes the person's password. Tells whether there was one.
pub(crate) async fn delete_password(tx: &mut Tx, person: PersonId) -> Result<bool, Error> {
    let rows = tx
        .q("DELETE FROM credentials WHERE person_id = $1 AND kind = 'password'")
        .bind(person.as_uuid())
        .run()
        .await?;
    Ok(rows == 1)
}
