use chrono::{DateTime, Utc};
use stylobate_db::{Conn, Error, Sql, Tx};

/// One step of pruning: how many events were removed, and the last ordinal that was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pruned {
    pub(crate) removed: u64,
    /// `None` when nothing old is left behind it.
    pub(crate) after: Option<i64>,
}

/// Looks at up to `most` events after the ordinal `after`, and removes those that were written before `before` and that nobody
/// is owed and nobody's dead letter is of.
pub(crate) async fn prune(
    tx: &mut Tx,
    before: DateTime<Utc>,
    after: i64,
    most: i64,
) -> Result<Pruned, Error> {
    let (last, old): (Option<i64>, i64) = tx
        .q("SELECT max(ordinal), CAST(COALESCE(sum(CASE WHEN written_at < $1 THEN 1 ELSE 0 END), 0) AS bigint) FROM \
            (SELECT ordinal, written_at FROM events WHERE ordinal > $2 ORDER BY ordinal LIMIT $3) AS part")
        .bind(before)
        .bind(after)
        .bind(most)
        .one()
        .await?;
    let Some(last) = last.filter(|_| old > 0) else { return Ok(Pruned { removed: 0, after: None }) };
    let removed = tx
        .q("DELETE FROM events WHERE ordinal > $2 AND ordinal <= $3 AND written_at < $1
            AND NOT EXISTS (SELECT 1 FROM event_subscribers AS s
                JOIN event_deliveries AS d ON d.subscriber = s.name AND d.ordinal = events.ordinal)
            AND NOT EXISTS (SELECT 1 FROM event_subscribers AS s
                JOIN event_held AS h ON h.subscriber = s.name AND h.aggregate_id = events.aggregate_id AND h.ordinal = events.ordinal)
            AND NOT EXISTS (SELECT 1 FROM event_subscribers AS s
                JOIN event_dead_letters AS l ON l.subscriber = s.name AND l.ordinal = events.ordinal)")
        .bind(before)
        .bind(after)
        .bind(last)
        .run()
        .await?;
    Ok(Pruned { removed, after: Some(last) })
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
