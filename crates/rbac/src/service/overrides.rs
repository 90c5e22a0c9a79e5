use chrono::SubsecRound as _;
use stylobate_core::{OverrideId, Page, RequestContext};
use stylobate_db::Tx;

use super::{Rbac, audit, change::Change, require_owner, scope_of};
use crate::{
    Effect, NewOverride, Override, OverrideQuery, RbacError, Written, model,
    store::{Visible, overrides},
};

const NOT_FOUND: RbacError = RbacError::NotFound { entity: "override" };

impl Rbac {
    /// Sets the rule about a permission for one subject in the caller's tenant, whatever its roles; of a caller without
    /// tenant it is the platform's and counts everywhere. One that is there already is replaced.
    ///
    /// # Errors
    /// [`RbacError::NotFound`] for the permission, and for a subject that is no member of the tenant; [`RbacError::Invalid`]; [`RbacError::PlatformOwned`] when only platform
    /// roles can have the permission; [`RbacError::BeyondOwn`] when the caller does not have the permission, be it to
    /// allow it, to deny it or to deny it no longer; [`RbacError::LastSuperAdministrator`].
    pub async fn set_override(
        &self,
        context: &RequestContext,
        new: NewOverride,
    ) -> Result<Written<Override>, RbacError> {
        let new = NewOverride { expires_at: new.expires_at.map(|at| at.trunc_subsecs(6)), ..new };
        model::expiry(new.expires_at, self.now())?;
        model::condition_text(new.condition.as_ref())?;
        let owner = context.principal.tenant;
        let set = async move |tx: &mut Tx, change: &Change| -> Result<Override, RbacError> {
            change.require_subject(tx, new.assignee).await?;
            change.rbac.permission_to_rule_on(tx, owner, new.permission).await?;
            let now = change.rbac.now();
            let before = overrides::find_pair(tx, owner, new.assignee, new.permission).await?;
            let own = change.own(tx, &[]).await?;
            let claim = own.claim(new.permission, new.effect, new.condition.clone());
            own.require_claims([claim.map(|claim| claim.until(new.expires_at))])?;
            if let Some(lifted) = before.as_ref().filter(|rule| rule.denies_at(now)) {
                let denied = own.denied(new.permission);
                own.require_claims([denied.map(|claim| claim.until(lifted.expires_at))])?;
            }
            let after = Override {
                id: before.as_ref().map_or_else(|| OverrideId::new(now), |rule| rule.id),
                tenant_id: owner,
                assignee: new.assignee,
                permission_id: new.permission,
                effect: new.effect,
                condition: new.condition.clone(),
                expires_at: new.expires_at,
                created_at: before.as_ref().map_or(now, |rule| rule.created_at),
                updated_at: now,
            };
            overrides::put(tx, &after).await?;
            change.audit(tx, "override.set", ("override", after.id), before.as_ref(), Some(&after));
            Ok(after)
        };
        self.change(context, "set an override of the platform", set).await
    }

    /// Removes an override.
    ///
    /// # Errors
    /// [`RbacError::NotFound`], [`RbacError::PlatformOwned`], [`RbacError::LastSuperAdministrator`];
    /// [`RbacError::BeyondOwn`] when it denies a permission that the caller does not have, and for the platform's also
    /// when it allows one.
    pub async fn remove_override(
        &self,
        context: &RequestContext,
        id: OverrideId,
    ) -> Result<Written<()>, RbacError> {
        let owner = context.principal.tenant;
        let remove = async move |tx: &mut Tx, change: &Change| -> Result<(), RbacError> {
            let rule = overrides::find(tx, owner, id).await?.ok_or(NOT_FOUND)?;
            // Whom the platform gives or denies what is no tenant's business: on SQLite the row is visible here.
            require_owner(rule.tenant_id, owner).map_err(|_| NOT_FOUND)?;
            if rule.denies_at(change.rbac.now()) || owner.is_none() {
                let own = change.own(tx, &[]).await?;
                let denied = own.denied(rule.permission_id);
                own.require_claims([denied.map(|claim| claim.until(rule.expires_at))])?;
            }
            change.rbac.delete_override_in(tx, &change.context, &rule).await?;
            Ok(())
        };
        self.change(context, "remove an override of the platform", remove).await
    }

    pub(super) async fn delete_override_in(
        &self,
        tx: &mut Tx,
        context: &RequestContext,
        rule: &Override,
    ) -> Result<(), RbacError> {
        overrides::delete(tx, rule).await?;
        let target = ("override", rule.id);
        audit(tx, context, "override.remove", target, rule.tenant_id, Some(rule), None::<&Override>);
        Ok(())
    }

    /// The override with this id; one of the platform only for callers who have a platform role.
    ///
    /// # Errors
    /// [`RbacError::PlatformOwned`] when the caller has neither tenant nor platform role.
    pub async fn find_override(
        &self,
        context: &RequestContext,
        id: OverrideId,
    ) -> Result<Option<Override>, RbacError> {
        let visible = self.visible_assignments(&context.principal).await?;
        let owner = visible.tenant.filter(|_| !visible.platform_too);
        let mut tx = self.db.begin_read(scope_of(owner, "read an override")).await?;
        let found = overrides::find(&mut tx, visible.tenant, id).await?;
        tx.rollback().await?;
        Ok(found.filter(|found| visible.platform_too || found.tenant_id == visible.tenant))
    }

    /// Lists overrides of the tenant; those of the platform too when the caller has a platform role.
    ///
    /// # Errors
    /// [`RbacError::Cursor`]; [`RbacError::PlatformOwned`] when the caller has neither tenant nor platform role.
    pub async fn overrides(
        &self,
        context: &RequestContext,
        query: &OverrideQuery,
    ) -> Result<Page<Override>, RbacError> {
        let visible: Visible = self.visible_assignments(&context.principal).await?;
        let owner = visible.tenant.filter(|_| !visible.platform_too);
        let mut tx = self.db.begin_read(scope_of(owner, "list overrides")).await?;
        let page = overrides::list(&mut tx, visible, query).await?;
        tx.rollback().await?;
        Ok(page)
    }
}

impl Override {
    fn denies_at(&self, now: chrono::DateTime<chrono::Utc>) -> bool {
        self.effect == Effect::Deny && self.expires_at.is_none_or(|at| at > now)
    }
}
