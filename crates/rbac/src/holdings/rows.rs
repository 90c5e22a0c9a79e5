use std::collections::{HashMap, HashSet};

use stylobate_core::{PermissionId, RoleId};

use crate::{Catalogue, Effect, Policy, PolicyGrant, key::is_valid, meaning::is_single};

/// The keys of a policy's permissions, and whether they count; a damaged one gives nothing.
pub(super) struct Keys<'a>(HashMap<PermissionId, (&'a str, bool)>);

impl<'a> Keys<'a> {
    pub(super) fn new(policy: &'a Policy) -> Self {
        let valid = policy.permissions.iter().filter(|row| is_valid(&row.key));
        Self(valid.map(|row| (row.id, (row.key.as_str(), row.is_active))).collect())
    }

    /// The key, switched off or not.
    pub(super) fn get(&self, id: PermissionId) -> Option<&'a str> {
        self.0.get(&id).map(|(key, _)| *key)
    }

    /// The key, unless it is switched off.
    pub(super) fn active(&self, id: PermissionId) -> Option<&'a str> {
        self.0.get(&id).filter(|(_, is_active)| *is_active).map(|(key, _)| *key)
    }

    /// The key, if whoever is allowed it has what it means. Switched off, a single permission is used by nobody, so that it
    /// makes no difference; anything that means others gives none of them.
    fn held(&self, catalogue: &Catalogue, id: PermissionId) -> Option<&'a str> {
        self.active(id).or_else(|| self.get(id).filter(|key| is_single(catalogue, key)))
    }

    /// The key of a rule of the caller's: strict with what it allows, and with what it denies.
    pub(super) fn of_rule(&self, catalogue: &Catalogue, id: PermissionId, effect: Effect) -> Option<&'a str> {
        match effect {
            Effect::Allow => self.held(catalogue, id),
            Effect::Deny => self.get(id),
        }
    }
}

/// The rows of roles, found by the role: for questions about many of them.
pub(crate) struct RoleRows<'a> {
    pub(super) keys: Keys<'a>,
    /// Which roles there are, and whether they are switched on.
    roles: HashMap<RoleId, bool>,
    parents: HashMap<RoleId, Vec<RoleId>>,
    grants: HashMap<RoleId, Vec<&'a PolicyGrant>>,
}

impl<'a> RoleRows<'a> {
    pub(crate) fn new(policy: &'a Policy) -> Self {
        let mut grants: HashMap<RoleId, Vec<&PolicyGrant>> = HashMap::new();
        for grant in &policy.grants {
            grants.entry(grant.role).or_default().push(grant);
        }
        Self {
            keys: Keys::new(policy),
            roles: policy.roles.iter().map(|role| (role.id, role.is_active)).collect(),
            parents: parents(&policy.inheritance),
            grants,
        }
    }

    /// `role` and everything it inherits from; with `active_only`, as far as roles are switched on.
    pub(super) fn above(&self, role: RoleId, active_only: bool) -> HashSet<RoleId> {
        let counts = |role: RoleId| self.roles.get(&role).is_some_and(|is_active| *is_active || !active_only);
        climb_by(&self.parents, role, counts)
    }

    /// The rules of `roles`.
    pub(super) fn grants_of(&self, roles: HashSet<RoleId>) -> impl Iterator<Item = &'a PolicyGrant> {
        roles.into_iter().filter_map(|role| self.grants.get(&role)).flatten().copied()
    }
}

/// `role` and everything it inherits from; with `active_only`, as far as roles are switched on.
pub(crate) fn above(policy: &Policy, role: RoleId, active_only: bool) -> HashSet<RoleId> {
    let there: HashMap<RoleId, bool> = policy.roles.iter().map(|role| (role.id, role.is_active)).collect();
    let counts = |role: RoleId| there.get(&role).is_some_and(|is_active| *is_active || !active_only);
    climb(&policy.inheritance, role, counts)
}

/// `role` and everything that `links` (heir first, then parent) lead to from it, as far as roles count. Ends on cycles too.
pub(crate) fn climb(
    links: &[(RoleId, RoleId)],
    role: RoleId,
    counts: impl Fn(RoleId) -> bool,
) -> HashSet<RoleId> {
    climb_by(&parents(links), role, counts)
}

fn parents(links: &[(RoleId, RoleId)]) -> HashMap<RoleId, Vec<RoleId>> {
    let mut parents: HashMap<RoleId, Vec<RoleId>> = HashMap::new();
    for (heir, parent) in links {
        parents.entry(*heir).or_default().push(*parent);
    }
    parents
}

fn climb_by(
    parents: &HashMap<RoleId, Vec<RoleId>>,
    role: RoleId,
    counts: impl Fn(RoleId) -> bool,
) -> HashSet<RoleId> {
    let (mut found, mut open) = (HashSet::new(), vec![role]);
    while let Some(role) = open.pop() {
        if counts(role) && found.insert(role) {
            open.extend(parents.get(&role).into_iter().flatten());
        }
    }
    found
}
