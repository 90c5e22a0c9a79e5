//! Denials, inheritance, groups, overrides, lists, ends and conditions.

use super::*;

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
