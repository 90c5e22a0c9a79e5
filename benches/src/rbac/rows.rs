//! The rules that all contenders get.

use stylobate_core::{PermissionId, PersonId, Principal, RoleId, TenantId};
use stylobate_rbac::{
    Assignee, Catalogue, Policy, PolicyAssignment, PolicyGrant, PolicyPermission, PolicyRole,
};
use uuid::Uuid;

pub(crate) const TENANT: TenantId =
    TenantId::from_uuid(Uuid::from_u128(0x0192_7000_7000_8000_0000_0000_0000_0001));
/// What a role has, and how many people have it.
const EACH: u32 = 5;

/// One policy, by numbers: person `n` has role `n / 5`, which has five permissions.
pub(crate) struct Rows {
    pub(crate) people: u32,
    pub(crate) roles: u32,
    pub(crate) permissions: u32,
}

impl Rows {
    /// As many grants as assignments, `rules` in all.
    pub(crate) fn of(rules: u32) -> Self {
        Self { people: rules / 2, roles: rules / 2 / EACH, permissions: (rules / 100).max(20) }
    }

    pub(crate) fn role_of(person: u32) -> u32 {
        person / EACH
    }

    pub(crate) fn granted(&self, role: u32) -> impl Iterator<Item = u32> {
        let permissions = self.permissions;
        (0..EACH).map(move |n| (role * EACH + n) % permissions)
    }

    pub(crate) fn key(permission: u32) -> String {
        format!("data{permission}.read")
    }

    /// The rows as the store hands them out.
    pub(crate) fn policy(&self) -> Policy {
        Policy {
            epoch: 1,
            permissions: (0..self.permissions)
                .map(|n| PolicyPermission { id: permission(n), key: Self::key(n), is_active: true })
                .collect(),
            roles: (0..self.roles).map(|n| PolicyRole { id: role(n), is_active: true }).collect(),
            grants: (0..self.roles)
                .flat_map(|n| {
                    self.granted(n).map(move |given| PolicyGrant::allow(role(n), permission(given)))
                })
                .collect(),
            assignments: (0..self.people)
                .map(|n| PolicyAssignment::new(people(n), role(Self::role_of(n))))
                .collect(),
            ..Policy::default()
        }
    }

    /// Questions over all people in turns that no cache foresees, nine in ten of them answered with yes.
    pub(crate) fn questions(&self, many: usize) -> Vec<(Principal, String, bool)> {
        (0..many)
            .map(|n| {
                let person = self.asked(n);
                let role = Self::role_of(person);
                let permission = match n % 10 {
                    9 => (role * EACH + EACH) % self.permissions,
                    k => self.granted(role).nth(k % 5).unwrap_or_default(),
                };
                (Principal::person(people(person)).in_tenant(TENANT), Self::key(permission), n % 10 != 9)
            })
            .collect()
    }

    /// The person that the `n`th question is about: by multiples of a prime, over all of them.
    pub(crate) fn asked(&self, n: usize) -> u32 {
        let n = u64::try_from(n).unwrap_or_default();
        u32::try_from((n * 7_919_317 + 13) % u64::from(self.people)).unwrap_or_default()
    }
}

fn id(kind: u128, n: u32) -> Uuid {
    Uuid::from_u128((0x0192_7000_0000_7000_8000_0000_0000_0000 + (kind << 32)) | u128::from(n))
}

pub(crate) fn people(n: u32) -> PersonId {
    PersonId::from_uuid(id(1, n))
}

pub(crate) fn role(n: u32) -> RoleId {
    RoleId::from_uuid(id(2, n))
}

pub(crate) fn permission(n: u32) -> PermissionId {
    PermissionId::from_uuid(id(3, n))
}

/// Somebody whose role has every permission of the catalogue, each as a row of its own.
pub(crate) fn administrator(catalogue: &Catalogue) -> (Assignee, Policy) {
    let keys: Vec<&str> = catalogue.permissions().iter().map(|one| one.key).collect();
    let numbered = || (0_u32..).zip(&keys);
    let policy = Policy {
        epoch: 1,
        permissions: numbered()
            .map(|(n, key)| PolicyPermission { id: permission(n), key: (*key).to_owned(), is_active: true })
            .collect(),
        roles: vec![PolicyRole { id: role(0), is_active: true }],
        grants: numbered().map(|(n, _)| PolicyGrant::allow(role(0), permission(n))).collect(),
        assignments: vec![PolicyAssignment::new(people(0), role(0))],
        ..Policy::default()
    };
    (people(0).into(), policy)
}
