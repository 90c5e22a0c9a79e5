//! Every statement on `memberships`.

use chrono::{DateTime, Utc};
use stylobate_core::{PersonId, TenantId};
use stylobate_db::{Conn, Tx};
use uuid::Uuid;

use crate::{Error, Member, MemberCounts, Membership, MembershipStatus, OrgCode, OrgName};

#[derive(sqlx::FromRow)]
struct MembershipRow {
    tenant_id: Uuid,
    status: String,
    code: String,
    name: String,
    is_active: bool,
}

impl TryFrom<MembershipRow> for Membership {
    type Error = Error;

    fn try_from(row: MembershipRow) -> Result<Self, Error> {
        let bad = |table, column| Error::RowInvalid { table, column, id: row.tenant_id };
        Ok(Self {
            tenant_id: row.tenant_id.into(),
            org_code: OrgCode::from_stored(row.code).ok_or_else(|| bad("orgs", "code"))?,
            org_name: OrgName::from_stored(row.name).ok_or_else(|| bad("orgs", "name"))?,
            org_is_active: row.is_active,
            status: MembershipStatus::from_word(&row.status).ok_or_else(|| bad("memberships", "status"))?,
        })
    }
}

#[derive(sqlx::FromRow)]
struct MemberRow {
    person_id: Uuid,
    status: String,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl TryFrom<MemberRow> for Member {
    type Error = Error;

    fn try_from(row: MemberRow) -> Result<Self, Error> {
        let bad = Error::RowInvalid { table: "memberships", column: "status", id: row.person_id };
        Ok(Self {
            person_id: row.person_id.into(),
            status: MembershipStatus::from_word(&row.status).ok_or(bad)?,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}

pub(crate) async fn memberships_of(conn: &mut Conn, person: PersonId) -> Result<Vec<Membership>, Error> {
    let rows: Vec<MembershipRow> = conn
        .q("SELECT m.tenant_id, m.status, o.code, o.name, o.is_active FROM memberships m \
            JOIN orgs o ON o.id = m.tenant_id WHERE m.person_id = $1 ORDER BY o.code_folded")
        .bind(person.as_uuid())
        .all()
        .await?;
    rows.into_iter().map(Membership::try_from).collect()
}

pub(crate) async fn find_member(
    conn: &mut Conn,
    tenant: TenantId,
    person: PersonId,
) -> Result<Option<Member>, Error> {
    let row: Option<MemberRow> = conn
        .q("SELECT person_id, status, created_at, updated_at FROM memberships WHERE tenant_id = $1 AND person_id = $2")
        .bind(tenant.as_uuid())
        .bind(person.as_uuid())
        .opt()
        .await?;
    row.map(Member::try_from).transpose()
}

pub(crate) async fn is_member(conn: &mut Conn, tenant: TenantId, person: PersonId) -> Result<bool, Error> {
    let count: i64 = conn
        .q("SELECT count(*) FROM memberships WHERE tenant_id = $1 AND person_id = $2 AND status = 'active'")
        .bind(tenant.as_uuid())
        .bind(person.as_uuid())
        .scalar()
        .await?;
    Ok(count == 1)
}

pub(crate) async fn members_among(
    conn: &mut Conn,
    tenant: TenantId,
    people: &[PersonId],
) -> Result<Vec<PersonId>, Error> {
    let mut sql = conn.builder("SELECT person_id FROM memberships WHERE status = 'active' AND tenant_id = ");
    sql.value(tenant.as_uuid()).push(" AND person_id IN ").list(people.iter().map(|person| person.as_uuid()));
    let rows: Vec<(Uuid,)> = conn.q_build(sql).all().await?;
    Ok(rows.into_iter().map(|(id,)| id.into()).collect())
}

pub(crate) async fn count_members(conn: &mut Conn, tenant: TenantId) -> Result<MemberCounts, Error> {
    let rows: Vec<(String, i64)> = conn
        .q("SELECT status, count(*) FROM memberships WHERE tenant_id = $1 GROUP BY status")
        .bind(tenant.as_uuid())
        .all()
        .await?;
    let mut counts = MemberCounts::default();
    for (status, count) in rows {
        match MembershipStatus::from_word(&status) {
            Some(MembershipStatus::Active) => counts.active = count.unsigned_abs(),
            Some(MembershipStatus::Suspended) => counts.suspended = count.unsigned_abs(),
            None => {
                let id = tenant.as_uuid();
                return Err(Error::RowInvalid { table: "memberships", column: "status", id });
            }
        }
    }
    Ok(counts)
}

/// Adds an active membership unless there is one, of whatever status; tells whether it was added.
pub(crate) async fn insert_membership(
    tx: &mut Tx,
    tenant: TenantId,
    person: PersonId,
    now: DateTime<Utc>,
) -> Result<bool, Error> {
    let rows = tx
        .q("INSERT INTO memberships (tenant_id, person_id, status, created_at, updated_at) \
            VALUES ($1, $2, 'active', $3, $3) ON CONFLICT (tenant_id, person_id) DO NOTHING")
        .bind(tenant.as_uuid())
        .bind(person.as_uuid())
        .bind(now)
        .run()
        .await?;
    Ok(rows == 1)
}

/// Gives a membership another status; tells whether there was one that had not this one.
pub(crate) async fn update_status(
    tx: &mut Tx,
    tenant: TenantId,
    person: PersonId,
    status: MembershipStatus,
    now: DateTime<Utc>,
) -> Result<bool, Error> {
    let rows = tx
        .q("UPDATE memberships SET status = $3, updated_at = $4 \
            WHERE tenant_id = $1 AND person_id = $2 AND status <> $3")
        .bind(tenant.as_uuid())
        .bind(person.as_uuid())
        .bind(status.as_str())
        .bind(now)
        .run()
        .await?;
    Ok(rows == 1)
}

pub(crate) async fn delete_membership(
    tx: &mut Tx,
    tenant: TenantId,
    person: PersonId,
) -> Result<bool, Error> {
    let rows = tx
        .q("DELETE FROM memberships WHERE tenant_id = $1 AND person_id = $2")
        .bind(tenant.as_uuid())
        .bind(person.as_uuid())
        .run()
        .await?;
    Ok(rows == 1)
}

/// Removes every membership of `person` and returns the organisations they were in.
pub(crate) async fn delete_memberships_of(tx: &mut Tx, person: PersonId) -> Result<Vec<TenantId>, Error> {
    let rows: Vec<(Uuid,)> = tx
        .q("DELETE FROM memberships WHERE person_id = $1 RETURNING tenant_id")
        .bind(person.as_uuid())
        .all()
        .await?;
    let mut tenants: Vec<TenantId> = rows.into_iter().map(|(tenant,)| tenant.into()).collect();
    tenants.sort_unstable();
    Ok(tenants)
}

/// Removes memberships in `tenant`, at most `limit`; tells how many.
pub(crate) async fn delete_some(tx: &mut Tx, tenant: TenantId, limit: i64) -> Result<u64, Error> {
    Ok(tx
        .q("DELETE FROM memberships WHERE tenant_id = $1 AND person_id IN \
            (SELECT person_id FROM memberships WHERE tenant_id = $1 ORDER BY person_id LIMIT 0 + $2)")
        .bind(tenant.as_uuid())
        .bind(limit)
        .run()
        .await?)
}
