//! casbin, contained, against casbin itself; and native rows in casbin against the own engine.

use std::sync::Arc;

use casbin::{CoreApi as _, DefaultModel, Enforcer};
use chrono::{DateTime, TimeDelta, Utc};
use stylobate_core::{
    AclId, Assurance, AuthenticatorAssurance, GroupId, OverrideId, PermissionId, PersonId, Principal, RoleId,
    ServiceId, Subject, TenantId,
};
use stylobate_rbac::{
    Assignee, Authorizer, CasbinAuthorizer, CasbinExport, CasbinModel, CasbinRules, Catalogue, Condition,
    Effect, Engine, Policy, PolicyAcl, PolicyAssignment, PolicyGrant, PolicyOverride, PolicyPermission,
    PolicyRole, Question, Resource, default_catalogue,
};
use stylobate_testkit::ManualClock;
use uuid::Uuid;

const TENANT: TenantId = TenantId::from_uuid(Uuid::from_u128(1));

/// The same numbers for the same seed (xorshift64*).
struct Dice(u64);

impl Dice {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn below(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % sides
    }

    fn says(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    fn pick(&mut self, list: &'static [&'static str]) -> &'static str {
        list[self.below(list.len())]
    }
}

async fn reference(model: &str, rules: &CasbinRules) -> Enforcer {
    let model = DefaultModel::from_str(model).await.unwrap();
    let mut enforcer = Enforcer::new(model, ()).await.unwrap();
    let inner = enforcer.get_mut_model();
    inner.add_policies("p", "p", rules.policies().to_vec());
    inner.add_policies("g", "g", rules.roles().to_vec());
    enforcer.build_role_links().unwrap();
    enforcer
}

/// A model, what its rules and requests are made of, and whether a request has a domain.
struct Shape {
    model: &'static str,
    objects: &'static [&'static str],
    patterns: &'static [&'static str],
    acts: &'static [&'static str],
    has_domain: bool,
    has_effect: bool,
}

const SHAPES: &[Shape] = &[
    Shape {
        model: "[request_definition]\nr = sub, obj, act\n[policy_definition]\np = sub, obj, act\n\
            [role_definition]\ng = _, _\n[policy_effect]\ne = some(where (p.eft == allow))\n\
            [matchers]\nm = g(r.sub, p.sub) && keyMatch2(r.obj, p.obj) && regexMatch(r.act, p.act) || r.sub == \"root\"",
        objects: &["/a", "/a/x", "/a/y", "/a/x/y", "/b/x", "/b/"],
        patterns: &["/a", "/a/*", "/a/:id", "/:kind/x", "/b/:id/*", "/b/*"],
        acts: &["read", "write", "^(read|list)$", ".*", "r[a-e]+d"],
        has_domain: false,
        has_effect: false,
    },
    Shape {
        model: CasbinModel::RBAC_WITH_DOMAINS,
        objects: &["*", "note/1", "note/2"],
        patterns: &["*", "note/1", "note/*"],
        acts: &["user.read", "user.write", "user.*", "*"],
        has_domain: true,
        has_effect: true,
    },
    Shape {
        model: "[request_definition]\nr = sub, obj, act\n[policy_definition]\np = sub, obj, act, eft\n\
            [role_definition]\ng = _, _\n[policy_effect]\ne = priority(p.eft) || deny\n\
            [matchers]\nm = g(r.sub, p.sub) && keyMatch3(r.obj, p.obj) && r.act == p.act",
        objects: &["/a", "/a/x", "/a/x/y", "/b/x"],
        patterns: &["/a", "/a/*", "/a/{id}", "/{kind}/x"],
        acts: &["read", "write"],
        has_domain: false,
        has_effect: true,
    },
];

#[tokio::test]
async fn the_contained_engine_decides_as_casbin_does() {
    // A11: parity with the reference, 3 models x 300 policies x 12 questions.
    const SUBJECTS: &[&str] = &["ada", "bob", "root", "r1", "r2", "r3"];
    const DOMAINS: &[&str] = &["t1", "t2"];
    let mut asked = 0;
    for shape in SHAPES {
        for seed in 1..=300 {
            let mut dice = Dice::new(seed);
            let mut rows = Vec::new();
            for _ in 0..=dice.below(8) {
                let mut row = vec!["p", dice.pick(SUBJECTS)];
                if shape.has_domain {
                    row.push(dice.pick(DOMAINS));
                }
                row.extend([dice.pick(shape.patterns), dice.pick(shape.acts)]);
                if shape.has_effect {
                    row.push(if dice.says(30) { "deny" } else { "allow" });
                }
                rows.push(row);
            }
            for _ in 0..dice.below(6) {
                let mut row = vec!["g", dice.pick(SUBJECTS), dice.pick(SUBJECTS)];
                if shape.has_domain {
                    row.push(dice.pick(DOMAINS));
                }
                rows.push(row);
            }
            let rows = rows.into_iter().map(|row| row.into_iter().map(str::to_owned).collect());
            let (rules, problems) = CasbinRules::from_rows(rows).unwrap();
            assert!(problems.is_empty(), "{problems:?}");
            let reference = reference(shape.model, &rules).await;
            let questions: Vec<Vec<String>> = (0..12)
                .map(|_| {
                    let mut values = vec![dice.pick(SUBJECTS)];
                    if shape.has_domain {
                        values.push(dice.pick(DOMAINS));
                    }
                    values.extend([dice.pick(shape.objects), dice.pick(shape.acts)]);
                    values.into_iter().map(str::to_owned).collect()
                })
                .collect();
            let model = CasbinModel::parse(shape.model).unwrap();
            let catalogue = Arc::new(Catalogue::new([], []).unwrap());
            let values = questions.clone();
            // The name of the permission is the number of the question.
            let (contained, problems) =
                CasbinAuthorizer::with_request(catalogue, model, &rules, move |_, name| {
                    values.get(name.parse::<usize>().unwrap()).cloned()
                })
                .unwrap();
            assert!(problems.is_empty(), "{problems:?}");
            let someone = Principal::person(PersonId::from_uuid(Uuid::nil()));
            for (number, values) in questions.into_iter().enumerate() {
                let expected = reference.enforce(values.clone()).unwrap();
                let decision = contained.check(&someone, &number.to_string());
                assert_eq!(decision.is_allowed(), expected, "seed {seed}: {values:?} by {}", rules.to_csv());
                asked += 1;
            }
        }
    }
    assert!(asked >= 10_000);
}

#[tokio::test]
async fn what_makes_casbin_panic_or_err_is_a_denial() {
    // A11: casbin itself panics on the first two and fails on the third, at every question.
    let model = "[request_definition]\nr = sub, obj\n[policy_definition]\np = sub, obj\n\
        [policy_effect]\ne = some(where (p.eft == allow))\n[matchers]\nm = r.sub == p.sub && regexMatch(r.obj, p.obj)";
    for (bad, object) in [("(", "x"), ("a{99999}{99999}", "a"), ("[", "é")] {
        let (rules, _) = CasbinRules::from_rows([["p", "ada", bad].map(str::to_owned).to_vec()]).unwrap();
        let reference = reference(model, &rules).await;
        let asked =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| reference.enforce(("ada", object))));
        assert!(asked.is_err(), "casbin has learnt something: {bad}");
        let catalogue = Arc::new(default_catalogue());
        let model = CasbinModel::parse(model).unwrap();
        let object = object.to_owned();
        let (contained, problems) = CasbinAuthorizer::with_request(catalogue, model, &rules, move |_, _| {
            Some(vec!["ada".to_owned(), object.clone()])
        })
        .unwrap();
        assert_eq!(problems.len(), 1);
        assert!(!contained.check(&Principal::person(PersonId::from_uuid(Uuid::nil())), "a.b").is_allowed());
    }
}

/// What rows may say and what callers may ask for.
const KEYS: &[&str] = &[
    "user.read",
    "user.update",
    "people:write",
    "people:read",
    "platform.metrics.read",
    "own.a",
    "own.b",
    "*",
    "user.*",
    "people:*",
    "own.*",
    "role.read",
    "people:read:own",
    "Bad Key",
];

fn person(n: usize) -> Assignee {
    PersonId::from_uuid(Uuid::from_u128(500 + n as u128)).into()
}

fn group(n: usize) -> Assignee {
    GroupId::from_uuid(Uuid::from_u128(600 + n as u128)).into()
}

fn service(n: usize) -> Assignee {
    ServiceId::from_uuid(Uuid::from_u128(700 + n as u128)).into()
}

fn role(n: usize, is_platform: bool) -> RoleId {
    RoleId::from_uuid(Uuid::from_u128(300 + n as u128 + if is_platform { 50 } else { 0 }))
}

fn permission(n: usize) -> PermissionId {
    PermissionId::from_uuid(Uuid::from_u128(400 + n as u128))
}

struct World {
    now: DateTime<Utc>,
    /// Whether rules have conditions and ends.
    is_full: bool,
}

impl World {
    fn condition(&self, dice: &mut Dice) -> Option<Condition> {
        if !self.is_full || dice.says(60) {
            return None;
        }
        Some(match dice.below(5) {
            0 => Condition::Owner {},
            1 => Condition::Attribute { name: "department".into(), equals: "it".into() },
            2 => Condition::Assurance { at_least: AuthenticatorAssurance::Aal2 },
            3 => {
                Condition::TimeWindow { days: vec![], from_minute: 0, to_minute: 720, utc_offset_minutes: 0 }
            }
            _ => Condition::Any(vec![
                Condition::Owner {},
                Condition::Assurance { at_least: AuthenticatorAssurance::Aal3 },
            ]),
        })
    }

    fn end(&self, dice: &mut Dice) -> Option<DateTime<Utc>> {
        match dice.below(10) {
            // At this very instant it counts no longer.
            0 => Some(self.now),
            1 => Some(self.now - TimeDelta::seconds(1)),
            2 if self.is_full => Some(self.now + TimeDelta::microseconds(1)),
            _ => None,
        }
    }

    fn assignee(dice: &mut Dice) -> Assignee {
        match dice.below(5) {
            0 => group(dice.below(2)),
            1 => service(0),
            n => person(n - 2),
        }
    }

    fn policy(&self, dice: &mut Dice, permissions: &[(usize, bool)], is_platform: bool) -> Policy {
        let effect = |dice: &mut Dice| if dice.says(20) { Effect::Deny } else { Effect::Allow };
        // Rows that only the platform has come first; a tenant sees them too.
        let visible = if is_platform { permissions.len() / 2 } else { permissions.len() };
        let any = |dice: &mut Dice| permission(dice.below(permissions.len() + 1));
        let mut policy = Policy { epoch: 1, ..Policy::default() };
        for (n, (key, is_active)) in permissions.iter().enumerate().take(visible) {
            policy.permissions.push(PolicyPermission {
                id: permission(n),
                key: KEYS[*key].into(),
                is_active: *is_active,
            });
        }
        for n in 0..4 {
            policy.roles.push(PolicyRole { id: role(n, is_platform), is_active: dice.says(85) });
        }
        let some = |dice: &mut Dice| role(dice.below(5), is_platform);
        for _ in 0..dice.below(8) {
            let (role, permission) = (some(dice), any(dice));
            let (effect, condition) = (effect(dice), self.condition(dice));
            policy.grants.push(PolicyGrant { role, permission, effect, condition });
        }
        for _ in 0..dice.below(4) {
            // Upwards only: what becomes of a cycle is for the own engine's tests.
            let low = dice.below(3);
            policy
                .inheritance
                .push((role(low, is_platform), role(low + 1 + dice.below(3 - low), is_platform)));
        }
        for _ in 0..dice.below(6) {
            let (assignee, role, expires_at) = (Self::assignee(dice), some(dice), self.end(dice));
            policy.assignments.push(PolicyAssignment { assignee, role, expires_at });
        }
        for _ in 0..dice.below(4) {
            let member = if dice.says(10) { group(0) } else { person(dice.below(3)) };
            policy.members.push((group(dice.below(2)), member));
        }
        for n in 0..dice.below(3) {
            policy.overrides.push(PolicyOverride {
                id: OverrideId::from_uuid(Uuid::from_u128(800 + n as u128)),
                assignee: Self::assignee(dice),
                permission: any(dice),
                effect: effect(dice),
                condition: self.condition(dice),
                expires_at: self.end(dice),
            });
        }
        for n in 0..dice.below(3) {
            policy.acls.push(PolicyAcl {
                id: AclId::from_uuid(Uuid::from_u128(900 + n as u128)),
                resource_kind: "note".into(),
                resource_id: dice.pick(&["1", "a/b", "*"]).into(),
                assignee: Self::assignee(dice),
                permission: any(dice),
                effect: effect(dice),
                expires_at: self.end(dice),
            });
        }
        policy
    }
}

fn principals() -> Vec<Principal> {
    let of = |subject| Principal { subject, ..Principal::system().in_tenant(TENANT) };
    let id = |assignee: Assignee| assignee.id;
    vec![
        of(Subject::Person { id: PersonId::from_uuid(id(person(0))) }),
        Principal {
            assurance: Assurance { aal: AuthenticatorAssurance::Aal2, ..Assurance::default() },
            ..of(Subject::Person { id: PersonId::from_uuid(id(person(1))) })
        },
        of(Subject::Service { id: ServiceId::from_uuid(id(service(0))) }),
        Principal {
            scopes: Some(vec!["user.*".into(), "own.a".into()]),
            ..of(Subject::Person { id: PersonId::from_uuid(id(person(0))) })
        },
        of(Subject::Anonymous),
    ]
}

fn resources() -> [Option<Resource<'static>>; 4] {
    [
        None,
        Some(Resource::new("note", "1").owned_by(person(0)).with(&[("department", "it")])),
        Some(Resource::new("note", "a/b").with(&[("department", "hr")])),
        Some(Resource::new("note", "*").owned_by(person(1))),
    ]
}

fn permissions(dice: &mut Dice) -> Vec<(usize, bool)> {
    (0..10).map(|_| (dice.below(KEYS.len()), dice.says(85))).collect()
}

/// Two models that together say what one cannot: whether a rule allows, and whether one denies.
const DENIES_ONLY: (&str, &str) =
    ("some(where (p.eft == allow)) && !some(where (p.eft == deny))", "!some(where (p.eft == deny))");

#[tokio::test]
async fn exported_rows_decide_in_casbin_as_in_the_own_engine() {
    // A11: the own engine against casbin itself, 200 policies x 4 people x 3 things x 5 names.
    let clock = Arc::new(ManualClock::new());
    let world = World { now: stylobate_core::Clock::now(&*clock), is_full: false };
    let catalogue = Arc::new(default_catalogue());
    let mut asked = 0;
    for seed in 1..=200 {
        let mut dice = Dice::new(seed);
        let rows = permissions(&mut dice);
        let policies = [
            (None, world.policy(&mut dice, &rows, true)),
            (Some(TENANT), world.policy(&mut dice, &rows, false)),
        ];
        let engine = Engine::new(Arc::clone(&catalogue), Arc::clone(&clock) as _);
        let mut tiers = Vec::new();
        for (tenant, policy) in &policies {
            // The condition of `:own` is one that casbin cannot say; rows with it are left out of this test.
            let mut policy = policy.clone();
            policy.permissions.retain(|row| !row.key.ends_with(":own"));
            engine.install(*tenant, &policy);
            let export = CasbinExport::of(&policy, *tenant, &catalogue, world.now, &|_| None);
            assert!(export.problems.is_empty(), "{:?}", export.problems);
            let (read, problems) = CasbinRules::parse(&export.rules.to_csv()).unwrap();
            assert!(problems.is_empty() && read == export.rules);
            let denies_only = CasbinModel::RBAC_WITH_DOMAINS.replace(DENIES_ONLY.0, DENIES_ONLY.1);
            let both = (
                reference(CasbinModel::RBAC_WITH_DOMAINS, &read).await,
                reference(&denies_only, &read).await,
            );
            let domain = tenant.map_or_else(|| "platform".to_owned(), |tenant| tenant.to_string());
            tiers.push((both, domain, !export.rules.policies().is_empty()));
        }
        let says = |tier: usize, subject: &str, object: &str, name: &str| -> Option<bool> {
            let ((allows, denies_not), domain, has_rules) = &tiers[tier];
            let request = || vec![subject.to_owned(), domain.clone(), object.to_owned(), name.to_owned()];
            match *has_rules {
                false => None,
                true if !denies_not.enforce(request()).unwrap() => Some(false),
                true => allows.enforce(request()).unwrap().then_some(true),
            }
        };
        for (n, subject) in [person(0), person(1), person(2), service(0)].into_iter().enumerate() {
            let principal = match n {
                3 => Subject::Service { id: ServiceId::from_uuid(subject.id) },
                _ => Subject::Person { id: PersonId::from_uuid(subject.id) },
            };
            let principal = Principal { subject: principal, ..Principal::system().in_tenant(TENANT) };
            let text = format!("{}:{}", subject.kind.as_str(), subject.id);
            for (resource, object) in [(None, "*"), (Some("1"), "note/1"), (Some("a/b"), "note/a=2Fb")] {
                for name in ["user.read", "user.update", "role.read", "platform.metrics.read", "own.a"] {
                    let is_known = catalogue.has(name)
                        || policies
                            .iter()
                            .any(|(_, policy)| policy.permissions.iter().any(|row| row.key == name));
                    // A tenant's row neither gives nor takes what belongs to the platform.
                    let is_off = policies.iter().any(|(tenant, policy)| {
                        (tenant.is_none() || name != "platform.metrics.read")
                            && policy.permissions.iter().any(|row| {
                                let means =
                                    catalogue.find(&row.key).map_or(row.key.as_str(), |found| found.key);
                                !row.is_active && means == name
                            })
                    });
                    let platform = says(0, &text, object, name);
                    let expected = is_known
                        && !is_off
                        && platform.or_else(|| says(1, &text, object, name)) == Some(true);
                    let resource = resource.map(|id| Resource::new("note", id));
                    let question =
                        Question { principal: &principal, permission: name, resource: resource.as_ref() };
                    let decision = engine.decide(question);
                    assert_eq!(
                        decision.is_allowed(),
                        expected,
                        "seed {seed}: {name} on {object} for {text}: {decision:?}, {platform:?}"
                    );
                    asked += 1;
                }
            }
        }
    }
    assert!(asked >= 10_000);
}

#[test]
fn the_engine_decides_the_same_with_casbin_in_its_place() {
    // A11: 100 policies with conditions, ends, groups and cycles x 5 people x 4 things x 9 names, at two times.
    let mut asked = 0;
    for seed in 1..=100 {
        let clock = Arc::new(ManualClock::new());
        let mut dice = Dice::new(seed);
        let world = World { now: stylobate_core::Clock::now(&*clock), is_full: true };
        let rows = permissions(&mut dice);
        let mut policies = [
            (None, world.policy(&mut dice, &rows, true)),
            (Some(TENANT), world.policy(&mut dice, &rows, false)),
        ];
        if dice.says(20) {
            let tenant = &mut policies[1].1;
            tenant.inheritance.extend([(role(3, false), role(0, false)), (role(0, false), role(3, false))]);
        }
        let catalogue = Arc::new(default_catalogue());
        let own = Engine::new(Arc::clone(&catalogue), Arc::clone(&clock) as _);
        let casbin = Engine::new(catalogue, Arc::clone(&clock) as _).with_casbin();
        for (tenant, policy) in &policies {
            assert_eq!(own.install(*tenant, policy), casbin.install(*tenant, policy));
        }
        for _ in 0..2 {
            for principal in principals() {
                for resource in &resources() {
                    for name in KEYS.iter().chain(&["user.create", "nothing.known"]).step_by(2) {
                        let question =
                            Question { principal: &principal, permission: name, resource: resource.as_ref() };
                        let (expected, decision) = (own.decide(question), casbin.decide(question));
                        assert_eq!(
                            (decision.outcome, decision.epoch),
                            (expected.outcome, expected.epoch),
                            "seed {seed}: {name} on {resource:?} for {principal:?}: {decision:?} instead of {expected:?}"
                        );
                        // Which of several rules is named may differ; what else refused may not.
                        if decision.missing.is_none() || expected.missing.is_none() {
                            assert_eq!(decision.missing, expected.missing, "seed {seed}: {name}");
                        }
                        asked += 1;
                    }
                }
            }
            clock.advance(TimeDelta::microseconds(1));
        }
    }
    assert!(asked >= 10_000);
}
