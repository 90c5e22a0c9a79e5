use stylobate_core::{Page, RequestContext, RoleAssignmentId, RoleId, TenantId};
use stylobate_db::Tx;

use super::{Rbac, audit, scope_of};
use crate::{
    Assignee, AssignmentQuery, RbacError, RoleAssignment,
    store::{assignments, grants},
};

const NOT_FOUND: RbacError = RbacError::NotFound { entity: "role_assignment" };

/// How a caller names an assignment.
#[derive(Clone, Copy)]
enum Named {
    Pair(Assignee, RoleId),
    Id(RoleAssignmentId),
}

impl Rbac {
    /// Assigns a role to a subject. Whether the subject is a member of the tenant is the caller's business.
    ///
    /// A role of the platform is assigned on the platform, where it counts in every tenant, by a caller who has a platform
    /// role.
    ///
    /// # Errors
    /// [`RbacError::NotFound`], [`RbacError::AlreadyAssigned`]; [`RbacError::PlatformOwned`] when the role is the
    /// platform's and the caller has none there; [`RbacError::BeyondOwn`] when the role gives more than the caller has.
    pub async fn assign(
        &self,
        context: &RequestContext,
        assignee: impl Into<Assignee>,
        role: RoleId,
    ) -> Result<RoleAssignment, RbacError> {
        let (assignee, tenant) = (assignee.into(), context.principal.tenant);
        match self.assign_for(context, tenant, assignee, role).await {
            // The role is there, but not the tenant's: the platform decides.
            Err(RbacError::PlatformOwned) if tenant.is_some() => {
                self.assign_for(context, None, assignee, role).await
            }
            answer => answer,
        }
    }

    async fn assign_for(
        &self,
        context: &RequestContext,
        owner: Option<TenantId>,
        assignee: Assignee,
        role: RoleId,
    ) -> Result<RoleAssignment, RbacError> {
        let is_of_platform = self.is_of_platform(&context.principal).await;
        let (rbac, asking) = (self.clone(), context.clone());
        let assign =
            async move |tx: &mut Tx| rbac.assign_as(tx, &asking, is_of_platform, owner, assignee, role).await;
        let assignment = self.db.transact(scope_of(owner, "assign a platform role"), assign).await?;
        self.settle(owner).await;
        Ok(assignment)
    }

    /// Assigns a role of `owner` (`None`: a role of the platform) in a transaction that does more. Call
    /// [`ensure`](Self::ensure) after the commit to have it count at once.
    ///
    /// # Errors
    /// As [`assign`](Self::assign); a role of another owner than `owner` is `PlatformOwned` or `NotFound`.
    pub async fn assign_in(
        &self,
        tx: &mut Tx,
        context: &RequestContext,
        owner: Option<TenantId>,
        assignee: impl Into<Assignee>,
        role: RoleId,
    ) -> Result<RoleAssignment, RbacError> {
        let is_of_platform = self.engine.holds_platform_role(&context.principal);
        self.assign_as(tx, context, is_of_platform, owner, assignee.into(), role).await
    }

    async fn assign_as(
        &self,
        tx: &mut Tx,
        context: &RequestContext,
        is_of_platform: bool,
        owner: Option<TenantId>,
        assignee: Assignee,
        role: RoleId,
    ) -> Result<RoleAssignment, RbacError> {
        self.begin_change(tx, &context.principal, owner).await?;
        self.owned_role(tx, owner, role).await?;
        let given = grants::of_role(tx, role).await?;
        self.require_within_own(tx, &context.principal, is_of_platform, owner, &given).await?;
        let now = self.now();
        let assignment = RoleAssignment {
            id: RoleAssignmentId::new(now),
            tenant_id: owner,
            assignee,
            role_id: role,
            assigned_at: now,
            expires_at: None,
        };
        assignments::insert(tx, &assignment).await?;
        let target = ("role_assignment", assignment.id);
        audit(tx, context, "role.assign", target, owner, None::<&RoleAssignment>, Some(&assignment));
        Ok(assignment)
    }

    /// Takes a role from a subject.
    ///
    /// # Errors
    /// [`RbacError::NotFound`], [`RbacError::PlatformOwned`], [`RbacError::LastSuperAdministrator`].
    pub async fn unassign(
        &self,
        context: &RequestContext,
        assignee: impl Into<Assignee>,
        role: RoleId,
    ) -> Result<(), RbacError> {
        self.revoke(context, Named::Pair(assignee.into(), role)).await
    }

    /// Takes a role from a subject by the id of the assignment.
    ///
    /// # Errors
    /// [`RbacError::NotFound`], [`RbacError::LastSuperAdministrator`].
    pub async fn delete_assignment(
        &self,
        context: &RequestContext,
        id: RoleAssignmentId,
    ) -> Result<(), RbacError> {
        self.revoke(context, Named::Id(id)).await
    }

    async fn revoke(&self, context: &RequestContext, named: Named) -> Result<(), RbacError> {
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
    ) -> Result<(), RbacError> {
        let (rbac, asking) = (self.clone(), context.clone());
        let revoke = async move |tx: &mut Tx| -> Result<(), RbacError> {
            rbac.begin_change(tx, &asking.principal, owner).await?;
            let found = match named {
                Named::Pair(assignee, role) => assignments::find_pair(tx, owner, assignee, role).await?,
                Named::Id(id) => assignments::find(tx, owner, id).await?,
            };
            // SQLite shows the platform's rows as well.
            let assignment = found.filter(|found| found.tenant_id == owner).ok_or(NOT_FOUND)?;
            rbac.delete_in(tx, &asking, &assignment).await?;
            rbac.require_a_super_administrator(tx, &assignment).await
        };
        self.db.transact(scope_of(owner, "take a platform role"), revoke).await?;
        self.settle(owner).await;
        Ok(())
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
        Ok(())
    }

    /// Takes every role of `tenant` from a subject, in the transaction that ends its membership. Returns how many it had.
    ///
    /// # Errors
    /// The database's own.
    pub async fn remove_subject(
        &self,
        tx: &mut Tx,
        context: &RequestContext,
        tenant: TenantId,
        assignee: impl Into<Assignee>,
    ) -> Result<usize, RbacError> {
        self.bump(tx, Some(tenant)).await?;
        let found = assignments::of_assignee(tx, tenant, assignee.into()).await?;
        for assignment in &found {
            self.delete_in(tx, context, assignment).await?;
        }
        Ok(found.len())
    }

    /// Takes every role in every tenant and on the platform from a subject, in the transaction that deletes it; that
    /// transaction has platform scope. Returns how many it had.
    ///
    /// # Errors
    /// [`RbacError::PlatformOwned`] when the subject has a role on the platform and the caller has none there.
    pub async fn remove_subject_everywhere(
        &self,
        tx: &mut Tx,
        context: &RequestContext,
        assignee: impl Into<Assignee>,
    ) -> Result<usize, RbacError> {
        let assignee = assignee.into();
        self.require_may_manage(tx, context, assignee).await?;
        let found = assignments::of_assignee_everywhere(tx, assignee).await?;
        // In one order for everybody, so that two such deletions cannot wait for each other.
        let mut owners: Vec<Option<TenantId>> = found.iter().map(|assignment| assignment.tenant_id).collect();
        owners.sort_unstable();
        owners.dedup();
        for owner in owners {
            self.bump(tx, owner).await?;
        }
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
