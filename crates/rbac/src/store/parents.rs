use stylobate_core::{RoleId, TenantId};
use stylobate_db::{Conn, Tx};

use super::{
    columns::{Id, Time},
    tenant_uuid,
};
use crate::{RbacError, RoleParent};

#[derive(sqlx::FromRow)]
struct ParentRow {
    tenant_id: Option<Id>,
    role_id: Id,
    parent_id: Id,
    created_at: Time,
}

impl From<ParentRow> for RoleParent {
    fn from(row: ParentRow) -> Self {
        Self {
            tenant_id: row.tenant_id.map(|id| id.or_nil().into()),
            role_id: row.role_id.or_nil().into(),
            parent_id: row.parent_id.or_nil().into(),
            created_at: row.created_at.or_epoch(),
        }
    }
}

pub(crate) async fn insert(tx: &mut Tx, link: &RoleParent) -> Result<(), RbacError> {
    tx.q("INSERT INTO role_parents (tenant_id, role_id, parent_id, created_at) VALUES ($1, $2, $3, $4)")
        .bind(tenant_uuid(link.tenant_id))
        .bind(link.role_id.as_uuid())
        .bind(link.parent_id.as_uuid())
        .bind(link.created_at)
        .run()
        .await
        .map_err(|error| RbacError::from(error).or_taken(RbacError::AlreadyInherited, "role"))?;
    Ok(())
}

/// Every link of exactly this owner that can be read: heir first, then parent.
pub(crate) async fn of_owner(
    conn: &mut Conn,
    owner: Option<TenantId>,
) -> Result<Vec<(RoleId, RoleId)>, RbacError> {
    let query = match owner {
        Some(tenant) => {
            conn.q("SELECT role_id, parent_id FROM role_parents WHERE tenant_id = $1").bind(tenant.as_uuid())
        }
        None => conn.q("SELECT role_id, parent_id FROM role_parents WHERE tenant_id IS NULL"),
    };
    let rows = query.all::<(Id, Id)>().await?;
    Ok(rows.into_iter().filter_map(|(Id(role), Id(parent))| Some((role?.into(), parent?.into()))).collect())
}

/// The links from `role` to its parents that can be read, oldest first.
pub(crate) async fn of_role(
    conn: &mut Conn,
    tenant: Option<TenantId>,
    role: RoleId,
) -> Result<Vec<RoleParent>, RbacError> {
    let rows = conn
        .q("SELECT tenant_id, role_id, parent_id, created_at FROM role_parents
            WHERE role_id = $1 AND (tenant_id = $2 OR tenant_id IS NULL) ORDER BY created_at, parent_id")
        .bind(role.as_uuid())
        .bind(tenant_uuid(tenant))
        .all::<ParentRow>()
        .await?;
    Ok(rows.into_iter().filter(|row| row.parent_id.0.is_some()).map(RoleParent::from).collect())
}

pub(crate) async fn find(
    conn: &mut Conn,
    tenant: Option<TenantId>,
    role: RoleId,
    parent: RoleId,
) -> Result<Option<RoleParent>, RbacError> {
    let row = conn
        .q("SELECT tenant_id, role_id, parent_id, created_at FROM role_parents
            WHERE role_id = $1 AND parent_id = $2 AND (tenant_id = $3 OR tenant_id IS NULL)")
        .bind(role.as_uuid())
        .bind(parent.as_uuid())
        .bind(tenant_uuid(tenant))
        .opt::<ParentRow>()
        .await?;
    Ok(row.map(RoleParent::from))
}

pub(crate) async fn delete(tx: &mut Tx, link: &RoleParent) -> Result<(), RbacError> {
    tx.q("DELETE FROM role_parents WHERE role_id = $1 AND parent_id = $2 AND (tenant_id = $3 OR tenant_id IS NULL)")
        .bind(link.role_id.as_uuid())
        .bind(link.parent_id.as_uuid())
        .bind(tenant_uuid(link.tenant_id))
        .run()
        .await?;
    Ok(())
}
