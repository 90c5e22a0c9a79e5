use chrono::{DateTime, Utc};
use stylobate_core::TenantId;
use stylobate_db::{Conn, Error, Tx};
use uuid::Uuid;

use super::TokenBinding;

/// A live token as its row has it.
#[derive(Debug, Clone)]
pub(crate) struct OneTimeRow {
    pub(crate) token_hash: [u8; 32],
    pub(crate) binding: TokenBinding,
    pub(crate) expires_at: DateTime<Utc>,
}

#[derive(sqlx::FromRow)]
struct Columns {
    token_hash: Vec<u8>,
    tenant_id: Option<Uuid>,
    subject_id: Uuid,
    address_digest: Option<Vec<u8>>,
    credential_epoch: Option<i64>,
    payload: Vec<u8>,
    expires_at: DateTime<Utc>,
}

impl TryFrom<Columns> for OneTimeRow {
    type Error = Error;

    fn try_from(row: Columns) -> Result<Self, Error> {
        let binding = TokenBinding {
            tenant: row.tenant_id.map(TenantId::from_uuid),
            subject: row.subject_id,
            address_digest: row.address_digest.map(|bytes| digest("address_digest", bytes)).transpose()?,
            epoch: row.credential_epoch,
            payload: row.payload,
        };
        let token_hash = digest("token_hash", row.token_hash)?;
        Ok(Self { token_hash, binding, expires_at: row.expires_at })
    }
}

fn digest(column: &str, bytes: Vec<u8>) -> Result<[u8; 32], Error> {
    let length = bytes.len();
    bytes.try_into().map_err(|_| Error::BadRow {
        column: format!("one_time_tokens.{column}"),
        source: format!("{length} bytes instead of 32").into(),
    })
}

/// Adds a token.
pub(crate) async fn insert(
    tx: &mut Tx,
    id: Uuid,
    purpose: &'static str,
    row: &OneTimeRow,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let binding = &row.binding;
    tx.q("INSERT INTO one_time_tokens \
            (id, purpose, token_hash, tenant_id, subject_id, address_digest, credential_epoch, payload, created_at, \
             expires_at) \
          VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)")
        .bind(id)
        .bind(purpose)
        .bind(row.token_hash.to_vec())
        .bind(binding.tenant.map(|tenant| tenant.as_uuid()))
        .bind(binding.subject)
        .bind(binding.address_digest.map(|digest| digest.to_vec()))
        .bind(binding.epoch)
        .bind(binding.payload.clone())
        .bind(now)
        .bind(row.expires_at)
        .run()
        .await?;
    Ok(())
}

/// Reads a token that is still good, to decide what to show: only [`take`] decides.
pub(crate) async fn find(
    conn: &mut Conn,
    id: Uuid,
    purpose: &'static str,
    now: DateTime<Utc>,
) -> Result<Option<OneTimeRow>, Error> {
    let row = conn
        .q("SELECT token_hash, tenant_id, subject_id, address_digest, credential_epoch, payload, expires_at \
            FROM one_time_tokens \
            WHERE id = $1 AND purpose = $2 AND expires_at > $3")
        .bind(id)
        .bind(purpose)
        .bind(now)
        .opt::<Columns>()
        .await?;
    row.map(OneTimeRow::try_from).transpose()
}

/// Takes a token that is still good away. Of many at once one gets it; the others wait for its transaction, and find none.
pub(crate) async fn take(
    tx: &mut Tx,
    id: Uuid,
    purpose: &'static str,
    now: DateTime<Utc>,
) -> Result<Option<OneTimeRow>, Error> {
    let row = tx
        .q("DELETE FROM one_time_tokens WHERE id = $1 AND purpose = $2 AND expires_at > $3 \
            RETURNING token_hash, tenant_id, subject_id, address_digest, credential_epoch, payload, expires_at")
        .bind(id)
        .bind(purpose)
        .bind(now)
        .opt::<Columns>()
        .await?;
    row.map(OneTimeRow::try_from).transpose()
}

/// Deletes everything that was drawn for a subject.
pub(crate) async fn delete_of(tx: &mut Tx, subject: Uuid) -> Result<u64, Error> {
    tx.q("DELETE FROM one_time_tokens WHERE subject_id = $1").bind(subject).run().await
}

/// Deletes up to `rows_max` tokens that have run out since `from` or later. Returns how many, and the latest of those times:
/// the next batch begins there.
pub(crate) async fn sweep(
    tx: &mut Tx,
    now: DateTime<Utc>,
    from: DateTime<Utc>,
    rows_max: i64,
) -> Result<(u64, DateTime<Utc>), Error> {
    let ended = tx
        .q("DELETE FROM one_time_tokens WHERE id IN \
              (SELECT id FROM one_time_tokens WHERE expires_at >= $1 AND expires_at <= $2 \
               ORDER BY expires_at LIMIT 0 + $3) \
            RETURNING expires_at")
        .bind(from)
        .bind(now)
        .bind(rows_max)
        .all::<(DateTime<Utc>,)>()
        .await?;
    let latest = ended.iter().map(|(at,)| *at).max().unwrap_or(from);
    Ok((ended.len() as u64, latest))
}
