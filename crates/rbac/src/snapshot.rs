use std::{collections::HashMap, ops::Range};

use stylobate_core::{AclId, OverrideId, PermissionId, RoleId};

use crate::{
    Assignee, Catalogue, PermissionDef, Policy, PolicyAssignment,
    bits::Bits,
    key::{covers, is_pattern, is_valid},
};

/// Whose policy a snapshot is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// One tenant's: permissions of the platform stay out of reach, whatever its rows say.
    Tenant,
    /// The platform's own: its roles count in every tenant.
    Platform,
}

/// A row that could not be compiled. It gives nothing; everything else works.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PolicyProblem {
    /// The key of a permission does not parse.
    PermissionKey(PermissionId),
    /// A grant names a role or permission that is not there.
    Grant(RoleId, PermissionId),
    /// An assignment names a role that is not there.
    Assignment(Assignee, RoleId),
    /// An heir and a parent of which one is not there, or that are part of a cycle.
    Inheritance(RoleId, RoleId),
    /// The condition of a grant cannot be read or breaks the limits: an allowing one gives nothing, a denying one always
    /// denies.
    GrantCondition(RoleId, PermissionId),
    /// An override names a permission that is not there, or its condition cannot be read.
    Override(OverrideId),
    /// An entry of an access control list names a permission that is not there.
    Acl(AclId),
    /// A role that inherits more than can be compiled; it denies everything.
    RoleTooLarge(RoleId),
}

#[derive(Debug)]
struct CompiledRole {
    id: RoleId,
    granted: Bits,
    /// Patterns stay beside the bits in platform roles: they also cover permissions that only a tenant knows.
    patterns: Box<[Box<str>]>,
}

/// One tenant's policy, or the platform's, compiled for checking. It never changes.
///
/// Permissions are numbered: those of the catalogue by their place in it, then the ones that only rows know. A role is a
/// set of such numbers, a subject a short list of roles.
#[derive(Debug)]
pub(crate) struct Snapshot {
    epoch: i64,
    own: HashMap<Box<str>, u32>,
    inactive: Bits,
    roles: Box<[CompiledRole]>,
    subjects: HashMap<Assignee, Range<u32>>,
    assigned: Box<[u32]>,
}

/// What a permission is to a snapshot.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Asked<'a> {
    /// The catalogue knows it, at this place.
    Declared(u32, &'a PermissionDef),
    /// Only rows know it, by this name.
    Own(&'a str),
}

impl Asked<'_> {
    pub(crate) fn is_covered_by(&self, held: &str) -> bool {
        match self {
            Self::Declared(_, permission) => permission.is_covered_by(held),
            Self::Own(name) => covers(held, name),
        }
    }
}

impl Snapshot {
    /// Compiles the rows of `policy`. Rows that make no sense are reported and give nothing.
    pub(crate) fn compile(
        catalogue: &Catalogue,
        reach: Reach,
        policy: &Policy,
    ) -> (Self, Vec<PolicyProblem>) {
        Compiler { catalogue, reach, own: HashMap::new(), problems: Vec::new() }.run(policy)
    }

    /// The epoch of the rows it was made from.
    pub(crate) fn epoch(&self) -> i64 {
        self.epoch
    }

    /// Whether `assignee` has any active role here.
    pub(crate) fn has_roles(&self, assignee: Assignee) -> bool {
        self.subjects.contains_key(&assignee)
    }

    pub(crate) fn knows(&self, name: &str) -> bool {
        self.own.contains_key(name)
    }

    /// The names of permissions that only rows know.
    pub(crate) fn own_names(&self) -> impl Iterator<Item = &str> {
        self.own.keys().map(|name| &**name)
    }

    fn place(&self, asked: Asked<'_>) -> Option<u32> {
        match asked {
            Asked::Declared(place, _) => Some(place),
            Asked::Own(name) => self.own.get(name).copied(),
        }
    }

    pub(crate) fn is_inactive(&self, asked: Asked<'_>) -> bool {
        self.place(asked).is_some_and(|place| self.inactive.has(place))
    }

    /// The active roles of `assignee` that have the permission.
    pub(crate) fn deciding<'a>(
        &'a self,
        assignee: Assignee,
        asked: Asked<'a>,
    ) -> impl Iterator<Item = RoleId> + 'a {
        let place = self.place(asked);
        self.roles_of(assignee)
            .filter(move |role| {
                place.is_some_and(|place| role.granted.has(place))
                    || role.patterns.iter().any(|pattern| asked.is_covered_by(pattern))
            })
            .map(|role| role.id)
    }

    fn roles_of(&self, assignee: Assignee) -> impl Iterator<Item = &CompiledRole> {
        let range = self.subjects.get(&assignee).cloned().unwrap_or_default();
        let range = index(range.start)..index(range.end);
        self.assigned.get(range).unwrap_or_default().iter().filter_map(|&role| self.roles.get(index(role)))
    }
}

struct Compiler<'a> {
    catalogue: &'a Catalogue,
    reach: Reach,
    own: HashMap<Box<str>, u32>,
    problems: Vec<PolicyProblem>,
}

/// What one permission row gives to a role it is granted to.
#[derive(Default)]
struct Given {
    places: Vec<u32>,
    pattern: Option<Box<str>>,
}

impl Compiler<'_> {
    fn run(mut self, policy: &Policy) -> (Snapshot, Vec<PolicyProblem>) {
        let mut next = self.catalogue.len();
        for row in &policy.permissions {
            if !is_valid(&row.key) {
                self.problems.push(PolicyProblem::PermissionKey(row.id));
            } else if !is_pattern(&row.key)
                && !self.catalogue.has(&row.key)
                && !self.own.contains_key(&*row.key)
            {
                self.own.insert(row.key.as_str().into(), next);
                next = next.saturating_add(1);
            }
        }
        let mut inactive = Vec::new();
        let mut given: HashMap<PermissionId, Given> = HashMap::with_capacity(policy.permissions.len());
        for row in &policy.permissions {
            let meant = if is_valid(&row.key) { self.given_by(&row.key) } else { Given::default() };
            if row.is_active {
                given.insert(row.id, meant);
            } else {
                // A pattern or a name of several that is switched off gives nothing, but takes nothing from its members.
                if !is_pattern(&row.key) && meant.places.len() == 1 {
                    inactive.extend(meant.places);
                }
                given.insert(row.id, Given::default());
            }
        }
        let roles = self.roles(policy, &given);
        let (subjects, assigned) = self.subjects(policy, &roles);
        let inactive = Bits::new(inactive);
        (Snapshot { epoch: policy.epoch, own: self.own, inactive, roles, subjects, assigned }, self.problems)
    }

    fn given_by(&self, key: &str) -> Given {
        if is_pattern(key) {
            let declared = self.catalogue.permissions().iter().zip(0_u32..);
            let mut places: Vec<u32> = declared
                .filter(|(permission, _)| self.may_give(permission) && permission.is_covered_by(key))
                .map(|(_, place)| place)
                .collect();
            places.extend(self.own.iter().filter(|(name, _)| covers(key, name)).map(|(_, place)| *place));
            let pattern = (self.reach == Reach::Platform).then(|| key.into());
            return Given { places, pattern };
        }
        let places = match self.catalogue.places(key) {
            Some(places) => {
                let allowed =
                    |place: &&u32| self.catalogue.at(**place).is_some_and(|found| self.may_give(found));
                places.iter().filter(allowed).copied().collect()
            }
            None => self.own.get(key).copied().into_iter().collect(),
        };
        Given { places, pattern: None }
    }

    /// The second wall behind the service, which refuses such a grant when it is written.
    fn may_give(&self, permission: &PermissionDef) -> bool {
        self.reach == Reach::Platform || !permission.is_platform
    }

    fn roles(&mut self, policy: &Policy, given: &HashMap<PermissionId, Given>) -> Box<[CompiledRole]> {
        let mut ids: Vec<(RoleId, bool)> =
            policy.roles.iter().map(|role| (role.id, role.is_active)).collect();
        ids.sort_unstable();
        let mut grants: Vec<(RoleId, PermissionId)> =
            policy.grants.iter().map(|grant| (grant.role, grant.permission)).collect();
        grants.sort_unstable();
        let mut grants = grants.into_iter().peekable();
        let mut roles = Vec::with_capacity(ids.len());
        for (id, is_active) in ids {
            while let Some((role, permission)) = grants.next_if(|(role, _)| *role < id) {
                self.problems.push(PolicyProblem::Grant(role, permission));
            }
            let (mut places, mut patterns) = (Vec::new(), Vec::new());
            while let Some((role, permission)) = grants.next_if(|(role, _)| *role == id) {
                match given.get(&permission) {
                    Some(meant) => {
                        places.extend_from_slice(&meant.places);
                        patterns.extend(meant.pattern.clone());
                    }
                    None => self.problems.push(PolicyProblem::Grant(role, permission)),
                }
            }
            if is_active {
                roles.push(CompiledRole {
                    id,
                    granted: Bits::new(places),
                    patterns: patterns.into_boxed_slice(),
                });
            }
        }
        self.problems.extend(grants.map(|(role, permission)| PolicyProblem::Grant(role, permission)));
        roles.into_boxed_slice()
    }

    fn subjects(
        &mut self,
        policy: &Policy,
        roles: &[CompiledRole],
    ) -> (HashMap<Assignee, Range<u32>>, Box<[u32]>) {
        let places: HashMap<RoleId, u32> = roles.iter().map(|role| role.id).zip(0_u32..).collect();
        let switched_off: HashMap<RoleId, ()> =
            policy.roles.iter().filter(|role| !role.is_active).map(|role| (role.id, ())).collect();
        let mut pairs = Vec::with_capacity(policy.assignments.len());
        for &PolicyAssignment { assignee, role, .. } in &policy.assignments {
            match places.get(&role) {
                Some(&place) => pairs.push((assignee, place)),
                None if switched_off.contains_key(&role) => {}
                None => self.problems.push(PolicyProblem::Assignment(assignee, role)),
            }
        }
        pairs.sort_unstable();
        pairs.dedup();
        let mut subjects: HashMap<Assignee, Range<u32>> = HashMap::new();
        for (&(assignee, _), position) in pairs.iter().zip(0_u32..) {
            subjects.entry(assignee).or_insert(position..position).end = position + 1;
        }
        subjects.shrink_to_fit();
        (subjects, pairs.into_iter().map(|(_, place)| place).collect())
    }
}

fn index(place: u32) -> usize {
    // A 32-bit number fits the pointers of every platform that runs a server.
    usize::try_from(place).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::{PolicyGrant, PolicyPermission, PolicyRole, default_catalogue};

    #[test]
    fn damaged_rows_are_reported_and_the_rest_works() {
        // A11: a policy row damaged in the database denies, and only that row.
        let (good, bad) =
            (PermissionId::from_uuid(Uuid::from_u128(1)), PermissionId::from_uuid(Uuid::from_u128(2)));
        let role = RoleId::from_uuid(Uuid::from_u128(3));
        let (gone, missing) =
            (RoleId::from_uuid(Uuid::from_u128(4)), PermissionId::from_uuid(Uuid::from_u128(5)));
        let person = Assignee::from(stylobate_core::PersonId::from_uuid(Uuid::from_u128(6)));
        let row = |id, key: &str| PolicyPermission { id, key: key.into(), is_active: true };
        let catalogue = default_catalogue();
        let (snapshot, problems) = Snapshot::compile(
            &catalogue,
            Reach::Tenant,
            &Policy {
                epoch: 9,
                permissions: vec![row(good, "user.read"), row(bad, "user\u{202e}.delete")],
                roles: vec![PolicyRole { id: role, is_active: true }],
                grants: [(role, good), (role, bad), (role, missing), (gone, good)]
                    .map(|(role, permission)| PolicyGrant::allow(role, permission))
                    .into(),
                assignments: [role, gone, role].map(|role| PolicyAssignment::new(person, role)).into(),
                ..Policy::default()
            },
        );
        assert_eq!(
            problems,
            [
                PolicyProblem::PermissionKey(bad),
                PolicyProblem::Grant(role, missing),
                PolicyProblem::Grant(gone, good),
                PolicyProblem::Assignment(person, gone),
            ]
        );
        let place = catalogue.places("user.read").unwrap()[0];
        let asked = Asked::Declared(place, catalogue.at(place).unwrap());
        assert_eq!(snapshot.deciding(person, asked).collect::<Vec<_>>(), [role]);
        assert_eq!(snapshot.epoch(), 9);
    }
}
