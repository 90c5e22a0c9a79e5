use chrono::{DateTime, Utc};
use stylobate_core::{CursorInvalid, Page, ServiceId, TenantId};
use stylobate_db::{Conn, Error, Keyset, KeysetKey, Sql, SqlBuilder, Tx};
use uuid::Uuid;

use super::{ServiceAccount, ServiceAccountQuery, ServiceAccountStatus, ServiceGrant};
use crate::people;

#[derive(sqlx::FromRow)]
struct AccountRow {
    id: Uuid,
    tenant_id: Uuid,
    name: String,
    description: Option<String>,
    status: String,
    version: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl TryFrom<AccountRow> for ServiceAccount {
    type Error = Error;

    fn try_from(row: AccountRow) -> Result<Self, Error> {
        let status = match row.status.as_str() {
            "active" => ServiceAccountStatus::Active,
            "disabled" => ServiceAccountStatus::Disabled,
            _ => {
                let source = format!("unknown status of service account {}", row.id).into();
                return Err(Error::BadRow { column: "service_accounts.status".to_owned(), source });
            }
        };
        Ok(Self {
            id: ServiceId::from_uuid(row.id),
            tenant_id: TenantId::from_uuid(row.tenant_id),
            name: row.name,
            description: row.description,
            status,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}

macro_rules! select {
    ($end:literal) => {
        concat!(
            "SELECT a.id, a.tenant_id, a.name, a.description, a.status, a.version, a.created_at, a.updated_at \
             FROM service_accounts a WHERE a.tenant_id = ",
            $end
        )
    };
}

pub(super) async fn find(
    conn: &mut Conn,
    tenant: TenantId,
    id: ServiceId,
) -> Result<Option<ServiceAccount>, Error> {
    let row = conn.q(select!("$1 AND a.id = $2")).bind(tenant.as_uuid()).bind(id.as_uuid());
    row.opt::<AccountRow>().await?.map(ServiceAccount::try_from).transpose()
}

/// Whether an account is active and as it was when something said `version` of it.
pub(crate) async fn is_current(
    conn: &mut Conn,
    tenant: TenantId,
    id: ServiceId,
    version: i64,
) -> Result<bool, Error> {
    let found = find(conn, tenant, id).await?;
    Ok(found.is_some_and(|account| account.is_active() && account.version == version))
}

/// Reads an account of `tenant` and keeps others from changing it until the transaction ends.
pub(crate) async fn lock(
    tx: &mut Tx,
    tenant: TenantId,
    id: ServiceId,
) -> Result<Option<ServiceAccount>, Error> {
    let pg = select!("$1 AND a.id = $2 FOR NO KEY UPDATE");
    let row =
        tx.q(Sql::Per { pg, lite: select!("$1 AND a.id = $2") }).bind(tenant.as_uuid()).bind(id.as_uuid());
    row.opt::<AccountRow>().await?.map(ServiceAccount::try_from).transpose()
}

/// The order and place of a page.
pub(super) fn keyset(query: &ServiceAccountQuery) -> Result<Keyset, CursorInvalid> {
    let cursor = query.cursor.as_deref();
    Keyset::new("created_at", "a.created_at", "a.id", true, query.direction, query.limit, cursor)
}

/// How many rows a count looks at before it gives up: nobody reads a larger number.
const COUNT_MAX: i64 = 10_000;

/// The page of `query`. `keyset` was made by [`keyset`].
pub(super) async fn list(
    conn: &mut Conn,
    tenant: TenantId,
    query: &ServiceAccountQuery,
    keyset: &Keyset,
) -> Result<Page<ServiceAccount>, Error> {
    let mut sql = conn.builder(select!(""));
    sql.value(tenant.as_uuid());
    push_filter(&mut sql, query);
    keyset.push(&mut sql);
    let rows: Vec<AccountRow> = conn.q_build(sql).all().await?;
    let page = keyset.page(rows, |row| (KeysetKey::Time(row.created_at), row.id));
    let items = page.items.into_iter().map(ServiceAccount::try_from).collect::<Result<_, _>>()?;
    Ok(Page { items, next_cursor: page.next_cursor, total: page.total })
}

/// How many accounts `query` has over all pages, up to 10,000.
pub(super) async fn count(
    conn: &mut Conn,
    tenant: TenantId,
    query: &ServiceAccountQuery,
) -> Result<u64, Error> {
    let mut sql =
        conn.builder("SELECT count(*) FROM (SELECT a.id FROM service_accounts a WHERE a.tenant_id = ");
    sql.value(tenant.as_uuid());
    push_filter(&mut sql, query);
    sql.limit(COUNT_MAX).push(") counted");
    let count: i64 = conn.q_build(sql).scalar().await?;
    Ok(u64::try_from(count).unwrap_or_default())
}

fn push_filter(sql: &mut SqlBuilder, query: &ServiceAccountQuery) {
    if let Some(status) = query.status {
        sql.push(" AND a.status = ").value(status.as_str());
    }
}

/// What must be unique in a tenant.
fn key(name: &str) -> String {
    people::fold(name.trim())
}

pub(super) async fn insert(tx: &mut Tx, account: &ServiceAccount) -> Result<(), Error> {
    tx.q("INSERT INTO service_accounts (id, tenant_id, name, name_key, description, status, version, created_at, \
          updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8)")
        .bind(account.id.as_uuid())
        .bind(account.tenant_id.as_uuid())
        .bind(account.name.clone())
        .bind(key(&account.name))
        .bind(account.description.clone())
        .bind(account.status.as_str())
        .bind(account.version)
        .bind(account.created_at)
        .run()
        .await?;
    Ok(())
}

/// Writes what may change of an account that is locked.
pub(super) async fn update(tx: &mut Tx, account: &ServiceAccount) -> Result<(), Error> {
    tx.q(
        "UPDATE service_accounts SET name = $1, name_key = $2, description = $3, status = $4, version = $5, \
          updated_at = $6 WHERE id = $7",
    )
    .bind(account.name.clone())
    .bind(key(&account.name))
    .bind(account.description.clone())
    .bind(account.status.as_str())
    .bind(account.version)
    .bind(account.updated_at)
    .bind(account.id.as_uuid())
    .run()
    .await?;
    Ok(())
}

/// Disables the active accounts of a tenant until [`enable_with_tenant`]. Returns how many.
pub(crate) async fn disable_with_tenant(
    tx: &mut Tx,
    tenant: TenantId,
    now: DateTime<Utc>,
) -> Result<u64, Error> {
    macro_rules! disable {
        ($end:literal) => {
            concat!(
                "UPDATE service_accounts SET status = 'disabled', disabled_with_tenant = $1, version = version + 1, \
                 updated_at = $2 WHERE id IN \
                 (SELECT a.id FROM service_accounts a WHERE a.tenant_id = $3 AND a.status = 'active'",
                $end,
                ")"
            )
        };
    }
    tx.q(Sql::Per { pg: disable!(" ORDER BY a.id FOR NO KEY UPDATE"), lite: disable!("") })
        .bind(true)
        .bind(now)
        .bind(tenant.as_uuid())
        .run()
        .await
}

/// Enables the accounts of a tenant that were disabled with it, and that nobody has decided about since. Returns how many.
pub(crate) async fn enable_with_tenant(
    tx: &mut Tx,
    tenant: TenantId,
    now: DateTime<Utc>,
) -> Result<u64, Error> {
    macro_rules! enable {
        ($end:literal) => {
            concat!(
                "UPDATE service_accounts SET status = 'active', disabled_with_tenant = $1, version = version + 1, \
                 updated_at = $2 WHERE id IN \
                 (SELECT a.id FROM service_accounts a WHERE a.tenant_id = $3 AND a.disabled_with_tenant",
                $end,
                ")"
            )
        };
    }
    tx.q(Sql::Per { pg: enable!(" ORDER BY a.id FOR NO KEY UPDATE"), lite: enable!("") })
        .bind(false)
        .bind(now)
        .bind(tenant.as_uuid())
        .run()
        .await
}

/// Has an account that is locked stay as it is when its tenant comes back.
pub(super) async fn forget_tenant_end(tx: &mut Tx, id: ServiceId) -> Result<(), Error> {
    tx.q("UPDATE service_accounts SET disabled_with_tenant = $1 WHERE id = $2")
        .bind(false)
        .bind(id.as_uuid())
        .run()
        .await?;
    Ok(())
}

/// Removes an account with its keys.
pub(super) async fn delete(tx: &mut Tx, id: ServiceId) -> Result<(), Error> {
    tx.q("DELETE FROM service_accounts WHERE id = $1").bind(id.as_uuid()).run().await?;
    Ok(())
}

/// What an account may do where, by audience.
pub(super) async fn grants(conn: &mut Conn, id: ServiceId) -> Result<Vec<ServiceGrant>, Error> {
    let rows: Vec<(String, String)> = conn
        .q("SELECT audience, operation FROM service_grants WHERE service_id = $1 ORDER BY audience, operation")
        .bind(id.as_uuid())
        .all()
        .await?;
    let mut grants: Vec<ServiceGrant> = Vec::new();
    for (audience, operation) in rows {
        match grants.last_mut() {
            Some(last) if last.audience == audience => last.operations.push(operation),
            _ => grants.push(ServiceGrant { audience, operations: vec![operation] }),
        }
    }
    Ok(grants)
}

/// What an account may do at one audience.
pub(super) async fn operations_at(
    conn: &mut Conn,
    id: ServiceId,
    audience: &str,
) -> Result<Vec<String>, Error> {
    let rows: Vec<(String,)> = conn
        .q("SELECT operation FROM service_grants WHERE service_id = $1 AND audience = $2 ORDER BY operation")
        .bind(id.as_uuid())
        .bind(audience.to_owned())
        .all()
        .await?;
    Ok(rows.into_iter().map(|(operation,)| operation).collect())
}

/// Writes what an account, which is locked, may do where, instead of what it might before.
pub(super) async fn replace_grants(tx: &mut Tx, id: ServiceId, grants: &[ServiceGrant]) -> Result<(), Error> {
    tx.q("DELETE FROM service_grants WHERE service_id = $1").bind(id.as_uuid()).run().await?;
    for ServiceGrant { audience, operations } in grants {
        for operation in operations {
            tx.q("INSERT INTO service_grants (service_id, audience, operation) VALUES ($1, $2, $3)")
                .bind(id.as_uuid())
                .bind(audience.clone())
                .bind(operation.clone())
                .run()
                .await?;
        }
    }
    Ok(())
}
