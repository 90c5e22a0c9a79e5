use stylobate_core::Principal;
use stylobate_rbac::{Authorizer, PermissionQuery, RbacError, RolePermissionQuery};
use stylobate_testkit::{TestDb, both_engines};

use crate::world::{SETS, World};

async fn attaching_and_detaching_count_when_the_call_returns(db: TestDb) {
    // A11: read your writes in one process.
    let world = World::new(db).await;
    let (context, person) = (world.in_a(), world.person());
    let (role, permission) = (world.role("reader").await, world.permission("user.read").await);
    world.rbac.assign(&context, person, role.id).await.unwrap();
    world.rbac.ensure(Some(world.a)).await.unwrap();
    let principal = Principal::person(person).in_tenant(world.a);
    assert_eq!(world.rbac.check(&principal, "user.read").reason.code(), "role_lacks_permission");

    let link = world.rbac.attach(&context, role.id, permission).await.unwrap().value;
    assert!(world.rbac.prepare(Some(world.a), None).is_none(), "nothing is left to wait for");
    assert!(world.rbac.check(&principal, "user.read").is_allowed());
    let again = world.rbac.attach(&context, role.id, permission).await.unwrap_err();
    assert_eq!(again.code(), "already_attached");
    let listed = world.rbac.permissions_of(&context, role.id, &PermissionQuery::default()).await.unwrap();
    assert_eq!(listed.items[0].permission.key, "user.read");
    assert_eq!(listed.items[0].link, link);

    world.rbac.detach(&context, role.id, permission).await.unwrap();
    assert!(!world.rbac.check(&principal, "user.read").is_allowed());
    let missing = world.rbac.detach(&context, role.id, permission).await.unwrap_err();
    assert_eq!(missing.code(), "not_found");
    assert_eq!(world.rbac.find_role_permission(&context, link.id).await.unwrap(), None);
}
both_engines!(attaching_and_detaching_count_when_the_call_returns, SETS);

async fn links_are_found_listed_and_deleted_by_id(db: TestDb) {
    let world = World::new(db).await;
    let context = world.in_a();
    let role = world.role_with("reader", "user.read").await;
    let query =
        RolePermissionQuery { role_id: Some(role.id), with_total: true, ..RolePermissionQuery::default() };
    let page = world.rbac.list_role_permissions(&context, &query).await.unwrap();
    let link = page.items[0].clone();
    assert_eq!((page.total, link.permission_id), (Some(1), world.permission("user.read").await));
    assert_eq!(world.rbac.find_role_permission(&context, link.id).await.unwrap(), Some(link.clone()));
    // C20: another tenant neither sees nor deletes it.
    assert!(world.rbac.list_role_permissions(&world.in_b(), &query).await.unwrap().items.is_empty());
    assert_eq!(world.rbac.find_role_permission(&world.in_b(), link.id).await.unwrap(), None);
    assert_eq!(
        world.rbac.delete_role_permission(&world.in_b(), link.id).await.unwrap_err().code(),
        "not_found"
    );
    world.rbac.delete_role_permission(&context, link.id).await.unwrap();
    assert_eq!(world.rbac.find_role_permission(&context, link.id).await.unwrap(), None);
}
both_engines!(links_are_found_listed_and_deleted_by_id, SETS);

async fn what_belongs_to_the_platform_or_another_tenant_is_not_attached(db: TestDb) {
    // A11, C20
    let world = World::new(db).await;
    let role = world.role("greedy").await;
    for key in ["platform.metrics.read", "*"] {
        let refused = world.rbac.attach(&world.in_a(), role.id, world.permission(key).await).await;
        assert!(matches!(refused, Err(RbacError::PlatformOwned)), "{key}: {refused:?}");
    }
    let new = stylobate_rbac::NewPermission::new("secret.use");
    let foreign = world.rbac.create_permission(&world.in_b(), new).await.unwrap().value;
    let refused = world.rbac.attach(&world.in_a(), role.id, foreign.id).await;
    assert!(matches!(refused, Err(RbacError::NotFound { entity: "permission" })), "{refused:?}");
}
both_engines!(what_belongs_to_the_platform_or_another_tenant_is_not_attached, SETS);
