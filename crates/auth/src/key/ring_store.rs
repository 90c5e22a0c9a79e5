use std::{fmt, sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use stylobate_core::{AuditEvent, Clock, KeyId, RequestContext, Sealer};
use stylobate_db::{Conn, Db, Scope, Tx};
use uuid::Uuid;

use super::{KeyError, KeySet, Keys, Kid, SigningAlgorithm, SigningKey};

const TABLE: &str = "signing_keys";
const SCOPE: Scope = Scope::Platform("signing keys");

/// How long keys matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyRingConfig {
    /// How long a retired key still verifies: the lifetime of the last token it signed, and the leeway on top. Default
    /// 16 minutes, for tokens of 15 minutes. Shorter, and a rotation signs people out.
    pub overlap: Duration,
}

impl Default for KeyRingConfig {
    fn default() -> Self {
        Self { overlap: Duration::from_secs(16 * 60) }
    }
}

impl KeyRingConfig {
    /// The overlap that tokens of `config` need.
    #[must_use]
    pub fn for_tokens(config: &crate::TokenConfig) -> Self {
        // Both the signing and the verifying clock may be off by the leeway, in opposite directions.
        Self { overlap: config.lifetime + 2 * config.leeway }
    }
}

/// The generated signing keys of an installation: in the database, sealed, the same for every process.
pub struct KeyRing {
    db: Db,
    sealer: Arc<dyn Sealer>,
    clock: Arc<dyn Clock>,
    config: KeyRingConfig,
    keys: Keys,
}

impl KeyRing {
    /// Loads the live keys, and on an empty table makes the first one (EdDSA). Of several processes that find the
    /// table empty at once, one makes the key and all load it.
    ///
    /// # Errors
    /// [`KeyError::KekMismatch`] when `sealer` does not open a key: another key-encryption key sealed it, and signing
    /// with a new one would split the installation. [`KeyError::RowCorrupt`] when a row does not hold what it should,
    /// [`KeyError::SigningKeyMissing`] when all keys are retired, [`KeyError::Db`] for the database.
    pub async fn open(
        db: &Db,
        sealer: Arc<dyn Sealer>,
        clock: Arc<dyn Clock>,
        config: KeyRingConfig,
    ) -> Result<Self, KeyError> {
        let ring = Self { db: db.clone(), sealer, clock, config, keys: Keys::new(KeySet::verify_only()) };
        if ring.has_no_key().await? {
            ring.insert_first().await?;
        }
        ring.reload().await?;
        Ok(ring)
    }

    /// The present keys, for [`Signer`](crate::Signer) and [`Verifier`](crate::Verifier); they follow every reload.
    #[must_use]
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Reads the live keys again and swaps them in at once. On an error the present keys stay.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn reload(&self) -> Result<(), KeyError> {
        let now = self.clock.now();
        let overlap = TimeDelta::from_std(self.config.overlap).unwrap_or(TimeDelta::MAX);
        let verifies_after = now.checked_sub_signed(overlap).unwrap_or(DateTime::<Utc>::MIN_UTC);
        let mut conn = self.db.read().await?;
        let rows = list_live(&mut conn, verifies_after).await?;
        // The sealer may be on the network: the connection goes back first.
        drop(conn);
        let mut keys = Vec::with_capacity(rows.len());
        for row in rows {
            keys.push((self.unseal(&row).await?, row));
        }
        self.keys.replace(key_set(keys, now)?);
        Ok(())
    }

    async fn has_no_key(&self) -> Result<bool, KeyError> {
        let mut conn = self.db.read().await?;
        let count: i64 = conn.q("SELECT count(*) FROM signing_keys").scalar().await?;
        Ok(count == 0)
    }

    async fn insert_first(&self) -> Result<(), KeyError> {
        let now = self.clock.now();
        let kid = KeyId::new(now);
        let (key, pkcs8) = SigningKey::generate_ed25519()?;
        let private_key_sealed = self.sealer.seal(&pkcs8, &seal_context(kid)).await?;
        let row = KeyRow {
            kid: kid.as_uuid(),
            generation: 1,
            algorithm: key.algorithm().to_string(),
            private_key_sealed,
            public_key: key.verifying_key().public_key().to_vec(),
            not_before: now,
            retired_at: None,
        };
        // The closure owns what it uses: one that borrows makes a future that cannot be spawned.
        self.db.transact(SCOPE, async move |tx: &mut Tx| insert_audited(tx, &row, now).await).await
    }

    async fn unseal(&self, row: &KeyRow) -> Result<SigningKey, KeyError> {
        let kid = KeyId::from_uuid(row.kid);
        let corrupt = || KeyError::RowCorrupt { table: TABLE, id: kid.to_string() };
        let pkcs8 =
            zeroize::Zeroizing::new(self.sealer.open(&row.private_key_sealed, &seal_context(kid)).await?);
        let key = match row.algorithm.parse().map_err(|_| corrupt())? {
            SigningAlgorithm::EdDsa => SigningKey::ed25519_from_pkcs8(&pkcs8).map_err(|_| corrupt())?,
            // Keys of the other algorithms come from an operator and are never in the ring.
            SigningAlgorithm::Hs256 | SigningAlgorithm::Rs256 | SigningAlgorithm::Ps256 => {
                return Err(corrupt());
            }
        };
        // The public half lies in the open: whoever can write the table must not be able to plant one.
        if key.verifying_key().public_key() != row.public_key {
            return Err(corrupt());
        }
        Ok(key.with_kid(Kid::from(kid)))
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRing")
            .field("config", &self.config)
            .field("keys", &self.keys)
            .finish_non_exhaustive()
    }
}

/// Binds a sealed private half to its row.
fn seal_context(kid: KeyId) -> Vec<u8> {
    format!("{TABLE}:{kid}").into_bytes()
}

/// All keys verify; the newest that may sign does. Rows come oldest first.
fn key_set(keys: Vec<(SigningKey, KeyRow)>, now: DateTime<Utc>) -> Result<KeySet, KeyError> {
    let verifying: Vec<_> = keys.iter().map(|(key, _)| key.verifying_key().clone()).collect();
    let mut candidates: Vec<_> =
        keys.into_iter().filter(|(_, row)| row.retired_at.is_none_or(|at| at > now)).collect();
    // When none has come of age, the oldest one signs: it is a key that another process made a moment ago by a clock
    // ahead of ours.
    let place = candidates.iter().rposition(|(_, row)| row.not_before <= now).unwrap_or(0);
    if candidates.is_empty() {
        return Err(KeyError::SigningKeyMissing);
    }
    let (signing, _) = candidates.swap_remove(place);
    verifying.into_iter().try_fold(KeySet::signing_with(signing), KeySet::also_accepting)
}

#[derive(sqlx::FromRow)]
struct KeyRow {
    kid: Uuid,
    generation: i64,
    algorithm: String,
    private_key_sealed: Vec<u8>,
    public_key: Vec<u8>,
    not_before: DateTime<Utc>,
    retired_at: Option<DateTime<Utc>>,
}

/// Lists the keys that were not retired before `retired_after`, oldest first.
async fn list_live(conn: &mut Conn, retired_after: DateTime<Utc>) -> Result<Vec<KeyRow>, KeyError> {
    let rows = conn
        .q("SELECT kid, generation, algorithm, private_key_sealed, public_key, not_before, retired_at \
            FROM signing_keys WHERE retired_at IS NULL OR retired_at > $1 ORDER BY generation")
        .bind(retired_after)
        .all()
        .await?;
    Ok(rows)
}

async fn insert_audited(tx: &mut Tx, row: &KeyRow, now: DateTime<Utc>) -> Result<(), KeyError> {
    if insert(tx, row, now).await? {
        let context = RequestContext::system("key_ring");
        let event =
            AuditEvent::new(&context, "signing_key.create", "signing_key").on(KeyId::from_uuid(row.kid));
        tx.audit(event.with("algorithm", row.algorithm.as_str()));
    }
    Ok(())
}

/// Adds a key, unless its generation exists already: then another process was first, and nothing happens.
async fn insert(conn: &mut Conn, row: &KeyRow, now: DateTime<Utc>) -> Result<bool, KeyError> {
    let rows = conn
        .q("INSERT INTO signing_keys \
            (kid, generation, algorithm, private_key_sealed, public_key, created_at, not_before, retired_at) \
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (generation) DO NOTHING")
        .bind(row.kid)
        .bind(row.generation)
        .bind(row.algorithm.as_str())
        .bind(row.private_key_sealed.as_slice())
        .bind(row.public_key.as_slice())
        .bind(now)
        .bind(row.not_before)
        .bind(row.retired_at)
        .run()
        .await?;
    Ok(rows == 1)
}
