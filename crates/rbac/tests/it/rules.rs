//! Inheritance, overrides, access control lists, expiry: what is written counts, and what must not be written is refused.

use chrono::TimeDelta;
use stylobate_core::{Clock as _, GroupId, Principal, RequestContext, RoleId};
use stylobate_db::{Scope, Tx};
use stylobate_rbac::{
    AclQuery, AssignmentQuery, Authorizer as _, Condition, Effect, GrantRule, NewAclEntry, NewGroup,
    NewOverride, OverrideQuery, RbacError, Resource, RolePermissionQuery, RoleQuery, RoleUpdate,
};
use stylobate_testkit::{TestDb, both_engines};

use crate::world::{SETS, World, may};

async fn a_role_has_what_its_parents_have(db: TestDb) {
    let world = World::new(db).await;
    let (context, person) = (world.in_a(), world.person());
    let (child, middle) = (world.role("child").await.id, world.role("middle").await.id);
    let top = world.role_with("top", "user.read").await.id;
    world.rbac.assign(&context, person, child).await.unwrap();
    world.rbac.ensure(Some(world.a)).await.unwrap();
    let link = world.rbac.add_parent(&context, child, middle).await.unwrap();
    assert_eq!(Some(link.epoch), world.rbac.engine().epoch(Some(world.a)));
    assert!(!may(&world, person, "user.read"));
    world.rbac.add_parent(&context, middle, top).await.unwrap();
    assert!(may(&world, person, "user.read"));
    assert_eq!(world.rbac.add_parent(&context, child, middle).await.unwrap_err().code(), "already_inherited");

    assert_eq!(world.rbac.parents_of(&context, child).await.unwrap(), [link.value]);
    assert!(world.rbac.parents_of(&context, top).await.unwrap().is_empty());

    let off = RoleUpdate { is_active: Some(false), ..RoleUpdate::default() };
    world.rbac.update_role(&context, middle, off).await.unwrap();
    assert!(!may(&world, person, "user.read"), "a role that is switched off passes nothing on");
    let on = RoleUpdate { is_active: Some(true), ..RoleUpdate::default() };
    world.rbac.update_role(&context, middle, on).await.unwrap();
    world.rbac.remove_parent(&context, middle, top).await.unwrap();
    assert!(!may(&world, person, "user.read"));
    assert_eq!(world.rbac.remove_parent(&context, middle, top).await.unwrap_err().code(), "not_found");
}
both_engines!(a_role_has_what_its_parents_have, SETS);

async fn a_cycle_of_roles_is_refused(db: TestDb) {
    let world = World::new(db).await;
    let context = world.in_a();
    let mut roles = Vec::new();
    for n in 0..4 {
        roles.push(world.role(&format!("role {n}")).await.id);
    }
    assert!(matches!(world.rbac.add_parent(&context, roles[0], roles[0]).await, Err(RbacError::RoleCycle)));
    for pair in roles.windows(2) {
        world.rbac.add_parent(&context, pair[0], pair[1]).await.unwrap();
    }
    for role in [roles[1], roles[2], roles[3]] {
        let refused = world.rbac.add_parent(&context, role, roles[0]).await.unwrap_err();
        assert_eq!(refused.code(), "role_cycle");
    }
    // Two that close a cycle only together, at once.
    let (one, two) = (world.role("one").await.id, world.role("two").await.id);
    let answers =
        tokio::join!(world.rbac.add_parent(&context, one, two), world.rbac.add_parent(&context, two, one),);
    assert!(answers.0.is_ok() != answers.1.is_ok(), "{answers:?}");
}
both_engines!(a_cycle_of_roles_is_refused, SETS);

async fn inheritance_stays_inside_an_owner(db: TestDb) {
    // A12, C20
    let world = World::new(db).await;
    let (context, foreign) = (world.in_a(), world.in_b());
    let (role, parent) = (world.role("role").await.id, world.role("parent").await.id);
    let super_admin = world.super_admin_role().await;
    for (child, parent) in [(role, super_admin), (super_admin, role)] {
        let refused = world.rbac.add_parent(&context, child, parent).await;
        assert!(matches!(refused, Err(RbacError::PlatformOwned)), "{refused:?}");
    }
    let system = RequestContext::system("test");
    let refused = world.rbac.add_parent(&system, super_admin, role).await.unwrap_err();
    assert_eq!(refused.to_string(), "there is no such role");
    world.rbac.add_parent(&context, role, parent).await.unwrap();
    let nobody = RoleId::from_uuid(uuid::Uuid::from_u128(1));
    for (child, parent) in [(role, parent), (role, nobody), (nobody, parent)] {
        let refused = world.rbac.add_parent(&foreign, child, parent).await.unwrap_err();
        assert_eq!(refused.to_string(), "there is no such role");
        let refused = world.rbac.remove_parent(&foreign, child, parent).await.unwrap_err();
        assert_eq!(refused.to_string(), "there is no such role_parent");
        assert_eq!(world.rbac.parents_of(&foreign, child).await.unwrap_err().code(), "not_found");
    }
    assert_eq!(world.rbac.parents_of(&context, role).await.unwrap().len(), 1);
}
both_engines!(inheritance_stays_inside_an_owner, SETS);

async fn an_override_allows_and_denies_whatever_the_roles_say(db: TestDb) {
    let world = World::new(db).await;
    let (context, person) = (world.in_a(), world.person());
    let (read, delete) = (world.permission("user.read").await, world.permission("user.delete").await);
    let role = world.role_with("reader", "user.read").await.id;
    world.rbac.assign(&context, person, role).await.unwrap();
    world.rbac.ensure(Some(world.a)).await.unwrap();
    let allow = NewOverride::new(person, delete, Effect::Allow);
    let allowed = world.rbac.set_override(&context, allow).await.unwrap();
    assert_eq!(Some(allowed.epoch), world.rbac.engine().epoch(Some(world.a)));
    world.clock.advance(TimeDelta::seconds(1));
    let denied =
        world.rbac.set_override(&context, NewOverride::new(person, read, Effect::Deny)).await.unwrap();
    assert!(may(&world, person, "user.delete") && !may(&world, person, "user.read"));

    // Set again it is the same rule, changed.
    let until = world.clock.now() + TimeDelta::hours(1);
    let mut again = NewOverride::new(person, read, Effect::Deny);
    (again.expires_at, again.condition) = (Some(until), Some(Condition::Owner {}));
    let changed = world.rbac.set_override(&context, again).await.unwrap().value;
    assert_eq!((changed.id, changed.expires_at), (denied.value.id, Some(until)));
    assert_eq!(world.rbac.find_override(&context, changed.id).await.unwrap(), Some(changed.clone()));
    let query = OverrideQuery { assignee: Some(person.into()), with_total: true, ..OverrideQuery::default() };
    let page = world.rbac.overrides(&context, &query).await.unwrap();
    assert_eq!((page.total, page.items.last()), (Some(2), Some(&changed)));
    world.clock.advance(TimeDelta::hours(1));
    assert!(may(&world, person, "user.read"), "at that instant it counts no longer");

    // C20
    assert!(world.rbac.overrides(&world.in_b(), &query).await.unwrap().items.is_empty());
    assert_eq!(world.rbac.find_override(&world.in_b(), changed.id).await.unwrap(), None);
    assert_eq!(world.rbac.remove_override(&world.in_b(), changed.id).await.unwrap_err().code(), "not_found");

    world.rbac.remove_override(&context, allowed.value.id).await.unwrap();
    assert!(!may(&world, person, "user.delete"));
    let metrics = world.permission("platform.metrics.read").await;
    let refused = world.rbac.set_override(&context, NewOverride::new(person, metrics, Effect::Allow)).await;
    assert!(matches!(refused, Err(RbacError::PlatformOwned)), "{refused:?}");
}
both_engines!(an_override_allows_and_denies_whatever_the_roles_say, SETS);

async fn an_entry_is_about_one_resource(db: TestDb) {
    let world = World::new(db).await;
    let (context, person) = (world.in_a(), world.person());
    let read = world.permission("user.read").await;
    world.rbac.ensure(Some(world.a)).await.unwrap();
    let new = |id: &str, effect| NewAclEntry::new(("document", id), person, read, effect);
    let entry = world.rbac.set_acl_entry(&context, new("7", Effect::Allow)).await.unwrap().value;
    let principal = Principal::person(person).in_tenant(world.a);
    let on = |id: &str| world.rbac.check_on(&principal, "user.read", &Resource::new("document", id));
    assert!(on("7").is_allowed() && !on("8").is_allowed() && !may(&world, person, "user.read"));
    let again = world.rbac.set_acl_entry(&context, new("7", Effect::Deny)).await.unwrap().value;
    assert_eq!(again.id, entry.id);
    assert_eq!(on("7").reason.code(), "denied_by_acl");

    let query = AclQuery { resource_id: Some("7".into()), with_total: true, ..AclQuery::default() };
    assert_eq!(world.rbac.acl_entries(&context, &query).await.unwrap().items, [again]);
    for id in ["8", "7\0"] {
        let query = AclQuery { resource_id: Some(id.into()), ..AclQuery::default() };
        assert!(world.rbac.acl_entries(&context, &query).await.unwrap().items.is_empty());
    }
    assert!(world.rbac.acl_entries(&world.in_b(), &query).await.unwrap().items.is_empty());
    assert_eq!(world.rbac.remove_acl_entry(&world.in_b(), entry.id).await.unwrap_err().code(), "not_found");
    let long = "a".repeat(1 << 20);
    for (kind, id) in
        [("Document", "1"), ("document", ""), ("document", "ä"), ("document", "1\n"), ("document", &long)]
    {
        let bad = NewAclEntry::new((kind, id), person, read, Effect::Allow);
        let refused = world.rbac.set_acl_entry(&context, bad).await.unwrap_err();
        assert!(matches!(refused, RbacError::Invalid { .. }), "{kind} {id:.20}");
    }
    world.rbac.remove_acl_entry(&context, entry.id).await.unwrap();
    assert_eq!(world.rbac.find_acl_entry(&context, entry.id).await.unwrap(), None);
}
both_engines!(an_entry_is_about_one_resource, SETS);

async fn who_has_a_right_on_one_resource_hands_it_out_there(db: TestDb) {
    // A11
    let world = World::new(db).await;
    let (admin, clerk, other) = (world.in_a(), world.person(), world.person());
    let asking = world.person_in(clerk, world.a);
    let read = world.permission("user.read").await;
    let until = world.clock.now() + TimeDelta::days(1);
    let mut new = NewAclEntry::new(("document", "7"), clerk, read, Effect::Allow);
    new.expires_at = Some(until);
    world.rbac.set_acl_entry(&admin, new.clone()).await.unwrap();
    let share = |id: &str, expires_at| {
        let mut shared = NewAclEntry::new(("document", id), other, read, Effect::Allow);
        shared.expires_at = expires_at;
        shared
    };
    world.rbac.set_acl_entry(&asking, share("7", Some(until))).await.unwrap();
    for beyond in [share("7", None), share("7", Some(until + TimeDelta::seconds(1))), share("8", Some(until))]
    {
        assert_eq!(
            world.rbac.set_acl_entry(&asking, beyond).await.unwrap_err().code(),
            "beyond_own_permissions"
        );
    }
    let refused = world.rbac.set_override(&asking, NewOverride::new(other, read, Effect::Allow)).await;
    assert!(matches!(refused, Err(RbacError::BeyondOwn)), "{refused:?}");
}
both_engines!(who_has_a_right_on_one_resource_hands_it_out_there, SETS);

async fn conditions_are_bounded_and_kept(db: TestDb) {
    let world = World::new(db).await;
    let (context, role) = (world.in_a(), world.role("editor").await.id);
    let update = world.permission("user.update").await;
    let mut deep = Condition::Owner {};
    for _ in 0..100 {
        deep = Condition::All(vec![deep]);
    }
    let wide = Condition::Any(vec![Condition::Owner {}; 1_000]);
    let long = Condition::Attribute { name: "a".into(), equals: "x".repeat(1 << 20).into() };
    for condition in [deep, wide, long] {
        let rule = GrantRule { effect: Effect::Allow, condition: Some(condition) };
        let refused = world.rbac.attach_rule(&context, role, update, rule).await.unwrap_err();
        assert!(matches!(refused, RbacError::Invalid { field: "condition", .. }), "{refused:?}");
    }
    let own = GrantRule { effect: Effect::Allow, condition: Some(Condition::Owner {}) };
    let link = world.rbac.attach_rule(&context, role, update, own.clone()).await.unwrap().value;
    assert_eq!(world.rbac.find_role_permission(&context, link.id).await.unwrap(), Some(link.clone()));
    let person = world.person();
    world.rbac.assign(&context, person, role).await.unwrap();
    world.rbac.ensure(Some(world.a)).await.unwrap();
    let principal = Principal::person(person).in_tenant(world.a);
    let mine = Resource::new("document", "1").owned_by(person);
    let decide = || world.rbac.check_on(&principal, "user.update", &mine);
    assert!(decide().is_allowed() && !may(&world, person, "user.update"));
    let deny = GrantRule { effect: Effect::Deny, ..own };
    world.rbac.update_role_permission(&context, link.id, deny).await.unwrap();
    assert_eq!(decide().reason.code(), "denied_by_role");
}
both_engines!(conditions_are_bounded_and_kept, SETS);

async fn an_assignment_ends_when_it_says(db: TestDb) {
    let world = World::new(db).await;
    let (context, person) = (world.in_a(), world.person());
    let role = world.role_with("guest", "user.read").await.id;
    world.rbac.ensure(Some(world.a)).await.unwrap();
    let now = world.clock.now();
    for past in [now, now - TimeDelta::days(1)] {
        let refused = world.rbac.assign_until(&context, person, role, Some(past)).await.unwrap_err();
        assert!(matches!(refused, RbacError::Invalid { field: "expires_at", .. }));
    }
    let until = now + TimeDelta::hours(1);
    let first = world.rbac.assign_until(&context, person, role, Some(until)).await.unwrap().value;
    assert_eq!(world.rbac.find_assignment(&context, first.id).await.unwrap(), Some(first.clone()));
    assert_eq!(world.rbac.assign(&context, person, role).await.unwrap_err().code(), "already_assigned");
    world.clock.advance(TimeDelta::minutes(60) - TimeDelta::microseconds(1));
    assert!(may(&world, person, "user.read"));
    world.clock.advance(TimeDelta::microseconds(1));
    assert!(!may(&world, person, "user.read"), "at that instant it counts no longer");

    // Renewed, and after another end assigned anew.
    let later = world.clock.now() + TimeDelta::hours(1);
    world.rbac.update_assignment(&context, first.id, Some(later)).await.unwrap();
    assert!(may(&world, person, "user.read"));
    assert_eq!(
        world.rbac.update_assignment(&world.in_b(), first.id, None).await.unwrap_err().code(),
        "not_found"
    );
    world.clock.advance(TimeDelta::hours(2));
    let second = world.rbac.assign(&context, person, role).await.unwrap().value;
    assert!(may(&world, person, "user.read") && second.id != first.id);
}
both_engines!(an_assignment_ends_when_it_says, SETS);

async fn who_has_a_role_for_a_time_hands_it_out_for_no_longer(db: TestDb) {
    // A11: a role that ends must not be made permanent by who has it.
    let world = World::new(db).await;
    let (admin, temp) = (world.in_a(), world.person());
    let asking = world.person_in(temp, world.a);
    let role = world.role_with("guest", "user.read").await.id;
    let until = world.clock.now() + TimeDelta::hours(1);
    let held = world.rbac.assign_until(&admin, temp, role, Some(until)).await.unwrap().value;
    let other = world.person();
    world.rbac.assign_until(&asking, other, role, Some(until)).await.unwrap();
    let answers = [
        world.rbac.assign(&asking, world.person(), role).await.map(drop),
        world.rbac.update_assignment(&asking, held.id, None).await.map(drop),
        world
            .rbac
            .attach(&asking, world.role("mine").await.id, world.permission("user.read").await)
            .await
            .map(drop),
    ];
    for answer in answers {
        assert_eq!(answer.unwrap_err().code(), "beyond_own_permissions");
    }
    world.clock.advance(TimeDelta::hours(1));
    let late =
        world.rbac.assign_until(&asking, world.person(), role, Some(until + TimeDelta::hours(1))).await;
    assert_eq!(late.unwrap_err().code(), "beyond_own_permissions");
}
both_engines!(who_has_a_role_for_a_time_hands_it_out_for_no_longer, SETS);

async fn who_may_take_a_role_may_end_it_sooner(db: TestDb) {
    // A11
    let world = World::new(db).await;
    let (admin, person) = (world.in_a(), world.person());
    let nobody = world.person_in(world.person(), world.a);
    let now = world.clock.now();
    let hours = |hours| Some(now + TimeDelta::hours(hours));
    let role = world.role_with("guest", "user.read").await.id;
    let held = world.rbac.assign_until(&admin, person, role, hours(3)).await.unwrap().value.id;
    let sooner = world.rbac.update_assignment(&nobody, held, hours(2)).await.unwrap().value;
    assert_eq!(sooner.expires_at, hours(2));
    for longer in [hours(3), None] {
        let refused = world.rbac.update_assignment(&nobody, held, longer).await.unwrap_err();
        assert_eq!(refused.code(), "beyond_own_permissions");
    }
    // Not where that gives something back.
    let denied = world.permission("user.delete").await;
    let rule = GrantRule { effect: Effect::Deny, condition: None };
    world.rbac.attach_rule(&admin, role, denied, rule).await.unwrap();
    let refused = world.rbac.update_assignment(&nobody, held, hours(1)).await.unwrap_err();
    assert_eq!(refused.code(), "beyond_own_permissions");
}
both_engines!(who_may_take_a_role_may_end_it_sooner, SETS);

async fn the_role_of_all_permissions_is_emptied_by_nobody_who_has_less(db: TestDb) {
    // A11: in the tenant nobody would be left to give it back.
    let world = World::new(db).await;
    let (admin, clerk) = (world.in_a(), world.person());
    let asking = world.person_in(clerk, world.a);
    let (read, update) = (world.permission("user.read").await, world.permission("user.update").await);
    let desk = world.role_with("desk", "user.read").await.id;
    world.rbac.assign(&admin, clerk, desk).await.unwrap();
    let roles = world.rbac.list_roles(&admin, &RoleQuery::default()).await.unwrap().items;
    let all = roles.iter().find(|role| role.name == "admin").unwrap().id;
    let query = RolePermissionQuery {
        role_id: Some(all),
        permission_id: Some(update),
        ..RolePermissionQuery::default()
    };
    let link = world.rbac.list_role_permissions(&admin, &query).await.unwrap().items[0].id;
    let answers = [
        world.rbac.detach(&asking, all, update).await.map(drop),
        world.rbac.delete_role_permission(&asking, link).await.map(drop),
        world.rbac.replace_role_permission(&asking, link, Some(desk), None).await.map(drop),
        world.rbac.replace_role_permission(&asking, link, None, Some(read)).await.map(drop),
    ];
    for answer in answers {
        assert_eq!(answer.unwrap_err().code(), "beyond_own_permissions");
    }
    world.rbac.detach(&asking, all, read).await.unwrap();
    // Other roles lose what their own people cannot give back either.
    let other = world.role_with("other", "user.update").await.id;
    world.rbac.detach(&asking, other, update).await.unwrap();
}
both_engines!(the_role_of_all_permissions_is_emptied_by_nobody_who_has_less, SETS);

async fn a_denial_is_lifted_by_whom_it_does_not_hit(db: TestDb) {
    // A11: taking a denial away is giving.
    let world = World::new(db).await;
    let (admin, clerk) = (world.in_a(), world.person());
    let asking = world.person_in(clerk, world.a);
    let (read, delete) = (world.permission("user.read").await, world.permission("user.delete").await);
    let all = world.role_with("all", "user.delete").await.id;
    world.rbac.attach(&admin, all, read).await.unwrap();
    world.rbac.assign(&admin, clerk, all).await.unwrap();
    let denied =
        world.rbac.set_override(&admin, NewOverride::new(clerk, delete, Effect::Deny)).await.unwrap().value;
    let limits = world.role("limits").await.id;
    let rule = GrantRule { effect: Effect::Deny, condition: None };
    let link = world.rbac.attach_rule(&admin, limits, delete, rule).await.unwrap().value;
    world.rbac.add_parent(&admin, all, limits).await.unwrap();
    let off = RoleUpdate { is_active: Some(false), ..RoleUpdate::default() };
    let answers = [
        world.rbac.remove_override(&asking, denied.id).await.map(drop),
        world.rbac.set_override(&asking, NewOverride::new(clerk, delete, Effect::Allow)).await.map(drop),
        world.rbac.detach(&asking, limits, delete).await.map(drop),
        world.rbac.update_role_permission(&asking, link.id, GrantRule::default()).await.map(drop),
        world.rbac.remove_parent(&asking, all, limits).await.map(drop),
        world.rbac.update_role(&asking, limits, off).await.map(drop),
        world.rbac.delete_role(&asking, limits).await.map(drop),
        world.rbac.unassign(&asking, clerk, all).await.map(drop),
    ];
    for answer in answers {
        assert_eq!(answer.unwrap_err().code(), "beyond_own_permissions");
    }
    world.rbac.ensure(Some(world.a)).await.unwrap();
    world.rbac.remove_parent(&admin, all, limits).await.unwrap();
    world.rbac.remove_override(&admin, denied.id).await.unwrap();
    assert!(may(&world, clerk, "user.delete"));
}
both_engines!(a_denial_is_lifted_by_whom_it_does_not_hit, SETS);

async fn the_last_super_administrator_has_the_role_for_good_and_whole(db: TestDb) {
    let world = World::new(db).await;
    let first = world.super_admin().await;
    let root = RequestContext::new(Principal::person(first));
    let role = world.super_admin_role().await;
    let soon = Some(world.clock.now() + TimeDelta::days(1));
    let (temp, group) = (world.person(), GroupId::from_uuid(uuid::Uuid::from_u128(9)));
    let borrowed = world.rbac.assign_until(&root, temp, role, soon).await.unwrap().value;
    // A group may be empty, and whose account is the platform's to manage does not depend on one.
    let delete = world.permission("user.delete").await;
    let refused = [
        world.rbac.assign(&root, group, role).await.map(drop),
        world.rbac.replace_assignment(&root, borrowed.id, Some(group.into()), None).await.map(drop),
        world.rbac.set_override(&root, NewOverride::new(group, delete, Effect::Allow)).await.map(drop),
        world
            .rbac
            .set_acl_entry(&root, NewAclEntry::new(("doc", "1"), group, delete, Effect::Allow))
            .await
            .map(drop),
    ];
    for answer in refused {
        assert!(matches!(answer, Err(RbacError::Invalid { field: "assignee", .. })), "{answer:?}");
    }
    let query = AssignmentQuery { assignee: Some(first.into()), ..AssignmentQuery::default() };
    let own = world.rbac.list_assignments(&root, &query).await.unwrap().items[0].id;
    let everything = world.permission("*").await;
    let limits =
        world.rbac.create_role(&root, stylobate_rbac::NewRole::new("limits")).await.unwrap().value.id;
    let deny = GrantRule { effect: Effect::Deny, condition: None };
    world.rbac.attach_rule(&root, limits, delete, deny).await.unwrap();
    // One whose role ends does not stand in.
    let answers = [
        world.rbac.unassign(&root, first, role).await.map(drop),
        world.rbac.update_assignment(&root, own, soon).await.map(drop),
        world.rbac.set_override(&root, NewOverride::new(first, delete, Effect::Deny)).await.map(drop),
        world
            .rbac
            .set_acl_entry(&root, NewAclEntry::new(("doc", "1"), first, delete, Effect::Deny))
            .await
            .map(drop),
        world.rbac.detach(&root, role, everything).await.map(drop),
        world.rbac.add_parent(&root, role, limits).await.map(drop),
        world.rbac.assign(&root, first, limits).await.map(drop),
    ];
    for (place, answer) in answers.into_iter().enumerate() {
        assert_eq!(answer.unwrap_err().code(), "last_super_administrator", "{place}");
    }
    world.rbac.update_assignment(&root, borrowed.id, None).await.unwrap();
    world.rbac.unassign(&root, first, role).await.unwrap();
    world.rbac.ensure(Some(world.a)).await.unwrap();
    assert!(may(&world, temp, "user.delete") && !may(&world, first, "user.delete"));
}
both_engines!(the_last_super_administrator_has_the_role_for_good_and_whole, SETS);

async fn groups_are_assigned_to_and_listed(db: TestDb) {
    let world = World::new(db).await;
    let (context, role) = (world.in_a(), world.role_with("team", "user.read").await.id);
    let group = world.rbac.create_group(&context, NewGroup::new("team")).await.unwrap().value.id;
    let made = world.rbac.assign(&context, group, role).await.unwrap().value;
    let query = AssignmentQuery { assignee: Some(group.into()), ..AssignmentQuery::default() };
    assert_eq!(world.rbac.list_assignments(&context, &query).await.unwrap().items, [made]);
    world.rbac.unassign(&context, group, role).await.unwrap();
}
both_engines!(groups_are_assigned_to_and_listed, SETS);

async fn a_subject_that_goes_takes_its_own_rules_along(db: TestDb) {
    let world = World::new(db).await;
    let (context, person) = (world.in_a(), world.person());
    let read = world.permission("user.read").await;
    let system = RequestContext::system("test");
    world.rbac.set_override(&system, NewOverride::new(person, read, Effect::Deny)).await.unwrap();
    world.rbac.set_override(&context, NewOverride::new(person, read, Effect::Allow)).await.unwrap();
    for id in ["1", "2"] {
        let new = NewAclEntry::new(("doc", id), person, read, Effect::Allow);
        world.rbac.set_acl_entry(&context, new).await.unwrap();
    }
    let count = async || {
        let mut tx = world.db.begin_read(Scope::Platform("test")).await.unwrap();
        let sql = "SELECT (SELECT count(*) FROM permission_overrides) + (SELECT count(*) FROM acl_entries)";
        let count = tx.q(sql).scalar::<i64>().await.unwrap();
        tx.rollback().await.unwrap();
        count
    };
    assert_eq!(count().await, 4);
    let leave = async |tx: &mut Tx| world.rbac.remove_subject(tx, &context, world.a, person).await;
    assert_eq!(world.db.transact(Scope::Tenant(world.a), leave).await.unwrap(), 0);
    assert_eq!(count().await, 1, "the platform's stays");
    let delete = async |tx: &mut Tx| world.rbac.remove_subject_everywhere(tx, &system, person, &[]).await;
    world.db.transact(Scope::Platform("test"), delete).await.unwrap();
    assert_eq!(count().await, 0);
}
both_engines!(a_subject_that_goes_takes_its_own_rules_along, SETS);

async fn what_has_expired_is_swept_after_a_while(db: TestDb) {
    let world = World::new(db).await;
    let (context, read) = (world.in_a(), world.permission("user.read").await);
    let role = world.role_with("guest", "user.read").await.id;
    let soon = Some(world.clock.now() + TimeDelta::hours(1));
    let stays = world.person();
    world.rbac.assign(&context, stays, role).await.unwrap();
    for _ in 0..3 {
        world.rbac.assign_until(&context, world.person(), role, soon).await.unwrap();
    }
    let mut rule = NewOverride::new(stays, read, Effect::Allow);
    rule.expires_at = soon;
    world.rbac.set_override(&context, rule).await.unwrap();
    let mut entry = NewAclEntry::new(("doc", "1"), stays, read, Effect::Allow);
    entry.expires_at = soon;
    world.rbac.set_acl_entry(&context, entry).await.unwrap();
    // More than a batch.
    let many = "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 1100)
                INSERT INTO acl_entries (id, tenant_id, resource_kind, resource_id, subject_kind, subject_id,
                    permission_id, effect, expires_at, created_at, updated_at)
                SELECT ";
    let mut tx = world.db.begin(Scope::Tenant(world.a)).await.unwrap();
    let mut sql = tx.builder(many);
    sql.push_sql(stylobate_db::Sql::Per { pg: "gen_random_uuid()", lite: "randomblob(16)" });
    sql.push(
        ", tenant_id, resource_kind, CAST(n AS text) || 'x', subject_kind, subject_id, permission_id, effect,
           expires_at, created_at, updated_at FROM acl_entries, n",
    );
    assert_eq!(tx.q_build(sql).run().await.unwrap(), 1100);
    tx.commit().await.unwrap();

    let sweep = async || {
        let system = RequestContext::system("sweep");
        world.rbac.sweep_expired(&system, TimeDelta::days(30)).await.unwrap()
    };
    world.clock.advance(TimeDelta::days(30));
    assert_eq!(sweep().await.total(), 0, "kept for a while, to tell what somebody has lost");
    world.clock.advance(TimeDelta::hours(1));
    let swept = sweep().await;
    assert_eq!((swept.assignments, swept.overrides, swept.acl_entries), (3, 1, 1101));
    assert_eq!(sweep().await.total(), 0);
    world.rbac.ensure(Some(world.a)).await.unwrap();
    assert!(may(&world, stays, "user.read"));
}
both_engines!(what_has_expired_is_swept_after_a_while, SETS);
