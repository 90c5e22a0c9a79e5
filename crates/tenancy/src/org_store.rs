//! Every statement on `orgs` and `memberships`.

use chrono::{DateTime, Utc};
use stylobate_core::{PersonId, TenantId};
use stylobate_db::{Conn, Tx};
use uuid::Uuid;

use crate::{DefaultOrg, Error, Membership, MembershipStatus, Org, OrgCode};

#[derive(sqlx::FromRow)]
struct OrgRow {
    id: Uuid,
    code: String,
    name: String,
    is_active: bool,
    is_default: bool,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    version: i64,
}

impl TryFrom<OrgRow> for Org {
    type Error = Error;

    fn try_from(row: OrgRow) -> Result<Self, Error> {
        let bad = |column| Error::RowInvalid { table: "orgs", column, id: row.id };
        Ok(Self {
            id: row.id.into(),
            code: row.code.parse().map_err(|_| bad("code"))?,
            name: row.name.parse().map_err(|_| bad("name"))?,
            is_active: row.is_active,
            is_default: row.is_default,
            created_at: row.created_at,
            updated_at: row.updated_at,
            version: row.version,
        })
    }
}

pub(crate) async fn find_org(conn: &mut Conn, id: TenantId) -> Result<Option<Org>, Error> {
    let row: Option<OrgRow> = conn
        .q("SELECT id, code, name, is_active, is_default, created_at, updated_at, version FROM orgs WHERE id = $1")
        .bind(id.as_uuid())
        .opt()
        .await?;
    row.map(Org::try_from).transpose()
}

pub(crate) async fn org_ids(
    conn: &mut Conn,
    after: Option<TenantId>,
    limit: i64,
) -> Result<Vec<TenantId>, Error> {
    let ids: Vec<(Uuid,)> = conn
        .q("SELECT id FROM orgs WHERE id > $1 ORDER BY id LIMIT 0 + $2")
        // Nil is nobody's id, and before all others.
        .bind(after.map_or(Uuid::nil(), |id| id.as_uuid()))
        .bind(limit)
        .all()
        .await?;
    Ok(ids.into_iter().map(|(id,)| TenantId::from_uuid(id)).collect())
}

pub(crate) async fn find_org_by_code(conn: &mut Conn, code: &OrgCode) -> Result<Option<Org>, Error> {
    let row: Option<OrgRow> = conn
        .q("SELECT id, code, name, is_active, is_default, created_at, updated_at, version FROM orgs \
            WHERE code_folded = $1")
        .bind(code.folded())
        .opt()
        .await?;
    row.map(Org::try_from).transpose()
}

pub(crate) async fn find_default_org(conn: &mut Conn) -> Result<Option<Org>, Error> {
    let row: Option<OrgRow> = conn
        .q("SELECT id, code, name, is_active, is_default, created_at, updated_at, version FROM orgs \
            WHERE is_default = $1")
        .bind(true)
        .opt()
        .await?;
    row.map(Org::try_from).transpose()
}

/// Makes the default organisation unless any of its unique values is taken; tells whether it was made.
pub(crate) async fn insert_default_org(
    tx: &mut Tx,
    id: TenantId,
    org: &DefaultOrg,
    now: DateTime<Utc>,
) -> Result<bool, Error> {
    let rows = tx
        .q("INSERT INTO orgs (id, code, code_folded, name, is_active, is_default, created_at, updated_at, version) \
            VALUES ($1, $2, $3, $4, $5, $5, $6, $6, 1) ON CONFLICT DO NOTHING")
        .bind(id.as_uuid())
        .bind(org.code.as_str().to_owned())
        .bind(org.code.folded())
        .bind(org.name.as_str().to_owned())
        .bind(true)
        .bind(now)
        .run()
        .await?;
    Ok(rows == 1)
}

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
            org_code: row.code.parse().map_err(|_| bad("orgs", "code"))?,
            org_name: row.name.parse().map_err(|_| bad("orgs", "name"))?,
            org_is_active: row.is_active,
            status: match row.status.as_str() {
                "active" => MembershipStatus::Active,
                "suspended" => MembershipStatus::Suspended,
                _ => return Err(bad("memberships", "status")),
            },
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

/// Adds an active membership unless there is one, of whatever status; tells whether it was added.
pub(crate) async fn insert_membership(
    tx: &mut Tx,
    tenant: TenantId,
    person: PersonId,
    now: DateTime<Utc>,
) -> Result<bool, stylobate_db::Error> {
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
