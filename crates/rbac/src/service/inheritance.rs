use stylobate_core::{RequestContext, RoleId};
use stylobate_db::Tx;

use super::{Rbac, change::Change, require_owner, scope_of};
use crate::{
    Policy, RbacError, RoleParent, Written,
    holdings::climb,
    store::{parents, roles},
};

const NOT_FOUND: RbacError = RbacError::NotFound { entity: "role_parent" };

/// More parents than anybody keeps apart.
pub(super) const PARENTS_MAX: usize = 32;

pub(super) fn too_many_parents() -> RbacError {
    RbacError::Invalid { field: "role_id", code: "too_many", message: "has 32 parents already" }
}

impl Rbac {
    /// Lets `role` inherit all rules of `parent`, its denials too. Both belong to the caller's tenant: a tenant's role never
    /// inherits one of the platform. A role that is switched off passes nothing on.
    ///
    /// # Errors
    /// [`RbacError::NotFound`], [`RbacError::AlreadyInherited`]; [`RbacError::RoleCycle`] when `parent` inherits from `role`
    /// or is it; [`RbacError::PlatformOwned`] when one of them is the platform's; [`RbacError::BeyondOwn`] when `parent`
    /// gives more than the caller has; [`RbacError::Invalid`] when `role` has 32 parents;
    /// [`RbacError::LastSuperAdministrator`].
    pub async fn add_parent(
        &self,
        context: &RequestContext,
        role: RoleId,
        parent: RoleId,
    ) -> Result<Written<RoleParent>, RbacError> {
        let owner = context.principal.tenant;
        let add = async move |tx: &mut Tx, change: &Change| -> Result<RoleParent, RbacError> {
            change.rbac.owned_role(tx, owner, role).await?;
            change.rbac.owned_role(tx, owner, parent).await?;
            // Under the lock of the epoch, so that two links that close a cycle together cannot both be written.
            require_parent_fits(&parents::of_owner(tx, owner).await?, role, parent)?;
            let own = change.own(tx, &[parent]).await?;
            own.require_role(parent, None)?;
            let link = RoleParent {
                tenant_id: owner,
                role_id: role,
                parent_id: parent,
                created_at: change.rbac.now(),
            };
            parents::insert(tx, &link).await?;
            change.audit(tx, "role.parent.add", ("role", role), None::<&RoleParent>, Some(&link));
            Ok(link)
        };
        self.change(context, "let a platform role inherit", add).await
    }

    /// Takes the rules of `parent` from `role` again.
    ///
    /// # Errors
    /// [`RbacError::NotFound`], [`RbacError::PlatformOwned`], [`RbacError::LastSuperAdministrator`];
    /// [`RbacError::BeyondOwn`] when `parent` denies what the caller does not have, because that would be given back.
    pub async fn remove_parent(
        &self,
        context: &RequestContext,
        role: RoleId,
        parent: RoleId,
    ) -> Result<Written<()>, RbacError> {
        let owner = context.principal.tenant;
        let remove = async move |tx: &mut Tx, change: &Change| -> Result<(), RbacError> {
            let link = parents::find(tx, owner, role, parent).await?.ok_or(NOT_FOUND)?;
            require_owner(link.tenant_id, owner)?;
            let own = change.own(tx, &[parent]).await?;
            own.require_taking_role(parent, None)?;
            parents::delete(tx, &link).await?;
            change.audit(tx, "role.parent.remove", ("role", role), Some(&link), None::<&RoleParent>);
            Ok(())
        };
        self.change(context, "end the inheritance of a platform role", remove).await
    }

    /// The roles that `role` inherits from directly, oldest link first: at most 32.
    ///
    /// # Errors
    /// [`RbacError::NotFound`] when there is no such role.
    pub async fn parents_of(
        &self,
        context: &RequestContext,
        role: RoleId,
    ) -> Result<Vec<RoleParent>, RbacError> {
        let owner = context.principal.tenant;
        let mut tx = self.db.begin_read(scope_of(owner, "read the inheritance of a platform role")).await?;
        roles::find(&mut tx, owner, role).await?.ok_or(RbacError::NotFound { entity: "role" })?;
        let links = parents::of_role(&mut tx, owner, role).await?;
        tx.rollback().await?;
        Ok(links)
    }
}

impl Policy {
    /// Lets `role` inherit from `parent` in a policy that nobody has written, under the rules of
    /// [`Rbac::add_parent`]; for [`Engine::what_if`](crate::Engine::what_if).
    ///
    /// # Errors
    /// [`RbacError::RoleCycle`], [`RbacError::AlreadyInherited`]; [`RbacError::Invalid`] when `role` has 32 parents.
    pub fn add_parent(&mut self, role: RoleId, parent: RoleId) -> Result<(), RbacError> {
        require_parent_fits(&self.inheritance, role, parent)?;
        if self.inheritance.contains(&(role, parent)) {
            return Err(RbacError::AlreadyInherited);
        }
        self.inheritance.push((role, parent));
        Ok(())
    }
}

fn require_parent_fits(links: &[(RoleId, RoleId)], role: RoleId, parent: RoleId) -> Result<(), RbacError> {
    if climb(links, parent, |_| true).contains(&role) {
        return Err(RbacError::RoleCycle);
    }
    if links.iter().filter(|(heir, _)| *heir == role).count() >= PARENTS_MAX {
        return Err(too_many_parents());
    }
    Ok(())
}
