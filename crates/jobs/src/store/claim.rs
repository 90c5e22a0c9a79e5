use chrono::{DateTime, Utc};
use stylobate_core::{JobId, TenantId};
use stylobate_db::{Error, Sql, Tx};
use uuid::Uuid;

use super::{counts::Tally, jobs::small, places};
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
    /// Which attempt it is; those that were handed back are not counted.
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
    /// Whether there is no lane after those that were looked at: `next` is the first one again.
    pub(crate) at_end: bool,
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
    handed_back: i64,
    attempts_max: i64,
    timeout_ms: i64,
    errors: String,
    checkpoint: Option<String>,
    traceparent: Option<String>,
    run_at: DateTime<Utc>,
    key: Option<String>,
    key_limit: i64,
    is_parked: bool,
}

/// How many lanes one statement looks at, at least: where most tenants have only jobs for later, those with jobs for now are
/// found soon.
const LANES: i64 = 100;

/// `$1` queue, `$2` first lane, `$3` now, `$4` how many, `$5` token, `$6` worker, `$7` how many lanes.
///
/// The lanes are found by jumping from one to the next in the index, so that the number of waiting jobs does not matter; each
/// whose first job is due gets its share of the batch. A job with a key takes the lowest free place of that key. On PostgreSQL
/// one transaction at a time takes places of a key; another one does not wait for it, but finds none, and if it saw what was
/// before, the index refuses it. Jobs that are met and whose key has no place for them are parked: out of the index until one
/// of the key ends, so that no later claim meets them again, however many they are.
const CLAIM: Sql = Sql::Per {
    pg: "WITH RECURSIVE lanes (lane, turn) AS (
             SELECT (SELECT lane FROM jobs WHERE queue = $1 AND state IN ('available', 'retryable') AND NOT is_parked
                     AND lane >= $2 AND NOT EXISTS (SELECT 1 FROM paused_queues WHERE name = $1)
                     ORDER BY lane LIMIT 1), CAST(1 AS bigint)
             UNION ALL
             SELECT (SELECT w.lane FROM jobs AS w WHERE w.queue = $1 AND w.state IN ('available', 'retryable')
                     AND NOT w.is_parked AND w.lane > lanes.lane ORDER BY w.lane LIMIT 1), turn + 1
             FROM lanes WHERE lanes.lane IS NOT NULL AND turn < $7
         ), due (lane) AS (
             SELECT lane FROM lanes WHERE lane IS NOT NULL AND (
                 SELECT run_at FROM jobs AS d WHERE d.queue = $1 AND d.state IN ('available', 'retryable')
                 AND NOT d.is_parked AND d.lane = lanes.lane ORDER BY d.run_at LIMIT 1) <= $3
         ), picked AS (
             SELECT w.id, w.lane, w.key, w.key_limit, w.run_at FROM due CROSS JOIN LATERAL (
                 SELECT id, lane, key, key_limit, run_at FROM jobs AS j
                 WHERE queue = $1 AND state IN ('available', 'retryable') AND NOT is_parked AND j.lane = due.lane
                 AND run_at <= $3 ORDER BY run_at, id
                 LIMIT (SELECT ($4 + GREATEST(count(*), 1) - 1) / GREATEST(count(*), 1) FROM due)
                 FOR UPDATE SKIP LOCKED) AS w
             LIMIT 0 + $4
         ), keys AS (
             SELECT k.lane, k.key,
                 pg_try_advisory_xact_lock(hashtextextended(CAST(k.lane AS text) || ':' || $1 || ':' || k.key, 0)) AS is_open,
                 (SELECT count(*) FROM jobs AS l WHERE l.queue = $1 AND l.lane = k.lane AND l.key = k.key AND l.state = 'leased') AS used,
                 (SELECT min(place) FROM (SELECT CAST(0 AS bigint) AS place UNION ALL SELECT key_slot + 1 FROM jobs AS l
                     WHERE l.queue = $1 AND l.lane = k.lane AND l.key = k.key AND l.state = 'leased') AS places
                  WHERE NOT EXISTS (SELECT 1 FROM jobs AS l WHERE l.queue = $1 AND l.lane = k.lane AND l.key = k.key
                     AND l.state = 'leased' AND l.key_slot = place)) AS place
             FROM (SELECT DISTINCT lane, key FROM picked WHERE key IS NOT NULL) AS k
         ), chosen AS (
             SELECT r.id, keys.place, (r.key IS NULL OR (keys.is_open AND r.n = 1 AND keys.used < r.key_limit)) AS is_mine
             FROM (SELECT id, lane, key, key_limit, row_number() OVER (PARTITION BY lane, key ORDER BY run_at, id) AS n
                   FROM picked) AS r LEFT JOIN keys ON keys.lane = r.lane AND keys.key = r.key
             WHERE r.key IS NULL OR r.n = 1 OR NOT keys.is_open OR r.n > r.key_limit - keys.used
         )
         UPDATE jobs SET is_parked = NOT is_mine, state = CASE WHEN is_mine THEN 'leased' ELSE state END,
             attempt = CASE WHEN is_mine THEN attempt + 1 ELSE attempt END, lease_token = CASE WHEN is_mine THEN $5 END,
             key_slot = CASE WHEN is_mine THEN chosen.place END, worker = CASE WHEN is_mine THEN $6 ELSE worker END,
             claimed_at = CASE WHEN is_mine THEN $3 ELSE claimed_at END, beat = beat + 1, cancel_requested = false,
             progress = CASE WHEN is_mine THEN NULL ELSE progress END
         FROM chosen WHERE jobs.id = chosen.id
         RETURNING jobs.id, tenant_id, lane, queue, name, version, payload, attempt, handed_back, attempts_max, timeout_ms, errors,
             checkpoint, traceparent, run_at, key, key_limit, is_parked",
    lite: "WITH RECURSIVE lanes (lane, turn) AS (
             SELECT (SELECT lane FROM jobs WHERE queue = $1 AND state IN ('available', 'retryable') AND NOT is_parked
                     AND lane >= $2 AND NOT EXISTS (SELECT 1 FROM paused_queues WHERE name = $1)
                     ORDER BY lane LIMIT 1), 1
             UNION ALL
             SELECT (SELECT w.lane FROM jobs AS w WHERE w.queue = $1 AND w.state IN ('available', 'retryable')
                     AND NOT w.is_parked AND w.lane > lanes.lane ORDER BY w.lane LIMIT 1), turn + 1
             FROM lanes WHERE lanes.lane IS NOT NULL AND turn < $7
         ), due (lane) AS (
             SELECT lane FROM lanes WHERE lane IS NOT NULL AND (
                 SELECT run_at FROM jobs AS d WHERE d.queue = $1 AND d.state IN ('available', 'retryable')
                 AND NOT d.is_parked AND d.lane = lanes.lane ORDER BY d.run_at LIMIT 1) <= $3
         ), picked AS (
             SELECT p.id, p.lane, p.key, p.key_limit, p.run_at FROM due CROSS JOIN jobs AS p ON p.id IN (
                 SELECT id FROM jobs AS j
                 WHERE queue = $1 AND state IN ('available', 'retryable') AND NOT is_parked AND j.lane = due.lane
                 AND run_at <= $3 ORDER BY run_at, id
                 LIMIT (SELECT ($4 + max(count(*), 1) - 1) / max(count(*), 1) FROM due))
             LIMIT 0 + $4
         ), keys AS (
             SELECT k.lane, k.key,
                 (SELECT count(*) FROM jobs AS l WHERE l.queue = $1 AND l.lane = k.lane AND l.key = k.key AND l.state = 'leased') AS used,
                 (SELECT min(place) FROM (SELECT 0 AS place UNION ALL SELECT key_slot + 1 FROM jobs AS l
                     WHERE l.queue = $1 AND l.lane = k.lane AND l.key = k.key AND l.state = 'leased') AS places
                  WHERE NOT EXISTS (SELECT 1 FROM jobs AS l WHERE l.queue = $1 AND l.lane = k.lane AND l.key = k.key
                     AND l.state = 'leased' AND l.key_slot = place)) AS place
             FROM (SELECT DISTINCT lane, key FROM picked WHERE key IS NOT NULL) AS k
         ), chosen AS (
             SELECT r.id, keys.place, (r.key IS NULL OR (r.n = 1 AND keys.used < r.key_limit)) AS is_mine
             FROM (SELECT id, lane, key, key_limit, row_number() OVER (PARTITION BY lane, key ORDER BY run_at, id) AS n
                   FROM picked) AS r LEFT JOIN keys ON keys.lane = r.lane AND keys.key = r.key
             WHERE r.key IS NULL OR r.n = 1 OR r.n > r.key_limit - keys.used
         )
         UPDATE jobs SET is_parked = NOT is_mine, state = CASE WHEN is_mine THEN 'leased' ELSE state END,
             attempt = CASE WHEN is_mine THEN attempt + 1 ELSE attempt END, lease_token = CASE WHEN is_mine THEN $5 END,
             key_slot = CASE WHEN is_mine THEN chosen.place END, worker = CASE WHEN is_mine THEN $6 ELSE worker END,
             claimed_at = CASE WHEN is_mine THEN $3 ELSE claimed_at END, beat = beat + 1, cancel_requested = 0,
             progress = CASE WHEN is_mine THEN NULL ELSE progress END
         FROM chosen WHERE jobs.id = chosen.id
         RETURNING id, tenant_id, lane, queue, name, version, payload, attempt, handed_back, attempts_max, timeout_ms, errors,
             checkpoint, traceparent, run_at, key, key_limit, is_parked",
};

/// The lane that is the `$3`th from `$2` on in queue `$1`.
const LANE_AT: &str = "WITH RECURSIVE lanes (lane, turn) AS (
        SELECT (SELECT lane FROM jobs WHERE queue = $1 AND state IN ('available', 'retryable') AND NOT is_parked AND lane >= $2
                AND NOT EXISTS (SELECT 1 FROM paused_queues WHERE name = $1)
                ORDER BY lane LIMIT 1), CAST(1 AS bigint)
        UNION ALL
        SELECT (SELECT w.lane FROM jobs AS w WHERE w.queue = $1 AND w.state IN ('available', 'retryable')
                AND NOT w.is_parked AND w.lane > lanes.lane ORDER BY w.lane LIMIT 1), turn + 1
        FROM lanes WHERE lanes.lane IS NOT NULL AND turn < $3
    )
    SELECT lane FROM lanes WHERE turn = $3 AND lane IS NOT NULL";

/// Takes waiting jobs whose time has come: each becomes leased, and its attempt is counted.
pub(crate) async fn claim(tx: &mut Tx, ask: Ask<'_>, now: DateTime<Utc>) -> Result<Taken, Error> {
    let token = Uuid::new_v4();
    let lanes = ask.most.max(LANES);
    let rows = tx
        .q(CLAIM)
        .bind(ask.queue.to_owned())
        .bind(ask.from)
        .bind(now)
        .bind(ask.most)
        .bind(token)
        .bind(ask.worker.to_owned())
        .bind(lanes)
        .all::<ClaimRow>()
        .await?;
    let (mut tally, mut has_parked) = (Tally::default(), false);
    let (mut jobs, mut parked) = (Vec::with_capacity(rows.len()), Vec::new());
    for row in rows {
        if row.is_parked {
            // Of a key with more places some that wait may have one.
            parked.extend(row.key.filter(|_| row.key_limit == 1).map(|key| (row.lane, key)));
            has_parked = true;
            continue;
        }
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
            attempt: small(row.attempt - row.handed_back),
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
    if has_parked && jobs.len() < wanted {
        places::park(tx, ask.queue, parked, now).await?;
        // Behind those that are out of the way now there may be others.
        jobs.sort_by_key(|job| (job.run_at, job.lease.id));
        return Ok(Taken { jobs, next: ask.from, at_end: false });
    }
    let reached = if jobs.len() < wanted {
        // Every lane was looked at, or as many as one statement looks at. Of those, the ones that have lost their only job by
        // now are no more than jobs were taken.
        let taken = i64::try_from(jobs.len()).unwrap_or(i64::MAX);
        let lane = tx.q(LANE_AT).bind(ask.queue.to_owned()).bind(ask.from).bind(lanes - taken);
        lane.scalar_opt::<Uuid>().await?
    } else {
        highest
    };
    let next = reached.map_or(Uuid::nil(), |lane| Uuid::from_u128(lane.as_u128().wrapping_add(1)));
    jobs.sort_by_key(|job| (job.run_at, job.lease.id));
    Ok(Taken { jobs, next, at_end: reached.is_none() })
}

#[cfg(test)]
mod tests;
