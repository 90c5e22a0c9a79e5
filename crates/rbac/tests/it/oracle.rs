//! The engine against a naive reading of its rules: no numbers, no bit sets, only text and loops.

use std::sync::Arc;

use chrono::{DateTime, Datelike, NaiveTime, TimeDelta, Utc};
use proptest::prelude::*;
use stylobate_core::{
    AclId, ApiKeyId, Assurance, AuthenticatorAssurance, GroupId, OverrideId, PermissionId, PersonId,
    Principal, RoleId, ServiceId, Subject, TenantId,
};
use stylobate_rbac::{
    Assignee, AssigneeKind, Authorizer, Catalogue, Condition, Effect, Engine, PermissionDef, Policy,
    PolicyAcl, PolicyAssignment, PolicyGrant, PolicyOverride, PolicyPermission, PolicyRole, Question,
    Resource, default_catalogue,
};
use stylobate_testkit::ManualClock;
use uuid::Uuid;

const TENANT: TenantId = TenantId::from_uuid(Uuid::from_u128(1));

/// What rows may say and what callers may ask for.
const KEYS: &[&str] = &[
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
    "*",
    "user.*",
    "people:*",
    "own.*",
    "role.read",
    "metrics.*",
    "Bad Key",
    "",
];
const ASKED: &[&str] = &["user.create", "user.delete", "own.c", "nothing.known"];
const SCOPES: &[&str] =
    &["*", "user.*", "people:*", "people:read", "own.a", "own.*", "user*", "", "metrics.read"];
const SUBJECTS: usize = 5;
const GROUPS: usize = 3;
const ROLES: usize = 7;

/// SplitMix64: the same worlds in every run, and no time spent on shrinking.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn is(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    fn of<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())].clone()
    }
}

#[derive(Debug)]
struct Permission {
    key: &'static str,
    active: bool,
    platform: bool,
}

#[derive(Debug)]
struct Grant {
    role: usize,
    permission: usize,
    effect: Effect,
    condition: Option<Condition>,
}

/// An override, or an entry of the list of a document.
#[derive(Debug)]
struct Direct {
    subject: usize,
    permission: usize,
    effect: Effect,
    condition: Option<Condition>,
    expires: Option<DateTime<Utc>>,
    platform: bool,
    document: Option<usize>,
}

#[derive(Debug)]
struct World {
    now: DateTime<Utc>,
    permissions: Vec<Permission>,
    /// (active, of the platform)
    roles: Vec<(bool, bool)>,
    inheritance: Vec<(usize, usize)>,
    grants: Vec<Grant>,
    /// (subject, role, expires)
    assignments: Vec<(usize, usize, Option<DateTime<Utc>>)>,
    /// (group, member, in the platform's policy)
    members: Vec<(usize, usize, bool)>,
    directs: Vec<Direct>,
}

fn condition(chance: &mut Chance, depth: usize) -> Condition {
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

fn world(chance: &mut Chance) -> World {
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

fn assignee(n: usize) -> Assignee {
    let id = Uuid::from_u128(500 + n as u128 % 3);
    match n {
        0..3 => PersonId::from_uuid(id).into(),
        3..SUBJECTS => ServiceId::from_uuid(id).into(),
        _ => GroupId::from_uuid(id).into(),
    }
}

fn id(base: u128, n: usize) -> Uuid {
    Uuid::from_u128(base + n as u128)
}

const DOCUMENTS: [&str; 2] = ["1", "2"];

/// The rows as the store hands them out: a tenant's policy has the platform's permissions as well.
fn policy(world: &World, platform: bool) -> Policy {
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

fn is_declared(catalogue: &Catalogue, key: &str) -> bool {
    catalogue.permissions().iter().any(|one| names(one).contains(&key))
}

/// The name a key is about, and whether only of own things.
fn base<'a>(catalogue: &Catalogue, key: &'a str) -> (&'a str, bool) {
    if (key.ends_with(":own") || key.ends_with(".own")) && !is_declared(catalogue, key) {
        (&key[..key.len() - 4], true)
    } else {
        (key, false)
    }
}

/// One permission that an asked name means.
struct Meaning {
    names: Vec<String>,
    is_platform: bool,
}

fn meanings(catalogue: &Catalogue, world: &World, in_tenant: bool, name: &str) -> Vec<Meaning> {
    let declared: Vec<Meaning> = catalogue
        .permissions()
        .iter()
        .filter(|permission| names(permission).contains(&name))
        .map(|permission| Meaning {
            names: names(permission).into_iter().map(str::to_owned).collect(),
            is_platform: permission.is_platform,
        })
        .collect();
    let is_own = !name.contains('*')
        && world
            .permissions
            .iter()
            .any(|row| (in_tenant || row.platform) && is_key(row.key) && base(catalogue, row.key).0 == name);
    if declared.is_empty() && is_own {
        vec![Meaning { names: vec![name.to_owned()], is_platform: false }]
    } else {
        declared
    }
}

/// Kleene's values as numbers: 0 is false, 1 unknown, 2 true.
fn value(
    condition: &Condition,
    asker: Assignee,
    principal: &Principal,
    resource: Option<&Resource<'_>>,
    now: DateTime<Utc>,
) -> u8 {
    let of = |known: Option<bool>| known.map_or(1, |holds| if holds { 2 } else { 0 });
    match condition {
        Condition::Owner {} => of(resource.and_then(|one| one.owner).map(|owner| owner == asker)),
        Condition::Attribute { name, equals } => of(resource.and_then(|one| {
            let values: Vec<_> = one.attributes.iter().filter(|(key, _)| *key == &**name).collect();
            (!values.is_empty()).then(|| values.iter().any(|(_, value)| *value == &**equals))
        })),
        Condition::TimeWindow { days, from_minute, to_minute, utc_offset_minutes } => {
            let local = (now + TimeDelta::minutes((*utc_offset_minutes).into())).naive_utc();
            let minutes = |n: u16| TimeDelta::minutes(n.into());
            of(Some([0, 1].into_iter().any(|back| {
                let day = local.date() - TimeDelta::days(back);
                let midnight = day.and_time(NaiveTime::MIN);
                let end =
                    if to_minute > from_minute { minutes(*to_minute) } else { minutes(*to_minute + 1440) };
                let begins = days.is_empty() || days.contains(&(day.weekday().number_from_monday() as u8));
                begins && (midnight + minutes(*from_minute)..midnight + end).contains(&local)
            })))
        }
        Condition::Assurance { at_least } => of(Some(principal.assurance.aal >= *at_least)),
        Condition::All(parts) => {
            parts.iter().map(|part| value(part, asker, principal, resource, now)).min().unwrap_or(2)
        }
        Condition::Any(parts) => {
            parts.iter().map(|part| value(part, asker, principal, resource, now)).max().unwrap_or(0)
        }
        _ => 1,
    }
}

struct Naive<'a> {
    catalogue: &'a Catalogue,
    world: &'a World,
    principal: &'a Principal,
    resource: Option<&'a Resource<'a>>,
}

impl Naive<'_> {
    fn allows(&self, name: &str) -> bool {
        let in_tenant = self.principal.tenant.is_some();
        let meanings = meanings(self.catalogue, self.world, in_tenant, name);
        self.principal.subject != Subject::Anonymous
            && !meanings.is_empty()
            && meanings.iter().all(|meaning| self.allows_one(meaning))
    }

    fn allows_one(&self, meaning: &Meaning) -> bool {
        let covered = |held: &str| meaning.names.iter().any(|name| covers(held, name));
        if self.principal.scopes.as_ref().is_some_and(|scopes| !scopes.iter().any(|scope| covered(scope))) {
            return false;
        }
        if self.principal.subject == Subject::System {
            return true;
        }
        let policies: &[bool] = if self.principal.tenant.is_some() { &[true, false] } else { &[true] };
        if policies.iter().any(|platform| self.is_switched_off(meaning, *platform)) {
            return false;
        }
        let Some(subject) = Assignee::of(&self.principal.subject) else { return false };
        // The platform first: its denial beats all, its allowance beats a tenant's denial.
        for platform in policies {
            let said: Vec<Effect> = self.applying(meaning, subject, *platform);
            if said.contains(&Effect::Deny) {
                return false;
            }
            if said.contains(&Effect::Allow) {
                return true;
            }
        }
        false
    }

    fn visible(&self, n: usize, platform: bool) -> Option<&Permission> {
        self.world.permissions.get(n).filter(|row| !platform || row.platform)
    }

    fn is_switched_off(&self, meaning: &Meaning, platform: bool) -> bool {
        if meaning.is_platform && !platform {
            return false;
        }
        (0..self.world.permissions.len()).filter_map(|n| self.visible(n, platform)).any(|row| {
            let in_reach =
                |one: &&PermissionDef| names(one).contains(&row.key) && (platform || !one.is_platform);
            !row.active
                && is_key(row.key)
                && !row.key.contains('*')
                && !base(self.catalogue, row.key).1
                && meaning.names.iter().any(|name| name == row.key)
                && self.catalogue.permissions().iter().filter(in_reach).count() <= 1
        })
    }

    /// Whether the row gives or denies the permission, and whether only on own things.
    fn is_about(&self, permission: usize, meaning: &Meaning, platform: bool) -> Option<bool> {
        let row = self.visible(permission, platform).filter(|row| row.active && is_key(row.key))?;
        if meaning.is_platform && !platform {
            return None;
        }
        let (key, own) = base(self.catalogue, row.key);
        meaning.names.iter().any(|name| covers(key, name)).then_some(own)
    }

    fn applies(&self, effect: Effect, conditions: &[Option<&Condition>], asker: Assignee) -> bool {
        let of = |one: &Condition| value(one, asker, self.principal, self.resource, self.world.now);
        let all = conditions.iter().flatten().map(|one| of(one)).min().unwrap_or(2);
        match effect {
            Effect::Allow => all == 2,
            Effect::Deny => all != 0,
        }
    }

    fn applying(&self, meaning: &Meaning, subject: Assignee, platform: bool) -> Vec<Effect> {
        let world = self.world;
        let live = |expires: Option<DateTime<Utc>>| expires.is_none_or(|at| world.now < at);
        let holds = |n: usize| {
            assignee(n) == subject
                || world.members.iter().any(|(group, member, of_platform)| {
                    *of_platform == platform && *group == n && assignee(*member) == subject
                })
        };
        let mut roles: Vec<usize> = world
            .assignments
            .iter()
            .filter(|(who, _, expires)| holds(*who) && live(*expires))
            .map(|(_, role, _)| *role)
            .filter(|role| self.is_role(*role, platform) && world.roles[*role].0)
            .collect();
        let mut next = 0;
        while next < roles.len() {
            let heir = roles[next];
            for (one, parent) in &world.inheritance {
                let counts = *one == heir
                    && self.is_role(*parent, platform)
                    && world.roles[*parent].0
                    && !self.reaches(*parent, heir, platform)
                    && !roles.contains(parent);
                if counts {
                    roles.push(*parent);
                }
            }
            next += 1;
        }
        let own = Condition::Owner {};
        let of_roles = world.grants.iter().filter(|grant| roles.contains(&grant.role)).filter_map(|grant| {
            let own = self.is_about(grant.permission, meaning, platform)?.then_some(&own);
            self.applies(grant.effect, &[own, grant.condition.as_ref()], subject).then_some(grant.effect)
        });
        let of_directs = world.directs.iter().filter(|row| row.platform == platform && holds(row.subject));
        let of_directs = of_directs.filter(|row| live(row.expires) && self.is_here(row)).filter_map(|row| {
            let own = self.is_about(row.permission, meaning, platform)?.then_some(&own);
            self.applies(row.effect, &[own, row.condition.as_ref()], subject).then_some(row.effect)
        });
        of_roles.chain(of_directs).collect()
    }

    fn is_here(&self, row: &Direct) -> bool {
        row.document.is_none_or(|document| {
            self.resource.is_some_and(|one| one.kind == "document" && one.id == Some(DOCUMENTS[document]))
        })
    }

    fn is_role(&self, n: usize, platform: bool) -> bool {
        self.world.roles.get(n).is_some_and(|role| role.1 == platform)
    }

    fn reaches(&self, from: usize, to: usize, platform: bool) -> bool {
        let mut seen = vec![from];
        let mut next = 0;
        while next < seen.len() {
            if seen[next] == to {
                return true;
            }
            let parents = self.world.inheritance.iter().filter(|(heir, parent)| {
                *heir == seen[next] && self.is_role(*heir, platform) && self.is_role(*parent, platform)
            });
            let parents: Vec<usize> = parents.map(|(_, parent)| *parent).collect();
            seen.extend(parents.into_iter().filter(|parent| !seen.contains(parent)).collect::<Vec<_>>());
            next += 1;
        }
        false
    }
}

fn principal(chance: &mut Chance) -> Principal {
    let person = |n: usize| Principal::person(PersonId::from_uuid(assignee(n).id));
    let of = |subject| Principal { subject, ..person(0) };
    let key = ApiKeyId::from_uuid(Uuid::nil());
    let mut principal = match chance.below(20) {
        0 => of(Subject::ApiKey { id: key, owner: Some(PersonId::from_uuid(assignee(2).id)) }),
        1 => of(Subject::ApiKey { id: key, owner: None }),
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
