use std::sync::Arc;

use chrono::{DateTime, Utc};
use stylobate_core::{AuditEvent, Clock, RequestContext, Sealer};
use stylobate_db::{Conn, Db, Scope, Tx};
use zeroize::Zeroizing;

use super::{KeyError, PlatformSecret};

const TABLE: &str = "sealed_secrets";
const SCOPE: Scope = Scope::Platform("sealed secrets");

/// Secrets that an installation makes for itself once and keeps in its database, sealed.
pub(crate) struct SealedSecrets {
    db: Db,
    sealer: Arc<dyn Sealer>,
    clock: Arc<dyn Clock>,
}

impl SealedSecrets {
    /// Keeps secrets in `db`, sealed by `sealer`.
    pub(crate) fn new(db: &Db, sealer: Arc<dyn Sealer>, clock: Arc<dyn Clock>) -> Self {
        Self { db: db.clone(), sealer, clock }
    }

    /// The secret called `name`, made on first use. Every process gets the same one, also when several ask first.
    ///
    /// # Errors
    /// [`KeyError::KekMismatch`] when it was sealed by another key-encryption key, [`KeyError::RowCorrupt`] when it
    /// opens to something else than 32 bytes, [`KeyError::Db`] for the database.
    pub(crate) async fn get_or_create(&self, name: &'static str) -> Result<PlatformSecret, KeyError> {
        if let Some(sealed) = self.find(name).await? {
            return self.unseal(name, &sealed).await;
        }
        let fresh = Zeroizing::new(super::random::<32>()?);
        let sealed = self.sealer.seal(&*fresh, &seal_context(name)).await?;
        let now = self.clock.now();
        // The closure owns what it uses: one that borrows makes a future that cannot be spawned.
        let owned = name.to_owned();
        self.db
            .transact(SCOPE, async move |tx: &mut Tx| insert_audited(tx, &owned, &sealed, now).await)
            .await?;
        // Read again rather than returned: another process may have been first.
        let corrupt = || KeyError::RowCorrupt { table: TABLE, id: name.to_owned() };
        let sealed = self.find(name).await?.ok_or_else(corrupt)?;
        self.unseal(name, &sealed).await
    }

    async fn find(&self, name: &str) -> Result<Option<Vec<u8>>, KeyError> {
        let mut conn = self.db.read().await?;
        Ok(find(&mut conn, name).await?)
    }

    async fn unseal(&self, name: &str, sealed: &[u8]) -> Result<PlatformSecret, KeyError> {
        let opened = Zeroizing::new(self.sealer.open(sealed, &seal_context(name)).await?);
        let bytes = opened.as_slice().try_into();
        bytes
            .map(PlatformSecret::from_bytes)
            .map_err(|_| KeyError::RowCorrupt { table: TABLE, id: name.to_owned() })
    }
}

/// Binds a sealed secret to its row.
fn seal_context(name: &str) -> Vec<u8> {
    format!("{TABLE}:{name}").into_bytes()
}

async fn find(conn: &mut Conn, name: &str) -> Result<Option<Vec<u8>>, stylobate_db::Error> {
    conn.q("SELECT sealed FROM sealed_secrets WHERE name = $1").bind(name.to_owned()).scalar_opt().await
}

/// Adds a secret, unless there is one of that name already: then another process was first, and nothing happens.
async fn insert_audited(tx: &mut Tx, name: &str, sealed: &[u8], now: DateTime<Utc>) -> Result<(), KeyError> {
    let rows = tx
        .q("INSERT INTO sealed_secrets (name, sealed, created_at) VALUES ($1, $2, $3) ON CONFLICT (name) DO NOTHING")
        .bind(name)
        .bind(sealed)
        .bind(now)
        .run()
        .await?;
    if rows == 1 {
        let context = RequestContext::system("sealed_secrets");
        tx.audit(AuditEvent::new(&context, "sealed_secret.create", "sealed_secret").on(name));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use stylobate_testkit::{ManualClock, TestDb, both_engines};

    use super::*;
    use crate::{KeyEncryptionKey, LocalSealer};

    fn sealer() -> Arc<dyn Sealer> {
        Arc::new(LocalSealer::new(&KeyEncryptionKey::generate().unwrap()))
    }

    async fn a_sealed_secret_is_made_once_and_agreed_upon(db: TestDb) {
        let (sealer, clock) = (sealer(), Arc::new(ManualClock::new()));
        let asks: Vec<_> = (0..8)
            .map(|_| {
                let secrets = SealedSecrets::new(&db, Arc::clone(&sealer), Arc::clone(&clock) as _);
                tokio::spawn(async move { *secrets.get_or_create("session_pepper").await.unwrap().expose() })
            })
            .collect();
        let mut secrets = Vec::new();
        for ask in asks {
            secrets.push(ask.await.unwrap());
        }
        assert!(secrets.iter().all(|secret| *secret == secrets[0]));
        let store = SealedSecrets::new(&db, Arc::clone(&sealer), Arc::clone(&clock) as _);
        assert_ne!(store.get_or_create("another").await.unwrap().expose(), &secrets[0]);
        let debug = format!("{:?}", store.get_or_create("another").await.unwrap());
        assert_eq!(debug, "PlatformSecret([redacted])");
    }
    both_engines!(a_sealed_secret_is_made_once_and_agreed_upon, &[&crate::MIGRATIONS]);

    async fn a_sealed_secret_does_not_open_with_another_key_or_name(db: TestDb) {
        let (ours, clock) = (sealer(), Arc::new(ManualClock::new()));
        let store = SealedSecrets::new(&db, Arc::clone(&ours), Arc::clone(&clock) as _);
        store.get_or_create("first").await.unwrap();
        let theirs = SealedSecrets::new(&db, sealer(), Arc::clone(&clock) as _);
        assert_eq!(theirs.get_or_create("first").await.unwrap_err().code(), "kek_mismatch");
        let copy = "INSERT INTO sealed_secrets (name, sealed, created_at) \
             SELECT 'second', sealed, $1 FROM sealed_secrets WHERE name = 'first'";
        let now = clock.now();
        db.transact(SCOPE, async |tx: &mut Tx| tx.q(copy).bind(now).run().await).await.unwrap();
        assert_eq!(store.get_or_create("second").await.unwrap_err().code(), "kek_mismatch");
    }
    both_engines!(a_sealed_secret_does_not_open_with_another_key_or_name, &[&crate::MIGRATIONS]);
}
