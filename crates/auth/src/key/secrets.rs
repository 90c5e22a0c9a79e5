use std::{fmt, sync::Arc};

use chrono::{DateTime, Utc};
use stylobate_core::{AuditEvent, Clock, RequestContext, Sealer};
use stylobate_db::{Conn, Db, Scope, Tx};
use zeroize::Zeroizing;

use super::{KeyError, PlatformSecret};

const TABLE: &str = "sealed_secrets";
const SCOPE: Scope = Scope::Platform("sealed secrets");

/// Secrets that an installation makes for itself once and keeps in its database, sealed.
pub struct SealedSecrets {
    db: Db,
    sealer: Arc<dyn Sealer>,
    clock: Arc<dyn Clock>,
}

impl SealedSecrets {
    /// Keeps secrets in `db`, sealed by `sealer`.
    #[must_use]
    pub fn new(db: &Db, sealer: Arc<dyn Sealer>, clock: Arc<dyn Clock>) -> Self {
        Self { db: db.clone(), sealer, clock }
    }

    /// The secret called `name`, made on first use. Every process gets the same one, also when several ask first.
    ///
    /// # Errors
    /// [`KeyError::KekMismatch`] when it was sealed by another key-encryption key, [`KeyError::RowCorrupt`] when it
    /// opens to something else than 32 bytes, [`KeyError::Db`] for the database.
    pub async fn get_or_create(&self, name: &'static str) -> Result<PlatformSecret, KeyError> {
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

impl fmt::Debug for SealedSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedSecrets").finish_non_exhaustive()
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
