use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use stylobate_db::{Conn, Error, Sql, Tx};

use super::{settle::document, subscribers};

/// One step of pruning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    /// Events that may go.
    pub(crate) gone: Vec<i64>,
    /// The last ordinal that was looked at.
    pub(crate) last: i64,
}

/// Looks at up to `most` events after the ordinal `after`: those that were written before `before`, that nobody is owed and that
/// nobody's dead letter is of, may go. The last one of all stays, so that its ordinal is not given out again. `None` when there
/// is nothing old. All that is read has to be of one moment, as deliveries move between tables; and whatever was owed to nobody
/// then will never be again.
pub(crate) async fn old(
    conn: &mut Conn,
    before: DateTime<Utc>,
    after: i64,
    most: i64,
) -> Result<Option<Step>, Error> {
    let rows: Vec<(i64, i64, DateTime<Utc>)> = conn
        .q("SELECT ordinal, aggregate_id, written_at FROM events WHERE ordinal > $1 ORDER BY ordinal LIMIT 0 + $2")
        .bind(after)
        .bind(most)
        .all()
        .await?;
    let Some((last, ..)) = rows.last().copied() else { return Ok(None) };
    let mut old: BTreeMap<i64, i64> = rows
        .into_iter()
        .filter(|(.., written_at)| *written_at < before)
        .map(|(ordinal, aggregate, _)| (ordinal, aggregate))
        .collect();
    if old.is_empty() {
        return Ok(None);
    }
    let newest: i64 = conn.q("SELECT COALESCE(max(ordinal), 0) FROM events").scalar().await?;
    old.remove(&newest);
    let aggregates: BTreeSet<i64> = old.values().copied().collect();
    let aggregates = document(&aggregates.into_iter().collect::<Vec<_>>());
    for name in subscribers::names(conn).await? {
        for statement in [
            "SELECT ordinal FROM event_deliveries WHERE subscriber = $1 AND ordinal > $2 AND ordinal <= $3",
            "SELECT ordinal FROM event_dead_letters WHERE subscriber = $1 AND ordinal > $2 AND ordinal <= $3",
        ] {
            let kept: Vec<(i64,)> = conn.q(statement).bind(name.clone()).bind(after).bind(last).all().await?;
            for (ordinal,) in kept {
                old.remove(&ordinal);
            }
        }
        let held: Vec<(i64,)> = conn
            .q(Sql::Per {
                pg: "SELECT ordinal FROM event_held WHERE subscriber = $1 AND ordinal > $2 AND ordinal <= $3
                     AND aggregate_id = ANY (ARRAY(
                         SELECT CAST(value AS bigint) FROM json_array_elements_text(CAST($4 AS json))))",
                lite:
                    "SELECT ordinal FROM event_held WHERE subscriber = $1 AND ordinal > $2 AND ordinal <= $3
                       AND aggregate_id IN (SELECT value FROM json_each($4))",
            })
            .bind(name)
            .bind(after)
            .bind(last)
            .bind(aggregates.clone())
            .all()
            .await?;
        for (ordinal,) in held {
            old.remove(&ordinal);
        }
    }
    Ok(Some(Step { gone: old.into_keys().collect(), last }))
}

/// Removes events.
pub(crate) async fn remove(tx: &mut Tx, ordinals: &[i64]) -> Result<u64, Error> {
    tx.q(Sql::Per {
        pg: "DELETE FROM events WHERE ordinal = ANY (ARRAY(
                 SELECT CAST(value AS bigint) FROM json_array_elements_text(CAST($1 AS json))))",
        lite: "DELETE FROM events WHERE ordinal IN (SELECT value FROM json_each($1))",
    })
    .bind(document(ordinals))
    .run()
    .await
}

/// What there is for a subscriber.
#[derive(Debug, sqlx::FromRow)]
pub(crate) struct CountsRow {
    pub(crate) name: String,
    pub(crate) owed: i64,
    pub(crate) held: i64,
    pub(crate) dead: i64,
    pub(crate) first_ordinal: Option<i64>,
    pub(crate) first_held: Option<i64>,
    pub(crate) is_served: i64,
    pub(crate) last_delivered_at: Option<DateTime<Utc>>,
}

pub(crate) async fn counts(conn: &mut Conn) -> Result<Vec<CountsRow>, Error> {
    conn.q("SELECT s.name,
                (SELECT count(*) FROM event_deliveries AS d WHERE d.subscriber = s.name) AS owed,
                (SELECT count(*) FROM event_held AS h WHERE h.subscriber = s.name) AS held,
                (SELECT count(*) FROM event_dead_letters AS l WHERE l.subscriber = s.name) AS dead,
                (SELECT min(d.ordinal) FROM event_deliveries AS d WHERE d.subscriber = s.name) AS first_ordinal,
                (SELECT min(w.ordinal) FROM event_holds AS w WHERE w.subscriber = s.name) AS first_held,
                CAST(CASE WHEN s.lease_token IS NULL THEN 0 ELSE 1 END AS bigint) AS is_served,
                s.last_delivered_at
            FROM event_subscribers AS s ORDER BY s.name")
        .all()
        .await
}

/// When the event was written.
pub(crate) async fn written_at(conn: &mut Conn, ordinal: i64) -> Result<Option<DateTime<Utc>>, Error> {
    conn.q("SELECT written_at FROM events WHERE ordinal = $1").bind(ordinal).scalar_opt().await
}

/// What a probe needs to know of a subscriber: the oldest that it is owed, and whether anything was given up.
#[derive(Debug, sqlx::FromRow)]
pub(crate) struct GlanceRow {
    pub(crate) name: String,
    pub(crate) first_ordinal: Option<i64>,
    pub(crate) has_dead: i64,
}

pub(crate) async fn glance(conn: &mut Conn) -> Result<Vec<GlanceRow>, Error> {
    conn.q(Sql::Same(
        "SELECT s.name, (SELECT min(d.ordinal) FROM event_deliveries AS d WHERE d.subscriber = s.name) AS first_ordinal,
             CAST(CASE WHEN EXISTS (SELECT 1 FROM event_dead_letters AS l WHERE l.subscriber = s.name) THEN 1 ELSE 0 END AS bigint)
                 AS has_dead
         FROM event_subscribers AS s ORDER BY s.name",
    ))
    .all()
    .await
}
