use stylobate_core::{GroupId, Page, TenantId};
use stylobate_db::{Conn, Keyset, KeysetKey, Sql, SqlBuilder, Tx};

use super::{
    columns::{Id, Said, Time, shown_assignee},
    contains, owners, readable_ids, total,
};
use crate::{
    Assignee, AssigneeKind, Group, GroupMember, GroupMemberQuery, GroupOrder, GroupQuery, RbacError,
};

#[derive(sqlx::FromRow)]
struct GroupRow {
    id: Id,
    tenant_id: Id,
    name: Said<String>,
    description: Option<Said<String>>,
    version: i64,
    created_at: Time,
    updated_at: Time,
}

impl From<GroupRow> for Group {
    fn from(row: GroupRow) -> Self {
        Self {
            id: row.id.or_nil().into(),
            tenant_id: row.tenant_id.or_nil().into(),
            name: row.name.or_empty(),
            description: row.description.map(Said::or_empty),
            version: row.version,
            created_at: row.created_at.or_epoch(),
            updated_at: row.updated_at.or_epoch(),
        }
    }
}

#[derive(sqlx::FromRow)]
struct MemberRow {
    group_id: Id,
    subject_kind: Said<AssigneeKind>,
    subject_id: Id,
    created_at: Time,
}

impl From<MemberRow> for GroupMember {
    fn from(row: MemberRow) -> Self {
        Self {
            group_id: row.group_id.or_nil().into(),
            member: shown_assignee(&row.subject_kind, row.subject_id),
            added_at: row.created_at.or_epoch(),
        }
    }
}

fn folded(name: &str) -> String {
    name.to_ascii_lowercase()
}

pub(crate) async fn insert(tx: &mut Tx, group: &Group) -> Result<(), RbacError> {
    tx.q(
        "INSERT INTO groups (id, tenant_id, name, name_folded, description, version, created_at, updated_at)
          VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(group.id.as_uuid())
    .bind(group.tenant_id.as_uuid())
    .bind(group.name.clone())
    .bind(folded(&group.name))
    .bind(group.description.clone())
    .bind(group.version)
    .bind(group.created_at)
    .bind(group.updated_at)
    .run()
    .await
    .map_err(|error| RbacError::from(error).or_taken(RbacError::GroupNameTaken, "group"))?;
    Ok(())
}

pub(crate) async fn find(conn: &mut Conn, tenant: TenantId, id: GroupId) -> Result<Option<Group>, RbacError> {
    let row = conn
        .q("SELECT id, tenant_id, name, description, version, created_at, updated_at FROM groups
            WHERE id = $1 AND tenant_id = $2")
        .bind(id.as_uuid())
        .bind(tenant.as_uuid())
        .opt::<GroupRow>()
        .await?;
    Ok(row.map(Group::from))
}

/// How many groups the tenant has.
pub(crate) async fn count(conn: &mut Conn, tenant: TenantId) -> Result<i64, RbacError> {
    let query = conn.q("SELECT count(*) FROM groups WHERE tenant_id = $1").bind(tenant.as_uuid());
    Ok(query.scalar::<i64>().await?)
}

/// Writes what `group` says, if the row still has `seen` as version; tells whether it had.
pub(crate) async fn update(tx: &mut Tx, group: &Group, seen: i64) -> Result<bool, RbacError> {
    let changed = tx
        .q("UPDATE groups SET name = $1, name_folded = $2, description = $3, version = $4, updated_at = $5
            WHERE id = $6 AND version = $7 AND tenant_id = $8")
        .bind(group.name.clone())
        .bind(folded(&group.name))
        .bind(group.description.clone())
        .bind(group.version)
        .bind(group.updated_at)
        .bind(group.id.as_uuid())
        .bind(seen)
        .bind(group.tenant_id.as_uuid())
        .run()
        .await
        .map_err(|error| RbacError::from(error).or_taken(RbacError::GroupNameTaken, "group"))?;
    Ok(changed == 1)
}

/// Deletes the group; who is in it goes with it.
pub(crate) async fn delete(tx: &mut Tx, group: &Group) -> Result<(), RbacError> {
    tx.q("DELETE FROM groups WHERE id = $1 AND tenant_id = $2")
        .bind(group.id.as_uuid())
        .bind(group.tenant_id.as_uuid())
        .run()
        .await?;
    Ok(())
}

/// Lists the groups of the tenant; with `member`, only those that it is in.
pub(crate) async fn list(
    conn: &mut Conn,
    tenant: TenantId,
    member: Option<Assignee>,
    query: &GroupQuery,
) -> Result<Page<Group>, RbacError> {
    let (name, column, is_time) = match query.order_by {
        GroupOrder::Name => ("name", "name_folded", false),
        GroupOrder::CreatedAt => ("created_at", "created_at", true),
    };
    let keyset =
        Keyset::new(name, column, "id", is_time, query.direction, query.limit, query.cursor.as_deref())?;
    let filters = |sql: &mut SqlBuilder| {
        sql.push(" WHERE groups.tenant_id = ").value(tenant.as_uuid());
        readable_ids(sql);
        if let Some(search) = &query.search {
            sql.push(" AND name_folded LIKE ").value(contains(search)).push(r" ESCAPE '\'");
        }
        if let Some(member) = member {
            sql.push(" AND EXISTS (SELECT 1 FROM group_members AS m WHERE m.group_id = groups.id");
            sql.push(" AND m.tenant_id = groups.tenant_id AND m.subject_kind = ").value(member.kind.as_str());
            sql.push(" AND m.subject_id = ").value(member.id).push(")");
        }
    };
    let mut sql =
        conn.builder("SELECT id, tenant_id, name, description, version, created_at, updated_at FROM groups");
    filters(&mut sql);
    keyset.push(&mut sql);
    let rows = conn.q_build(sql).all::<GroupRow>().await?;
    let mut page = keyset.page(rows, |row| match query.order_by {
        GroupOrder::Name => {
            (KeysetKey::Text(folded(row.name.0.as_deref().unwrap_or_default())), row.id.or_nil())
        }
        GroupOrder::CreatedAt => (KeysetKey::Time(row.created_at.or_epoch()), row.id.or_nil()),
    });
    if query.with_total {
        page.total = Some(total(conn, "groups", filters).await?);
    }
    Ok(page.map(Group::from))
}

pub(crate) async fn insert_member(
    tx: &mut Tx,
    tenant: TenantId,
    member: &GroupMember,
) -> Result<(), RbacError> {
    tx.q("INSERT INTO group_members (tenant_id, group_id, subject_kind, subject_id, created_at)
          VALUES ($1, $2, $3, $4, $5)")
        .bind(tenant.as_uuid())
        .bind(member.group_id.as_uuid())
        .bind(member.member.kind.as_str())
        .bind(member.member.id)
        .bind(member.added_at)
        .run()
        .await
        .map_err(|error| RbacError::from(error).or_taken(RbacError::AlreadyInGroup, "group"))?;
    Ok(())
}

pub(crate) async fn find_member(
    conn: &mut Conn,
    tenant: TenantId,
    group: GroupId,
    member: Assignee,
) -> Result<Option<GroupMember>, RbacError> {
    let row = conn
        .q("SELECT group_id, subject_kind, subject_id, created_at FROM group_members
            WHERE group_id = $1 AND subject_kind = $2 AND subject_id = $3 AND tenant_id = $4")
        .bind(group.as_uuid())
        .bind(member.kind.as_str())
        .bind(member.id)
        .bind(tenant.as_uuid())
        .opt::<MemberRow>()
        .await?;
    Ok(row.map(GroupMember::from))
}

/// Who is in the group, in no order.
#[cfg(feature = "casbin")]
pub(crate) async fn members_of(
    conn: &mut Conn,
    tenant: TenantId,
    group: GroupId,
) -> Result<Vec<Assignee>, RbacError> {
    let rows = conn
        .q("SELECT group_id, subject_kind, subject_id, created_at FROM group_members
            WHERE tenant_id = $1 AND group_id = $2")
        .bind(tenant.as_uuid())
        .bind(group.as_uuid())
        .all::<MemberRow>()
        .await?;
    Ok(rows.into_iter().map(|row| GroupMember::from(row).member).collect())
}

/// How many the group has.
pub(crate) async fn count_members(
    conn: &mut Conn,
    tenant: TenantId,
    group: GroupId,
) -> Result<i64, RbacError> {
    let count = conn
        .q("SELECT count(*) FROM group_members WHERE tenant_id = $1 AND group_id = $2")
        .bind(tenant.as_uuid())
        .bind(group.as_uuid())
        .scalar::<i64>()
        .await?;
    Ok(count)
}

pub(crate) async fn delete_member(
    tx: &mut Tx,
    tenant: TenantId,
    member: &GroupMember,
) -> Result<(), RbacError> {
    tx.q(
        "DELETE FROM group_members WHERE group_id = $1 AND subject_kind = $2 AND subject_id = $3 AND tenant_id = $4",
    )
    .bind(member.group_id.as_uuid())
    .bind(member.member.kind.as_str())
    .bind(member.member.id)
    .bind(tenant.as_uuid())
    .run()
    .await?;
    Ok(())
}

/// That the subject is in groups of the tenant, as far as it can be read in which.
pub(crate) async fn of_subject(
    conn: &mut Conn,
    tenant: TenantId,
    subject: Assignee,
) -> Result<Vec<GroupMember>, RbacError> {
    let rows = conn
        .q("SELECT group_id, subject_kind, subject_id, created_at FROM group_members
            WHERE subject_id = $1 AND subject_kind = $2 AND tenant_id = $3")
        .bind(subject.id)
        .bind(subject.kind.as_str())
        .bind(tenant.as_uuid())
        .all::<MemberRow>()
        .await?;
    Ok(rows.into_iter().filter(|row| row.group_id.0.is_some()).map(GroupMember::from).collect())
}

/// The tenants in whose groups the subject is; needs platform scope.
pub(crate) async fn owners_of(
    conn: &mut Conn,
    subject: Assignee,
) -> Result<Vec<Option<TenantId>>, RbacError> {
    let rows = conn
        .q("SELECT tenant_id FROM group_members WHERE subject_id = $1 AND subject_kind = $2 GROUP BY tenant_id")
        .bind(subject.id)
        .bind(subject.kind.as_str())
        .all::<(Option<Id>,)>()
        .await?;
    Ok(owners(rows))
}

/// Who is in which group of the tenant: the group first.
pub(crate) async fn all_members(
    conn: &mut Conn,
    tenant: TenantId,
) -> Result<Vec<(Id, Said<AssigneeKind>, Id)>, RbacError> {
    let rows = conn
        .q("SELECT group_id, subject_kind, subject_id FROM group_members WHERE tenant_id = $1")
        .bind(tenant.as_uuid())
        .all::<(Id, Said<AssigneeKind>, Id)>()
        .await?;
    Ok(rows)
}

/// Lists who is in the group, in the order in which they came.
pub(crate) async fn list_members(
    conn: &mut Conn,
    tenant: TenantId,
    group: GroupId,
    query: &GroupMemberQuery,
) -> Result<Page<GroupMember>, RbacError> {
    let cursor = query.cursor.as_deref();
    let keyset =
        Keyset::new("added_at", "created_at", "subject_id", true, query.direction, query.limit, cursor)?;
    let filters = |sql: &mut SqlBuilder| {
        sql.push(" WHERE tenant_id = ").value(tenant.as_uuid());
        sql.push(" AND group_id = ").value(group.as_uuid());
        // As of rows without an id: no cursor could stand behind one.
        sql.push_sql(Sql::Per { pg: "", lite: " AND length(subject_id) = 16" });
        if let Some(kind) = query.kind {
            sql.push(" AND subject_kind = ").value(kind.as_str());
        }
    };
    let mut sql = conn.builder("SELECT group_id, subject_kind, subject_id, created_at FROM group_members");
    filters(&mut sql);
    keyset.push(&mut sql);
    let rows = conn.q_build(sql).all::<MemberRow>().await?;
    let mut page =
        keyset.page(rows, |row| (KeysetKey::Time(row.created_at.or_epoch()), row.subject_id.or_nil()));
    if query.with_total {
        page.total = Some(total(conn, "group_members", filters).await?);
    }
    Ok(page.map(GroupMember::from))
}
