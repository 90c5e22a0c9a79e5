use std::{collections::HashMap, time::Duration};

use chrono::{DateTime, Utc};
use stylobate_core::JobId;
use stylobate_db::{Conn, Engine, Error, Sql, SqlBuilder, Tx};
use uuid::Uuid;

use super::{claim::Lease, counts::Tally, finish::Ended, jobs::small};
use crate::{AttemptError, Backoff, State, backoff::time_after_std};

/// `(id, token) IN (…)`.
fn push_leases(sql: &mut SqlBuilder, leases: &[Lease]) {
    sql.push("(id, lease_token) IN (VALUES ");
    for (n, lease) in leases.iter().enumerate() {
        sql.push(if n == 0 { "(" } else { ", (" });
        sql.value(lease.id.as_uuid()).push(", ").value(lease.token).push(")");
    }
    sql.push(")");
}

/// A job that its worker still has.
#[derive(Debug, Clone, Copy, sqlx::FromRow)]
pub(crate) struct Held {
    pub(crate) id: Uuid,
    /// Whether somebody has called it off.
    pub(crate) is_cancelled: bool,
    /// Whether the sign of life is written. Not so while a transaction has the row, as one that ends the job does until it
    /// commits: nobody waits for that, least of all the other jobs of the worker.
    pub(crate) is_beaten: bool,
}

/// Says that the worker of `leases` lives. Returns those that it still has.
pub(crate) async fn beat(tx: &mut Tx, leases: &[Lease]) -> Result<Vec<Held>, Error> {
    let mut held = Vec::with_capacity(leases.len());
    for some in leases.chunks(500) {
        let sql = match tx.engine() {
            Engine::Postgres => {
                let mut sql = tx.builder(
                    "WITH mine AS (SELECT id, cancel_requested FROM jobs WHERE state = 'leased' AND ",
                );
                push_leases(&mut sql, some);
                sql.push("), free AS (SELECT id FROM jobs WHERE state = 'leased' AND ");
                push_leases(&mut sql, some);
                sql.push(
                    " FOR UPDATE SKIP LOCKED), \
                     beaten AS (UPDATE jobs SET beat = beat + 1 FROM free WHERE jobs.id = free.id RETURNING jobs.id) \
                     SELECT mine.id, cancel_requested AS is_cancelled, beaten.id IS NOT NULL AS is_beaten \
                     FROM mine LEFT JOIN beaten ON beaten.id = mine.id",
                );
                sql
            }
            Engine::Sqlite => {
                let mut sql = tx.builder("UPDATE jobs SET beat = beat + 1 WHERE state = 'leased' AND ");
                push_leases(&mut sql, some);
                sql.push(" RETURNING id, cancel_requested AS is_cancelled, 1 AS is_beaten");
                sql
            }
        };
        held.extend(tx.q_build(sql).all::<Held>().await?);
    }
    Ok(held)
}

/// The leased jobs that somebody has called off.
pub(crate) async fn called_off(conn: &mut Conn) -> Result<Vec<JobId>, Error> {
    let rows: Vec<(Uuid,)> =
        conn.q("SELECT id FROM jobs WHERE state = 'leased' AND cancel_requested LIMIT 1000").all().await?;
    Ok(rows.into_iter().map(|(id,)| id.into()).collect())
}

/// A leased job as an observer sees it: as long as `beat` moves, its worker lives.
#[derive(Debug, Clone, sqlx::FromRow)]
pub(crate) struct Pulse {
    pub(crate) id: Uuid,
    pub(crate) lease_token: Uuid,
    pub(crate) beat: i64,
}

pub(crate) async fn pulses(conn: &mut Conn) -> Result<Vec<Pulse>, Error> {
    conn.q("SELECT id, lease_token, beat FROM jobs WHERE state = 'leased'").all().await
}

#[derive(sqlx::FromRow)]
struct LostRow {
    id: Uuid,
    lease_token: Uuid,
    attempt: i64,
    attempts_max: i64,
    errors: String,
    cancel_requested: bool,
    losses: i64,
    worker: Option<String>,
}

/// How often a job may be lost beside others beyond the attempts it has: by then its back-off has set it apart from all that
/// came to an end meanwhile.
const LOST_BESIDE_OTHERS: i64 = 20;

/// Takes jobs from workers whose pulses have stood still for as long as is said beside them. Leaves out those that moved after
/// all, and those that somebody is changing at this moment: a worker that froze in the middle of a transaction must not hold
/// up the jobs of others. Returns what was taken, and where it went.
pub(crate) async fn reclaim(
    tx: &mut Tx,
    silent: &[(Pulse, Duration)],
    now: DateTime<Utc>,
) -> Result<Vec<(JobId, State)>, Error> {
    let mut lost = Vec::with_capacity(silent.len());
    let leased =
        "SELECT worker, count(*) FROM jobs WHERE state = 'leased' AND worker IS NOT NULL GROUP BY worker";
    let leased: HashMap<String, i64> = tx.q(leased).all::<(String, i64)>().await?.into_iter().collect();
    for some in silent.chunks(500) {
        let mut sql = tx.builder(
            "SELECT id, lease_token, attempt - handed_back AS attempt, attempts_max, errors, cancel_requested, losses, worker \
             FROM jobs \
             WHERE state = 'leased' AND (id, lease_token, beat) IN (VALUES ",
        );
        for (n, (pulse, _)) in some.iter().enumerate() {
            sql.push(if n == 0 { "(" } else { ", (" });
            sql.value(pulse.id).push(", ").value(pulse.lease_token).push(", ").value(pulse.beat).push(")");
        }
        sql.push(")");
        if tx.engine() == Engine::Postgres {
            sql.push(" FOR UPDATE SKIP LOCKED");
        }
        let rows: Vec<LostRow> = tx.q_build(sql).all().await?;
        for row in rows {
            let is_alone =
                row.worker.as_ref().and_then(|worker| leased.get(worker)).is_none_or(|jobs| *jobs <= 1);
            let silence =
                some.iter().find(|(pulse, _)| pulse.lease_token == row.lease_token && pulse.id == row.id);
            lost.push(taken(row, silence.map_or(Duration::ZERO, |(_, silence)| *silence), is_alone, now));
        }
    }
    let held = super::finish::finish(tx, &lost, now).await?;
    lost.retain(|one| held.contains(&one.lease));
    Ok(lost.into_iter().map(|one| (one.lease.id, one.to)).collect())
}

/// What becomes of a job whose worker has been silent.
///
/// A worker that dies takes all it runs with it, and one of them may have killed it. So that this one does not take the same
/// others along again and again, jobs that are lost a second time wait for a while, each its own; and a job that was lost
/// beside others is not given up for that, unless it has been very often: whoever kills its worker is alone some day.
fn taken(row: LostRow, silence: Duration, is_alone: bool, now: DateTime<Utc>) -> Ended {
    let errors: Vec<AttemptError> = serde_json::from_str(&row.errors).unwrap_or_default();
    // Which one stands in `worker`: whose job it is need not learn about machines.
    let message = format!("its worker was not heard of for {} s", silence.as_secs_f32().ceil());
    let errors = crate::record::with_error(errors, small(row.attempt), now, &message);
    // Who may be tried once is not tried again.
    let is_excused = !is_alone && row.attempts_max > 1 && row.losses < row.attempts_max + LOST_BESIDE_OTHERS;
    let to = match () {
        () if row.cancel_requested => State::Cancelled,
        () if row.attempt >= row.attempts_max && !is_excused => State::Discarded,
        () => State::Retryable,
    };
    Ended {
        lease: Lease { id: row.id.into(), token: row.lease_token },
        to,
        // The first time at once: the wait was the lease, and its time has come by whatever clock.
        run_at: (row.losses > 0 && to == State::Retryable).then(|| {
            // A lease, about.
            let backoff = Backoff { base: silence.max(Duration::from_millis(100)), ..Backoff::DEFAULT };
            time_after_std(now, backoff.wait(small(row.losses), fastrand::u64(..)))
        }),
        result: None,
        errors: serde_json::to_string(&errors).ok(),
        // Its last attempt is made once more.
        handed_back: i64::from(to == State::Retryable && row.attempt >= row.attempts_max),
        lost: 1,
    }
}

/// Deletes up to `most` jobs in `state` that finished before `before` and hold no unique key. Returns how many.
pub(crate) async fn prune(
    tx: &mut Tx,
    state: State,
    before: DateTime<Utc>,
    now: DateTime<Utc>,
    most: i64,
) -> Result<u64, Error> {
    let gone: Vec<(String,)> = tx
        .q(Sql::Per {
            pg: "DELETE FROM jobs WHERE id IN (SELECT id FROM jobs WHERE state = $1 AND finished_at < $2
                     AND finished_at IS NOT NULL AND NOT (is_unique AND unique_until > $3)
                     ORDER BY finished_at, id LIMIT $4 FOR UPDATE SKIP LOCKED) RETURNING queue",
            lite: "DELETE FROM jobs WHERE id IN (SELECT id FROM jobs WHERE state = $1 AND finished_at < $2
                       AND finished_at IS NOT NULL AND NOT (is_unique AND unique_until > $3)
                       ORDER BY finished_at, id LIMIT $4) RETURNING queue",
        })
        .bind(state.as_str())
        .bind(before)
        .bind(now)
        .bind(most)
        .all()
        .await?;
    let mut tally = Tally::default();
    for (queue,) in &gone {
        tally.moved(queue, Some(state), None);
    }
    tally.write(tx).await?;
    Ok(u64::try_from(gone.len()).unwrap_or_default())
}

/// By queue, since when the oldest waiting job may run, if it may at `now` and does not wait for another one of its key.
#[cfg(feature = "metrics")]
pub(crate) async fn oldest(
    conn: &mut Conn,
    now: DateTime<Utc>,
) -> Result<Vec<(String, DateTime<Utc>)>, Error> {
    // From the first job of one lane to that of the next, so that the number of waiting jobs does not matter. SQLite cannot
    // join so; it reads the index.
    conn.q(Sql::Per {
        pg: "WITH RECURSIVE heads (queue, lane, run_at) AS (
                 (SELECT queue, lane, run_at FROM jobs WHERE state IN ('available', 'retryable') AND NOT is_parked
                  ORDER BY queue, lane, run_at LIMIT 1)
                 UNION ALL
                 SELECT next.queue, next.lane, next.run_at FROM heads CROSS JOIN LATERAL (
                     SELECT j.queue, j.lane, j.run_at FROM jobs AS j WHERE j.state IN ('available', 'retryable')
                     AND NOT j.is_parked AND (j.queue, j.lane) > (heads.queue, heads.lane) ORDER BY j.queue, j.lane, j.run_at LIMIT 1) AS next
             )
             SELECT queue, min(run_at) AS run_at FROM heads WHERE run_at <= $1 GROUP BY queue",
        lite: "SELECT queue, min(run_at) AS run_at FROM jobs WHERE state IN ('available', 'retryable') AND NOT is_parked
               AND run_at <= $1 GROUP BY queue",
    })
    .bind(now)
    .all()
    .await
}

/// Whether a job of `queue` could have begun at `before`. Looks at ten thousand at most: probes ask.
pub(crate) async fn has_waited(conn: &mut Conn, queue: &str, before: DateTime<Utc>) -> Result<bool, Error> {
    let found: i64 = conn
        .q("SELECT count(*) FROM (SELECT run_at FROM (SELECT run_at FROM jobs WHERE queue = $1
                AND state IN ('available', 'retryable') AND NOT is_parked LIMIT 10000) AS part
            WHERE run_at <= $2 LIMIT 1) AS waiting")
        .bind(queue.to_owned())
        .bind(before)
        .scalar()
        .await?;
    Ok(found > 0)
}
