//! The engine against a naive reading of its rules: no numbers, no bit sets, only text and loops.

mod naive;
mod world;

use std::sync::Arc;

use chrono::{DateTime, Datelike, NaiveTime, TimeDelta, Utc};
use proptest::prelude::*;
use stylobate_core::{
    AclId, ApiKeyId, Assurance, AuthenticatorAssurance, GroupId, KeyOwner, OverrideId, PermissionId,
    PersonId, Principal, RoleId, ServiceId, Subject, TenantId,
};
use stylobate_rbac::{
    Assignee, AssigneeKind, Authorizer, Catalogue, Condition, Effect, Engine, PermissionDef, Policy,
    PolicyAcl, PolicyAssignment, PolicyGrant, PolicyOverride, PolicyPermission, PolicyRole, Question,
    Resource, default_catalogue,
};
use stylobate_testkit::ManualClock;
use uuid::Uuid;

use naive::Naive;
use world::*;

fn principal(chance: &mut Chance) -> Principal {
    let person = |n: usize| Principal::person(PersonId::from_uuid(assignee(n).id));
    let of = |subject| Principal { subject, ..person(0) };
    let key = ApiKeyId::from_uuid(Uuid::nil());
    let mut principal = match chance.below(20) {
        0 => {
            let owner = KeyOwner::Person { id: PersonId::from_uuid(assignee(2).id) };
            of(Subject::ApiKey { id: key, owner })
        }
        1 => {
            let owner = KeyOwner::Service { id: ServiceId::from_uuid(assignee(3).id) };
            of(Subject::ApiKey { id: key, owner })
        }
        2 => of(Subject::System),
        3 => of(Subject::Anonymous),
        4..8 => of(Subject::Service { id: ServiceId::from_uuid(assignee(3 + chance.below(2)).id) }),
        _ => person(chance.below(3)),
    };
    if chance.is(90) {
        principal = principal.in_tenant(TENANT);
    }
    if chance.is(15) {
        principal.scopes = Some((0..chance.below(3)).map(|_| chance.of(SCOPES).to_owned()).collect());
    }
    let aal = chance.of(&[
        AuthenticatorAssurance::Aal1,
        AuthenticatorAssurance::Aal2,
        AuthenticatorAssurance::Aal3,
    ]);
    principal.assurance = Assurance { aal, ..Assurance::default() };
    principal
}

const ATTRIBUTES: [&[(&str, &str)]; 5] =
    [&[], &[("a", "x")], &[("a", "y"), ("b", "x")], &[("a", "x"), ("a", "y")], &[("b", "z")]];

fn resource(chance: &mut Chance) -> Resource<'static> {
    Resource {
        kind: if chance.is(85) { "document" } else { "person" },
        id: chance.of(&[None, Some("1"), Some("2"), Some("3")]),
        owner: chance.is(70).then(|| assignee(chance.below(SUBJECTS))),
        attributes: chance.of(&ATTRIBUTES),
    }
}

#[test]
fn decisions_are_those_of_a_naive_reading() {
    // A11: 110,000 questions to 1,100 worlds, with inheritance, denials, patterns, overrides, lists, conditions and expiry.
    let catalogue = Arc::new(default_catalogue());
    let mut allowed = 0;
    for seed in 0..1_100 {
        let mut chance = Chance(seed);
        let world = world(&mut chance);
        let engine = Engine::new(Arc::clone(&catalogue), Arc::new(ManualClock::at(world.now)));
        let own = policy(&world, false);
        engine.install(None, &policy(&world, true));
        engine.install(Some(TENANT), &own);
        for n in 0..100 {
            let (principal, thing) = (principal(&mut chance), resource(&mut chance));
            let resource = chance.is(70).then_some(&thing);
            let names = match chance.below(20) {
                0..14 => &KEYS[..9],
                14..17 => KEYS,
                _ => ASKED,
            };
            let permission = chance.of(names);
            let question = Question { principal: &principal, permission, resource };
            let decision = engine.decide(question);
            let naive = Naive { catalogue: &catalogue, world: &world, principal: &principal, resource };
            let context = || {
                format!(
                    "seed {seed}: {permission} by {principal:?} on {resource:?}: {decision:?} in {world:#?}"
                )
            };
            assert_eq!(decision.is_allowed(), naive.allows(permission), "{}", context());
            assert_ne!(decision.reason.code(), "engine_failure");
            allowed += usize::from(decision.is_allowed());
            if n % 5 == 0 {
                agrees_with_itself(&engine, question, &own, context);
            }
        }
    }
    assert!(
        (10_000..100_000).contains(&allowed),
        "{allowed} of the answers are yes: the worlds are too one-sided"
    );
}

/// The other answers of the engine say what its decisions do.
fn agrees_with_itself(engine: &Engine, question: Question<'_>, own: &Policy, context: impl Fn() -> String) {
    let (decision, principal) = (engine.decide(question), question.principal);
    let explanation = engine.explain(question);
    assert_eq!(explanation.decision, decision, "{}", context());
    if principal.tenant.is_some() {
        assert_eq!(engine.what_if(question, own), decision, "{}", context());
    }
    let filter = engine.list_filter(principal, question.permission);
    if let Some(resource) = question.resource {
        assert_eq!(filter.is_match(resource), decision.is_allowed(), "{} {filter:?}", context());
    }
    let Some(assignee) = Assignee::of(&principal.subject) else { return };
    if decision.is_allowed() {
        let can = engine.who_can(principal.tenant, question.permission);
        assert!(can.contains(&assignee), "{can:?} {}", context());
        assert!(explanation.rules.iter().any(|rule| rule.effect == Effect::Allow), "{}", context());
    }
    if principal.scopes.is_none() && question.resource.is_none() {
        let effective = engine.effective(principal.tenant, assignee);
        for found in &effective {
            let alone = engine.check(principal, &found.key);
            assert!(found.is_conditional || alone.is_allowed(), "{found:?} {alone:?} {}", context());
        }
        let key = engine.catalogue().find(question.permission).map_or(question.permission, |found| found.key);
        if decision.is_allowed() && engine.catalogue().find(key).is_some() {
            assert!(effective.iter().any(|found| found.key == key), "{effective:?} {}", context());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(500) })]
    #[test]
    fn no_text_makes_the_engine_fail(key in ".{0,40}", scope in ".{0,40}", asked in ".{0,40}", name in ".{0,20}", at: i64) {
        // A11: 0 panics on any text and any policy.
        let clock = ManualClock::at(DateTime::from_timestamp_micros(at).unwrap_or(DateTime::<Utc>::MIN_UTC));
        let engine = Engine::new(Arc::new(default_catalogue()), Arc::new(clock));
        let (role, permission) = (RoleId::from_uuid(id(300, 0)), PermissionId::from_uuid(id(400, 0)));
        let condition = Some(Condition::Any(vec![
            Condition::Attribute { name: name.as_str().into(), equals: asked.as_str().into() },
            Condition::TimeWindow { days: vec![at as u8], from_minute: at as u16, to_minute: 0, utc_offset_minutes: at as i16 },
        ]));
        let expires_at = DateTime::from_timestamp_micros(at.wrapping_add(1));
        let policy = Policy {
            epoch: at,
            permissions: vec![PolicyPermission { id: permission, key: key.clone(), is_active: true }],
            roles: vec![PolicyRole { id: role, is_active: true }],
            inheritance: vec![(role, role)],
            grants: vec![PolicyGrant { role, permission, effect: Effect::Allow, condition: condition.clone() }],
            assignments: vec![PolicyAssignment { assignee: assignee(0), role, expires_at }],
            members: vec![(assignee(0), assignee(0)), (assignee(5), assignee(0))],
            overrides: vec![PolicyOverride {
                id: OverrideId::from_uuid(id(600, 0)), assignee: assignee(5), permission, effect: Effect::Allow, condition, expires_at,
            }],
            acls: vec![PolicyAcl {
                id: AclId::from_uuid(id(600, 0)), resource_kind: name.clone(), resource_id: asked.clone(),
                assignee: Assignee { kind: AssigneeKind::Group, id: assignee(5).id }, permission, effect: Effect::Deny, expires_at: None,
            }],
        };
        engine.install(Some(TENANT), &policy);
        engine.install(None, &policy);
        let person = Principal::person(PersonId::from_uuid(assignee(0).id)).in_tenant(TENANT);
        let principal = Principal { scopes: Some(vec![scope]), ..person.clone() };
        let attributes = [(&*name, &*key)];
        let resource = Resource::new(&name, &asked).with(&attributes);
        for permission in [&asked, &key] {
            for question in [Question::new(&principal, permission), Question::new(&person, permission).on(&resource)] {
                prop_assert!(engine.decide(question).reason.code() != "engine_failure");
                let _ = (engine.explain(question), engine.list_filter(&person, permission), engine.who_can(None, permission));
            }
        }
        let _ = engine.effective(Some(TENANT), assignee(0));
    }
}
