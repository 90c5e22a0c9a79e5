use stylobate_core::{Page, PermissionId, RequestContext, RoleId, RolePermissionId, TenantId};
use stylobate_db::Tx;

use super::{Rbac, change::Change, gives_everything, require_owner, scope_of};
use crate::{
    Effect, GrantRule, Permission, RbacError, RolePermission, RolePermissionQuery, Written,
    key::is_pattern,
    model,
    store::{Visible, grants, permissions, roles},
};

const NOT_FOUND: RbacError = RbacError::NotFound { entity: "role_permission" };

/// How a caller names a link.
#[derive(Clone, Copy)]
enum Link {
    Pair(RoleId, PermissionId),
    Id(RolePermissionId),
}

impl Rbac {
    /// Attaches a permission to a role of the caller's tenant, which then always allows it.
    ///
    /// # Errors
    /// As [`attach_rule`](Self::attach_rule).
    pub async fn attach(
        &self,
        context: &RequestContext,
        role: RoleId,
        permission: PermissionId,
    ) -> Result<Written<RolePermission>, RbacError> {
        self.attach_rule(context, role, permission, GrantRule::default()).await
    }

    /// Attaches a permission to a role of the caller's tenant, to be allowed or denied as `rule` says. A role has one rule
    /// about a permission.
    ///
    /// # Errors
    /// [`RbacError::NotFound`], [`RbacError::AlreadyAttached`]; [`RbacError::Invalid`] for a condition past its bounds;
    /// [`RbacError::PlatformOwned`] when the role is the platform's, or the permission is one that only platform roles can
    /// have; [`RbacError::BeyondOwn`] when the caller does not have the permission, be it to allow or to deny it;
    /// [`RbacError::LastSuperAdministrator`].
    pub async fn attach_rule(
        &self,
        context: &RequestContext,
        role: RoleId,
        permission: PermissionId,
        rule: GrantRule,
    ) -> Result<Written<RolePermission>, RbacError> {
        model::condition_text(rule.condition.as_ref())?;
        let owner = context.principal.tenant;
        let attach = async move |tx: &mut Tx, change: &Change| -> Result<RolePermission, RbacError> {
            change.rbac.owned_role(tx, owner, role).await?;
            change.rbac.permission_to_rule_on(tx, owner, permission).await?;
            let own = change.own(tx, &[]).await?;
            own.require_claims([own.claim(permission, rule.effect, rule.condition.clone())])?;
            let now = change.rbac.now();
            let link = RolePermission {
                id: RolePermissionId::new(now),
                tenant_id: owner,
                role_id: role,
                permission_id: permission,
                effect: rule.effect,
                condition: rule.condition.clone(),
                created_at: now,
            };
            grants::insert(tx, &link).await?;
            let target = ("role_permission", link.id);
            change.audit(tx, "role.perm.assign", target, None::<&RolePermission>, Some(&link));
            Ok(link)
        };
        self.change(context, "attach to a platform role", attach).await
    }

    /// Changes whether and when a role allows or denies a permission that it has.
    ///
    /// # Errors
    /// As [`attach_rule`](Self::attach_rule); [`RbacError::BeyondOwn`] also when a denial is to be lifted of what the
    /// caller does not have.
    pub async fn update_role_permission(
        &self,
        context: &RequestContext,
        id: RolePermissionId,
        rule: GrantRule,
    ) -> Result<Written<RolePermission>, RbacError> {
        model::condition_text(rule.condition.as_ref())?;
        let owner = context.principal.tenant;
        let update = async move |tx: &mut Tx, change: &Change| -> Result<RolePermission, RbacError> {
            let before = grants::find(tx, owner, id).await?.ok_or(NOT_FOUND)?;
            require_owner(before.tenant_id, owner)?;
            let after =
                RolePermission { effect: rule.effect, condition: rule.condition.clone(), ..before.clone() };
            if after == before {
                return Ok(after);
            }
            let own = change.own(tx, &[]).await?;
            own.require_claims([own.claim(before.permission_id, rule.effect, rule.condition.clone())])?;
            if before.effect == Effect::Deny {
                own.require_claims([own.denied(before.permission_id)])?;
            }
            grants::update(tx, &after).await?;
            let target = ("role_permission", id);
            change.audit(tx, "role.perm.update", target, Some(&before), Some(&after));
            Ok(after)
        };
        self.change(context, "change a link of a platform role", update).await
    }

    /// Refuses a permission that no rule of the caller's tenant may be about, as [`attach_rule`](Self::attach_rule) and
    /// [`set_override`](Self::set_override) do; for policies that nobody has written.
    ///
    /// # Errors
    /// [`RbacError::NotFound`]; [`RbacError::PlatformOwned`] when only platform roles can have it.
    pub async fn require_may_rule_on(
        &self,
        context: &RequestContext,
        permission: PermissionId,
    ) -> Result<(), RbacError> {
        let owner = context.principal.tenant;
        let mut tx = self.db.begin_read(scope_of(owner, "read a platform permission")).await?;
        let refused = self.permission_to_rule_on(&mut tx, owner, permission).await;
        tx.rollback().await?;
        refused
    }

    /// Refuses a permission that rules of `owner` may not be about.
    pub(super) async fn permission_to_rule_on(
        &self,
        tx: &mut Tx,
        owner: Option<TenantId>,
        id: PermissionId,
    ) -> Result<(), RbacError> {
        let found = permissions::find(tx, owner, id).await?;
        let found = found.ok_or(RbacError::NotFound { entity: "permission" })?;
        if owner.is_none() && found.tenant_id.is_some() {
            return Err(RbacError::NotFound { entity: "permission" });
        }
        if owner.is_some() && self.is_platform_only(&found) {
            return Err(RbacError::PlatformOwned);
        }
        Ok(())
    }

    /// Whether the permission opens more than one tenant's own: declared so, or a pattern of the platform.
    fn is_platform_only(&self, permission: &Permission) -> bool {
        self.is_platform_key(&permission.key)
            || (permission.tenant_id.is_none() && is_pattern(&permission.key))
    }

    /// Detaches a permission from a role of the caller's tenant.
    ///
    /// # Errors
    /// [`RbacError::NotFound`], [`RbacError::PlatformOwned`], [`RbacError::LastSuperAdministrator`];
    /// [`RbacError::BeyondOwn`] when the role denied the permission and the caller does not have it, and for the
    /// platform's roles and a tenant's role of all permissions also when it allowed it: nobody would be left to give back
    /// what was taken from that one.
    pub async fn detach(
        &self,
        context: &RequestContext,
        role: RoleId,
        permission: PermissionId,
    ) -> Result<Written<()>, RbacError> {
        self.detach_link(context, Link::Pair(role, permission)).await
    }

    /// Detaches by the id of the link.
    ///
    /// # Errors
    /// As [`detach`](Self::detach).
    pub async fn delete_role_permission(
        &self,
        context: &RequestContext,
        id: RolePermissionId,
    ) -> Result<Written<()>, RbacError> {
        self.detach_link(context, Link::Id(id)).await
    }

    async fn detach_link(&self, context: &RequestContext, link: Link) -> Result<Written<()>, RbacError> {
        let owner = context.principal.tenant;
        let detach = async move |tx: &mut Tx, change: &Change| -> Result<(), RbacError> {
            let found = match link {
                Link::Pair(role, permission) => grants::find_pair(tx, owner, role, permission).await?,
                Link::Id(id) => grants::find(tx, owner, id).await?,
            };
            let link = found.ok_or(NOT_FOUND)?;
            require_owner(link.tenant_id, owner)?;
            change.require_may_detach(tx, &link).await?;
            grants::delete(tx, &link).await?;
            let target = ("role_permission", link.id);
            change.audit(tx, "role.perm.revoke", target, Some(&link), None::<&RolePermission>);
            Ok(())
        };
        self.change(context, "detach from a platform role", detach).await
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

impl Change {
    /// Refuses to detach what the caller does not have, where that gives something back or nobody could.
    pub(super) async fn require_may_detach(
        &self,
        tx: &mut Tx,
        link: &RolePermission,
    ) -> Result<(), RbacError> {
        let is_free = match (link.effect, self.owner) {
            (Effect::Deny, _) | (_, None) => false,
            (Effect::Allow, Some(_)) => {
                let role = roles::find(tx, self.owner, link.role_id).await?;
                role.is_none_or(|role| !gives_everything(self.rbac.catalogue(), &role))
            }
        };
        if is_free {
            return Ok(());
        }
        let own = self.own(tx, &[]).await?;
        own.require_claims([own.denied(link.permission_id)])
    }
}
