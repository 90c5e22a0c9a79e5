use chrono::{DateTime, Utc};
use stylobate_core::{ServiceId, ServiceKeyId, TenantId};
use stylobate_db::{Conn, Error, Tx};
use uuid::Uuid;

use super::ServiceKey;
use crate::{SigningAlgorithm, VerifyingKey, key::read_jwk};

#[derive(sqlx::FromRow)]
struct KeyRow {
    id: Uuid,
    service_id: Uuid,
    label: String,
    public_key: String,
    not_before: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    revoked_at: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
}

/// A key, and what decides whether it signs for its account.
pub(super) struct ReadKey {
    pub(super) key: VerifyingKey,
    pub(super) service: ServiceId,
    pub(super) tenant: TenantId,
    pub(super) name: String,
    pub(super) version: i64,
    /// Whether the account is active and the key not revoked.
    pub(super) is_open: bool,
    pub(super) not_before: DateTime<Utc>,
    pub(super) expires_at: DateTime<Utc>,
}

#[derive(sqlx::FromRow)]
struct CheckRow {
    public_key: String,
    service_id: Uuid,
    tenant_id: Uuid,
    name: String,
    version: i64,
    status: String,
    not_before: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    revoked_at: Option<DateTime<Utc>>,
}

fn verifying(id: Uuid, text: &str) -> Result<VerifyingKey, Error> {
    read_jwk(text.as_bytes(), &ServiceKey::ALGORITHMS).ok_or_else(|| Error::BadRow {
        column: "service_keys.public_key".to_owned(),
        source: format!("of service key {id}").into(),
    })
}

impl TryFrom<KeyRow> for ServiceKey {
    type Error = Error;

    fn try_from(row: KeyRow) -> Result<Self, Error> {
        let public_key = verifying(row.id, &row.public_key)?.to_jwk().ok_or_else(|| Error::BadRow {
            column: "service_keys.public_key".to_owned(),
            source: format!("of service key {} is not public", row.id).into(),
        })?;
        Ok(Self {
            id: ServiceKeyId::from_uuid(row.id),
            service_account_id: ServiceId::from_uuid(row.service_id),
            label: row.label,
            public_key,
            not_before: row.not_before,
            expires_at: row.expires_at,
            revoked_at: row.revoked_at,
            created_at: row.created_at,
        })
    }
}

pub(super) async fn list(conn: &mut Conn, service: ServiceId) -> Result<Vec<ServiceKey>, Error> {
    let rows: Vec<KeyRow> = conn
        .q("SELECT id, service_id, label, public_key, not_before, expires_at, revoked_at, created_at \
            FROM service_keys WHERE service_id = $1 ORDER BY created_at, id")
        .bind(service.as_uuid())
        .all()
        .await?;
    rows.into_iter().map(ServiceKey::try_from).collect()
}

/// Reads the key of that name, of whatever tenant, with all that it is checked against.
pub(super) async fn find_to_check(conn: &mut Conn, id: ServiceKeyId) -> Result<Option<ReadKey>, Error> {
    let row: Option<CheckRow> = conn
        .q("SELECT k.public_key, k.service_id, a.tenant_id, a.name, a.version, a.status, k.not_before, k.expires_at, \
            k.revoked_at FROM service_keys k JOIN service_accounts a ON a.id = k.service_id WHERE k.id = $1")
        .bind(id.as_uuid())
        .opt()
        .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(ReadKey {
        key: verifying(id.as_uuid(), &row.public_key)?,
        service: ServiceId::from_uuid(row.service_id),
        tenant: TenantId::from_uuid(row.tenant_id),
        name: row.name,
        version: row.version,
        is_open: row.status == "active" && row.revoked_at.is_none(),
        not_before: row.not_before,
        expires_at: row.expires_at,
    }))
}

pub(super) async fn insert(tx: &mut Tx, key: &ServiceKey, algorithm: SigningAlgorithm) -> Result<(), Error> {
    tx.q("INSERT INTO service_keys (id, service_id, label, algorithm, public_key, not_before, expires_at, created_at) \
          VALUES ($1, $2, $3, $4, $5, $6, $7, $8)")
        .bind(key.id.as_uuid())
        .bind(key.service_account_id.as_uuid())
        .bind(key.label.clone())
        .bind(algorithm.as_str())
        .bind(key.public_key.to_json())
        .bind(key.not_before)
        .bind(key.expires_at)
        .bind(key.created_at)
        .run()
        .await?;
    Ok(())
}

pub(super) async fn revoke(tx: &mut Tx, id: ServiceKeyId, now: DateTime<Utc>) -> Result<(), Error> {
    tx.q("UPDATE service_keys SET revoked_at = $1 WHERE id = $2").bind(now).bind(id.as_uuid()).run().await?;
    Ok(())
}
