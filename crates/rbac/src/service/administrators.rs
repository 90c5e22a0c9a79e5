//! The last administrators: the platform keeps one super administrator, and a tenant one of its own. Where there is none who can
//! act, as in a service of its own, nothing is lost and nothing is refused.

use std::collections::BTreeSet;

use stylobate_core::{RoleId, TenantId};
use stylobate_db::Tx;

use super::{Rbac, change::Change};
use crate::{
    Assignee, RbacError, RoleDef, RoleGrants, SUPER_ADMIN,
    holdings::Rules,
    store::{assignments, epochs, policy, roles},
};

/// One way in which somebody has the role of a tenant's administrators for good.
#[derive(Debug, Clone, Copy)]
pub(super) struct Administers {
    person: Assignee,
    /// By which group, if not themselves.
    group: Option<Assignee>,
}

impl Rbac {
    /// Who has the role [`SUPER_ADMIN`] on the platform for good: whose assignment ends, or who has it by a group only, is
    /// not counted. Until the transaction, which has platform scope, ends, nobody else assigns or takes a platform role or
    /// gets an answer to this question.
    ///
    /// # Errors
    /// The database's own.
    pub async fn super_administrators(&self, tx: &mut Tx) -> Result<Vec<Assignee>, RbacError> {
        epochs::lock(tx, None, self.now()).await?;
        let Some(role) = roles::find_by_name(tx, None, SUPER_ADMIN).await? else { return Ok(Vec::new()) };
        let holders = assignments::holders_on_platform(tx, role.id).await?;
        Ok(holders.into_iter().map(|holder| holder.assignee).collect())
    }

    /// Refuses when the platform would have no super administrator without `assignee`: for a transaction of platform scope
    /// that is about to disable or delete it or to take its credential. Only who has the role [`SUPER_ADMIN`] for good, is
    /// denied nothing, can sign in and has a tenant to sign in to is one. Until the transaction ends, no other answers this
    /// question.
    ///
    /// # Errors
    /// [`RbacError::LastSuperAdministrator`].
    pub async fn require_another_super_administrator(
        &self,
        tx: &mut Tx,
        assignee: impl Into<Assignee>,
    ) -> Result<(), RbacError> {
        let assignee = assignee.into();
        let holders = self.super_administrators(tx).await?;
        let (lost, left) = holders.into_iter().partition(|holder| *holder == assignee);
        if self.is_kept(tx, None, lost, left).await? {
            Ok(())
        } else {
            Err(RbacError::LastSuperAdministrator)
        }
    }

    /// Whether the platform has a super administrator who can act, as
    /// [`require_another_super_administrator`](Self::require_another_super_administrator) says: for a transaction of platform scope
    /// that is about to end or suspend a membership or to close a tenant, before it takes other locks. Until the transaction
    /// ends, no other answers this question.
    ///
    /// # Errors
    /// The database's own.
    pub async fn has_super_administrator(&self, tx: &mut Tx) -> Result<bool, RbacError> {
        let holders = self.super_administrators(tx).await?;
        self.has_acting(tx, None, holders).await
    }

    /// Refuses when the platform `had` a super administrator, as [`has_super_administrator`](Self::has_super_administrator)
    /// answered before, and has none after what the transaction has done.
    ///
    /// # Errors
    /// [`RbacError::LastSuperAdministrator`].
    pub async fn require_super_administrator_kept(&self, tx: &mut Tx, had: bool) -> Result<(), RbacError> {
        if had && !self.has_super_administrator(tx).await? {
            return Err(RbacError::LastSuperAdministrator);
        }
        Ok(())
    }

    /// Refuses when `tenant` would have no administrator without `subject`: for a transaction that is about to suspend it there,
    /// to disable or delete it or to take its credential. A person is an administrator who has the tenant's role of all
    /// permissions (`admin`) for good, alone or by a group, is a member and can sign in. Without `subject`, when that is a group,
    /// means: without what the group gives.
    ///
    /// Until the transaction ends, nobody else changes who has which role in the tenant, or gets an answer to this question. What
    /// takes the role away in this crate asks by itself, except
    /// [`remove_subject_even_last`](Self::remove_subject_even_last).
    ///
    /// # Errors
    /// [`RbacError::LastAdministrator`].
    pub async fn require_another_administrator(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        subject: impl Into<Assignee>,
    ) -> Result<(), RbacError> {
        let subject = subject.into();
        let all = self.administrators(tx, tenant).await?;
        let (lost, left): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|one| one.person == subject || one.group == Some(subject));
        if self.is_kept(tx, Some(tenant), people(lost), people(left)).await? {
            Ok(())
        } else {
            Err(RbacError::LastAdministrator)
        }
    }

    async fn administrators(&self, tx: &mut Tx, tenant: TenantId) -> Result<Vec<Administers>, RbacError> {
        epochs::lock(tx, Some(tenant), self.now()).await?;
        let mut all = Vec::new();
        for role in self.administrator_roles(tx, tenant).await? {
            let own = assignments::people_with(tx, tenant, role).await?;
            all.extend(own.into_iter().map(|person| Administers { person, group: None }));
            let by_groups = assignments::people_with_by_groups(tx, tenant, role).await?;
            let by_groups = by_groups.into_iter();
            all.extend(by_groups.map(|(group, person)| Administers { person, group: Some(group) }));
        }
        Ok(all)
    }

    /// The tenant's roles that are declared to give everything there: `admin`, and mostly no other. One that is switched off
    /// makes nobody an administrator.
    async fn administrator_roles(&self, tx: &mut Tx, tenant: TenantId) -> Result<Vec<RoleId>, RbacError> {
        let mut found = Vec::new();
        let is_it = |role: &&RoleDef| !role.is_platform && matches!(role.grants, RoleGrants::AllTenant);
        for declared in self.catalogue().roles().iter().filter(is_it) {
            let role = roles::find_by_name(tx, Some(tenant), declared.name).await?;
            found.extend(role.filter(|role| role.is_active).map(|role| role.id));
        }
        Ok(found)
    }

    /// Whether one of those who are `left` can act for `owner`, or none of those who are `lost` could.
    async fn is_kept(
        &self,
        tx: &mut Tx,
        owner: Option<TenantId>,
        lost: BTreeSet<Assignee>,
        left: BTreeSet<Assignee>,
    ) -> Result<bool, RbacError> {
        Ok(lost.is_empty()
            || self.has_acting(tx, owner, left).await?
            || !self.has_acting(tx, owner, lost).await?)
    }

    /// Whether one of `holders` of the role can act: is denied nothing on the platform and has a tenant, or is a member of the
    /// one asked about; and can sign in.
    async fn has_acting(
        &self,
        tx: &mut Tx,
        owner: Option<TenantId>,
        holders: impl IntoIterator<Item = Assignee>,
    ) -> Result<bool, RbacError> {
        for holder in holders {
            let may_act = match (owner, &self.directory) {
                (None, directory) => {
                    let policy = policy::load_of(tx, None, Some(holder), &[]).await?;
                    let may = Rules::of(self.catalogue(), &policy, holder, self.now()).allow_everything();
                    match directory {
                        Some(directory) if may => directory.has_tenant(tx, holder).await?,
                        _ => may,
                    }
                }
                (Some(tenant), Some(directory)) => directory.is_member(tx, tenant, holder).await?,
                (Some(_), None) => true,
            };
            let can_sign_in = match &self.directory {
                Some(directory) if may_act => directory.can_sign_in(tx, holder).await?,
                _ => may_act,
            };
            if can_sign_in {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Change {
    /// Who administers the tenant, before one of `roles` is taken from somebody; nothing when none of them makes anybody an
    /// administrator.
    pub(super) async fn administrators(
        &self,
        tx: &mut Tx,
        roles: &[RoleId],
    ) -> Result<Option<Vec<Administers>>, RbacError> {
        let Some(tenant) = self.owner.filter(|_| !roles.is_empty()) else { return Ok(None) };
        let of_administrators = self.rbac.administrator_roles(tx, tenant).await?;
        if !roles.iter().any(|role| of_administrators.contains(role)) {
            return Ok(None);
        }
        Ok(Some(self.rbac.administrators(tx, tenant).await?))
    }

    /// Refuses when the tenant has lost its last administrator since it had those of `before`.
    pub(super) async fn require_administrator(
        &self,
        tx: &mut Tx,
        before: Option<Vec<Administers>>,
    ) -> Result<(), RbacError> {
        let (Some(before), Some(tenant)) = (before, self.owner) else { return Ok(()) };
        let left = people(self.rbac.administrators(tx, tenant).await?);
        let lost = people(before).difference(&left).copied().collect();
        if self.rbac.is_kept(tx, Some(tenant), lost, left).await? {
            Ok(())
        } else {
            Err(RbacError::LastAdministrator)
        }
    }
}

fn people(all: Vec<Administers>) -> BTreeSet<Assignee> {
    all.into_iter().map(|one| one.person).collect()
}
