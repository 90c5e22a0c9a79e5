use chrono::{DateTime, Utc};
use stylobate_core::BoxFuture;
use stylobate_db::{Db, Error, Scope, Tx};

use super::{NonceStore, NonceStoreError, RequestNonce};

/// These rows are written before any tenant is known.
const SCOPE: Scope = Scope::Platform("signed requests");

/// Nonces in the table that [`MIGRATIONS`](crate::MIGRATIONS) makes: any number of processes share them.
///
/// Each costs one transaction of one statement. `Auth::run` deletes those that are over; a service without it calls
/// [`sweep`](NonceStore::sweep) now and then.
#[derive(Debug, Clone)]
pub struct SqlNonces {
    db: Db,
}

impl SqlNonces {
    /// Nonces in `db`.
    #[must_use]
    pub fn new(db: &Db) -> Self {
        Self { db: db.clone() }
    }
}

/// The row decides: of two processes one inserts it, and the other waits for that and then inserts nothing.
async fn insert(tx: &mut Tx, nonce: &RequestNonce) -> Result<bool, Error> {
    let rows = tx
        .q("INSERT INTO request_nonces (key_id, nonce_digest, expires_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING")
        .bind(nonce.key_id())
        .bind(nonce.digest().to_vec())
        .bind(nonce.expires_at())
        .run()
        .await?;
    Ok(rows > 0)
}

/// Deletes up to `rows_max` nonces that ended before `now` and at `from` or later. Returns how many, and the latest of those
/// times: the next batch begins there, and so reads nothing that earlier ones have deleted.
pub(crate) async fn sweep(
    tx: &mut Tx,
    now: DateTime<Utc>,
    from: DateTime<Utc>,
    rows_max: i64,
) -> Result<(u64, DateTime<Utc>), Error> {
    let over = tx
        .q("DELETE FROM request_nonces WHERE (key_id, nonce_digest) IN \
              (SELECT key_id, nonce_digest FROM request_nonces WHERE expires_at >= $1 AND expires_at < $2 \
               ORDER BY expires_at LIMIT 0 + $3) \
            RETURNING expires_at")
        .bind(from)
        .bind(now)
        .bind(rows_max)
        .all::<(DateTime<Utc>,)>()
        .await?;
    let latest = over.iter().map(|(at,)| *at).max().unwrap_or(from);
    Ok((over.len() as u64, latest))
}

impl NonceStore for SqlNonces {
    fn remember<'a>(
        &'a self,
        nonce: &'a RequestNonce,
        _now: DateTime<Utc>,
    ) -> BoxFuture<'a, Result<bool, NonceStoreError>> {
        let nonce = nonce.clone();
        Box::pin(async move {
            let insert = async move |tx: &mut Tx| insert(tx, &nonce).await;
            self.db.transact(SCOPE, insert).await.map_err(NonceStoreError::Db)
        })
    }

    fn sweep(&self, now: DateTime<Utc>, nonces_max: u32) -> BoxFuture<'_, Result<u64, NonceStoreError>> {
        Box::pin(async move {
            let sweep =
                async move |tx: &mut Tx| sweep(tx, now, DateTime::UNIX_EPOCH, i64::from(nonces_max)).await;
            self.db.transact(SCOPE, sweep).await.map(|(swept, _)| swept).map_err(NonceStoreError::Db)
        })
    }
}
