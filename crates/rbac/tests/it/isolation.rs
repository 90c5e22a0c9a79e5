//! The second wall: what PostgreSQL itself refuses to a statement that forgot its tenant.

use stylobate_core::RequestContext;
use stylobate_db::{Error, Scope, Tx};
use stylobate_rbac::{Effect, NewAclEntry, NewOverride};
use stylobate_testkit::TestDb;

use crate::world::{SETS, World};

async fn count(tx: &mut Tx, sql: &'static str) -> i64 {
    tx.q(sql).scalar::<i64>().await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_that_forgets_the_tenant_sees_its_own_rows_and_the_platforms() {
    // A12: proven as the plain role that the server uses.
    let world = World::new(TestDb::postgres(SETS).await).await;
    world.super_admin().await;
    let role = world.role_with("mine", "own.a").await;
    world.rbac.assign(&world.in_a(), world.person(), role.id).await.unwrap();

    let mut tx = world.db.begin_read(Scope::Tenant(world.b)).await.unwrap();
    assert_eq!(count(&mut tx, "SELECT count(*) FROM roles WHERE name = 'mine'").await, 0);
    assert_eq!(
        count(&mut tx, "SELECT count(*) FROM roles").await,
        6,
        "five of the tenant, one of the platform"
    );
    assert_eq!(count(&mut tx, "SELECT count(*) FROM permissions WHERE tenant_id IS NOT NULL").await, 0);
    assert_eq!(count(&mut tx, "SELECT count(*) FROM role_assignments").await, 0, "the platform's neither");
    tx.rollback().await.unwrap();

    let mut tx = world.db.begin_read(Scope::Tenant(world.a)).await.unwrap();
    assert_eq!(count(&mut tx, "SELECT count(*) FROM role_assignments").await, 2, "the administrator's too");
    assert_eq!(count(&mut tx, "SELECT count(DISTINCT tenant_id) FROM role_permissions").await, 1);
    tx.rollback().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_that_forgets_the_tenant_changes_only_its_own_rows() {
    // A12
    let world = World::new(TestDb::postgres(SETS).await).await;
    world.super_admin().await;
    let mut tx = world.db.begin(Scope::Tenant(world.b)).await.unwrap();
    assert_eq!(tx.q("UPDATE roles SET is_active = false").run().await.unwrap(), 5);
    assert_eq!(tx.q("UPDATE permissions SET is_active = false").run().await.unwrap(), 0);
    assert_eq!(tx.q("DELETE FROM role_assignments").run().await.unwrap(), 0);
    assert_eq!(tx.q("DELETE FROM roles").run().await.unwrap(), 5);
    tx.rollback().await.unwrap();

    for tenant in [None, Some(world.a.as_uuid())] {
        let mut tx = world.db.begin(Scope::Tenant(world.b)).await.unwrap();
        let refused = tx
            .q("INSERT INTO role_assignments (id, tenant_id, subject_kind, subject_id, role_id, assigned_at)
                SELECT $1, $2, 'person', $1, id, created_at FROM roles WHERE tenant_id IS NULL")
            .bind(uuid::Uuid::from_u128(5))
            .bind(tenant)
            .run()
            .await;
        assert!(matches!(refused, Err(Error::Forbidden)), "{refused:?}");
        tx.rollback().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_to_another_tenants_role_is_refused_by_the_schema() {
    // C20: foreign keys look past row-level security, so the key itself carries the tenant.
    let world = World::new(TestDb::postgres(SETS).await).await;
    let role = world.role("mine").await;
    let mut tx = world.db.begin(Scope::Tenant(world.b)).await.unwrap();
    let refused = tx
        .q("INSERT INTO role_assignments (id, tenant_id, subject_kind, subject_id, role_id, assigned_at)
            SELECT $1, $2, 'person', $1, $3, created_at FROM roles LIMIT 1")
        .bind(uuid::Uuid::from_u128(5))
        .bind(world.b.as_uuid())
        .bind(role.id.as_uuid())
        .run()
        .await;
    assert!(refused.is_err_and(|error| error.is_foreign_key_violation()));
    tx.rollback().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_for_one_subject_are_walled_off_too() {
    // A12: by statements that forget the tenant.
    let world = World::new(TestDb::postgres(SETS).await).await;
    let (context, system) = (world.in_a(), RequestContext::system("test"));
    let (read, person) = (world.permission("user.read").await, world.person());
    let (role, parent) = (world.role("heir").await.id, world.role("parent").await.id);
    world.rbac.add_parent(&context, role, parent).await.unwrap();
    for context in [&context, &system] {
        world.rbac.set_override(context, NewOverride::new(person, read, Effect::Allow)).await.unwrap();
        let entry = NewAclEntry::new(("doc", "1"), person, read, Effect::Allow);
        world.rbac.set_acl_entry(context, entry).await.unwrap();
    }
    for (tenant, seen) in [(world.a, 1), (world.b, 0)] {
        let mut tx = world.db.begin_read(Scope::Tenant(tenant)).await.unwrap();
        for sql in [
            "SELECT count(*) FROM role_parents",
            "SELECT count(*) FROM permission_overrides",
            "SELECT count(*) FROM acl_entries",
        ] {
            assert_eq!(count(&mut tx, sql).await, seen, "{sql}");
        }
        tx.rollback().await.unwrap();
    }
    let mut tx = world.db.begin(Scope::Tenant(world.b)).await.unwrap();
    for sql in [
        "DELETE FROM role_parents",
        "DELETE FROM permission_overrides",
        "UPDATE permission_overrides SET effect = 'deny'",
        "DELETE FROM acl_entries",
        "UPDATE acl_entries SET effect = 'deny'",
    ] {
        assert_eq!(tx.q(sql).run().await.unwrap(), 0, "{sql}");
    }
    // C20: foreign keys look past row-level security, so the keys themselves carry the tenant.
    let refused = tx
        .q("INSERT INTO role_parents (tenant_id, role_id, parent_id, created_at)
            SELECT $1, id, $2, created_at FROM roles WHERE tenant_id = $1 LIMIT 1")
        .bind(world.b.as_uuid())
        .bind(parent.as_uuid())
        .run()
        .await;
    assert!(refused.is_err_and(|error| error.is_foreign_key_violation()));
    tx.rollback().await.unwrap();
}
