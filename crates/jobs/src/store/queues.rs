use chrono::{DateTime, Utc};
use stylobate_db::{Conn, Error, Tx};

/// Stops claims of `queue`; tells whether it went on before.
pub(crate) async fn pause(tx: &mut Tx, queue: &str, now: DateTime<Utc>) -> Result<bool, Error> {
    let paused = tx
        .q("INSERT INTO paused_queues (name, paused_at) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING")
        .bind(queue.to_owned())
        .bind(now)
        .run()
        .await?;
    Ok(paused == 1)
}

/// Lets claims of `queue` go on; tells whether it was paused.
pub(crate) async fn resume(tx: &mut Tx, queue: &str) -> Result<bool, Error> {
    Ok(tx.q("DELETE FROM paused_queues WHERE name = $1").bind(queue.to_owned()).run().await? == 1)
}

pub(crate) async fn paused(conn: &mut Conn) -> Result<Vec<(String, DateTime<Utc>)>, Error> {
    conn.q("SELECT name, paused_at FROM paused_queues ORDER BY name").all().await
}
