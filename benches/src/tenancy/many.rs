//! The server on a database with one organisation and on one with ten thousand: how soon it is ready, what it holds then, and what
//! it holds once somebody has asked for something in each of them.

use std::time::{Duration, Instant};

use serde_json::json;
use stylobate_auth::NewApiKey;
use stylobate_core::{KeyOwner, PersonId, Principal, RequestContext, TenantId};
use stylobate_db::Scope;
use stylobate_tests::Engine;
use uuid::Uuid;

use crate::{
    Result,
    load::{Connection, request},
    report::{Goal, Report},
    rounds::{self, median},
    server::Process,
    site::{ENGINES, Site},
};

/// Beside the default one; as many policies as an engine keeps.
const ORGS: usize = 10_000;
/// After which the server has looked at everything that it follows.
const SETTLED: Duration = Duration::from_secs(5);
/// How many API keys are made by one transaction.
const BATCH: usize = 500;

pub(super) async fn run(report: &mut Report) -> Result {
    for engine in ENGINES {
        let name = format!("{engine:?}").to_lowercase();
        let (one, many) = (Site::new(engine, 0).await?, Site::new(engine, 0).await?);
        many.place().sql(&fill(engine)).await;
        if engine == Engine::Postgres {
            many.place().sql("VACUUM (ANALYZE)").await;
        }
        let keys = make_keys(&many).await?;
        let more_mb = starts(report, &name, &one, &many).await?;
        asked(report, &name, &many, &keys, more_mb).await?;
    }
    Ok(())
}

/// What a start took, in milliseconds, and what the server held then, in MB.
struct Start {
    ready_ms: f64,
    ready_mb: f64,
}

async fn start(site: &Site) -> Result<Start> {
    let server = site.spawn()?;
    let ready_ms = server.ready().await?.as_secs_f64() * 1e3;
    let ready_mb = megabytes(&server)?;
    server.stop().await?;
    Ok(Start { ready_ms, ready_mb })
}

fn megabytes(server: &Process) -> Result<f64> {
    Ok(server.resident()? as f64 / 1e6)
}

/// How many MB more the server holds when it is ready.
async fn starts(report: &mut Report, name: &str, one: &Site, many: &Site) -> Result<f64> {
    // The first start makes keys and whatever else is made once.
    for site in [one, many] {
        site.serve().await?.stop().await?;
    }
    let (mut few, mut lots) = (Vec::new(), Vec::new());
    for _ in 0..rounds::count(9) {
        few.push(start(one).await?);
        lots.push(start(many).await?);
    }
    let values =
        |starts: &[Start], pick: fn(&Start) -> f64| -> Vec<f64> { starts.iter().map(pick).collect() };
    let row = |what: &str, starts: &[Start]| {
        let middle = |pick| median(values(starts, pick).into_iter());
        let (ms, mb) = (middle(|start| start.ready_ms), middle(|start| start.ready_mb));
        vec![what.to_owned(), format!("{ms:.1}"), format!("{mb:.1}")]
    };
    let many_called = format!("{ORGS} organisations");
    report.table(&[name, "ready ms", "ready MB"], &[row("1 organisation", &few), row(&many_called, &lots)]);
    let grown = |pick: fn(&Start) -> f64| {
        median(few.iter().zip(&lots).map(|(before, after)| pick(after) - pick(before)))
    };
    let (ms, mb) = (grown(|start| start.ready_ms), grown(|start| start.ready_mb));
    report.keep(json!({
        "what": "start", "engine": name, "organisations": ORGS, "more_ms": ms, "more_mb": mb,
        "one_ms": values(&few, |start| start.ready_ms), "many_ms": values(&lots, |start| start.ready_ms),
        "one_mb": values(&few, |start| start.ready_mb), "many_mb": values(&lots, |start| start.ready_mb),
    }));
    report.verdict(&format!("{name}, a start with {ORGS} organisations, more"), ms, "ms", Goal::AtMost(50.0));
    report.verdict(&format!("{name}, memory when ready, more"), mb, "MB", Goal::AtMost(60.0));
    Ok(mb)
}

/// One request in each organisation, for which the server needs its policy: what that adds to what it held more when it was ready.
async fn asked(report: &mut Report, name: &str, site: &Site, keys: &[String], more_mb: f64) -> Result {
    let server = site.serve().await?;
    tokio::time::sleep(SETTLED).await;
    let before = megabytes(&server)?;
    let mut connection = Connection::open(server.address()).await?;
    let began = Instant::now();
    for key in keys {
        let roles = request("GET", "/roles?limit=1", Some(key), None);
        connection.exchange(&roles).await?.expect(200)?;
    }
    let seconds = began.elapsed().as_secs_f64();
    let after = megabytes(&server)?;
    report.note(&format!(
        "{name}: {before:.1} MB at rest, {after:.1} MB after one request in each of {} organisations, which took {seconds:.1} s",
        keys.len()
    ));
    report.keep(json!({ "what": "asked", "engine": name, "organisations": keys.len(), "before_mb": before, "after_mb": after, "seconds": seconds }));
    let in_all = more_mb + after - before;
    report.verdict(&format!("{name}, memory with {ORGS} policies, more"), in_all, "MB", Goal::AtMost(60.0));
    server.stop().await
}

/// A key of the administrator for each organisation: what acts in one without a sign-in there, which would take a hash each.
async fn make_keys(site: &Site) -> Result<Vec<String>> {
    let (db, auth) = site.auth().await?;
    let mut conn = db.read().await?;
    let person: Uuid = conn.q("SELECT id FROM people WHERE username_key = 'admin'").scalar().await?;
    let orgs: Vec<(Uuid,)> = conn.q("SELECT id FROM orgs WHERE code_folded LIKE 'bench%'").all().await?;
    drop(conn);
    let context = RequestContext::new(Principal::system());
    let mut keys = Vec::with_capacity(orgs.len());
    for some in orgs.chunks(BATCH) {
        let mut tx = db.begin(Scope::Platform("keys to measure")).await?;
        for (org,) in some {
            let new = NewApiKey {
                tenant: TenantId::from_uuid(*org),
                owner: KeyOwner::Person { id: PersonId::from_uuid(person) },
                label: "bench".to_owned(),
                scopes: Some(vec!["role.read".to_owned()]),
                allowed_networks: None,
                requests_per_hour: None,
                expires_at: None,
            };
            let issued = auth.api_keys().create(&mut tx, &context, new).await?;
            keys.push(issued.secret.expose_secret().to_owned());
        }
        tx.commit().await?;
    }
    db.close().await;
    if keys.len() != ORGS {
        return Err(format!("{} organisations instead of {ORGS}", keys.len()).into());
    }
    Ok(keys)
}

/// Organisations as they are made: each with the administrator as its own, and the roles, permissions and offers of the default one.
fn fill(engine: Engine) -> String {
    let numbers = match engine {
        Engine::Postgres => format!("generate_series(1::bigint, {ORGS}::bigint) AS numbers (n)"),
        Engine::Sqlite => format!(
            "(WITH RECURSIVE counted (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counted WHERE n < {ORGS}) \
             SELECT n FROM counted) AS numbers"
        ),
    };
    let org = match engine {
        Engine::Postgres => "('01927000-0000-7000-9000-' || lpad(to_hex(n), 12, '0'))::uuid",
        Engine::Sqlite => "unhex(printf('01927000000070009000%012x', n))",
    };
    // The rest of an id is chance, and enough of it.
    let copied = |id: &str| match engine {
        Engine::Postgres => {
            format!("(lpad(to_hex(n), 8, '0') || substr(replace({id}::text, '-', ''), 9))::uuid")
        }
        Engine::Sqlite => format!("unhex(printf('%08x', n) || substr(hex({id}), 9))"),
    };
    let (yes, no, time) = match engine {
        Engine::Postgres => ("true", "false", "to_timestamp(1767225600)"),
        Engine::Sqlite => ("1", "0", "'2026-01-01T00:00:00+00:00'"),
    };
    // Millions of look-ups of rows that are there would take longer than everything else. What counts changes of policies
    // does so by triggers, which are off in the meantime on PostgreSQL.
    let (unchecked, checked) = match engine {
        Engine::Postgres => {
            ("SET session_replication_role = replica;", "SET session_replication_role = origin;")
        }
        Engine::Sqlite => ("PRAGMA foreign_keys = OFF;", ""),
    };
    let (role, role_of, link) = (copied("r.id"), copied("r.role_id"), copied("r.id"));
    let default = "(SELECT id FROM orgs WHERE is_default)";
    let admin = "(SELECT id FROM people WHERE username_key = 'admin')";
    format!(
        "{unchecked}
         INSERT INTO orgs (id, code, code_folded, name, is_active, is_default, created_at, updated_at, version)
         SELECT {org}, 'bench' || n, 'bench' || n, 'Bench ' || n, {yes}, {no}, {time}, {time}, 1 FROM {numbers};
         INSERT INTO memberships (tenant_id, person_id, status, created_at, updated_at)
         SELECT {org}, {admin}, 'active', {time}, {time} FROM {numbers};
         INSERT INTO roles (id, tenant_id, name, name_key, description, is_active, version, created_at, updated_at)
         SELECT {role}, {org}, r.name, r.name_key, r.description, r.is_active, r.version, r.created_at, r.updated_at
         FROM roles AS r CROSS JOIN {numbers} WHERE r.tenant_id = {default};
         INSERT INTO role_permissions (id, tenant_id, role_id, permission_id, created_at, effect)
         SELECT {link}, {org}, {role_of}, r.permission_id, r.created_at, r.effect
         FROM role_permissions AS r CROSS JOIN {numbers} WHERE r.tenant_id = {default};
         INSERT INTO permission_offers (tenant_id, role_id, permission_id, offered_at)
         SELECT {org}, {role_of}, r.permission_id, r.offered_at
         FROM permission_offers AS r CROSS JOIN {numbers} WHERE r.tenant_id = {default};
         INSERT INTO role_assignments (id, tenant_id, subject_kind, subject_id, role_id, assigned_at)
         SELECT {role}, {org}, 'person', {admin}, {role}, {time}
         FROM roles AS r CROSS JOIN {numbers} WHERE r.tenant_id = {default} AND r.name_key = 'admin';
         {checked}
         INSERT INTO policy_epochs (scope_id, epoch, changed_at) SELECT {org}, 1, {time} FROM {numbers}"
    )
}
