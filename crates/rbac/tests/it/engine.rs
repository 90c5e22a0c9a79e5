mod rules;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use chrono::TimeDelta;
use stylobate_core::{
    AclId, ApiKeyId, AuthenticatorAssurance, Clock as _, GroupId, KeyOwner, OverrideId, PermissionId,
    PersonId, Principal, RoleId, ServiceId, Subject, SystemClock, TenantId,
};
use stylobate_rbac::{
    Assignee, Authorizer, Condition, Decision, Effect, Engine, FilterExpr, ListFilter, Missing, Outcome,
    PermissionKey, Policy, PolicyAcl, PolicyAssignment, PolicyGrant, PolicyOverride, PolicyPermission,
    PolicyProblem, PolicyRole, Question, Reason, Resource, RuleSource, RuleState, default_catalogue,
};
use stylobate_testkit::ManualClock;
use uuid::Uuid;

const TENANT: TenantId = TenantId::from_uuid(Uuid::from_u128(1));
const READER: RoleId = RoleId::from_uuid(Uuid::from_u128(2));
const ADA: PersonId = PersonId::from_uuid(Uuid::from_u128(3));

fn policy(epoch: i64, keys: &[&str], role: RoleId, assignee: Assignee) -> Policy {
    let ids: Vec<PermissionId> =
        (0..keys.len()).map(|n| PermissionId::from_uuid(Uuid::from_u128(100 + n as u128))).collect();
    Policy {
        epoch,
        permissions: keys
            .iter()
            .zip(&ids)
            .map(|(key, id)| PolicyPermission { id: *id, key: (*key).into(), is_active: true })
            .collect(),
        roles: vec![PolicyRole { id: role, is_active: true }],
        grants: ids.iter().map(|id| PolicyGrant::allow(role, *id)).collect(),
        assignments: vec![PolicyAssignment::new(assignee, role)],
        ..Policy::default()
    }
}

fn engine(keys: &[&str]) -> Engine {
    let engine = Engine::new(Arc::new(default_catalogue()), Arc::new(SystemClock));
    engine.install(Some(TENANT), &policy(7, keys, READER, ADA.into()));
    engine
}

fn ada() -> Principal {
    Principal::person(ADA).in_tenant(TENANT)
}

fn with_scopes(scopes: &[&str]) -> Principal {
    let scopes = Some(scopes.iter().map(|scope| (*scope).to_owned()).collect());
    Principal { scopes, ..ada() }
}

fn denied(reason: Reason) -> Decision {
    let missing = match reason {
        Reason::NoAssignment => Some(Missing::Role),
        Reason::RoleLacksPermission => Some(Missing::Permission),
        Reason::ScopeTooNarrow => Some(Missing::Scope),
        _ => None,
    };
    Decision { outcome: Outcome::Deny, reason, missing, epoch: 7 }
}

#[test]
fn a_role_allows_and_is_named_with_the_epoch() {
    let decision = engine(&["user.read"]).check(&ada(), "user.read");
    assert_eq!(
        decision,
        Decision {
            outcome: Outcome::Allow,
            reason: Reason::Role { role_id: READER },
            missing: None,
            epoch: 7
        }
    );
}

#[test]
fn every_refusal_says_why() {
    // A11: deny by default.
    let engine = engine(&["user.read"]);
    assert_eq!(engine.check(&ada(), "user.delete"), denied(Reason::RoleLacksPermission));
    let grace = Principal::person(PersonId::from_uuid(Uuid::from_u128(9))).in_tenant(TENANT);
    assert_eq!(engine.check(&grace, "user.read"), denied(Reason::NoAssignment));
    assert_eq!(engine.check(&ada(), "user.fly"), denied(Reason::UnknownPermission));
    assert_eq!(engine.check(&with_scopes(&["role.read"]), "user.read"), denied(Reason::ScopeTooNarrow));
    let nobody = Principal::anonymous().in_tenant(TENANT);
    assert_eq!(engine.check(&nobody, "user.read"), denied(Reason::Anonymous));
    let elsewhere = Principal::person(ADA).in_tenant(TenantId::from_uuid(Uuid::from_u128(8)));
    assert_eq!(engine.check(&elsewhere, "user.read").reason, Reason::TenantUnknown);
    assert_eq!(engine.check(&elsewhere, "own.name").reason, Reason::TenantUnknown);
    assert_eq!(engine.check(&Principal::person(ADA), "user.read").reason, Reason::NoAssignment);
}

#[test]
fn a_forgotten_tenant_is_denied() {
    let engine = engine(&["user.read"]);
    engine.remove(TENANT);
    assert_eq!(engine.check(&ada(), "user.read").reason, Reason::TenantUnknown);
}

#[test]
fn text_that_is_no_permission_is_denied_to_everybody() {
    // A11, C22: look-alikes, paths and patterns are not names.
    let engine = engine(&["*"]);
    engine.install(None, &policy(1, &["*"], RoleId::from_uuid(Uuid::from_u128(5)), ADA.into()));
    let huge = "a".repeat(1 << 20);
    for text in [
        "",
        "*",
        "user.*",
        "USER.READ",
        "user.read ",
        "user%2eread",
        "user..read",
        "user.reаd",
        "\0",
        "../user.read",
        &huge,
    ] {
        for principal in [ada(), Principal::system()] {
            assert_eq!(engine.check(&principal, text).reason, Reason::UnknownPermission, "{text:.20}");
        }
    }
}

#[test]
fn scopes_narrow_and_never_add() {
    let engine = engine(&["user.read", "role.read"]);
    for scopes in
        [&["user.read"][..], &["people:read"], &["people:*"], &["user.*"], &["*"], &["x", "user.read"]]
    {
        assert!(engine.check(&with_scopes(scopes), "user.read").is_allowed(), "{scopes:?}");
    }
    for scopes in [
        &[][..],
        &["user"],
        &["user*"],
        &["USER.READ"],
        &["role.*"],
        &["people:write"],
        &[""],
        &["user.read.*"],
    ] {
        assert_eq!(
            engine.check(&with_scopes(scopes), "user.read").reason,
            Reason::ScopeTooNarrow,
            "{scopes:?}"
        );
    }
    assert_eq!(engine.check(&with_scopes(&["*"]), "user.delete").reason, Reason::RoleLacksPermission);
    let mut system = Principal::system();
    assert_eq!(engine.check(&system, "user.delete").reason, Reason::System);
    system.scopes = Some(vec!["user.read".into()]);
    assert_eq!(engine.check(&system, "user.delete").reason, Reason::ScopeTooNarrow);
}

#[test]
fn an_api_key_acts_with_its_owners_roles_and_a_service_with_its_own() {
    let engine = engine(&["user.read"]);
    let key = |owner| Principal {
        subject: Subject::ApiKey { id: ApiKeyId::from_uuid(Uuid::from_u128(4)), owner },
        ..ada()
    };
    let of_service = KeyOwner::Service { id: ServiceId::from_uuid(ADA.as_uuid()) };
    assert!(engine.check(&key(KeyOwner::Person { id: ADA }), "user.read").is_allowed());
    assert_eq!(engine.check(&key(of_service), "user.read"), denied(Reason::NoAssignment));

    // The same id under another kind of subject is somebody else.
    let service = ServiceId::from_uuid(ADA.as_uuid());
    let principal = Principal { subject: Subject::Service { id: service }, ..ada() };
    assert_eq!(engine.check(&principal, "user.read"), denied(Reason::NoAssignment));
    engine.install(Some(TENANT), &policy(7, &["user.read"], READER, service.into()));
    assert!(engine.check(&principal, "user.read").is_allowed());
    assert!(engine.check(&key(of_service), "user.read").is_allowed());
    assert_eq!(engine.check(&ada(), "user.read"), denied(Reason::NoAssignment));
}

#[test]
fn a_synonym_of_several_permissions_asks_for_all_of_them() {
    let some = engine(&["user.create", "user.update"]);
    assert_eq!(some.check(&ada(), "people:write"), denied(Reason::RoleLacksPermission));
    let all = engine(&["people:write"]);
    for name in ["people:write", "user.create", "user.update", "user.delete"] {
        assert!(all.check(&ada(), name).is_allowed(), "{name}");
    }
    assert!(!all.check(&ada(), "user.read").is_allowed());
}

#[test]
fn a_platform_role_counts_in_every_tenant() {
    let engine = engine(&["own.thing"]);
    let (root, role) = (PersonId::from_uuid(Uuid::from_u128(6)), RoleId::from_uuid(Uuid::from_u128(5)));
    engine.install(None, &policy(3, &["*"], role, root.into()));
    let principal = Principal::person(root).in_tenant(TENANT);
    // Also for a name that only the tenant knows, and for what belongs to the platform.
    for name in ["user.delete", "own.thing", "metrics.read"] {
        let decision = engine.check(&principal, name);
        assert_eq!((decision.reason, decision.epoch), (Reason::PlatformRole { role_id: role }, 7), "{name}");
    }
    let without_tenant = engine.check(&Principal::person(root), "user.delete");
    assert_eq!((without_tenant.is_allowed(), without_tenant.epoch), (true, 3));
    assert!(engine.holds_platform_role(&principal) && !engine.holds_platform_role(&ada()));
}

#[test]
fn a_tenant_cannot_give_itself_what_belongs_to_the_platform() {
    // A11, C20: whatever a tenant's rows say, its own roles never reach the platform's permissions.
    let engine = engine(&["*", "metrics.*", "metrics.read", "metrics:read"]);
    for name in ["metrics.read", "metrics:read"] {
        assert_eq!(engine.check(&ada(), name), denied(Reason::RoleLacksPermission));
    }
    assert!(engine.check(&ada(), "user.delete").is_allowed());
}

#[test]
fn what_is_switched_off_gives_nothing() {
    let engine = Engine::new(Arc::new(default_catalogue()), Arc::new(SystemClock));
    let mut rows = policy(7, &["user.read", "role.*"], READER, ADA.into());
    rows.permissions[0].is_active = false;
    engine.install(Some(TENANT), &rows);
    assert_eq!(engine.check(&ada(), "user.read"), denied(Reason::PermissionInactive));
    assert!(engine.check(&ada(), "role.read").is_allowed());
    rows.roles[0].is_active = false;
    assert!(engine.install(Some(TENANT), &rows).is_empty());
    assert_eq!(engine.check(&ada(), "role.read"), denied(Reason::NoAssignment));
}

#[test]
fn effective_permissions_name_the_roles_that_give_them() {
    let engine = engine(&["people:write", "own.thing"]);
    let platform = RoleId::from_uuid(Uuid::from_u128(5));
    engine.install(None, &policy(3, &["user.update"], platform, ADA.into()));
    let found: Vec<_> = engine
        .effective(Some(TENANT), ADA.into())
        .into_iter()
        .map(|one| (one.key, one.role_ids, one.platform_role_ids))
        .collect();
    assert_eq!(
        found,
        [
            ("own.thing".to_owned(), vec![READER], vec![]),
            ("user.create".to_owned(), vec![READER], vec![]),
            ("user.delete".to_owned(), vec![READER], vec![]),
            ("user.update".to_owned(), vec![READER], vec![platform]),
        ]
    );
}

#[test]
fn readers_see_one_policy_or_the_other_while_it_is_swapped() {
    // A11: no check ever meets a half-built policy. In odd epochs Ada reads people by a role; in even ones a denial that
    // she has by a group wins over the same role.
    let denied = |epoch| {
        let mut rows = policy(epoch, &["user.read"], READER, ADA.into());
        let (group, denier) =
            (GroupId::from_uuid(Uuid::from_u128(70)), RoleId::from_uuid(Uuid::from_u128(71)));
        rows.roles.push(PolicyRole { id: denier, is_active: true });
        let permission = rows.permissions[0].id;
        rows.grants.push(PolicyGrant { effect: Effect::Deny, ..PolicyGrant::allow(denier, permission) });
        rows.members.push((group.into(), ADA.into()));
        rows.assignments.push(PolicyAssignment::new(group, denier));
        rows
    };
    let engine = engine(&["user.read"]);
    let is_done = AtomicBool::new(false);
    let checks = std::thread::scope(|threads| {
        let reader = || {
            let (mut checks, mut last) = (0_u64, 0);
            while !is_done.load(Ordering::Relaxed) {
                let decision = engine.check(&ada(), "user.read");
                assert_eq!(decision.is_allowed(), decision.epoch % 2 == 1, "{decision:?}");
                assert!(decision.epoch >= last, "{} after {last}", decision.epoch);
                (checks, last) = (checks + 1, decision.epoch);
            }
            checks
        };
        let readers = [threads.spawn(reader), threads.spawn(reader)];
        // A writer of another tenant in the way: what they share is copied, never locked.
        let other = threads.spawn(|| {
            for n in 0..400 {
                let tenant = TenantId::from_uuid(Uuid::from_u128(1 + n * 64));
                if tenant != TENANT {
                    engine.install(Some(tenant), &policy(1, &["user.read"], READER, ADA.into()));
                }
            }
        });
        for epoch in 8..1_000 {
            let rows = if epoch % 2 == 1 {
                policy(epoch, &["user.read"], READER, ADA.into())
            } else {
                denied(epoch)
            };
            engine.install(Some(TENANT), &rows);
        }
        other.join().unwrap();
        is_done.store(true, Ordering::Relaxed);
        readers.map(|reader| reader.join().unwrap())
    });
    assert!(checks.iter().all(|checks| *checks > 0), "{checks:?}");
}

#[test]
fn a_typed_key_can_be_asked_for() {
    let key: PermissionKey = "user.read".parse().unwrap();
    assert!(engine(&["user.read"]).check(&ada(), &key).is_allowed());
}
