//! What nobody gets by way of somebody else: a right beyond one's own, or the account of somebody of the platform.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use stylobate_core::{PermissionId, Principal, RequestContext, RoleId, Subject, TenantId};
use stylobate_db::{Scope, Tx};

use super::{Rbac, require_platform_role};
use crate::{
    Assignee, Catalogue, Condition, Effect, Policy, RbacError,
    holdings::{Bundle, Claim, Holdings, RoleRows, Rules},
    meaning::{Gives, Meaning},
    snapshot::Reach,
    store::{assignments, epochs, policy},
};

/// What the platform gives a caller, as its rows said just before the transaction: one of a tenant's scope does not see
/// them.
#[derive(Debug, Clone)]
pub(super) struct Standing(Arc<Rules>);

/// The caller's own rights, read under the lock of the epoch of whose policy is being changed.
pub(super) struct Own {
    catalogue: Arc<Catalogue>,
    pub(super) policy: Policy,
    tenant: Option<Rules>,
    platform: Arc<Rules>,
    scopes: Option<Vec<String>>,
    /// It is the platform itself.
    is_unlimited: bool,
}

impl Own {
    /// Refuses what goes beyond them.
    pub(super) fn require(&self, bundle: &Bundle) -> Result<(), RbacError> {
        let is_covered =
            self.is_unlimited || bundle.is_empty() || self.holdings(self.tenant.as_ref()).cover(bundle);
        if is_covered { Ok(()) } else { Err(RbacError::BeyondOwn) }
    }

    /// Whether the platform alone gives the caller all that a role of the tenant gives.
    pub(super) fn has_role_from_platform(&self, role: RoleId) -> bool {
        self.is_unlimited
            || self.has_from_platform(&Bundle::of_role(
                &self.catalogue,
                &RoleRows::new(&self.policy),
                role,
                None,
            ))
    }

    /// Whether the platform alone, as far as the caller's scopes go, gives them a bundle.
    fn has_from_platform(&self, bundle: &Bundle) -> bool {
        self.is_unlimited || bundle.is_empty() || self.holdings(Some(&Rules::default())).cover(bundle)
    }

    fn holdings<'o>(&'o self, tenant: Option<&'o Rules>) -> Holdings<'o> {
        Holdings {
            catalogue: &self.catalogue,
            policy: &self.policy,
            tenant,
            platform: &self.platform,
            scopes: self.scopes.as_deref(),
        }
    }

    /// What the platform alone gives of it.
    fn of_platform(self) -> Self {
        Self { tenant: self.tenant.map(|_| Rules::default()), ..self }
    }

    /// Refuses when a role gives more until `until`, or denies what is not theirs to deny.
    pub(super) fn require_role(&self, role: RoleId, until: Option<DateTime<Utc>>) -> Result<(), RbacError> {
        if self.is_unlimited {
            return Ok(());
        }
        self.require_role_of(&RoleRows::new(&self.policy), role, until)
    }

    /// The same of many roles that are handed out for good.
    #[cfg(feature = "casbin")]
    pub(super) fn require_roles(&self, roles: impl IntoIterator<Item = RoleId>) -> Result<(), RbacError> {
        if self.is_unlimited {
            return Ok(());
        }
        let rows = RoleRows::new(&self.policy);
        roles.into_iter().try_for_each(|role| self.require_role_of(&rows, role, None))
    }

    fn require_role_of(
        &self,
        rows: &RoleRows<'_>,
        role: RoleId,
        until: Option<DateTime<Utc>>,
    ) -> Result<(), RbacError> {
        self.require(&Bundle::of_role(&self.catalogue, rows, role, until))?;
        self.require(&Bundle::denied_by_role(&self.catalogue, rows, role, until))
    }

    /// Refuses to take a role away from somebody who has it until `until`. Its denials go with it; and of the platform's
    /// roles, nobody touches one that gives more than they have.
    pub(super) fn require_taking_role(
        &self,
        role: RoleId,
        until: Option<DateTime<Utc>>,
    ) -> Result<(), RbacError> {
        if self.is_unlimited {
            return Ok(());
        }
        if self.tenant.is_none() {
            return self.require_role(role, until);
        }
        let rows = RoleRows::new(&self.policy);
        self.require(&Bundle::denied_by_role(&self.catalogue, &rows, role, until))
    }

    /// Refuses to hand out all that `held` says of one subject.
    pub(super) fn require_giving(&self, held: &Policy, now: DateTime<Utc>) -> Result<(), RbacError> {
        let counts = |until: Option<DateTime<Utc>>| until.is_none_or(|until| until > now);
        for assignment in held.assignments.iter().filter(|one| counts(one.expires_at)) {
            self.require_role(assignment.role, assignment.expires_at)?;
        }
        let rules = held.overrides.iter().filter(|rule| counts(rule.expires_at)).map(|rule| {
            let claim = self.claim(rule.permission, rule.effect, rule.condition.clone());
            claim.map(|claim| claim.until(rule.expires_at))
        });
        let entries = held.acls.iter().filter(|entry| counts(entry.expires_at)).map(|entry| {
            let claim = self.claim(entry.permission, entry.effect, None);
            claim.map(|claim| claim.on(&entry.resource_kind, &entry.resource_id).until(entry.expires_at))
        });
        self.require_claims(rules.chain(entries))
    }

    /// Refuses to take all that `held` says of one subject: what it denies would be given back.
    pub(super) fn require_taking(&self, held: &Policy, now: DateTime<Utc>) -> Result<(), RbacError> {
        let counts = |until: Option<DateTime<Utc>>| until.is_none_or(|until| until > now);
        for assignment in held.assignments.iter().filter(|one| counts(one.expires_at)) {
            self.require_taking_role(assignment.role, assignment.expires_at)?;
        }
        let denies = |effect: Effect, until| effect == Effect::Deny && counts(until);
        let rules = held.overrides.iter().filter(|rule| denies(rule.effect, rule.expires_at));
        let rules = rules.map(|rule| self.denied(rule.permission).map(|claim| claim.until(rule.expires_at)));
        let entries = held.acls.iter().filter(|entry| denies(entry.effect, entry.expires_at)).map(|entry| {
            let claim = self.denied(entry.permission);
            claim.map(|claim| claim.on(&entry.resource_kind, &entry.resource_id).until(entry.expires_at))
        });
        self.require_claims(rules.chain(entries))
    }

    /// The key of a permission that the owner's policy knows.
    fn key(&self, permission: PermissionId) -> Option<&str> {
        self.policy.permissions.iter().find(|row| row.id == permission).map(|row| row.key.as_str())
    }

    /// What somebody must have who makes a rule about `permission`: for one that denies, whatever its condition, all of it.
    pub(super) fn claim(
        &self,
        permission: PermissionId,
        effect: Effect,
        condition: Option<Condition>,
    ) -> Option<Claim> {
        self.key(permission).map(|key| Claim::of_rule(&self.catalogue, key, effect, condition))
    }

    /// What is gained by whom `permission` is denied no longer.
    pub(super) fn denied(&self, permission: PermissionId) -> Option<Claim> {
        self.key(permission).map(|key| Claim::denied(&self.catalogue, key))
    }

    /// Refuses claims that go beyond; `None` is a damaged row, of which nothing is known: only who has no limits.
    pub(super) fn require_claims(
        &self,
        claims: impl IntoIterator<Item = Option<Claim>>,
    ) -> Result<(), RbacError> {
        if self.is_unlimited {
            return Ok(());
        }
        let claims = claims.into_iter().collect::<Option<Vec<_>>>().ok_or(RbacError::BeyondOwn)?;
        self.require(&Bundle::of(claims))
    }
}

impl Rbac {
    /// Whether a subject has a role of the platform, whatever it gives: such an account is not an organisation's to end.
    ///
    /// # Errors
    /// The database's own.
    pub async fn has_platform_role(
        &self,
        tx: &mut Tx,
        assignee: impl Into<Assignee>,
    ) -> Result<bool, RbacError> {
        assignments::is_on_platform(tx, assignee.into()).await
    }

    /// Refuses when the platform has given `assignee` a role or made a rule for it and the caller has no role there: whoever
    /// changes the e-mail address of an account, or removes it, has power over everything that it may do. For transactions
    /// of platform scope.
    ///
    /// # Errors
    /// [`RbacError::PlatformOwned`].
    pub async fn require_may_manage(
        &self,
        tx: &mut Tx,
        context: &RequestContext,
        assignee: impl Into<Assignee>,
    ) -> Result<(), RbacError> {
        if assignments::is_on_platform(tx, assignee.into()).await? {
            require_platform_role(tx, &context.principal, self.now()).await?;
        }
        Ok(())
    }

    /// Refuses as [`require_may_manage`](Self::require_may_manage), and when `assignee` may do more in the caller's tenant
    /// or on the platform than the caller, within the caller's scopes: whoever sets the password of an account, or makes a key
    /// for it, can do everything that it may. For transactions of platform scope.
    ///
    /// # Errors
    /// [`RbacError::PlatformOwned`], [`RbacError::BeyondOwn`].
    pub async fn require_may_become(
        &self,
        tx: &mut Tx,
        context: &RequestContext,
        assignee: impl Into<Assignee>,
    ) -> Result<(), RbacError> {
        let assignee = assignee.into();
        self.require_may_manage(tx, context, assignee).await?;
        let now = self.now();
        let of_platform = policy::load_of(tx, None, Some(assignee), &[]).await?;
        let of_platform = Rules::of(self.catalogue(), &of_platform, assignee, now).allowed();
        let Some(tenant) = context.principal.tenant else {
            let own = self.own(tx, context, None, None, &[]).await?;
            return if own.has_from_platform(&of_platform) { Ok(()) } else { Err(RbacError::BeyondOwn) };
        };
        let mut theirs = policy::load_of(tx, Some(tenant), Some(assignee), &[]).await?;
        let roles: Vec<RoleId> = theirs.assignments.iter().map(|held| held.role).collect();
        let own = self.own(tx, context, None, Some(tenant), &roles).await?;
        // What the platform gives counts in every tenant, so that no tenant's rights make up for it.
        if !own.has_from_platform(&of_platform) {
            return Err(RbacError::BeyondOwn);
        }
        for held in std::mem::take(&mut theirs.assignments) {
            // A role that is switched off counts as well: it can be switched on.
            if held.expires_at.is_none_or(|at| at > now) {
                own.require_role(held.role, held.expires_at)?;
            }
        }
        own.require(&Rules::of(self.catalogue(), &theirs, assignee, now).allowed())
    }

    /// Refuses when the caller may not give `role` of `owner` to others for good: for a role that is promised to who is not there
    /// yet, and asked again when it is given. For transactions of platform scope.
    ///
    /// # Errors
    /// [`RbacError::NotFound`] and [`RbacError::PlatformOwned`] for a role of another owner; [`RbacError::BeyondOwn`].
    pub async fn require_may_give(
        &self,
        tx: &mut Tx,
        context: &RequestContext,
        owner: Option<TenantId>,
        role: RoleId,
    ) -> Result<(), RbacError> {
        self.owned_role(tx, owner, role).await?;
        self.own(tx, context, None, owner, &[role]).await?.require_role(role, None)
    }

    /// Refuses unless the caller has `permission` in `tenant` now, as the rows say and not a snapshot: for somebody who is not the
    /// one that asks. For transactions of platform scope.
    ///
    /// # Errors
    /// [`RbacError::BeyondOwn`].
    pub async fn require_held(
        &self,
        tx: &mut Tx,
        context: &RequestContext,
        tenant: TenantId,
        permission: &str,
    ) -> Result<(), RbacError> {
        let claim = Claim::new(self.catalogue(), permission, None).until(Some(self.now()));
        self.own(tx, context, None, Some(tenant), &[]).await?.require(&Bundle::of([claim]))
    }

    /// Keeps other writers of the policy of `owner` out until the transaction ends: for one that locks rows of its own, such as
    /// people, before it [assigns](Self::assign_in) a role. Whoever removes people takes this lock first, too.
    ///
    /// # Errors
    /// The database's own.
    pub async fn lock_policy(&self, tx: &mut Tx, owner: Option<TenantId>) -> Result<(), RbacError> {
        epochs::lock(tx, owner, self.now()).await
    }

    /// What the caller has on the platform, for a transaction of a tenant's scope. Not to be asked inside one.
    pub(super) async fn standing(&self, principal: &Principal) -> Result<Standing, RbacError> {
        let nothing = Standing(Arc::default());
        let Some(assignee) = Assignee::of(&principal.subject).filter(|_| principal.tenant.is_some()) else {
            return Ok(nothing);
        };
        let mut tx = self.db.begin_read(Scope::Platform("read what the caller has on the platform")).await?;
        let policy = policy::load_of(&mut tx, None, Some(assignee), &[]).await?;
        tx.rollback().await?;
        Ok(Standing(Arc::new(Rules::of(self.catalogue(), &policy, assignee, self.now()))))
    }

    /// The caller's own rights in the policy of `owner`, as the rows say under the lock of its epoch; `roles` are those that
    /// will be asked about. Of who acts for the platform only what it gives counts. Without `standing`, what the platform gives
    /// and denies is taken from its rows; a transaction that does not see them is refused.
    pub(super) async fn own(
        &self,
        tx: &mut Tx,
        context: &RequestContext,
        standing: Option<&Standing>,
        owner: Option<TenantId>,
        roles: &[RoleId],
    ) -> Result<Own, RbacError> {
        let principal = &context.principal;
        let is_system = principal.subject == Subject::System;
        let mut own = Own {
            catalogue: Arc::clone(self.engine.catalogue()),
            policy: Policy::default(),
            tenant: owner.map(|_| Rules::default()),
            platform: Arc::default(),
            scopes: principal.scopes.clone(),
            is_unlimited: is_system && principal.scopes.is_none(),
        };
        if own.is_unlimited {
            return Ok(own);
        }
        let assignee = Assignee::of(&principal.subject);
        own.policy = policy::load_of(tx, owner, assignee, roles).await?;
        let Some(assignee) = assignee else {
            if is_system {
                own.platform = Arc::new(Rules::allowing(&own.catalogue, ["*".to_owned()]));
            }
            return Ok(own);
        };
        let rules = Rules::of(&own.catalogue, &own.policy, assignee, self.now());
        if owner.is_none() {
            own.platform = Arc::new(rules);
            return Ok(own);
        }
        own.tenant = Some(rules);
        own.platform = match standing {
            Some(Standing(rules)) => Arc::clone(rules),
            None if tx.scope().tenant().is_none() => {
                let platform = policy::load_of(tx, None, Some(assignee), &[]).await?;
                Arc::new(Rules::of(&own.catalogue, &platform, assignee, self.now()))
            }
            None => return Err(RbacError::BeyondOwn),
        };
        Ok(if context.is_for_platform { own.of_platform() } else { own })
    }

    /// Whether a key, its `:own` form included, is of a permission that only platform roles can have.
    pub(super) fn is_platform_key(&self, key: &str) -> bool {
        match Meaning::of(self.catalogue(), Reach::Platform, key).gives {
            Gives::Declared(found) => found.iter().any(|(_, permission)| permission.is_platform),
            Gives::Own(_) | Gives::Pattern(_) => false,
        }
    }
}
