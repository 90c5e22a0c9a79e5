//! What millions of finished jobs change for the counts, for claims and for the list of dead letters.

use std::time::Instant;

use serde_json::json;
use stylobate_core::RequestContext;
use stylobate_db::{Db, Error, Sql, Tx};
use stylobate_jobs::{JobQuery, State};
use stylobate_tests::Engine;
use tokio::runtime::Runtime;

use super::{
    JOBS,
    ours::{Ours, SCOPE},
};
use crate::{
    Result,
    report::{Goal, Report},
    rounds::{self, median, percentile, sorted},
};

/// Finished rows: `STYLOBATE_FINISHED`, or as many as the promise says.
fn rows() -> i64 {
    std::env::var("STYLOBATE_FINISHED").ok().and_then(|text| text.parse().ok()).unwrap_or(5_000_000)
}

/// How many of them failed for good, long ago.
const DEAD_LETTERS: i64 = 3;

/// How many one statement inserts.
const CHUNK: i64 = 50_000;

/// `$1` to `$2`: jobs of eight weeks, one in a second, as they are when they have completed.
const FILL: Sql = Sql::Per {
    pg: "INSERT INTO jobs (id, lane, queue, name, version, payload, state, run_at, attempt, attempts_max, timeout_ms, \
         key_limit, is_unique, beat, cancel_requested, errors, result, worker, created_at, claimed_at, finished_at) \
         SELECT lpad(to_hex(n), 32, '0')::uuid, '00000000-0000-0000-0000-000000000000', 'default', 'bench.nothing', 1, \
         '{\"n\":1}', 'completed', to_timestamp(1767225600 + n), 1, 10, 300000, 1, false, 1, false, '[]', 'null', 'bench-0', \
         to_timestamp(1767225600 + n), to_timestamp(1767225600 + n), to_timestamp(1767225600 + n) \
         FROM generate_series($1::bigint, $2::bigint) AS numbers (n)",
    lite: "INSERT INTO jobs (id, lane, queue, name, version, payload, state, run_at, attempt, attempts_max, timeout_ms, \
           key_limit, is_unique, beat, cancel_requested, errors, result, worker, created_at, claimed_at, finished_at) \
           SELECT unhex(printf('%032x', n)), zeroblob(16), 'default', 'bench.nothing', 1, '{\"n\":1}', 'completed', t, 1, 10, \
           300000, 1, 0, 1, 0, '[]', 'null', 'bench-0', t, t, t FROM (WITH RECURSIVE counted (n) AS (SELECT $1 UNION ALL \
           SELECT n + 1 FROM counted WHERE n < $2) SELECT n, strftime('%Y-%m-%dT%H:%M:%S', 1767225600 + n, 'unixepoch') \
           || '.000000+00:00' AS t FROM counted) AS numbers",
};

/// Fills the table, then measures.
pub(super) fn measure(runtime: &Runtime, report: &mut Report, engine: Engine, ours: &Ours) -> Result {
    let rounds = rounds::count(5);
    let drain = || Ok::<_, crate::Error>(runtime.block_on(ours.drain(JOBS))?.rate);
    let before = (0..rounds).map(|_| drain()).collect::<Result<Vec<f64>>>()?;
    let rows = rows();
    let begun = Instant::now();
    runtime.block_on(fill(&runtime.block_on(ours.db.open_as_owner()), rows))?;
    report.note(&format!("{rows} finished rows were written in {:.0} s", begun.elapsed().as_secs_f64()));
    // The first one reads what the cache lost.
    drain()?;
    let after = (0..rounds).map(|_| drain()).collect::<Result<Vec<f64>>>()?;
    let (was, is) = (median(before.into_iter()), median(after.into_iter()));
    report.note(&format!("jobs per second: {was:.0} with few finished rows, {is:.0} with {rows}"));
    let name = format!("claims and ends with {rows} finished rows on {engine:?}, times slower");
    report.verdict(&name, was / is, "", Goal::AtMost(1.5));

    let mut times = Vec::new();
    for _ in 0..200 {
        let asked = Instant::now();
        let counts = runtime.block_on(ours.jobs.counts())?;
        times.push(asked.elapsed().as_secs_f64() * 1e3);
        if counts.values().sum::<u64>() < rows.unsigned_abs() {
            return Err(format!("the counts miss jobs: {counts:?}").into());
        }
    }
    verdict(report, engine, rows, "counts", times);

    let (asker, asked) =
        (RequestContext::system("bench"), JobQuery { state: Some(State::Discarded), ..JobQuery::default() });
    let mut times = Vec::new();
    for _ in 0..200 {
        let begun = Instant::now();
        let page = runtime.block_on(ours.jobs.list(&asker, &asked))?;
        times.push(begun.elapsed().as_secs_f64() * 1e3);
        if i64::try_from(page.items.len())? != DEAD_LETTERS {
            return Err(format!("{} dead letters are listed", page.items.len()).into());
        }
    }
    verdict(report, engine, rows, "the list of dead letters", times);
    Ok(())
}

/// Tells how long something took, in ms each time.
fn verdict(report: &mut Report, engine: Engine, rows: i64, what: &str, times: Vec<f64>) {
    let times = sorted(times.into_iter());
    let (p50, p99) = (percentile(&times, 0.5), percentile(&times, 0.99));
    report.keep(json!({ "what": what, "engine": format!("{engine:?}"), "p50_ms": p50, "p99_ms": p99 }));
    report.note(&format!("{what}: p50 {p50:.2} ms, p99 {p99:.2} ms"));
    let name = format!("{what} p99 with {rows} finished rows on {engine:?}");
    report.verdict(&name, p99, "ms", Goal::AtMost(10.0));
}

async fn fill(owner: &Db, rows: i64) -> std::result::Result<(), Error> {
    let mut first = 1;
    while first <= rows {
        let last = (first + CHUNK - 1).min(rows);
        let insert = async move |tx: &mut Tx| {
            tx.q(FILL).bind(first).bind(last).run().await?;
            tx.q("INSERT INTO job_count_changes (queue, state, change) VALUES ('default', 'completed', $1)")
                .bind(last - first + 1)
                .run()
                .await
        };
        owner.transact(SCOPE, insert).await?;
        first = last + 1;
    }
    let bury = async |tx: &mut Tx| {
        tx.q("UPDATE jobs SET state = 'discarded' WHERE id IN (SELECT id FROM jobs ORDER BY id LIMIT $1)")
            .bind(DEAD_LETTERS)
            .run()
            .await?;
        let counts = "INSERT INTO job_count_changes (queue, state, change) \
                      VALUES ('default', 'completed', -$1), ('default', 'discarded', $1)";
        tx.q(counts).bind(DEAD_LETTERS).run().await
    };
    owner.transact(SCOPE, bury).await?;
    // PostgreSQL looks at tables that grew by itself, within a minute.
    owner.transact(SCOPE, async |tx: &mut Tx| tx.q("ANALYZE").run().await).await?;
    Ok(())
}
