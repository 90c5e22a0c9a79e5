use chrono::{DateTime, Utc};
use stylobate_core::SessionId;
use stylobate_db::{Conn, Error, Sql, Tx};
use uuid::Uuid;

use super::{Family, Presented};

/// A family, and what its session is.
#[derive(sqlx::FromRow)]
pub(crate) struct FamilyRow {
    generation: i64,
    current_hash: Vec<u8>,
    rotated_at: DateTime<Utc>,
    /// The answer of the latest rotation, sealed under the key it was asked with.
    pub(crate) sealed_answer: Option<Vec<u8>>,
    /// Whether session and person let it rotate.
    pub(crate) may_go_on: bool,
    #[sqlx(flatten)]
    pub(crate) grant: GrantRow,
}

/// What a redeemed token is good for.
#[derive(sqlx::FromRow)]
pub(crate) struct GrantRow {
    pub(crate) expires_at: DateTime<Utc>,
    pub(crate) person_id: Uuid,
    pub(crate) tenant_id: Option<Uuid>,
    pub(crate) epoch: i64,
    pub(crate) amr: String,
    pub(crate) auth_time: DateTime<Utc>,
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
            expires_at: self.grant.expires_at,
        })
    }
}

/// Reads the family of `session`.
pub(crate) async fn find(conn: &mut Conn, session: SessionId) -> Result<Option<FamilyRow>, Error> {
    conn.q("SELECT f.generation, f.current_hash, f.rotated_at, f.sealed_answer, f.expires_at, \
                   s.person_id, s.tenant_id, s.credential_epoch AS epoch, s.amr, s.auth_time, \
                   (s.ended_at IS NULL AND p.status = 'active' AND p.credential_epoch = s.credential_epoch) AS may_go_on \
            FROM refresh_families f JOIN sessions s ON s.id = f.session_id JOIN people p ON p.id = s.person_id \
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

/// Redeems `presented`, in one statement: makes the token with digest `next` the live one if `presented` is still that,
/// its family has not run out, and session and person may go on. Of any number of transactions at once one gets a row:
/// the others wait for its lock and then find another digest. `None` changes nothing; [`find`] tells what stood in the
/// way. `sealed_answer` is kept beside the new token, for a request that may come again.
pub(crate) async fn redeem(
    tx: &mut Tx,
    session: SessionId,
    presented: &Presented,
    next: [u8; 32],
    sealed_answer: Option<Vec<u8>>,
    now: DateTime<Utc>,
) -> Result<Option<GrantRow>, Error> {
    tx.q(Sql::Per {
        pg: "UPDATE refresh_families f SET current_hash = $1, generation = f.generation + 1, rotated_at = $2, sealed_answer = $6 \
             FROM sessions s JOIN people p ON p.id = s.person_id \
             WHERE f.session_id = $3 AND f.generation = $4 AND f.current_hash = $5 AND f.expires_at > $2 \
               AND s.id = $3 AND s.ended_at IS NULL AND p.status = 'active' AND p.credential_epoch = s.credential_epoch \
             RETURNING f.expires_at, s.person_id, s.tenant_id, s.credential_epoch AS epoch, s.amr, s.auth_time",
        // SQLite returns columns of the changed table only.
        lite: "UPDATE refresh_families SET current_hash = $1, generation = generation + 1, rotated_at = $2, sealed_answer = $6 \
               WHERE session_id = $3 AND generation = $4 AND current_hash = $5 AND expires_at > $2 \
                 AND EXISTS (SELECT 1 FROM sessions s JOIN people p ON p.id = s.person_id \
                             WHERE s.id = $3 AND s.ended_at IS NULL \
                               AND p.status = 'active' AND p.credential_epoch = s.credential_epoch) \
               RETURNING expires_at, \
                 (SELECT person_id FROM sessions WHERE id = $3) AS person_id, \
                 (SELECT tenant_id FROM sessions WHERE id = $3) AS tenant_id, \
                 (SELECT credential_epoch FROM sessions WHERE id = $3) AS epoch, \
                 (SELECT amr FROM sessions WHERE id = $3) AS amr, \
                 (SELECT auth_time FROM sessions WHERE id = $3) AS auth_time",
    })
        .bind(next.to_vec())
        .bind(now)
        .bind(session.as_uuid())
        .bind(presented.generation)
        .bind(presented.hash.to_vec())
        .bind(sealed_answer)
        .opt()
        .await
}
