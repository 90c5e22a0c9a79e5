use std::collections::HashMap;

use stylobate_core::{Page, PermissionId, RequestContext, RoleId, TenantId};
use stylobate_db::{Conn, Tx};

use super::{Rbac, change::Change, require_owner, scope_of};
use crate::{
    GrantedPermission, NewPermission, Permission, PermissionKey, PermissionQuery, PermissionUpdate,
    RbacError, RolePermission, Written,
    holdings::Claim,
    meaning::is_single,
    model,
    store::{Visible, grants, permissions, roles},
};

impl Rbac {
    /// Makes a permission of the caller's tenant, for products that check permissions by names their customers choose.
    ///
    /// # Errors
    /// [`RbacError::Invalid`]; [`RbacError::PermissionKeyTaken`], also for the catalogue's names and synonyms: a tenant
    /// cannot make itself what code asks for on the platform's behalf.
    pub async fn create_permission(
        &self,
        context: &RequestContext,
        new: NewPermission,
    ) -> Result<Written<Permission>, RbacError> {
        let owner = context.principal.tenant;
        let create = async move |tx: &mut Tx, change: &Change| -> Result<Permission, RbacError> {
            let permission = change.insert_permission(tx, &new).await?;
            change.rbac.bump_tenants_if_platform(tx, owner).await?;
            Ok(permission)
        };
        self.change(context, "create a platform permission", create).await
    }

    async fn require_free_key(
        &self,
        tx: &mut Tx,
        owner: Option<TenantId>,
        key: &PermissionKey,
    ) -> Result<(), RbacError> {
        let taken = match owner {
            Some(_) => self.catalogue().has(key) || permissions::platform_has(tx, key).await?,
            // The platform may bring back a row of the catalogue before seeding does, but not give a synonym its own.
            None => self.catalogue().has(key) && self.declared(key).is_none(),
        };
        if taken { Err(RbacError::PermissionKeyTaken) } else { Ok(()) }
    }

    /// The catalogue's permission with this canonical name.
    fn declared(&self, key: &str) -> Option<&crate::PermissionDef> {
        self.catalogue().find(key).filter(|found| found.key == key)
    }

    pub(super) async fn bump_tenants_if_platform(
        &self,
        tx: &mut Tx,
        owner: Option<TenantId>,
    ) -> Result<(), RbacError> {
        if owner.is_none() { self.bump_tenants(tx).await } else { Ok(()) }
    }

    /// The permission, when it is the tenant's or of the platform's catalogue.
    ///
    /// # Errors
    /// The database's own.
    pub async fn find_permission(
        &self,
        context: &RequestContext,
        id: PermissionId,
    ) -> Result<Option<Permission>, RbacError> {
        let owner = context.principal.tenant;
        let mut tx = self.db.begin_read(scope_of(owner, "read a platform permission")).await?;
        let permission = permissions::find(&mut tx, owner, id).await?;
        tx.rollback().await?;
        Ok(permission)
    }

    /// Lists the permissions of the tenant and of the platform's catalogue.
    ///
    /// # Errors
    /// [`RbacError::Cursor`].
    pub async fn list_permissions(
        &self,
        context: &RequestContext,
        query: &PermissionQuery,
    ) -> Result<Page<Permission>, RbacError> {
        let owner = context.principal.tenant;
        let mut tx = self.db.begin_read(scope_of(owner, "list platform permissions")).await?;
        let visible = Visible { tenant: owner, platform_too: true };
        let page = permissions::list(&mut tx, visible, None, query).await?;
        tx.rollback().await?;
        Ok(page)
    }

    /// Lists the permissions of a role, each with how the role has it: allowed or denied, and when.
    ///
    /// # Errors
    /// [`RbacError::NotFound`], [`RbacError::Cursor`].
    pub async fn permissions_of(
        &self,
        context: &RequestContext,
        role: RoleId,
        query: &PermissionQuery,
    ) -> Result<Page<GrantedPermission>, RbacError> {
        let owner = context.principal.tenant;
        let mut tx = self.db.begin_read(scope_of(owner, "list platform permissions")).await?;
        roles::find(&mut tx, owner, role).await?.ok_or(RbacError::NotFound { entity: "role" })?;
        let visible = Visible { tenant: owner, platform_too: true };
        let page = permissions::list(&mut tx, visible, Some(role), query).await?;
        let ids: Vec<PermissionId> = page.items.iter().map(|permission| permission.id).collect();
        let links = grants::of_permissions(&mut tx, role, &ids).await?;
        tx.rollback().await?;
        let mut links: HashMap<PermissionId, RolePermission> =
            links.into_iter().map(|link| (link.permission_id, link)).collect();
        let items = page.items.into_iter();
        let items = items.filter_map(|permission| {
            links.remove(&permission.id).map(|link| GrantedPermission { permission, link })
        });
        Ok(Page { items: items.collect(), next_cursor: page.next_cursor, total: page.total })
    }

    /// Changes a permission.
    ///
    /// # Errors
    /// [`RbacError::NotFound`], [`RbacError::Invalid`], [`RbacError::PermissionKeyTaken`], [`RbacError::Stale`],
    /// [`RbacError::PlatformOwned`], [`RbacError::Declared`] for the key of a permission that code declares;
    /// [`RbacError::BeyondOwn`] for a new key when the caller does not have both the old and the new one, and for switching
    /// it on when the caller does not have it.
    pub async fn update_permission(
        &self,
        context: &RequestContext,
        id: PermissionId,
        update: PermissionUpdate,
    ) -> Result<Written<Permission>, RbacError> {
        let key = update.key.as_deref().map(model::permission_key).transpose()?;
        model::description(update.description.as_ref().and_then(Option::as_deref))?;
        let change = async move |tx: &mut Tx, change: &Change| {
            change.update_permission(tx, id, key.as_ref(), &update).await
        };
        self.change(context, "change a platform permission", change).await
    }

    /// Deletes a permission, and with it every rule about it.
    ///
    /// # Errors
    /// [`RbacError::NotFound`], [`RbacError::PlatformOwned`], [`RbacError::Declared`]; [`RbacError::BeyondOwn`] when a
    /// rule denies it and the caller does not have it.
    pub async fn delete_permission(
        &self,
        context: &RequestContext,
        id: PermissionId,
    ) -> Result<Written<()>, RbacError> {
        let owner = context.principal.tenant;
        let delete = async move |tx: &mut Tx, change: &Change| -> Result<(), RbacError> {
            let permission = change.rbac.owned_permission(tx, owner, id).await?;
            if owner.is_none() && change.rbac.is_declared_row(&permission.key) {
                return Err(RbacError::Declared);
            }
            if permissions::is_denied_anywhere(tx, id).await? {
                let own = change.own(tx, &[]).await?;
                own.require_claims([own.denied(id)])?;
            }
            permissions::delete(tx, &permission).await?;
            change.rbac.bump_tenants_if_platform(tx, owner).await?;
            let none = None::<&Permission>;
            change.audit(tx, "perm.delete", ("permission", id), Some(&permission), none);
            Ok(())
        };
        self.change(context, "delete a platform permission", delete).await
    }

    fn is_declared_row(&self, key: &str) -> bool {
        key == "*" || self.declared(key).is_some()
    }

    async fn owned_permission(
        &self,
        conn: &mut Conn,
        owner: Option<TenantId>,
        id: PermissionId,
    ) -> Result<Permission, RbacError> {
        let found = permissions::find(conn, owner, id).await?;
        let permission = found.ok_or(RbacError::NotFound { entity: "permission" })?;
        require_owner(permission.tenant_id, owner)?;
        Ok(permission)
    }
}

impl Change {
    async fn update_permission(
        &self,
        tx: &mut Tx,
        id: PermissionId,
        key: Option<&PermissionKey>,
        update: &PermissionUpdate,
    ) -> Result<Permission, RbacError> {
        let (rbac, owner) = (&self.rbac, self.owner);
        let before = rbac.owned_permission(tx, owner, id).await?;
        if update.version.is_some_and(|seen| seen != before.version) {
            return Err(RbacError::Stale);
        }
        let mut after = before.clone();
        if let Some(description) = &update.description {
            after.description.clone_from(description);
        }
        after.is_active = update.is_active.unwrap_or(before.is_active);
        if let Some(key) = key.filter(|key| key.as_str() != before.key) {
            if owner.is_none() && rbac.is_declared_row(&before.key) {
                return Err(RbacError::Declared);
            }
            rbac.require_free_key(tx, owner, key).await?;
            after.key = key.to_string();
        }
        if after == before {
            return Ok(before);
        }
        // Whatever gave the old key gives the new one, and what denied the old one, or one that is switched off, denies it no
        // longer. A single permission that is switched off stays denied to everybody until it is switched on.
        let is_lifted = before.is_active && !after.is_active && !is_single(rbac.catalogue(), &before.key);
        let is_on = !before.is_active && after.is_active;
        if after.key != before.key || is_lifted || is_on {
            let own = self.own(tx, &[]).await?;
            own.require_claims([own.denied(id), Some(Claim::new(rbac.catalogue(), &after.key, None))])?;
        }
        after.version += 1;
        after.updated_at = rbac.now();
        if !permissions::update(tx, &after, before.version).await? {
            return Err(RbacError::Stale);
        }
        rbac.bump_tenants_if_platform(tx, owner).await?;
        self.audit(tx, "perm.update", ("permission", id), Some(&before), Some(&after));
        Ok(after)
    }
}

impl Change {
    /// Makes a permission. Those of the platform count in every tenant:
    /// [`bump_tenants_if_platform`](Rbac::bump_tenants_if_platform) follows.
    pub(super) async fn insert_permission(
        &self,
        tx: &mut Tx,
        new: &NewPermission,
    ) -> Result<Permission, RbacError> {
        let key = model::permission_key(&new.key)?;
        model::description(new.description.as_deref())?;
        self.rbac.require_free_key(tx, self.owner, &key).await?;
        let now = self.rbac.now();
        let permission = Permission {
            id: PermissionId::new(now),
            tenant_id: self.owner,
            key: key.to_string(),
            description: new.description.clone(),
            is_active: new.is_active,
            version: 1,
            created_at: now,
            updated_at: now,
        };
        permissions::insert(tx, &permission).await?;
        self.audit(tx, "perm.create", ("permission", permission.id), None::<&Permission>, Some(&permission));
        Ok(permission)
    }
}
