//! Nobody hands out more than they have: random sequences of calls by people who are no administrators.

use std::{collections::HashSet, sync::Arc};

use chrono::{DateTime, TimeDelta, Utc};
use stylobate_core::{
    AuthenticatorAssurance, Clock as _, PermissionId, PersonId, Principal, RequestContext, RoleId,
};
use stylobate_rbac::{
    AclQuery, AssignmentQuery, Authorizer as _, Condition, Effect, Engine, GrantRule, NewAclEntry,
    NewOverride, NewPermission, NewRole, OverrideQuery, PermissionUpdate, RbacError, Resource,
    RolePermissionQuery, RoleUpdate, default_catalogue,
};
use stylobate_testkit::{ManualClock, TestDb};

use crate::world::{SETS, World};

/// What there is to hand out: declared names, a pattern over some of them, names that only rows know, and an owner's right.
const KEYS: &[&str] = &[
    "user.read",
    "user.update",
    "user.delete",
    "user.*",
    "desk.read",
    "desk.*",
    "user.delete:own",
    "user.read:own:own",
];
/// What is asked to see who has gained what.
const NAMES: &[&str] =
    &["user.read", "user.update", "user.delete", "user.invite", "desk.read", "desk.lock", "role.read"];
const PEOPLE: usize = 4;
const ROLES: usize = 5;

/// A small generator of its own: a failing case is found again by its seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        // SplitMix64 (Steele, Lea, Flood 2014).
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % u64::try_from(end).unwrap()).unwrap()
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    fn effect(&mut self) -> Effect {
        if self.below(3) == 0 { Effect::Deny } else { Effect::Allow }
    }

    fn condition(&mut self) -> Option<Condition> {
        match self.below(8) {
            0 => Some(Condition::Owner {}),
            1 => Some(Condition::Attribute { name: "department".into(), equals: "it".into() }),
            2 => Some(Condition::Assurance { at_least: AuthenticatorAssurance::Aal2 }),
            _ => None,
        }
    }

    fn end(&mut self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self.below(6) {
            0 => Some(now + TimeDelta::hours(6)),
            1 => Some(now + TimeDelta::days(2)),
            _ => None,
        }
    }
}

/// Somebody (by number), a name, a thing, how the subject proved itself, and when.
type Fact = (usize, &'static str, usize, AuthenticatorAssurance, i64);

/// Whether it is so once every role is switched on, or as roles are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Roles {
    AsTheyAre,
    SwitchedOn,
}

struct Case {
    world: World,
    people: Vec<PersonId>,
    roles: Vec<RoleId>,
    permissions: Vec<PermissionId>,
}

impl Case {
    async fn new(db: TestDb, dice: &mut Dice) -> Self {
        let world = World::new(db).await;
        let people = (0..PEOPLE).map(|_| world.person()).collect();
        let mut case = Self { world, people, roles: Vec::new(), permissions: Vec::new() };
        for key in KEYS.iter().chain(&["desk.lock"]) {
            let id = case.permission(key).await;
            case.permissions.push(id);
        }
        for n in 0..ROLES {
            case.roles.push(case.world.role(&format!("role {n}")).await.id);
        }
        // An administrator lays out a policy at random.
        let admin = case.world.in_a();
        for _ in 0..40 {
            let _ = case.act(&admin, dice).await;
        }
        for person in case.people.clone() {
            let role = dice.one(&case.roles);
            let _ = case.world.rbac.assign(&admin, person, role).await;
        }
        case
    }

    async fn permission(&self, key: &str) -> PermissionId {
        let declared = default_catalogue().has(key);
        if declared {
            return self.world.permission(key).await;
        }
        self.world.rbac.create_permission(&self.world.in_a(), NewPermission::new(key)).await.unwrap().value.id
    }

    /// One call at random; tells whether it changed something.
    async fn act(&self, context: &RequestContext, dice: &mut Dice) -> Result<(), RbacError> {
        let (rbac, now) = (&self.world.rbac, self.world.clock.now());
        let (role, other, person) = (dice.one(&self.roles), dice.one(&self.roles), dice.one(&self.people));
        let permission = dice.one(&self.permissions);
        match dice.below(18) {
            0..=2 => {
                let rule = GrantRule { effect: dice.effect(), condition: dice.condition() };
                rbac.attach_rule(context, role, permission, rule).await.map(drop)
            }
            3 => rbac.detach(context, role, permission).await.map(drop),
            4 | 5 => rbac.assign_until(context, person, role, dice.end(now)).await.map(drop),
            6 => rbac.unassign(context, person, role).await.map(drop),
            7 => rbac.add_parent(context, role, other).await.map(drop),
            8 => rbac.remove_parent(context, role, other).await.map(drop),
            9 | 10 => {
                let mut new = NewOverride::new(person, permission, dice.effect());
                (new.condition, new.expires_at) = (dice.condition(), dice.end(now));
                rbac.set_override(context, new).await.map(drop)
            }
            11 => {
                let thing = dice.one(&["1", "2"]);
                let mut new = NewAclEntry::new(("doc", thing), person, permission, dice.effect());
                new.expires_at = dice.end(now);
                rbac.set_acl_entry(context, new).await.map(drop)
            }
            12 => {
                let update = RoleUpdate { is_active: Some(dice.below(3) > 0), ..RoleUpdate::default() };
                rbac.update_role(context, role, update).await.map(drop)
            }
            13 => {
                // Patterns and own names may be switched off and on, and renamed to other patterns.
                let key = dice.one(&[None, None, Some("desk.*"), Some("user.*"), Some("desk.drawer.*")]);
                let update = PermissionUpdate {
                    key: key.map(str::to_owned),
                    is_active: Some(dice.below(3) > 0),
                    ..PermissionUpdate::default()
                };
                rbac.update_permission(context, permission, update).await.map(drop)
            }
            14 => self.remove_one(context, dice).await,
            15 => rbac.add_parent(context, role, other).await.map(drop),
            16 => rbac.remove_parent(context, role, other).await.map(drop),
            _ => {
                let query = AssignmentQuery { assignee: Some(person.into()), ..AssignmentQuery::default() };
                let found = rbac.list_assignments(context, &query).await?.items;
                match found.get(dice.below(found.len().max(1))) {
                    Some(found) => rbac.update_assignment(context, found.id, dice.end(now)).await.map(drop),
                    None => Ok(()),
                }
            }
        }
    }

    async fn remove_one(&self, context: &RequestContext, dice: &mut Dice) -> Result<(), RbacError> {
        let rbac = &self.world.rbac;
        match dice.below(3) {
            0 => {
                let found = rbac.overrides(context, &OverrideQuery::default()).await?.items;
                let Some(found) = found.get(dice.below(found.len().max(1))) else { return Ok(()) };
                rbac.remove_override(context, found.id).await.map(drop)
            }
            1 => {
                let found = rbac.acl_entries(context, &AclQuery::default()).await?.items;
                let Some(found) = found.get(dice.below(found.len().max(1))) else { return Ok(()) };
                rbac.remove_acl_entry(context, found.id).await.map(drop)
            }
            _ => {
                let role_id = Some(dice.one(&self.roles));
                let query = RolePermissionQuery { role_id, ..RolePermissionQuery::default() };
                let found = rbac.list_role_permissions(context, &query).await?.items;
                let Some(found) = found.get(dice.below(found.len().max(1))) else { return Ok(()) };
                let rule = GrantRule { effect: dice.effect(), condition: dice.condition() };
                rbac.update_role_permission(context, found.id, rule).await.map(drop)
            }
        }
    }

    /// Everything that anybody may do, now and later.
    async fn facts(&self, roles: Roles) -> HashSet<Fact> {
        let mut policy = self.world.rbac.policy(Some(self.world.a)).await.unwrap();
        for role in &mut policy.roles {
            role.is_active |= roles == Roles::SwitchedOn;
        }
        let clock = Arc::new(ManualClock::at(self.world.clock.now()));
        let engine = Engine::new(Arc::new(default_catalogue()), Arc::clone(&clock) as _);
        engine.install(None, &stylobate_rbac::Policy::default());
        engine.install(Some(self.world.a), &policy);
        let mut facts = HashSet::new();
        let mut hour = 0;
        for at in [0, 12, 72] {
            clock.advance(TimeDelta::hours(at - hour));
            hour = at;
            for (number, person) in self.people.iter().enumerate() {
                for aal in [AuthenticatorAssurance::Aal1, AuthenticatorAssurance::Aal2] {
                    let mut principal = Principal::person(*person).in_tenant(self.world.a);
                    principal.assurance.aal = aal;
                    let things = [
                        None,
                        Some(Resource::new("doc", "1").owned_by(*person).with(&[("department", "hr")])),
                        Some(Resource::new("doc", "2").with(&[("department", "it")])),
                    ];
                    for (thing, resource) in things.iter().enumerate() {
                        for name in NAMES {
                            let decision = match resource {
                                None => engine.check(&principal, name),
                                Some(resource) => engine.check_on(&principal, name, resource),
                            };
                            if decision.is_allowed() {
                                facts.insert((number, *name, thing, aal, at));
                            }
                        }
                    }
                }
            }
        }
        facts
    }
}

async fn nobody_gains_what_the_caller_had_not(db: TestDb, seed: u64, calls: usize) -> (usize, usize) {
    let mut dice = Dice(seed);
    let case = Case::new(db, &mut dice).await;
    // What is switched off is not gained now, but whenever somebody else switches it on.
    let worlds = [Roles::AsTheyAre, Roles::SwitchedOn];
    let mut before = [case.facts(worlds[0]).await, case.facts(worlds[1]).await];
    let (mut done, mut refused) = (0, 0);
    for call in 0..calls {
        let caller = dice.below(PEOPLE);
        let context = case.world.person_in(case.people[caller], case.world.a);
        match case.act(&context, &mut dice).await {
            Ok(()) => done += 1,
            Err(RbacError::BeyondOwn) => {
                refused += 1;
                continue;
            }
            Err(RbacError::Db(error)) => panic!("seed {seed}, call {call}: {error}"),
            Err(_) => continue,
        }
        let after = [case.facts(worlds[0]).await, case.facts(worlds[1]).await];
        for (world, (was, is)) in before.iter().zip(&after).enumerate() {
            for gained in is.difference(was) {
                let (_, name, thing, aal, at) = *gained;
                let callers = (caller, name, thing, aal, at);
                // What the caller has now may be denied to the caller once a role is switched on.
                let had = was.contains(&callers) || (world == 1 && before[0].contains(&callers));
                assert!(had, "seed {seed}, call {call} by {caller}: {gained:?} in world {world}");
            }
        }
        before = after;
    }
    (done, refused)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sequences_of_calls_hand_out_only_what_the_callers_have() {
    // A11: no way up, by whatever calls in whatever order.
    let (mut done, mut refused) = (0, 0);
    for seed in 0..16 {
        let counts = nobody_gains_what_the_caller_had_not(TestDb::sqlite(SETS).await, seed, 100).await;
        (done, refused) = (done + counts.0, refused + counts.1);
    }
    let counts = nobody_gains_what_the_caller_had_not(TestDb::postgres(SETS).await, 100, 100).await;
    (done, refused) = (done + counts.0, refused + counts.1);
    assert!(done > 50 && refused > 50, "a test of something: {done} done, {refused} refused");
}

async fn a_role_that_denies_is_handed_out_by_those_who_have_what_it_denies(db: TestDb) {
    // A11: otherwise whoever may assign roles locks out those who have more.
    let world = World::new(db).await;
    let admin = world.in_a();
    let locked = world.role("locked").await.id;
    let deny = GrantRule { effect: Effect::Deny, condition: None };
    let read = world.permission("user.read").await;
    world.rbac.attach_rule(&admin, locked, read, deny).await.unwrap();
    let (bob, carol) = (world.person(), world.person());
    let bobs = world.person_in(bob, world.a);
    let harmless = world.role("harmless").await.id;
    let refused =
        |answer: Result<(), RbacError>| assert_eq!(answer.unwrap_err().code(), "beyond_own_permissions");
    let off = |is_active| RoleUpdate { is_active: Some(is_active), ..RoleUpdate::default() };

    refused(world.rbac.assign(&bobs, carol, locked).await.map(drop));
    refused(world.rbac.add_parent(&bobs, harmless, locked).await.map(drop));
    // Nor is it shed, or switched on, while it is off.
    world.rbac.assign(&admin, bob, locked).await.unwrap();
    world.rbac.update_role(&admin, locked, off(false)).await.unwrap();
    refused(world.rbac.update_role(&bobs, locked, off(true)).await.map(drop));
    refused(world.rbac.assign(&bobs, carol, locked).await.map(drop));
    refused(world.rbac.unassign(&bobs, bob, locked).await.map(drop));
    refused(world.rbac.delete_role(&bobs, locked).await.map(drop));
    // Who has the right, and whom the denial does not hit, may.
    world.rbac.update_role(&admin, locked, off(true)).await.unwrap();
    world.rbac.assign(&admin, carol, locked).await.unwrap();
    world.rbac.unassign(&admin, carol, locked).await.unwrap();
}
stylobate_testkit::both_engines!(a_role_that_denies_is_handed_out_by_those_who_have_what_it_denies, SETS);

async fn platform_staff_hand_out_what_the_platform_gives_them(db: TestDb) {
    // A11: a small role on the platform is no way to a large one.
    let world = World::new(db).await;
    let root = RequestContext::new(Principal::person(world.super_admin().await));
    let auditor = world.rbac.create_role(&root, NewRole::new("platform_auditor")).await.unwrap().value.id;
    world.rbac.attach(&root, auditor, world.permission("audit.log.read").await).await.unwrap();
    let person = world.person();
    world.rbac.assign(&root, person, auditor).await.unwrap();
    let (inside, outside) =
        (world.person_in(person, world.a), RequestContext::new(Principal::person(person)));
    let super_admin = world.super_admin_role().await;
    let read = world.permission("user.read").await;
    let strong = world.role_with("strong", "user.read").await.id;
    let someone = world.person();
    for context in [&inside, &outside] {
        let refused = world.rbac.assign(context, person, super_admin).await.unwrap_err();
        assert_eq!(refused.code(), "beyond_own_permissions");
    }
    let answers = [
        world.rbac.attach(&outside, auditor, read).await.unwrap_err(),
        world.rbac.add_parent(&outside, auditor, super_admin).await.unwrap_err(),
        world.rbac.set_override(&outside, NewOverride::new(person, read, Effect::Allow)).await.unwrap_err(),
        world.rbac.assign(&inside, someone, strong).await.unwrap_err(),
        world.rbac.unassign(&outside, world.super_admin().await, super_admin).await.unwrap_err(),
    ];
    for answer in answers {
        assert_eq!(answer.code(), "beyond_own_permissions");
    }
    let log = world.role_with("log", "audit.log.read").await.id;
    world.rbac.assign(&inside, someone, log).await.unwrap();
    world.rbac.assign(&inside, someone, auditor).await.unwrap();
}
stylobate_testkit::both_engines!(platform_staff_hand_out_what_the_platform_gives_them, SETS);
