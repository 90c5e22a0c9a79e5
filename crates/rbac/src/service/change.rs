//! The one way in which a policy is changed: the caller's standing is read, the epoch taken, the work done, the last super
//! administrator looked for, and after the commit the snapshot built again.

use serde::Serialize;
use stylobate_core::{RequestContext, RoleId, TenantId};
use stylobate_db::Tx;

use super::{
    Rbac, audit,
    privileges::{Own, Standing},
    require_platform_role, scope_of,
};
use crate::{Assignee, AssigneeKind, RbacError, Written, store::groups};

/// A change of a policy that has begun: its epoch is taken, and the lock of the epoch keeps other writers of the policy
/// out until the transaction ends.
pub(super) struct Change {
    pub(super) rbac: Rbac,
    pub(super) context: RequestContext,
    /// Whose policy it is.
    pub(super) owner: Option<TenantId>,
    /// What the platform gives the caller, unless the transaction began elsewhere.
    standing: Option<Standing>,
    epoch: i64,
    had_super_administrator: bool,
}

impl Rbac {
    /// Changes the policy of the caller's tenant, or of the platform for a caller without one. `work` owns what it uses and
    /// may be run again, when the transaction conflicts with another one.
    pub(super) async fn change<T>(
        &self,
        context: &RequestContext,
        reason: &'static str,
        work: impl AsyncFn(&mut Tx, &Change) -> Result<T, RbacError>,
    ) -> Result<Written<T>, RbacError> {
        self.change_of(context, context.principal.tenant, reason, work).await
    }

    /// Changes the policy of `owner`; `reason` says why, where that is the platform.
    pub(super) async fn change_of<T>(
        &self,
        context: &RequestContext,
        owner: Option<TenantId>,
        reason: &'static str,
        work: impl AsyncFn(&mut Tx, &Change) -> Result<T, RbacError>,
    ) -> Result<Written<T>, RbacError> {
        let standing = self.standing(&context.principal).await?;
        let (rbac, asking) = (self.clone(), context.clone());
        let whole = async move |tx: &mut Tx| -> Result<Written<T>, RbacError> {
            let change = rbac.begin_change(tx, &asking, owner, Some(standing.clone())).await?;
            let value = work(tx, &change).await?;
            change.finish(tx, value).await
        };
        let written = self.db.transact(scope_of(owner, reason), whole).await?;
        self.settle(owner).await;
        if owner.is_none() && context.principal.tenant.is_some() {
            self.settle(context.principal.tenant).await;
        }
        Ok(written)
    }

    /// Begins a change of the policy of `owner`: checks that the caller may change the platform's, if it is that, and
    /// takes the epoch.
    ///
    /// A caller in a tenant who changes the platform's policy gets the tenant's epoch: it is what their next request can
    /// demand, and a snapshot of it is never put in place before the platform's is as new.
    pub(super) async fn begin_change(
        &self,
        tx: &mut Tx,
        context: &RequestContext,
        owner: Option<TenantId>,
        standing: Option<Standing>,
    ) -> Result<Change, RbacError> {
        let principal = &context.principal;
        if owner.is_none() {
            require_platform_role(tx, principal, self.now()).await?;
        }
        let mut epoch = self.bump(tx, owner).await?;
        let mut had_super_administrator = false;
        if owner.is_none() {
            if principal.tenant.is_some() {
                epoch = self.bump(tx, principal.tenant).await?;
            }
            had_super_administrator = self.has_super_administrator(tx).await?;
        }
        let (rbac, context) = (self.clone(), context.clone());
        Ok(Change { rbac, context, owner, standing, epoch, had_super_administrator })
    }
}

impl Change {
    /// Ends the change: the platform must not lose its last super administrator by it. Where there never was one, as in a
    /// service of its own, nothing is lost.
    pub(super) async fn finish<T>(self, tx: &mut Tx, value: T) -> Result<Written<T>, RbacError> {
        self.rbac.require_super_administrator_kept(tx, self.had_super_administrator).await?;
        Ok(Written { value, epoch: self.epoch })
    }

    /// The caller's own rights; `roles` are those that will be asked about.
    pub(super) async fn own(&self, tx: &mut Tx, roles: &[RoleId]) -> Result<Own, RbacError> {
        self.rbac.own(tx, &self.context, self.standing.as_ref(), self.owner, roles).await
    }

    /// Refuses to make a rule for who does not belong to the tenant: to the one whose rule it is, and for a rule of the
    /// platform to the one in which the caller acts. Whoever ends a membership takes the lock of the epoch before, so that
    /// nobody gets a rule while they leave. A group that is not there is refused likewise.
    ///
    /// Groups get no rules of the platform: whether an account is the platform's to manage is asked of its own rules.
    pub(super) async fn require_subject(&self, tx: &mut Tx, assignee: Assignee) -> Result<(), RbacError> {
        if assignee.kind == AssigneeKind::Unreadable {
            let message = "cannot be read: name the subject anew";
            return Err(RbacError::Invalid { field: "assignee", code: "invalid", message });
        }
        if self.owner.is_none() && assignee.kind == AssigneeKind::Group {
            let message = "cannot be a group: the platform makes rules for single subjects";
            return Err(RbacError::Invalid { field: "assignee", code: "invalid", message });
        }
        let Some(tenant) = self.owner.or(self.context.principal.tenant) else { return Ok(()) };
        let is_there = match (assignee.kind, &self.rbac.directory) {
            (AssigneeKind::Group, _) => groups::find(tx, tenant, assignee.id.into()).await?.is_some(),
            (_, Some(directory)) => directory.is_member(tx, tenant, assignee).await?,
            (_, None) => true,
        };
        if is_there { Ok(()) } else { Err(RbacError::NotFound { entity: "subject" }) }
    }

    pub(super) fn audit(
        &self,
        tx: &mut Tx,
        action: &'static str,
        target: (&'static str, impl ToString),
        before: Option<&impl Serialize>,
        after: Option<&impl Serialize>,
    ) {
        audit(tx, &self.context, action, target, self.owner, before, after);
    }
}
