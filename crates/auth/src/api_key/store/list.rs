use chrono::{DateTime, Utc};
use stylobate_core::{CursorInvalid, KeyOwner, Page, TenantId};
use stylobate_db::{Conn, Error, Keyset, KeysetKey, SqlBuilder};

use super::KeyRow;
use crate::api_key::{ApiKey, ApiKeyEnvironment, ApiKeyQuery};

/// The order and place of a page.
pub(in crate::api_key) fn keyset(query: &ApiKeyQuery) -> Result<Keyset, CursorInvalid> {
    let cursor = query.cursor.as_deref();
    Keyset::new("created_at", "k.created_at", "k.id", true, query.direction, query.limit, cursor)
}

/// How many rows a count looks at before it gives up: nobody reads a larger number.
const COUNT_MAX: i64 = 10_000;

/// The page of `query`. `keyset` was made by [`keyset`].
pub(in crate::api_key) async fn list(
    conn: &mut Conn,
    tenant: TenantId,
    query: &ApiKeyQuery,
    keyset: &Keyset,
    environment: ApiKeyEnvironment,
    now: DateTime<Utc>,
) -> Result<Page<ApiKey>, Error> {
    let mut sql = conn.builder(concat!("SELECT ", columns!(), " FROM api_keys k WHERE k.tenant_id = "));
    sql.value(tenant.as_uuid());
    push_filter(&mut sql, query, now);
    keyset.push(&mut sql);
    let rows: Vec<KeyRow> = conn.q_build(sql).all().await?;
    let page = keyset.page(rows, |row| (KeysetKey::Time(row.created_at), row.id));
    let items = page.items.into_iter().map(|row| row.into_key(environment)).collect::<Result<_, _>>()?;
    Ok(Page { items, next_cursor: page.next_cursor, total: page.total })
}

/// How many keys `query` has over all pages, up to 10,000.
pub(in crate::api_key) async fn count(
    conn: &mut Conn,
    tenant: TenantId,
    query: &ApiKeyQuery,
    now: DateTime<Utc>,
) -> Result<u64, Error> {
    let mut sql = conn.builder("SELECT count(*) FROM (SELECT k.id FROM api_keys k WHERE k.tenant_id = ");
    sql.value(tenant.as_uuid());
    push_filter(&mut sql, query, now);
    sql.limit(COUNT_MAX).push(") counted");
    let count: i64 = conn.q_build(sql).scalar().await?;
    Ok(u64::try_from(count).unwrap_or_default())
}

fn push_filter(sql: &mut SqlBuilder, query: &ApiKeyQuery, now: DateTime<Utc>) {
    match query.owner {
        Some(KeyOwner::Person { id }) => drop(sql.push(" AND k.owner_person_id = ").value(id.as_uuid())),
        Some(KeyOwner::Service { id }) => drop(sql.push(" AND k.owner_service_id = ").value(id.as_uuid())),
        None => {}
    }
    match query.is_active {
        Some(true) => {
            sql.push(" AND k.is_active AND k.revoked_at IS NULL AND k.expires_at > ").value(now);
        }
        Some(false) => {
            sql.push(" AND (NOT k.is_active OR k.revoked_at IS NOT NULL OR k.expires_at <= ")
                .value(now)
                .push(")");
        }
        None => {}
    }
}
