use chrono::TimeDelta;
use stylobate_core::{Cursor, Direction, PageLimit, Principal, RequestContext, RoleId};
use stylobate_rbac::{NewRole, RbacError, RoleOrder, RoleQuery, RoleUpdate};
use stylobate_testkit::{TestDb, both_engines};

use crate::world::{SETS, World};

async fn a_role_is_made_changed_and_deleted(db: TestDb) {
    let world = World::new(db).await;
    let context = world.in_a();
    let new = NewRole { description: Some("Nights".into()), ..NewRole::new("Night shift") };
    let made = world.rbac.create_role(&context, new).await.unwrap().value;
    assert_eq!((made.tenant_id, made.version, made.is_active), (Some(world.a), 1, true));
    assert_eq!(world.rbac.find_role(&context, made.id).await.unwrap(), Some(made.clone()));

    world.clock.advance(TimeDelta::seconds(5));
    let update = RoleUpdate {
        description: Some(None),
        is_active: Some(false),
        version: Some(1),
        ..RoleUpdate::default()
    };
    let changed = world.rbac.update_role(&context, made.id, update).await.unwrap().value;
    assert_eq!((changed.version, changed.description.clone(), changed.is_active), (2, None, false));
    assert_eq!((changed.name.as_str(), changed.created_at), ("Night shift", made.created_at));
    assert_eq!(world.rbac.find_role(&context, made.id).await.unwrap(), Some(changed.clone()));

    let same = world.rbac.update_role(&context, made.id, RoleUpdate::default()).await.unwrap().value;
    assert_eq!(same, changed, "a change of nothing changes nothing");

    world.rbac.delete_role(&context, made.id).await.unwrap();
    assert_eq!(world.rbac.find_role(&context, made.id).await.unwrap(), None);
    let again = world.rbac.delete_role(&context, made.id).await;
    assert!(matches!(again, Err(RbacError::NotFound { entity: "role" })));
}
both_engines!(a_role_is_made_changed_and_deleted, SETS);

async fn names_are_unique_in_a_tenant_whatever_the_case(db: TestDb) {
    let world = World::new(db).await;
    world.role("Editor").await;
    let new = |name: &str| NewRole::new(name);
    // Also the names of platform roles: a tenant's own `super_admin` would be taken for the platform's.
    for name in ["editor", "EDITOR", "Admin", "super_admin", "Super_Admin"] {
        let refused = world.rbac.create_role(&world.in_a(), new(name)).await.unwrap_err();
        assert_eq!(refused.code(), "role_name_taken", "{name}");
    }
    world.rbac.create_role(&world.in_b(), new("editor")).await.unwrap();
    let other = world.role("other").await;
    let rename = RoleUpdate { name: Some("eDITOR".into()), ..RoleUpdate::default() };
    let refused = world.rbac.update_role(&world.in_a(), other.id, rename).await.unwrap_err();
    assert_eq!(refused.code(), "role_name_taken");
    for name in ["", " x", "x\n", "rôle"] {
        let refused = world.rbac.create_role(&world.in_a(), new(name)).await.unwrap_err();
        assert!(matches!(refused, RbacError::Invalid { field: "name", .. }), "{name}");
    }
}
both_engines!(names_are_unique_in_a_tenant_whatever_the_case, SETS);

async fn of_two_people_who_change_one_role_the_second_is_told(db: TestDb) {
    let world = World::new(db).await;
    let role = world.role("editor").await;
    let update = |name: &str| RoleUpdate {
        name: Some(name.into()),
        version: Some(role.version),
        ..RoleUpdate::default()
    };
    let contexts = (world.in_a(), world.in_a());
    let (one, two) = tokio::join!(
        world.rbac.update_role(&contexts.0, role.id, update("one")),
        world.rbac.update_role(&contexts.1, role.id, update("two")),
    );
    let refused = if one.is_ok() { two } else { one };
    assert!(matches!(refused, Err(RbacError::Stale)), "{refused:?}");
}
both_engines!(of_two_people_who_change_one_role_the_second_is_told, SETS);

async fn another_tenants_role_is_as_if_missing(db: TestDb) {
    // A12, C20
    let world = World::new(db).await;
    let role = world.role_with("secret", "user.read").await;
    let permission = world.permission("user.read").await;
    let (foreign, nobody) = (world.in_b(), RoleId::from_uuid(uuid::Uuid::from_u128(1)));
    for id in [role.id, nobody] {
        assert_eq!(world.rbac.find_role(&foreign, id).await.unwrap(), None);
        let rename = RoleUpdate { name: Some("mine".into()), ..RoleUpdate::default() };
        let answers = [
            world.rbac.update_role(&foreign, id, rename).await.unwrap_err().to_string(),
            world.rbac.delete_role(&foreign, id).await.unwrap_err().to_string(),
            world.rbac.attach(&foreign, id, permission).await.unwrap_err().to_string(),
            world.rbac.assign(&foreign, world.person(), id).await.unwrap_err().to_string(),
            world.rbac.permissions_of(&foreign, id, &Default::default()).await.unwrap_err().to_string(),
        ];
        assert!(answers.iter().all(|answer| answer == "there is no such role"), "{answers:?}");
        let detached = world.rbac.detach(&foreign, id, permission).await.unwrap_err();
        assert!(matches!(detached, RbacError::NotFound { entity: "role_permission" }));
    }
    assert_eq!(world.rbac.find_role(&world.in_a(), role.id).await.unwrap(), Some(role));
}
both_engines!(another_tenants_role_is_as_if_missing, SETS);

async fn roles_are_listed_by_pages_with_filters(db: TestDb) {
    let world = World::new(db).await;
    for n in 0..5 {
        world.clock.advance(TimeDelta::seconds(1));
        let new = NewRole { is_active: n != 3, ..NewRole::new(format!("Team_{n}")) };
        world.rbac.create_role(&world.in_a(), new).await.unwrap();
    }
    let context = world.in_a();
    let all = RoleQuery { with_total: true, ..RoleQuery::default() };
    let found = world.rbac.list_roles(&context, &all).await.unwrap();
    let names: Vec<_> = found.items.iter().map(|role| role.name.as_str()).collect();
    let expected = [
        "admin",
        "auditor",
        "member",
        "operator",
        "super_admin",
        "support",
        "Team_0",
        "Team_1",
        "Team_2",
        "Team_3",
        "Team_4",
    ];
    assert_eq!((names, found.total), (expected.to_vec(), Some(11)));

    for (order_by, direction, last) in
        [(RoleOrder::Name, Direction::Asc, "Team_4"), (RoleOrder::CreatedAt, Direction::Desc, "Team_0")]
    {
        let mut query = RoleQuery {
            order_by,
            direction,
            search: Some("team_".into()),
            limit: PageLimit::new(2).unwrap(),
            ..RoleQuery::default()
        };
        let mut seen = Vec::new();
        loop {
            let page = world.rbac.list_roles(&context, &query).await.unwrap();
            seen.extend(page.items.into_iter().map(|role| role.name));
            let Some(next) = page.next_cursor else { break };
            query.cursor = Some(next.encode());
        }
        assert_eq!((seen.len(), seen.last().unwrap().as_str()), (5, last));
    }
    let inactive = RoleQuery { is_active: Some(false), ..RoleQuery::default() };
    assert_eq!(world.rbac.list_roles(&context, &inactive).await.unwrap().items[0].name, "Team_3");
    let nothing = RoleQuery { search: Some("%".into()), ..RoleQuery::default() };
    assert!(world.rbac.list_roles(&context, &nothing).await.unwrap().items.is_empty());
    let foreign = RoleQuery { search: Some("team".into()), ..RoleQuery::default() };
    assert!(world.rbac.list_roles(&world.in_b(), &foreign).await.unwrap().items.is_empty());
    let cursor = Cursor { order: "other.asc".into(), key: "x".into(), id: uuid::Uuid::nil() }.encode();
    let bad = RoleQuery { cursor: Some(cursor), ..RoleQuery::default() };
    assert_eq!(world.rbac.list_roles(&context, &bad).await.unwrap_err().code(), "cursor_invalid");
}
both_engines!(roles_are_listed_by_pages_with_filters, SETS);

async fn the_platforms_roles_are_changed_on_the_platform_only(db: TestDb) {
    let world = World::new(db).await;
    let role = world.super_admin_role().await;
    let describe = || RoleUpdate { description: Some(Some("All".into())), ..RoleUpdate::default() };
    let tenant = world.in_a();
    assert!(world.rbac.find_role(&tenant, role).await.unwrap().is_some());
    for refused in [
        world.rbac.update_role(&tenant, role, describe()).await.map(|_| ()),
        world.rbac.delete_role(&tenant, role).await.map(|_| ()),
        world.rbac.attach(&tenant, role, world.permission("user.read").await).await.map(|_| ()),
        world.rbac.detach(&tenant, role, world.permission("*").await).await.map(|_| ()),
    ] {
        assert!(matches!(refused, Err(RbacError::PlatformOwned)), "{refused:?}");
    }
    // No tenant, and no role on the platform either.
    let stranger = RequestContext::new(Principal::person(world.person()));
    let refused = world.rbac.create_role(&stranger, NewRole::new("root")).await;
    assert!(matches!(refused, Err(RbacError::PlatformOwned)), "{refused:?}");
    let refused =
        world.rbac.create_role(&RequestContext::new(Principal::anonymous()), NewRole::new("root")).await;
    assert!(matches!(refused, Err(RbacError::PlatformOwned)), "{refused:?}");

    let platform = RequestContext::new(Principal::person(world.super_admin().await));
    world.rbac.update_role(&platform, role, describe()).await.unwrap();
    let auditor = world.rbac.create_role(&platform, NewRole::new("platform_auditor")).await.unwrap().value;
    assert_eq!(auditor.tenant_id, None);
    // What code relies on stays.
    for refused in [
        world.rbac.delete_role(&platform, role).await.map(|_| ()),
        world
            .rbac
            .update_role(&platform, role, RoleUpdate { is_active: Some(false), ..RoleUpdate::default() })
            .await
            .map(|_| ()),
    ] {
        assert!(matches!(refused, Err(RbacError::Declared)), "{refused:?}");
    }
}
both_engines!(the_platforms_roles_are_changed_on_the_platform_only, SETS);
