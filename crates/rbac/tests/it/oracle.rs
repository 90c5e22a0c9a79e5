//! The engine against a naive reading of its rules: no numbers, no bit sets, only text and loops.

use std::sync::Arc;

use proptest::prelude::*;
use stylobate_core::{
    ApiKeyId, PermissionId, PersonId, Principal, RoleId, ServiceId, Subject, SystemClock, TenantId,
};
use stylobate_rbac::{
    Assignee, Authorizer, Catalogue, Engine, PermissionDef, Policy, PolicyAssignment, PolicyGrant,
    PolicyPermission, PolicyRole, default_catalogue,
};
use uuid::Uuid;

const TENANT: TenantId = TenantId::from_uuid(Uuid::from_u128(1));

/// What rows may say and what callers may ask for.
const KEYS: &[&str] = &[
    "user.read",
    "user.update",
    "user.delete",
    "people:write",
    "people:read",
    "metrics.read",
    "metrics:read",
    "own.a",
    "own.b",
    "own:a",
    "*",
    "user.*",
    "people:*",
    "own.*",
    "rbac:manage",
    "role.read",
    "metrics.*",
    "Bad Key",
    "",
];
const SCOPES: &[&str] =
    &["*", "user.*", "people:*", "people:read", "own.a", "own.*", "user*", "", "metrics.read"];

#[derive(Debug, Clone)]
struct Rows {
    /// (key, active, of the platform)
    permissions: Vec<(usize, bool, bool)>,
    /// (active, of the platform)
    roles: Vec<(bool, bool)>,
    grants: Vec<(usize, usize)>,
    assignments: Vec<(usize, usize)>,
}

fn rows() -> impl Strategy<Value = Rows> {
    let permissions = prop::collection::vec((0..KEYS.len(), prop::bool::weighted(0.8), any::<bool>()), 1..12);
    let roles = prop::collection::vec((prop::bool::weighted(0.8), prop::bool::weighted(0.3)), 1..6);
    let grants = prop::collection::vec((0..12_usize, 0..6_usize), 0..20);
    let assignments = prop::collection::vec((0..4_usize, 0..6_usize), 0..10);
    (permissions, roles, grants, assignments).prop_map(|(permissions, roles, grants, assignments)| Rows {
        permissions,
        roles,
        grants,
        assignments,
    })
}

fn assignee(n: usize) -> Assignee {
    let id = Uuid::from_u128(500 + n as u128 % 3);
    if n < 3 { PersonId::from_uuid(id).into() } else { ServiceId::from_uuid(id).into() }
}

fn role_id(n: usize) -> RoleId {
    RoleId::from_uuid(Uuid::from_u128(300 + n as u128))
}

fn permission_id(n: usize) -> PermissionId {
    PermissionId::from_uuid(Uuid::from_u128(400 + n as u128))
}

/// The rows as the store hands them out: a tenant's policy has the platform's permissions as well.
fn policy(rows: &Rows, platform: bool) -> Policy {
    let role_is = |n: &usize| rows.roles.get(*n).is_some_and(|role| role.1 == platform);
    Policy {
        epoch: 1,
        permissions: (0..)
            .zip(&rows.permissions)
            .filter(|(_, row)| !platform || row.2)
            .map(|(n, row)| PolicyPermission {
                id: permission_id(n),
                key: KEYS[row.0].into(),
                is_active: row.1,
            })
            .collect(),
        roles: (0..)
            .zip(&rows.roles)
            .filter(|(_, role)| role.1 == platform)
            .map(|(n, role)| PolicyRole { id: role_id(n), is_active: role.0 })
            .collect(),
        grants: rows
            .grants
            .iter()
            .filter(|(_, role)| role_is(role))
            .map(|(permission, role)| PolicyGrant::allow(role_id(*role), permission_id(*permission)))
            .collect(),
        assignments: rows
            .assignments
            .iter()
            .filter(|(_, role)| role_is(role))
            .map(|(subject, role)| PolicyAssignment::new(assignee(*subject), role_id(*role)))
            .collect(),
        ..Policy::default()
    }
}

fn names(permission: &PermissionDef) -> Vec<&'static str> {
    [&[permission.key], permission.synonyms].concat()
}

fn covers(held: &str, name: &str) -> bool {
    let prefix = held.trim_end_matches('*');
    held == "*"
        || (held == name && !held.contains('*'))
        || (held.ends_with(".*") || held.ends_with(":*")) && name.starts_with(prefix) && name != prefix
}

fn is_key(key: &str) -> bool {
    !key.is_empty() && key != "Bad Key"
}

/// All that one asked name means: lists of names, each of one permission, and whether that one is the platform's.
fn meanings(catalogue: &Catalogue, rows: &Rows, name: &str) -> Vec<(Vec<String>, bool)> {
    let declared: Vec<(Vec<String>, bool)> = catalogue
        .permissions()
        .iter()
        .filter(|permission| names(permission).contains(&name))
        .map(|permission| {
            (names(permission).into_iter().map(str::to_owned).collect(), permission.is_platform)
        })
        .collect();
    let is_own =
        rows.permissions.iter().any(|row| KEYS[row.0] == name) && is_key(name) && !name.contains('*');
    if declared.is_empty() && is_own { vec![(vec![name.to_owned()], false)] } else { declared }
}

fn expected(catalogue: &Catalogue, rows: &Rows, principal: &Principal, name: &str) -> bool {
    let meanings = meanings(catalogue, rows, name);
    if principal.subject == Subject::Anonymous || meanings.is_empty() {
        return false;
    }
    meanings.iter().all(|(names, is_platform)| {
        let covered = |held: &str| names.iter().any(|name| covers(held, name));
        if principal.scopes.as_ref().is_some_and(|scopes| !scopes.iter().any(|scope| covered(scope))) {
            return false;
        }
        if principal.subject == Subject::System {
            return true;
        }
        let means_only_this = |key: &str| {
            is_key(key) && !key.contains('*') && covered(key) && {
                catalogue.permissions().iter().filter(|one| self::names(one).contains(&key)).count() <= 1
            }
        };
        // A tenant's row neither gives nor takes what belongs to the platform.
        let switched_off = |row: &&(usize, bool, bool)| !row.1 && (row.2 || !is_platform);
        if rows.permissions.iter().filter(switched_off).any(|row| means_only_this(KEYS[row.0])) {
            return false;
        }
        let Some(subject) = Assignee::of(&principal.subject) else { return false };
        rows.assignments.iter().any(|(who, role)| {
            assignee(*who) == subject
                && rows.roles.get(*role).is_some_and(|(active, of_platform)| {
                    *active
                        && (*of_platform || !is_platform)
                        && rows.grants.iter().any(|(permission, to)| {
                            to == role
                                && rows.permissions.get(*permission).is_some_and(
                                    |(key, active, platform_row)| {
                                        *active
                                            && (*platform_row || !of_platform)
                                            && is_key(KEYS[*key])
                                            && covered(KEYS[*key])
                                    },
                                )
                        })
                })
        })
    })
}

fn principals() -> Vec<Principal> {
    let person = |n: usize| Principal::person(PersonId::from_uuid(assignee(n).id)).in_tenant(TENANT);
    let of = |subject| Principal { subject, ..person(0) };
    let key = ApiKeyId::from_uuid(Uuid::nil());
    vec![
        person(0),
        person(1),
        of(Subject::Service { id: ServiceId::from_uuid(assignee(3).id) }),
        of(Subject::ApiKey { id: key, owner: Some(PersonId::from_uuid(assignee(2).id)) }),
        of(Subject::ApiKey { id: key, owner: None }),
        of(Subject::System),
        of(Subject::Anonymous),
    ]
}

proptest! {
    // Each case asks 7 principals with 3 sets of scopes about 21 names: over 100,000 questions a run.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]
    #[test]
    fn decisions_are_those_of_a_naive_reading(rows in rows(), scopes in prop::collection::vec(0..SCOPES.len(), 0..3)) {
        // A11
        let catalogue = Arc::new(default_catalogue());
        let engine = Engine::new(Arc::clone(&catalogue), Arc::new(SystemClock));
        engine.install(None, &policy(&rows, true));
        engine.install(Some(TENANT), &policy(&rows, false));
        let chosen: Vec<String> = scopes.iter().map(|n| SCOPES[*n].to_owned()).collect();
        for principal in principals() {
            for scopes in [None, Some(chosen.clone()), Some(vec!["user.read".to_owned()])] {
                let principal = Principal { scopes, ..principal.clone() };
                for name in KEYS.iter().chain(&["user.create", "nothing.known"]) {
                    let decision = engine.check(&principal, name);
                    prop_assert_eq!(
                        decision.is_allowed(), expected(&catalogue, &rows, &principal, name),
                        "{} for {:?}: {:?}", name, principal, decision
                    );
                }
            }
        }
    }

    #[test]
    fn no_text_makes_the_engine_fail(key in ".{0,40}", scope in ".{0,40}", asked in ".{0,40}") {
        // A11: 0 panics on any text and any policy.
        let engine = Engine::new(Arc::new(default_catalogue()), Arc::new(SystemClock));
        let role = role_id(0);
        let policy = Policy {
            epoch: 1,
            permissions: vec![PolicyPermission { id: permission_id(0), key: key.clone(), is_active: true }],
            roles: vec![PolicyRole { id: role, is_active: true }],
            grants: vec![PolicyGrant::allow(role, permission_id(0))],
            assignments: vec![PolicyAssignment::new(assignee(0), role)],
            ..Policy::default()
        };
        engine.install(Some(TENANT), &policy);
        engine.install(None, &policy);
        let principal = Principal { scopes: Some(vec![scope]), ..principals().remove(0) };
        for name in [&asked, &key] {
            prop_assert!(engine.check(&principal, name).reason.code() != "engine_failure");
        }
    }
}
