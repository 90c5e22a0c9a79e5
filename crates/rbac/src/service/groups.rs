//! Groups of a tenant and who is in them: whoever is put into one is given all that it has.

use stylobate_core::{GroupId, Page, RequestContext, RoleId, TenantId};
use stylobate_db::{Scope, Tx};

use super::{Rbac, audit, change::Change};
use crate::{
    Assignee, AssigneeKind, Group, GroupMember, GroupMemberQuery, GroupQuery, GroupUpdate, NewGroup, Policy,
    RbacError, Written, model,
    store::{groups, policy},
};

const NOT_FOUND: RbacError = RbacError::NotFound { entity: "group" };
const NOT_IN_IT: RbacError = RbacError::NotFound { entity: "group_member" };
/// Said where a policy is the platform's, which has no groups.
const REASON: &str = "change a group";

impl Rbac {
    /// The most groups of a tenant: far more than an organisation keeps apart.
    pub const GROUPS_MAX: u32 = 1_000;
    /// The most members of a group. Each is a row that checks of the tenant have in memory.
    pub const GROUP_MEMBERS_MAX: u32 = 10_000;

    /// Makes a group in the caller's tenant, without members and rules.
    ///
    /// # Errors
    /// [`RbacError::Invalid`], [`RbacError::GroupNameTaken`]; [`RbacError::GroupLimit`] when the tenant has
    /// [`GROUPS_MAX`](Self::GROUPS_MAX); [`RbacError::NotFound`] for a caller without a tenant, as of all that is about groups.
    pub async fn create_group(
        &self,
        context: &RequestContext,
        new: NewGroup,
    ) -> Result<Written<Group>, RbacError> {
        let tenant = tenant_of(context)?;
        model::name(&new.name)?;
        model::description(new.description.as_deref())?;
        let create = async move |tx: &mut Tx, change: &Change| -> Result<Group, RbacError> {
            if groups::count(tx, tenant).await? >= i64::from(Self::GROUPS_MAX) {
                return Err(RbacError::GroupLimit);
            }
            let now = change.rbac.now();
            let group = Group {
                id: GroupId::new(now),
                tenant_id: tenant,
                name: new.name.clone(),
                description: new.description.clone(),
                version: 1,
                created_at: now,
                updated_at: now,
            };
            groups::insert(tx, &group).await?;
            change.audit(tx, "group.create", ("group", group.id), None::<&Group>, Some(&group));
            Ok(group)
        };
        self.change_of(context, Some(tenant), REASON, create).await
    }

    /// Changes the name or the description of a group.
    ///
    /// # Errors
    /// [`RbacError::NotFound`], [`RbacError::Invalid`], [`RbacError::GroupNameTaken`], [`RbacError::Stale`].
    pub async fn update_group(
        &self,
        context: &RequestContext,
        id: GroupId,
        update: GroupUpdate,
    ) -> Result<Written<Group>, RbacError> {
        let tenant = tenant_of(context)?;
        if let Some(name) = &update.name {
            model::name(name)?;
        }
        model::description(update.description.as_ref().and_then(Option::as_deref))?;
        let change = async move |tx: &mut Tx, change: &Change| -> Result<Group, RbacError> {
            let before = groups::find(tx, tenant, id).await?.ok_or(NOT_FOUND)?;
            if update.version.is_some_and(|seen| seen != before.version) {
                return Err(RbacError::Stale);
            }
            let mut after = before.clone();
            if let Some(name) = &update.name {
                after.name.clone_from(name);
            }
            if let Some(description) = &update.description {
                after.description.clone_from(description);
            }
            if after == before {
                return Ok(before);
            }
            after.version += 1;
            after.updated_at = change.rbac.now();
            if !groups::update(tx, &after, before.version).await? {
                return Err(RbacError::Stale);
            }
            change.audit(tx, "group.update", ("group", id), Some(&before), Some(&after));
            Ok(after)
        };
        self.change_of(context, Some(tenant), REASON, change).await
    }

    /// Deletes a group with all that it has: its roles, its rules, and who is in it.
    ///
    /// # Errors
    /// [`RbacError::NotFound`], [`RbacError::LastAdministrator`]; [`RbacError::BeyondOwn`] when it is denied what the caller does
    /// not have, because that would be given back to its members.
    pub async fn delete_group(
        &self,
        context: &RequestContext,
        id: GroupId,
    ) -> Result<Written<()>, RbacError> {
        let tenant = tenant_of(context)?;
        let delete = async move |tx: &mut Tx, change: &Change| -> Result<(), RbacError> {
            let group = groups::find(tx, tenant, id).await?.ok_or(NOT_FOUND)?;
            let roles = change.require_may_leave(tx, id).await?;
            let administrators = change.administrators(tx, &roles).await?;
            change.rbac.remove_rules(tx, &change.context, Some(tenant), id.into()).await?;
            groups::delete(tx, &group).await?;
            change.require_administrator(tx, administrators).await?;
            change.audit(tx, "group.delete", ("group", id), Some(&group), None::<&Group>);
            Ok(())
        };
        self.change_of(context, Some(tenant), REASON, delete).await
    }

    /// Puts a person or a service account into a group. What the group has counts for them when the call returns.
    ///
    /// # Errors
    /// [`RbacError::NotFound`], also for a subject that is no member of the tenant; [`RbacError::Invalid`] for a group: groups
    /// are flat; [`RbacError::AlreadyInGroup`]; [`RbacError::GroupFull`] when there are
    /// [`GROUP_MEMBERS_MAX`](Self::GROUP_MEMBERS_MAX) in it; [`RbacError::BeyondOwn`] when the group has what the caller may
    /// not give: nobody gains by a group what they could not be given.
    pub async fn add_to_group(
        &self,
        context: &RequestContext,
        group: GroupId,
        member: impl Into<Assignee>,
    ) -> Result<Written<GroupMember>, RbacError> {
        let (tenant, member) = (tenant_of(context)?, member.into());
        if member.kind == AssigneeKind::Group {
            let message = "cannot be a group: groups are flat";
            return Err(RbacError::Invalid { field: "member", code: "invalid", message });
        }
        let add = async move |tx: &mut Tx, change: &Change| -> Result<GroupMember, RbacError> {
            groups::find(tx, tenant, group).await?.ok_or(NOT_FOUND)?;
            change.require_subject(tx, member).await?;
            let held = policy::held_by(tx, change.owner, group.into()).await?;
            change.own(tx, &roles_of(&held)).await?.require_giving(&held, change.rbac.now())?;
            change.insert_member(tx, tenant, group, member).await
        };
        self.change_of(context, Some(tenant), REASON, add).await
    }

    /// Takes a person or a service account out of a group.
    ///
    /// # Errors
    /// [`RbacError::NotFound`], [`RbacError::LastAdministrator`]; [`RbacError::BeyondOwn`] when the group is denied what the
    /// caller does not have, because that would be given back.
    pub async fn remove_from_group(
        &self,
        context: &RequestContext,
        group: GroupId,
        member: impl Into<Assignee>,
    ) -> Result<Written<()>, RbacError> {
        let (tenant, member) = (tenant_of(context)?, member.into());
        let remove = async move |tx: &mut Tx, change: &Change| -> Result<(), RbacError> {
            groups::find(tx, tenant, group).await?.ok_or(NOT_FOUND)?;
            let found = groups::find_member(tx, tenant, group, member).await?.ok_or(NOT_IN_IT)?;
            let roles = change.require_may_leave(tx, group).await?;
            let administrators = change.administrators(tx, &roles).await?;
            change.rbac.remove_member_in(tx, &change.context, tenant, &found).await?;
            change.require_administrator(tx, administrators).await
        };
        self.change_of(context, Some(tenant), REASON, remove).await
    }

    pub(super) async fn remove_member_in(
        &self,
        tx: &mut Tx,
        context: &RequestContext,
        tenant: TenantId,
        member: &GroupMember,
    ) -> Result<(), RbacError> {
        groups::delete_member(tx, tenant, member).await?;
        let target = ("group", member.group_id);
        let (owner, gone) = (Some(tenant), None::<&GroupMember>);
        audit(tx, context, "group.member.remove", target, owner, Some(member), gone);
        Ok(())
    }

    /// The group with this id.
    ///
    /// # Errors
    /// The database's own.
    pub async fn find_group(
        &self,
        context: &RequestContext,
        id: GroupId,
    ) -> Result<Option<Group>, RbacError> {
        let tenant = tenant_of(context)?;
        let mut tx = self.db.begin_read(Scope::Tenant(tenant)).await?;
        let group = groups::find(&mut tx, tenant, id).await?;
        tx.rollback().await?;
        Ok(group)
    }

    /// Lists the groups of the tenant.
    ///
    /// # Errors
    /// [`RbacError::Cursor`].
    pub async fn list_groups(
        &self,
        context: &RequestContext,
        query: &GroupQuery,
    ) -> Result<Page<Group>, RbacError> {
        self.list_groups_with(context, None, query).await
    }

    /// Lists the groups of the tenant in which `subject` is.
    ///
    /// # Errors
    /// [`RbacError::Cursor`].
    pub async fn groups_of(
        &self,
        context: &RequestContext,
        subject: impl Into<Assignee>,
        query: &GroupQuery,
    ) -> Result<Page<Group>, RbacError> {
        self.list_groups_with(context, Some(subject.into()), query).await
    }

    async fn list_groups_with(
        &self,
        context: &RequestContext,
        member: Option<Assignee>,
        query: &GroupQuery,
    ) -> Result<Page<Group>, RbacError> {
        let tenant = tenant_of(context)?;
        let mut tx = self.db.begin_read(Scope::Tenant(tenant)).await?;
        let page = groups::list(&mut tx, tenant, member, query).await?;
        tx.rollback().await?;
        Ok(page)
    }

    /// Lists who is in a group. Who was suspended or disabled is among them.
    ///
    /// # Errors
    /// [`RbacError::NotFound`], [`RbacError::Cursor`].
    pub async fn list_group_members(
        &self,
        context: &RequestContext,
        group: GroupId,
        query: &GroupMemberQuery,
    ) -> Result<Page<GroupMember>, RbacError> {
        let tenant = tenant_of(context)?;
        let mut tx = self.db.begin_read(Scope::Tenant(tenant)).await?;
        groups::find(&mut tx, tenant, group).await?.ok_or(NOT_FOUND)?;
        let page = groups::list_members(&mut tx, tenant, group, query).await?;
        tx.rollback().await?;
        Ok(page)
    }
}

impl Change {
    /// Puts a person or a service account of the tenant into a group that is there. Whether the caller may is asked by whoever
    /// calls this.
    pub(super) async fn insert_member(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        group: GroupId,
        member: Assignee,
    ) -> Result<GroupMember, RbacError> {
        if groups::find_member(tx, tenant, group, member).await?.is_some() {
            return Err(RbacError::AlreadyInGroup);
        }
        let there = groups::count_members(tx, tenant, group).await?;
        self.insert_another_member(tx, tenant, group, member, there).await
    }

    /// Of somebody who is not in the group, in which so many are.
    pub(super) async fn insert_another_member(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        group: GroupId,
        member: Assignee,
        there: i64,
    ) -> Result<GroupMember, RbacError> {
        if there >= i64::from(Rbac::GROUP_MEMBERS_MAX) {
            return Err(RbacError::GroupFull);
        }
        let added = GroupMember { group_id: group, member, added_at: self.rbac.now() };
        groups::insert_member(tx, tenant, &added).await?;
        self.audit(tx, "group.member.add", ("group", group), None::<&GroupMember>, Some(&added));
        Ok(added)
    }

    /// Refuses to take what the group has from those who are in it. Says which roles these are.
    async fn require_may_leave(&self, tx: &mut Tx, group: GroupId) -> Result<Vec<RoleId>, RbacError> {
        let held = policy::held_by(tx, self.owner, group.into()).await?;
        let roles = roles_of(&held);
        self.own(tx, &roles).await?.require_taking(&held, self.rbac.now())?;
        Ok(roles)
    }
}

pub(super) fn roles_of(held: &Policy) -> Vec<RoleId> {
    held.assignments.iter().map(|assignment| assignment.role).collect()
}

/// The platform has no groups.
fn tenant_of(context: &RequestContext) -> Result<TenantId, RbacError> {
    context.principal.tenant.ok_or(RbacError::NotFound { entity: "tenant" })
}
