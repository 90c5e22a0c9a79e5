use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use chrono::{DateTime, Utc};
use serde::Serialize;
use stylobate_core::{
    AclId, GroupId, OverrideId, PermissionId, RequestContext, RoleAssignmentId, RoleId, RolePermissionId,
    TenantId,
};
use stylobate_db::Tx;

use crate::service::{
    Rbac,
    change::Change,
    groups::roles_of,
    inheritance::{PARENTS_MAX, too_many_parents},
    privileges::Own,
};
use crate::{
    AclEntry, Assignee, CasbinImport, CasbinProblem, CasbinProblemKind, Effect, NewPermission, NewRole,
    Override, Policy, PolicyAcl, PolicyGrant, PolicyRole, RbacError, RoleAssignment, RoleParent,
    RolePermission, Written,
    holdings::Claim,
    model,
    snapshot::heirs_and_parents,
    store::{acls, assignments, grants, groups, overrides, parents, policy, roles},
};

/// What an import made, and what it left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CasbinImported {
    /// Roles that were not there.
    pub roles: usize,
    /// Permissions that neither the tenant nor the catalogue had.
    pub permissions: usize,
    /// Grants, overrides, list entries, parents, assignments and memberships in groups that were not there, or allowed what the
    /// import denies.
    pub rules: usize,
    /// Rules of the import that give nothing here. Those that are not about a rule of the text have the rule 0: that somebody
    /// is in a group which the tenant does not have.
    pub problems: Vec<CasbinProblem>,
    /// The epoch of the policy after the import.
    pub epoch: i64,
}

impl Rbac {
    /// Takes the rows of an import over into the caller's tenant (or the platform), all of them or none: roles by their
    /// names, permissions by their keys, groups by their ids.
    ///
    /// What is there already stays, also where it has a condition or an end, with one exception: what the import denies and
    /// a rule that is there allows is denied afterwards, always. So nothing that denies is lifted, and where the import
    /// itself both allows and denies, it denies. Rules that have ended make room.
    ///
    /// The caller needs what the import hands out or denies, as it is before the import.
    ///
    /// # Errors
    /// [`RbacError::BeyondOwn`]; [`RbacError::Invalid`] and [`RbacError::RoleNameTaken`] for a new role,
    /// [`RbacError::PermissionKeyTaken`] for a new permission; [`RbacError::NotFound`] for a permission of the catalogue
    /// that has not been seeded, or a subject that does not belong to the tenant; [`RbacError::PlatformOwned`] when only platform
    /// roles can have a permission, or the platform's policy is changed by somebody without a platform role;
    /// [`RbacError::RoleCycle`]; [`RbacError::GroupFull`]; [`RbacError::LastSuperAdministrator`].
    pub async fn import_casbin(
        &self,
        context: &RequestContext,
        import: &CasbinImport,
    ) -> Result<CasbinImported, RbacError> {
        let rows = Arc::new(import.clone());
        let take_over = async move |tx: &mut Tx, change: &Change| -> Result<CasbinImported, RbacError> {
            let mut importing = Importing::new(change, tx).await?;
            importing.names(tx, &rows).await?;
            let mut roles: Vec<RoleId> = importing.roles.values().copied().collect();
            roles.extend(importing.groups(tx, &rows.policy).await?);
            let own = change.own(tx, &roles).await?;
            importing.rules(tx, &rows.policy).await?;
            importing.links(tx, &rows.policy).await?;
            importing.members(tx, &rows.policy).await?;
            importing.changed.require(own, &importing.groups, importing.now)?;
            Ok(importing.done)
        };
        let Written { mut value, epoch } =
            self.change(context, "import rules of the platform", take_over).await?;
        let problems = import.problems.iter().cloned().chain(value.problems.drain(..)).collect();
        Ok(CasbinImported { problems, epoch, ..value })
    }
}

/// What an import has changed so far, as far as its caller must hold it.
#[derive(Default)]
struct Changed {
    claims: Vec<Claim>,
    /// What is claimed already: permission and effect, and kind and id of the resource or nothing.
    claimed: HashSet<(PermissionId, Effect, String, String)>,
    grants: HashMap<(RoleId, PermissionId), Effect>,
    links: Vec<(RoleId, RoleId)>,
    /// The roles that somebody, or another role, now has.
    given: HashSet<RoleId>,
    /// The groups into which somebody has come.
    joined: HashSet<GroupId>,
}

impl Changed {
    /// Refuses what goes beyond the caller's rights from before. Asked at last, about everything together: a refusal takes
    /// everything back.
    fn require(
        self,
        mut own: Own,
        groups: &HashMap<GroupId, Policy>,
        now: DateTime<Utc>,
    ) -> Result<(), RbacError> {
        own.require_claims(self.claims.into_iter().map(Some))?;
        // What the roles give, they give with the rules of this import.
        let grants = &mut own.policy.grants;
        grants.retain(|grant| !self.grants.contains_key(&(grant.role, grant.permission)));
        grants.extend(self.grants.into_iter().map(|((role, permission), effect)| PolicyGrant {
            effect,
            ..PolicyGrant::allow(role, permission)
        }));
        own.policy.inheritance.extend(self.links);
        let mut held_before = self.joined.iter().filter_map(|group| groups.get(group));
        held_before.try_for_each(|held| own.require_giving(held, now))?;
        own.require_roles(self.given)
    }
}

struct Importing<'a> {
    change: &'a Change,
    owner: Option<TenantId>,
    now: DateTime<Utc>,
    /// The permissions, roles and parents that there are, the new ones included.
    frame: Policy,
    /// The roles and permissions of the import as they are here.
    roles: HashMap<RoleId, RoleId>,
    permissions: HashMap<PermissionId, Vec<PermissionId>>,
    keys: HashMap<PermissionId, String>,
    /// Who was asked about already: they may have rules here.
    subjects: HashSet<Assignee>,
    /// The groups of the import that are here, and what they had before.
    groups: HashMap<GroupId, Policy>,
    changed: Changed,
    done: CasbinImported,
}

impl<'a> Importing<'a> {
    async fn new(change: &'a Change, tx: &mut Tx) -> Result<Self, RbacError> {
        let owner = change.owner;
        Ok(Self {
            change,
            owner,
            now: change.rbac.now(),
            frame: policy::load_of(tx, owner, None, &[]).await?,
            roles: HashMap::new(),
            permissions: HashMap::new(),
            keys: HashMap::new(),
            subjects: HashSet::new(),
            groups: HashMap::new(),
            changed: Changed::default(),
            done: CasbinImported::default(),
        })
    }

    /// Finds or makes the roles and permissions.
    async fn names(&mut self, tx: &mut Tx, import: &CasbinImport) -> Result<(), RbacError> {
        let there: HashSet<RoleId> = self.frame.roles.iter().map(|role| role.id).collect();
        for (id, name) in &import.role_names {
            let here = if there.contains(id) {
                *id
            } else if let Some(found) = roles::find_by_name(tx, self.owner, name).await? {
                found.id
            } else {
                self.make_role(tx, name).await?
            };
            self.roles.insert(*id, here);
        }
        let known: HashMap<String, PermissionId> =
            self.frame.permissions.iter().map(|row| (row.key.clone(), row.id)).collect();
        for row in &import.policy.permissions {
            let mut here = Vec::new();
            if let Some(id) = known.get(&row.key) {
                here.push((*id, row.key.clone()));
            } else if let Some(places) = self.change.rbac.catalogue().places(&row.key) {
                // A name of the catalogue without a row of its own: the rows of what it means.
                for found in places.iter().filter_map(|&place| self.change.rbac.catalogue().at(place)) {
                    let id = known.get(found.key).ok_or(RbacError::NotFound { entity: "permission" })?;
                    here.push((*id, found.key.to_owned()));
                }
            } else {
                here.push((self.make_permission(tx, &row.key).await?, row.key.clone()));
            }
            for (id, _) in &here {
                self.change.rbac.permission_to_rule_on(tx, self.owner, *id).await?;
            }
            self.permissions.insert(row.id, here.iter().map(|(id, _)| *id).collect());
            self.keys.extend(here);
        }
        if self.done.permissions > 0 {
            self.change.rbac.bump_tenants_if_platform(tx, self.owner).await?;
        }
        Ok(())
    }

    /// Finds the groups that somebody is to be in, and says which roles they have.
    async fn groups(&mut self, tx: &mut Tx, policy: &Policy) -> Result<Vec<RoleId>, RbacError> {
        let Some(tenant) = self.owner else { return Ok(Vec::new()) };
        let named: HashSet<GroupId> = policy.members.iter().map(|(group, _)| group.id.into()).collect();
        for group in named {
            if groups::find(tx, tenant, group).await?.is_some() {
                self.groups.insert(group, policy::held_by(tx, self.owner, group.into()).await?);
            }
        }
        Ok(self.groups.values().flat_map(roles_of).collect())
    }

    async fn make_role(&mut self, tx: &mut Tx, name: &str) -> Result<RoleId, RbacError> {
        let role = self.change.insert_role(tx, &NewRole::new(name)).await?;
        self.frame.roles.push(PolicyRole { id: role.id, is_active: true });
        self.done.roles += 1;
        Ok(role.id)
    }

    async fn make_permission(&mut self, tx: &mut Tx, key: &str) -> Result<PermissionId, RbacError> {
        let new = NewPermission::new(key);
        let permission = self.change.insert_permission(tx, &new).await?;
        self.done.permissions += 1;
        Ok(permission.id)
    }

    async fn require_subject(&mut self, tx: &mut Tx, assignee: Assignee) -> Result<(), RbacError> {
        if self.subjects.insert(assignee) {
            self.change.require_subject(tx, assignee).await?;
        }
        Ok(())
    }

    fn here(&self, permission: PermissionId) -> Vec<PermissionId> {
        self.permissions.get(&permission).cloned().unwrap_or_default()
    }

    /// Notes that the caller must hold the permission, on the resource if it is about one.
    fn claim(&mut self, permission: PermissionId, effect: Effect, resource: Option<(&str, &str)>) {
        let (kind, id) = resource.unwrap_or_default();
        let is_new = self.changed.claimed.insert((permission, effect, kind.to_owned(), id.to_owned()));
        if let Some(key) = self.keys.get(&permission).filter(|_| is_new) {
            let claim = Claim::of_rule(self.change.rbac.catalogue(), key, effect, None);
            self.changed.claims.push(match resource {
                Some((kind, id)) => claim.on(kind, id),
                None => claim,
            });
        }
    }

    /// Records what was made, or made of what was there.
    fn made<T: Serialize>(
        &mut self,
        tx: &mut Tx,
        action: &'static str,
        target: (&'static str, impl ToString),
        before: Option<&T>,
        after: &T,
    ) {
        self.change.audit(tx, action, target, before, Some(after));
        self.done.rules += 1;
    }

    /// Grants, overrides and list entries; those that deny first, so that they are there when the others come.
    async fn rules(&mut self, tx: &mut Tx, policy: &Policy) -> Result<(), RbacError> {
        for effect in [Effect::Deny, Effect::Allow] {
            for grant in policy.grants.iter().filter(|grant| grant.effect == effect) {
                let Some(role) = self.roles.get(&grant.role).copied() else { continue };
                for permission in self.here(grant.permission) {
                    self.grant(tx, role, permission, effect).await?;
                }
            }
            for one in policy.overrides.iter().filter(|one| one.effect == effect) {
                for permission in self.here(one.permission) {
                    self.rule(tx, one.assignee, permission, effect).await?;
                }
            }
            for entry in policy.acls.iter().filter(|entry| entry.effect == effect) {
                for permission in self.here(entry.permission) {
                    self.entry(tx, entry, permission).await?;
                }
            }
        }
        Ok(())
    }

    async fn grant(
        &mut self,
        tx: &mut Tx,
        role: RoleId,
        permission: PermissionId,
        effect: Effect,
    ) -> Result<(), RbacError> {
        let before = grants::find_pair(tx, self.owner, role, permission).await?;
        if before.as_ref().is_some_and(|there| stays(there.effect, effect)) {
            return Ok(());
        }
        let after = RolePermission {
            id: before.as_ref().map_or_else(|| RolePermissionId::new(self.now), |there| there.id),
            tenant_id: self.owner,
            role_id: role,
            permission_id: permission,
            effect,
            condition: None,
            created_at: before.as_ref().map_or(self.now, |there| there.created_at),
        };
        let action = if before.is_some() {
            grants::update(tx, &after).await?;
            "role.perm.update"
        } else {
            grants::insert(tx, &after).await?;
            "role.perm.assign"
        };
        self.claim(permission, effect, None);
        self.changed.grants.insert((role, permission), effect);
        self.made(tx, action, ("role_permission", after.id), before.as_ref(), &after);
        Ok(())
    }

    async fn rule(
        &mut self,
        tx: &mut Tx,
        assignee: Assignee,
        permission: PermissionId,
        effect: Effect,
    ) -> Result<(), RbacError> {
        self.require_subject(tx, assignee).await?;
        let before = overrides::find_pair(tx, self.owner, assignee, permission).await?;
        let counts = before.as_ref().filter(|there| is_live(there.expires_at, self.now));
        if counts.is_some_and(|there| stays(there.effect, effect)) {
            return Ok(());
        }
        let after = Override {
            id: before.as_ref().map_or_else(|| OverrideId::new(self.now), |there| there.id),
            tenant_id: self.owner,
            assignee,
            permission_id: permission,
            effect,
            condition: None,
            expires_at: None,
            created_at: before.as_ref().map_or(self.now, |there| there.created_at),
            updated_at: self.now,
        };
        overrides::put(tx, &after).await?;
        self.claim(permission, effect, None);
        self.made(tx, "override.set", ("override", after.id), before.as_ref(), &after);
        Ok(())
    }

    async fn entry(
        &mut self,
        tx: &mut Tx,
        entry: &PolicyAcl,
        permission: PermissionId,
    ) -> Result<(), RbacError> {
        self.require_subject(tx, entry.assignee).await?;
        model::resource(&entry.resource_kind, &entry.resource_id)?;
        let mut after = AclEntry {
            id: AclId::new(self.now),
            tenant_id: self.owner,
            resource_kind: entry.resource_kind.clone(),
            resource_id: entry.resource_id.clone(),
            assignee: entry.assignee,
            permission_id: permission,
            effect: entry.effect,
            expires_at: None,
            created_at: self.now,
            updated_at: self.now,
        };
        let before = acls::find_same(tx, &after).await?;
        let counts = before.as_ref().filter(|there| is_live(there.expires_at, self.now));
        if counts.is_some_and(|there| stays(there.effect, entry.effect)) {
            return Ok(());
        }
        if let Some(before) = &before {
            (after.id, after.created_at) = (before.id, before.created_at);
        }
        acls::put(tx, &after).await?;
        self.claim(permission, entry.effect, Some((&entry.resource_kind, &entry.resource_id)));
        self.made(tx, "acl.set", ("acl_entry", after.id), before.as_ref(), &after);
        Ok(())
    }

    /// Parents, then who has which role.
    async fn links(&mut self, tx: &mut Tx, policy: &Policy) -> Result<(), RbacError> {
        let mut there: HashSet<(RoleId, RoleId)> = self.frame.inheritance.iter().copied().collect();
        let mut parents_of: HashMap<RoleId, usize> = HashMap::new();
        for (heir, _) in &self.frame.inheritance {
            *parents_of.entry(*heir).or_default() += 1;
        }
        for (heir, parent) in &policy.inheritance {
            let (Some(heir), Some(parent)) = (self.roles.get(heir).copied(), self.roles.get(parent).copied())
            else {
                continue;
            };
            if heir == parent {
                return Err(RbacError::RoleCycle);
            }
            if !there.insert((heir, parent)) {
                continue;
            }
            let count = parents_of.entry(heir).or_default();
            *count += 1;
            if *count > PARENTS_MAX {
                return Err(too_many_parents());
            }
            let link =
                RoleParent { tenant_id: self.owner, role_id: heir, parent_id: parent, created_at: self.now };
            parents::insert(tx, &link).await?;
            self.frame.inheritance.push((heir, parent));
            self.changed.links.push((heir, parent));
            self.changed.given.insert(parent);
            self.made(tx, "role.parent.add", ("role", heir), None, &link);
        }
        // All at once: looking from each new link on its own is quadratic.
        let sound: HashSet<(RoleId, RoleId)> = heirs_and_parents(&self.frame).into_iter().collect();
        if self.changed.links.iter().any(|link| !sound.contains(link)) {
            return Err(RbacError::RoleCycle);
        }
        for assignment in &policy.assignments {
            if let Some(role) = self.roles.get(&assignment.role).copied() {
                self.assign(tx, assignment.assignee, role).await?;
            }
        }
        Ok(())
    }

    /// Who is in which group, of those that are here.
    async fn members(&mut self, tx: &mut Tx, policy: &Policy) -> Result<(), RbacError> {
        // Group by group: of one at a time it is read who is in it, and once.
        let mut members: Vec<(GroupId, Assignee)> =
            policy.members.iter().map(|(group, member)| (group.id.into(), *member)).collect();
        members.sort_by_key(|(group, _)| *group);
        for some in members.chunk_by(|one, next| one.0 == next.0) {
            let Some((group, _)) = some.first() else { continue };
            let (Some(tenant), true) = (self.owner, self.groups.contains_key(group)) else {
                // Said once, however many there are.
                self.done.problems = vec![CasbinProblem { rule: 0, kind: CasbinProblemKind::Meaning }];
                continue;
            };
            let found = groups::members_of(tx, tenant, *group).await?;
            let mut count = i64::try_from(found.len()).unwrap_or(i64::MAX);
            let mut there: HashSet<Assignee> = found.into_iter().collect();
            for (_, member) in some {
                self.require_subject(tx, *member).await?;
                if there.insert(*member) {
                    self.change.insert_another_member(tx, tenant, *group, *member, count).await?;
                    self.changed.joined.insert(*group);
                    self.done.rules += 1;
                    count += 1;
                }
            }
        }
        Ok(())
    }

    async fn assign(&mut self, tx: &mut Tx, assignee: Assignee, role: RoleId) -> Result<(), RbacError> {
        self.require_subject(tx, assignee).await?;
        let before = assignments::find_pair(tx, self.owner, assignee, role).await?;
        match &before {
            Some(there) if is_live(there.expires_at, self.now) => return Ok(()),
            Some(over) => assignments::delete(tx, over).await?,
            None => {}
        }
        let after = RoleAssignment {
            id: RoleAssignmentId::new(self.now),
            tenant_id: self.owner,
            assignee,
            role_id: role,
            assigned_at: self.now,
            expires_at: None,
        };
        assignments::insert(tx, &after).await?;
        self.changed.given.insert(role);
        self.made(tx, "role.assign", ("role_assignment", after.id), before.as_ref(), &after);
        Ok(())
    }
}

/// Whether a rule with the effect `there` is left as it is by one with the effect `wanted`.
fn stays(there: Effect, wanted: Effect) -> bool {
    there == Effect::Deny || wanted == Effect::Allow
}

fn is_live(expires_at: Option<DateTime<Utc>>, now: DateTime<Utc>) -> bool {
    expires_at.is_none_or(|at| at > now)
}
