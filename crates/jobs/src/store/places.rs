//! Jobs that wait for a place of their key.
//!
//! A claim parks what it meets and has no place for. Whoever ends a job of a key lets one that is parked be claimed again, in
//! the same transaction.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use stylobate_db::{Conn, Engine, Error, Sql, Tx};
use uuid::Uuid;

use crate::service::WORK;

/// A place of a key has become free.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Freed {
    pub(crate) queue: String,
    pub(crate) lane: Uuid,
    pub(crate) key: String,
}

/// How many jobs at the head of a lane are looked through for those of a key.
const HEAD: i64 = 1_000;
/// How many keys are looked for after one claim.
const KEYS: usize = 8;

/// Parks what waits at the head of these lanes for keys whose only place is taken, so that not every claim meets a few of them.
pub(crate) async fn park(
    tx: &mut Tx,
    queue: &str,
    mut keys: Vec<(Uuid, String)>,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    keys.sort_unstable();
    keys.dedup();
    for (lane, key) in keys.into_iter().take(KEYS) {
        tx.q(Sql::Per {
            pg: "UPDATE jobs SET is_parked = $6 WHERE id IN (SELECT id FROM jobs WHERE id IN (
                     SELECT head.id FROM (SELECT id, key FROM jobs WHERE queue = $1 AND lane = $2
                         AND state IN ('available', 'retryable') AND NOT is_parked AND run_at <= $4
                         ORDER BY run_at, id LIMIT 0 + $5) AS head WHERE head.key = $3)
                 AND state IN ('available', 'retryable') AND NOT is_parked FOR UPDATE SKIP LOCKED)",
            lite: "UPDATE jobs SET is_parked = $6 WHERE id IN (
                     SELECT head.id FROM (SELECT id, key FROM jobs WHERE queue = $1 AND lane = $2
                         AND state IN ('available', 'retryable') AND NOT is_parked AND run_at <= $4
                         ORDER BY run_at, id LIMIT 0 + $5) AS head WHERE head.key = $3)",
        })
        .bind(queue.to_owned())
        .bind(lane)
        .bind(key)
        .bind(now)
        .bind(HEAD)
        .bind(true)
        .run()
        .await?;
    }
    Ok(())
}

/// Lets the first parked job of each be claimed again.
pub(crate) async fn release(tx: &mut Tx, freed: impl IntoIterator<Item = Freed>) -> Result<(), Error> {
    let mut left: BTreeMap<Freed, usize> = BTreeMap::new();
    for one in freed {
        *left.entry(one).or_default() += 1;
    }
    let mut released = 0;
    // Mostly once: a statement takes one job of each key.
    while !left.is_empty() {
        let mut sql = tx.builder("WITH freed (queue, lane, key) AS (VALUES ");
        for (n, one) in left.keys().enumerate() {
            sql.push(if n == 0 { "(" } else { ", (" });
            sql.value(one.queue.clone()).push(", ").value(one.lane).push(", ");
            sql.value(one.key.clone()).push(")");
        }
        sql.push(") UPDATE jobs SET is_parked = ").value(false);
        sql.push(
            " WHERE id IN (SELECT (SELECT p.id FROM jobs AS p WHERE p.queue = freed.queue AND p.lane = freed.lane \
             AND p.key = freed.key AND p.state IN ('available', 'retryable') AND p.is_parked ORDER BY p.run_at, p.id LIMIT 1",
        );
        if tx.engine() == Engine::Postgres {
            // Two that end jobs of the same keys at once must not wait for each other.
            sql.push(" FOR UPDATE SKIP LOCKED");
        }
        sql.push(") FROM freed)");
        released += tx.q_build(sql).run().await?;
        left.retain(|_, count| {
            *count -= 1;
            *count > 0
        });
    }
    if released > 0 {
        tx.hint(WORK);
    }
    Ok(())
}

/// Whether any job is parked.
pub(crate) async fn is_any_parked(conn: &mut Conn) -> Result<bool, Error> {
    let parked = "SELECT queue FROM jobs WHERE state IN ('available', 'retryable') AND is_parked LIMIT 1";
    Ok(conn.q(parked).scalar_opt::<String>().await?.is_some())
}

/// `$1` queue, `$2` no. The keys are found by jumping from the first job of one to that of the next.
const FREE: Sql = Sql::Per {
    pg: "WITH RECURSIVE heads (id) AS (
             SELECT (SELECT id FROM jobs WHERE queue = $1 AND state IN ('available', 'retryable') AND is_parked
                     ORDER BY lane, key, run_at, id LIMIT 1)
             UNION ALL
             SELECT (SELECT p.id FROM jobs AS p WHERE p.queue = $1 AND p.state IN ('available', 'retryable')
                     AND p.is_parked AND (p.lane, p.key) > (SELECT h.lane, h.key FROM jobs AS h WHERE h.id = heads.id)
                     ORDER BY p.lane, p.key, p.run_at, p.id LIMIT 1)
             FROM heads WHERE heads.id IS NOT NULL
         ), free AS (
             SELECT h.id FROM heads JOIN jobs AS h ON h.id = heads.id
             WHERE (SELECT count(*) FROM jobs AS l WHERE l.queue = $1 AND l.lane = h.lane AND l.key = h.key
                    AND l.state = 'leased') < h.key_limit
             FOR UPDATE OF h SKIP LOCKED
         )
         UPDATE jobs SET is_parked = $2 FROM free WHERE jobs.id = free.id",
    lite: "WITH RECURSIVE heads (id) AS (
             SELECT (SELECT id FROM jobs WHERE queue = $1 AND state IN ('available', 'retryable') AND is_parked
                     ORDER BY lane, key, run_at, id LIMIT 1)
             UNION ALL
             SELECT (SELECT p.id FROM jobs AS p WHERE p.queue = $1 AND p.state IN ('available', 'retryable')
                     AND p.is_parked AND (p.lane, p.key) > (SELECT h.lane, h.key FROM jobs AS h WHERE h.id = heads.id)
                     ORDER BY p.lane, p.key, p.run_at, p.id LIMIT 1)
             FROM heads WHERE heads.id IS NOT NULL
         )
         UPDATE jobs SET is_parked = $2 WHERE id IN (
             SELECT h.id FROM heads JOIN jobs AS h ON h.id = heads.id
             WHERE (SELECT count(*) FROM jobs AS l WHERE l.queue = $1 AND l.lane = h.lane AND l.key = h.key
                    AND l.state = 'leased') < h.key_limit)",
};

/// Lets parked jobs of `queue` be claimed again whose key has a place: a claim that parks one may not see that another is just
/// ending. Returns how many.
pub(crate) async fn release_free(tx: &mut Tx, queue: &str) -> Result<u64, Error> {
    let released = tx.q(FREE).bind(queue.to_owned()).bind(false).run().await?;
    if released > 0 {
        tx.hint(WORK);
    }
    Ok(released)
}
