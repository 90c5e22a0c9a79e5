use stylobate_core::{Page, PermissionId, RoleId, RolePermissionId, TenantId};
use stylobate_db::{Conn, Keyset, KeysetKey, SqlBuilder, Tx};

use super::{
    Visible,
    columns::{Id, Said, Time, rule},
    readable_ids, tenant_uuid, total,
};
use crate::{Condition, Effect, RbacError, RolePermission, RolePermissionQuery, model::condition_text};

#[derive(sqlx::FromRow)]
struct GrantRow {
    id: Id,
    tenant_id: Option<Id>,
    role_id: Id,
    permission_id: Id,
    effect: Said<Effect>,
    condition: Option<Said<Condition>>,
    created_at: Time,
}

impl From<GrantRow> for RolePermission {
    fn from(row: GrantRow) -> Self {
        let (effect, condition) = rule(row.effect, row.condition);
        Self {
            id: row.id.or_nil().into(),
            tenant_id: row.tenant_id.map(|id| id.or_nil().into()),
            role_id: row.role_id.or_nil().into(),
            permission_id: row.permission_id.or_nil().into(),
            effect,
            condition,
            created_at: row.created_at.or_epoch(),
        }
    }
}

/// The links between `role` and these permissions.
pub(crate) async fn of_permissions(
    conn: &mut Conn,
    role: RoleId,
    permissions: &[PermissionId],
) -> Result<Vec<RolePermission>, RbacError> {
    if permissions.is_empty() {
        return Ok(Vec::new());
    }
    let mut sql = conn.builder(
        "SELECT id, tenant_id, role_id, permission_id, effect, condition, created_at FROM role_permissions WHERE role_id = ",
    );
    sql.value(role.as_uuid()).push(" AND permission_id IN (");
    for (place, permission) in permissions.iter().enumerate() {
        sql.push(if place == 0 { "" } else { ", " }).value(permission.as_uuid());
    }
    sql.push(")");
    let rows = conn.q_build(sql).all::<GrantRow>().await?;
    Ok(rows.into_iter().map(RolePermission::from).collect())
}

pub(crate) async fn insert(tx: &mut Tx, grant: &RolePermission) -> Result<(), RbacError> {
    tx.q(
        "INSERT INTO role_permissions (id, tenant_id, role_id, permission_id, effect, condition, created_at)
          VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(grant.id.as_uuid())
    .bind(tenant_uuid(grant.tenant_id))
    .bind(grant.role_id.as_uuid())
    .bind(grant.permission_id.as_uuid())
    .bind(grant.effect.as_str())
    .bind(condition_text(grant.condition.as_ref())?)
    .bind(grant.created_at)
    .run()
    .await
    .map_err(|error| RbacError::from(error).or_taken(RbacError::AlreadyAttached, "permission"))?;
    Ok(())
}

/// The permissions of a role.
pub(crate) async fn of_role(conn: &mut Conn, role: RoleId) -> Result<Vec<PermissionId>, RbacError> {
    let rows = conn
        .q("SELECT permission_id FROM role_permissions WHERE role_id = $1")
        .bind(role.as_uuid())
        .all::<(Id,)>()
        .await?;
    Ok(rows.into_iter().filter_map(|(id,)| id.0.map(PermissionId::from)).collect())
}

pub(crate) async fn find(
    conn: &mut Conn,
    tenant: Option<TenantId>,
    id: RolePermissionId,
) -> Result<Option<RolePermission>, RbacError> {
    let row = conn
        .q("SELECT id, tenant_id, role_id, permission_id, effect, condition, created_at FROM role_permissions
            WHERE id = $1 AND (tenant_id = $2 OR tenant_id IS NULL)")
        .bind(id.as_uuid())
        .bind(tenant_uuid(tenant))
        .opt::<GrantRow>()
        .await?;
    Ok(row.map(RolePermission::from))
}

pub(crate) async fn find_pair(
    conn: &mut Conn,
    tenant: Option<TenantId>,
    role: RoleId,
    permission: PermissionId,
) -> Result<Option<RolePermission>, RbacError> {
    let row = conn
        .q("SELECT id, tenant_id, role_id, permission_id, effect, condition, created_at FROM role_permissions
            WHERE role_id = $1 AND permission_id = $2 AND (tenant_id = $3 OR tenant_id IS NULL)")
        .bind(role.as_uuid())
        .bind(permission.as_uuid())
        .bind(tenant_uuid(tenant))
        .opt::<GrantRow>()
        .await?;
    Ok(row.map(RolePermission::from))
}

/// Writes effect and condition of `grant`.
pub(crate) async fn update(tx: &mut Tx, grant: &RolePermission) -> Result<(), RbacError> {
    tx.q("UPDATE role_permissions SET effect = $1, condition = $2
          WHERE id = $3 AND (tenant_id = $4 OR tenant_id IS NULL)")
        .bind(grant.effect.as_str())
        .bind(condition_text(grant.condition.as_ref())?)
        .bind(grant.id.as_uuid())
        .bind(tenant_uuid(grant.tenant_id))
        .run()
        .await?;
    Ok(())
}

pub(crate) async fn delete(tx: &mut Tx, grant: &RolePermission) -> Result<(), RbacError> {
    // Named by what is unique of it too: either may be what is damaged.
    tx.q("DELETE FROM role_permissions WHERE tenant_id IS NOT DISTINCT FROM $1
          AND (id = $2 OR (role_id = $3 AND permission_id = $4))")
        .bind(tenant_uuid(grant.tenant_id))
        .bind(grant.id.as_uuid())
        .bind(grant.role_id.as_uuid())
        .bind(grant.permission_id.as_uuid())
        .run()
        .await?;
    Ok(())
}

pub(crate) async fn list(
    conn: &mut Conn,
    visible: Visible,
    query: &RolePermissionQuery,
) -> Result<Page<RolePermission>, RbacError> {
    let keyset = Keyset::new(
        "created_at",
        "created_at",
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
        if let Some(role) = query.role_id {
            sql.push(" AND role_id = ").value(role.as_uuid());
        }
        if let Some(permission) = query.permission_id {
            sql.push(" AND permission_id = ").value(permission.as_uuid());
        }
    };
    let mut sql = conn.builder(
        "SELECT id, tenant_id, role_id, permission_id, effect, condition, created_at FROM role_permissions",
    );
    filters(&mut sql);
    keyset.push(&mut sql);
    let rows = conn.q_build(sql).all::<GrantRow>().await?;
    let mut page = keyset.page(rows, |row| (KeysetKey::Time(row.created_at.or_epoch()), row.id.or_nil()));
    if query.with_total {
        page.total = Some(total(conn, "role_permissions", filters).await?);
    }
    Ok(page.map(RolePermission::from))
}
