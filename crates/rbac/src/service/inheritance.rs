use stylobate_core::{RequestContext, RoleId, TenantId};
use stylobate_db::Tx;

use super::{Rbac, audit, require_owner, scope_of};
use crate::{
    RbacError, RoleParent, Written,
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
        let standing = self.standing(&context.principal).await?;
        let (rbac, asking) = (self.clone(), context.clone());
        let add = async move |tx: &mut Tx| -> Result<Written<RoleParent>, RbacError> {
            let change = rbac.begin_change(tx, &asking.principal, owner).await?;
            rbac.owned_role(tx, owner, role).await?;
            rbac.owned_role(tx, owner, parent).await?;
            rbac.require_no_cycle(tx, owner, role, parent).await?;
            let own = rbac.own(tx, &asking.principal, Some(&standing), owner, &[parent]).await?;
            own.require_role(parent, None)?;
            let link =
                RoleParent { tenant_id: owner, role_id: role, parent_id: parent, created_at: rbac.now() };
            parents::insert(tx, &link).await?;
            audit(tx, &asking, "role.parent.add", ("role", role), owner, None::<&RoleParent>, Some(&link));
            rbac.finish_change(tx, change, link).await
        };
        let link = self.db.transact(scope_of(owner, "let a platform role inherit"), add).await?;
        self.settle(owner).await;
        Ok(link)
    }

    /// Asked under the lock of the epoch, so that two links that close a cycle together cannot both be written.
    async fn require_no_cycle(
        &self,
        tx: &mut Tx,
        owner: Option<TenantId>,
        role: RoleId,
        parent: RoleId,
    ) -> Result<(), RbacError> {
        let links = parents::of_owner(tx, owner).await?;
        if climb(&links, parent, |_| true).contains(&role) {
            return Err(RbacError::RoleCycle);
        }
        if links.iter().filter(|(heir, _)| *heir == role).count() >= PARENTS_MAX {
            return Err(too_many_parents());
        }
        Ok(())
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
        let standing = self.standing(&context.principal).await?;
        let (rbac, asking) = (self.clone(), context.clone());
        let remove = async move |tx: &mut Tx| -> Result<Written<()>, RbacError> {
            let change = rbac.begin_change(tx, &asking.principal, owner).await?;
            let link = parents::find(tx, owner, role, parent).await?.ok_or(NOT_FOUND)?;
            require_owner(link.tenant_id, owner)?;
            let own = rbac.own(tx, &asking.principal, Some(&standing), owner, &[parent]).await?;
            own.require_taking_role(parent, None)?;
            parents::delete(tx, &link).await?;
            audit(tx, &asking, "role.parent.remove", ("role", role), owner, Some(&link), None::<&RoleParent>);
            rbac.finish_change(tx, change, ()).await
        };
        let removed =
            self.db.transact(scope_of(owner, "end the inheritance of a platform role"), remove).await?;
        self.settle(owner).await;
        Ok(removed)
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
