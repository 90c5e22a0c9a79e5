use chrono::SubsecRound as _;
use stylobate_core::{AclId, Page, RequestContext};
use stylobate_db::Tx;

use super::{Rbac, audit, change::Change, require_owner, scope_of};
use crate::{
    AclEntry, AclQuery, Effect, NewAclEntry, RbacError, Written,
    holdings::Claim,
    model,
    store::{Visible, acls},
};

const NOT_FOUND: RbacError = RbacError::NotFound { entity: "acl_entry" };

impl Rbac {
    /// Sets the rule about a permission for one subject on one resource, in the caller's tenant; of a caller without tenant it
    /// is the platform's. One that is there already is replaced. Whether there is such a resource is the caller's business.
    ///
    /// # Errors
    /// [`RbacError::NotFound`] for the permission, and for a subject that is no member of the tenant; [`RbacError::Invalid`]; [`RbacError::PlatformOwned`] when only platform
    /// roles can have the permission; [`RbacError::BeyondOwn`] when the caller does not have the permission, be it to
    /// allow it, to deny it or to deny it no longer (to have it on this resource suffices); [`RbacError::LastSuperAdministrator`].
    pub async fn set_acl_entry(
        &self,
        context: &RequestContext,
        new: NewAclEntry,
    ) -> Result<Written<AclEntry>, RbacError> {
        let new = NewAclEntry { expires_at: new.expires_at.map(|at| at.trunc_subsecs(6)), ..new };
        model::expiry(new.expires_at, self.now())?;
        model::resource(&new.resource_kind, &new.resource_id)?;
        let owner = context.principal.tenant;
        let set = async move |tx: &mut Tx, change: &Change| -> Result<AclEntry, RbacError> {
            change.require_subject(tx, new.assignee).await?;
            change.rbac.permission_to_rule_on(tx, owner, new.permission).await?;
            let now = change.rbac.now();
            let mut after = AclEntry {
                id: AclId::new(now),
                tenant_id: owner,
                resource_kind: new.resource_kind.clone(),
                resource_id: new.resource_id.clone(),
                assignee: new.assignee,
                permission_id: new.permission,
                effect: new.effect,
                expires_at: new.expires_at,
                created_at: now,
                updated_at: now,
            };
            let before = acls::find_same(tx, &after).await?;
            let own = change.own(tx, &[]).await?;
            let claim = own.claim(new.permission, new.effect, None).map(|claim| after.narrow(claim));
            own.require_claims([claim])?;
            if let Some(before) = &before {
                if before.denies_at(now) {
                    own.require_claims([own.denied(new.permission).map(|claim| before.narrow(claim))])?;
                }
                (after.id, after.created_at) = (before.id, before.created_at);
            }
            acls::put(tx, &after).await?;
            change.audit(tx, "acl.set", ("acl_entry", after.id), before.as_ref(), Some(&after));
            Ok(after)
        };
        self.change(context, "set an access control list entry of the platform", set).await
    }

    /// Removes an entry of an access control list.
    ///
    /// # Errors
    /// [`RbacError::NotFound`], [`RbacError::PlatformOwned`], [`RbacError::LastSuperAdministrator`];
    /// [`RbacError::BeyondOwn`] when it denies a permission that the caller does not have, and for the platform's also
    /// when it allows one.
    pub async fn remove_acl_entry(
        &self,
        context: &RequestContext,
        id: AclId,
    ) -> Result<Written<()>, RbacError> {
        let owner = context.principal.tenant;
        let remove = async move |tx: &mut Tx, change: &Change| -> Result<(), RbacError> {
            let rule = acls::find(tx, owner, id).await?.ok_or(NOT_FOUND)?;
            // Whom the platform gives or denies what is no tenant's business: on SQLite the row is visible here.
            require_owner(rule.tenant_id, owner).map_err(|_| NOT_FOUND)?;
            if rule.denies_at(change.rbac.now()) || owner.is_none() {
                let own = change.own(tx, &[]).await?;
                own.require_claims([own.denied(rule.permission_id).map(|claim| rule.narrow(claim))])?;
            }
            change.rbac.delete_acl_entry_in(tx, &change.context, &rule).await?;
            Ok(())
        };
        self.change(context, "remove an access control list entry of the platform", remove).await
    }

    pub(super) async fn delete_acl_entry_in(
        &self,
        tx: &mut Tx,
        context: &RequestContext,
        rule: &AclEntry,
    ) -> Result<(), RbacError> {
        acls::delete(tx, rule).await?;
        let target = ("acl_entry", rule.id);
        audit(tx, context, "acl.remove", target, rule.tenant_id, Some(rule), None::<&AclEntry>);
        Ok(())
    }

    /// The entry with this id; one of the platform only for callers who have a platform role.
    ///
    /// # Errors
    /// [`RbacError::PlatformOwned`] when the caller has neither tenant nor platform role.
    pub async fn find_acl_entry(
        &self,
        context: &RequestContext,
        id: AclId,
    ) -> Result<Option<AclEntry>, RbacError> {
        let visible = self.visible_assignments(&context.principal).await?;
        let owner = visible.tenant.filter(|_| !visible.platform_too);
        let mut tx = self.db.begin_read(scope_of(owner, "read an access control list entry")).await?;
        let found = acls::find(&mut tx, visible.tenant, id).await?;
        tx.rollback().await?;
        Ok(found.filter(|found| visible.platform_too || found.tenant_id == visible.tenant))
    }

    /// Lists entries of the tenant; those of the platform too when the caller has a platform role.
    ///
    /// # Errors
    /// [`RbacError::Cursor`]; [`RbacError::PlatformOwned`] when the caller has neither tenant nor platform role.
    pub async fn acl_entries(
        &self,
        context: &RequestContext,
        query: &AclQuery,
    ) -> Result<Page<AclEntry>, RbacError> {
        let visible: Visible = self.visible_assignments(&context.principal).await?;
        let owner = visible.tenant.filter(|_| !visible.platform_too);
        let mut tx = self.db.begin_read(scope_of(owner, "list access control list entries")).await?;
        let page = acls::list(&mut tx, visible, query).await?;
        tx.rollback().await?;
        Ok(page)
    }
}

impl AclEntry {
    /// A claim about anything, on this resource and for this long.
    fn narrow(&self, claim: Claim) -> Claim {
        claim.on(&self.resource_kind, &self.resource_id).until(self.expires_at)
    }

    fn denies_at(&self, now: chrono::DateTime<chrono::Utc>) -> bool {
        self.effect == Effect::Deny && self.expires_at.is_none_or(|at| at > now)
    }
}
