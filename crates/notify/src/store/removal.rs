//! What goes with a tenant.

use stylobate_db::{Error, Tx};
use uuid::Uuid;

/// Removes up to `most` of one kind of row that a tenant has left behind: what people were told, and messages with their deliveries as
/// far as nothing of them is under way. Returns how many.
pub(crate) async fn remove_of(tx: &mut Tx, lane: Uuid, most: i64) -> Result<u64, Error> {
    let emptied = empty_last(tx, lane, most).await?;
    if emptied > 0 {
        return Ok(emptied);
    }
    for statement in [
        "DELETE FROM notifications WHERE id IN \
         (SELECT id FROM notifications WHERE lane = $1 ORDER BY id LIMIT 0 + $2)",
        "DELETE FROM notify_deliveries WHERE id IN \
         (SELECT id FROM notify_deliveries WHERE lane = $1 AND finished_at IS NOT NULL ORDER BY id LIMIT 0 + $2)",
        "DELETE FROM notify_messages WHERE id IN (SELECT m.id FROM notify_messages m WHERE m.lane = $1 \
         AND m.finished_at IS NOT NULL ORDER BY m.id LIMIT 0 + $2)",
    ] {
        let removed = tx.q(statement).bind(lane).bind(most).run().await?;
        if removed > 0 {
            return Ok(removed);
        }
    }
    Ok(0)
}

/// Leaves of the last notification that a person has nothing but its position, and that to nobody: the next one counts on from
/// it, and whoever hears of them at another tenant would take it for one that they have seen.
async fn empty_last(tx: &mut Tx, lane: Uuid, most: i64) -> Result<u64, Error> {
    tx.q("UPDATE notifications SET lane = $3, kind = '', title = '', body = '', link = NULL, entity_type = NULL,
            entity_id = NULL, sender_id = NULL, read_at = coalesce(read_at, created_at)
          WHERE id IN (SELECT n.id FROM notifications n WHERE n.lane = $1
            AND n.position = (SELECT max(l.position) FROM notifications l WHERE l.person_id = n.person_id)
            ORDER BY n.id LIMIT 0 + $2)")
        .bind(lane)
        .bind(most)
        .bind(Uuid::nil())
        .run()
        .await
}

/// Whether there is any message of the lane, be it under way or in the log.
pub(crate) async fn has_messages(tx: &mut Tx, lane: Uuid) -> Result<bool, Error> {
    let found: i64 = tx
        .q("SELECT count(*) FROM (SELECT id FROM notify_messages WHERE lane = $1
              UNION ALL SELECT id FROM notify_deliveries WHERE lane = $1) AS few")
        .bind(lane)
        .scalar()
        .await?;
    Ok(found > 0)
}
