//! Nobody hands out more than they have: random sequences of calls by people who are no administrators.

use std::{collections::HashSet, sync::Arc};

use chrono::{DateTime, TimeDelta, Utc};
use stylobate_core::{
    AuthenticatorAssurance, Clock as _, GroupId, PermissionId, PersonId, Principal, RequestContext, RoleId,
};
use stylobate_rbac::{
    AclQuery, Assignee, AssignmentQuery, Authorizer as _, Condition, Effect, Engine, GrantRule, NewAclEntry,
    NewGroup, NewOverride, NewPermission, NewRole, OverrideQuery, PermissionKey, PermissionUpdate, RbacError,
    Resource, RolePermissionQuery, RoleUpdate, default_catalogue,
};
use stylobate_testkit::{ManualClock, TestDb};

use crate::world::{SETS, World};

/// What there is to hand out: declared names, patterns, names that only rows know, rights on own things (also of a name that
/// means several, repeated, and of what only the platform gives) and a permission of the platform.
const KEYS: &[&str] = &[
    "user.read",
    "user.update",
    "user.delete",
    "user.*",
    "desk.read",
    "desk.*",
    "desk.lock",
    "user.delete:own",
    "user.read:own:own",
    "people:write:own",
    "org.create:own.own",
    "org.create",
];
/// What is made, and perhaps deleted, on the way.
const NEW_KEYS: &[&str] = &["user.invite:own", "user.update.own:own", "desk.safe", "desk.safe.*"];
/// What is asked to see who has gained or lost what.
const NAMES: &[&str] = &[
    "user.read",
    "user.update",
    "user.delete",
    "user.invite",
    "desk.read",
    "desk.lock",
    "role.read",
    "org.create",
];
/// What credentials are narrowed to.
const SCOPES: &[&str] = &["user.*", "user.read", "desk.*", "*"];
const PEOPLE: usize = 4;
const GROUPS: usize = 2;
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

    fn pick<T: Copy>(&mut self, of: &[T]) -> Option<T> {
        of.get(self.below(of.len().max(1))).copied()
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

    fn rule(&mut self) -> GrantRule {
        GrantRule { effect: self.effect(), condition: self.condition() }
    }

    fn end(&mut self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self.below(6) {
            0 => Some(now + TimeDelta::hours(6)),
            1 => Some(now + TimeDelta::days(2)),
            _ => None,
        }
    }

    fn scopes(&mut self) -> Option<Vec<String>> {
        (self.below(4) == 0).then(|| (0..=self.below(2)).map(|_| self.one(SCOPES).to_owned()).collect())
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

/// Whether a call only makes rules, or takes some away: that needs no more than the permission to do so.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Call {
    Makes,
    Takes,
}

struct Case {
    world: World,
    people: Vec<PersonId>,
    groups: Vec<GroupId>,
    /// The last one is the platform's.
    roles: Vec<RoleId>,
    permissions: Vec<PermissionId>,
}

impl Case {
    async fn new(db: TestDb, dice: &mut Dice) -> Self {
        let world = World::new(db).await;
        let people = (0..PEOPLE).map(|_| world.person()).collect();
        let (groups, roles, permissions) = (Vec::new(), Vec::new(), Vec::new());
        let mut case = Self { world, people, groups, roles, permissions };
        for key in KEYS {
            let id = case.permission(key).await;
            case.permissions.push(id);
        }
        for n in 0..ROLES {
            case.roles.push(case.world.role(&format!("role {n}")).await.id);
        }
        // An administrator lays out a policy at random.
        let admin = case.world.in_a();
        for n in 0..GROUPS {
            let group = case.world.rbac.create_group(&admin, NewGroup::new(format!("group {n}"))).await;
            case.groups.push(group.unwrap().value.id);
        }
        for _ in 0..40 {
            let _ = case.act(&admin, dice).await;
        }
        for person in case.people.clone() {
            let role = dice.one(&case.roles);
            let _ = case.world.rbac.assign(&admin, person, role).await;
        }
        case.lay_out_platform(dice).await;
        case
    }

    /// Some have a role on the platform, and rules there.
    async fn lay_out_platform(&mut self, dice: &mut Dice) {
        let (rbac, system) = (&self.world.rbac, RequestContext::system("test"));
        let staff = rbac.create_role(&system, NewRole::new("staff")).await.unwrap().value.id;
        for key in ["user.read", "user.update", "org.create"] {
            let permission = self.world.permission(key).await;
            if dice.below(2) == 0 {
                let _ = rbac.attach_rule(&system, staff, permission, dice.rule()).await;
            }
            let mut new = NewOverride::new(dice.one(&self.people), permission, dice.effect());
            new.condition = dice.condition();
            if dice.below(3) == 0 {
                rbac.set_override(&system, new).await.unwrap();
            }
        }
        if dice.below(2) == 0 {
            rbac.assign(&system, dice.one(&self.people), staff).await.unwrap();
        }
        self.roles.push(staff);
    }

    async fn permission(&self, key: &str) -> PermissionId {
        if default_catalogue().has(key) {
            return self.world.permission(key).await;
        }
        self.world.rbac.create_permission(&self.world.in_a(), NewPermission::new(key)).await.unwrap().value.id
    }

    /// One call at random.
    async fn act(&self, context: &RequestContext, dice: &mut Dice) -> Result<Call, RbacError> {
        let (rbac, now) = (&self.world.rbac, self.world.clock.now());
        let (role, other, person) = (dice.one(&self.roles), dice.one(&self.roles), self.subject(dice));
        let permission = dice.one(&self.permissions);
        match dice.below(30) {
            0..=2 => rbac.attach_rule(context, role, permission, dice.rule()).await.map(|_| Call::Makes),
            3 => rbac.detach(context, role, permission).await.map(|_| Call::Takes),
            4 | 5 => rbac.assign_until(context, person, role, dice.end(now)).await.map(|_| Call::Makes),
            6 => rbac.unassign(context, person, role).await.map(|_| Call::Takes),
            7 | 8 => rbac.add_parent(context, role, other).await.map(|_| Call::Makes),
            9 => rbac.remove_parent(context, role, other).await.map(|_| Call::Takes),
            10 | 11 => {
                let mut new = NewOverride::new(person, permission, dice.effect());
                (new.condition, new.expires_at) = (dice.condition(), dice.end(now));
                let query = OverrideQuery {
                    assignee: Some(person),
                    permission_id: Some(permission),
                    ..OverrideQuery::default()
                };
                let is_new = rbac.overrides(context, &query).await?.items.is_empty();
                let set = rbac.set_override(context, new).await;
                set.map(|_| if is_new { Call::Makes } else { Call::Takes })
            }
            12 => {
                let mut new =
                    NewAclEntry::new(("doc", dice.one(&["1", "2"])), person, permission, dice.effect());
                new.expires_at = dice.end(now);
                let is_same = |one: &stylobate_rbac::AclEntry| {
                    one.resource_id == new.resource_id
                        && one.assignee == new.assignee
                        && one.permission_id == permission
                };
                let found = rbac.acl_entries(context, &AclQuery::default()).await?.items;
                let is_new = !found.iter().any(is_same);
                let set = rbac.set_acl_entry(context, new).await;
                set.map(|_| if is_new { Call::Makes } else { Call::Takes })
            }
            13 | 14 => {
                let is_on = dice.below(3) > 0;
                let update = RoleUpdate { is_active: Some(is_on), ..RoleUpdate::default() };
                let updated = rbac.update_role(context, role, update).await;
                updated.map(|_| if is_on { Call::Makes } else { Call::Takes })
            }
            15 => {
                // Patterns and own names may be switched off and on, and renamed to other patterns.
                let key = dice.one(&[None, None, Some("desk.*"), Some("user.*"), Some("desk.drawer.*")]);
                let update = PermissionUpdate {
                    key: key.map(str::to_owned),
                    is_active: Some(dice.below(3) > 0),
                    ..PermissionUpdate::default()
                };
                rbac.update_permission(context, permission, update).await.map(|_| Call::Takes)
            }
            16 => {
                let found = rbac.overrides(context, &OverrideQuery::default()).await?.items;
                let ids: Vec<_> = found.iter().map(|one| one.id).collect();
                let Some(id) = dice.pick(&ids) else { return Ok(Call::Takes) };
                rbac.remove_override(context, id).await.map(|_| Call::Takes)
            }
            17 => {
                let found = rbac.acl_entries(context, &AclQuery::default()).await?.items;
                let ids: Vec<_> = found.iter().map(|one| one.id).collect();
                let Some(id) = dice.pick(&ids) else { return Ok(Call::Takes) };
                rbac.remove_acl_entry(context, id).await.map(|_| Call::Takes)
            }
            18 | 19 => {
                let query = RolePermissionQuery { role_id: Some(role), ..RolePermissionQuery::default() };
                let found = rbac.list_role_permissions(context, &query).await?.items;
                let ids: Vec<_> = found.iter().map(|one| one.id).collect();
                let Some(id) = dice.pick(&ids) else { return Ok(Call::Takes) };
                match dice.below(3) {
                    0 => {
                        let (role, permission) = (Some(other), Some(permission));
                        let (role, permission) =
                            dice.one(&[(role, None), (None, permission), (role, permission)]);
                        rbac.replace_role_permission(context, id, role, permission).await.map(drop)
                    }
                    1 => rbac.delete_role_permission(context, id).await.map(drop),
                    _ => rbac.update_role_permission(context, id, dice.rule()).await.map(drop),
                }
                .map(|()| Call::Takes)
            }
            20 | 21 => {
                let query = AssignmentQuery { assignee: Some(person), ..AssignmentQuery::default() };
                let found = rbac.list_assignments(context, &query).await?.items;
                let ids: Vec<_> = found.iter().map(|one| one.id).collect();
                let Some(id) = dice.pick(&ids) else { return Ok(Call::Takes) };
                match dice.below(3) {
                    0 => {
                        let (person, role) = (Some(self.subject(dice)), Some(role));
                        let (person, role) = dice.one(&[(person, None), (None, role), (person, role)]);
                        rbac.replace_assignment(context, id, person, role).await.map(drop)
                    }
                    1 => rbac.delete_assignment(context, id).await.map(drop),
                    _ => rbac.update_assignment(context, id, dice.end(now)).await.map(drop),
                }
                .map(|()| Call::Takes)
            }
            22 if dice.below(4) == 0 => rbac.delete_role(context, role).await.map(|_| Call::Takes),
            23 if dice.below(4) == 0 => {
                rbac.delete_permission(context, permission).await.map(|_| Call::Takes)
            }
            22 | 23 => {
                let new = NewPermission::new(dice.one(NEW_KEYS));
                let made = rbac.create_permission(context, new).await?.value.id;
                let rule = dice.rule();
                // What it means is perhaps nobody's to hand out.
                let _ = rbac.attach_rule(context, role, made, rule).await;
                if dice.below(2) == 0 {
                    let _ = rbac.delete_permission(context, made).await;
                }
                Ok(Call::Takes)
            }
            24 | 25 => {
                let (group, member) = (dice.one(&self.groups), dice.one(&self.people));
                rbac.add_to_group(context, group, member).await.map(|_| Call::Makes)
            }
            26 => {
                let (group, member) = (dice.one(&self.groups), dice.one(&self.people));
                rbac.remove_from_group(context, group, member).await.map(|_| Call::Takes)
            }
            _ => self.import(context, dice).await,
        }
    }

    /// Somebody, or a group.
    fn subject(&self, dice: &mut Dice) -> Assignee {
        match dice.below(4) {
            0 => dice.one(&self.groups).into(),
            _ => dice.one(&self.people).into(),
        }
    }

    /// Some rules at random by way of casbin.
    #[cfg(feature = "casbin")]
    async fn import(&self, context: &RequestContext, dice: &mut Dice) -> Result<Call, RbacError> {
        let tenant = self.world.a;
        let mut csv = String::new();
        for _ in 0..=dice.below(2) {
            let (role, person) = (dice.below(ROLES), dice.one(&self.people));
            let group = dice.one(&self.groups);
            // A name that comes into being (again) is what patterns of it have covered all along: no gain by the call.
            let is_there = |key: &&str| !["desk.read", "desk.lock"].contains(key);
            let key = dice.one(&KEYS.iter().copied().filter(is_there).collect::<Vec<_>>());
            let effect = dice.effect().as_str();
            let other = dice.below(ROLES + 1);
            csv.push_str(&match dice.below(7) {
                0 => format!("p, person:{person}, {tenant}, *, {key}, {effect}\n"),
                1 => format!("p, person:{person}, {tenant}, doc/1, {key}, {effect}\n"),
                2 => format!("g, role:role=20{role}, role:role=20{other}, {tenant}\n"),
                3 => format!("g, person:{person}, role:role=20{role}, {tenant}\n"),
                4 => format!("g, group:{group}, role:role=20{role}, {tenant}\n"),
                5 => format!("g, person:{person}, group:{group}, {tenant}\n"),
                _ => format!("p, role:role=20{role}, {tenant}, *, {key}, {effect}\n"),
            });
        }
        let rules = stylobate_rbac::CasbinRules::parse(&csv).unwrap().0;
        let now = self.world.clock.now();
        let import = stylobate_rbac::CasbinImport::of(&rules, Some(tenant), now).unwrap();
        self.world.rbac.import_casbin(context, &import).await.map(|_| Call::Takes)
    }

    #[cfg(not(feature = "casbin"))]
    async fn import(&self, context: &RequestContext, dice: &mut Dice) -> Result<Call, RbacError> {
        let (role, person) = (dice.one(&self.roles), self.subject(dice));
        self.world.rbac.assign(context, person, role).await.map(|_| Call::Makes)
    }

    /// Everything that anybody may do, now and later.
    async fn facts(&self, roles: Roles) -> HashSet<Fact> {
        let mut policy = self.world.rbac.policy(Some(self.world.a)).await.unwrap();
        for role in &mut policy.roles {
            role.is_active |= roles == Roles::SwitchedOn;
        }
        let clock = Arc::new(ManualClock::at(self.world.clock.now()));
        let engine = Engine::new(Arc::new(default_catalogue()), Arc::clone(&clock) as _);
        engine.install(None, &self.world.rbac.policy(None).await.unwrap());
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

fn is_in_scope(scopes: Option<&[String]>, name: &str) -> bool {
    let covers = |scope: &String| scope.parse::<PermissionKey>().unwrap().covers(name);
    scopes.is_none_or(|scopes| scopes.iter().any(covers))
}

async fn nobody_moves_what_the_caller_had_not(db: TestDb, seed: u64, calls: usize) -> (usize, usize) {
    let mut dice = Dice(seed);
    let case = Case::new(db, &mut dice).await;
    // What is switched off is not gained now, but whenever somebody else switches it on.
    let worlds = [Roles::AsTheyAre, Roles::SwitchedOn];
    let mut before = [case.facts(worlds[0]).await, case.facts(worlds[1]).await];
    let (mut done, mut refused) = (0, 0);
    for call in 0..calls {
        let caller = dice.below(PEOPLE);
        let mut context = case.world.person_in(case.people[caller], case.world.a);
        context.principal.scopes = dice.scopes();
        let scopes = context.principal.scopes.clone();
        let kind = match case.act(&context, &mut dice).await {
            Ok(kind) => kind,
            Err(RbacError::BeyondOwn) => {
                refused += 1;
                continue;
            }
            Err(RbacError::Db(error)) => panic!("seed {seed}, call {call}: {error}"),
            Err(_) => continue,
        };
        done += 1;
        let after = [case.facts(worlds[0]).await, case.facts(worlds[1]).await];
        for (world, (was, is)) in before.iter().zip(&after).enumerate() {
            let lost = was.difference(is).filter(|_| kind == Call::Makes).map(|fact| ("lost", fact));
            for (what, fact) in is.difference(was).map(|fact| ("gained", fact)).chain(lost) {
                let (_, name, thing, aal, at) = *fact;
                let callers = (caller, name, thing, aal, at);
                // What the caller has now may be denied to the caller once a role is switched on.
                let had = was.contains(&callers) || (world == 1 && before[0].contains(&callers));
                let may = had && is_in_scope(scopes.as_deref(), name);
                assert!(
                    may,
                    "seed {seed}, call {call} by {caller}: {what} {fact:?} in world {world}, {scopes:?}"
                );
            }
        }
        before = after;
    }
    (done, refused)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sequences_of_calls_move_only_what_the_callers_have() {
    // A11: no way up, by whatever calls in whatever order, and nobody is locked out by those who have less.
    let (mut done, mut refused) = (0, 0);
    for seed in 0..16 {
        let counts = nobody_moves_what_the_caller_had_not(TestDb::sqlite(SETS).await, seed, 100).await;
        (done, refused) = (done + counts.0, refused + counts.1);
    }
    let counts = nobody_moves_what_the_caller_had_not(TestDb::postgres(SETS).await, 100, 100).await;
    (done, refused) = (done + counts.0, refused + counts.1);
    assert!(done > 50 && refused > 50, "a test of something: {done} done, {refused} refused");
}
