//! What goes with a tenant.

use stylobate_db::{Error, Tx};
use uuid::Uuid;

/// Removes up to `most` of one kind of row that a tenant has left behind: what people were told, and messages with their deliveries as
/// far as nothing of them is under way. Returns how many.
pub(crate) async fn remove_of(tx: &mut Tx, lane: Uuid, most: i64) -> Result<u64, Error> {
    let told = remove_notifications(tx, lane, most).await?;
    if told > 0 {
        return Ok(told);
    }
    for statement in [
        "DELETE FROM notify_deliveries WHERE id IN (SELECT id FROM notify_deliveries WHERE lane = $1 \
         AND finished_at IS NOT NULL ORDER BY created_at, id LIMIT 0 + $2)",
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

/// Sees to the first `most` notifications. Of the last that a person has nothing stays but its position, and that with nobody: the next
/// one counts on from it, and whoever hears of them at another tenant would take it for one that they have seen.
async fn remove_notifications(tx: &mut Tx, lane: Uuid, most: i64) -> Result<u64, Error> {
    let removed = tx
        .q("DELETE FROM notifications WHERE id IN (SELECT few.id FROM
                (SELECT id, person_id, position FROM notifications WHERE lane = $1 ORDER BY id LIMIT 0 + $2) AS few
            WHERE EXISTS (SELECT 1 FROM notifications l WHERE l.person_id = few.person_id AND l.position > few.position))")
        .bind(lane)
        .bind(most)
        .run()
        .await?;
    // What is left of those that were first are the last of somebody.
    let rest = most.saturating_sub_unsigned(removed);
    if rest <= 0 {
        return Ok(removed);
    }
    let emptied = tx
        .q("UPDATE notifications SET lane = $3, kind = '', title = '', body = '', link = NULL, entity_type = NULL,
              entity_id = NULL, sender_id = NULL, read_at = coalesce(read_at, created_at)
            WHERE id IN (SELECT id FROM notifications WHERE lane = $1 ORDER BY id LIMIT 0 + $2)")
        .bind(lane)
        .bind(rest)
        .bind(Uuid::nil())
        .run()
        .await?;
    Ok(removed + emptied)
}

/// Whether there is any message of the lane, be it under way or in the log.
pub(crate) async fn has_messages(tx: &mut Tx, lane: Uuid) -> Result<bool, Error> {
    let found: i64 = tx
        .q("SELECT count(*) FROM (SELECT id FROM notify_messages WHERE lane = $1
              UNION ALL SELECT id FROM notify_deliveries WHERE lane = $1 LIMIT 1) AS few")
        .bind(lane)
        .scalar()
        .await?;
    Ok(found > 0)
}
