use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use chrono::TimeDelta;
use stylobate_core::{
    AclId, ApiKeyId, AuthenticatorAssurance, Clock as _, GroupId, OverrideId, PermissionId, PersonId,
    Principal, RoleId, ServiceId, Subject, SystemClock, TenantId,
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
    assert!(engine.check(&key(Some(ADA)), "user.read").is_allowed());
    assert_eq!(engine.check(&key(None), "user.read"), denied(Reason::NoAssignment));

    // The same id under another kind of subject is somebody else.
    let service = ServiceId::from_uuid(ADA.as_uuid());
    let principal = Principal { subject: Subject::Service { id: service }, ..ada() };
    assert_eq!(engine.check(&principal, "user.read"), denied(Reason::NoAssignment));
    engine.install(Some(TENANT), &policy(7, &["user.read"], READER, service.into()));
    assert!(engine.check(&principal, "user.read").is_allowed());
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
fn a_newer_epoch_makes_a_snapshot_stale_until_it_is_installed() {
    let engine = engine(&["user.read"]);
    assert!(engine.is_current(Some(TENANT)) && !engine.is_current(None));
    engine.note_epoch(Some(TENANT), 8);
    assert!(!engine.is_current(Some(TENANT)));
    assert!(engine.check(&ada(), "user.read").is_allowed(), "the last snapshot serves");
    engine.install(Some(TENANT), &policy(8, &[], READER, ADA.into()));
    assert!(engine.is_current(Some(TENANT)) && !engine.check(&ada(), "user.read").is_allowed());
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

const DENIER: RoleId = RoleId::from_uuid(Uuid::from_u128(20));
const DOCUMENT: Resource<'static> =
    Resource { kind: "document", id: Some("7"), owner: None, attributes: &[] };

fn grace() -> Principal {
    Principal::person(GRACE).in_tenant(TENANT)
}

const GRACE: PersonId = PersonId::from_uuid(Uuid::from_u128(9));

/// Ada reads people; the engine stands at the clock's time.
fn at(clock: &Arc<ManualClock>, change: impl FnOnce(&mut Policy)) -> Engine {
    let mut rows = policy(7, &["user.read"], READER, ADA.into());
    change(&mut rows);
    let engine = Engine::new(Arc::new(default_catalogue()), Arc::clone(clock) as _);
    assert_eq!(engine.install(Some(TENANT), &rows), []);
    engine
}

fn with(change: impl FnOnce(&mut Policy)) -> Engine {
    at(&Arc::new(ManualClock::new()), change)
}

fn override_of(rows: &Policy, effect: Effect) -> PolicyOverride {
    PolicyOverride {
        id: OverrideId::from_uuid(Uuid::from_u128(30)),
        assignee: GRACE.into(),
        permission: rows.permissions[0].id,
        effect,
        condition: None,
        expires_at: None,
    }
}

fn acl_of(rows: &Policy, effect: Effect) -> PolicyAcl {
    PolicyAcl {
        id: AclId::from_uuid(Uuid::from_u128(31)),
        resource_kind: "document".into(),
        resource_id: "7".into(),
        assignee: GRACE.into(),
        permission: rows.permissions[0].id,
        effect,
        expires_at: None,
    }
}

#[test]
fn a_denial_wins_over_everything_that_the_same_policy_allows() {
    let engine = with(|rows| {
        let permission = rows.permissions[0].id;
        rows.roles.push(PolicyRole { id: DENIER, is_active: true });
        rows.grants.push(PolicyGrant { effect: Effect::Deny, ..PolicyGrant::allow(DENIER, permission) });
        rows.assignments.push(PolicyAssignment::new(ADA, DENIER));
        rows.overrides.push(PolicyOverride { assignee: ADA.into(), ..override_of(rows, Effect::Allow) });
    });
    assert_eq!(engine.check(&ada(), "user.read"), denied(Reason::DeniedByRole { role_id: DENIER }));
    assert_eq!(engine.check(&ada(), "people:read"), denied(Reason::DeniedByRole { role_id: DENIER }));
}

#[test]
fn a_tenant_cannot_lock_out_the_platform_and_the_platform_can_lock_out_everybody() {
    let root = RoleId::from_uuid(Uuid::from_u128(5));
    let engine = with(|rows| {
        rows.overrides.push(PolicyOverride { assignee: ADA.into(), ..override_of(rows, Effect::Deny) });
    });
    let id = OverrideId::from_uuid(Uuid::from_u128(30));
    assert_eq!(engine.check(&ada(), "user.read"), denied(Reason::DeniedByOverride { id }));
    let mut platform = policy(3, &["*"], root, ADA.into());
    engine.install(None, &platform);
    assert_eq!(engine.check(&ada(), "user.read").reason, Reason::PlatformRole { role_id: root });
    platform.grants[0].effect = Effect::Deny;
    engine.install(None, &platform);
    assert_eq!(engine.check(&ada(), "user.read").reason, Reason::DeniedByPlatformRole { role_id: root });
}

#[test]
fn roles_inherit_from_active_ones_and_cycles_are_cut() {
    let (middle, base) = (RoleId::from_uuid(Uuid::from_u128(21)), RoleId::from_uuid(Uuid::from_u128(22)));
    let mut rows = policy(7, &["user.read"], base, ADA.into());
    rows.roles.extend([READER, middle].map(|id| PolicyRole { id, is_active: true }));
    rows.assignments = vec![PolicyAssignment::new(ADA, READER)];
    rows.inheritance = vec![(READER, middle), (middle, base)];
    let engine = engine(&[]);
    assert_eq!(engine.install(Some(TENANT), &rows), []);
    assert_eq!(engine.check(&ada(), "user.read").reason, Reason::Role { role_id: READER });
    let explained = engine.explain(Question::new(&ada(), "user.read"));
    assert_eq!(explained.rules[0].source, RuleSource::Role { role_id: READER, granted_by: base });

    rows.roles.last_mut().unwrap().is_active = false;
    engine.install(Some(TENANT), &rows);
    assert_eq!(engine.check(&ada(), "user.read"), denied(Reason::RoleLacksPermission));

    rows.roles.last_mut().unwrap().is_active = true;
    let gone = RoleId::from_uuid(Uuid::from_u128(99));
    rows.inheritance.extend([(base, middle), (READER, gone)]);
    let problems = engine.install(Some(TENANT), &rows);
    let expected = [(READER, gone), (middle, base), (base, middle)];
    assert_eq!(problems.len(), 3);
    for (heir, parent) in expected {
        assert!(problems.contains(&PolicyProblem::Inheritance(heir, parent)), "{problems:?}");
    }
    assert_eq!(engine.check(&ada(), "user.read"), denied(Reason::RoleLacksPermission));
}

#[test]
fn a_hierarchy_too_large_to_compile_denies_instead_of_filling_the_memory() {
    // C42: 300 roles, of which each inherits all before it, pass 2,000 permissions on 44,850 times.
    let mut rows = policy(7, &["user.read"], READER, GRACE.into());
    let ids: Vec<RoleId> = (0..300).map(|n| RoleId::from_uuid(Uuid::from_u128(10_000 + n))).collect();
    let names: Vec<PermissionId> =
        (0..2_000).map(|n| PermissionId::from_uuid(Uuid::from_u128(50_000 + n))).collect();
    rows.permissions.extend(names.iter().zip(0..).map(|(id, n)| PolicyPermission {
        id: *id,
        key: format!("own.{n}"),
        is_active: true,
    }));
    rows.roles.extend(ids.iter().map(|id| PolicyRole { id: *id, is_active: true }));
    rows.grants.extend(names.iter().map(|name| PolicyGrant::allow(ids[0], *name)));
    rows.inheritance = (0..ids.len())
        .flat_map(|heir| (0..heir).map(move |parent| (heir, parent)))
        .map(|(heir, parent)| (ids[heir], ids[parent]))
        .collect();
    rows.assignments.push(PolicyAssignment::new(ADA, ids[299]));
    let engine = engine(&[]);
    let problems = engine.install(Some(TENANT), &rows);
    assert!(problems.contains(&PolicyProblem::RoleTooLarge(ids[299])), "{problems:?}");
    assert_eq!(engine.check(&ada(), "own.1"), denied(Reason::DeniedByRole { role_id: ids[299] }));
    assert!(engine.check(&grace(), "user.read").is_allowed(), "the rest works");
}

#[test]
fn groups_give_their_members_what_they_have() {
    let group = GroupId::from_uuid(Uuid::from_u128(40));
    let rows = |rows: &mut Policy| {
        rows.assignments = vec![PolicyAssignment::new(group, READER)];
        rows.members = vec![(group.into(), ADA.into())];
    };
    let engine = with(rows);
    assert_eq!(engine.check(&ada(), "user.read").reason, Reason::Role { role_id: READER });
    assert_eq!(engine.check(&grace(), "user.read"), denied(Reason::NoAssignment));
    assert_eq!(engine.explain(Question::new(&ada(), "user.read")).rules[0].group, Some(group.into()));
    assert_eq!(engine.who_can(Some(TENANT), "user.read"), [ADA.into(), group.into()]);
}

#[test]
fn overrides_and_lists_are_about_one_subject() {
    let engine = with(|rows| {
        rows.overrides.push(override_of(rows, Effect::Allow));
        rows.acls.push(PolicyAcl { assignee: ADA.into(), ..acl_of(rows, Effect::Deny) });
    });
    let (id, acl) = (OverrideId::from_uuid(Uuid::from_u128(30)), AclId::from_uuid(Uuid::from_u128(31)));
    assert_eq!(engine.check(&grace(), "user.read").reason, Reason::Override { id });
    assert!(engine.check_on(&ada(), "user.read", &Resource::new("document", "8")).is_allowed());
    assert!(engine.check_on(&ada(), "user.read", &Resource::new("person", "7")).is_allowed());
    assert_eq!(engine.check_on(&ada(), "user.read", &DOCUMENT), denied(Reason::DeniedByAcl { id: acl }));

    let engine = with(|rows| rows.acls.push(acl_of(rows, Effect::Allow)));
    assert_eq!(engine.check_on(&grace(), "user.read", &DOCUMENT).reason, Reason::Acl { id: acl });
    assert_eq!(engine.check(&grace(), "user.read"), denied(Reason::NoAssignment));
    // A boundary between kind and id that is elsewhere is another thing.
    assert!(!engine.check_on(&grace(), "user.read", &Resource::new("documen", "t7")).is_allowed());
}

#[test]
fn what_has_expired_counts_no_longer() {
    let clock = Arc::new(ManualClock::new());
    let soon = clock.now() + TimeDelta::microseconds(1);
    let engine = at(&clock, |rows| {
        rows.assignments[0].expires_at = Some(soon);
        rows.overrides.push(PolicyOverride { expires_at: Some(soon), ..override_of(rows, Effect::Allow) });
    });
    assert!(
        engine.check(&ada(), "user.read").is_allowed() && engine.check(&grace(), "user.read").is_allowed()
    );
    clock.advance(TimeDelta::microseconds(1));
    assert_eq!(engine.check(&ada(), "user.read"), denied(Reason::NoAssignment));
    assert_eq!(engine.check(&grace(), "user.read"), denied(Reason::NoAssignment));
    assert_eq!(engine.explain(Question::new(&ada(), "user.read")).rules[0].state, RuleState::Expired);
    assert!(
        engine.effective(Some(TENANT), ADA.into()).is_empty()
            && engine.who_can(Some(TENANT), "user.read").is_empty()
    );
}

#[test]
fn conditions_say_what_is_missing() {
    let grant = |condition| with(|rows| rows.grants[0].condition = Some(condition));
    let unmet = |missing| Decision { missing: Some(missing), ..denied(Reason::ConditionUnmet) };
    let engine = grant(Condition::Assurance { at_least: AuthenticatorAssurance::Aal2 });
    let missing = Missing::Assurance { at_least: AuthenticatorAssurance::Aal2 };
    assert_eq!(engine.check(&ada(), "user.read"), unmet(missing));
    let mut strong = ada();
    strong.assurance.aal = AuthenticatorAssurance::Aal3;
    assert!(engine.check(&strong, "user.read").is_allowed());

    let engine = grant(Condition::Owner {});
    assert_eq!(engine.check(&ada(), "user.read"), unmet(Missing::Owner));
    assert_eq!(engine.check_on(&ada(), "user.read", &DOCUMENT.owned_by(GRACE)), unmet(Missing::Owner));
    assert!(engine.check_on(&ada(), "user.read", &DOCUMENT.owned_by(ADA)).is_allowed());

    let it = Condition::Attribute { name: "department".into(), equals: "it".into() };
    let both = grant(Condition::All(vec![Condition::Any(vec![it.clone()]), Condition::Owner {}]));
    assert_eq!(both.check_on(&ada(), "user.read", &DOCUMENT.owned_by(ADA)), unmet(Missing::Attribute));
    let things = [("department", "it")];
    assert_eq!(both.check_on(&ada(), "user.read", &DOCUMENT.with(&things)), unmet(Missing::Owner));

    // The manual clock stands at noon on a Sunday.
    let window = |from_minute, to_minute| Condition::TimeWindow {
        days: vec![7],
        from_minute,
        to_minute,
        utc_offset_minutes: 0,
    };
    assert!(grant(window(720, 721)).check(&ada(), "user.read").is_allowed());
    assert_eq!(grant(window(721, 720)).check(&ada(), "user.read"), unmet(Missing::Time));
}

#[test]
fn a_denial_whose_condition_cannot_be_judged_denies() {
    // A11: what is not known never opens a door.
    let it = Condition::Attribute { name: "department".into(), equals: "it".into() };
    let engine = with(|rows| {
        rows.overrides.push(PolicyOverride {
            assignee: ADA.into(),
            condition: Some(it),
            ..override_of(rows, Effect::Deny)
        });
    });
    assert!(!engine.check(&ada(), "user.read").is_allowed());
    assert!(!engine.check_on(&ada(), "user.read", &DOCUMENT).is_allowed());
    assert!(!engine.check_on(&ada(), "user.read", &DOCUMENT.with(&[("department", "it")])).is_allowed());
    assert!(engine.check_on(&ada(), "user.read", &DOCUMENT.with(&[("department", "hr")])).is_allowed());
}

#[test]
fn a_name_ending_in_own_is_the_permission_on_own_things() {
    for key in ["people:read:own", "user.read.own"] {
        let engine = engine(&[key]);
        assert!(engine.check_on(&ada(), "user.read", &DOCUMENT.owned_by(ADA)).is_allowed(), "{key}");
        assert_eq!(
            engine.check_on(&ada(), "user.read", &DOCUMENT.owned_by(GRACE)).missing,
            Some(Missing::Owner)
        );
        assert_eq!(engine.check(&ada(), key).reason, Reason::UnknownPermission);
    }
}

#[test]
fn damaged_rows_are_reported_and_the_rest_works() {
    // A11: a policy row damaged in the database gives nothing, and only that row.
    let mut rows = policy(7, &["user.read", "user\u{202e}.delete", "user.update"], READER, ADA.into());
    let (bad, update) = (rows.permissions[1].id, rows.permissions[2].id);
    let (gone, missing) =
        (RoleId::from_uuid(Uuid::from_u128(4)), PermissionId::from_uuid(Uuid::from_u128(5)));
    rows.grants.extend([PolicyGrant::allow(READER, missing), PolicyGrant::allow(gone, update)]);
    rows.grants[2].condition = Some(Condition::Unreadable);
    rows.assignments.push(PolicyAssignment::new(ADA, gone));
    rows.assignments.push(PolicyAssignment::new(ADA, READER));
    rows.overrides.push(PolicyOverride { permission: missing, ..override_of(&rows, Effect::Allow) });
    rows.acls.push(PolicyAcl { permission: missing, ..acl_of(&rows, Effect::Allow) });
    let engine = Engine::new(Arc::new(default_catalogue()), Arc::new(SystemClock));
    assert_eq!(
        engine.install(Some(TENANT), &rows),
        [
            PolicyProblem::PermissionKey(bad),
            PolicyProblem::GrantCondition(READER, update),
            PolicyProblem::Grant(READER, missing),
            PolicyProblem::Grant(gone, update),
            PolicyProblem::Override(rows.overrides[0].id),
            PolicyProblem::Acl(rows.acls[0].id),
            PolicyProblem::Assignment(ADA.into(), gone),
        ]
    );
    assert!(
        engine.check(&ada(), "user.read").is_allowed() && !engine.check(&ada(), "user.update").is_allowed()
    );
    assert_eq!(engine.effective(Some(TENANT), ADA.into()).len(), 2);
    rows.grants[2].effect = Effect::Deny;
    engine.install(Some(TENANT), &rows);
    assert_eq!(engine.check(&ada(), "user.update"), denied(Reason::DeniedByRole { role_id: READER }));
}

#[test]
fn an_explanation_names_what_would_help() {
    let engine = engine(&["user.read"]);
    let (ada, grace) = (ada(), grace());
    let refused = engine.explain(Question::new(&grace, "people:read"));
    assert_eq!((refused.decision.missing, refused.rules.len()), (Some(Missing::Role), 0));
    assert_eq!(refused.role_ids, [READER]);
    assert!(
        refused.keys.contains(&"user.read".to_owned()) && refused.keys.contains(&"people:read".to_owned())
    );
    let mut changed = policy(8, &["user.read"], READER, ADA.into());
    changed.assignments.push(PolicyAssignment::new(GRACE, READER));
    assert!(engine.what_if(Question::new(&grace, "user.read"), &changed).is_allowed());
    assert!(!engine.check(&grace, "user.read").is_allowed(), "a question changes nothing");
    let unknown = engine.explain(Question::new(&ada, "user.fly"));
    assert_eq!((unknown.decision.reason, unknown.keys.len()), (Reason::UnknownPermission, 0));
    serde_json::to_string(&refused).unwrap();
}

#[test]
fn a_filter_says_which_things_of_a_list() {
    let engine = with(|rows| {
        rows.grants[0].condition = Some(Condition::Owner {});
        rows.acls.push(PolicyAcl { assignee: ADA.into(), ..acl_of(rows, Effect::Allow) });
    });
    let expected = FilterExpr::Any(vec![
        FilterExpr::OwnedBy(ADA.into()),
        FilterExpr::Ids { kind: "document".into(), ids: vec!["7".into()] },
    ]);
    assert_eq!(engine.list_filter(&ada(), "user.read"), ListFilter::Matching(expected));
    assert_eq!(engine.list_filter(&grace(), "user.read"), ListFilter::Nothing);
    assert_eq!(
        engine.list_filter(&Principal::anonymous().in_tenant(TENANT), "user.read"),
        ListFilter::Nothing
    );
    assert_eq!(engine.list_filter(&with_scopes(&["role.read"]), "user.read"), ListFilter::Nothing);
    assert_eq!(engine.list_filter(&Principal::system(), "user.read"), ListFilter::All);
    assert_eq!(with(|_| ()).list_filter(&ada(), "user.read"), ListFilter::All);
}
