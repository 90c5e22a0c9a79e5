use std::collections::{HashMap, HashSet};

use stylobate_core::{PermissionId, RequestContext, RoleId, TenantId};

use super::Rbac;
use crate::{
    Assignee, CasbinExport, CasbinImport, CasbinProblem, CasbinProblemKind, Effect, GrantRule, NewAclEntry,
    NewOverride, NewPermission, NewRole, Policy, RbacError, store::roles as role_store,
};

/// What an import made, and what it left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CasbinImported {
    /// Roles that were not there.
    pub roles: usize,
    /// Permissions that neither the tenant nor the catalogue had.
    pub permissions: usize,
    /// Grants, overrides, list entries, parents and assignments that were not there or said something else.
    pub rules: usize,
    /// Rules of the import that give nothing here. Those that are not about a rule of the text but about its kind have the
    /// rule 0: who is in which group is not kept with the roles.
    pub problems: Vec<CasbinProblem>,
    /// The epoch of the policy after the last change.
    pub epoch: i64,
}

impl Rbac {
    /// The policy of the caller's tenant (or of the platform, for a caller without one) as casbin rules, with roles by their
    /// names.
    ///
    /// # Errors
    /// [`RbacError::PlatformOwned`] when the platform's is asked for by somebody without a platform role.
    pub async fn export_casbin(&self, context: &RequestContext) -> Result<CasbinExport, RbacError> {
        let owner = context.principal.tenant;
        self.visible_assignments(&context.principal).await?;
        let policy = self.policy(owner).await?;
        let mut names = HashMap::new();
        {
            let mut tx =
                self.db.begin_read(super::scope_of(owner, "export the platform's access policy")).await?;
            for role in &policy.roles {
                if let Some(found) = role_store::find(&mut tx, owner, role.id).await? {
                    names.insert(found.id, found.name);
                }
            }
            tx.rollback().await?;
        }
        Ok(CasbinExport::of(&policy, owner, self.catalogue(), self.now(), &|role| names.get(&role).cloned()))
    }

    /// Takes the rows of an import over into the caller's tenant (or the platform), as if the caller had made them one by
    /// one: roles by their names, permissions by their keys, and nothing that the caller could not hand out. What is there
    /// already stays; where a rule both allows and denies, it denies.
    ///
    /// Not one transaction: denials come before allowances and assignments last, so that an import that stops half-way gives
    /// less than it says, and repeating it makes the rest.
    ///
    /// # Errors
    /// Those of [`create_role`](Self::create_role), [`create_permission`](Self::create_permission),
    /// [`attach_rule`](Self::attach_rule), [`set_override`](Self::set_override), [`set_acl_entry`](Self::set_acl_entry),
    /// [`add_parent`](Self::add_parent) and [`assign`](Self::assign).
    pub async fn import_casbin(
        &self,
        context: &RequestContext,
        import: &CasbinImport,
    ) -> Result<CasbinImported, RbacError> {
        let mut importing = Importing {
            rbac: self,
            context,
            done: CasbinImported { problems: import.problems.clone(), ..CasbinImported::default() },
            roles: HashMap::new(),
            permissions: HashMap::new(),
        };
        importing.names(import).await?;
        importing.rules(&import.policy).await?;
        importing.links(&import.policy).await?;
        if !import.policy.members.is_empty() {
            importing.done.problems.push(CasbinProblem { rule: 0, kind: CasbinProblemKind::Meaning });
        }
        Ok(importing.done)
    }
}

struct Importing<'a> {
    rbac: &'a Rbac,
    context: &'a RequestContext,
    done: CasbinImported,
    /// The roles of the import as they are here.
    roles: HashMap<RoleId, RoleId>,
    permissions: HashMap<PermissionId, Vec<PermissionId>>,
}

impl Importing<'_> {
    fn owner(&self) -> Option<TenantId> {
        self.context.principal.tenant
    }

    fn made(&mut self, epoch: i64) {
        self.done.rules += 1;
        self.done.epoch = epoch;
    }

    /// Finds or makes the roles and permissions.
    async fn names(&mut self, import: &CasbinImport) -> Result<(), RbacError> {
        let policy = self.rbac.policy(self.owner()).await?;
        self.done.epoch = policy.epoch;
        for (id, name) in &import.role_names {
            let found = if policy.roles.iter().any(|role| role.id == *id) {
                Some(*id)
            } else {
                let scope = super::scope_of(self.owner(), "import rules of the platform");
                let mut tx = self.rbac.db.begin_read(scope).await?;
                let found = role_store::find_by_name(&mut tx, self.owner(), name).await?.map(|role| role.id);
                tx.rollback().await?;
                found
            };
            let here = match found {
                Some(id) => id,
                None => {
                    let made = self.rbac.create_role(self.context, NewRole::new(name.as_str())).await?;
                    self.done.roles += 1;
                    self.done.epoch = made.epoch;
                    made.value.id
                }
            };
            self.roles.insert(*id, here);
        }
        let known: HashMap<&str, PermissionId> =
            policy.permissions.iter().map(|row| (row.key.as_str(), row.id)).collect();
        for row in &import.policy.permissions {
            let mut ids = Vec::new();
            if let Some(id) = known.get(row.key.as_str()) {
                ids.push(*id);
            } else if let Some(places) = self.rbac.catalogue().places(&row.key) {
                // A name of the catalogue without a row of its own: the rows of what it means.
                let keys =
                    places.iter().filter_map(|&place| self.rbac.catalogue().at(place)).map(|found| found.key);
                for key in keys {
                    let id = known.get(key).ok_or(RbacError::NotFound { entity: "permission" })?;
                    ids.push(*id);
                }
            } else {
                let made =
                    self.rbac.create_permission(self.context, NewPermission::new(row.key.as_str())).await?;
                self.done.permissions += 1;
                self.done.epoch = made.epoch;
                ids.push(made.value.id);
            }
            self.permissions.insert(row.id, ids);
        }
        Ok(())
    }

    fn here(&self, permission: PermissionId) -> Vec<PermissionId> {
        self.permissions.get(&permission).cloned().unwrap_or_default()
    }

    /// Grants, overrides and list entries; those that deny first.
    async fn rules(&mut self, policy: &Policy) -> Result<(), RbacError> {
        let mut granted = HashSet::new();
        let mut ruled: HashSet<(Assignee, PermissionId)> = HashSet::new();
        let mut listed: HashSet<(&str, &str, Assignee, PermissionId)> = HashSet::new();
        for effect in [Effect::Deny, Effect::Allow] {
            for grant in policy.grants.iter().filter(|grant| grant.effect == effect) {
                let Some(role) = self.roles.get(&grant.role).copied() else { continue };
                for permission in self.here(grant.permission) {
                    if granted.insert((role, permission)) {
                        self.grant(role, permission, effect).await?;
                    }
                }
            }
            for one in policy.overrides.iter().filter(|one| one.effect == effect) {
                for permission in self.here(one.permission) {
                    if ruled.insert((one.assignee, permission)) {
                        let new = NewOverride::new(one.assignee, permission, effect);
                        let made = self.rbac.set_override(self.context, new).await?;
                        self.made(made.epoch);
                    }
                }
            }
            for entry in policy.acls.iter().filter(|entry| entry.effect == effect) {
                for permission in self.here(entry.permission) {
                    let (kind, id) = (entry.resource_kind.as_str(), entry.resource_id.as_str());
                    if listed.insert((kind, id, entry.assignee, permission)) {
                        let new = NewAclEntry {
                            resource_kind: kind.to_owned(),
                            resource_id: id.to_owned(),
                            assignee: entry.assignee,
                            permission,
                            effect,
                            expires_at: None,
                        };
                        let made = self.rbac.set_acl_entry(self.context, new).await?;
                        self.made(made.epoch);
                    }
                }
            }
        }
        Ok(())
    }

    async fn grant(
        &mut self,
        role: RoleId,
        permission: PermissionId,
        effect: Effect,
    ) -> Result<(), RbacError> {
        let rule = || GrantRule { effect, condition: None };
        match self.rbac.attach_rule(self.context, role, permission, rule()).await {
            Ok(made) => {
                self.made(made.epoch);
                Ok(())
            }
            Err(RbacError::AlreadyAttached) if effect == Effect::Deny => {
                let scope = super::scope_of(self.owner(), "import rules of the platform");
                let mut tx = self.rbac.db.begin_read(scope).await?;
                let link = crate::store::grants::find_pair(&mut tx, self.owner(), role, permission).await?;
                tx.rollback().await?;
                if let Some(link) =
                    link.filter(|link| link.effect != Effect::Deny || link.condition.is_some())
                {
                    let made = self.rbac.update_role_permission(self.context, link.id, rule()).await?;
                    self.made(made.epoch);
                }
                Ok(())
            }
            Err(RbacError::AlreadyAttached) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Parents, then who has which role.
    async fn links(&mut self, policy: &Policy) -> Result<(), RbacError> {
        for (heir, parent) in &policy.inheritance {
            let (Some(heir), Some(parent)) = (self.roles.get(heir).copied(), self.roles.get(parent).copied())
            else {
                continue;
            };
            match self.rbac.add_parent(self.context, heir, parent).await {
                Ok(made) => self.made(made.epoch),
                Err(RbacError::AlreadyInherited) => {}
                Err(error) => return Err(error),
            }
        }
        for assignment in &policy.assignments {
            let Some(role) = self.roles.get(&assignment.role).copied() else { continue };
            match self.rbac.assign(self.context, assignment.assignee, role).await {
                Ok(made) => self.made(made.epoch),
                Err(RbacError::AlreadyAssigned) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
