//! Nobody hands out more than they have, nor denies or lifts what is not theirs.

use stylobate_core::{Principal, RequestContext};
use stylobate_rbac::{
    Condition, Effect, GrantRule, NewAclEntry, NewOverride, NewRole, RbacError, RoleUpdate,
};
use stylobate_testkit::TestDb;

use crate::world::{SETS, World};

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

async fn a_denial_under_a_condition_needs_the_whole_right(db: TestDb) {
    // A11: where the condition is not known to hold, it denies: whoever has the right under it only would take more.
    let world = World::new(db).await;
    let admin = world.in_a();
    let owner = || Some(Condition::Owner {});
    let (half, target) = (world.role("half").await.id, world.role("target").await.id);
    let read = world.permission("user.read").await;
    let rule = |effect| GrantRule { effect, condition: owner() };
    world.rbac.attach_rule(&admin, half, read, rule(Effect::Allow)).await.unwrap();
    let (bob, carol) = (world.person(), world.person());
    world.rbac.assign(&admin, bob, half).await.unwrap();
    let bobs = world.person_in(bob, world.a);

    let refused = world.rbac.attach_rule(&bobs, target, read, rule(Effect::Deny)).await.unwrap_err();
    assert_eq!(refused.code(), "beyond_own_permissions");
    let deny = NewOverride { condition: owner(), ..NewOverride::new(carol, read, Effect::Deny) };
    let refused = world.rbac.set_override(&bobs, deny.clone()).await.unwrap_err();
    assert_eq!(refused.code(), "beyond_own_permissions");
    let link = world.rbac.attach_rule(&bobs, target, read, rule(Effect::Allow)).await.unwrap().value;
    let refused = world.rbac.update_role_permission(&bobs, link.id, rule(Effect::Deny)).await.unwrap_err();
    assert_eq!(refused.code(), "beyond_own_permissions");
    let allow = NewOverride { effect: Effect::Allow, ..deny };
    world.rbac.set_override(&bobs, allow).await.unwrap();
    let entry = NewAclEntry::new(("doc", "1"), carol, read, Effect::Deny);
    let refused = world.rbac.set_acl_entry(&bobs, entry).await.unwrap_err();
    assert_eq!(refused.code(), "beyond_own_permissions");
}
stylobate_testkit::both_engines!(a_denial_under_a_condition_needs_the_whole_right, SETS);
