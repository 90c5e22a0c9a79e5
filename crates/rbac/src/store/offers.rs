use chrono::{DateTime, Utc};
use stylobate_core::{PermissionId, RoleId, TenantId};
use stylobate_db::{Conn, Tx};

use super::columns::Id;
use crate::RbacError;

/// How many rows one statement writes: four values each, and engines bound the values of a statement.
const ROWS_AT_ONCE: usize = 200;

/// The permissions that seeding has given `role`, whether it still has them or not.
pub(crate) async fn of_role(conn: &mut Conn, role: RoleId) -> Result<Vec<PermissionId>, RbacError> {
    let rows = conn
        .q("SELECT permission_id FROM permission_offers WHERE role_id = $1")
        .bind(role.as_uuid())
        .all::<(Id,)>()
        .await?;
    Ok(rows.into_iter().filter_map(|(Id(id),)| id.map(PermissionId::from)).collect())
}

/// Remembers that these were given to `role` of `tenant`.
pub(crate) async fn insert(
    tx: &mut Tx,
    tenant: TenantId,
    role: RoleId,
    permissions: &[PermissionId],
    now: DateTime<Utc>,
) -> Result<(), RbacError> {
    for some in permissions.chunks(ROWS_AT_ONCE) {
        let mut sql = tx
            .builder("INSERT INTO permission_offers (tenant_id, role_id, permission_id, offered_at) VALUES ");
        for (place, permission) in some.iter().enumerate() {
            sql.push(if place == 0 { "(" } else { ", (" });
            sql.value(tenant.as_uuid()).push(", ").value(role.as_uuid()).push(", ");
            sql.value(permission.as_uuid()).push(", ").value(now).push(")");
        }
        tx.q_build(sql).run().await?;
    }
    Ok(())
}
