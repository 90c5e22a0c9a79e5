//! Links that become others: how older systems change what a role has and who has it.

use stylobate_core::{PermissionId, RequestContext, RoleAssignmentId, RoleId, RolePermissionId, TenantId};
use stylobate_db::Tx;

use super::{Rbac, change::Change, require_owner, told::tell_assignment};
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
            change.replace(tx, before, after).await
        };
        self.change(context, "change who has a platform role", replace).await
    }

    /// Gives a subject a role of `tenant` in the place of the one that it has there by itself, in a transaction that does more: the
    /// assignment keeps its id and its end. Who has none gets it for good. What groups and the platform give stays. `None` is answered
    /// when that is the role it has: nothing is written then. Call [`ensure`](Self::ensure) after the commit to have it count at once.
    ///
    /// For transactions of platform scope, as [`assign_in`](Self::assign_in).
    ///
    /// # Errors
    /// [`RbacError::SeveralRoles`]; as [`assign`](Self::assign) and [`unassign`](Self::unassign).
    pub async fn put_role_in(
        &self,
        tx: &mut Tx,
        context: &RequestContext,
        tenant: TenantId,
        assignee: impl Into<Assignee>,
        role: RoleId,
    ) -> Result<Option<Written<RoleAssignment>>, RbacError> {
        let assignee = assignee.into();
        self.lock_policy(tx, Some(tenant)).await?;
        let now = self.now();
        let all = assignments::of_assignee(tx, Some(tenant), assignee).await?;
        let (held, over): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|one| one.expires_at.is_none_or(|at| at > now));
        let mut held = held.into_iter();
        let before = match (held.next(), held.next()) {
            (_, Some(_)) => return Err(RbacError::SeveralRoles),
            (None, None) => return self.assign_in(tx, context, Some(tenant), assignee, role).await.map(Some),
            (Some(before), None) if before.role_id == role => return Ok(None),
            (Some(before), None) => before,
        };
        let change = self.begin_change(tx, context, Some(tenant), None).await?;
        let after = RoleAssignment { role_id: role, ..before.clone() };
        // One that has expired makes room.
        for over in over.iter().filter(|over| over.role_id == role) {
            assignments::delete(tx, over).await?;
        }
        let after = change.replace(tx, before, after).await?;
        change.finish(tx, after).await.map(Some)
    }
}

impl Change {
    /// Writes `after` in the place of `before`, when the caller may take the one and give the other.
    async fn replace(
        &self,
        tx: &mut Tx,
        before: RoleAssignment,
        after: RoleAssignment,
    ) -> Result<RoleAssignment, RbacError> {
        self.require_subject(tx, after.assignee).await?;
        self.rbac.owned_role(tx, self.owner, after.role_id).await?;
        let own = self.own(tx, &[before.role_id, after.role_id]).await?;
        own.require_taking_role(before.role_id, before.expires_at)?;
        own.require_role(after.role_id, after.expires_at)?;
        let administrators = self.administrators(tx, &[before.role_id]).await?;
        assignments::delete(tx, &before).await?;
        assignments::insert(tx, &after).await?;
        self.require_administrator(tx, administrators).await?;
        let target = ("role_assignment", after.id);
        self.audit(tx, "role.assign.update", target, Some(&before), Some(&after));
        tell_assignment(tx, &self.context, "role.unassigned", &before);
        tell_assignment(tx, &self.context, "role.assigned", &after);
        Ok(after)
    }
}
