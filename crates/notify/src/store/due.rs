//! Finding messages and deliveries by their time, and removing them.

use chrono::{DateTime, Utc};
use stylobate_core::{MessageDeliveryId, MessageId};
use stylobate_db::{Conn, Error, Tx};
use uuid::Uuid;

/// Up to `most` messages that are to be planned, the longest due first.
pub(crate) async fn messages(
    conn: &mut Conn,
    now: DateTime<Utc>,
    most: i64,
) -> Result<Vec<MessageId>, Error> {
    let rows: Vec<(Uuid,)> = conn
        .q("SELECT id FROM notify_messages WHERE state = 'accepted' AND due_at <= $1 ORDER BY due_at, id LIMIT 0 + $2")
        .bind(now)
        .bind(most)
        .all()
        .await?;
    Ok(rows.into_iter().map(|(id,)| id.into()).collect())
}

/// Whom a delivery waits for: what is slow holds up its own and no other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum OtherSide {
    Channel(Uuid),
    /// Whatever carries everything by that medium.
    Medium(String),
}

/// Up to `most` deliveries that are due and that nobody is at, the longest due first, without those that wait for one of `without`.
pub(crate) async fn deliveries(
    conn: &mut Conn,
    now: DateTime<Utc>,
    most: i64,
    without: &[OtherSide],
) -> Result<Vec<(MessageDeliveryId, OtherSide)>, Error> {
    let mut sql = conn.builder(
        "SELECT id, medium, channel_id FROM notify_deliveries WHERE state = 'pending' AND due_at <= ",
    );
    sql.value(now).push(" AND (lease_until IS NULL OR lease_until <= ").value(now).push(")");
    for one in without {
        match one {
            OtherSide::Channel(id) => {
                sql.push(" AND (channel_id IS NULL OR channel_id <> ").value(*id).push(")")
            }
            OtherSide::Medium(medium) => {
                sql.push(" AND (channel_id IS NOT NULL OR medium <> ").value(medium.clone()).push(")")
            }
        };
    }
    sql.push(" ORDER BY due_at, id").limit(most);
    let rows: Vec<(Uuid, String, Option<Uuid>)> = conn.q_build(sql).all().await?;
    let of = |(id, medium, channel): (Uuid, String, Option<Uuid>)| {
        (id.into(), channel.map_or(OtherSide::Medium(medium), OtherSide::Channel))
    };
    Ok(rows.into_iter().map(of).collect())
}

/// How many deliveries are pending, up to [`PENDING_MAX`], and when the first of them is due.
#[cfg(feature = "metrics")]
pub(crate) async fn pending(conn: &mut Conn) -> Result<(i64, Option<DateTime<Utc>>), Error> {
    let count = conn
        .q("SELECT CAST(count(*) AS bigint) FROM (SELECT 1 FROM notify_deliveries WHERE state = 'pending' LIMIT 0 + $1) few")
        .bind(PENDING_MAX)
        .scalar()
        .await?;
    let first: Option<(DateTime<Utc>,)> = conn
        .q("SELECT due_at FROM notify_deliveries WHERE state = 'pending' ORDER BY due_at LIMIT 1")
        .opt()
        .await?;
    Ok((count, first.map(|(due_at,)| due_at)))
}

/// Counting ends there: it is the same news.
#[cfg(feature = "metrics")]
const PENDING_MAX: i64 = 10_000;

/// Removes up to `most` deliveries that were finished before `time`.
pub(crate) async fn remove_deliveries(tx: &mut Tx, time: DateTime<Utc>, most: i64) -> Result<u64, Error> {
    tx.q("DELETE FROM notify_deliveries WHERE id IN (
            SELECT id FROM notify_deliveries WHERE finished_at < $1 ORDER BY finished_at LIMIT 0 + $2)")
        .bind(time)
        .bind(most)
        .run()
        .await
}

/// Removes up to `most` messages that were finished before `time`.
pub(crate) async fn remove_messages(tx: &mut Tx, time: DateTime<Utc>, most: i64) -> Result<u64, Error> {
    tx.q("DELETE FROM notify_messages WHERE id IN (
            SELECT id FROM notify_messages WHERE finished_at < $1 ORDER BY finished_at LIMIT 0 + $2)")
        .bind(time)
        .bind(most)
        .run()
        .await
}

/// Removes up to `most` notifications from before `time`, but the last of each person: the next one counts on from it.
pub(crate) async fn remove_notifications(tx: &mut Tx, time: DateTime<Utc>, most: i64) -> Result<u64, Error> {
    tx.q("DELETE FROM notifications WHERE id IN (
            SELECT n.id FROM notifications n WHERE n.created_at < $1
            AND n.position < (SELECT max(l.position) FROM notifications l WHERE l.person_id = n.person_id)
            ORDER BY n.created_at LIMIT 0 + $2)")
        .bind(time)
        .bind(most)
        .run()
        .await
}
