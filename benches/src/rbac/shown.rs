//! How soon a change of a policy counts in another process: two services on one database, each with its own connections
//! and its own snapshots, as two processes would have.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::json;
use stylobate_core::{Principal, RequestContext, Subject, SystemClock};
use stylobate_db::{Db, DbOptions};
use stylobate_rbac::{Authorizer as _, Catalogue, Rbac, default_catalogue};
use stylobate_tests::Engine;

use super::rows::{TENANT, people, permission, role};
use crate::{
    Result,
    report::{Goal, Report},
    rounds::{self, median},
    site::{ENGINES, Site},
};

/// How many rules, and by when a change of them has to show, in milliseconds.
const SIZES: [(u32, f64); 2] = [(10_000, 1_000.0), (1_000_000, 3_000.0)];
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) async fn run(report: &mut Report) -> Result {
    for engine in ENGINES {
        let name = format!("{engine:?}").to_lowercase();
        let mut table = Vec::new();
        for (rules, most) in SIZES {
            let site = Site::new(engine, 0).await?;
            site.place().sql(&fill(engine, rules)).await;
            if engine == Engine::Postgres {
                site.place().sql("VACUUM (ANALYZE)").await;
            }
            let times = measure(&site, engine).await?;
            let longest = times.iter().copied().fold(0.0, f64::max);
            table.push(vec![
                format!("{rules} rules"),
                format!("{:.0}", median(times.iter().copied())),
                format!("{longest:.0}"),
            ]);
            report.keep(json!({ "what": "shown", "engine": name, "rules": rules, "ms": times }));
            report.verdict(
                &format!("{name}, a change of {rules} rules shown"),
                longest,
                "ms",
                Goal::AtMost(most),
            );
        }
        report.table(&[&format!("{name}, shown after ms"), "median", "longest"], &table);
    }
    Ok(())
}

/// A grant and its revocation in turns, each from the return of the call to the first answer of the other service that
/// knows of it, in milliseconds.
async fn measure(site: &Site, engine: Engine) -> Result<Vec<f64>> {
    let catalogue = Arc::new(default_catalogue());
    let (writer, follower) = (open(site, engine, &catalogue).await?, open(site, engine, &catalogue).await?);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let following = tokio::spawn({
        let follower = follower.clone();
        async move {
            follower.run(async { stopped.await.unwrap_or_default() }).await;
        }
    });
    follower.ensure(Some(TENANT)).await?;
    let context = RequestContext::new(Principal { subject: Subject::System, ..asker() });
    let mut times = Vec::new();
    for turn in 0..2 * rounds::count(5) {
        let is_granted = turn % 2 == 0;
        if is_granted {
            writer.attach(&context, role(0), permission(u32::MAX)).await?;
        } else {
            writer.detach(&context, role(0), permission(u32::MAX)).await?;
        }
        let began = Instant::now();
        while follower.check(&asker(), "probe.read").is_allowed() != is_granted {
            if began.elapsed() > PATIENCE {
                return Err("a change was never seen".into());
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        times.push(began.elapsed().as_secs_f64() * 1e3);
        // So that changes do not fall in step with the looks.
        tokio::time::sleep(Duration::from_millis(137)).await;
    }
    let _ = stop.send(());
    following.await?;
    Ok(times)
}

fn asker() -> Principal {
    Principal::person(people(0)).in_tenant(TENANT)
}

async fn open(site: &Site, engine: Engine, catalogue: &Arc<Catalogue>) -> Result<Rbac> {
    let url = match engine {
        Engine::Postgres => site.place().environment().remove("DATABASE_URL").ok_or("a database address")?,
        Engine::Sqlite => {
            format!("sqlite://{}", site.place().folder().join("data/control-plane.db").display())
        }
    };
    let db = Db::builder(&url, DbOptions::default()).without_audit().without_events().connect().await?;
    Ok(Rbac::new(db, Arc::new(SystemClock), Arc::clone(catalogue)))
}

/// The rows of [`Rows`](super::rows::Rows), made by the database; and a permission that nobody has yet.
fn fill(engine: Engine, rules: u32) -> String {
    let (people, roles, permissions) = (rules / 2, rules / 10, (rules / 100).max(20));
    let id = |kind: u32, n: &str| match engine {
        Engine::Postgres => {
            format!("('01927000-0000-7000-8000-{kind:04x}' || lpad(to_hex({n}), 8, '0'))::uuid")
        }
        Engine::Sqlite => format!("unhex(printf('01927000000070008000{kind:04x}%08x', {n}))"),
    };
    let numbers = |count: u32| match engine {
        Engine::Postgres => format!("generate_series(0::bigint, {count}::bigint - 1) AS numbers (n)"),
        Engine::Sqlite => format!(
            "(WITH RECURSIVE counted (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM counted WHERE n < {count} - 1) \
             SELECT n FROM counted) AS numbers"
        ),
    };
    let (tenant, time, yes) = match engine {
        Engine::Postgres => (format!("'{TENANT}'::uuid"), "to_timestamp(1733011200)", "true"),
        Engine::Sqlite => (format!("x'{}'", TENANT.as_uuid().simple()), "'2024-12-01T00:00:00+00:00'", "1"),
    };
    let unchecked = match engine {
        Engine::Postgres => "SET session_replication_role = replica;",
        Engine::Sqlite => "PRAGMA foreign_keys = OFF;",
    };
    let probe = id(3, "4294967295");
    let (role, permission, person) = (id(2, "n"), id(3, "n"), id(1, "n"));
    let (role_of, granted_role) = (id(2, "(n / 5)"), id(2, "(n / 5)"));
    let granted = id(3, &format!("(n % {permissions})"));
    let (grant, assignment) = (id(4, "n"), id(5, "n"));
    format!(
        "{unchecked}
         INSERT INTO permissions (id, tenant_id, key, description, is_active, version, created_at, updated_at)
         SELECT {permission}, {tenant}, 'data' || n || '.read', NULL, {yes}, 1, {time}, {time} FROM {};
         INSERT INTO permissions (id, tenant_id, key, description, is_active, version, created_at, updated_at)
         VALUES ({probe}, {tenant}, 'probe.read', NULL, {yes}, 1, {time}, {time});
         INSERT INTO roles (id, tenant_id, name, name_key, description, is_active, version, created_at, updated_at)
         SELECT {role}, {tenant}, 'role' || n, 'role' || n, NULL, {yes}, 1, {time}, {time} FROM {};
         INSERT INTO role_permissions (id, tenant_id, role_id, permission_id, created_at)
         SELECT {grant}, {tenant}, {granted_role}, {granted}, {time} FROM {};
         INSERT INTO role_assignments (id, tenant_id, subject_kind, subject_id, role_id, assigned_at)
         SELECT {assignment}, {tenant}, 'person', {person}, {role_of}, {time} FROM {};
         INSERT INTO policy_epochs (scope_id, epoch, changed_at) VALUES ({tenant}, 1, {time})",
        numbers(permissions),
        numbers(roles),
        numbers(rules / 2),
        numbers(people),
    )
}
