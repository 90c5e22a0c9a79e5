use chrono::{DateTime, SubsecRound as _, Utc};
use stylobate_core::{AuditEvent, Page, RequestContext, RoleAssignmentId, RoleId, TenantId};
use stylobate_db::Tx;

use super::{Rbac, audit, change::Change, scope_of, told::tell_assignment};
use crate::{
    Assignee, AssignmentQuery, RbacError, RoleAssignment, Written, model,
    store::{acls, assignments, epochs, groups, overrides},
};

const NOT_FOUND: RbacError = RbacError::NotFound { entity: "role_assignment" };

/// A role for a subject, until a time.
#[derive(Clone, Copy)]
struct Wanted {
    assignee: Assignee,
    role: RoleId,
    expires_at: Option<DateTime<Utc>>,
}

/// How a caller names an assignment.
#[derive(Clone, Copy)]
enum Named {
    Pair(Assignee, RoleId),
    Id(RoleAssignmentId),
}

impl Rbac {
    /// Assigns a role to a subject for good.
    ///
    /// A role of the platform is assigned on the platform, where it counts in every tenant, by a caller who has a platform
    /// role.
    ///
    /// # Errors
    /// [`RbacError::NotFound`], also for a subject that is no member or group of the tenant; [`RbacError::AlreadyAssigned`];
    /// [`RbacError::PlatformOwned`] when the role is the platform's and the caller has none there;
    /// [`RbacError::BeyondOwn`] when the role gives more than the caller has; [`RbacError::Invalid`] for a group and a role of
    /// the platform: who is of the platform does not depend on who is in a group.
    pub async fn assign(
        &self,
        context: &RequestContext,
        assignee: impl Into<Assignee>,
        role: RoleId,
    ) -> Result<Written<RoleAssignment>, RbacError> {
        self.assign_until(context, assignee, role, None).await
    }

    /// Assigns a role to a subject until `expires_at`; at that instant it counts no longer. An assignment that has expired
    /// already makes room.
    ///
    /// # Errors
    /// As [`assign`](Self::assign); [`RbacError::Invalid`] when `expires_at` is not in the future;
    /// [`RbacError::BeyondOwn`] also when the caller has what the role gives for a shorter time.
    pub async fn assign_until(
        &self,
        context: &RequestContext,
        assignee: impl Into<Assignee>,
        role: RoleId,
        expires_at: Option<DateTime<Utc>>,
    ) -> Result<Written<RoleAssignment>, RbacError> {
        let expires_at = expires_at.map(|at| at.trunc_subsecs(6));
        model::expiry(expires_at, self.now())?;
        let (wanted, tenant) =
            (Wanted { assignee: assignee.into(), role, expires_at }, context.principal.tenant);
        match self.assign_for(context, tenant, wanted).await {
            // The role is there, but not the tenant's: the platform decides.
            Err(RbacError::PlatformOwned) if tenant.is_some() => self.assign_for(context, None, wanted).await,
            answer => answer,
        }
    }

    async fn assign_for(
        &self,
        context: &RequestContext,
        owner: Option<TenantId>,
        wanted: Wanted,
    ) -> Result<Written<RoleAssignment>, RbacError> {
        let assign = async move |tx: &mut Tx, change: &Change| change.assign(tx, wanted).await;
        self.change_of(context, owner, "assign a platform role", assign).await
    }

    /// Assigns a role of `owner` (`None`: a role of the platform) in a transaction that does more. Call
    /// [`ensure`](Self::ensure) after the commit to have it count at once.
    ///
    /// In a transaction of a tenant's scope only the platform itself assigns: what others have there is not seen.
    ///
    /// # Errors
    /// As [`assign`](Self::assign); a role of another owner than `owner` is `PlatformOwned` or `NotFound`;
    /// [`RbacError::BeyondOwn`] for anybody but the platform in a transaction of a tenant's scope.
    pub async fn assign_in(
        &self,
        tx: &mut Tx,
        context: &RequestContext,
        owner: Option<TenantId>,
        assignee: impl Into<Assignee>,
        role: RoleId,
    ) -> Result<Written<RoleAssignment>, RbacError> {
        let wanted = Wanted { assignee: assignee.into(), role, expires_at: None };
        let change = self.begin_change(tx, context, owner, None).await?;
        let assignment = change.assign(tx, wanted).await?;
        change.finish(tx, assignment).await
    }

    /// Changes when an assignment ends; `None` is never. One that has expired already can be renewed.
    ///
    /// # Errors
    /// As [`assign_until`](Self::assign_until) when it is to last longer, as [`unassign`](Self::unassign) when it is to end
    /// sooner; [`RbacError::Invalid`] when `expires_at` is not in the future; [`RbacError::LastSuperAdministrator`],
    /// [`RbacError::LastAdministrator`].
    pub async fn update_assignment(
        &self,
        context: &RequestContext,
        id: RoleAssignmentId,
        expires_at: Option<DateTime<Utc>>,
    ) -> Result<Written<RoleAssignment>, RbacError> {
        let expires_at = expires_at.map(|at| at.trunc_subsecs(6));
        model::expiry(expires_at, self.now())?;
        let tenant = context.principal.tenant;
        match self.update_assignment_for(context, tenant, id, expires_at).await {
            Err(missing @ RbacError::NotFound { .. }) if tenant.is_some() => {
                match self.update_assignment_for(context, None, id, expires_at).await {
                    Err(RbacError::PlatformOwned) => Err(missing),
                    answer => answer,
                }
            }
            answer => answer,
        }
    }

    async fn update_assignment_for(
        &self,
        context: &RequestContext,
        owner: Option<TenantId>,
        id: RoleAssignmentId,
        expires_at: Option<DateTime<Utc>>,
    ) -> Result<Written<RoleAssignment>, RbacError> {
        let update = async move |tx: &mut Tx, change: &Change| -> Result<RoleAssignment, RbacError> {
            let before = change.assignment(tx, id).await?;
            let own = change.own(tx, &[before.role_id]).await?;
            let lasts_longer = match (expires_at, before.expires_at) {
                (_, None) => false,
                (None, Some(_)) => true,
                (Some(end), Some(old)) => end > old,
            };
            if lasts_longer {
                change.require_subject(tx, before.assignee).await?;
                own.require_role(before.role_id, expires_at)?;
            } else {
                own.require_taking_role(before.role_id, before.expires_at)?;
            }
            let administrators = change.administrators(tx, &[before.role_id]).await?;
            let after = RoleAssignment { expires_at, ..before.clone() };
            assignments::update(tx, &after).await?;
            change.require_administrator(tx, administrators).await?;
            change.audit(tx, "role.assign.update", ("role_assignment", id), Some(&before), Some(&after));
            Ok(after)
        };
        self.change_of(context, owner, "change the end of a platform role's assignment", update).await
    }

    /// Takes a role from a subject.
    ///
    /// # Errors
    /// [`RbacError::NotFound`], [`RbacError::PlatformOwned`], [`RbacError::LastSuperAdministrator`],
    /// [`RbacError::LastAdministrator`]; [`RbacError::BeyondOwn`] when the role denies what the caller does not have, because
    /// that would be given back, and for the platform's roles also when it gives more than the caller has.
    pub async fn unassign(
        &self,
        context: &RequestContext,
        assignee: impl Into<Assignee>,
        role: RoleId,
    ) -> Result<Written<()>, RbacError> {
        self.revoke(context, Named::Pair(assignee.into(), role)).await
    }

    /// Takes a role from a subject by the id of the assignment.
    ///
    /// # Errors
    /// As [`unassign`](Self::unassign).
    pub async fn delete_assignment(
        &self,
        context: &RequestContext,
        id: RoleAssignmentId,
    ) -> Result<Written<()>, RbacError> {
        self.revoke(context, Named::Id(id)).await
    }

    async fn revoke(&self, context: &RequestContext, named: Named) -> Result<Written<()>, RbacError> {
        let tenant = context.principal.tenant;
        match self.revoke_for(context, tenant, named).await {
            // Perhaps it is an assignment on the platform. Who has no role there gets the first answer again.
            Err(missing @ RbacError::NotFound { .. }) if tenant.is_some() => {
                match self.revoke_for(context, None, named).await {
                    Err(RbacError::PlatformOwned) => Err(missing),
                    answer => answer,
                }
            }
            answer => answer,
        }
    }

    async fn revoke_for(
        &self,
        context: &RequestContext,
        owner: Option<TenantId>,
        named: Named,
    ) -> Result<Written<()>, RbacError> {
        let revoke = async move |tx: &mut Tx, change: &Change| -> Result<(), RbacError> {
            let assignment = match named {
                Named::Pair(assignee, role) => {
                    let found = assignments::find_pair(tx, owner, assignee, role).await?;
                    // SQLite shows the platform's rows as well.
                    found.filter(|found| found.tenant_id == owner).ok_or(NOT_FOUND)?
                }
                Named::Id(id) => change.assignment(tx, id).await?,
            };
            // One that has expired gives and denies nothing.
            if assignment.expires_at.is_none_or(|at| at > change.rbac.now()) {
                let own = change.own(tx, &[assignment.role_id]).await?;
                own.require_taking_role(assignment.role_id, assignment.expires_at)?;
            }
            let administrators = change.administrators(tx, &[assignment.role_id]).await?;
            change.rbac.delete_in(tx, &change.context, &assignment).await?;
            change.require_administrator(tx, administrators).await
        };
        self.change_of(context, owner, "take a platform role", revoke).await
    }

    async fn delete_in(
        &self,
        tx: &mut Tx,
        context: &RequestContext,
        assignment: &RoleAssignment,
    ) -> Result<(), RbacError> {
        assignments::delete(tx, assignment).await?;
        let (target, owner) = (("role_assignment", assignment.id), assignment.tenant_id);
        audit(tx, context, "role.revoke", target, owner, Some(assignment), None::<&RoleAssignment>);
        tell_assignment(tx, context, "role.unassigned", assignment);
        Ok(())
    }

    /// Takes every role, override and access control list entry of `tenant` from a subject, and takes it out of the groups there,
    /// in the transaction that ends its membership. Returns how many roles it had of its own.
    ///
    /// # Errors
    /// [`RbacError::LastAdministrator`]; then nothing has been taken.
    pub async fn remove_subject(
        &self,
        tx: &mut Tx,
        context: &RequestContext,
        tenant: TenantId,
        assignee: impl Into<Assignee>,
    ) -> Result<usize, RbacError> {
        let assignee = assignee.into();
        self.bump(tx, Some(tenant)).await?;
        self.require_another_administrator(tx, tenant, assignee).await?;
        self.remove_rules(tx, context, Some(tenant), assignee).await
    }

    /// As [`remove_subject`](Self::remove_subject), also of the last administrator: for a tenant that is not to go on.
    ///
    /// # Errors
    /// The database's own.
    pub async fn remove_subject_even_last(
        &self,
        tx: &mut Tx,
        context: &RequestContext,
        tenant: TenantId,
        assignee: impl Into<Assignee>,
    ) -> Result<usize, RbacError> {
        self.bump(tx, Some(tenant)).await?;
        self.remove_rules(tx, context, Some(tenant), assignee.into()).await
    }

    /// Takes every role, override and access control list entry in every tenant and on the platform from a subject, and takes it
    /// out of all groups, in the transaction that deletes it; that transaction has platform scope. `tenants` are those that it
    /// is a member of: until the transaction ends, nobody gives it a role there. Returns how many roles it had of its own.
    ///
    /// # Errors
    /// [`RbacError::PlatformOwned`] when the subject has a role on the platform and the caller has none there;
    /// [`RbacError::LastAdministrator`] when it is that of a tenant (from one that is not to go on,
    /// [`remove_subject_even_last`](Self::remove_subject_even_last) takes it before). Then nothing has been taken.
    pub async fn remove_subject_everywhere(
        &self,
        tx: &mut Tx,
        context: &RequestContext,
        assignee: impl Into<Assignee>,
        tenants: &[TenantId],
    ) -> Result<usize, RbacError> {
        let assignee = assignee.into();
        // In one order for everybody, the platform first, so that two such deletions cannot wait for each other.
        epochs::lock(tx, None, self.now()).await?;
        self.require_may_manage(tx, context, assignee).await?;
        let found = assignments::of_assignee_everywhere(tx, assignee).await?;
        let mut owners: Vec<Option<TenantId>> = tenants.iter().copied().map(Some).collect();
        owners.extend(found.iter().map(|assignment| assignment.tenant_id));
        owners.extend(overrides::owners_of(tx, assignee).await?);
        owners.extend(acls::owners_of(tx, assignee).await?);
        owners.extend(groups::owners_of(tx, assignee).await?);
        owners.sort_unstable();
        owners.dedup();
        for owner in &owners {
            self.bump(tx, *owner).await?;
        }
        for tenant in owners.iter().flatten() {
            self.require_another_administrator(tx, *tenant, assignee).await?;
        }
        let mut roles = 0;
        for owner in owners {
            roles += self.remove_rules(tx, context, owner, assignee).await?;
        }
        Ok(roles)
    }

    /// Takes from a subject what it has in the policy of `owner`, and takes it out of the groups there.
    pub(super) async fn remove_rules(
        &self,
        tx: &mut Tx,
        context: &RequestContext,
        owner: Option<TenantId>,
        assignee: Assignee,
    ) -> Result<usize, RbacError> {
        for rule in overrides::of_assignee(tx, owner, assignee).await? {
            self.delete_override_in(tx, context, &rule).await?;
        }
        let entries = acls::delete_of_assignee(tx, owner, assignee).await?;
        if entries > 0 {
            // There may be thousands, and they say no more than this one.
            let event = AuditEvent::new(context, "acl.clear", assignee.kind.as_str()).on(assignee.id);
            tx.audit(event.in_tenant(owner).with("removed", entries));
        }
        if let Some(tenant) = owner {
            for member in groups::of_subject(tx, tenant, assignee).await? {
                self.remove_member_in(tx, context, tenant, &member).await?;
            }
        }
        let found = assignments::of_assignee(tx, owner, assignee).await?;
        for assignment in &found {
            self.delete_in(tx, context, assignment).await?;
        }
        Ok(found.len())
    }

    /// The assignment with this id; one on the platform only for callers who have a platform role.
    ///
    /// # Errors
    /// [`RbacError::PlatformOwned`] when the caller has neither tenant nor platform role.
    pub async fn find_assignment(
        &self,
        context: &RequestContext,
        id: RoleAssignmentId,
    ) -> Result<Option<RoleAssignment>, RbacError> {
        let visible = self.visible_assignments(&context.principal).await?;
        let owner = visible.tenant.filter(|_| !visible.platform_too);
        let mut tx = self.db.begin_read(scope_of(owner, "read an assignment")).await?;
        let found = assignments::find(&mut tx, visible.tenant, id).await?;
        tx.rollback().await?;
        Ok(found.filter(|found| visible.platform_too || found.tenant_id == visible.tenant))
    }

    /// Lists assignments of the tenant; those on the platform too when the caller has one itself.
    ///
    /// # Errors
    /// [`RbacError::Cursor`]; [`RbacError::PlatformOwned`] when the caller has neither tenant nor platform role.
    pub async fn list_assignments(
        &self,
        context: &RequestContext,
        query: &AssignmentQuery,
    ) -> Result<Page<RoleAssignment>, RbacError> {
        let visible = self.visible_assignments(&context.principal).await?;
        let owner = visible.tenant.filter(|_| !visible.platform_too);
        let mut tx = self.db.begin_read(scope_of(owner, "list assignments")).await?;
        let page = assignments::list(&mut tx, visible, query).await?;
        tx.rollback().await?;
        Ok(page)
    }
}

impl Change {
    async fn assign(&self, tx: &mut Tx, wanted: Wanted) -> Result<RoleAssignment, RbacError> {
        let (owner, Wanted { assignee, role, expires_at }) = (self.owner, wanted);
        self.require_subject(tx, assignee).await?;
        self.rbac.owned_role(tx, owner, role).await?;
        self.own(tx, &[role]).await?.require_role(role, expires_at)?;
        let now = self.rbac.now();
        let there = assignments::find_pair(tx, owner, assignee, role).await?;
        let over = there.filter(|there| there.expires_at.is_some_and(|at| at <= now));
        if let Some(over) = &over {
            assignments::delete(tx, over).await?;
        }
        let assignment = RoleAssignment {
            id: RoleAssignmentId::new(now),
            tenant_id: owner,
            assignee,
            role_id: role,
            assigned_at: now,
            expires_at,
        };
        assignments::insert(tx, &assignment).await?;
        self.audit(tx, "role.assign", ("role_assignment", assignment.id), over.as_ref(), Some(&assignment));
        tell_assignment(tx, &self.context, "role.assigned", &assignment);
        Ok(assignment)
    }

    /// The assignment with this id, when it is the owner's: SQLite shows the platform's rows as well.
    pub(super) async fn assignment(
        &self,
        tx: &mut Tx,
        id: RoleAssignmentId,
    ) -> Result<RoleAssignment, RbacError> {
        let found = assignments::find(tx, self.owner, id).await?;
        found.filter(|found| found.tenant_id == self.owner).ok_or(NOT_FOUND)
    }
}
