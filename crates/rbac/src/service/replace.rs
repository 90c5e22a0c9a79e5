//! Links that become others: how older systems change what a role has and who has it.

use stylobate_core::{PermissionId, RequestContext, RoleAssignmentId, RoleId, RolePermissionId};
use stylobate_db::Tx;

use super::{Rbac, change::Change, require_owner};
use crate::{
    Assignee, RbacError, RoleAssignment, RolePermission, Written,
    store::{assignments, grants},
};

impl Rbac {
    /// Detaches a permission from a role and attaches one to a role in its place, in one step: the link keeps its id, its
    /// effect and its condition. `None` leaves a side as it is.
    ///
    /// # Errors
    /// As [`attach_rule`](Self::attach_rule) and [`detach`](Self::detach).
    pub async fn replace_role_permission(
        &self,
        context: &RequestContext,
        id: RolePermissionId,
        role: Option<RoleId>,
        permission: Option<PermissionId>,
    ) -> Result<Written<RolePermission>, RbacError> {
        let owner = context.principal.tenant;
        let replace = async move |tx: &mut Tx, change: &Change| -> Result<RolePermission, RbacError> {
            let found = grants::find(tx, owner, id).await?;
            let before = found.ok_or(RbacError::NotFound { entity: "role_permission" })?;
            require_owner(before.tenant_id, owner)?;
            let after = RolePermission {
                role_id: role.unwrap_or(before.role_id),
                permission_id: permission.unwrap_or(before.permission_id),
                ..before.clone()
            };
            if after == before {
                return Ok(after);
            }
            change.rbac.owned_role(tx, owner, after.role_id).await?;
            change.rbac.permission_to_rule_on(tx, owner, after.permission_id).await?;
            change.require_may_detach(tx, &before).await?;
            let own = change.own(tx, &[]).await?;
            own.require_claims([own.claim(after.permission_id, after.effect, after.condition.clone())])?;
            grants::delete(tx, &before).await?;
            grants::insert(tx, &after).await?;
            let target = ("role_permission", id);
            change.audit(tx, "role.perm.update", target, Some(&before), Some(&after));
            Ok(after)
        };
        self.change(context, "change a link of a platform role", replace).await
    }

    /// Takes a role of the caller's tenant from a subject and gives one to a subject in its place, in one step: the
    /// assignment keeps its id and its end. `None` leaves a side as it is.
    ///
    /// # Errors
    /// As [`assign_until`](Self::assign_until) and [`unassign`](Self::unassign); an assignment on the platform is
    /// [`RbacError::NotFound`] to a caller in a tenant.
    pub async fn replace_assignment(
        &self,
        context: &RequestContext,
        id: RoleAssignmentId,
        assignee: Option<Assignee>,
        role: Option<RoleId>,
    ) -> Result<Written<RoleAssignment>, RbacError> {
        let owner = context.principal.tenant;
        let replace = async move |tx: &mut Tx, change: &Change| -> Result<RoleAssignment, RbacError> {
            let before = change.assignment(tx, id).await?;
            let after = RoleAssignment {
                assignee: assignee.unwrap_or(before.assignee),
                role_id: role.unwrap_or(before.role_id),
                ..before.clone()
            };
            if after == before {
                return Ok(after);
            }
            change.require_subject(tx, after.assignee).await?;
            change.rbac.owned_role(tx, owner, after.role_id).await?;
            let roles = [before.role_id, after.role_id];
            let own = change.own(tx, &roles).await?;
            own.require_taking_role(before.role_id, before.expires_at)?;
            own.require_role(after.role_id, after.expires_at)?;
            let administrators = change.administrators(tx, &[before.role_id]).await?;
            assignments::delete(tx, &before).await?;
            assignments::insert(tx, &after).await?;
            change.require_administrator(tx, administrators).await?;
            let target = ("role_assignment", id);
            change.audit(tx, "role.assign.update", target, Some(&before), Some(&after));
            Ok(after)
        };
        self.change(context, "change who has a platform role", replace).await
    }
}
