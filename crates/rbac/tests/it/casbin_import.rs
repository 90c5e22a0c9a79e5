//! Casbin rules that are taken over into policies which have rules already.

use chrono::{DateTime, TimeDelta, Utc};
use stylobate_core::{Clock as _, PersonId, RequestContext};
use stylobate_rbac::{
    AclEntry, AclQuery, Authorizer as _, CasbinImport, CasbinImported, CasbinRules, Condition, Effect,
    GrantRule, NewAclEntry, NewOverride, Override, OverrideQuery, RbacError, RoleQuery,
};
use stylobate_testkit::{TestDb, both_engines};

use crate::world::{SETS, World};

/// Imports rules into tenant a, whose domain they leave out.
async fn import(world: &World, context: &RequestContext, csv: &str) -> Result<CasbinImported, RbacError> {
    let csv = csv.replace("@a", &world.a.to_string());
    let rules = CasbinRules::parse(&csv).unwrap().0;
    let import = CasbinImport::of(&rules, Some(world.a), world.clock.now()).unwrap();
    assert!(import.problems.is_empty(), "{:?}", import.problems);
    world.rbac.import_casbin(context, &import).await
}

async fn override_of(world: &World, person: PersonId) -> Override {
    let query = OverrideQuery { assignee: Some(person.into()), ..OverrideQuery::default() };
    let mut found = world.rbac.overrides(&world.in_a(), &query).await.unwrap().items;
    assert_eq!(found.len(), 1);
    found.remove(0)
}

async fn entry_of(world: &World, person: PersonId) -> AclEntry {
    let query = AclQuery { assignee: Some(person.into()), ..AclQuery::default() };
    let mut found = world.rbac.acl_entries(&world.in_a(), &query).await.unwrap().items;
    assert_eq!(found.len(), 1);
    found.remove(0)
}

both_engines!(an_import_leaves_a_roles_rules_and_denies_what_they_allow, SETS);
async fn an_import_leaves_a_roles_rules_and_denies_what_they_allow(db: TestDb) {
    let world = World::new(db).await;
    let (admin, rbac) = (world.in_a(), &world.rbac);
    let role = world.role("lead").await.id;
    let owner = || Some(Condition::Owner {});
    for (key, effect, condition) in [
        ("user.read", Effect::Allow, owner()),
        ("user.update", Effect::Deny, owner()),
        ("user.delete", Effect::Allow, owner()),
        ("user.invite", Effect::Deny, None),
    ] {
        let rule = GrantRule { effect, condition };
        rbac.attach_rule(&admin, role, world.permission(key).await, rule).await.unwrap();
    }
    let csv = "p, role:lead, @a, *, user.read, allow\np, role:lead, @a, *, user.update, allow\n\
               p, role:lead, @a, *, user.update, deny\np, role:lead, @a, *, user.delete, deny\n\
               p, role:lead, @a, *, user.delete, allow\np, role:lead, @a, *, user.invite, allow\n\
               p, role:lead, @a, *, role.read, allow\np, role:lead, @a, *, role.read, deny\n";
    let imported = import(&world, &admin, csv).await.unwrap();
    assert_eq!((imported.roles, imported.permissions, imported.rules), (0, 0, 2));
    let found = rbac.permissions_of(&admin, role, &Default::default()).await.unwrap().items;
    let said = |key: &str| {
        let found = found.iter().find(|one| one.permission.key == key).unwrap();
        (found.link.effect, found.link.condition.clone())
    };
    // What was there stays, with its condition.
    assert_eq!(said("user.read"), (Effect::Allow, owner()));
    assert_eq!(said("user.update"), (Effect::Deny, owner()));
    assert_eq!(said("user.invite"), (Effect::Deny, None));
    // What the import denies is denied; also where it allows it, too.
    assert_eq!(said("user.delete"), (Effect::Deny, None));
    assert_eq!(said("role.read"), (Effect::Deny, None));

    let before = rbac.policy(Some(world.a)).await.unwrap();
    let again = import(&world, &admin, csv).await.unwrap();
    assert_eq!((again.rules, again.epoch), (0, before.epoch + 1));
    assert_eq!(rbac.policy(Some(world.a)).await.unwrap().grants.len(), before.grants.len());
}

both_engines!(an_import_lifts_no_denial_of_a_subject, SETS);
async fn an_import_lifts_no_denial_of_a_subject(db: TestDb) {
    let world = World::new(db).await;
    let (admin, rbac) = (world.in_a(), &world.rbac);
    let read = world.permission("user.read").await;
    let now = world.clock.now();
    let tomorrow = Some(now + TimeDelta::days(1));
    let (denied, allowed, over) = (world.person(), world.person(), world.person());
    let set = async |person: PersonId, effect, condition: Option<Condition>, end: Option<DateTime<Utc>>| {
        let new = NewOverride { condition, expires_at: end, ..NewOverride::new(person, read, effect) };
        rbac.set_override(&admin, new).await.unwrap();
        let entry = NewAclEntry::new(("note", "1"), person, read, effect);
        rbac.set_acl_entry(&admin, NewAclEntry { expires_at: end, ..entry }).await.unwrap();
    };
    set(denied, Effect::Deny, Some(Condition::Owner {}), tomorrow).await;
    set(allowed, Effect::Allow, Some(Condition::Owner {}), tomorrow).await;
    set(over, Effect::Deny, None, Some(now + TimeDelta::hours(1))).await;
    world.clock.advance(TimeDelta::hours(2));
    let rule = |person, effect| {
        format!(
            "p, person:{person}, @a, *, user.read, {effect}\np, person:{person}, @a, note/1, user.read, {effect}\n"
        )
    };
    let csv =
        [rule(denied, "allow"), rule(denied, "deny"), rule(allowed, "deny"), rule(over, "allow")].concat();
    let imported = import(&world, &admin, &csv).await.unwrap();
    assert_eq!(imported.rules, 4, "two that allowed, and two that had ended");

    let there = override_of(&world, denied).await;
    assert_eq!(
        (there.effect, there.condition, there.expires_at),
        (Effect::Deny, Some(Condition::Owner {}), tomorrow)
    );
    let there = entry_of(&world, denied).await;
    assert_eq!((there.effect, there.expires_at), (Effect::Deny, tomorrow));
    for (person, effect) in [(allowed, Effect::Deny), (over, Effect::Allow)] {
        let there = override_of(&world, person).await;
        assert_eq!((there.effect, there.condition, there.expires_at), (effect, None, None));
        let there = entry_of(&world, person).await;
        assert_eq!((there.effect, there.expires_at), (effect, None));
    }
    rbac.ensure(Some(world.a)).await.unwrap();
    let may = |person| rbac.check(&world.person_in(person, world.a).principal, "user.read").is_allowed();
    assert!(may(over) && !may(denied) && !may(allowed));
}

both_engines!(an_import_that_is_refused_makes_nothing, SETS);
async fn an_import_that_is_refused_makes_nothing(db: TestDb) {
    // A11: nobody imports more than they could hand out.
    let world = World::new(db).await;
    let (admin, rbac) = (world.in_a(), &world.rbac);
    let (bob, carol) = (world.person(), world.person());
    let reader = world.role_with("reader", "user.read").await;
    rbac.assign(&admin, bob, reader.id).await.unwrap();
    let strong = world.role_with("strong", "user.delete").await;
    let deny = GrantRule { effect: Effect::Deny, condition: None };
    let locked = world.role("locked").await.id;
    rbac.attach_rule(&admin, locked, world.permission("user.delete").await, deny).await.unwrap();
    let bobs = world.person_in(bob, world.a);
    let before = rbac.policy(Some(world.a)).await.unwrap();
    for csv in [
        "p, role:new, @a, *, user.delete, allow\n".to_owned(),
        "p, role:new, @a, *, user.delete, deny\n".to_owned(),
        "p, role:new, @a, *, user.read, allow\np, role:new, @a, *, user.*, allow\n".to_owned(),
        format!("p, person:{carol}, @a, *, user.delete, allow\n"),
        format!("p, person:{carol}, @a, note/1, user.delete, deny\n"),
        format!("g, person:{bob}, role:strong, @a\n"),
        format!("g, person:{carol}, role:locked, @a\n"),
        "g, role:reader, role:strong, @a\n".to_owned(),
        // What a role gives, it gives with the rules of the import.
        format!("p, role:strong, @a, *, user.read, allow\ng, person:{carol}, role:strong, @a\n"),
        format!("g, role:new, role:strong, @a\ng, person:{carol}, role:new, @a\n"),
    ] {
        let refused = import(&world, &bobs, &csv).await.unwrap_err();
        assert_eq!(refused.code(), "beyond_own_permissions", "{csv}");
    }
    let cycle =
        "g, role:reader, role:strong, @a\ng, role:strong, role:other, @a\ng, role:other, role:reader, @a\n";
    assert_eq!(import(&world, &admin, cycle).await.unwrap_err().code(), "role_cycle");
    assert_eq!(
        import(&world, &admin, "g, role:reader, role:reader, @a\n").await.unwrap_err().code(),
        "role_cycle"
    );
    let crowd: String = (0..33).map(|n| format!("g, role:reader, role:r{n}, @a\n")).collect();
    let refused = import(&world, &admin, &crowd).await.unwrap_err();
    assert!(matches!(refused, RbacError::Invalid { code: "too_many", .. }), "{refused:?}");
    let after = rbac.policy(Some(world.a)).await.unwrap();
    assert_eq!(after.epoch, before.epoch);
    assert_eq!((after.roles.len(), after.grants.len()), (before.roles.len(), before.grants.len()));
    assert!(after.overrides.is_empty() && after.acls.is_empty() && after.inheritance.is_empty());

    // What bob has, he imports; the existing role needs no more than that.
    let csv = format!(
        "p, role:new, @a, *, user.read, allow\ng, role:new, role:reader, @a\ng, person:{carol}, role:new, @a\n"
    );
    let imported = import(&world, &bobs, &csv).await.unwrap();
    assert_eq!((imported.roles, imported.rules), (1, 3));
    let query = RoleQuery { search: Some("strong".into()), ..RoleQuery::default() };
    assert_eq!(rbac.list_roles(&admin, &query).await.unwrap().items[0].id, strong.id);
}

both_engines!(thousands_of_rules_are_one_change, SETS);
async fn thousands_of_rules_are_one_change(db: TestDb) {
    let world = World::new(db).await;
    let (admin, rbac) = (world.in_a(), &world.rbac);
    let person = world.person();
    let mut csv = String::new();
    for role in 0..50 {
        for n in 0..98 {
            csv.push_str(&format!("p, role:r{role}, @a, *, shelf{n}.read, allow\n"));
        }
        csv.push_str(&format!(
            "g, role:r{role}, role:r{}, @a\ng, person:{person}, role:r{role}, @a\n",
            role + 1
        ));
    }
    let before = rbac.policy(Some(world.a)).await.unwrap().epoch;
    let imported = import(&world, &admin, &csv).await.unwrap();
    assert_eq!((imported.roles, imported.permissions, imported.rules), (51, 98, 5_000));
    assert_eq!(imported.epoch, before + 1);
    rbac.ensure(Some(world.a)).await.unwrap();
    let principal = world.person_in(person, world.a).principal;
    assert!(rbac.check(&principal, "shelf97.read").is_allowed());
    assert!(!rbac.check(&principal, "shelf98.read").is_allowed());
}
