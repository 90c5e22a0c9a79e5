//! What goes with a tenant.

use stylobate_db::{Error, Tx};
use uuid::Uuid;

/// Removes up to `most` of one kind of row: endpoints of webhooks after their deliveries, dead letters, events that nobody is owed,
/// and what events were ordered by. Returns how many; 0 says that nothing is left, or nothing that may go yet.
pub(crate) async fn remove_of(tx: &mut Tx, tenant: Uuid, most: i64) -> Result<u64, Error> {
    for statement in [
        "DELETE FROM webhook_deliveries WHERE id IN \
         (SELECT id FROM webhook_deliveries WHERE tenant_id = $1 ORDER BY id LIMIT 0 + $2)",
        "DELETE FROM webhook_endpoints WHERE id IN \
         (SELECT id FROM webhook_endpoints WHERE tenant_id = $1 ORDER BY created_at, id LIMIT 0 + $2)",
        "DELETE FROM event_dead_letters WHERE (subscriber, ordinal) IN \
         (SELECT subscriber, ordinal FROM event_dead_letters WHERE tenant_id = $1 \
          ORDER BY parked_at, id LIMIT 0 + $2)",
        // The last event of all stays, so that its ordinal is not given out again. One statement sees deliveries of one moment,
        // while they move between tables; and whatever is owed to nobody then will never be again.
        // CROSS JOIN has SQLite look up each of the few subscribers; by itself it reads all that is owed to anybody, for each event.
        "DELETE FROM events WHERE ordinal IN (SELECT e.ordinal FROM events e WHERE e.lane = $1 \
         AND e.ordinal < (SELECT max(ordinal) FROM events) \
         AND NOT EXISTS (SELECT 1 FROM event_subscribers s CROSS JOIN event_deliveries d \
             WHERE d.subscriber = s.name AND d.ordinal = e.ordinal) \
         AND NOT EXISTS (SELECT 1 FROM event_subscribers s CROSS JOIN event_held h \
             WHERE h.subscriber = s.name AND h.aggregate_id = e.aggregate_id AND h.ordinal = e.ordinal) \
         AND NOT EXISTS (SELECT 1 FROM event_subscribers s CROSS JOIN event_dead_letters l \
             WHERE l.subscriber = s.name AND l.ordinal = e.ordinal) \
         ORDER BY e.id LIMIT 0 + $2)",
        "DELETE FROM event_aggregates WHERE id IN (SELECT a.id FROM event_aggregates a WHERE a.lane = $1 \
         AND NOT EXISTS (SELECT 1 FROM events e WHERE e.lane = $1) ORDER BY a.aggregate LIMIT 0 + $2)",
    ] {
        let removed = tx.q(statement).bind(tenant).bind(most).run().await?;
        if removed > 0 {
            return Ok(removed);
        }
    }
    Ok(0)
}
