//! Credentials: what a person proves themselves with. So far a password; its hash is the row.

mod chooser;
mod hashes;
mod record;

use chrono::{DateTime, Utc};
use stylobate_core::PersonId;
use stylobate_db::{Conn, Error, Tx};

use crate::StoredHash;

pub(crate) use chooser::{ChosenBy, is_chosen_by_other, mark_chosen_by_other};
pub use hashes::{HashCount, HashCounts};
pub(crate) use hashes::{count_hashes, list_hashes};
pub use record::CredentialRecord;
pub(crate) use record::{delete_password, find_records, is_password_active, set_password_active};

/// Reads the stored text of a person's password hash; one that is switched off is as good as none.
pub(crate) async fn find_password(conn: &mut Conn, person: PersonId) -> Result<Option<String>, Error> {
    conn.q("SELECT hash FROM credentials WHERE person_id = $1 AND kind = 'password' AND is_active")
        .bind(person.as_uuid())
        .scalar_opt()
        .await
}

/// When the person's password was last set.
pub(crate) async fn password_set_at(
    conn: &mut Conn,
    person: PersonId,
) -> Result<Option<DateTime<Utc>>, Error> {
    // A program that wrote `updated_at` alone may have set it.
    conn.q("SELECT COALESCE(password_updated_at, updated_at) FROM credentials WHERE person_id = $1 AND kind = 'password'")
        .bind(person.as_uuid())
        .scalar_opt()
        .await
}

/// Sets a person's password hash, whether or not there was one: another password from now on.
pub(crate) async fn put_password(
    tx: &mut Tx,
    person: PersonId,
    hash: &StoredHash,
    by: ChosenBy,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    tx.q("INSERT INTO credentials (person_id, kind, hash, created_at, password_updated_at, updated_at, chosen_by_other) \
          VALUES ($1, 'password', $2, $3, $3, $3, COALESCE($4, false)) \
          ON CONFLICT (person_id, kind) DO UPDATE \
          SET hash = excluded.hash, password_updated_at = excluded.password_updated_at, \
              created_at = COALESCE(credentials.created_at, credentials.updated_at), \
              updated_at = excluded.updated_at, chosen_by_other = COALESCE($4, credentials.chosen_by_other)")
        .bind(person.as_uuid())
        .bind(hash.expose_text().to_owned())
        .bind(now)
        .bind(by.mark())
        .run()
        .await?;
    Ok(())
}

/// Sets the password hash of a person who has none. Returns whether it was set.
pub(crate) async fn insert_password(
    tx: &mut Tx,
    person: PersonId,
    hash: &StoredHash,
    now: DateTime<Utc>,
) -> Result<bool, Error> {
    let rows = tx
        .q("INSERT INTO credentials (person_id, kind, hash, created_at, password_updated_at, updated_at) \
            VALUES ($1, 'password', $2, $3, $3, $3) \
            ON CONFLICT (person_id, kind) DO NOTHING")
        .bind(person.as_uuid())
        .bind(hash.expose_text().to_owned())
        .bind(now)
        .run()
        .await?;
    Ok(rows == 1)
}

/// Replaces a hash by a new one of the same password, unless the password has been changed meanwhile. That is no new
/// password: its dates stay, also in rows of a program that wrote `updated_at` alone.
pub(crate) async fn rehash_password(
    tx: &mut Tx,
    person: PersonId,
    old: &StoredHash,
    new: &StoredHash,
    now: DateTime<Utc>,
) -> Result<bool, Error> {
    let rows = tx
        .q("UPDATE credentials SET hash = $1, updated_at = $2, created_at = COALESCE(created_at, updated_at), \
                   password_updated_at = COALESCE(password_updated_at, updated_at) \
            WHERE person_id = $3 AND kind = 'password' AND hash = $4")
        .bind(new.expose_text().to_owned())
        .bind(now)
        .bind(person.as_uuid())
        .bind(old.expose_text().to_owned())
        .run()
        .await?;
    Ok(rows == 1)
}
