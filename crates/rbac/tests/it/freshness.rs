use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use stylobate_core::{AuditEvent, BoxFuture, Clock as _, Principal, RequestContext, TenantId};
use stylobate_db::{Error, Participant, Pending, Scope, Sql, Takes, Tx};
use stylobate_rbac::{
    Authorizer, Effect, NewAclEntry, NewOverride, NewPermission, NewRole, RbacError, RoleUpdate,
};
use stylobate_testkit::{TestDb, both_engines};
use tokio::sync::Notify;

use crate::world::{SETS, World, lift_end_checks, rbac};

/// Ten times what is promised: a test machine may be slow, but never this slow.
const PATIENCE: Duration = Duration::from_secs(10);

async fn until(what: &str, mut is_true: impl FnMut() -> bool) {
    let wait = async {
        while !is_true() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("waited in vain: {what}"));
}

async fn a_revocation_in_one_process_is_seen_by_the_other(db: TestDb) {
    // A11: grant and revoke are seen by all processes.
    let world = World::new(db).await;
    let other = rbac(world.db.open(&[]).await, &world.clock);
    let stop = Arc::new(Notify::new());
    let running = tokio::spawn({
        let (other, stop) = (other.clone(), Arc::clone(&stop));
        async move { other.run(stop.notified()).await }
    });
    let (context, person) = (world.in_a(), world.person());
    let role = world.role_with("reader", "user.read").await;
    other.ensure(Some(world.a)).await.unwrap();
    let principal = Principal::person(person).in_tenant(world.a);
    assert!(!other.check(&principal, "user.read").is_allowed());

    world.rbac.assign(&context, person, role.id).await.unwrap();
    until("the assignment", || other.check(&principal, "user.read").is_allowed()).await;
    world.rbac.unassign(&context, person, role.id).await.unwrap();
    until("the revocation", || !other.check(&principal, "user.read").is_allowed()).await;

    let root = world.super_admin().await;
    let principal = Principal::person(root).in_tenant(world.a);
    until("the platform role", || other.check(&principal, "user.delete").is_allowed()).await;
    until("a look", || other.staleness() < Duration::from_secs(1)).await;
    stop.notify_one();
    tokio::time::timeout(PATIENCE, running).await.expect("the task ends when told").unwrap();
}
both_engines!(a_revocation_in_one_process_is_seen_by_the_other, SETS);

async fn a_revocation_counts_at_once_for_who_demands_its_epoch(db: TestDb) {
    // A11: nothing runs in the background here; the demand alone brings the other process up to date.
    let world = World::new(db).await;
    let other = rbac(world.db.open(&[]).await, &world.clock);
    let (context, person) = (world.in_a(), world.person());
    let role = world.role_with("reader", "user.read").await;
    world.rbac.assign(&context, person, role.id).await.unwrap();
    other.ensure(Some(world.a)).await.unwrap();
    let principal = Principal::person(person).in_tenant(world.a);
    let revoked = world.rbac.unassign(&context, person, role.id).await.unwrap();
    assert!(other.prepare(Some(world.a), None).is_none(), "without a demand it has not heard yet");
    assert!(other.check(&principal, "user.read").is_allowed());
    other.prepare(Some(world.a), Some(revoked.epoch)).expect("something to wait for").await.unwrap();
    assert!(!other.check(&principal, "user.read").is_allowed());
    assert!(other.prepare(Some(world.a), Some(revoked.epoch)).is_none());

    // What was never handed out is no policy's epoch, and asking for it leaves nothing stale behind.
    for bogus in [revoked.epoch + 1, i64::MAX] {
        other.prepare(Some(world.a), Some(bogus)).expect("a look").await.unwrap_err();
        assert!(other.prepare(Some(world.a), None).is_none());
    }
    for old in [0, -1, i64::MIN] {
        assert!(other.prepare(Some(world.a), Some(old)).is_none());
    }
    // A process that has loaded nothing yet.
    let third = rbac(world.db.open(&[]).await, &world.clock);
    third.prepare(Some(world.a), Some(revoked.epoch)).unwrap().await.unwrap();
    assert!(!third.check(&principal, "user.read").is_allowed());
}
both_engines!(a_revocation_counts_at_once_for_who_demands_its_epoch, SETS);

async fn a_platform_role_taken_inside_a_tenant_counts_for_who_demands_the_epoch(db: TestDb) {
    let world = World::new(db).await;
    let (root, victim) = (world.super_admin().await, world.super_admin().await);
    let other = rbac(world.db.open(&[]).await, &world.clock);
    other.ensure(Some(world.a)).await.unwrap();
    let principal = Principal::person(victim).in_tenant(world.a);
    assert!(other.check(&principal, "user.delete").is_allowed());
    let role = world.super_admin_role().await;
    let taken = world.rbac.unassign(&world.person_in(root, world.a), victim, role).await.unwrap();
    assert!(other.check(&principal, "user.delete").is_allowed());
    other.prepare(Some(world.a), Some(taken.epoch)).expect("something to wait for").await.unwrap();
    assert!(!other.check(&principal, "user.delete").is_allowed());
    assert!(other.prepare(Some(world.a), Some(taken.epoch)).is_none());

    // Without a tenant it is the platform's own epoch.
    let outside = RequestContext::new(Principal::person(root));
    let given = world.rbac.assign(&outside, victim, role).await.unwrap();
    other.prepare(None, Some(given.epoch)).expect("something to wait for").await.unwrap();
    assert!(other.check(&Principal::person(victim), "user.delete").is_allowed());
}
both_engines!(a_platform_role_taken_inside_a_tenant_counts_for_who_demands_the_epoch, SETS);

async fn a_look_loads_what_changed_and_nothing_else(db: TestDb) {
    let world = World::new(db).await;
    let other = rbac(world.db.open(&[]).await, &world.clock);
    other.follow().await.unwrap();
    assert!(other.engine().tenants().is_empty(), "what nobody asks about is not loaded");
    other.ensure(Some(world.a)).await.unwrap();
    let before = other.engine().epoch(Some(world.a)).unwrap();
    world.role("new").await;
    world.rbac.create_role(&world.in_b(), NewRole::new("elsewhere")).await.unwrap();
    other.follow().await.unwrap();
    assert_eq!(other.engine().epoch(Some(world.a)), Some(before + 1));
    assert_eq!(other.engine().tenants(), [world.a]);
}
both_engines!(a_look_loads_what_changed_and_nothing_else, SETS);

async fn own_changes_count_at_once_however_many_happen(db: TestDb) {
    // A11: a load that began before a change must not be taken for one that contains it.
    let world = World::new(db).await;
    let role = world.role_with("reader", "user.read").await;
    // Not loaded yet: the first loads and the first changes run into each other.
    let rbac = rbac(stylobate_db::Db::clone(&world.db), &world.clock);
    let mut tasks = Vec::new();
    for _ in 0..16 {
        let (rbac, context, person) = (rbac.clone(), world.in_a(), world.person());
        tasks.push(tokio::spawn(async move {
            let principal = Principal::person(person).in_tenant(context.principal.tenant.unwrap());
            let may = async || {
                if let Some(loading) = rbac.prepare(principal.tenant, None) {
                    loading.await.unwrap();
                }
                rbac.check(&principal, "user.read").is_allowed()
            };
            for _ in 0..4 {
                rbac.assign(&context, person, role.id).await.unwrap();
                assert!(may().await);
                rbac.unassign(&context, person, role.id).await.unwrap();
                assert!(!may().await);
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
}
both_engines!(own_changes_count_at_once_however_many_happen, SETS);

async fn many_requests_load_one_tenant_once(db: TestDb) {
    let world = World::new(db).await;
    let mut tasks = Vec::new();
    for _ in 0..50 {
        let (rbac, tenant) = (world.rbac.clone(), world.a);
        tasks.push(tokio::spawn(async move {
            match rbac.prepare(Some(tenant), None) {
                Some(loading) => loading.await,
                None => Ok(()),
            }
        }));
    }
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    assert!(world.rbac.prepare(Some(world.a), None).is_none());
    assert_eq!(world.rbac.loads(), 2, "the organisation's policy and the platform's");
}
both_engines!(many_requests_load_one_tenant_once, SETS);

async fn without_the_database_the_last_snapshot_serves_and_changes_are_refused(db: TestDb) {
    // A11
    let world = World::new(db).await;
    let (context, person) = (world.in_a(), world.person());
    let role = world.role_with("reader", "user.read").await;
    world.rbac.assign(&context, person, role.id).await.unwrap();
    world.rbac.ensure(Some(world.a)).await.unwrap();
    let permission = world.permission("user.read").await;
    world.db.close().await;

    let principal = Principal::person(person).in_tenant(world.a);
    assert!(world.rbac.follow().await.is_err());
    assert!(world.rbac.check(&principal, "user.read").is_allowed());
    world.rbac.ensure(Some(world.a)).await.unwrap();
    assert!(matches!(world.rbac.unassign(&context, person, role.id).await, Err(RbacError::Db(_))));
    let new = NewOverride::new(person, permission, Effect::Allow);
    assert!(matches!(world.rbac.set_override(&context, new).await, Err(RbacError::Db(_))));
    // What is known already serves a demand, what is not is refused within the time for one.
    let epoch = world.rbac.engine().epoch(Some(world.a)).unwrap();
    assert!(world.rbac.prepare(Some(world.a), Some(epoch)).is_none());
    let demand = world.rbac.prepare(Some(world.a), Some(epoch + 1)).unwrap();
    tokio::time::timeout(PATIENCE, demand).await.expect("an answer in time").unwrap_err();
    // Somebody else's tenant cannot be decided about, and is refused.
    world.rbac.ensure(Some(world.b)).await.unwrap_err();
    let elsewhere = Principal::person(person).in_tenant(world.b);
    assert_eq!(world.rbac.check(&elsewhere, "user.read").reason.code(), "tenant_unknown");
}
both_engines!(without_the_database_the_last_snapshot_serves_and_changes_are_refused, SETS);

async fn a_load_that_fails_is_not_repeated_by_every_request(db: TestDb) {
    // A11
    let world = World::new(db).await;
    let (context, person) = (world.in_a(), world.person());
    let role = world.role_with("reader", "user.read").await;
    world.rbac.assign(&context, person, role.id).await.unwrap();
    let other = rbac(world.db.open(&[]).await, &world.clock);
    other.follow().await.unwrap();
    other.ensure(Some(world.a)).await.unwrap();
    world.rbac.unassign(&context, person, role.id).await.unwrap();
    let owner = world.db.open_as_owner().await;
    let rename = async |statement: &'static str| {
        let mut tx = owner.begin(Scope::Platform("test")).await.unwrap();
        tx.q(statement).run().await.unwrap();
        tx.commit().await.unwrap();
    };
    // The epochs can be read, the policy cannot.
    rename("ALTER TABLE role_parents RENAME TO role_parents_away").await;
    let before = other.loads();
    for _ in 0..20 {
        other.follow().await.unwrap_err();
        other.ensure(Some(world.a)).await.unwrap();
    }
    let principal = Principal::person(person).in_tenant(world.a);
    assert!(other.check(&principal, "user.read").is_allowed(), "the last policy serves");
    // One for the look; another only if the machine is so slow that a second has passed meanwhile.
    assert!(other.loads() - before < 10, "{} loads", other.loads() - before);
    // Nothing serves for an organisation that was never loaded, and that is not asked for each time either.
    let before = other.loads();
    for _ in 0..20 {
        other.ensure(Some(world.b)).await.unwrap_err();
    }
    assert!(other.loads() - before < 10, "{} loads", other.loads() - before);
    rename("ALTER TABLE role_parents_away RENAME TO role_parents").await;
    // At most a second later.
    let followed = async {
        while other.follow().await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, followed).await.expect("a look that works again");
    assert!(!other.check(&principal, "user.read").is_allowed());
}
both_engines!(a_load_that_fails_is_not_repeated_by_every_request, SETS);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_database_hangs_the_last_snapshot_serves() {
    // A11. SQLite's readers wait for nobody.
    let world = World::new(TestDb::postgres(SETS).await).await;
    let (context, person) = (world.in_a(), world.person());
    let role = world.role_with("reader", "user.read").await;
    world.rbac.assign(&context, person, role.id).await.unwrap();
    let other = rbac(world.db.open(&[]).await, &world.clock);
    other.follow().await.unwrap();
    other.ensure(Some(world.a)).await.unwrap();
    // Many that change at once, more than a look could wait for one after the other.
    let tenants: Vec<TenantId> = (0..40).map(|_| TenantId::new(world.clock.now())).collect();
    let mut change = world.db.begin(Scope::Platform("test")).await.unwrap();
    for tenant in &tenants {
        other.ensure(Some(*tenant)).await.unwrap();
        let first = "INSERT INTO policy_epochs (scope_id, epoch, changed_at) VALUES ($1, 1, $2)";
        change.q(first).bind(tenant.as_uuid()).bind(world.clock.now()).run().await.unwrap();
    }
    change.commit().await.unwrap();
    world.rbac.unassign(&context, person, role.id).await.unwrap();
    let owner = world.db.open_as_owner().await;
    let mut tx = owner.begin(Scope::Platform("test")).await.unwrap();
    tx.q("LOCK TABLE role_parents IN ACCESS EXCLUSIVE MODE").run().await.unwrap();
    let principal = Principal::person(person).in_tenant(world.a);
    let asks = async {
        other.follow().await.unwrap_err();
        let is_marked = |tenant: &TenantId| other.prepare(Some(*tenant), None).is_some();
        assert!(tenants.iter().all(is_marked), "requests ask for the new ones");
        // Each would wait two seconds, or as long as the database lets it.
        for _ in 0..100 {
            if let Some(loading) = other.prepare(principal.tenant, None) {
                loading.await.unwrap();
            }
            assert!(other.check(&principal, "user.read").is_allowed());
        }
        // An epoch that is reached answers a demand, whatever is newer.
        let reached = other.engine().epoch(Some(world.a)).unwrap();
        other.prepare(principal.tenant, Some(reached)).expect("a look at what is newer").await.unwrap();
        other.prepare(principal.tenant, Some(reached + 1)).expect("a demand").await.unwrap_err();
    };
    tokio::time::timeout(PATIENCE, asks).await.expect("answers while the database hangs");
    tx.rollback().await.unwrap();
    let catches_up = async {
        while other.follow().await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, catches_up).await.expect("a look that works again");
    assert!(!other.check(&principal, "user.read").is_allowed());
}

async fn a_change_is_found_whatever_the_clock_of_its_writer_says(db: TestDb) {
    // A11: another process, two hours behind, and of a version that knows nothing of how changes are counted.
    let world = World::new(db).await;
    let (context, person) = (world.in_a(), world.person());
    let role = world.role_with("reader", "user.read").await;
    world.rbac.assign(&context, person, role.id).await.unwrap();
    let other = rbac(world.db.open(&[]).await, &world.clock);
    other.follow().await.unwrap();
    other.ensure(Some(world.a)).await.unwrap();
    other.follow().await.unwrap();
    let behind = world.clock.now() - chrono::TimeDelta::hours(2);
    let mut tx = world.db.begin(Scope::Tenant(world.a)).await.unwrap();
    let revoke = "DELETE FROM role_assignments WHERE role_id = $1";
    assert_eq!(tx.q(revoke).bind(role.id.as_uuid()).run().await.unwrap(), 1);
    let bump = "UPDATE policy_epochs SET epoch = epoch + 1, changed_at = $1 WHERE scope_id = $2";
    assert_eq!(tx.q(bump).bind(behind).bind(world.a.as_uuid()).run().await.unwrap(), 1);
    tx.commit().await.unwrap();
    other.follow().await.unwrap();
    let principal = Principal::person(person).in_tenant(world.a);
    assert!(!other.check(&principal, "user.read").is_allowed());
    // What changed is told once.
    let before = other.loads();
    other.follow().await.unwrap();
    assert_eq!(other.loads(), before);
}
both_engines!(a_change_is_found_whatever_the_clock_of_its_writer_says, SETS);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_commits_late_is_found() {
    // A11: begun before others that have been seen long since. SQLite has one writer at a time.
    let world = World::new(TestDb::postgres(SETS).await).await;
    let other = rbac(world.db.open(&[]).await, &world.clock);
    other.follow().await.unwrap();
    for tenant in [world.a, world.b] {
        other.ensure(Some(tenant)).await.unwrap();
    }
    let before = other.engine().epoch(Some(world.a)).unwrap();
    let mut late = world.db.begin(Scope::Tenant(world.a)).await.unwrap();
    let bump = "UPDATE policy_epochs SET epoch = epoch + 1 WHERE scope_id = $1";
    assert_eq!(late.q(bump).bind(world.a.as_uuid()).run().await.unwrap(), 1);
    for _ in 0..3 {
        let mut tx = world.db.begin(Scope::Tenant(world.b)).await.unwrap();
        tx.q(bump).bind(world.b.as_uuid()).run().await.unwrap();
        tx.commit().await.unwrap();
        other.follow().await.unwrap();
    }
    assert_eq!(other.engine().epoch(Some(world.a)), Some(before));
    late.commit().await.unwrap();
    other.follow().await.unwrap();
    assert_eq!(other.engine().epoch(Some(world.a)), Some(before + 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_epoch_of_nobody_keeps_no_other_from_being_followed() {
    // A11: only SQLite holds an id that is none.
    let world = World::new(TestDb::sqlite(SETS).await).await;
    let other = rbac(world.db.open(&[]).await, &world.clock);
    let mut tx = world.db.begin(Scope::Platform("test")).await.unwrap();
    tx.q("INSERT INTO policy_epochs (scope_id, epoch, changed_at) SELECT x'ffff', 1, changed_at FROM policy_epochs LIMIT 1")
        .run()
        .await
        .unwrap();
    tx.commit().await.unwrap();
    other.follow().await.unwrap();
    other.ensure(Some(world.a)).await.unwrap();
    let before = other.engine().epoch(Some(world.a)).unwrap();
    // All of them change, the one of nobody too.
    let mut tx = world.db.begin(Scope::Platform("test")).await.unwrap();
    tx.q("UPDATE policy_epochs SET epoch = epoch + 1").run().await.unwrap();
    tx.commit().await.unwrap();
    other.follow().await.unwrap();
    assert_eq!(other.engine().epoch(Some(world.a)), Some(before + 1));
    world.rbac.invalidate(&RequestContext::system("test"), None).await.unwrap();
    other.follow().await.unwrap();
    assert_eq!(other.engine().epoch(Some(world.a)), Some(before + 2));
}

async fn a_tenant_without_policy_is_not_invalidated_into_being(db: TestDb) {
    let world = World::new(db).await;
    let system = RequestContext::system("test");
    let nobody = TenantId::new(world.clock.now());
    let written = world.rbac.invalidate(&system, Some(nobody)).await.unwrap();
    assert_eq!((written.value, written.epoch), (0, 0));
    let mut reader = world.db.read().await.unwrap();
    let rows = "SELECT count(*) FROM policy_epochs WHERE scope_id = $1";
    assert_eq!(reader.q(rows).bind(nobody.as_uuid()).scalar::<i64>().await.unwrap(), 0);
    drop(reader);
    assert_eq!(world.rbac.invalidate(&system, Some(world.a)).await.unwrap().value, 1);
}
both_engines!(a_tenant_without_policy_is_not_invalidated_into_being, SETS);

async fn a_change_hints_at_itself(db: TestDb) {
    let world = World::new(db).await;
    // Across processes on PostgreSQL only.
    let elsewhere = match world.db.engine() {
        stylobate_db::Engine::Postgres => world.db.open(&[]).await,
        stylobate_db::Engine::Sqlite => stylobate_db::Db::clone(&world.db),
    };
    let mut hints = elsewhere.hints("policy");
    if elsewhere.engine() == stylobate_db::Engine::Postgres {
        tokio::time::timeout(PATIENCE, hints.next()).await.expect("word that it listens");
    }
    world.role("new").await;
    tokio::time::timeout(PATIENCE, hints.next()).await.expect("a hint");
}
both_engines!(a_change_hints_at_itself, SETS);

async fn a_damaged_row_denies_and_the_rest_works(db: TestDb) {
    // A11: a policy row that was changed behind the program's back.
    let world = World::new(db).await;
    let (context, person) = (world.in_a(), world.person());
    let role = world.role_with("reader", "own.a").await;
    world.rbac.attach(&context, role.id, world.permission("user.read").await).await.unwrap();
    world.rbac.assign(&context, person, role.id).await.unwrap();
    let mut tx = world.db.begin(Scope::Tenant(world.a)).await.unwrap();
    let damage = "UPDATE permissions SET key = 'own.a'' OR 1=1' WHERE key = 'own.a'";
    assert_eq!(tx.q(damage).run().await.unwrap(), 1);
    tx.commit().await.unwrap();
    world.rbac.ensure(Some(world.a)).await.unwrap();
    let principal = Principal::person(person).in_tenant(world.a);
    assert!(world.rbac.check(&principal, "user.read").is_allowed());
    for name in ["own.a", "own.a' OR 1=1"] {
        assert_eq!(world.rbac.check(&principal, name).reason.code(), "unknown_permission");
    }
}
both_engines!(a_damaged_row_denies_and_the_rest_works, SETS);

async fn a_damaged_row_keeps_no_revocation_from_counting(db: TestDb) {
    // A11: about somebody else, and of the kind that its engine can hold.
    let world = World::new(db).await;
    let (context, person, other) = (world.in_a(), world.person(), world.person());
    let role = world.role_with("reader", "user.read").await;
    world.rbac.assign(&context, person, role.id).await.unwrap();
    let rule = NewOverride::new(other, world.permission("user.read").await, Effect::Allow);
    world.rbac.set_override(&context, rule).await.unwrap();
    world.rbac.ensure(Some(world.a)).await.unwrap();
    let principal = Principal::person(person).in_tenant(world.a);
    assert!(world.rbac.check(&principal, "user.read").is_allowed());
    lift_end_checks(&world.db).await;
    for damage in [
        Sql::Per {
            pg: "UPDATE permission_overrides SET expires_at = 'infinity'",
            lite: "UPDATE permission_overrides SET subject_id = x'616263'",
        },
        Sql::Per {
            pg: "UPDATE permission_overrides SET expires_at = '-infinity'",
            lite: "UPDATE permission_overrides SET condition = CAST(x'ff' AS TEXT)",
        },
    ] {
        let mut tx = world.db.begin(Scope::Tenant(world.a)).await.unwrap();
        assert_eq!(tx.q(damage).run().await.unwrap(), 1);
        tx.commit().await.unwrap();
        let revoked = world.rbac.unassign(&context, person, role.id).await.unwrap();
        assert!(!world.rbac.check(&principal, "user.read").is_allowed(), "when the answer arrives");
        assert_eq!(world.rbac.engine().epoch(Some(world.a)), Some(revoked.epoch));
        // As after a restart.
        let restarted = rbac(world.db.open(&[]).await, &world.clock);
        restarted.ensure(Some(world.a)).await.unwrap();
        assert!(!restarted.check(&principal, "user.read").is_allowed());
        assert!(!restarted.problems(Some(world.a)).is_empty());
        world.rbac.assign(&context, person, role.id).await.unwrap();
        assert!(world.rbac.check(&principal, "user.read").is_allowed());
    }
}
both_engines!(a_damaged_row_keeps_no_revocation_from_counting, SETS);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_row_of_the_platform_leaves_the_tenants_their_policies() {
    // A11: every tenant reads the platform's permissions. Only SQLite can hold such rows.
    let world = World::new(TestDb::sqlite(SETS).await).await;
    let (context, person, root) = (world.in_a(), world.person(), world.super_admin().await);
    let role = world.role_with("reader", "user.read").await;
    world.rbac.assign(&context, person, role.id).await.unwrap();
    let mut tx = world.db.begin(Scope::Platform("test")).await.unwrap();
    for damage in [
        "INSERT INTO permissions (id, tenant_id, key, is_active, version, created_at, updated_at)
         SELECT x'616263', NULL, 'own.a', 1, 1, created_at, updated_at FROM permissions LIMIT 1",
        "INSERT INTO permissions (id, tenant_id, key, is_active, version, created_at, updated_at)
         SELECT x'00112233445566778899aabbccddeeff', NULL, CAST(x'ff' AS TEXT), 1, 1, created_at, updated_at
         FROM permissions LIMIT 1",
    ] {
        assert_eq!(tx.q(damage).run().await.unwrap(), 1);
    }
    tx.commit().await.unwrap();
    let restarted = rbac(world.db.open(&[]).await, &world.clock);
    restarted.ensure(Some(world.a)).await.unwrap();
    for (person, key) in [(person, "user.read"), (root, "user.delete")] {
        assert!(restarted.check(&Principal::person(person).in_tenant(world.a), key).is_allowed(), "{key}");
    }
    assert_eq!(restarted.problems(None).len(), 2);
    assert_eq!(restarted.problems(Some(world.a)).len(), 2);
}

/// Keeps the audit events it takes.
#[derive(Default)]
pub(crate) struct Recorder(pub(crate) Mutex<Vec<AuditEvent>>);

impl Participant for Recorder {
    fn takes(&self) -> Takes {
        Takes { audit: true, events: false }
    }

    fn before_commit<'a>(&'a self, _: &'a mut Tx, pending: &'a Pending) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            self.0.lock().extend(pending.audit.iter().cloned());
            Ok(())
        })
    }
}

async fn every_change_is_audited_with_what_was_before_and_after(db: TestDb) {
    // A13
    let world = World::new(db).await;
    let recorder = Arc::new(Recorder::default());
    let audited = rbac(world.db.open(&[Arc::clone(&recorder) as _]).await, &world.clock);
    let (context, person) = (world.in_a(), world.person());
    let role = audited.create_role(&context, NewRole::new("editor")).await.unwrap().value;
    let permission = audited.create_permission(&context, NewPermission::new("own.a")).await.unwrap().value;
    audited.attach(&context, role.id, permission.id).await.unwrap();
    audited.assign(&context, person, role.id).await.unwrap();
    let rename = RoleUpdate { name: Some("writer".into()), ..RoleUpdate::default() };
    audited.update_role(&context, role.id, rename).await.unwrap();
    let parent = audited.create_role(&context, NewRole::new("parent")).await.unwrap().value;
    audited.add_parent(&context, role.id, parent.id).await.unwrap();
    audited.remove_parent(&context, role.id, parent.id).await.unwrap();
    let rule = NewOverride::new(person, permission.id, Effect::Deny);
    let rule = audited.set_override(&context, rule).await.unwrap().value;
    audited.remove_override(&context, rule.id).await.unwrap();
    let entry = NewAclEntry::new(("doc", "1"), person, permission.id, Effect::Deny);
    let entry = audited.set_acl_entry(&context, entry).await.unwrap().value;
    audited.remove_acl_entry(&context, entry.id).await.unwrap();
    audited.unassign(&context, person, role.id).await.unwrap();
    audited.detach(&context, role.id, permission.id).await.unwrap();
    audited.delete_permission(&context, permission.id).await.unwrap();
    audited.delete_role(&context, role.id).await.unwrap();
    audited.delete_role(&context, role.id).await.unwrap_err();
    let root = world.super_admin_role().await;
    audited.assign(&RequestContext::system("createsuperuser"), person, root).await.unwrap();

    let events = recorder.0.lock();
    let told: Vec<_> = events.iter().map(|event| event.action).collect();
    assert_eq!(
        told,
        [
            "role.create",
            "perm.create",
            "role.perm.assign",
            "role.assign",
            "role.update",
            "role.create",
            "role.parent.add",
            "role.parent.remove",
            "override.set",
            "override.remove",
            "acl.set",
            "acl.remove",
            "role.revoke",
            "role.perm.revoke",
            "perm.delete",
            "role.delete",
            "role.assign",
        ]
    );
    let update = &events[4];
    assert_eq!(update.before.as_ref().unwrap()["name"], "editor");
    assert_eq!(update.after.as_ref().unwrap()["name"], "writer");
    assert_eq!((update.tenant, update.target.id.clone()), (Some(world.a), Some(role.id.to_string())));
    assert_eq!((events[16].tenant, events[16].actor.id.as_deref()), (None, Some("createsuperuser")));
}
both_engines!(every_change_is_audited_with_what_was_before_and_after, SETS);

/// Handlers of a multi-threaded server await these.
#[test]
fn the_futures_can_move_between_threads() {
    fn is_send(_: impl Send) {}
    #[expect(dead_code, reason = "compiling it is the test")]
    fn all(rbac: &stylobate_rbac::Rbac, context: &RequestContext, role: stylobate_core::RoleId) {
        is_send(rbac.create_role(context, NewRole::new("x")));
        is_send(rbac.update_role(context, role, RoleUpdate::default()));
        is_send(rbac.delete_role(context, role));
        is_send(rbac.create_permission(context, NewPermission::new("x")));
        is_send(rbac.seed(context, None));
        is_send(rbac.unassign(context, stylobate_core::PersonId::from_uuid(uuid::Uuid::nil()), role));
        is_send(rbac.assign(context, stylobate_core::PersonId::from_uuid(uuid::Uuid::nil()), role));
        is_send(rbac.prepare(None, Some(1)));
        is_send(rbac.add_parent(context, role, role));
        is_send(rbac.overrides(context, &stylobate_rbac::OverrideQuery::default()));
        is_send(rbac.sweep_expired(context, chrono::TimeDelta::days(30)));
        is_send(rbac.run(std::future::pending()));
        is_send(rbac.list_roles(context, &stylobate_rbac::RoleQuery::default()));
        let group = stylobate_core::GroupId::from_uuid(uuid::Uuid::nil());
        is_send(rbac.create_group(context, stylobate_rbac::NewGroup::new("x")));
        is_send(rbac.delete_group(context, group));
        is_send(rbac.add_to_group(context, group, stylobate_core::PersonId::from_uuid(uuid::Uuid::nil())));
    }
}
