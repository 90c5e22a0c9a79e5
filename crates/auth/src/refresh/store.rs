use chrono::{DateTime, Utc};
use stylobate_core::SessionId;
use stylobate_db::{Conn, Error, Tx};
use uuid::Uuid;

use super::Family;

/// A family with what else decides whether its session may go on, read in one statement.
#[derive(sqlx::FromRow)]
pub(crate) struct FamilyRow {
    generation: i64,
    current_hash: Vec<u8>,
    rotated_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    pub(crate) person_id: Uuid,
    pub(crate) tenant_id: Option<Uuid>,
    pub(crate) session_epoch: i64,
    pub(crate) amr: String,
    pub(crate) auth_time: DateTime<Utc>,
    pub(crate) ended_at: Option<DateTime<Utc>>,
    pub(crate) person_status: String,
    pub(crate) person_epoch: i64,
}

impl FamilyRow {
    pub(crate) fn family(&self) -> Result<Family, Error> {
        let current_hash = self.current_hash.as_slice().try_into().map_err(|error| Error::BadRow {
            column: "refresh_families.current_hash".to_owned(),
            source: Box::<std::array::TryFromSliceError>::new(error),
        })?;
        Ok(Family {
            generation: self.generation,
            current_hash,
            rotated_at: self.rotated_at,
            expires_at: self.expires_at,
        })
    }
}

/// Reads the family of `session`.
pub(crate) async fn find(conn: &mut Conn, session: SessionId) -> Result<Option<FamilyRow>, Error> {
    conn.q("SELECT f.generation, f.current_hash, f.rotated_at, f.expires_at, \
                   s.person_id, s.tenant_id, s.credential_epoch AS session_epoch, s.amr, s.auth_time, s.ended_at, \
                   p.status AS person_status, p.credential_epoch AS person_epoch \
            FROM refresh_families f \
            JOIN sessions s ON s.id = f.session_id \
            JOIN people p ON p.id = s.person_id \
            WHERE f.session_id = $1")
        .bind(session.as_uuid())
        .opt()
        .await
}

/// Begins a family whose live token has the digest `hash`.
pub(crate) async fn insert(
    tx: &mut Tx,
    session: SessionId,
    hash: [u8; 32],
    now: DateTime<Utc>,
    expires_at: DateTime<Utc>,
) -> Result<(), Error> {
    tx.q("INSERT INTO refresh_families (session_id, generation, current_hash, rotated_at, expires_at) \
          VALUES ($1, 0, $2, $3, $4)")
        .bind(session.as_uuid())
        .bind(hash.to_vec())
        .bind(now)
        .bind(expires_at)
        .run()
        .await?;
    Ok(())
}

/// Makes the token with digest `next` the live one, if that is still the one with digest `presented`. Of any number of
/// transactions at once one returns `true`: the others wait for its row lock and then find another digest.
pub(crate) async fn rotate(
    tx: &mut Tx,
    session: SessionId,
    presented: [u8; 32],
    next: [u8; 32],
    now: DateTime<Utc>,
) -> Result<bool, Error> {
    let rows = tx
        .q("UPDATE refresh_families SET current_hash = $1, generation = generation + 1, rotated_at = $2 \
            WHERE session_id = $3 AND current_hash = $4")
        .bind(next.to_vec())
        .bind(now)
        .bind(session.as_uuid())
        .bind(presented.to_vec())
        .run()
        .await?;
    Ok(rows == 1)
}
