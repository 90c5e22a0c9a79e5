//! How what relays and lists ask for is read: from indexes, however much is owed, and no more than is shown.

use chrono::{DateTime, Utc};
use stylobate_core::{Direction, PageLimit, TenantId};
use stylobate_db::{Engine, Keyset, Query, Scope, Sql, SqlBuilder, Tx};
use stylobate_testkit::{TestDb, both_engines};
use uuid::Uuid;

use super::{
    dead,
    events::{self, Part},
    owed, settle,
};
use crate::MIGRATIONS;

const SCOPE: Scope = Scope::Platform("tests");
const TENANT: TenantId = TenantId::from_uuid(Uuid::from_u128(7));

/// A hundred thousand events of a thousand subjects, half of them a tenant's, all owed to one subscriber and few to another; then what
/// the engine learns by looking at them. SQLite is never told to look.
const FILL: [Sql; 7] = [
    Sql::Per {
        pg: "INSERT INTO event_aggregates (lane, aggregate, last_sequence)
             SELECT CASE WHEN n % 2 = 0 THEN $1 ELSE $2 END, 's' || n, 20 FROM generate_series(1, 1000) AS numbers (n)",
        lite: "INSERT INTO event_aggregates (lane, aggregate, last_sequence)
               WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 1000)
               SELECT CASE WHEN n % 2 = 0 THEN $1 ELSE $2 END, 's' || n, 20 FROM numbers",
    },
    Sql::Per {
        pg: "INSERT INTO events (id, lane, aggregate_id, sequence, type, version, occurred_at, written_at, actor_kind, data)
             SELECT lpad(to_hex(a.id * 1000 + k), 32, '0')::uuid, a.lane, a.id, k,
                 CASE WHEN k = 7 AND a.id % 100 = 0 THEN 'note.read' ELSE 'note.made' END, 1, $3, $3, 'system', '{}'
             FROM event_aggregates AS a CROSS JOIN generate_series(1, 100) AS numbers (k) WHERE $2 = $2 ORDER BY k, a.id",
        lite: "INSERT INTO events (id, lane, aggregate_id, sequence, type, version, occurred_at, written_at, actor_kind, data)
               WITH RECURSIVE numbers (k) AS (SELECT 1 UNION ALL SELECT k + 1 FROM numbers WHERE k < 100)
               SELECT unhex(printf('%032x', a.id * 1000 + k)), a.lane, a.id, k,
                   CASE WHEN k = 7 AND a.id % 100 = 0 THEN 'note.read' ELSE 'note.made' END, 1, $3, $3, 'system', '{}'
               FROM event_aggregates AS a CROSS JOIN numbers WHERE $2 = $2 ORDER BY k, a.id",
    },
    Sql::Same("INSERT INTO event_subscribers (name, lease_beat, created_at) SELECT 'all', 0, $3 WHERE $1 <> $2"),
    Sql::Same(
        "INSERT INTO event_deliveries (subscriber, ordinal, aggregate_id)
         SELECT 'all', ordinal, aggregate_id FROM events WHERE sequence > 12 AND $1 <> $2 AND written_at <= $3",
    ),
    Sql::Same(
        "INSERT INTO event_held (subscriber, aggregate_id, ordinal)
         SELECT 'all', aggregate_id, ordinal FROM events WHERE sequence BETWEEN 3 AND 12 AND $1 <> $2 AND written_at <= $3",
    ),
    Sql::Same(
        "INSERT INTO event_holds (subscriber, aggregate_id, ordinal, attempts, due_at, error)
         SELECT 'all', aggregate_id, ordinal, 1, $3, '' FROM events WHERE sequence = 3 AND $1 <> $2",
    ),
    Sql::Same(
        "INSERT INTO event_dead_letters (subscriber, ordinal, tenant_id, id, attempts, error, parked_at)
         SELECT 'all', ordinal, NULLIF(lane, $2), id, 12, '', $3 FROM events WHERE sequence = 2 AND $1 <> $2",
    ),
];

async fn fill(db: &TestDb) {
    let owner = db.open_as_owner().await;
    let fill = async |tx: &mut Tx| {
        for statement in FILL {
            let query = tx.q(statement).bind(TENANT.as_uuid()).bind(Uuid::nil());
            query.bind(DateTime::<Utc>::UNIX_EPOCH).run().await?;
        }
        for table in [
            "ANALYZE events",
            "ANALYZE event_aggregates",
            "ANALYZE event_deliveries",
            "ANALYZE event_held",
            "ANALYZE event_holds",
            "ANALYZE event_dead_letters",
        ] {
            if tx.engine() == Engine::Postgres {
                tx.q(table).run().await?;
            }
        }
        Ok::<_, stylobate_db::Error>(())
    };
    owner.transact(SCOPE, fill).await.unwrap();
}

/// How the engine says that it does it.
async fn plan(
    tx: &mut Tx,
    push: impl FnOnce(&mut SqlBuilder),
    bind: impl FnOnce(Query<'_>) -> Query<'_>,
) -> String {
    let explain = match tx.engine() {
        Engine::Postgres => "EXPLAIN ",
        Engine::Sqlite => "EXPLAIN QUERY PLAN ",
    };
    let engine = tx.engine();
    let mut sql = tx.builder(explain);
    push(&mut sql);
    let query = bind(tx.q_build(sql));
    let lines: Vec<String> = match engine {
        Engine::Postgres => query.all::<(String,)>().await.unwrap().into_iter().map(|(line,)| line).collect(),
        Engine::Sqlite => {
            let rows = query.all::<(i64, i64, i64, String)>().await.unwrap();
            rows.into_iter().map(|(.., line)| line).collect()
        }
    };
    lines.join("\n")
}

/// The plan reads none of our large tables from end to end, and uses `index`.
fn assert_reads(plan: &str, index: &[&str], what: &str) {
    assert!(
        index.iter().any(|index| plan.contains(index)),
        "{what} is not read from one of {index:?}:\n{plan}"
    );
    for other in ["Seq Scan on event", "SCAN events", "SCAN event_", "SCAN e\n", "SCAN d\n", "SCAN h\n"] {
        assert!(!plan.contains(other), "{what}:\n{plan}");
    }
}

async fn what_a_relay_asks_for_is_read_from_indexes(db: TestDb) {
    fill(&db).await;
    let mut tx = db.begin(SCOPE).await.unwrap();
    let now = DateTime::<Utc>::UNIX_EPOCH;
    let all = || "all".to_owned();
    let push = |text: &'static str| {
        move |sql: &mut SqlBuilder| {
            sql.push(text);
        }
    };
    let push_sql = |text: Sql| {
        move |sql: &mut SqlBuilder| {
            sql.push_sql(text);
        }
    };
    let ready = plan(&mut tx, push(owed::READY), |query| query.bind(all()).bind(500_i64)).await;
    // SQLite scans the part that the index gave it; PostgreSQL prefers a thousand holds at once to five hundred looks.
    assert_reads(
        &ready.replace("SCAN d\n", "").replace("Seq Scan on event_holds", ""),
        &["event_deliveries_pkey", "SEARCH event_deliveries USING PRIMARY KEY"],
        "ready",
    );
    let heads = plan(&mut tx, push(owed::HEADS), |query| query.bind(all()).bind(now).bind(5_i64)).await;
    assert_reads(&heads, &["event_holds_due_at"], "heads");
    let drain = plan(&mut tx, push(owed::DRAIN), |query| query.bind(all()).bind(5_i64).bind(100_i64)).await;
    assert_reads(&drain, &["event_held_pkey", "SEARCH event_held USING PRIMARY KEY"], "drain");
    let load = plan(&mut tx, push_sql(owed::LOAD), |query| query.bind("[1,2,3]").bind(1_i64)).await;
    assert_reads(&load, &["events_pkey", "USING INTEGER PRIMARY KEY"], "load");
    let done = plan(&mut tx, push_sql(settle::DONE), |query| query.bind(all()).bind("[1,2,3]")).await;
    assert_reads(&done, &["event_deliveries_pkey", "SEARCH event_deliveries USING PRIMARY KEY"], "done");
    tx.rollback().await.unwrap();
}
both_engines!(what_a_relay_asks_for_is_read_from_indexes, &[&MIGRATIONS]);

async fn lists_are_read_from_indexes_in_their_order(db: TestDb) {
    fill(&db).await;
    let mut tx = db.begin_read(Scope::Tenant(TENANT)).await.unwrap();
    let limit = PageLimit::new(1).unwrap();
    let all = Part { lane: TENANT.as_uuid(), most: 51, ..Part::default() };
    let since =
        Part { from: Some(Uuid::from_u128(50_000)), before: Some(Uuid::from_u128(900_000)), ..all.clone() };
    let kind = Part { kind: Some("note.read".to_owned()), ..since.clone() };
    let subject = Part { subject: Some("s2".to_owned()), ..since.clone() };
    for part in [all, since, kind, subject] {
        let list = plan(&mut tx, |sql| events::push_list(sql, &part), |query| query).await;
        let edge = plan(&mut tx, |sql| events::push_edge(sql, &part), |query| query).await;
        for plan in [list, edge] {
            assert_reads(&plan, &["events_lane_id_key", "sqlite_autoindex_events_1"], &format!("{part:?}"));
            assert!(!plan.contains("Sort") && !plan.contains("TEMP B-TREE"), "{part:?}:\n{plan}");
        }
    }
    let by_time = Keyset::new("t", "d.parked_at", "d.id", true, Direction::Desc, limit, None).unwrap();
    let dead = plan(&mut tx, |sql| dead::push_list(sql, None, Some(TENANT), &by_time), |query| query).await;
    assert_reads(&dead, &["event_dead_letters_tenant_id"], "dead letters");
    assert!(!dead.contains("Sort") && !dead.contains("TEMP B-TREE"), "{dead}");
    tx.rollback().await.unwrap();
}
both_engines!(lists_are_read_from_indexes_in_their_order, &[&MIGRATIONS]);
