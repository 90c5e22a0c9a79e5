//! Links that become others: how older systems change what a role has and who has it.

use stylobate_core::{PermissionId, RequestContext, RoleAssignmentId, RoleId, RolePermissionId};
use stylobate_db::Tx;

use super::{Rbac, audit, require_owner, scope_of};
use crate::{
    Assignee, Effect, RbacError, RoleAssignment, RolePermission, Written,
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
        let standing = self.standing(&context.principal).await?;
        let (rbac, asking) = (self.clone(), context.clone());
        let replace = async move |tx: &mut Tx| -> Result<Written<RolePermission>, RbacError> {
            let change = rbac.begin_change(tx, &asking.principal, owner).await?;
            let found = grants::find(tx, owner, id).await?;
            let before = found.ok_or(RbacError::NotFound { entity: "role_permission" })?;
            require_owner(before.tenant_id, owner)?;
            let after = RolePermission {
                role_id: role.unwrap_or(before.role_id),
                permission_id: permission.unwrap_or(before.permission_id),
                ..before.clone()
            };
            if after == before {
                return rbac.finish_change(tx, change, after).await;
            }
            rbac.owned_role(tx, owner, after.role_id).await?;
            rbac.permission_to_rule_on(tx, owner, after.permission_id).await?;
            let own = rbac.own(tx, &asking.principal, Some(&standing), owner, &[]).await?;
            if before.effect == Effect::Deny || owner.is_none() {
                own.require_claims([own.denied(before.permission_id)])?;
            }
            own.require_claims([own.claim(after.permission_id, after.effect, after.condition.clone())])?;
            grants::delete(tx, &before).await?;
            grants::insert(tx, &after).await?;
            let target = ("role_permission", id);
            audit(tx, &asking, "role.perm.update", target, owner, Some(&before), Some(&after));
            rbac.finish_change(tx, change, after).await
        };
        let replaced = self.db.transact(scope_of(owner, "change a link of a platform role"), replace).await?;
        self.settle(owner).await;
        Ok(replaced)
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
        let standing = self.standing(&context.principal).await?;
        let (rbac, asking) = (self.clone(), context.clone());
        let replace = async move |tx: &mut Tx| -> Result<Written<RoleAssignment>, RbacError> {
            let change = rbac.begin_change(tx, &asking.principal, owner).await?;
            let found = assignments::find(tx, owner, id).await?;
            // SQLite shows the platform's rows as well.
            let before = found
                .filter(|found| found.tenant_id == owner)
                .ok_or(RbacError::NotFound { entity: "role_assignment" })?;
            let after = RoleAssignment {
                assignee: assignee.unwrap_or(before.assignee),
                role_id: role.unwrap_or(before.role_id),
                ..before.clone()
            };
            if after == before {
                return rbac.finish_change(tx, change, after).await;
            }
            rbac.owned_role(tx, owner, after.role_id).await?;
            let roles = [before.role_id, after.role_id];
            let own = rbac.own(tx, &asking.principal, Some(&standing), owner, &roles).await?;
            own.require_taking_role(before.role_id, before.expires_at)?;
            own.require_role(after.role_id, after.expires_at)?;
            assignments::delete(tx, &before).await?;
            assignments::insert(tx, &after).await?;
            let target = ("role_assignment", id);
            audit(tx, &asking, "role.assign.update", target, owner, Some(&before), Some(&after));
            rbac.finish_change(tx, change, after).await
        };
        let replaced = self.db.transact(scope_of(owner, "change who has a platform role"), replace).await?;
        self.settle(owner).await;
        Ok(replaced)
    }
}
