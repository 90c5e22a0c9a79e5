//! The adapter on both engines, and the way of native roles through casbin's text and back.

use std::{sync::Arc, time::Duration};

use casbin::{CoreApi as _, DefaultModel, Enforcer, Filter, MgmtApi as _};
use stylobate_core::{BoxFuture, Clock as _, RequestContext, TenantId};
use stylobate_db::{Db, Error, Participant, Pending, Takes, Tx};
use stylobate_rbac::{
    Authorizer as _, CasbinAdapter, CasbinImport, CasbinInvalid, CasbinModel, CasbinRules, Effect, Engine,
    GrantRule, NewAclEntry, NewOverride, Rbac, RbacError, Resource, default_catalogue,
};
use stylobate_testkit::{TestDb, both_engines};
use tokio::sync::Notify;

use crate::world::{SETS, World};

fn adapter(world: &World, context: RequestContext) -> CasbinAdapter {
    CasbinAdapter::new(Db::clone(&world.db), Arc::clone(&world.clock) as _, context)
}

async fn enforcer(adapter: CasbinAdapter) -> Enforcer {
    let model = DefaultModel::from_str(CasbinModel::RBAC_WITH_DOMAINS).await.unwrap();
    Enforcer::new(model, adapter).await.unwrap()
}

fn row(values: &[&str]) -> Vec<String> {
    values.iter().map(|value| (*value).to_owned()).collect()
}

both_engines!(rules_are_kept_in_order_per_tenant, SETS);
async fn rules_are_kept_in_order_per_tenant(db: TestDb) {
    let world = World::new(db).await;
    let mut first = enforcer(adapter(&world, world.in_a())).await;
    let lead = row(&["lead", "t", "*", "user.*", "allow"]);
    assert!(first.add_policy(lead.clone()).await.unwrap());
    assert!(!first.add_policy(lead.clone()).await.unwrap_or(false), "it is there");
    assert!(
        first
            .add_policies(vec![
                row(&["ada", "t", "*", "role.read", "deny"]),
                row(&["bob", "t", "*", "*", "allow"])
            ])
            .await
            .unwrap()
    );
    assert!(first.add_grouping_policy(row(&["ada", "lead", "t"])).await.unwrap());

    let again = enforcer(adapter(&world, world.in_a())).await;
    assert_eq!(again.get_policy()[0], lead);
    assert!(again.enforce(("ada", "t", "*", "user.read")).unwrap());
    // A12: the other tenant and the platform have rules of their own.
    for context in [world.in_b(), RequestContext::system("test")] {
        assert!(enforcer(adapter(&world, context)).await.get_policy().is_empty());
    }

    let mut again = again;
    assert!(again.remove_filtered_policy(0, row(&["ada"])).await.unwrap());
    assert!(again.remove_policy(lead.clone()).await.unwrap());
    assert!(again.remove_grouping_policy(row(&["ada", "lead", "t"])).await.unwrap());
    let rules = adapter(&world, world.in_a()).rules().await.unwrap().unwrap().0;
    assert_eq!(rules.to_csv(), "p, bob, t, *, *, allow\n");

    again.add_policy(lead.clone()).await.unwrap();
    let mut model = enforcer(adapter(&world, world.in_a())).await;
    model.load_filtered_policy(Filter { p: vec!["lead"], g: vec![] }).await.unwrap();
    assert_eq!((model.get_policy(), model.is_filtered()), (vec![lead], true));
    again.save_policy().await.unwrap();
    assert_eq!(enforcer(adapter(&world, world.in_a())).await.get_policy().len(), 2);
    again.clear_policy().await.unwrap();
    assert!(adapter(&world, world.in_a()).rules().await.unwrap().unwrap().0.is_empty());
}

both_engines!(rows_that_are_no_rules_are_refused_or_left_out, SETS);
async fn rows_that_are_no_rules_are_refused_or_left_out(db: TestDb) {
    let world = World::new(db).await;
    let mut enforcer = enforcer(adapter(&world, world.in_a())).await;
    let huge = "a".repeat(1 << 20);
    for bad in [
        row(&["аda", "t", "*", "a", "allow"]),
        row(&["ada", "", "*"]),
        row(&[&huge]),
        row(&["a", "b", "c", "d", "e", "f", "g"]),
    ] {
        assert!(enforcer.add_policy(bad).await.is_err());
    }
    let adapter = adapter(&world, world.in_a());
    adapter.replace(&CasbinRules::parse("p, ada, t, *, user.read, allow").unwrap().0).await.unwrap();
    // As if another program had written it: the value has a line break.
    let insert = |effect: &'static str| {
        let tenant = world.a;
        let db = Db::clone(&world.db);
        let now = stylobate_core::Clock::now(&*world.clock);
        async move {
            let mut tx = db.begin(stylobate_db::Scope::Tenant(tenant)).await.unwrap();
            tx.q("INSERT INTO casbin_rules (tenant_id, created_at, ptype, v0, v1, v2, v3, v4, v5)
                  VALUES ($1, $2, 'p', $3, 't', '*', 'a', $4, '')")
                .bind(tenant.as_uuid())
                .bind(now)
                .bind("bob\nada")
                .bind(effect)
                .run()
                .await
                .unwrap();
            tx.commit().await.unwrap();
        }
    };
    insert("allow").await;
    let (rules, problems) = adapter.rules().await.unwrap().unwrap();
    assert_eq!((rules.len(), problems.len()), (1, 1));
    insert("deny").await;
    assert_eq!(adapter.rules().await.unwrap().map(|_| ()), Err(CasbinInvalid::Denial { rule: 3 }));
}

/// Holds transactions up before they commit.
#[derive(Default)]
struct Gate {
    reached: Notify,
    opened: Notify,
}

impl Participant for Gate {
    fn takes(&self) -> Takes {
        Takes { audit: true, events: false }
    }

    fn before_commit<'a>(&'a self, _: &'a mut Tx, _: &'a Pending) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async {
            self.reached.notify_one();
            self.opened.notified().await;
            Ok(())
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_saves_second_waits_for_the_first() {
    // Nobody has written anything of this organisation: there is no row yet that could be locked. SQLite has one writer.
    let world = World::new(TestDb::postgres(SETS).await).await;
    let mut system = RequestContext::system("test");
    system.principal.tenant = Some(TenantId::new(world.clock.now()));
    let rules = |name: &str| {
        CasbinRules::parse(&format!("p, {name}, t, *, own.x, allow\ng, {name}, lead, t\n")).unwrap().0
    };
    let gate = Arc::new(Gate::default());
    let db = world.db.open(&[Arc::clone(&gate) as _]).await;
    let slow = CasbinAdapter::new(db, Arc::clone(&world.clock) as _, system.clone());
    let ada = rules("ada");
    let first = tokio::spawn(async move { slow.replace(&ada).await });
    gate.reached.notified().await;
    let quick = adapter(&world, system.clone());
    let bob = rules("bob");
    let second = tokio::spawn(async move { quick.replace(&bob).await });
    // Until it waits, or is through.
    let mut reader = world.db.read().await.unwrap();
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let settled = async {
        while !second.is_finished() && reader.q(waiting).scalar::<i64>().await.unwrap() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), settled).await.expect("the second to wait");
    gate.opened.notify_one();
    first.await.unwrap().unwrap();
    second.await.unwrap().unwrap();
    let stored = adapter(&world, system).rules().await.unwrap().unwrap().0;
    assert_eq!(stored.to_csv(), rules("bob").to_csv());
}

both_engines!(native_roles_survive_the_way_through_casbin, SETS);
async fn native_roles_survive_the_way_through_casbin(db: TestDb) {
    let world = World::new(db).await;
    let (admin, rbac) = (world.in_a(), &world.rbac);
    let (read, update) = (world.permission("user.read").await, world.permission("user.update").await);
    let (lead, base) = (world.role("Night shift").await, world.role("base").await);
    rbac.attach(&admin, base.id, read).await.unwrap();
    rbac.attach_rule(&admin, lead.id, update, GrantRule { effect: Effect::Deny, condition: None })
        .await
        .unwrap();
    rbac.add_parent(&admin, lead.id, base.id).await.unwrap();
    let (ada, grace) = (world.person(), world.person());
    rbac.assign(&admin, ada, lead.id).await.unwrap();
    rbac.set_override(&admin, NewOverride::new(ada, world.permission("own.note").await, Effect::Allow))
        .await
        .unwrap();
    let entry = NewAclEntry::new(("note", "a/b"), grace, read, Effect::Allow);
    rbac.set_acl_entry(&admin, entry).await.unwrap();

    let export = rbac.export_casbin(&admin).await.unwrap();
    assert!(export.problems.is_empty(), "{:?}", export.problems);
    let csv = export.rules.to_csv();
    for line in [
        format!("p, role:Night=20shift, {}, *, user.update, deny\n", world.a),
        format!("p, person:{grace}, {}, note/a=2Fb, user.read, allow\n", world.a),
        format!("g, role:Night=20shift, role:base, {}\n", world.a),
        format!("g, person:{ada}, role:Night=20shift, {}\n", world.a),
    ] {
        assert!(csv.contains(&line), "{line} in {csv}");
    }

    // Into the other tenant, whose domain the rules name instead.
    let moved = CasbinRules::parse(&csv.replace(&world.a.to_string(), &world.b.to_string())).unwrap().0;
    let now = stylobate_core::Clock::now(&*world.clock);
    let import = CasbinImport::of(&moved, Some(world.b), now).unwrap();
    // Nobody takes over more than they could hand out: the administrator of a has nothing in b.
    let refused = rbac.import_casbin(&world.in_b(), &import).await;
    assert!(matches!(refused, Err(RbacError::BeyondOwn)), "{refused:?}");
    let mut system = RequestContext::system("import");
    system.principal.tenant = Some(world.b);
    let imported = rbac.import_casbin(&system, &import).await.unwrap();
    assert!(imported.problems.is_empty() && imported.rules > 0, "{imported:?}");
    rbac.ensure(Some(world.b)).await.unwrap();
    let may =
        |who, permission: &str| rbac.check(&world.person_in(who, world.b).principal, permission).is_allowed();
    assert!(
        may(ada, "user.read") && may(ada, "own.note") && !may(ada, "user.update") && !may(grace, "user.read")
    );
    let note = Resource::new("note", "a/b");
    assert!(rbac.check_on(&world.person_in(grace, world.b).principal, "user.read", &note).is_allowed());
    let again = rbac.import_casbin(&system, &import).await.unwrap();
    assert_eq!((again.roles, again.permissions), (0, 0));
}

both_engines!(the_service_runs_on_casbin, SETS);
async fn the_service_runs_on_casbin(db: TestDb) {
    let world = World::new(db).await;
    let catalogue = Arc::new(default_catalogue());
    let engine = Engine::new(catalogue, Arc::clone(&world.clock) as _).with_casbin();
    let rbac = Rbac::with_engine(Db::clone(&world.db), Arc::clone(&world.clock) as _, engine);
    rbac.ensure(Some(world.a)).await.unwrap();
    let admin = world.in_a();
    assert!(rbac.check(&admin.principal, "user.read").is_allowed());
    assert!(!rbac.check(&admin.principal, "metrics.read").is_allowed());
    let ada = world.person();
    let role = world.role_with("reader", "user.read").await;
    rbac.assign(&admin, ada, role.id).await.unwrap();
    let asks = world.person_in(ada, world.a);
    let decision = rbac.check(&asks.principal, "people:read");
    assert_eq!(decision.reason, stylobate_rbac::Reason::Role { role_id: role.id });
    rbac.unassign(&admin, ada, role.id).await.unwrap();
    assert!(!rbac.check(&asks.principal, "people:read").is_allowed());
}
