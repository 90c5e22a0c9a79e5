use chrono::{DateTime, Utc};
use serde::Serialize;
use stylobate_core::JobId;
use stylobate_db::{Engine, Error, Tx};
use uuid::Uuid;

use super::{
    claim::Lease,
    counts::Tally,
    places::{self, Freed},
};
use crate::{State, service::WORK};

/// How an attempt ended.
#[derive(Debug, Clone)]
pub(crate) struct Ended {
    pub(crate) lease: Lease,
    /// Where the job goes: anywhere but back to leased or available.
    pub(crate) to: State,
    /// When the next attempt may begin, if there is one.
    pub(crate) run_at: Option<DateTime<Utc>>,
    pub(crate) result: Option<String>,
    /// The failures so far, if the attempt added one.
    pub(crate) errors: Option<String>,
    /// Whether the attempt counts for nothing.
    pub(crate) handed_back: bool,
    /// Whether it ended because nothing was heard of the worker.
    pub(crate) lost: bool,
}

impl Ended {
    /// An attempt that says no more than where the job goes.
    pub(crate) fn new(lease: Lease, to: State) -> Self {
        Self { lease, to, run_at: None, result: None, errors: None, handed_back: false, lost: false }
    }
}

/// A job whose end is written.
#[derive(sqlx::FromRow)]
struct Written {
    id: Uuid,
    state: String,
    queue: String,
    lane: Uuid,
    key: Option<String>,
}

/// How many are written by one statement.
const AT_ONCE: usize = 500;

/// Writes how attempts ended, each only if it still has its lease. A job that was called off does not wait for another
/// attempt: it is cancelled. Returns the leases that were still held.
pub(crate) async fn finish(tx: &mut Tx, ended: &[Ended], now: DateTime<Utc>) -> Result<Vec<Lease>, Error> {
    let mut held = Vec::with_capacity(ended.len());
    let (mut tally, mut freed, mut is_work) = (Tally::default(), Vec::new(), false);
    // In the order of ids, to be found by them below.
    let mut sorted: Vec<&Ended> = ended.iter().collect();
    sorted.sort_by_key(|one| one.lease.id);
    for some in sorted.chunks(AT_ONCE) {
        let written = match tx.engine() {
            Engine::Postgres => write_by_document(tx, some, now).await?,
            Engine::Sqlite => write_by_values(tx, some, now).await?,
        };
        for Written { id, state, queue, lane, key } in written {
            if let Ok(at) = some.binary_search_by_key(&JobId::from_uuid(id), |one| one.lease.id)
                && let Some(one) = some.get(at)
            {
                tally.moved(&queue, Some(State::Leased), Some(state.parse().unwrap_or(one.to)));
                held.push(one.lease);
                // What is handed back may be begun at once.
                is_work |= one.run_at.is_some_and(|at| at <= now);
                freed.extend(key.map(|key| Freed { queue, lane, key }));
            }
        }
    }
    if is_work {
        tx.hint(WORK);
    }
    places::release(tx, freed).await?;
    tally.write(tx).await?;
    Ok(held)
}

/// `$1` what ended, `$2` now. Few texts, so that the server reads and plans each once for each connection; they say how many ended
/// at most, because the planner takes any document for a hundred rows, and to find those it would read a table of thousands from end
/// to end.
/// Only a leased job has a token (`jobs_lease_check`); the state is not named, because the planner would take it for the better
/// way to find the rows, and compare all that are leased with all that ended. Losses are counted in a row. A unique key is held beyond the end only as long as its rule says.
macro_rules! by_document {
    ($most:literal) => {
        concat!(
            "UPDATE jobs SET run_at = COALESCE(ended.run_at, jobs.run_at), result = ended.result,
         errors = COALESCE(ended.errors, jobs.errors), handed_back = jobs.handed_back + ended.handed_back, losses = (jobs.losses + 1) * ended.lost,
         lease_token = NULL, key_slot = NULL, cancel_requested = false,
         state = CASE WHEN cancel_requested AND NOT ended.is_finished THEN 'cancelled' ELSE ended.state END,
         finished_at = CASE WHEN cancel_requested OR ended.is_finished THEN $2 END,
         is_unique = is_unique AND ((NOT ended.is_finished AND NOT cancel_requested) OR COALESCE(unique_until > $2, false))
     FROM (SELECT * FROM json_to_recordset(CAST($1 AS json)) AS line (id uuid, token uuid, state text, run_at timestamptz,
         result text, errors text, handed_back bigint, lost bigint, is_finished boolean) LIMIT ",
            $most,
            ") AS ended
     WHERE jobs.id = ended.id AND jobs.lease_token = ended.token
     RETURNING jobs.id, jobs.state, jobs.queue, jobs.lane, jobs.key"
        )
    };
}

const fn by_document(ended: usize) -> &'static str {
    match ended {
        0..=1 => by_document!(1),
        2..=10 => by_document!(10),
        // `AT_ONCE`.
        _ => by_document!(500),
    }
}

#[derive(Serialize)]
struct Line {
    id: Uuid,
    token: Uuid,
    state: &'static str,
    run_at: Option<DateTime<Utc>>,
    result: Option<String>,
    errors: Option<String>,
    handed_back: i64,
    lost: i64,
    is_finished: bool,
}

async fn write_by_document(tx: &mut Tx, ended: &[&Ended], now: DateTime<Utc>) -> Result<Vec<Written>, Error> {
    let line = |one: &&Ended| Line {
        id: one.lease.id.as_uuid(),
        token: one.lease.token,
        state: one.to.as_str(),
        run_at: one.run_at,
        result: one.result.clone(),
        errors: one.errors.clone(),
        handed_back: one.handed_back.into(),
        lost: one.lost.into(),
        is_finished: one.to.is_finished(),
    };
    let lines: Vec<Line> = ended.iter().map(line).collect();
    let document = serde_json::to_string(&lines).unwrap_or_default();
    tx.q(by_document(ended.len())).bind(document).bind(now).all().await
}

/// SQLite keeps ids as bytes, which no document has.
async fn write_by_values(tx: &mut Tx, ended: &[&Ended], now: DateTime<Utc>) -> Result<Vec<Written>, Error> {
    let mut sql = tx.builder(
        "WITH ended (id, token, state, run_at, result, errors, handed_back, lost, finished_at) AS (VALUES ",
    );
    for (n, one) in ended.iter().enumerate() {
        sql.push(if n == 0 { "(" } else { ", (" });
        sql.value(one.lease.id.as_uuid()).push(", ").value(one.lease.token).push(", ");
        sql.value(one.to.as_str()).push(", ").value(one.run_at).push(", ");
        sql.value(one.result.clone()).push(", ").value(one.errors.clone()).push(", ");
        sql.value(i64::from(one.handed_back)).push(", ").value(i64::from(one.lost)).push(", ");
        sql.value(one.to.is_finished().then_some(now)).push(")");
    }
    sql.push(
        ") UPDATE jobs SET run_at = COALESCE(ended.run_at, jobs.run_at), \
         result = ended.result, errors = COALESCE(ended.errors, jobs.errors), \
         handed_back = jobs.handed_back + ended.handed_back, losses = (jobs.losses + 1) * ended.lost, lease_token = NULL, key_slot = NULL, \
         state = CASE WHEN cancel_requested AND ended.finished_at IS NULL THEN 'cancelled' ELSE ended.state END, \
         finished_at = CASE WHEN cancel_requested AND ended.finished_at IS NULL THEN ",
    );
    sql.value(now).push(" ELSE ended.finished_at END, cancel_requested = ").value(false);
    // A unique key is held beyond the end only as long as its rule says.
    sql.push(", is_unique = is_unique AND ((ended.finished_at IS NULL AND NOT cancel_requested) OR COALESCE(unique_until > ")
        .value(now);
    sql.push(", ").value(false).push("))");
    sql.push(
        " FROM ended WHERE jobs.id = ended.id AND jobs.state = 'leased' AND jobs.lease_token = ended.token \
         RETURNING jobs.id, jobs.state, jobs.queue, jobs.lane, jobs.key",
    );
    tx.q_build(sql).all().await
}
