//! Whose credentials a tenant sees: those of its members, in the order they joined. What a credential is, auth knows.

use chrono::{DateTime, Utc};
use stylobate::{
    core::{CursorInvalid, Direction, Page, PageLimit, PersonId, TenantId},
    db::{Conn, Error, Keyset, KeysetKey, SqlBuilder},
};
use uuid::Uuid;

/// What a list of credentials is narrowed to.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Filter {
    pub(super) person: Option<PersonId>,
    pub(super) is_active: Option<bool>,
}

pub(super) fn keyset(
    direction: Direction,
    limit: PageLimit,
    cursor: Option<&str>,
) -> Result<Keyset, CursorInvalid> {
    Keyset::new("created_at", "m.created_at", "m.person_id", true, direction, limit, cursor)
}

/// The members with a credential.
pub(super) async fn list_members(
    conn: &mut Conn,
    tenant: TenantId,
    filter: Filter,
    keyset: &Keyset,
) -> Result<Page<PersonId>, Error> {
    let mut sql = conn.builder(
        "SELECT m.created_at, m.person_id FROM memberships m \
         JOIN credentials c ON c.person_id = m.person_id AND c.kind = 'password' WHERE m.tenant_id = ",
    );
    sql.value(tenant.as_uuid());
    push_filter(&mut sql, filter);
    keyset.push(&mut sql);
    let rows: Vec<(DateTime<Utc>, Uuid)> = conn.q_build(sql).all().await?;
    let page = keyset.page(rows, |(joined_at, person)| (KeysetKey::Time(*joined_at), *person));
    Ok(page.map(|(_, person)| PersonId::from_uuid(person)))
}

/// How many rows a count looks at before it gives up: nobody reads a larger number.
const COUNT_MAX: i64 = 10_000;

pub(super) async fn count_members(conn: &mut Conn, tenant: TenantId, filter: Filter) -> Result<u64, Error> {
    let mut sql = conn.builder(
        "SELECT count(*) FROM (SELECT m.person_id FROM memberships m \
         JOIN credentials c ON c.person_id = m.person_id AND c.kind = 'password' WHERE m.tenant_id = ",
    );
    sql.value(tenant.as_uuid());
    push_filter(&mut sql, filter);
    sql.limit(COUNT_MAX).push(") counted");
    let count: i64 = conn.q_build(sql).scalar().await?;
    Ok(u64::try_from(count).unwrap_or_default())
}

fn push_filter(sql: &mut SqlBuilder, filter: Filter) {
    if let Some(person) = filter.person {
        sql.push(" AND m.person_id = ").value(person.as_uuid());
    }
    if let Some(is_active) = filter.is_active {
        sql.push(" AND c.is_active = ").value(is_active);
    }
}
