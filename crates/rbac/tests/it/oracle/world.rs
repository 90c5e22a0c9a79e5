//! Random policies, and the same as rows.

use super::*;

pub(super) const TENANT: TenantId = TenantId::from_uuid(Uuid::from_u128(1));

/// What rows may say and what callers may ask for.
pub(super) const KEYS: &[&str] = &[
    "user.read",
    "user.update",
    "people:write",
    "people:read",
    "metrics.read",
    "metrics:read",
    "own.a",
    "own.b",
    "own:a",
    "own.b.own",
    "own.c:own",
    "user.read:own",
    "people:write.own",
    "user.read:own:own",
    "own.a.own:own",
    "*",
    "user.*",
    "people:*",
    "own.*",
    "role.read",
    "metrics.*",
    "Bad Key",
    "",
];
pub(super) const ASKED: &[&str] = &["user.create", "user.delete", "own.c", "nothing.known"];
pub(super) const SCOPES: &[&str] =
    &["*", "user.*", "people:*", "people:read", "own.a", "own.*", "user*", "", "metrics.read"];
pub(super) const SUBJECTS: usize = 5;
pub(super) const GROUPS: usize = 3;
pub(super) const ROLES: usize = 7;

/// SplitMix64: the same worlds in every run, and no time spent on shrinking.
pub(super) struct Chance(pub(super) u64);

impl Chance {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    pub(super) fn is(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub(super) fn of<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())].clone()
    }
}

#[derive(Debug)]
pub(super) struct Permission {
    pub(super) key: &'static str,
    pub(super) active: bool,
    pub(super) platform: bool,
}

#[derive(Debug)]
pub(super) struct Grant {
    pub(super) role: usize,
    pub(super) permission: usize,
    pub(super) effect: Effect,
    pub(super) condition: Option<Condition>,
}

/// An override, or an entry of the list of a document.
#[derive(Debug)]
pub(super) struct Direct {
    pub(super) subject: usize,
    pub(super) permission: usize,
    pub(super) effect: Effect,
    pub(super) condition: Option<Condition>,
    pub(super) expires: Option<DateTime<Utc>>,
    pub(super) platform: bool,
    pub(super) document: Option<usize>,
}

#[derive(Debug)]
pub(super) struct World {
    pub(super) now: DateTime<Utc>,
    pub(super) permissions: Vec<Permission>,
    /// (active, of the platform)
    pub(super) roles: Vec<(bool, bool)>,
    pub(super) inheritance: Vec<(usize, usize)>,
    pub(super) grants: Vec<Grant>,
    /// (subject, role, expires)
    pub(super) assignments: Vec<(usize, usize, Option<DateTime<Utc>>)>,
    /// (group, member, in the platform's policy)
    pub(super) members: Vec<(usize, usize, bool)>,
    pub(super) directs: Vec<Direct>,
}

pub(super) fn condition(chance: &mut Chance, depth: usize) -> Condition {
    match chance.below(if depth < 2 { 8 } else { 5 }) {
        0 | 1 => Condition::Owner {},
        2 => Condition::Attribute {
            name: chance.of(&["a", "b"]).into(),
            equals: chance.of(&["x", "y"]).into(),
        },
        3 => Condition::Assurance {
            at_least: chance.of(&[AuthenticatorAssurance::Aal2, AuthenticatorAssurance::Aal3]),
        },
        4 => Condition::TimeWindow {
            days: (0..chance.below(4)).map(|_| 1 + chance.below(7) as u8).collect(),
            from_minute: chance.below(1440) as u16,
            to_minute: 1 + chance.below(1440) as u16,
            utc_offset_minutes: chance.below(1681) as i16 - 840,
        },
        // Rows are unreadable as a whole.
        5 if depth == 0 => Condition::Unreadable,
        5 => Condition::Owner {},
        kind => {
            let parts = (0..chance.below(4)).map(|_| condition(chance, depth + 1)).collect();
            if kind == 6 { Condition::All(parts) } else { Condition::Any(parts) }
        }
    }
}

pub(super) fn world(chance: &mut Chance) -> World {
    let now = DateTime::from_timestamp(1_772_366_400 + chance.below(7 * 86_400) as i64, 0).unwrap();
    let effect = |chance: &mut Chance| if chance.is(15) { Effect::Deny } else { Effect::Allow };
    let maybe = |chance: &mut Chance| chance.is(20).then(|| condition(chance, 0));
    let expires = |chance: &mut Chance| {
        chance.is(30).then(|| now + TimeDelta::microseconds(chance.below(3) as i64 - 1))
    };
    let permissions: Vec<Permission> = (0..4 + chance.below(14))
        .map(|_| Permission { key: chance.of(KEYS), active: chance.is(95), platform: chance.is(60) })
        .collect();
    // One too many, so that some rows name what is not there.
    let count = permissions.len() + 1;
    World {
        now,
        permissions,
        roles: (0..ROLES - 1).map(|_| (chance.is(85), chance.is(30))).collect(),
        inheritance: (0..chance.below(8)).map(|_| (chance.below(ROLES), chance.below(ROLES))).collect(),
        grants: (0..6 + chance.below(40))
            .map(|_| Grant {
                role: chance.below(ROLES),
                permission: chance.below(count),
                effect: effect(chance),
                condition: maybe(chance),
            })
            .collect(),
        assignments: (0..4 + chance.below(18))
            .map(|_| (chance.below(SUBJECTS + GROUPS), chance.below(ROLES), expires(chance)))
            .collect(),
        members: (0..chance.below(5))
            .map(|_| (SUBJECTS + chance.below(GROUPS), chance.below(SUBJECTS), chance.is(30)))
            .collect(),
        directs: (0..chance.below(10))
            .map(|_| {
                let document = chance.is(50).then(|| chance.below(2));
                Direct {
                    subject: chance.below(SUBJECTS + GROUPS),
                    permission: chance.below(count),
                    effect: effect(chance),
                    condition: if document.is_none() { maybe(chance) } else { None },
                    expires: expires(chance),
                    platform: chance.is(30),
                    document,
                }
            })
            .collect(),
    }
}

pub(super) fn assignee(n: usize) -> Assignee {
    let id = Uuid::from_u128(500 + n as u128 % 3);
    match n {
        0..3 => PersonId::from_uuid(id).into(),
        3..SUBJECTS => ServiceId::from_uuid(id).into(),
        _ => GroupId::from_uuid(id).into(),
    }
}

pub(super) fn id(base: u128, n: usize) -> Uuid {
    Uuid::from_u128(base + n as u128)
}

pub(super) const DOCUMENTS: [&str; 2] = ["1", "2"];

/// The rows as the store hands them out: a tenant's policy has the platform's permissions as well.
pub(super) fn policy(world: &World, platform: bool) -> Policy {
    let role = |n: usize| RoleId::from_uuid(id(300, n));
    let permission = |n: usize| PermissionId::from_uuid(id(400, n));
    // Roles that are in no policy are rows of both.
    let is_here = |n: usize| world.roles.get(n).is_none_or(|role| role.1 == platform);
    let directs = || world.directs.iter().zip(0_usize..).filter(|(row, _)| row.platform == platform);
    Policy {
        epoch: 1,
        permissions: (0..)
            .zip(&world.permissions)
            .filter(|(_, row)| !platform || row.platform)
            .map(|(n, row)| PolicyPermission {
                id: permission(n),
                key: row.key.into(),
                is_active: row.active,
            })
            .collect(),
        roles: (0..)
            .zip(&world.roles)
            .filter(|(_, role)| role.1 == platform)
            .map(|(n, one)| PolicyRole { id: role(n), is_active: one.0 })
            .collect(),
        inheritance: world
            .inheritance
            .iter()
            .filter(|(heir, _)| is_here(*heir))
            .map(|(heir, parent)| (role(*heir), role(*parent)))
            .collect(),
        grants: world
            .grants
            .iter()
            .filter(|row| is_here(row.role))
            .map(|row| PolicyGrant {
                role: role(row.role),
                permission: permission(row.permission),
                effect: row.effect,
                condition: row.condition.clone(),
            })
            .collect(),
        assignments: world
            .assignments
            .iter()
            .filter(|row| is_here(row.1))
            .map(|(subject, one, expires_at)| PolicyAssignment {
                assignee: assignee(*subject),
                role: role(*one),
                expires_at: *expires_at,
            })
            .collect(),
        members: world
            .members
            .iter()
            .filter(|row| row.2 == platform)
            .map(|(group, member, _)| (assignee(*group), assignee(*member)))
            .collect(),
        overrides: directs()
            .filter(|(row, _)| row.document.is_none())
            .map(|(row, n)| PolicyOverride {
                id: OverrideId::from_uuid(id(600, n)),
                assignee: assignee(row.subject),
                permission: permission(row.permission),
                effect: row.effect,
                condition: row.condition.clone(),
                expires_at: row.expires,
            })
            .collect(),
        acls: directs()
            .filter_map(|(row, n)| {
                Some(PolicyAcl {
                    id: AclId::from_uuid(id(600, n)),
                    resource_kind: "document".into(),
                    resource_id: DOCUMENTS[row.document?].into(),
                    assignee: assignee(row.subject),
                    permission: permission(row.permission),
                    effect: row.effect,
                    expires_at: row.expires,
                })
            })
            .collect(),
    }
}
