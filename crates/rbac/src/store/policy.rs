use stylobate_core::TenantId;
use stylobate_db::Conn;
use uuid::Uuid;

use super::epochs;
use crate::{
    Assignee, AssigneeKind, Policy, PolicyAssignment, PolicyGrant, PolicyPermission, PolicyRole, RbacError,
};

/// Reads the whole policy of `owner`, from a transaction that shows one state.
pub(crate) async fn load(conn: &mut Conn, owner: Option<TenantId>) -> Result<Policy, RbacError> {
    let mut policy = load_roles(conn, owner).await?;
    let assignments = match owner {
        Some(tenant) => conn
            .q("SELECT subject_kind, subject_id, role_id FROM role_assignments WHERE tenant_id = $1")
            .bind(tenant.as_uuid()),
        None => {
            conn.q("SELECT subject_kind, subject_id, role_id FROM role_assignments WHERE tenant_id IS NULL")
        }
    };
    let assignments = assignments.all::<(String, Uuid, Uuid)>().await?;
    // Kinds that this version does not know give nothing.
    let known = assignments.into_iter().filter_map(|(kind, id, role)| {
        let kind = kind.parse::<AssigneeKind>().ok()?;
        Some(PolicyAssignment::new(Assignee { kind, id }, role.into()))
    });
    policy.assignments = known.collect();
    Ok(policy)
}

/// The same without who has the roles, which is the long part.
pub(crate) async fn load_roles(conn: &mut Conn, owner: Option<TenantId>) -> Result<Policy, RbacError> {
    let epoch = epochs::find(conn, owner).await?;
    let permissions = match owner {
        Some(tenant) => conn
            .q("SELECT id, key, is_active FROM permissions WHERE tenant_id = $1 OR tenant_id IS NULL")
            .bind(tenant.as_uuid()),
        None => conn.q("SELECT id, key, is_active FROM permissions WHERE tenant_id IS NULL"),
    };
    let permissions = permissions.all::<(Uuid, String, bool)>().await?;
    let roles = match owner {
        Some(tenant) => conn.q("SELECT id, is_active FROM roles WHERE tenant_id = $1").bind(tenant.as_uuid()),
        None => conn.q("SELECT id, is_active FROM roles WHERE tenant_id IS NULL"),
    };
    let roles = roles.all::<(Uuid, bool)>().await?;
    let grants = match owner {
        Some(tenant) => conn
            .q("SELECT role_id, permission_id FROM role_permissions WHERE tenant_id = $1")
            .bind(tenant.as_uuid()),
        None => conn.q("SELECT role_id, permission_id FROM role_permissions WHERE tenant_id IS NULL"),
    };
    let grants = grants.all::<(Uuid, Uuid)>().await?;
    Ok(Policy {
        epoch,
        permissions: permissions
            .into_iter()
            .map(|(id, key, is_active)| PolicyPermission { id: id.into(), key, is_active })
            .collect(),
        roles: roles.into_iter().map(|(id, is_active)| PolicyRole { id: id.into(), is_active }).collect(),
        grants: grants
            .into_iter()
            .map(|(role, permission)| PolicyGrant::allow(role.into(), permission.into()))
            .collect(),
        ..Policy::default()
    })
}
