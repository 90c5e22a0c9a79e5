//! The policy of a tenant that is no more goes whole, in steps.

use std::num::NonZeroU32;

use stylobate_core::{Principal, RequestContext, TenantId};
use stylobate_db::{Scope, Tx};
use stylobate_rbac::{Authorizer as _, Effect, NewAclEntry, NewGroup, NewOverride};
use stylobate_testkit::{TestDb, both_engines};

use crate::world::{SETS, World, rbac};

/// How many rows the tenant has, table by table.
async fn rows_of(world: &World, tenant: TenantId) -> Vec<i64> {
    let mut tx = world.db.begin_read(Scope::Platform("test")).await.unwrap();
    let mut counts = Vec::new();
    for sql in [
        "SELECT count(*) FROM role_assignments WHERE tenant_id = $1",
        "SELECT count(*) FROM permission_overrides WHERE tenant_id = $1",
        "SELECT count(*) FROM acl_entries WHERE tenant_id = $1",
        "SELECT count(*) FROM group_members WHERE tenant_id = $1",
        "SELECT count(*) FROM groups WHERE tenant_id = $1",
        "SELECT count(*) FROM permission_offers WHERE tenant_id = $1",
        "SELECT count(*) FROM role_permissions WHERE tenant_id = $1",
        "SELECT count(*) FROM role_parents WHERE tenant_id = $1",
        "SELECT count(*) FROM roles WHERE tenant_id = $1",
        "SELECT count(*) FROM permissions WHERE tenant_id = $1",
        "SELECT count(*) FROM casbin_rules WHERE tenant_id = $1",
        "SELECT count(*) FROM policy_epochs WHERE scope_id = $1",
    ] {
        counts.push(tx.q(sql).bind(tenant.as_uuid()).scalar::<i64>().await.unwrap());
    }
    tx.rollback().await.unwrap();
    counts
}

async fn remove(world: &World, limit: u32) -> u64 {
    let limit = NonZeroU32::new(limit).unwrap();
    let some = async |tx: &mut Tx| world.rbac.remove_tenant_rows(tx, world.a, limit).await;
    world.db.transact(Scope::Platform("test"), some).await.unwrap()
}

both_engines!(a_tenants_policy_goes_whole_and_in_steps, SETS);
async fn a_tenants_policy_goes_whole_and_in_steps(db: TestDb) {
    let world = World::new(db).await;
    let (context, person) = (world.in_a(), world.person());
    let (role, parent) = (world.role_with("reader", "own.read").await.id, world.role("parent").await.id);
    world.rbac.add_parent(&context, role, parent).await.unwrap();
    let team = world.rbac.create_group(&context, NewGroup::new("team")).await.unwrap().value.id;
    world.rbac.assign(&context, team, role).await.unwrap();
    world.rbac.add_to_group(&context, team, person).await.unwrap();
    let read = world.permission("user.read").await;
    world.rbac.set_override(&context, NewOverride::new(person, read, Effect::Allow)).await.unwrap();
    let entry = NewAclEntry::new(("doc", "1"), person, read, Effect::Allow);
    world.rbac.set_acl_entry(&context, entry).await.unwrap();
    let mut tx = world.db.begin(Scope::Tenant(world.a)).await.unwrap();
    tx.q("INSERT INTO casbin_rules (tenant_id, created_at, ptype, v0, v1, v2, v3, v4, v5)
          SELECT tenant_id, created_at, 'p', 'a', '', '', '', '', '' FROM groups")
        .run()
        .await
        .unwrap();
    tx.commit().await.unwrap();

    let other = rbac(world.db.open(&[]).await, &world.clock);
    for rbac in [&world.rbac, &other] {
        rbac.ensure(Some(world.a)).await.unwrap();
    }
    let principal = Principal::person(person).in_tenant(world.a);
    let may = |rbac: &stylobate_rbac::Rbac| {
        [rbac.check(&principal, "own.read").is_allowed(), rbac.check(&principal, "user.read").is_allowed()]
    };
    assert_eq!((may(&world.rbac), may(&other)), ([true; 2], [true; 2]));
    let (before, theirs) = (rows_of(&world, world.a).await, rows_of(&world, world.b).await);
    assert!(before.iter().all(|count| *count > 0), "every table is tried: {before:?}");

    let (mut removed, mut calls) = (0, 0);
    loop {
        let some = remove(&world, 40).await;
        assert!(some <= 40);
        assert_eq!(world.rbac.engine().epoch(Some(world.a)), None, "out of memory with the commit");
        removed += some;
        calls += 1;
        if some == 0 {
            break;
        }
    }
    assert_eq!(removed, before.iter().sum::<i64>().unsigned_abs());
    assert!(calls > 3, "in steps: {calls}");
    assert_eq!(rows_of(&world, world.a).await, [0; 12]);
    assert_eq!(rows_of(&world, world.b).await, theirs);
    assert_eq!(remove(&world, 1).await, 0);
    world.rbac.ensure(Some(world.a)).await.unwrap();
    assert_eq!(may(&world.rbac), [false; 2]);
    // Another process finds out although there is no epoch any more that could have changed.
    other.follow().await.unwrap();
    assert_eq!((may(&other), other.engine().epoch(Some(world.a))), ([false; 2], Some(0)));

    // A change after that is not missed, although the greatest number of a change has gone.
    world.rbac.ensure(Some(world.b)).await.unwrap();
    other.ensure(Some(world.b)).await.unwrap();
    other.follow().await.unwrap();
    let made = world.rbac.create_group(&world.in_b(), NewGroup::new("team")).await.unwrap();
    other.follow().await.unwrap();
    assert_eq!(other.engine().epoch(Some(world.b)), Some(made.epoch));
    // Nor is a tenant that comes again.
    world.rbac.seed(&RequestContext::system("test"), Some(world.a)).await.unwrap();
    other.follow().await.unwrap();
    assert_eq!(other.engine().epoch(Some(world.a)), Some(1));
}
