use stylobate_core::{Page, PermissionId, RoleId, TenantId};
use stylobate_db::{Conn, Keyset, KeysetKey, SqlBuilder, Tx};

use super::{
    Visible,
    columns::{Id, Said, Time},
    contains, readable_ids, tenant_uuid, total,
};
use crate::{Permission, PermissionOrder, PermissionQuery, RbacError};

#[derive(sqlx::FromRow)]
struct PermissionRow {
    id: Id,
    tenant_id: Option<Id>,
    key: Said<String>,
    description: Option<Said<String>>,
    is_active: bool,
    version: i64,
    created_at: Time,
    updated_at: Time,
}

impl From<PermissionRow> for Permission {
    fn from(row: PermissionRow) -> Self {
        Self {
            id: row.id.or_nil().into(),
            tenant_id: row.tenant_id.map(|id| id.or_nil().into()),
            key: row.key.or_empty(),
            description: row.description.map(Said::or_empty),
            is_active: row.is_active,
            version: row.version,
            created_at: row.created_at.or_epoch(),
            updated_at: row.updated_at.or_epoch(),
        }
    }
}

pub(crate) async fn insert(tx: &mut Tx, permission: &Permission) -> Result<(), RbacError> {
    tx.q("INSERT INTO permissions (id, tenant_id, key, description, is_active, version, created_at, updated_at)
          VALUES ($1, $2, $3, $4, $5, $6, $7, $8)")
        .bind(permission.id.as_uuid())
        .bind(tenant_uuid(permission.tenant_id))
        .bind(permission.key.clone())
        .bind(permission.description.clone())
        .bind(permission.is_active)
        .bind(permission.version)
        .bind(permission.created_at)
        .bind(permission.updated_at)
        .run()
        .await
        .map_err(|error| RbacError::from(error).or_taken(RbacError::PermissionKeyTaken, "permission"))?;
    Ok(())
}

/// The permission, when it is the tenant's own or the platform's.
pub(crate) async fn find(
    conn: &mut Conn,
    tenant: Option<TenantId>,
    id: PermissionId,
) -> Result<Option<Permission>, RbacError> {
    let row = conn
        .q("SELECT id, tenant_id, key, description, is_active, version, created_at, updated_at FROM permissions
            WHERE id = $1 AND (tenant_id = $2 OR tenant_id IS NULL)")
        .bind(id.as_uuid())
        .bind(tenant_uuid(tenant))
        .opt::<PermissionRow>()
        .await?;
    Ok(row.map(Permission::from))
}

/// The keys of the platform's permissions, as far as they can be read, and which ids they have.
pub(crate) async fn platform_keys(conn: &mut Conn) -> Result<Vec<(Option<PermissionId>, String)>, RbacError> {
    let rows = conn.q("SELECT id, key FROM permissions WHERE tenant_id IS NULL");
    let rows = rows.all::<(Id, Said<String>)>().await?;
    Ok(rows.into_iter().filter_map(|(Id(id), Said(key))| Some((id.map(PermissionId::from), key?))).collect())
}

/// Whether the platform has a permission with this key.
pub(crate) async fn platform_has(conn: &mut Conn, key: &str) -> Result<bool, RbacError> {
    let found = conn
        .q("SELECT id FROM permissions WHERE tenant_id IS NULL AND key = $1")
        .bind(key.to_owned())
        .scalar_opt::<Id>()
        .await?;
    Ok(found.is_some())
}

/// Writes what `permission` says, if the row still has `seen` as version; tells whether it had.
pub(crate) async fn update(tx: &mut Tx, permission: &Permission, seen: i64) -> Result<bool, RbacError> {
    let changed = tx
        .q("UPDATE permissions SET key = $1, description = $2, is_active = $3, version = $4, updated_at = $5
            WHERE id = $6 AND version = $7 AND (tenant_id = $8 OR tenant_id IS NULL)")
        .bind(permission.key.clone())
        .bind(permission.description.clone())
        .bind(permission.is_active)
        .bind(permission.version)
        .bind(permission.updated_at)
        .bind(permission.id.as_uuid())
        .bind(seen)
        .bind(tenant_uuid(permission.tenant_id))
        .run()
        .await
        .map_err(|error| RbacError::from(error).or_taken(RbacError::PermissionKeyTaken, "permission"))?;
    Ok(changed == 1)
}

/// Deletes the permission; its links go with it.
pub(crate) async fn delete(tx: &mut Tx, permission: &Permission) -> Result<(), RbacError> {
    tx.q("DELETE FROM permissions WHERE id = $1 AND (tenant_id = $2 OR tenant_id IS NULL)")
        .bind(permission.id.as_uuid())
        .bind(tenant_uuid(permission.tenant_id))
        .run()
        .await?;
    Ok(())
}

/// Whether any rule that the transaction sees denies it. A platform permission may also be denied by rules of tenants, which
/// a transaction of platform scope sees.
pub(crate) async fn is_denied_anywhere(conn: &mut Conn, id: PermissionId) -> Result<bool, RbacError> {
    let found = conn
        .q("SELECT id FROM role_permissions WHERE permission_id = $1 AND effect <> 'allow'
            UNION ALL SELECT id FROM permission_overrides WHERE permission_id = $1 AND effect <> 'allow'
            UNION ALL SELECT id FROM acl_entries WHERE permission_id = $1 AND effect <> 'allow' LIMIT 1")
        .bind(id.as_uuid())
        .scalar_opt::<Id>()
        .await?;
    Ok(found.is_some())
}

/// Lists the permissions of `visible`; with `role`, only those that the role has.
pub(crate) async fn list(
    conn: &mut Conn,
    visible: Visible,
    role: Option<RoleId>,
    query: &PermissionQuery,
) -> Result<Page<Permission>, RbacError> {
    let (name, column, is_time) = match query.order_by {
        PermissionOrder::Key => ("key", "key", false),
        PermissionOrder::CreatedAt => ("created_at", "created_at", true),
    };
    let keyset =
        Keyset::new(name, column, "id", is_time, query.direction, query.limit, query.cursor.as_deref())?;
    let filters = |sql: &mut SqlBuilder| {
        sql.push(" WHERE ");
        visible.push(sql, "permissions.tenant_id");
        readable_ids(sql);
        if let Some(is_active) = query.is_active {
            sql.push(" AND is_active = ").value(is_active);
        }
        if let Some(search) = &query.search {
            sql.push(" AND key LIKE ").value(contains(search)).push(r" ESCAPE '\'");
        }
        if let Some(role) = role {
            sql.push(" AND EXISTS (SELECT 1 FROM role_permissions AS rp WHERE rp.permission_id = permissions.id AND ");
            visible.push(sql, "rp.tenant_id");
            sql.push(" AND rp.role_id = ").value(role.as_uuid()).push(")");
        }
    };
    let mut sql = conn.builder(
        "SELECT id, tenant_id, key, description, is_active, version, created_at, updated_at FROM permissions",
    );
    filters(&mut sql);
    keyset.push(&mut sql);
    let rows = conn.q_build(sql).all::<PermissionRow>().await?;
    let mut page = keyset.page(rows, |row| match query.order_by {
        PermissionOrder::Key => (KeysetKey::Text(row.key.clone().or_empty()), row.id.or_nil()),
        PermissionOrder::CreatedAt => (KeysetKey::Time(row.created_at.or_epoch()), row.id.or_nil()),
    });
    if query.with_total {
        page.total = Some(total(conn, "permissions", filters).await?);
    }
    Ok(page.map(Permission::from))
}
