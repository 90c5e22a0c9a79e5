use chrono::{DateTime, Utc};
use stylobate_core::{JobId, TenantId};
use stylobate_db::{Error, Sql, Tx};
use uuid::Uuid;

use super::{counts::Tally, jobs::small};
use crate::{AttemptError, State};

/// A job that a worker has, and under which lease.
#[derive(Debug, Clone)]
pub(crate) struct Claimed {
    pub(crate) lease: Lease,
    pub(crate) tenant: Option<TenantId>,
    pub(crate) queue: String,
    pub(crate) name: String,
    pub(crate) version: i64,
    pub(crate) payload: String,
    pub(crate) attempt: u32,
    pub(crate) attempts_max: u32,
    pub(crate) timeout_ms: u64,
    pub(crate) errors: Vec<AttemptError>,
    pub(crate) checkpoint: Option<String>,
    pub(crate) traceparent: Option<String>,
    pub(crate) run_at: DateTime<Utc>,
    lane: Uuid,
}

/// What a worker must show to change anything about a leased job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Lease {
    pub(crate) id: JobId,
    pub(crate) token: Uuid,
}

/// Which jobs a worker asks for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ask<'a> {
    pub(crate) queue: &'a str,
    pub(crate) worker: &'a str,
    /// How many at most.
    pub(crate) most: i64,
    /// The lane to begin with.
    pub(crate) from: Uuid,
}

/// What an ask comes to.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) jobs: Vec<Claimed>,
    /// The lane to begin with next time.
    pub(crate) next: Uuid,
    /// Whether lanes before the first one asked may have jobs.
    pub(crate) wrapped: bool,
}

#[derive(sqlx::FromRow)]
struct ClaimRow {
    id: Uuid,
    tenant_id: Option<Uuid>,
    lane: Uuid,
    queue: String,
    name: String,
    version: i64,
    payload: String,
    attempt: i64,
    attempts_max: i64,
    timeout_ms: i64,
    errors: String,
    checkpoint: Option<String>,
    traceparent: Option<String>,
    run_at: DateTime<Utc>,
}

/// `$1` queue, `$2` first lane, `$3` now, `$4` how many, `$5` token, `$6` worker.
///
/// The lanes are found by jumping from one to the next in the index, so that the number of waiting jobs does not matter; each
/// gets its share of the batch. A job with a key takes the lowest free place of that key; if two workers choose the same,
/// the index refuses one of them.
const CLAIM: Sql = Sql::Per {
    pg: "WITH RECURSIVE lanes (lane, turn) AS (
             SELECT (SELECT lane FROM jobs WHERE queue = $1 AND state IN ('available', 'retryable') AND lane >= $2
                     AND NOT EXISTS (SELECT 1 FROM paused_queues WHERE name = $1)
                     ORDER BY lane LIMIT 1), CAST(1 AS bigint)
             UNION ALL
             SELECT (SELECT w.lane FROM jobs AS w WHERE w.queue = $1 AND w.state IN ('available', 'retryable')
                     AND w.lane > lanes.lane ORDER BY w.lane LIMIT 1), turn + 1
             FROM lanes WHERE lanes.lane IS NOT NULL AND turn < $4
         ), picked AS (
             SELECT w.id, w.key, w.key_limit, w.run_at FROM lanes CROSS JOIN LATERAL (
                 SELECT id, key, key_limit, run_at FROM jobs AS j
                 WHERE queue = $1 AND state IN ('available', 'retryable') AND j.lane = lanes.lane AND run_at <= $3
                 AND (key IS NULL OR (
                     SELECT min(place) FROM (SELECT CAST(0 AS bigint) AS place UNION ALL SELECT key_slot + 1 FROM jobs AS l
                         WHERE l.queue = $1 AND l.key = j.key AND l.state = 'leased') AS places
                     WHERE NOT EXISTS (SELECT 1 FROM jobs AS l WHERE l.queue = $1 AND l.key = j.key
                         AND l.state = 'leased' AND l.key_slot = place)) < key_limit)
                 ORDER BY run_at, id
                 LIMIT (SELECT ($4 + GREATEST(count(*), 1) - 1) / GREATEST(count(*), 1) FROM lanes AS l WHERE l.lane IS NOT NULL)
                 FOR UPDATE SKIP LOCKED) AS w
             WHERE lanes.lane IS NOT NULL LIMIT $4
         ), chosen AS (
             SELECT id, (CASE WHEN key IS NOT NULL THEN (
                 SELECT min(place) FROM (SELECT CAST(0 AS bigint) AS place UNION ALL SELECT key_slot + 1 FROM jobs AS l
                     WHERE l.queue = $1 AND l.key = ranked.key AND l.state = 'leased') AS places
                 WHERE NOT EXISTS (SELECT 1 FROM jobs AS l WHERE l.queue = $1 AND l.key = ranked.key
                     AND l.state = 'leased' AND l.key_slot = place)) END) AS place
             FROM (SELECT id, key, row_number() OVER (PARTITION BY key ORDER BY run_at, id) AS n FROM picked) AS ranked
             WHERE key IS NULL OR n = 1
         )
         UPDATE jobs SET state = 'leased', attempt = attempt + 1, lease_token = $5, key_slot = chosen.place, worker = $6,
             claimed_at = $3, beat = beat + 1, cancel_requested = false, progress = NULL
         FROM chosen WHERE jobs.id = chosen.id
         RETURNING jobs.id, tenant_id, lane, queue, name, version, payload, attempt, attempts_max, timeout_ms, errors,
             checkpoint, traceparent, run_at",
    lite: "WITH RECURSIVE lanes (lane, turn) AS (
             SELECT (SELECT lane FROM jobs WHERE queue = $1 AND state IN ('available', 'retryable') AND lane >= $2
                     AND NOT EXISTS (SELECT 1 FROM paused_queues WHERE name = $1)
                     ORDER BY lane LIMIT 1), 1
             UNION ALL
             SELECT (SELECT w.lane FROM jobs AS w WHERE w.queue = $1 AND w.state IN ('available', 'retryable')
                     AND w.lane > lanes.lane ORDER BY w.lane LIMIT 1), turn + 1
             FROM lanes WHERE lanes.lane IS NOT NULL AND turn < $4
         ), picked AS (
             SELECT p.id, p.key, p.key_limit, p.run_at FROM lanes CROSS JOIN jobs AS p ON p.id IN (
                 SELECT id FROM jobs AS j
                 WHERE queue = $1 AND state IN ('available', 'retryable') AND j.lane = lanes.lane AND run_at <= $3
                 AND (key IS NULL OR (
                     SELECT min(place) FROM (SELECT 0 AS place UNION ALL SELECT key_slot + 1 FROM jobs AS l
                         WHERE l.queue = $1 AND l.key = j.key AND l.state = 'leased') AS places
                     WHERE NOT EXISTS (SELECT 1 FROM jobs AS l WHERE l.queue = $1 AND l.key = j.key
                         AND l.state = 'leased' AND l.key_slot = place)) < key_limit)
                 ORDER BY run_at, id
                 LIMIT (SELECT ($4 + max(count(*), 1) - 1) / max(count(*), 1) FROM lanes AS l WHERE l.lane IS NOT NULL))
             WHERE lanes.lane IS NOT NULL LIMIT $4
         ), chosen AS (
             SELECT id, (CASE WHEN key IS NOT NULL THEN (
                 SELECT min(place) FROM (SELECT 0 AS place UNION ALL SELECT key_slot + 1 FROM jobs AS l
                     WHERE l.queue = $1 AND l.key = ranked.key AND l.state = 'leased') AS places
                 WHERE NOT EXISTS (SELECT 1 FROM jobs AS l WHERE l.queue = $1 AND l.key = ranked.key
                     AND l.state = 'leased' AND l.key_slot = place)) END) AS place
             FROM (SELECT id, key, row_number() OVER (PARTITION BY key ORDER BY run_at, id) AS n FROM picked) AS ranked
             WHERE key IS NULL OR n = 1
         )
         UPDATE jobs SET state = 'leased', attempt = attempt + 1, lease_token = $5, key_slot = chosen.place, worker = $6,
             claimed_at = $3, beat = beat + 1, cancel_requested = 0, progress = NULL
         FROM chosen WHERE jobs.id = chosen.id
         RETURNING id, tenant_id, lane, queue, name, version, payload, attempt, attempts_max, timeout_ms, errors,
             checkpoint, traceparent, run_at",
};

/// Takes waiting jobs whose time has come: each becomes leased, and its attempt is counted.
pub(crate) async fn claim(tx: &mut Tx, ask: Ask<'_>, now: DateTime<Utc>) -> Result<Taken, Error> {
    let token = Uuid::new_v4();
    let rows = tx
        .q(CLAIM)
        .bind(ask.queue.to_owned())
        .bind(ask.from)
        .bind(now)
        .bind(ask.most)
        .bind(token)
        .bind(ask.worker.to_owned())
        .all::<ClaimRow>()
        .await?;
    let mut tally = Tally::default();
    let mut jobs = Vec::with_capacity(rows.len());
    for row in rows {
        // Only a first attempt leaves `available`: see the constraint of the table.
        let before = if row.attempt == 1 { State::Available } else { State::Retryable };
        tally.moved(&row.queue, Some(before), Some(State::Leased));
        jobs.push(Claimed {
            lease: Lease { id: row.id.into(), token },
            tenant: row.tenant_id.map(TenantId::from),
            queue: row.queue,
            name: row.name,
            version: row.version,
            payload: row.payload,
            attempt: small(row.attempt),
            attempts_max: small(row.attempts_max),
            timeout_ms: small(row.timeout_ms),
            errors: serde_json::from_str(&row.errors).unwrap_or_default(),
            checkpoint: row.checkpoint,
            traceparent: row.traceparent,
            run_at: row.run_at,
            lane: row.lane,
        });
    }
    tally.write(tx).await?;
    let wanted = usize::try_from(ask.most).unwrap_or_default();
    let highest = jobs.iter().map(|job| job.lane).max();
    // Fewer than asked for: there are no more lanes from here on that have any.
    let at_end = jobs.len() < wanted;
    let next = match highest {
        Some(lane) if !at_end => Uuid::from_u128(lane.as_u128().wrapping_add(1)),
        _ => Uuid::nil(),
    };
    jobs.sort_by_key(|job| (job.run_at, job.lease.id));
    Ok(Taken { jobs, next, wrapped: at_end && !ask.from.is_nil() })
}
