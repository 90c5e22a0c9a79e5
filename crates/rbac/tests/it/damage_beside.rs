//! Rows that somebody has damaged in the database where no rule is: times that only tell when, and what code declares.

use chrono::DateTime;
use stylobate_core::RequestContext;
use stylobate_db::{Scope, Sql};
use stylobate_rbac::{
    AssignmentQuery, Authorizer as _, Effect, NewAclEntry, NewOverride, PermissionQuery, RoleQuery,
};
use stylobate_testkit::{TestDb, both_engines};

use crate::world::{SETS, World, may};

async fn times_that_only_tell_when_keep_nothing_from_working(db: TestDb) {
    // A11: PostgreSQL's driver cannot represent an infinite time, and SQLite holds any text.
    let world = World::new(db).await;
    let (context, person) = (world.in_a(), world.person());
    let system = RequestContext::system("test");
    let (role, parent) = (world.role_with("reader", "user.read").await.id, world.role("parent").await.id);
    world.rbac.add_parent(&context, role, parent).await.unwrap();
    let update = world.permission("user.update").await;
    world.rbac.assign(&context, person, role).await.unwrap();
    let rule = NewOverride::new(person, update, Effect::Allow);
    let rule = world.rbac.set_override(&context, rule).await.unwrap().value.id;
    let entry = NewAclEntry::new(("document", "7"), person, update, Effect::Allow);
    let entry = world.rbac.set_acl_entry(&context, entry).await.unwrap().value.id;
    let root = world.super_admin().await;
    let mut tx = world.db.begin(Scope::Platform("test")).await.unwrap();
    macro_rules! damage {
        ($($table:literal . $column:literal),*) => {$(
            let damage = Sql::Per {
                pg: concat!("UPDATE ", $table, " SET ", $column, " = 'infinity'"),
                lite: concat!("UPDATE ", $table, " SET ", $column, " = 'soon'"),
            };
            assert!(tx.q(damage).run().await.unwrap() > 0, $table);
        )*};
    }
    damage!(
        "role_assignments"."assigned_at",
        "roles"."created_at",
        "roles"."updated_at",
        "permissions"."created_at",
        "permissions"."updated_at",
        "role_permissions"."created_at",
        "role_parents"."created_at",
        "permission_overrides"."created_at",
        "permission_overrides"."updated_at",
        "acl_entries"."created_at",
        "acl_entries"."updated_at"
    );
    tx.commit().await.unwrap();
    world.rbac.ensure(Some(world.a)).await.unwrap();
    assert!(may(&world, person, "user.read") && may(&world, person, "user.update"));
    let rbac = &world.rbac;
    rbac.seed(&system, Some(world.a)).await.unwrap();
    let listed = rbac.list_assignments(&context, &AssignmentQuery::default()).await.unwrap().items;
    assert!(listed.iter().all(|one| one.assigned_at == DateTime::UNIX_EPOCH));
    assert!(!rbac.list_roles(&context, &RoleQuery::default()).await.unwrap().items.is_empty());
    assert!(!rbac.list_permissions(&context, &PermissionQuery::default()).await.unwrap().items.is_empty());
    assert_eq!(rbac.parents_of(&context, role).await.unwrap().len(), 1);
    rbac.remove_parent(&context, role, parent).await.unwrap();
    rbac.attach(&context, parent, update).await.unwrap();
    rbac.detach(&context, role, world.permission("user.read").await).await.unwrap();
    rbac.remove_acl_entry(&context, entry).await.unwrap();
    rbac.remove_override(&context, rule).await.unwrap();
    rbac.unassign(&context, person, role).await.unwrap();
    rbac.assign(&system, person, world.super_admin_role().await).await.unwrap();
    rbac.unassign(&system, root, world.super_admin_role().await).await.unwrap();
    rbac.delete_role(&context, role).await.unwrap();
}
both_engines!(times_that_only_tell_when_keep_nothing_from_working, SETS);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damaged_rows_of_what_is_declared_keep_no_program_from_starting() {
    // A11: only SQLite can hold such rows.
    let world = World::new(TestDb::sqlite(SETS).await).await;
    let (system, context) = (RequestContext::system("test"), world.in_a());
    let mut tx = world.db.begin(Scope::Platform("test")).await.unwrap();
    tx.q("PRAGMA defer_foreign_keys = ON").run().await.unwrap();
    for damage in [
        "UPDATE role_permissions SET role_id = x'0102' WHERE role_id IN (SELECT id FROM roles WHERE name = 'super_admin')",
        "UPDATE roles SET id = x'0102' WHERE name = 'super_admin'",
        "UPDATE role_permissions SET permission_id = x'03' WHERE permission_id IN (SELECT id FROM permissions WHERE key = 'user.read')",
        "UPDATE permission_offers SET permission_id = x'03' WHERE permission_id IN (SELECT id FROM permissions WHERE key = 'user.read')",
        "UPDATE permissions SET id = x'03' WHERE key = 'user.read'",
        "UPDATE permissions SET key = CAST(x'646f63732e72656164ff' AS TEXT) WHERE key = 'docs.read'",
        "UPDATE roles SET description = CAST(x'ff' AS TEXT) WHERE name = 'admin'",
    ] {
        assert!(tx.q(damage).run().await.unwrap() > 0, "{damage}");
    }
    tx.commit().await.unwrap();
    for _ in 0..2 {
        world.rbac.seed(&system, Some(world.a)).await.unwrap();
    }
    let roles = world.rbac.list_roles(&context, &RoleQuery::default()).await.unwrap().items;
    assert!(roles.iter().any(|role| role.name == "admin" && role.tenant_id == Some(world.a)));
    let query = PermissionQuery { search: Some("docs.read".into()), ..PermissionQuery::default() };
    let listed = world.rbac.list_permissions(&context, &query).await.unwrap().items;
    assert!(listed.iter().any(|one| one.key == "docs.read"), "made anew");
    world.rbac.ensure(Some(world.a)).await.unwrap();
    assert!(world.rbac.check(&world.in_a().principal, "user.update").is_allowed());
}
