use std::sync::Arc;

use chrono::TimeDelta;
use stylobate_core::{Clock as _, PersonId, Principal, RequestContext, ServiceId};
use stylobate_db::{Scope, Tx};
use stylobate_rbac::{
    AssignedRole, Assignee, AssigneeKind, AssignmentQuery, Authorizer, NewRole, RbacError, RoleQuery,
    RoleUpdate,
};
use stylobate_testkit::{TestDb, both_engines};

use crate::{
    freshness::Recorder,
    world::{SETS, World, rbac},
};

async fn assigning_and_unassigning_count_when_the_call_returns(db: TestDb) {
    // A11
    let world = World::new(db).await;
    let (context, person) = (world.in_a(), world.person());
    let role = world.role_with("reader", "user.read").await;
    world.rbac.ensure(Some(world.a)).await.unwrap();
    let principal = Principal::person(person).in_tenant(world.a);
    assert_eq!(world.rbac.check(&principal, "user.read").reason.code(), "no_assignment");

    let assignment = world.rbac.assign(&context, person, role.id).await.unwrap().value;
    assert_eq!(assignment.assignee, person.into());
    assert!(world.rbac.check(&principal, "user.read").is_allowed());
    assert!(!world.rbac.check(&Principal::person(person).in_tenant(world.b), "user.read").is_allowed());
    assert_eq!(world.rbac.assign(&context, person, role.id).await.unwrap_err().code(), "already_assigned");
    let roles = world.rbac.roles_of(&context, person, &RoleQuery::default()).await.unwrap();
    assert_eq!(roles.items, [AssignedRole { role: role.clone(), assignment }]);
    let effective = world.rbac.effective_permissions(&context, person).await.unwrap();
    assert_eq!((effective.len(), effective[0].key.as_str()), (1, "user.read"));

    world.rbac.unassign(&context, person, role.id).await.unwrap();
    assert!(!world.rbac.check(&principal, "user.read").is_allowed());
    assert_eq!(world.rbac.unassign(&context, person, role.id).await.unwrap_err().code(), "not_found");

    // The role goes, and with it what it gave.
    world.rbac.assign(&context, person, role.id).await.unwrap();
    world.rbac.delete_role(&context, role.id).await.unwrap();
    assert_eq!(world.rbac.check(&principal, "user.read").reason.code(), "no_assignment");
}
both_engines!(assigning_and_unassigning_count_when_the_call_returns, SETS);

async fn assignments_are_found_listed_and_deleted_by_id(db: TestDb) {
    let world = World::new(db).await;
    let (context, person) = (world.in_a(), world.person());
    let role = world.role("reader").await;
    let service = ServiceId::from_uuid(uuid::Uuid::from_u128(77));
    world.rbac.assign(&context, service, role.id).await.unwrap();
    let assignment = world.rbac.assign(&context, person, role.id).await.unwrap().value;
    let of_role = AssignmentQuery { role_id: Some(role.id), with_total: true, ..AssignmentQuery::default() };
    assert_eq!(world.rbac.list_assignments(&context, &of_role).await.unwrap().total, Some(2));
    let of_person = AssignmentQuery { assignee: Some(person.into()), ..of_role.clone() };
    let found = world.rbac.list_assignments(&context, &of_person).await.unwrap();
    assert_eq!(found.items, std::slice::from_ref(&assignment));
    for (kind, of) in [(AssigneeKind::Person, person.into()), (AssigneeKind::Service, service.into())] {
        let of_kind = AssignmentQuery { kind: Some(kind), ..of_role.clone() };
        let found = world.rbac.list_assignments(&context, &of_kind).await.unwrap();
        let whose: Vec<Assignee> = found.items.iter().map(|found| found.assignee).collect();
        assert_eq!((found.total, whose), (Some(1), vec![of]));
    }
    // C20
    assert!(world.rbac.list_assignments(&world.in_b(), &of_role).await.unwrap().items.is_empty());
    assert_eq!(world.rbac.find_assignment(&world.in_b(), assignment.id).await.unwrap(), None);
    assert_eq!(
        world.rbac.delete_assignment(&world.in_b(), assignment.id).await.unwrap_err().code(),
        "not_found"
    );
    assert_eq!(world.rbac.find_assignment(&context, assignment.id).await.unwrap(), Some(assignment.clone()));
    world.rbac.delete_assignment(&context, assignment.id).await.unwrap();
    assert_eq!(world.rbac.find_assignment(&context, assignment.id).await.unwrap(), None);
}
both_engines!(assignments_are_found_listed_and_deleted_by_id, SETS);

async fn only_the_platform_makes_super_admins(db: TestDb) {
    // A11: no way from a tenant's administrator to the platform.
    let world = World::new(db).await;
    let (role, victim) = (world.super_admin_role().await, world.super_admin().await);
    let (admin, mallory) = (world.in_a(), world.person());
    let refused = world.rbac.assign(&admin, mallory, role).await;
    assert!(matches!(refused, Err(RbacError::PlatformOwned)), "{refused:?}");
    assert_eq!(world.rbac.unassign(&admin, victim, role).await.unwrap_err().code(), "not_found");
    // Who has a platform role is not a tenant's business.
    let query = AssignmentQuery { role_id: Some(role), ..AssignmentQuery::default() };
    assert!(world.rbac.list_assignments(&admin, &query).await.unwrap().items.is_empty());
    assert!(world.rbac.roles_of(&admin, victim, &RoleQuery::default()).await.unwrap().items.is_empty());
    let stranger = RequestContext::new(Principal::person(mallory));
    assert!(matches!(world.rbac.list_assignments(&stranger, &query).await, Err(RbacError::PlatformOwned)));

    // A super admin works in any tenant, and makes others.
    let root = world.person_in(victim, world.a);
    let made = world.rbac.assign(&root, mallory, role).await.unwrap().value;
    assert_eq!(made.tenant_id, None);
    world.rbac.ensure(Some(world.b)).await.unwrap();
    let principal = Principal::person(mallory).in_tenant(world.b);
    assert_eq!(world.rbac.check(&principal, "role.delete").reason.code(), "platform_role");
    assert_eq!(world.rbac.list_assignments(&root, &query).await.unwrap().items.len(), 2);
    assert_eq!(world.rbac.find_assignment(&root, made.id).await.unwrap(), Some(made.clone()));
    assert_eq!(world.rbac.find_assignment(&admin, made.id).await.unwrap(), None);
    let roles = world.rbac.roles_of(&root, mallory, &RoleQuery::default()).await.unwrap();
    assert_eq!(roles.items.iter().map(|held| held.role.id).collect::<Vec<_>>(), [role]);
    assert_eq!(roles.items[0].assignment, made);

    world.rbac.unassign(&root, mallory, role).await.unwrap();
    assert!(!world.rbac.check(&principal, "role.delete").is_allowed());
    let late = world.rbac.assign(&world.person_in(mallory, world.a), mallory, role).await;
    assert!(matches!(late, Err(RbacError::PlatformOwned)), "{late:?}");
}
both_engines!(only_the_platform_makes_super_admins, SETS);

async fn nobody_hands_out_more_than_they_have(db: TestDb) {
    let world = World::new(db).await;
    let (admin, clerk) = (world.in_a(), world.person());
    let asking = world.person_in(clerk, world.a);
    let (weak, strong) =
        (world.role_with("weak", "user.read").await, world.role_with("strong", "user.delete").await);
    let own = world.role_with("own", "desk.read").await;
    world.rbac.assign(&admin, clerk, weak.id).await.unwrap();
    let [read, delete, desk] =
        ["user.read", "user.delete", "desk.read"].map(async |key| world.permission(key).await);
    let (read, delete, desk) = (read.await, delete.await, desk.await);

    let other = world.person();
    world.rbac.assign(&asking, other, weak.id).await.unwrap();
    for role in [strong.id, own.id] {
        for target in [clerk, other] {
            let refused = world.rbac.assign(&asking, target, role).await.unwrap_err();
            assert_eq!(refused.code(), "beyond_own_permissions");
        }
    }
    for permission in [delete, desk] {
        let refused = world.rbac.attach(&asking, weak.id, permission).await.unwrap_err();
        assert_eq!(refused.code(), "beyond_own_permissions");
    }
    // The rows decide, not what was true a moment ago.
    world.rbac.attach(&asking, own.id, read).await.unwrap();
    world.rbac.unassign(&admin, clerk, weak.id).await.unwrap();
    let late = world.rbac.assign(&asking, other, own.id).await.unwrap_err();
    assert_eq!(late.code(), "beyond_own_permissions");
    let scoped = Principal { scopes: Some(["user.read".into()].into_iter().collect()), ..admin.principal };
    let refused = world.rbac.assign(&RequestContext::new(scoped), other, strong.id).await.unwrap_err();
    assert_eq!(refused.code(), "beyond_own_permissions");
    let root = world.person_in(world.super_admin().await, world.a);
    world.rbac.assign(&root, other, strong.id).await.unwrap();
}
both_engines!(nobody_hands_out_more_than_they_have, SETS);

async fn accounts_of_the_platform_are_managed_by_the_platform(db: TestDb) {
    let world = World::new(db).await;
    let (root, admin) = (world.super_admin().await, world.in_a());
    let remove = async |context: RequestContext| {
        let remove = async |tx: &mut Tx| {
            world.rbac.remove_subject_everywhere(tx, &context, root, &[]).await.map(|_| ())
        };
        world.db.transact(Scope::Platform("delete a person"), remove).await
    };
    assert_eq!(remove(admin).await.unwrap_err().code(), "platform_owned");
    let holders = world
        .db
        .transact(Scope::Platform("test"), async |tx: &mut Tx| world.rbac.super_administrators(tx).await)
        .await;
    assert_eq!(holders.unwrap(), [root.into()]);
    remove(world.person_in(root, world.a)).await.unwrap();
}
both_engines!(accounts_of_the_platform_are_managed_by_the_platform, SETS);

async fn one_role_takes_the_place_of_the_one_that_somebody_has(db: TestDb) {
    // A11
    let world = World::new(db).await;
    let (context, person) = (world.in_a(), world.person());
    let (reader, editor) = (world.role("reader").await.id, world.role_with("editor", "user.update").await.id);
    let put = async |context: &RequestContext, role| {
        let put = async |tx: &mut Tx| world.rbac.put_role_in(tx, context, world.a, person, role).await;
        let put = world.db.transact(Scope::Platform("test"), put).await;
        put.map(|put| put.map(|put| put.value)).map_err(|error| error.code())
    };
    let first = put(&context, reader).await.unwrap().unwrap();
    assert_eq!((first.role_id, first.tenant_id, first.expires_at), (reader, Some(world.a), None));
    assert_eq!(put(&context, reader).await, Ok(None));
    // It keeps its id and its end; one that is over makes room, and is none of several.
    let soon = world.clock.now() + TimeDelta::hours(1);
    world.rbac.assign_until(&context, person, editor, Some(soon)).await.unwrap();
    assert_eq!(put(&context, editor).await, Err("several_roles"));
    let later = soon + TimeDelta::hours(1);
    world.rbac.update_assignment(&context, first.id, Some(later)).await.unwrap();
    world.clock.advance(TimeDelta::hours(1));
    let second = put(&context, editor).await.unwrap().unwrap();
    assert_eq!((second.id, second.role_id, second.expires_at), (first.id, editor, Some(later)));
    let held = world.rbac.roles_of(&context, person, &RoleQuery::default()).await.unwrap();
    assert_eq!(held.items.len(), 1);
    // Nobody gives what they do not have, and no role is of another tenant.
    let clerk = world.person();
    world.rbac.assign(&context, clerk, reader).await.unwrap();
    assert_eq!(put(&world.person_in(clerk, world.a), editor).await, Ok(None));
    let strong = world.role_with("strong", "user.delete").await.id;
    assert_eq!(put(&world.person_in(clerk, world.a), strong).await, Err("beyond_own_permissions"));
    let foreign = world.rbac.create_role(&world.in_b(), NewRole::new("theirs")).await.unwrap().value.id;
    assert_eq!(put(&context, foreign).await, Err("not_found"));
    assert_eq!(put(&context, world.super_admin_role().await).await, Err("platform_owned"));
}
both_engines!(one_role_takes_the_place_of_the_one_that_somebody_has, SETS);

async fn who_acts_for_the_platform_has_what_it_gives_alone(db: TestDb) {
    // A12: what somebody has in a tenant is nothing while they act there for the platform.
    let world = World::new(db).await;
    let (admin, system, manager) = (world.in_a(), RequestContext::system("test"), world.person());
    let strong = world.role_with("strong", "user.delete").await.id;
    world.rbac.assign(&admin, manager, strong).await.unwrap();
    let ask = async |context: &RequestContext| {
        let (rbac, newcomer) = (&world.rbac, world.person());
        let ask = async |tx: &mut Tx| {
            let may = [
                rbac.require_held(tx, context, world.a, "user.delete").await,
                rbac.require_may_become(tx, context, manager).await,
                rbac.require_may_give(tx, context, Some(world.a), strong).await,
                rbac.assign_in(tx, context, Some(world.a), newcomer, strong).await.map(drop),
            ];
            Ok::<_, RbacError>(may.map(|may| may.map_err(|error| error.code())))
        };
        world.db.transact(Scope::Platform("test"), ask).await.unwrap()
    };
    let for_platform = admin.for_platform_in(world.a);
    assert_eq!(ask(&admin).await, [Ok(()); 4]);
    assert_eq!(ask(&for_platform).await, [Err("beyond_own_permissions"); 4]);
    let delete = world.permission("user.delete").await;
    let helper = world.rbac.create_role(&system, NewRole::new("helper")).await.unwrap().value.id;
    world.rbac.attach(&system, helper, delete).await.unwrap();
    world.rbac.assign(&system, admin.principal.person_id().unwrap(), helper).await.unwrap();
    assert_eq!(ask(&for_platform).await, [Ok(()); 4]);
}
both_engines!(who_acts_for_the_platform_has_what_it_gives_alone, SETS);

async fn nobody_becomes_somebody_who_may_do_more(db: TestDb) {
    // A11: who sets the password of an account may do everything that it may.
    let world = World::new(db).await;
    let (admin, desk, clerk, manager) = (world.in_a(), world.person(), world.person(), world.person());
    let asking = world.person_in(desk, world.a);
    let (weak, strong) =
        (world.role_with("weak", "user.read").await, world.role_with("strong", "user.delete").await);
    for (person, role) in [(desk, weak.id), (clerk, weak.id), (manager, weak.id), (manager, strong.id)] {
        world.rbac.assign(&admin, person, role).await.unwrap();
    }
    let become_them = async |context: &RequestContext, person: PersonId| {
        let ask = async |tx: &mut Tx| world.rbac.require_may_become(tx, context, person).await;
        world.db.transact(Scope::Platform("test"), ask).await.map_err(|error| error.code())
    };
    let root = world.super_admin().await;
    assert_eq!(become_them(&asking, world.person()).await, Ok(()));
    assert_eq!(become_them(&asking, clerk).await, Ok(()));
    assert_eq!(become_them(&asking, manager).await, Err("beyond_own_permissions"));
    assert_eq!(become_them(&admin, manager).await, Ok(()));
    for context in [&asking, &admin] {
        assert_eq!(become_them(context, root).await, Err("platform_owned"));
    }
    world.rbac.ensure(None).await.unwrap();
    assert_eq!(become_them(&world.person_in(root, world.a), manager).await, Ok(()));
    // Somebody else of the platform is not yet somebody who may do as much there, with or without an organisation; and scopes limit
    // even who may do everything, in their own name too.
    let (system, auditor) = (RequestContext::system("test"), world.person());
    let small = world.rbac.create_role(&system, NewRole::new("platform_auditor")).await.unwrap().value.id;
    world.rbac.assign(&system, auditor, small).await.unwrap();
    world.rbac.ensure(None).await.unwrap();
    for context in [world.person_in(auditor, world.a), RequestContext::new(Principal::person(auditor))] {
        assert_eq!(become_them(&context, root).await, Err("beyond_own_permissions"));
    }
    let other = world.super_admin().await;
    let mut narrow = world.person_in(root, world.a);
    assert_eq!(become_them(&narrow, other).await, Ok(()));
    narrow.principal.scopes = Some(vec!["user.*".to_owned()]);
    for person in [root, other] {
        assert_eq!(become_them(&narrow, person).await, Err("beyond_own_permissions"));
    }
    // What is switched off can be switched on.
    let off = RoleUpdate { is_active: Some(false), ..RoleUpdate::default() };
    world.rbac.update_role(&admin, strong.id, off).await.unwrap();
    assert_eq!(become_them(&asking, manager).await, Err("beyond_own_permissions"));
}
both_engines!(nobody_becomes_somebody_who_may_do_more, SETS);

async fn the_last_super_administrator_stays_one(db: TestDb) {
    let world = World::new(db).await;
    let first = world.super_admin().await;
    let root = world.person_in(first, world.a);
    let role = world.super_admin_role().await;
    assert_eq!(world.rbac.unassign(&root, first, role).await.unwrap_err().code(), "last_super_administrator");
    world.super_admin().await;
    world.rbac.unassign(&root, first, role).await.unwrap();
}
both_engines!(the_last_super_administrator_stays_one, SETS);

async fn a_subject_loses_its_roles_in_the_transaction_that_removes_it(db: TestDb) {
    let world = World::new(db).await;
    let (context, person) = (world.in_a(), world.super_admin().await);
    let role = world.role_with("reader", "user.read").await;
    world.rbac.assign(&context, person, role.id).await.unwrap();
    world.rbac.ensure(Some(world.a)).await.unwrap();

    let removed = world
        .db
        .transact(Scope::Tenant(world.a), async |tx| {
            world.rbac.remove_subject(tx, &context, world.a, person).await
        })
        .await;
    assert_eq!(removed.unwrap(), 1);
    world.rbac.ensure(Some(world.a)).await.unwrap();
    let principal = Principal::person(person).in_tenant(world.a);
    assert_eq!(world.rbac.check(&principal, "user.read").reason.code(), "platform_role");

    world.rbac.assign(&context, person, role.id).await.unwrap();
    let system = RequestContext::system("test");
    let failed = world
        .db
        .transact(Scope::Platform("delete a person"), async |tx| {
            world.rbac.remove_subject_everywhere(tx, &system, person, &[world.a]).await?;
            Err::<(), _>(RbacError::Stale)
        })
        .await;
    assert!(matches!(failed, Err(RbacError::Stale)));
    assert!(world.rbac.prepare(Some(world.a), None).is_none(), "what was rolled back makes nothing stale");
    let removed = world
        .db
        .transact(Scope::Platform("delete a person"), async |tx| {
            world.rbac.remove_subject_everywhere(tx, &system, person, &[world.a]).await
        })
        .await;
    assert_eq!(removed.unwrap(), 2);
    world.rbac.prepare(Some(world.a), None).expect("stale after the commit").await.unwrap();
    assert_eq!(world.rbac.check(&principal, "user.read").reason.code(), "no_assignment");
}
both_engines!(a_subject_loses_its_roles_in_the_transaction_that_removes_it, SETS);

async fn an_expired_assignment_makes_room_and_is_on_record(db: TestDb) {
    // A13
    let world = World::new(db).await;
    let recorder = Arc::new(Recorder::default());
    let audited = rbac(world.db.open(&[Arc::clone(&recorder) as _]).await, &world.clock);
    let (context, person) = (world.in_a(), world.person());
    let role = world.role_with("guest", "user.read").await.id;
    let soon = Some(world.clock.now() + TimeDelta::hours(1));
    let over = audited.assign_until(&context, person, role, soon).await.unwrap().value;
    world.clock.advance(TimeDelta::hours(2));
    let again = audited.assign(&context, person, role).await.unwrap().value;
    let events = recorder.0.lock();
    let id = |value: &Option<serde_json::Value>| value.as_ref().map(|value| value["id"].clone());
    assert_eq!(id(&events[0].before), None);
    assert_eq!(id(&events[1].before), Some(over.id.to_string().into()));
    assert_eq!(id(&events[1].after), Some(again.id.to_string().into()));
}
both_engines!(an_expired_assignment_makes_room_and_is_on_record, SETS);
