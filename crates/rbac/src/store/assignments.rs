use chrono::{DateTime, Utc};
use stylobate_core::{Page, PersonId, RoleAssignmentId, RoleId, TenantId};
use stylobate_db::{Conn, Keyset, KeysetKey, SqlBuilder, Tx};

use super::{
    Visible,
    columns::{End, Id, Said, Time, end, shown_assignee},
    is_of, readable_ids, tenant_uuid, total,
};
use crate::{Assignee, AssigneeKind, AssignmentQuery, Effect, RbacError, RoleAssignment};

#[derive(sqlx::FromRow)]
struct AssignmentRow {
    id: Id,
    tenant_id: Option<Id>,
    subject_kind: Said<AssigneeKind>,
    subject_id: Id,
    role_id: Id,
    assigned_at: Time,
    expires_at: End,
}

impl From<AssignmentRow> for RoleAssignment {
    fn from(row: AssignmentRow) -> Self {
        Self {
            id: row.id.or_nil().into(),
            tenant_id: row.tenant_id.map(|id| id.or_nil().into()),
            assignee: shown_assignee(&row.subject_kind, row.subject_id),
            role_id: row.role_id.or_nil().into(),
            assigned_at: row.assigned_at.or_epoch(),
            // Who has a role until nobody knows when has it no longer.
            expires_at: end(Effect::Allow, row.expires_at),
        }
    }
}

fn all(rows: Vec<AssignmentRow>) -> Vec<RoleAssignment> {
    rows.into_iter().map(RoleAssignment::from).collect()
}

pub(crate) async fn insert(tx: &mut Tx, assignment: &RoleAssignment) -> Result<(), RbacError> {
    tx.q("INSERT INTO role_assignments (id, tenant_id, subject_kind, subject_id, role_id, assigned_at, expires_at)
          VALUES ($1, $2, $3, $4, $5, $6, $7)")
        .bind(assignment.id.as_uuid())
        .bind(tenant_uuid(assignment.tenant_id))
        .bind(assignment.assignee.kind.as_str())
        .bind(assignment.assignee.id)
        .bind(assignment.role_id.as_uuid())
        .bind(assignment.assigned_at)
        .bind(assignment.expires_at)
        .run()
        .await
        .map_err(|error| RbacError::from(error).or_taken(RbacError::AlreadyAssigned, "role"))?;
    Ok(())
}

pub(crate) async fn find(
    conn: &mut Conn,
    tenant: Option<TenantId>,
    id: RoleAssignmentId,
) -> Result<Option<RoleAssignment>, RbacError> {
    let row = conn
        .q("SELECT id, tenant_id, subject_kind, subject_id, role_id, assigned_at, expires_at FROM role_assignments
            WHERE id = $1 AND (tenant_id = $2 OR tenant_id IS NULL)")
        .bind(id.as_uuid())
        .bind(tenant_uuid(tenant))
        .opt::<AssignmentRow>()
        .await?;
    Ok(row.map(RoleAssignment::from))
}

pub(crate) async fn find_pair(
    conn: &mut Conn,
    tenant: Option<TenantId>,
    assignee: Assignee,
    role: RoleId,
) -> Result<Option<RoleAssignment>, RbacError> {
    let row = conn
        .q("SELECT id, tenant_id, subject_kind, subject_id, role_id, assigned_at, expires_at FROM role_assignments
            WHERE role_id = $1 AND subject_kind = $2 AND subject_id = $3 AND (tenant_id = $4 OR tenant_id IS NULL)")
        .bind(role.as_uuid())
        .bind(assignee.kind.as_str())
        .bind(assignee.id)
        .bind(tenant_uuid(tenant))
        .opt::<AssignmentRow>()
        .await?;
    Ok(row.map(RoleAssignment::from))
}

/// Writes when `assignment` ends.
pub(crate) async fn update(tx: &mut Tx, assignment: &RoleAssignment) -> Result<(), RbacError> {
    tx.q(
        "UPDATE role_assignments SET expires_at = $1 WHERE id = $2 AND (tenant_id = $3 OR tenant_id IS NULL)",
    )
    .bind(assignment.expires_at)
    .bind(assignment.id.as_uuid())
    .bind(tenant_uuid(assignment.tenant_id))
    .run()
    .await?;
    Ok(())
}

/// Whether the subject has an active role of the platform at `now`.
pub(crate) async fn has_platform_role(
    conn: &mut Conn,
    assignee: Assignee,
    now: DateTime<Utc>,
) -> Result<bool, RbacError> {
    let found = conn
        .q("SELECT a.id FROM role_assignments AS a JOIN roles AS r ON r.id = a.role_id
            WHERE a.tenant_id IS NULL AND a.subject_kind = $1 AND a.subject_id = $2 AND r.is_active = $3
            AND (a.expires_at IS NULL OR a.expires_at > $4) LIMIT 1")
        .bind(assignee.kind.as_str())
        .bind(assignee.id)
        .bind(true)
        .bind(now)
        .scalar_opt::<Id>()
        .await?;
    Ok(found.is_some())
}

/// Whether the platform has given the subject a role or made a rule for it, be it switched off or expired; needs platform
/// scope.
pub(crate) async fn is_on_platform(conn: &mut Conn, assignee: Assignee) -> Result<bool, RbacError> {
    let found = conn
        .q("SELECT id FROM role_assignments WHERE tenant_id IS NULL AND subject_kind = $1 AND subject_id = $2
            UNION ALL
            SELECT id FROM permission_overrides WHERE tenant_id IS NULL AND subject_kind = $1 AND subject_id = $2
            UNION ALL
            SELECT id FROM acl_entries WHERE tenant_id IS NULL AND subject_kind = $1 AND subject_id = $2
            LIMIT 1")
        .bind(assignee.kind.as_str())
        .bind(assignee.id)
        .scalar_opt::<Id>()
        .await?;
    Ok(found.is_some())
}

/// Who has this role of the platform for good; needs platform scope. Groups are left out: they may be empty.
pub(crate) async fn holders_on_platform(
    conn: &mut Conn,
    role: RoleId,
) -> Result<Vec<RoleAssignment>, RbacError> {
    let rows = conn
        .q("SELECT id, tenant_id, subject_kind, subject_id, role_id, assigned_at, expires_at FROM role_assignments
            WHERE tenant_id IS NULL AND role_id = $1 AND expires_at IS NULL AND subject_kind IN ('person', 'service')")
        .bind(role.as_uuid())
        .all::<AssignmentRow>()
        .await?;
    Ok(all(rows))
}

/// The people who have this role of the tenant for good, not by a group.
pub(crate) async fn people_with(
    conn: &mut Conn,
    tenant: TenantId,
    role: RoleId,
) -> Result<Vec<Assignee>, RbacError> {
    let rows = conn
        .q("SELECT subject_id FROM role_assignments
            WHERE tenant_id = $1 AND role_id = $2 AND expires_at IS NULL AND subject_kind = 'person'")
        .bind(tenant.as_uuid())
        .bind(role.as_uuid())
        .all::<(Id,)>()
        .await?;
    let person = |(Id(id),): (Id,)| Some(Assignee { kind: AssigneeKind::Person, id: id? });
    Ok(rows.into_iter().filter_map(person).collect())
}

/// The people who have this role of the tenant for good by a group: the group first.
pub(crate) async fn people_with_by_groups(
    conn: &mut Conn,
    tenant: TenantId,
    role: RoleId,
) -> Result<Vec<(Assignee, Assignee)>, RbacError> {
    let rows = conn
        .q("SELECT m.group_id, m.subject_id FROM role_assignments AS a
            JOIN group_members AS m ON m.tenant_id = a.tenant_id AND m.group_id = a.subject_id
            WHERE a.tenant_id = $1 AND a.role_id = $2 AND a.expires_at IS NULL AND a.subject_kind = 'group'
            AND m.subject_kind = 'person'")
        .bind(tenant.as_uuid())
        .bind(role.as_uuid())
        .all::<(Id, Id)>()
        .await?;
    let of = |kind, Id(id): Id| Some(Assignee { kind, id: id? });
    let pair = |(group, person)| Some((of(AssigneeKind::Group, group)?, of(AssigneeKind::Person, person)?));
    Ok(rows.into_iter().filter_map(pair).collect())
}

/// Everything the subject has of exactly this owner, which is at most what people assigned by hand.
pub(crate) async fn of_assignee(
    conn: &mut Conn,
    owner: Option<TenantId>,
    assignee: Assignee,
) -> Result<Vec<RoleAssignment>, RbacError> {
    let rows = conn
        .q("SELECT id, tenant_id, subject_kind, subject_id, role_id, assigned_at, expires_at FROM role_assignments
            WHERE (tenant_id = $1 OR tenant_id IS NULL) AND subject_kind = $2 AND subject_id = $3")
        .bind(tenant_uuid(owner))
        .bind(assignee.kind.as_str())
        .bind(assignee.id)
        .all::<AssignmentRow>()
        .await?;
    // SQLite shows the platform's rows as well.
    Ok(all(rows.into_iter().filter(|row| is_of(row.tenant_id, owner)).collect()))
}

/// What the groups of the tenant have in which the subject is.
pub(crate) async fn by_groups(
    conn: &mut Conn,
    tenant: TenantId,
    subject: Assignee,
) -> Result<Vec<RoleAssignment>, RbacError> {
    let rows = conn
        .q("SELECT id, tenant_id, subject_kind, subject_id, role_id, assigned_at, expires_at FROM role_assignments
            WHERE tenant_id = $1 AND subject_kind = 'group' AND subject_id IN (
                SELECT group_id FROM group_members WHERE tenant_id = $1 AND subject_id = $2 AND subject_kind = $3)")
        .bind(tenant.as_uuid())
        .bind(subject.id)
        .bind(subject.kind.as_str())
        .all::<AssignmentRow>()
        .await?;
    Ok(all(rows))
}

/// The subject's assignments of these roles.
pub(crate) async fn of_roles(
    conn: &mut Conn,
    visible: Visible,
    assignee: Assignee,
    roles: &[RoleId],
) -> Result<Vec<RoleAssignment>, RbacError> {
    let mut sql = conn.builder(
        "SELECT id, tenant_id, subject_kind, subject_id, role_id, assigned_at, expires_at FROM role_assignments WHERE ",
    );
    visible.push(&mut sql, "tenant_id");
    sql.push(" AND subject_kind = ").value(assignee.kind.as_str());
    sql.push(" AND subject_id = ").value(assignee.id);
    sql.push(" AND role_id IN ").list(roles.iter().map(|role| role.as_uuid()));
    Ok(all(conn.q_build(sql).all::<AssignmentRow>().await?))
}

/// Which roles of exactly this tenant people have at `now`, by assignments of their own.
pub(crate) async fn held_by_people(
    conn: &mut Conn,
    tenant: TenantId,
    people: &[PersonId],
    now: DateTime<Utc>,
) -> Result<Vec<(PersonId, RoleId)>, RbacError> {
    if people.is_empty() {
        return Ok(Vec::new());
    }
    let mut sql = conn.builder("SELECT subject_id, role_id FROM role_assignments WHERE tenant_id = ");
    sql.value(tenant.as_uuid()).push(" AND subject_kind = 'person' AND subject_id IN ");
    sql.list(people.iter().map(|person| person.as_uuid()));
    sql.push(" AND (expires_at IS NULL OR expires_at > ").value(now).push(") ORDER BY role_id");
    let rows = conn.q_build(sql).all::<(Id, Id)>().await?;
    Ok(rows.into_iter().map(|(person, role)| (person.or_nil().into(), role.or_nil().into())).collect())
}

/// Everything the subject has anywhere; needs platform scope.
pub(crate) async fn of_assignee_everywhere(
    conn: &mut Conn,
    assignee: Assignee,
) -> Result<Vec<RoleAssignment>, RbacError> {
    let rows = conn
        .q("SELECT id, tenant_id, subject_kind, subject_id, role_id, assigned_at, expires_at FROM role_assignments
            WHERE subject_kind = $1 AND subject_id = $2")
        .bind(assignee.kind.as_str())
        .bind(assignee.id)
        .all::<AssignmentRow>()
        .await?;
    // A tenant that cannot be read has no policy that these could count in.
    Ok(all(rows.into_iter().filter(|row| row.tenant_id.is_none_or(|id| id.0.is_some())).collect()))
}

pub(crate) async fn delete(tx: &mut Tx, assignment: &RoleAssignment) -> Result<(), RbacError> {
    // Named by what is unique of it too: either may be what is damaged.
    tx.q("DELETE FROM role_assignments WHERE tenant_id IS NOT DISTINCT FROM $1
          AND (id = $2 OR (role_id = $3 AND subject_kind = $4 AND subject_id = $5))")
        .bind(tenant_uuid(assignment.tenant_id))
        .bind(assignment.id.as_uuid())
        .bind(assignment.role_id.as_uuid())
        .bind(assignment.assignee.kind.as_str())
        .bind(assignment.assignee.id)
        .run()
        .await?;
    Ok(())
}

pub(crate) async fn list(
    conn: &mut Conn,
    visible: Visible,
    query: &AssignmentQuery,
) -> Result<Page<RoleAssignment>, RbacError> {
    let keyset = Keyset::new(
        "assigned_at",
        "assigned_at",
        "id",
        true,
        query.direction,
        query.limit,
        query.cursor.as_deref(),
    )?;
    let filters = |sql: &mut SqlBuilder| {
        sql.push(" WHERE ");
        visible.push(sql, "tenant_id");
        readable_ids(sql);
        if let Some(assignee) = query.assignee {
            sql.push(" AND subject_kind = ").value(assignee.kind.as_str());
            sql.push(" AND subject_id = ").value(assignee.id);
        }
        if let Some(kind) = query.kind {
            let known = [AssigneeKind::Person, AssigneeKind::Service, AssigneeKind::Group];
            let others = known.into_iter().filter(|known| *known != kind);
            sql.push(" AND subject_kind NOT IN ").list(others.map(AssigneeKind::as_str));
        }
        if let Some(role) = query.role_id {
            sql.push(" AND role_id = ").value(role.as_uuid());
        }
    };
    let mut sql = conn.builder(
        "SELECT id, tenant_id, subject_kind, subject_id, role_id, assigned_at, expires_at FROM role_assignments",
    );
    filters(&mut sql);
    keyset.push(&mut sql);
    let rows = conn.q_build(sql).all::<AssignmentRow>().await?;
    let page = keyset.page(rows, |row| (KeysetKey::Time(row.assigned_at.or_epoch()), row.id.or_nil()));
    let total = if query.with_total { Some(total(conn, "role_assignments", filters).await?) } else { None };
    Ok(Page { items: all(page.items), next_cursor: page.next_cursor, total })
}
