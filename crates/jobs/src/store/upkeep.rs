use chrono::{DateTime, Utc};
use stylobate_core::JobId;
use stylobate_db::{Conn, Engine, Error, Sql, SqlBuilder, Tx};
use uuid::Uuid;

use super::{claim::Lease, counts::Tally, finish::Ended, jobs::small};
use crate::{AttemptError, State, backoff::time_after_std, loss::Loss, watch::Silent};

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
    pub(crate) worker: Option<String>,
}

pub(crate) async fn pulses(conn: &mut Conn) -> Result<Vec<Pulse>, Error> {
    conn.q("SELECT id, lease_token, beat, worker FROM jobs WHERE state = 'leased'").all().await
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
}

/// Takes jobs from workers whose pulses have stood still. Leaves out those that moved after all, and those that somebody is
/// changing at this moment: a worker that froze in the middle of a transaction must not hold up the jobs of others. Returns
/// what was taken, and where it went.
pub(crate) async fn reclaim(
    tx: &mut Tx,
    silent: &[Silent],
    now: DateTime<Utc>,
) -> Result<Vec<(JobId, State)>, Error> {
    let mut lost = Vec::with_capacity(silent.len());
    for some in silent.chunks(500) {
        let mut sql = tx.builder(
            "SELECT id, lease_token, attempt - handed_back AS attempt, attempts_max, errors, cancel_requested, losses FROM jobs \
             WHERE state = 'leased' AND (id, lease_token, beat) IN (VALUES ",
        );
        for (n, Silent { pulse, .. }) in some.iter().enumerate() {
            sql.push(if n == 0 { "(" } else { ", (" });
            sql.value(pulse.id).push(", ").value(pulse.lease_token).push(", ").value(pulse.beat).push(")");
        }
        sql.push(")");
        if tx.engine() == Engine::Postgres {
            sql.push(" FOR UPDATE SKIP LOCKED");
        }
        for row in tx.q_build(sql).all::<LostRow>().await? {
            let one = some.iter().find(|one| one.pulse.id == row.id);
            lost.extend(one.map(|one| taken(row, one, now)));
        }
    }
    let held = super::finish::finish(tx, &lost, now).await?;
    lost.retain(|one| held.contains(&one.lease));
    Ok(lost.into_iter().map(|one| (one.lease.id, one.to)).collect())
}

/// What becomes of a job whose worker has been silent.
fn taken(row: LostRow, seen: &Silent, now: DateTime<Utc>) -> Ended {
    let loss = Loss {
        attempt: row.attempt,
        attempts_max: row.attempts_max,
        losses: row.losses,
        is_cancelled: row.cancel_requested,
        is_alone: seen.is_alone,
        silence: seen.silence,
    };
    let after = loss.outcome(fastrand::u64(..));
    let mut errors: Vec<AttemptError> = serde_json::from_str(&row.errors).unwrap_or_default();
    // What happens again and again leaves room for other failures.
    errors.pop_if(|last| last.message.starts_with(NOT_HEARD_OF));
    // Which worker it was stands in `worker`: whose job it is need not learn about machines.
    let message = format!("{NOT_HEARD_OF} {} s", seen.silence.as_secs_f32().ceil());
    let errors = crate::record::with_error(errors, small(row.attempt), now, &message);
    Ended {
        run_at: after.wait.map(|wait| time_after_std(now, wait)),
        errors: serde_json::to_string(&errors).ok(),
        handed_back: after.is_handed_back,
        lost: true,
        ..Ended::new(Lease { id: row.id.into(), token: row.lease_token }, after.to)
    }
}

/// How the failure begins of which only a worker's silence is known.
const NOT_HEARD_OF: &str = "its worker was not heard of for";

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
                     ORDER BY finished_at, id LIMIT 0 + $4 FOR UPDATE SKIP LOCKED) RETURNING queue",
            lite: "DELETE FROM jobs WHERE id IN (SELECT id FROM jobs WHERE state = $1 AND finished_at < $2
                       AND finished_at IS NOT NULL AND NOT (is_unique AND unique_until > $3)
                       ORDER BY finished_at, id LIMIT 0 + $4) RETURNING queue",
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

/// Deletes up to `most` jobs of a tenant, whatever has become of them, but those in the queues `kept`; who works on one finds its
/// lease gone. Returns how many.
pub(crate) async fn remove_of(tx: &mut Tx, tenant: Uuid, kept: &[&str], most: i64) -> Result<u64, Error> {
    let mut sql = tx.builder("DELETE FROM jobs WHERE id IN (SELECT id FROM jobs WHERE tenant_id = ");
    sql.value(tenant);
    for queue in kept {
        sql.push(" AND queue <> ").value((*queue).to_owned());
    }
    sql.push(" ORDER BY id").limit(most).push(") RETURNING queue, state");
    let gone: Vec<(String, String)> = tx.q_build(sql).all().await?;
    let mut tally = Tally::default();
    for (queue, state) in &gone {
        tally.moved(queue, state.parse().ok(), None);
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
