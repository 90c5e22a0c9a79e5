use stylobate_core::{Principal, RequestContext};
use stylobate_rbac::{Authorizer, NewPermission, PermissionQuery, PermissionUpdate, RbacError};
use stylobate_testkit::{TestDb, both_engines};

use crate::world::{SETS, World};

async fn a_tenants_permission_is_made_checked_changed_and_deleted(db: TestDb) {
    let world = World::new(db).await;
    let (context, person) = (world.in_a(), world.person());
    let role = world.role_with("reporter", "report:run").await;
    let permission = world.permission("report:run").await;
    world.rbac.assign(&context, person, role.id).await.unwrap();
    world.rbac.ensure(Some(world.a)).await.unwrap();
    let principal = Principal::person(person).in_tenant(world.a);
    assert!(world.rbac.check(&principal, "report:run").is_allowed());

    let rename =
        PermissionUpdate { key: Some("report.run".into()), version: Some(1), ..PermissionUpdate::default() };
    let changed = world.rbac.update_permission(&context, permission, rename.clone()).await.unwrap().value;
    assert_eq!((changed.key.as_str(), changed.version), ("report.run", 2));
    assert!(world.rbac.check(&principal, "report.run").is_allowed());
    assert_eq!(world.rbac.check(&principal, "report:run").reason.code(), "unknown_permission");
    let stale = world.rbac.update_permission(&context, permission, rename).await;
    assert!(matches!(stale, Err(RbacError::Stale)));

    let off = PermissionUpdate { is_active: Some(false), ..PermissionUpdate::default() };
    world.rbac.update_permission(&context, permission, off).await.unwrap();
    assert_eq!(world.rbac.check(&principal, "report.run").reason.code(), "permission_inactive");

    world.rbac.delete_permission(&context, permission).await.unwrap();
    assert_eq!(world.rbac.find_permission(&context, permission).await.unwrap(), None);
    assert_eq!(world.rbac.check(&principal, "report.run").reason.code(), "unknown_permission");
    let left = world.rbac.permissions_of(&context, role.id, &PermissionQuery::default()).await.unwrap();
    assert!(left.items.is_empty());
}
both_engines!(a_tenants_permission_is_made_checked_changed_and_deleted, SETS);

async fn keys_of_the_catalogue_and_bad_keys_are_refused(db: TestDb) {
    // A11: a tenant does not make itself what code asks for.
    let world = World::new(db).await;
    for key in ["user.read", "people:write", "metrics.read", "*"] {
        let refused = world.rbac.create_permission(&world.in_a(), NewPermission::new(key)).await;
        assert!(matches!(refused, Err(RbacError::PermissionKeyTaken)), "{key}: {refused:?}");
    }
    let huge = "a".repeat(1 << 20);
    for key in ["", "Report", "a b", "a..b", "аudit.read", huge.as_str()] {
        let refused = world.rbac.create_permission(&world.in_a(), NewPermission::new(key)).await;
        assert!(matches!(refused, Err(RbacError::Invalid { field: "key", .. })), "{key:.20}");
    }
    let own = world.permission("report.run").await;
    let rename = PermissionUpdate { key: Some("people:read".into()), ..PermissionUpdate::default() };
    let refused = world.rbac.update_permission(&world.in_a(), own, rename).await;
    assert!(matches!(refused, Err(RbacError::PermissionKeyTaken)), "{refused:?}");
    // Another tenant may use the same key, and does not see this one's.
    assert_eq!(world.rbac.find_permission(&world.in_b(), own).await.unwrap(), None);
    world.rbac.create_permission(&world.in_b(), NewPermission::new("report.run")).await.unwrap();
    let foreign = world.rbac.delete_permission(&world.in_b(), own).await;
    assert!(matches!(foreign, Err(RbacError::NotFound { entity: "permission" })));
}
both_engines!(keys_of_the_catalogue_and_bad_keys_are_refused, SETS);

async fn the_catalogues_rows_are_switched_on_the_platform_and_off_in_every_tenant(db: TestDb) {
    let world = World::new(db).await;
    let (context, person) = (world.in_a(), world.person());
    let role = world.role_with("reader", "user.read").await;
    world.rbac.assign(&context, person, role.id).await.unwrap();
    world.rbac.ensure(Some(world.a)).await.unwrap();
    let principal = Principal::person(person).in_tenant(world.a);
    assert!(world.rbac.check(&principal, "user.read").is_allowed());

    let permission = world.permission("user.read").await;
    let off = PermissionUpdate { is_active: Some(false), ..PermissionUpdate::default() };
    let refused = world.rbac.update_permission(&context, permission, off.clone()).await;
    assert!(matches!(refused, Err(RbacError::PlatformOwned)), "{refused:?}");
    let platform = RequestContext::system("operator");
    world.rbac.update_permission(&platform, permission, off).await.unwrap();
    world.rbac.ensure(Some(world.a)).await.unwrap();
    assert_eq!(world.rbac.check(&principal, "user.read").reason.code(), "permission_inactive");

    let rename = PermissionUpdate { key: Some("user.see".into()), ..PermissionUpdate::default() };
    let renamed = world.rbac.update_permission(&platform, permission, rename).await;
    assert!(matches!(renamed, Err(RbacError::Declared)), "{renamed:?}");
    let deleted = world.rbac.delete_permission(&platform, permission).await;
    assert!(matches!(deleted, Err(RbacError::Declared)), "{deleted:?}");
}
both_engines!(the_catalogues_rows_are_switched_on_the_platform_and_off_in_every_tenant, SETS);

async fn a_permission_of_the_platform_that_goes_takes_its_grants_along(db: TestDb) {
    let world = World::new(db).await;
    let (context, person) = (world.in_a(), world.person());
    let platform = RequestContext::system("operator");
    let beta = world.rbac.create_permission(&platform, NewPermission::new("beta.use")).await.unwrap().value;
    let role = world.role("tester").await;
    world.rbac.attach(&context, role.id, beta.id).await.unwrap();
    world.rbac.assign(&context, person, role.id).await.unwrap();
    world.rbac.ensure(Some(world.a)).await.unwrap();
    let principal = Principal::person(person).in_tenant(world.a);
    assert!(world.rbac.check(&principal, "beta.use").is_allowed());
    world.rbac.delete_permission(&platform, beta.id).await.unwrap();
    world.rbac.ensure(Some(world.a)).await.unwrap();
    assert!(!world.rbac.check(&principal, "beta.use").is_allowed());
}
both_engines!(a_permission_of_the_platform_that_goes_takes_its_grants_along, SETS);
