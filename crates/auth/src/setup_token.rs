//! The row behind the one-time link that makes the first administrator.

use chrono::{DateTime, Utc};
use stylobate_db::{Conn, Error, Tx};

/// Makes `hash` the digest of the only open link.
pub(crate) async fn put(
    tx: &mut Tx,
    hash: [u8; 32],
    now: DateTime<Utc>,
    expires_at: DateTime<Utc>,
) -> Result<(), Error> {
    tx.q("INSERT INTO setup_tokens (id, token_hash, created_at, expires_at) VALUES (1, $1, $2, $3) \
          ON CONFLICT (id) DO UPDATE \
          SET token_hash = excluded.token_hash, created_at = excluded.created_at, expires_at = excluded.expires_at")
        .bind(hash.to_vec())
        .bind(now)
        .bind(expires_at)
        .run()
        .await?;
    Ok(())
}

/// Whether the link with digest `hash` is open.
pub(crate) async fn is_open(conn: &mut Conn, hash: [u8; 32], now: DateTime<Utc>) -> Result<bool, Error> {
    let row = conn
        .q("SELECT id FROM setup_tokens WHERE token_hash = $1 AND expires_at > $2")
        .bind(hash.to_vec())
        .bind(now)
        .scalar_opt::<i64>()
        .await?;
    Ok(row.is_some())
}

/// Takes the link with digest `hash` away. Of many at once one returns `true`.
pub(crate) async fn consume(tx: &mut Tx, hash: [u8; 32], now: DateTime<Utc>) -> Result<bool, Error> {
    let rows = tx
        .q("DELETE FROM setup_tokens WHERE token_hash = $1 AND expires_at > $2")
        .bind(hash.to_vec())
        .bind(now)
        .run()
        .await?;
    Ok(rows == 1)
}

/// Deletes a link that has run out.
pub(crate) async fn sweep(tx: &mut Tx, now: DateTime<Utc>) -> Result<u64, Error> {
    tx.q("DELETE FROM setup_tokens WHERE expires_at <= $1").bind(now).run().await
}
