use chrono::{DateTime, Utc};
use stylobate_core::EventId;
use stylobate_db::{Db, Error, Scope, Tx};

/// How many rows one statement deletes.
const BATCH: i64 = 1_000;

/// Notes that `consumer` has heard the event, and says whether it had not. Whoever asks for the same event at the same time waits
/// until this transaction ends.
pub(super) async fn take(
    tx: &mut Tx,
    consumer: &str,
    event: EventId,
    now: DateTime<Utc>,
) -> Result<bool, Error> {
    let sql = "INSERT INTO event_inbox (consumer, event_id, received_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
    Ok(tx.q(sql).bind(consumer.to_owned()).bind(event.as_uuid()).bind(now).run().await? == 1)
}

/// Forgets which events the consumers of this database have heard before `before`, and says how many. A copy that comes later
/// than that is handled again. Each [`Consumer`](crate::Consumer) does it once an hour by itself.
///
/// # Errors
/// The database's own.
pub async fn prune_inbox(db: &Db, before: DateTime<Utc>) -> Result<u64, Error> {
    let mut pruned = 0;
    loop {
        let prune = async move |tx: &mut Tx| {
            let sql = "DELETE FROM event_inbox WHERE (consumer, event_id) IN \
                       (SELECT consumer, event_id FROM event_inbox WHERE received_at < $1 ORDER BY received_at LIMIT 0 + $2)";
            tx.q(sql).bind(before).bind(BATCH).run().await
        };
        let rows = db.transact(Scope::Platform("prune the inbox"), prune).await?;
        pruned += rows;
        if rows < BATCH.unsigned_abs() {
            return Ok(pruned);
        }
    }
}
