use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use stylobate_db::{Engine, Error, Tx};
use uuid::Uuid;

/// An event on its way in.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct NewEvent {
    pub(crate) id: Uuid,
    pub(crate) lane: Uuid,
    pub(crate) aggregate: String,
    pub(crate) kind: &'static str,
    pub(crate) version: i64,
    pub(crate) occurred_at: DateTime<Utc>,
    pub(crate) written_at: DateTime<Utc>,
    pub(crate) actor_kind: &'static str,
    pub(crate) actor_id: Option<String>,
    pub(crate) trace: Option<String>,
    pub(crate) data: String,
    /// How many of its aggregate follow in the same statement.
    pub(crate) later: i64,
}

/// 11 parameters a row on SQLite, far below its 32,766.
const ROWS_PER_STATEMENT: usize = 500;
/// Few enough that engines do not choke on a statement.
const BYTES_PER_STATEMENT: usize = 4 << 20;

/// Writes events in the order they are given within each aggregate, and what is owed of them to whom.
pub(crate) async fn insert(tx: &mut Tx, mut rows: Vec<NewEvent>) -> Result<(), Error> {
    let bytes: usize = rows.iter().map(|row| row.data.len()).sum();
    if rows.len() > ROWS_PER_STATEMENT || bytes > BYTES_PER_STATEMENT {
        // Each statement locks its aggregates in order; several together must do so too, or two emitters could wait for each
        // other.
        rows.sort_by(|one, other| (one.lane, &one.aggregate).cmp(&(other.lane, &other.aggregate)));
    }
    let mut rest = rows.as_mut_slice();
    while !rest.is_empty() {
        let mut bytes = 0;
        let fits = |row: &&NewEvent| {
            bytes += row.data.len();
            bytes <= BYTES_PER_STATEMENT
        };
        let length = rest.iter().take(ROWS_PER_STATEMENT).take_while(fits).count().max(1);
        let (some, others) = rest.split_at_mut(length);
        count_later(some);
        match tx.engine() {
            Engine::Postgres => match some {
                [one] => insert_one(tx, one).await?,
                some => insert_by_document(tx, some).await?,
            },
            Engine::Sqlite => insert_by_values(tx, some).await?,
        }
        rest = others;
    }
    Ok(())
}

fn count_later(rows: &mut [NewEvent]) {
    if rows.len() < 2 {
        return;
    }
    let mut later: HashMap<(Uuid, String), i64> = HashMap::new();
    for row in rows.iter_mut().rev() {
        let seen = later.entry((row.lane, row.aggregate.clone())).or_default();
        row.later = *seen;
        *seen += 1;
    }
}

/// The aggregates' rows are locked in order, and before the ordinals of their events are drawn.
const BY_DOCUMENT: &str = "WITH told AS (
         SELECT n, id, lane, aggregate, kind, version, occurred_at, written_at, actor_kind, actor_id, trace, data, later
         FROM ROWS FROM (json_to_recordset(CAST($1 AS json)) AS (id uuid, lane uuid, aggregate text, kind text,
             version bigint, occurred_at timestamptz, written_at timestamptz, actor_kind text, actor_id text, trace text,
             data text, later bigint)) WITH ORDINALITY
             AS told (id, lane, aggregate, kind, version, occurred_at, written_at, actor_kind, actor_id, trace, data,
             later, n)
     ), numbered AS (
         INSERT INTO event_aggregates AS a (lane, aggregate, last_sequence)
         SELECT lane, aggregate, count(*) FROM told GROUP BY lane, aggregate ORDER BY lane, aggregate COLLATE \"C\"
         ON CONFLICT (lane, aggregate) DO UPDATE SET last_sequence = a.last_sequence + excluded.last_sequence
         RETURNING a.id, a.lane, a.aggregate, a.last_sequence
     ), written AS (
         INSERT INTO events (lane, id, aggregate_id, sequence, type, version, occurred_at, written_at, actor_kind,
             actor_id, trace, data)
         SELECT t.lane, t.id, a.id, a.last_sequence - t.later, t.kind, t.version, t.occurred_at, t.written_at,
             t.actor_kind, t.actor_id, t.trace, t.data
         FROM told AS t JOIN numbered AS a ON a.lane = t.lane AND a.aggregate = t.aggregate ORDER BY t.n
         RETURNING ordinal, aggregate_id, type
     )
     INSERT INTO event_deliveries (subscriber, ordinal, aggregate_id)
     SELECT DISTINCT s.subscriber, w.ordinal, w.aggregate_id
     FROM written AS w JOIN event_subscriptions AS s ON s.type IN (w.type, '*')";

/// What most transactions do, for about half of what the same costs by a document.
const ONE: &str = "WITH numbered AS (
         INSERT INTO event_aggregates AS a (lane, aggregate, last_sequence) VALUES ($1, $2, 1)
         ON CONFLICT (lane, aggregate) DO UPDATE SET last_sequence = a.last_sequence + 1
         RETURNING a.id, a.last_sequence
     ), written AS (
         INSERT INTO events (lane, id, aggregate_id, sequence, type, version, occurred_at, written_at, actor_kind, actor_id,
             trace, data)
         SELECT $1, $3, a.id, a.last_sequence, $4, $5, $6, $7, $8, $9, $10, $11 FROM numbered AS a
         RETURNING ordinal, aggregate_id
     )
     INSERT INTO event_deliveries (subscriber, ordinal, aggregate_id)
     SELECT s.subscriber, w.ordinal, w.aggregate_id FROM written AS w
     CROSS JOIN (SELECT DISTINCT subscriber FROM event_subscriptions WHERE type IN ($4, '*')) AS s";

async fn insert_one(tx: &mut Tx, row: &NewEvent) -> Result<(), Error> {
    tx.q(ONE)
        .bind(row.lane)
        .bind(row.aggregate.clone())
        .bind(row.id)
        .bind(row.kind)
        .bind(row.version)
        .bind(row.occurred_at)
        .bind(row.written_at)
        .bind(row.actor_kind)
        .bind(row.actor_id.clone())
        .bind(row.trace.clone())
        .bind(row.data.clone())
        .run()
        .await?;
    Ok(())
}

async fn insert_by_document(tx: &mut Tx, rows: &[NewEvent]) -> Result<(), Error> {
    // Texts, ids, times and numbers cannot fail to be written.
    let document = serde_json::to_string(rows).unwrap_or_default();
    tx.q(BY_DOCUMENT).bind(document).run().await?;
    Ok(())
}

/// A trigger of the view does what there is to do for each row.
async fn insert_by_values(tx: &mut Tx, rows: &[NewEvent]) -> Result<(), Error> {
    let mut sql = tx.builder(
        "INSERT INTO event_emissions (lane, id, aggregate, type, version, occurred_at, written_at, actor_kind, \
         actor_id, trace, data) VALUES ",
    );
    for (n, row) in rows.iter().enumerate() {
        sql.push(if n == 0 { "(" } else { ", (" });
        sql.value(row.lane).push(", ").value(row.id).push(", ");
        sql.value(row.aggregate.clone()).push(", ").value(row.kind).push(", ").value(row.version).push(", ");
        sql.value(row.occurred_at).push(", ").value(row.written_at).push(", ").value(row.actor_kind);
        sql.push(", ").value(row.actor_id.clone()).push(", ").value(row.trace.clone());
        sql.push(", ").value(row.data.clone()).push(")");
    }
    tx.q_build(sql).run().await?;
    Ok(())
}
