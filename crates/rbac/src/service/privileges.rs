//! What nobody gets by way of somebody else: a role beyond one's own, or the account of somebody of the platform.

use stylobate_core::{PermissionId, Principal, RequestContext, RoleId, TenantId};
use stylobate_db::Tx;
use uuid::Uuid;

use super::{Rbac, require_platform_role};
use crate::{
    Assignee, AssigneeKind, PolicyAssignment, PolicyGrant, PolicyRole, RbacError, RoleAssignment,
    SUPER_ADMIN,
    snapshot::{Asked, Reach, Snapshot, Things},
    store::{assignments, epochs, grants, policy, roles},
};

impl Rbac {
    /// Refuses when `assignee` has a role on the platform and the caller has none there: whoever changes the e-mail
    /// address of an account, or removes it, has power over everything that it may do. For transactions of platform scope.
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
            require_platform_role(tx, &context.principal).await?;
        }
        Ok(())
    }

    /// Refuses as [`require_may_manage`](Self::require_may_manage), and when `assignee` may do more in the caller's tenant
    /// than the caller: whoever sets the password of an account can do everything that it may. For transactions of
    /// platform scope.
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
        let Some(tenant) = context.principal.tenant else { return Ok(()) };
        let mut given = Vec::new();
        for held in assignments::of_assignee(tx, tenant, assignee).await? {
            given.extend(grants::of_role(tx, held.role_id).await?);
        }
        let is_of_platform = self.engine.holds_platform_role(&context.principal);
        self.require_within_own(tx, &context.principal, is_of_platform, Some(tenant), &given).await
    }

    /// Who has the role [`SUPER_ADMIN`] on the platform. Until the transaction, which has platform scope, ends, nobody
    /// else assigns or takes a platform role or gets an answer to this question.
    ///
    /// # Errors
    /// The database's own.
    pub async fn super_administrators(&self, tx: &mut Tx) -> Result<Vec<Assignee>, RbacError> {
        epochs::lock(tx, None).await?;
        let Some(role) = roles::find_by_name(tx, None, SUPER_ADMIN).await? else { return Ok(Vec::new()) };
        let holders = assignments::holders_on_platform(tx, role.id).await?;
        Ok(holders.into_iter().map(|holder| holder.assignee).collect())
    }

    /// Refuses when `taken` was the last [`SUPER_ADMIN`] on the platform: nobody could make another.
    pub(super) async fn require_a_super_administrator(
        &self,
        tx: &mut Tx,
        taken: &RoleAssignment,
    ) -> Result<(), RbacError> {
        if taken.tenant_id.is_some() || !self.super_administrators(tx).await?.is_empty() {
            return Ok(());
        }
        // Where there never was one, as in a service of its own, nothing has been lost.
        match roles::find_by_name(tx, None, SUPER_ADMIN).await? {
            Some(role) if role.id == taken.role_id => Err(RbacError::LastSuperAdministrator),
            _ => Ok(()),
        }
    }

    /// Refuses when one of `given` is more than the caller has in `owner`, as the rows say under the lock of its epoch.
    ///
    /// Permissions that only the tenant's rows know have no holder at first: whoever has every permission that the
    /// catalogue declares for tenants hands them out too. A permission or role that is switched off counts as if it were
    /// not, for it can be switched on.
    pub(super) async fn require_within_own(
        &self,
        tx: &mut Tx,
        principal: &Principal,
        is_of_platform: bool,
        owner: Option<TenantId>,
        given: &[PermissionId],
    ) -> Result<(), RbacError> {
        // For the platform's own rows a role on the platform was required, row by row.
        let everything = is_of_platform || owner.is_none();
        if given.is_empty() || (everything && principal.scopes.is_none()) {
            return Ok(());
        }
        let caller = Assignee::of(&principal.subject);
        // Nil is nobody's id: one role of what is given, and one subject that has it.
        let (role, receiver) =
            (RoleId::from_uuid(Uuid::nil()), Assignee { kind: AssigneeKind::Person, id: Uuid::nil() });
        let mut policy = policy::load_roles(tx, owner).await?;
        for permission in &mut policy.permissions {
            permission.is_active = true;
        }
        policy.roles.push(PolicyRole { id: role, is_active: true });
        policy.grants.extend(given.iter().map(|permission| PolicyGrant::allow(role, *permission)));
        policy.assignments.push(PolicyAssignment::new(receiver, role));
        if let (Some(caller), Some(tenant)) = (caller, owner) {
            let held = assignments::of_assignee(tx, tenant, caller).await?;
            policy
                .assignments
                .extend(held.into_iter().map(|held| PolicyAssignment::new(caller, held.role_id)));
        }
        let reach = if owner.is_some() { Reach::Tenant } else { Reach::Platform };
        let (snapshot, _) = Snapshot::compile(self.catalogue(), reach, &policy);
        let now = self.now();
        let stance = |assignee: Assignee, asked| snapshot.stance(assignee, asked, Things::None, now);
        let has = |assignee: Assignee, asked| stance(assignee, asked).is_ever();
        let holds = |asked| everything || caller.is_some_and(|caller| stance(caller, asked).is_always());
        let in_scope = |asked: Asked<'_>| {
            principal
                .scopes
                .as_ref()
                .is_none_or(|scopes| scopes.iter().any(|scope| asked.is_covered_by(scope)))
        };
        let declared = || self.catalogue().permissions().iter().zip(0_u32..);
        let is_administrator = declared()
            .filter(|(permission, _)| !permission.is_platform)
            .all(|(permission, place)| holds(Asked::Declared(place, permission)));
        let declared_are_own = declared()
            .map(|(permission, place)| Asked::Declared(place, permission))
            .filter(|asked| has(receiver, *asked))
            .all(|asked| holds(asked) && in_scope(asked));
        let others_are_own = snapshot
            .own_names()
            .map(Asked::Own)
            .filter(|asked| has(receiver, *asked))
            .all(|asked| (is_administrator || holds(asked)) && in_scope(asked));
        if declared_are_own && others_are_own { Ok(()) } else { Err(RbacError::BeyondOwn) }
    }
}
