//! Jobs that wait for a place of their key.
//!
//! A claim parks what it meets and has no place for. Whoever ends a job of a key lets one that is parked be claimed again, in
//! the same transaction.

use std::collections::BTreeMap;

use stylobate_db::{Conn, Engine, Error, Sql, Tx};

use crate::service::WORK;

/// A place of a key has become free.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Freed {
    pub(crate) queue: String,
    pub(crate) key: String,
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
        let mut sql = tx.builder("WITH freed (queue, key) AS (VALUES ");
        for (n, one) in left.keys().enumerate() {
            sql.push(if n == 0 { "(" } else { ", (" });
            sql.value(one.queue.clone()).push(", ").value(one.key.clone()).push(")");
        }
        sql.push(") UPDATE jobs SET is_parked = ").value(false);
        sql.push(
            " WHERE id IN (SELECT (SELECT p.id FROM jobs AS p WHERE p.queue = freed.queue AND p.key = freed.key \
             AND p.state IN ('available', 'retryable') AND p.is_parked ORDER BY p.run_at, p.id LIMIT 1",
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

/// `$1` queue, `$2` no. The keys are found by jumping from one to the next.
const FREE: Sql = Sql::Same(
    "UPDATE jobs SET is_parked = $2 WHERE id IN (
         WITH RECURSIVE keys (key) AS (
             SELECT (SELECT min(key) FROM jobs WHERE queue = $1 AND state IN ('available', 'retryable') AND is_parked)
             UNION ALL
             SELECT (SELECT min(p.key) FROM jobs AS p WHERE p.queue = $1 AND p.state IN ('available', 'retryable')
                     AND p.is_parked AND p.key > keys.key)
             FROM keys WHERE keys.key IS NOT NULL
         ), heads (key, id) AS (
             SELECT key, (SELECT p.id FROM jobs AS p WHERE p.queue = $1 AND p.key = keys.key
                          AND p.state IN ('available', 'retryable') AND p.is_parked ORDER BY p.run_at, p.id LIMIT 1)
             FROM keys WHERE key IS NOT NULL
         )
         SELECT heads.id FROM heads JOIN jobs AS h ON h.id = heads.id
         WHERE (SELECT count(*) FROM jobs AS l WHERE l.queue = $1 AND l.key = heads.key AND l.state = 'leased') < h.key_limit)",
);

/// Lets parked jobs of `queue` be claimed again whose key has a place: a claim that parks one may not see that another is just
/// ending. Returns how many.
pub(crate) async fn release_free(tx: &mut Tx, queue: &str) -> Result<u64, Error> {
    let released = tx.q(FREE).bind(queue.to_owned()).bind(false).run().await?;
    if released > 0 {
        tx.hint(WORK);
    }
    Ok(released)
}
