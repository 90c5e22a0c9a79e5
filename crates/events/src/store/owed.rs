use chrono::{DateTime, Utc};
use stylobate_db::{Conn, Error, Sql};

use super::settle::document;
use crate::{record::EventRow, sink::Place};

/// The events of a batch have at most so many bytes of payload together, or it is one event.
pub(crate) const BATCH_BYTES: i64 = 8 << 20;
/// Of how many aggregates that wait no longer a batch takes more than one event, and how many of each.
const DRAINS: usize = 20;
const DRAIN_LENGTH: i64 = 100;

/// A delivery, and how often it has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owed {
    pub(crate) place: Place,
    pub(crate) attempts: i64,
}

/// What may be delivered now, and what has to wait.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// In the order of their ordinals.
    pub(crate) due: Vec<Owed>,
    /// Ready deliveries behind a hold: see [`super::settle::park`].
    pub(crate) behind: Vec<Place>,
    /// Aggregates that wait for an event that is owed no longer: see [`super::settle::advance`].
    pub(crate) stale: Vec<i64>,
    /// Whether there is more of what is ready than the batch has.
    pub(crate) has_more: bool,
}

#[derive(sqlx::FromRow)]
struct Head {
    aggregate_id: i64,
    ordinal: i64,
    attempts: i64,
    is_owed: i64,
}

#[derive(sqlx::FromRow)]
struct Ready {
    ordinal: i64,
    aggregate_id: i64,
    is_behind: i64,
}

pub(crate) const HEADS: &str = "SELECT w.aggregate_id, w.ordinal, w.attempts,
         CAST(CASE WHEN h.ordinal IS NULL THEN 0 ELSE 1 END AS bigint) AS is_owed
     FROM (SELECT aggregate_id, ordinal, attempts, due_at FROM event_holds
           WHERE subscriber = $1 AND due_at <= $2 ORDER BY due_at LIMIT 0 + $3) AS w
     LEFT JOIN event_held AS h ON h.subscriber = $1 AND h.aggregate_id = w.aggregate_id AND h.ordinal = w.ordinal
     ORDER BY w.due_at";

pub(crate) const READY: &str = "SELECT d.ordinal, d.aggregate_id,
         CAST(CASE WHEN h.ordinal IS NULL THEN 0 ELSE 1 END AS bigint) AS is_behind
     FROM (SELECT ordinal, aggregate_id FROM event_deliveries WHERE subscriber = $1 ORDER BY ordinal LIMIT 0 + $2) AS d
     LEFT JOIN event_holds AS h ON h.subscriber = $1 AND h.aggregate_id = d.aggregate_id
     ORDER BY d.ordinal";

pub(crate) const DRAIN: &str = "SELECT ordinal FROM event_held WHERE subscriber = $1 AND aggregate_id = $2
     ORDER BY ordinal LIMIT 0 + $3";

/// Reads what is owed to `subscriber`: first those whose wait is over, then about `most` of what is ready.
pub(crate) async fn read(
    conn: &mut Conn,
    subscriber: &str,
    now: DateTime<Utc>,
    most: i64,
) -> Result<Batch, Error> {
    let heads: Vec<Head> = conn.q(HEADS).bind(subscriber.to_owned()).bind(now).bind(most).all().await?;
    let mut batch = Batch::default();
    let mut drains = 0;
    for head in heads {
        let place = |ordinal| Place { ordinal, aggregate: head.aggregate_id, is_held: true };
        if head.is_owed == 0 {
            batch.stale.push(head.aggregate_id);
            continue;
        }
        // Those behind one that has failed are not tried before it.
        if head.attempts > 0 || drains == DRAINS {
            batch.due.push(Owed { place: place(head.ordinal), attempts: head.attempts });
            continue;
        }
        drains += 1;
        let drain = conn.q(DRAIN).bind(subscriber.to_owned()).bind(head.aggregate_id).bind(DRAIN_LENGTH);
        let ordinals: Vec<(i64,)> = drain.all().await?;
        batch.due.extend(ordinals.into_iter().map(|(ordinal,)| Owed { place: place(ordinal), attempts: 0 }));
        batch.has_more = true;
    }
    let ready: Vec<Ready> = conn.q(READY).bind(subscriber.to_owned()).bind(most).all().await?;
    batch.has_more |= i64::try_from(ready.len()) == Ok(most);
    for row in ready {
        let place = Place { ordinal: row.ordinal, aggregate: row.aggregate_id, is_held: false };
        if row.is_behind != 0 {
            batch.behind.push(place);
        } else {
            batch.due.push(Owed { place, attempts: 0 });
        }
    }
    batch.due.sort_unstable_by_key(|owed| owed.place.ordinal);
    Ok(batch)
}

/// The events of `ordinals`, in order, up to [`BATCH_BYTES`]; also those whose aggregate there is no longer, so that somebody
/// hears of them.
pub(crate) async fn load(conn: &mut Conn, ordinals: &[i64]) -> Result<Vec<EventRow>, Error> {
    conn.q(LOAD).bind(document(ordinals)).bind(BATCH_BYTES).all().await
}

pub(crate) const LOAD: Sql = Sql::Per {
    pg: "SELECT e.ordinal, e.id, e.lane, a.aggregate, e.sequence, e.type, e.version, e.occurred_at,
             e.written_at, e.actor_kind, e.actor_id, e.trace, e.data
         FROM (SELECT ordinal, sum(bytes) OVER (ORDER BY ordinal) - bytes AS before
               FROM (SELECT e.ordinal, CAST(octet_length(e.data) AS bigint) AS bytes
                     FROM events AS e WHERE e.ordinal = ANY (ARRAY(
                         SELECT CAST(value AS bigint) FROM json_array_elements_text(CAST($1 AS json))))) AS sizes) AS part
         JOIN events AS e ON e.ordinal = part.ordinal LEFT JOIN event_aggregates AS a ON a.id = e.aggregate_id
         WHERE part.before < $2 ORDER BY e.ordinal",
    lite: "SELECT e.ordinal, e.id, e.lane, a.aggregate, e.sequence, e.type, e.version, e.occurred_at,
               e.written_at, e.actor_kind, e.actor_id, e.trace, e.data
           FROM (SELECT ordinal, sum(bytes) OVER (ORDER BY ordinal) - bytes AS before
                 FROM (SELECT e.ordinal, octet_length(e.data) AS bytes
                       FROM json_each($1) AS wanted CROSS JOIN events AS e ON e.ordinal = wanted.value) AS sizes) AS part
           JOIN events AS e ON e.ordinal = part.ordinal LEFT JOIN event_aggregates AS a ON a.id = e.aggregate_id
           WHERE part.before < $2 ORDER BY e.ordinal",
};

/// Of which of `ordinals` there is an event.
pub(crate) async fn present(conn: &mut Conn, ordinals: &[i64]) -> Result<Vec<i64>, Error> {
    let rows: Vec<(i64,)> = conn
        .q(Sql::Per {
            pg: "SELECT ordinal FROM events WHERE ordinal = ANY (ARRAY(
                     SELECT CAST(value AS bigint) FROM json_array_elements_text(CAST($1 AS json))))",
            lite: "SELECT ordinal FROM events WHERE ordinal IN (SELECT value FROM json_each($1))",
        })
        .bind(document(ordinals))
        .all()
        .await?;
    Ok(rows.into_iter().map(|(ordinal,)| ordinal).collect())
}

/// When the next wait is over.
pub(crate) async fn next_due(conn: &mut Conn, subscriber: &str) -> Result<Option<DateTime<Utc>>, Error> {
    conn.q("SELECT due_at FROM event_holds WHERE subscriber = $1 ORDER BY due_at LIMIT 1")
        .bind(subscriber.to_owned())
        .scalar_opt()
        .await
}
