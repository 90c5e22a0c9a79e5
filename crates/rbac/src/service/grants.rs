use stylobate_core::{Page, PermissionId, RequestContext, RoleId, RolePermissionId};
use stylobate_db::Tx;

use super::{Rbac, audit, require_owner, scope_of};
use crate::{
    Permission, RbacError, RolePermission, RolePermissionQuery,
    key::is_pattern,
    store::{Visible, grants, permissions},
};

const NOT_FOUND: RbacError = RbacError::NotFound { entity: "role_permission" };

/// How a caller names a link.
#[derive(Clone, Copy)]
enum Link {
    Pair(RoleId, PermissionId),
    Id(RolePermissionId),
}

impl Rbac {
    /// Attaches a permission to a role of the caller's tenant.
    ///
    /// # Errors
    /// [`RbacError::NotFound`], [`RbacError::AlreadyAttached`]; [`RbacError::PlatformOwned`] when the role is the
    /// platform's, or the permission is one that only platform roles can have; [`RbacError::BeyondOwn`] when the caller
    /// does not have the permission.
    pub async fn attach(
        &self,
        context: &RequestContext,
        role: RoleId,
        permission: PermissionId,
    ) -> Result<RolePermission, RbacError> {
        let owner = context.principal.tenant;
        let is_of_platform = self.is_of_platform(&context.principal).await;
        let (rbac, asking) = (self.clone(), context.clone());
        let attach = async move |tx: &mut Tx| -> Result<RolePermission, RbacError> {
            rbac.begin_change(tx, &asking.principal, owner).await?;
            rbac.owned_role(tx, owner, role).await?;
            let found = permissions::find(tx, owner, permission).await?;
            let found = found.ok_or(RbacError::NotFound { entity: "permission" })?;
            if owner.is_some() && rbac.is_platform_only(&found) {
                return Err(RbacError::PlatformOwned);
            }
            rbac.require_within_own(tx, &asking.principal, is_of_platform, owner, &[permission]).await?;
            let now = rbac.now();
            let link = RolePermission {
                id: RolePermissionId::new(now),
                tenant_id: owner,
                role_id: role,
                permission_id: permission,
                created_at: now,
                effect: crate::Effect::Allow,
                condition: None,
            };
            grants::insert(tx, &link).await?;
            let target = ("role_permission", link.id);
            audit(tx, &asking, "role.perm.assign", target, owner, None::<&RolePermission>, Some(&link));
            Ok(link)
        };
        let link = self.db.transact(scope_of(owner, "attach to a platform role"), attach).await?;
        self.settle(owner).await;
        Ok(link)
    }

    /// Whether the permission opens more than one tenant's own: declared so, or a pattern of the platform.
    fn is_platform_only(&self, permission: &Permission) -> bool {
        let declared = self.catalogue().find(&permission.key).is_some_and(|found| found.is_platform);
        permission.tenant_id.is_none() && (declared || is_pattern(&permission.key))
    }

    /// Detaches a permission from a role of the caller's tenant.
    ///
    /// # Errors
    /// [`RbacError::NotFound`], [`RbacError::PlatformOwned`].
    pub async fn detach(
        &self,
        context: &RequestContext,
        role: RoleId,
        permission: PermissionId,
    ) -> Result<(), RbacError> {
        self.detach_link(context, Link::Pair(role, permission)).await
    }

    /// Detaches by the id of the link.
    ///
    /// # Errors
    /// [`RbacError::NotFound`], [`RbacError::PlatformOwned`].
    pub async fn delete_role_permission(
        &self,
        context: &RequestContext,
        id: RolePermissionId,
    ) -> Result<(), RbacError> {
        self.detach_link(context, Link::Id(id)).await
    }

    async fn detach_link(&self, context: &RequestContext, link: Link) -> Result<(), RbacError> {
        let owner = context.principal.tenant;
        let (rbac, asking) = (self.clone(), context.clone());
        let detach = async move |tx: &mut Tx| -> Result<(), RbacError> {
            rbac.begin_change(tx, &asking.principal, owner).await?;
            let found = match link {
                Link::Pair(role, permission) => grants::find_pair(tx, owner, role, permission).await?,
                Link::Id(id) => grants::find(tx, owner, id).await?,
            };
            let link = found.ok_or(NOT_FOUND)?;
            require_owner(link.tenant_id, owner)?;
            grants::delete(tx, &link).await?;
            let target = ("role_permission", link.id);
            audit(tx, &asking, "role.perm.revoke", target, owner, Some(&link), None::<&RolePermission>);
            Ok(())
        };
        self.db.transact(scope_of(owner, "detach from a platform role"), detach).await?;
        self.settle(owner).await;
        Ok(())
    }

    /// The link with this id.
    ///
    /// # Errors
    /// The database's own.
    pub async fn find_role_permission(
        &self,
        context: &RequestContext,
        id: RolePermissionId,
    ) -> Result<Option<RolePermission>, RbacError> {
        let owner = context.principal.tenant;
        let mut tx = self.db.begin_read(scope_of(owner, "read a link of a platform role")).await?;
        let link = grants::find(&mut tx, owner, id).await?;
        tx.rollback().await?;
        Ok(link)
    }

    /// Lists links between roles and permissions, those of platform roles among them.
    ///
    /// # Errors
    /// [`RbacError::Cursor`].
    pub async fn list_role_permissions(
        &self,
        context: &RequestContext,
        query: &RolePermissionQuery,
    ) -> Result<Page<RolePermission>, RbacError> {
        let owner = context.principal.tenant;
        let mut tx = self.db.begin_read(scope_of(owner, "list links of platform roles")).await?;
        let page = grants::list(&mut tx, Visible { tenant: owner, platform_too: true }, query).await?;
        tx.rollback().await?;
        Ok(page)
    }
}
