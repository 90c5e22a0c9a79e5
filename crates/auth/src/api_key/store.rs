/// The columns of a key.
macro_rules! columns {
    () => {
        "k.id, k.tenant_id, k.owner_person_id, k.owner_service_id, k.label, k.scopes, k.allowed_networks, \
         k.requests_per_hour, k.is_active, k.version, k.created_at, k.updated_at, k.rotated_at, k.previous_until, \
         k.last_used_at, k.expires_at, k.revoked_at, k.revoke_reason"
    };
}

mod list;
mod revoke;

use chrono::{DateTime, TimeDelta, Utc};
use stylobate_core::{ApiKeyId, KeyOwner, PersonId, ServiceId, TenantId};
use stylobate_db::{Conn, Error, Sql, Tx};
use uuid::Uuid;

pub(super) use list::{count, keyset, list};
pub(crate) use revoke::RevokeReason;
pub(super) use revoke::{lock_of_owner, revoke_of_tenant, revoked};

use super::{AllowedNetworks, ApiKey, ApiKeyEnvironment};
use crate::{Revocation, Revocations, revocation};

/// A key, and what its secrets and its owner are checked against.
pub(super) struct ReadKey {
    pub(super) key: ApiKey,
    pub(super) owner: KeyOwner,
    pub(super) secret_hash: [u8; 32],
    pub(super) previous: Option<([u8; 32], DateTime<Utc>)>,
    /// What counts up when the owner changes.
    pub(super) owner_epoch: i64,
    pub(super) is_owner_active: bool,
}

#[derive(sqlx::FromRow)]
struct KeyRow {
    id: Uuid,
    tenant_id: Uuid,
    owner_person_id: Option<Uuid>,
    owner_service_id: Option<Uuid>,
    label: String,
    scopes: Option<String>,
    allowed_networks: Option<String>,
    requests_per_hour: i64,
    is_active: bool,
    version: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    rotated_at: Option<DateTime<Utc>>,
    previous_until: Option<DateTime<Utc>>,
    last_used_at: Option<DateTime<Utc>>,
    expires_at: DateTime<Utc>,
    revoked_at: Option<DateTime<Utc>>,
    revoke_reason: Option<String>,
}

#[derive(sqlx::FromRow)]
struct CheckRow {
    #[sqlx(flatten)]
    key: KeyRow,
    secret_hash: Vec<u8>,
    previous_hash: Option<Vec<u8>>,
    owner_epoch: Option<i64>,
    owner_status: Option<String>,
}

fn bad(column: &str, id: Uuid) -> Error {
    Error::BadRow { column: column.to_owned(), source: format!("of API key {id}").into() }
}

impl KeyRow {
    fn into_key(self, environment: ApiKeyEnvironment) -> Result<ApiKey, Error> {
        let id = ApiKeyId::from_uuid(self.id);
        let networks = self.allowed_networks.map(|text| AllowedNetworks::parse(text.split_whitespace()));
        Ok(ApiKey {
            id,
            tenant_id: TenantId::from_uuid(self.tenant_id),
            person_id: self.owner_person_id.map(PersonId::from_uuid),
            service_account_id: self.owner_service_id.map(ServiceId::from_uuid),
            label: self.label,
            prefix: environment.visible(id),
            scopes: self.scopes.map(|text| text.split_whitespace().map(str::to_owned).collect()),
            // A limit that cannot be read must not be none.
            allowed_networks: networks.transpose().map_err(|_| bad("allowed_networks", self.id))?,
            requests_per_hour: u32::try_from(self.requests_per_hour)
                .map_err(|_| bad("requests_per_hour", self.id))?,
            is_active: self.is_active,
            version: self.version,
            created_at: self.created_at,
            updated_at: self.updated_at,
            rotated_at: self.rotated_at,
            previous_until: self.previous_until,
            last_used_at: self.last_used_at,
            expires_at: self.expires_at,
            revoked_at: self.revoked_at,
            revoke_reason: self.revoke_reason,
        })
    }
}

impl CheckRow {
    fn into_read(self, environment: ApiKeyEnvironment) -> Result<ReadKey, Error> {
        let id = self.key.id;
        let hash = |bytes: Vec<u8>| <[u8; 32]>::try_from(bytes).map_err(|_| bad("secret_hash", id));
        let previous_until = self.key.previous_until;
        let previous = match self.previous_hash.zip(previous_until) {
            Some((bytes, until)) => Some((hash(bytes)?, until)),
            None => None,
        };
        let key = self.key.into_key(environment)?;
        Ok(ReadKey {
            owner: key.owner().ok_or_else(|| bad("owner", id))?,
            key,
            secret_hash: hash(self.secret_hash)?,
            previous,
            owner_epoch: self.owner_epoch.ok_or_else(|| bad("owner", id))?,
            is_owner_active: self.owner_status.as_deref() == Some("active"),
        })
    }
}

/// Reads a key with all that it is checked against.
pub(super) async fn find_to_check(
    conn: &mut Conn,
    id: ApiKeyId,
    environment: ApiKeyEnvironment,
) -> Result<Option<ReadKey>, Error> {
    let row = conn
        .q(concat!(
            "SELECT ",
            columns!(),
            ", k.secret_hash, k.previous_hash, COALESCE(p.credential_epoch, s.version) AS owner_epoch, \
             COALESCE(p.status, s.status) AS owner_status FROM api_keys k \
             LEFT JOIN people p ON p.id = k.owner_person_id \
             LEFT JOIN service_accounts s ON s.id = k.owner_service_id WHERE k.id = $1"
        ))
        .bind(id.as_uuid())
        .opt::<CheckRow>()
        .await?;
    row.map(|row| row.into_read(environment)).transpose()
}

/// Reads a key of `tenant`.
pub(super) async fn find(
    conn: &mut Conn,
    tenant: TenantId,
    id: ApiKeyId,
    environment: ApiKeyEnvironment,
) -> Result<Option<ApiKey>, Error> {
    let row = conn
        .q(concat!("SELECT ", columns!(), " FROM api_keys k WHERE k.id = $1 AND k.tenant_id = $2"))
        .bind(id.as_uuid())
        .bind(tenant.as_uuid())
        .opt::<KeyRow>()
        .await?;
    row.map(|row| row.into_key(environment)).transpose()
}

/// Reads a key of `tenant` and keeps others from changing it until the transaction ends.
pub(super) async fn lock(
    tx: &mut Tx,
    tenant: TenantId,
    id: ApiKeyId,
    environment: ApiKeyEnvironment,
) -> Result<Option<ApiKey>, Error> {
    macro_rules! select {
        ($end:literal) => {
            concat!("SELECT ", columns!(), " FROM api_keys k WHERE k.id = $1 AND k.tenant_id = $2", $end)
        };
    }
    let row = tx
        .q(Sql::Per { pg: select!(" FOR NO KEY UPDATE"), lite: select!("") })
        .bind(id.as_uuid())
        .bind(tenant.as_uuid())
        .opt::<KeyRow>()
        .await?;
    row.map(|row| row.into_key(environment)).transpose()
}

/// How many live keys an owner has in a tenant. The owner's row is locked, so that the number stays.
pub(super) async fn count_live(
    tx: &mut Tx,
    tenant: TenantId,
    owner: KeyOwner,
    now: DateTime<Utc>,
) -> Result<i64, Error> {
    let (sql, id) = match owner {
        KeyOwner::Person { id } => (
            "SELECT count(*) FROM api_keys k WHERE k.owner_person_id = $1 AND k.tenant_id = $2 \
             AND k.revoked_at IS NULL AND k.expires_at > $3",
            id.as_uuid(),
        ),
        KeyOwner::Service { id } => (
            "SELECT count(*) FROM api_keys k WHERE k.owner_service_id = $1 AND k.tenant_id = $2 \
             AND k.revoked_at IS NULL AND k.expires_at > $3",
            id.as_uuid(),
        ),
    };
    tx.q(sql).bind(id).bind(tenant.as_uuid()).bind(now).scalar().await
}

/// When the keys were made that `maker` has made in a tenant since `since`, the oldest first.
pub(super) async fn made_since(
    tx: &mut Tx,
    tenant: TenantId,
    maker: &str,
    since: DateTime<Utc>,
) -> Result<Vec<DateTime<Utc>>, Error> {
    let rows: Vec<(DateTime<Utc>,)> = tx
        .q("SELECT k.created_at FROM api_keys k WHERE k.tenant_id = $1 AND k.created_at > $2 AND k.created_by = $3 \
            ORDER BY k.created_at, k.id")
        .bind(tenant.as_uuid())
        .bind(since)
        .bind(maker.to_owned())
        .all()
        .await?;
    Ok(rows.into_iter().map(|(at,)| at).collect())
}

fn joined(scopes: Option<&Vec<String>>) -> Option<String> {
    scopes.map(|scopes| scopes.join(" "))
}

/// Adds a key that `maker` has made.
pub(super) async fn insert(
    tx: &mut Tx,
    key: &ApiKey,
    secret_hash: [u8; 32],
    maker: Option<String>,
) -> Result<(), Error> {
    tx.q("INSERT INTO api_keys (id, tenant_id, owner_person_id, owner_service_id, label, secret_hash, scopes, \
          allowed_networks, requests_per_hour, is_active, version, created_by, created_at, updated_at, expires_at) \
          VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $13, $14)")
        .bind(key.id.as_uuid())
        .bind(key.tenant_id.as_uuid())
        .bind(key.person_id.map(|id| id.as_uuid()))
        .bind(key.service_account_id.map(|id| id.as_uuid()))
        .bind(key.label.clone())
        .bind(secret_hash.to_vec())
        .bind(joined(key.scopes.as_ref()))
        .bind(key.allowed_networks.as_ref().map(ToString::to_string))
        .bind(i64::from(key.requests_per_hour))
        .bind(key.is_active)
        .bind(key.version)
        .bind(maker)
        .bind(key.created_at)
        .bind(key.expires_at)
        .run()
        .await?;
    Ok(())
}

/// Writes what may change of a key that is locked, but its secrets.
pub(super) async fn update(tx: &mut Tx, key: &ApiKey) -> Result<(), Error> {
    tx.q("UPDATE api_keys SET label = $1, scopes = $2, allowed_networks = $3, requests_per_hour = $4, is_active = $5, \
          version = $6, updated_at = $7, expires_at = $8, revoked_at = $9, revoke_reason = $10 WHERE id = $11")
        .bind(key.label.clone())
        .bind(joined(key.scopes.as_ref()))
        .bind(key.allowed_networks.as_ref().map(ToString::to_string))
        .bind(i64::from(key.requests_per_hour))
        .bind(key.is_active)
        .bind(key.version)
        .bind(key.updated_at)
        .bind(key.expires_at)
        .bind(key.revoked_at)
        .bind(key.revoke_reason.clone())
        .bind(key.id.as_uuid())
        .run()
        .await?;
    Ok(())
}

/// Gives a key that is locked a new secret; the present one is the previous from here on.
pub(super) async fn rotate(tx: &mut Tx, key: &ApiKey, secret_hash: [u8; 32]) -> Result<(), Error> {
    tx.q("UPDATE api_keys SET previous_hash = secret_hash, previous_until = $1, secret_hash = $2, rotated_at = $3, \
          updated_at = $3, version = $4, expires_at = $5 WHERE id = $6")
        .bind(key.previous_until)
        .bind(secret_hash.to_vec())
        .bind(key.updated_at)
        .bind(key.version)
        .bind(key.expires_at)
        .bind(key.id.as_uuid())
        .run()
        .await?;
    Ok(())
}

/// Tells every process that what it remembers of a key from before `version` is old.
pub(super) async fn tell_changed(
    tx: &mut Tx,
    live: &Revocations,
    (id, version): (ApiKeyId, i64),
    now: DateTime<Utc>,
    kept_for: TimeDelta,
) -> Result<(), Error> {
    revocation::insert(tx, live, Revocation::ApiKey(id, version), now, now + kept_for).await
}

/// Deletes up to `rows_max` keys that ended before `until`, with what they were used for.
pub(super) async fn sweep(tx: &mut Tx, until: DateTime<Utc>, rows_max: i64) -> Result<u64, Error> {
    tx.q("DELETE FROM api_keys WHERE id IN (SELECT k.id FROM api_keys k WHERE k.expires_at <= $1 \
          ORDER BY k.expires_at LIMIT 0 + $2)")
        .bind(until)
        .bind(rows_max)
        .run()
        .await
}
