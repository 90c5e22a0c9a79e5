//! How the lists are read: from an index that has what they show, newest first, and from nothing else.

use stylobate_core::PageLimit;
use stylobate_db::Engine;
use stylobate_testkit::{TestDb, both_engines};

use super::*;
use crate::MIGRATIONS;

const SCOPE: Scope = Scope::Platform("tests");
const TENANT: TenantId = TenantId::from_uuid(Uuid::from_u128(7));
const SCHEDULE: Uuid = Uuid::from_u128(8);

/// What SQLite calls it.
const PRIMARY_KEY: &str = "sqlite_autoindex_jobs_1";

/// Two thousand jobs that have completed, and ten in every other state, of the same and of other queues, kinds, tenants and
/// schedules; then what the engine learns by looking at them. SQLite is never told to look.
const FILL: [Sql; 2] = [
    Sql::Per {
        pg: "INSERT INTO jobs (id, tenant_id, lane, queue, name, version, payload, state, run_at, attempt, attempts_max, \
             timeout_ms, key_limit, is_unique, lease_token, beat, cancel_requested, errors, schedule_id, slot, created_at, finished_at) \
             SELECT lpad(to_hex(n), 32, '0')::uuid, CASE WHEN n % 2 = 0 THEN $2 END, COALESCE(CASE WHEN n % 2 = 0 THEN $2 END, $1), \
             CASE WHEN n % 400 = 3 THEN 'rare' ELSE 'default' END, CASE WHEN n % 400 = 4 THEN 'tests.rare' ELSE 'tests.often' END, \
             1, '{}', state, $4, CASE state WHEN 'available' THEN 0 ELSE 1 END, 3, 1000, 1, false, \
             CASE state WHEN 'leased' THEN $1 END, 0, false, '[]', CASE WHEN n % 400 = 5 THEN $3 END, \
             CASE WHEN n % 400 = 5 THEN $4 + n * INTERVAL '1 second' END, $4, \
             CASE WHEN state IN ('completed', 'discarded', 'cancelled') THEN $4 END \
             FROM (SELECT n, CASE WHEN n > 2050 OR n <= 2000 THEN 'completed' WHEN n <= 2010 THEN 'available' \
             WHEN n <= 2020 THEN 'leased' WHEN n <= 2030 THEN 'retryable' WHEN n <= 2040 THEN 'discarded' ELSE 'cancelled' END AS state \
             FROM generate_series(1, 4050) AS numbers (n)) AS jobs",
        lite: "INSERT INTO jobs (id, tenant_id, lane, queue, name, version, payload, state, run_at, attempt, attempts_max, \
               timeout_ms, key_limit, is_unique, lease_token, beat, cancel_requested, errors, schedule_id, slot, created_at, finished_at) \
               SELECT unhex(printf('%032x', n)), CASE WHEN n % 2 = 0 THEN $2 END, COALESCE(CASE WHEN n % 2 = 0 THEN $2 END, $1), \
               CASE WHEN n % 400 = 3 THEN 'rare' ELSE 'default' END, CASE WHEN n % 400 = 4 THEN 'tests.rare' ELSE 'tests.often' END, \
               1, '{}', state, $4, CASE state WHEN 'available' THEN 0 ELSE 1 END, 3, 1000, 1, 0, \
               CASE state WHEN 'leased' THEN $1 END, 0, 0, '[]', CASE WHEN n % 400 = 5 THEN $3 END, \
               CASE WHEN n % 400 = 5 THEN printf('%06d', n) END, $4, \
               CASE WHEN state IN ('completed', 'discarded', 'cancelled') THEN $4 END \
               FROM (WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 4050) \
               SELECT n, CASE WHEN n > 2050 OR n <= 2000 THEN 'completed' WHEN n <= 2010 THEN 'available' \
               WHEN n <= 2020 THEN 'leased' WHEN n <= 2030 THEN 'retryable' WHEN n <= 2040 THEN 'discarded' ELSE 'cancelled' END AS state \
               FROM numbers) AS jobs",
    },
    Sql::Per { pg: "ANALYZE jobs", lite: "SELECT 1" },
];

/// How the engine says that it reads the list.
async fn plan(db: &TestDb, scope: Scope, query: &JobQuery) -> String {
    let mut tx = db.begin_read(scope).await.unwrap();
    let lines: Vec<String> = match tx.engine() {
        Engine::Postgres => {
            let mut sql = tx.builder("EXPLAIN ");
            push_list(&mut sql, scope, query).unwrap();
            tx.q_build(sql).all::<(String,)>().await.unwrap().into_iter().map(|(line,)| line).collect()
        }
        Engine::Sqlite => {
            let mut sql = tx.builder("EXPLAIN QUERY PLAN ");
            push_list(&mut sql, scope, query).unwrap();
            let rows = tx.q_build(sql).all::<(i64, i64, i64, String)>().await.unwrap();
            rows.into_iter().map(|(.., line)| line).collect()
        }
    };
    tx.rollback().await.unwrap();
    lines.join("\n")
}

/// A plan reads one of `indexes`, and neither the table nor more than it shows in order to sort it.
fn assert_reads(plan: &str, indexes: &[&str], what: &str) {
    let reads = |index: &&str| {
        [
            format!("Index Scan Backward using {index} on jobs "),
            format!("SCAN jobs USING INDEX {index}"),
            format!("SEARCH jobs USING INDEX {index} ("),
        ]
        .iter()
        .any(|text| plan.lines().any(|line| line.contains(text) || line.trim_end() == text))
    };
    assert!(indexes.iter().any(reads), "{what} is not read from one of {indexes:?}:\n{plan}");
    for other in ["Seq Scan", "Sort", "Bitmap", "TEMP B-TREE"] {
        assert!(!plan.contains(other), "{what}:\n{plan}");
    }
}

async fn every_list_reads_an_index_that_has_what_it_shows(db: TestDb) {
    let owner = db.open_as_owner().await;
    let fill = async |tx: &mut Tx| {
        let [fill, look] = FILL;
        let fill = tx.q(fill).bind(Uuid::nil()).bind(TENANT.as_uuid()).bind(SCHEDULE);
        fill.bind(DateTime::<Utc>::UNIX_EPOCH).run().await?;
        tx.q(look).run().await
    };
    owner.transact(SCOPE, fill).await.unwrap();
    let by_state = [
        (State::Available, "jobs_available"),
        (State::Leased, "jobs_leased"),
        (State::Retryable, "jobs_retryable"),
        (State::Completed, PRIMARY_KEY),
        (State::Discarded, "jobs_discarded"),
        (State::Cancelled, "jobs_cancelled"),
    ];
    // A short page, as it is beside a table of millions.
    let all = || JobQuery { limit: PageLimit::new(1).unwrap(), ..JobQuery::default() };
    let state = |state| JobQuery { state: Some(state), ..all() };
    let mut queries = vec![
        (all(), vec!["jobs_pkey", PRIMARY_KEY]),
        (JobQuery { queue: Some("rare".to_owned()), ..all() }, vec!["jobs_queue_id"]),
        (JobQuery { name: Some("tests.rare".to_owned()), ..all() }, vec!["jobs_name_id"]),
        (JobQuery { schedule_id: Some(SCHEDULE.into()), ..all() }, vec!["jobs_schedule_id_id"]),
    ];
    for (one, index) in by_state {
        queries
            .push((state(one), if one == State::Completed { vec!["jobs_pkey", index] } else { vec![index] }));
        if one != State::Completed {
            queries.push((JobQuery { queue: Some("default".to_owned()), ..state(one) }, vec![index]));
            queries.push((JobQuery { name: Some("tests.often".to_owned()), ..state(one) }, vec![index]));
        }
    }
    for (query, indexes) in queries {
        let next =
            Cursor { order: ORDER.to_owned(), key: Value::String(String::new()), id: Uuid::from_u128(3_000) };
        for query in [JobQuery { cursor: Some(next.encode()), ..query.clone() }, query] {
            assert_reads(&plan(&db, SCOPE, &query).await, &indexes, &format!("{query:?}"));
            // A tenant's own, or of what is asked for those of all tenants: whichever is less.
            let mut indexes = indexes.clone();
            indexes.extend(["jobs_tenant_id_id", "jobs_tenant_id_discarded"]);
            let scope = Scope::Tenant(TENANT);
            assert_reads(&plan(&db, scope, &query).await, &indexes, &format!("{query:?} of a tenant"));
        }
    }
}
both_engines!(every_list_reads_an_index_that_has_what_it_shows, &[&MIGRATIONS]);
