//! What goes with a tenant.

use stylobate_db::{Error, Tx};
use uuid::Uuid;

/// Removes up to `most` of one kind of row that a tenant has left behind: what people were told, and messages with their deliveries as
/// far as nothing of them is under way. Returns how many.
pub(crate) async fn remove_of(tx: &mut Tx, lane: Uuid, most: i64) -> Result<u64, Error> {
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
