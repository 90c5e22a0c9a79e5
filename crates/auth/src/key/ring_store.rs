use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;
use stylobate_core::{AuditEvent, Clock, KeyId, RequestContext, Sealer};
use stylobate_db::{Conn, Db, Scope, Tx};
use uuid::Uuid;

use super::{
    KeyError, KeyPhase, KeySet, KeyTimes, Keys, Kid, SigningAlgorithm, SigningKey, rotation::signing,
};

const TABLE: &str = "signing_keys";
const SCOPE: Scope = Scope::Platform("signing keys");
/// How late a process may learn that a key has retired, with the database away for a while, and sign with it until then.
const FOLLOWED_WITHIN: Duration = Duration::from_secs(2 * 60);

/// How long keys matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyRingConfig {
    /// What new keys sign with: `EdDSA`, `ES256` or `ES384`; default `EdDSA`. When the newest key is of another algorithm,
    /// opening the ring begins a rotation.
    pub algorithm: SigningAlgorithm,
    /// How long a retired key still verifies: the lifetime of the last token it signed, and the leeway on top. Default
    /// 18 minutes, for tokens of 15 minutes. Shorter, and a rotation signs people out.
    pub overlap: Duration,
    /// How long a new key is published before it signs. Default 10 minutes: services that fetch our keys do so within
    /// the five minutes for which the answer may be cached, and have twice the time.
    pub publish_ahead: Duration,
}

impl Default for KeyRingConfig {
    fn default() -> Self {
        Self {
            algorithm: SigningAlgorithm::EdDsa,
            overlap: Duration::from_secs(18 * 60),
            publish_ahead: Duration::from_secs(10 * 60),
        }
    }
}

impl KeyRingConfig {
    /// The overlap that tokens of `config` need.
    #[must_use]
    pub fn for_tokens(config: &crate::TokenConfig) -> Self {
        // Both the signing and the verifying clock may be off by the leeway, in opposite directions.
        let overlap = config.lifetime + 2 * config.leeway + FOLLOWED_WITHIN;
        Self { overlap, ..Self::default() }
    }
}

/// When a new key takes over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotation {
    /// After it has been published for [`KeyRingConfig::publish_ahead`]: nobody meets a token of a key they cannot know.
    PublishAhead,
    /// At once. Services that remember our keys refuse new tokens until they ask again, which ours do within seconds.
    Now,
}

/// A key of the ring, for its operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyInfo {
    /// Its name.
    pub kid: Kid,
    /// What it signs with.
    pub algorithm: SigningAlgorithm,
    /// What it is good for.
    pub phase: KeyPhase,
    /// Whether it is the one that signs.
    pub is_signing: bool,
    /// Since when it verifies.
    pub created_at: DateTime<Utc>,
    /// When that changes.
    pub times: KeyTimes,
}

/// The generated signing keys of an installation: in the database, sealed, the same for every process.
///
/// A process follows the others by [`reload`](Self::reload), which [`Auth::run`](crate::Auth::run) does twice a second.
pub struct KeyRing {
    db: Db,
    sealer: Arc<dyn Sealer>,
    clock: Arc<dyn Clock>,
    config: KeyRingConfig,
    keys: Keys,
    /// Keys that have been unsealed, by name, with the row they come from. The sealer may be on the network.
    unsealed: Mutex<HashMap<Uuid, (KeyRow, Arc<SigningKey>)>>,
}

impl KeyRing {
    /// Loads the live keys, and on an empty table makes the first one. Of several processes that find the table empty at
    /// once, one makes the key and all load it.
    ///
    /// # Errors
    /// [`KeyError::KekMismatch`] when `sealer` does not open a key: another key-encryption key sealed it, and signing
    /// with a new one would split the installation. [`KeyError::RowCorrupt`] when a row does not hold what it should,
    /// [`KeyError::SigningKeyMissing`] when all keys are retired, [`KeyError::NotGenerated`] for an algorithm whose keys
    /// an operator has to supply, [`KeyError::Db`] for the database.
    pub async fn open(
        db: &Db,
        sealer: Arc<dyn Sealer>,
        clock: Arc<dyn Clock>,
        config: KeyRingConfig,
    ) -> Result<Self, KeyError> {
        let (keys, unsealed) = (Keys::new(KeySet::verify_only()), Mutex::default());
        let ring = Self { db: db.clone(), sealer, clock, config, keys, unsealed };
        if ring.has_no_key().await? {
            let first = ring.seal_new(ring.clock.now()).await?;
            let now = first.created_at;
            // The closure owns what it uses: one that borrows makes a future that cannot be spawned.
            let context = RequestContext::system("key_ring");
            let insert = async move |tx: &mut Tx| insert_audited(tx, &context, &first, 1, now).await;
            db.transact(SCOPE, insert).await?;
        }
        ring.reload().await?;
        ring.follow_algorithm().await?;
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
        let mut conn = self.db.read().await?;
        let rows = list(&mut conn).await?;
        // The sealer may be on the network: the connection goes back first.
        drop(conn);
        let rows: Vec<KeyRow> =
            rows.into_iter().filter(|row| row.phase(now, &self.config).verifies()).collect();
        let phases: Vec<KeyPhase> = rows.iter().map(|row| row.phase(now, &self.config)).collect();
        let mut keys = Vec::with_capacity(rows.len());
        for row in &rows {
            keys.push(self.unseal(row).await?);
        }
        self.unsealed.lock().retain(|kid, _| rows.iter().any(|row| row.kid == *kid));
        let place = signing(&phases).ok_or(KeyError::SigningKeyMissing)?;
        let signer = keys.get(place).ok_or(KeyError::SigningKeyMissing)?;
        let set = KeySet::signing_with_shared(Arc::clone(signer));
        let mut verifying = keys.iter().map(|key| key.verifying_key().clone());
        self.keys.replace_if_changed(verifying.try_fold(set, KeySet::also_accepting)?);
        Ok(())
    }

    /// Makes a new key. It verifies at once everywhere and signs as `when` says; the keys before it sign until then, and
    /// verify until their last token is over.
    ///
    /// # Errors
    /// [`KeyError::RotationPending`] when a key has been published that does not sign yet ([`Rotation::Now`] replaces
    /// it); [`KeyError::RotationConcurrent`] when somebody else added a key while this one was to sign at once; as
    /// [`open`](Self::open).
    pub async fn rotate(&self, ctx: &RequestContext, when: Rotation) -> Result<KeyInfo, KeyError> {
        let now = self.clock.now();
        let not_before = match when {
            Rotation::PublishAhead => {
                now + TimeDelta::from_std(self.config.publish_ahead).unwrap_or(TimeDelta::zero())
            }
            Rotation::Now => now,
        };
        let key = self.seal_new(not_before).await?;
        let kid = KeyId::from_uuid(key.kid);
        let context = ctx.clone();
        let add = async move |tx: &mut Tx| {
            let rows = list(tx).await?;
            let is_pending = |row: &KeyRow| row.not_before > now && row.times().revoked_at.is_none();
            let is_pending = |row: &KeyRow| is_pending(row) && row.retired_at.is_none_or(|at| at > now);
            if when == Rotation::PublishAhead && rows.iter().any(is_pending) {
                return Err(KeyError::RotationPending);
            }
            retire_all(tx, not_before).await?;
            let generation = rows.last().map_or(1, |row| row.generation + 1);
            if !insert_audited(tx, &context, &key, generation, now).await? {
                return Err(match when {
                    // What the other one published is what was asked for.
                    Rotation::PublishAhead => KeyError::RotationPending,
                    Rotation::Now => KeyError::RotationConcurrent,
                });
            }
            Ok::<_, KeyError>(())
        };
        self.db.transact(SCOPE, add).await?;
        self.reload().await?;
        self.info(kid).await
    }

    /// Withdraws the key `kid`: tokens that it signed stop here at once, and in other processes as soon as they reload.
    /// For a key that may have been stolen. When it was the last that could sign, a new one takes its place.
    ///
    /// # Errors
    /// [`KeyError::KeyUnknown`] when there is none, or none any more; [`KeyError::RotationConcurrent`] when somebody else
    /// added a key at the same moment, and then nothing is withdrawn; as [`open`](Self::open).
    pub async fn revoke(&self, ctx: &RequestContext, kid: &Kid) -> Result<(), KeyError> {
        let id: KeyId = kid.as_str().parse().map_err(|_| KeyError::KeyUnknown)?;
        let now = self.clock.now();
        let replacement = self.seal_new(now).await?;
        let context = ctx.clone();
        let config = self.config;
        let revoke = async move |tx: &mut Tx| {
            let rows = list(tx).await?;
            let is_live = |row: &&KeyRow| row.phase(now, &config).verifies();
            if !rows.iter().filter(is_live).any(|row| row.kid == id.as_uuid()) {
                return Err(KeyError::KeyUnknown);
            }
            withdraw(tx, id, now).await?;
            tx.audit(AuditEvent::new(&context, "signing_key.revoke", "signing_key").on(id));
            let will_sign = |row: &KeyRow| {
                matches!(row.phase(now, &config), KeyPhase::Active | KeyPhase::Published)
                    && row.retired_at.is_none()
            };
            if !rows.iter().any(|row| row.kid != id.as_uuid() && will_sign(row)) {
                let generation = rows.last().map_or(1, |row| row.generation + 1);
                if !insert_audited(tx, &context, &replacement, generation, now).await? {
                    return Err(KeyError::RotationConcurrent);
                }
            }
            Ok::<_, KeyError>(())
        };
        self.db.transact(SCOPE, revoke).await?;
        self.reload().await
    }

    /// All keys there ever were, newest first.
    ///
    /// # Errors
    /// [`KeyError::RowCorrupt`], [`KeyError::Db`].
    pub async fn list(&self) -> Result<Vec<KeyInfo>, KeyError> {
        let now = self.clock.now();
        let mut conn = self.db.read().await?;
        let rows = list(&mut conn).await?;
        let phases: Vec<KeyPhase> = rows.iter().map(|row| row.phase(now, &self.config)).collect();
        let signing = signing(&phases);
        let infos = rows.iter().zip(phases).enumerate();
        let infos = infos.map(|(place, (row, phase))| row.info(phase, signing == Some(place)));
        let mut infos = infos.collect::<Result<Vec<_>, _>>()?;
        infos.reverse();
        Ok(infos)
    }

    /// How long keys matter.
    #[must_use]
    pub fn config(&self) -> &KeyRingConfig {
        &self.config
    }

    async fn info(&self, kid: KeyId) -> Result<KeyInfo, KeyError> {
        let kid = Kid::from(kid);
        self.list().await?.into_iter().find(|info| info.kid == kid).ok_or(KeyError::KeyUnknown)
    }

    /// Begins a rotation when the newest key does not sign as configured.
    async fn follow_algorithm(&self) -> Result<(), KeyError> {
        let newest = self.list().await?.into_iter().find(|info| info.phase.verifies());
        if newest.is_none_or(|info| info.algorithm == self.config.algorithm) {
            return Ok(());
        }
        match self.rotate(&RequestContext::system("key_ring"), Rotation::PublishAhead).await {
            // Another process begins the same at this moment.
            Ok(_) | Err(KeyError::RotationPending) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn has_no_key(&self) -> Result<bool, KeyError> {
        let mut conn = self.db.read().await?;
        let count: i64 = conn.q("SELECT count(*) FROM signing_keys").scalar().await?;
        Ok(count == 0)
    }

    /// A new key, sealed for its row.
    async fn seal_new(&self, not_before: DateTime<Utc>) -> Result<KeyRow, KeyError> {
        let now = self.clock.now();
        let kid = KeyId::new(now);
        let (key, pkcs8) = SigningKey::generate(self.config.algorithm)?;
        Ok(KeyRow {
            kid: kid.as_uuid(),
            generation: 0,
            algorithm: key.algorithm().to_string(),
            private_key_sealed: self.sealer.seal(&pkcs8, &seal_context(kid)).await?,
            public_key: key.verifying_key().public_key().to_vec(),
            created_at: now,
            not_before,
            retired_at: None,
            revoked_at: None,
        })
    }

    async fn unseal(&self, row: &KeyRow) -> Result<Arc<SigningKey>, KeyError> {
        if let Some((known, key)) = self.unsealed.lock().get(&row.kid)
            && known.holds_the_key_of(row)
        {
            return Ok(Arc::clone(key));
        }
        let kid = KeyId::from_uuid(row.kid);
        let corrupt = || row.corrupt();
        let pkcs8 =
            zeroize::Zeroizing::new(self.sealer.open(&row.private_key_sealed, &seal_context(kid)).await?);
        let algorithm = row.algorithm()?;
        // Keys of the other algorithms come from an operator and are never in the ring.
        if !algorithm.is_generated() {
            return Err(corrupt());
        }
        let key = SigningKey::from_pkcs8(algorithm, &pkcs8).map_err(|_| corrupt())?;
        // The public half lies in the open: whoever can write the table must not be able to plant one.
        if key.verifying_key().public_key() != row.public_key {
            return Err(corrupt());
        }
        let key = Arc::new(key.with_kid(Kid::from(kid)));
        self.unsealed.lock().insert(row.kid, (row.clone(), Arc::clone(&key)));
        Ok(key)
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

#[derive(Clone, sqlx::FromRow)]
struct KeyRow {
    kid: Uuid,
    generation: i64,
    algorithm: String,
    private_key_sealed: Vec<u8>,
    public_key: Vec<u8>,
    created_at: DateTime<Utc>,
    not_before: DateTime<Utc>,
    retired_at: Option<DateTime<Utc>>,
    revoked_at: Option<DateTime<Utc>>,
}

impl KeyRow {
    fn times(&self) -> KeyTimes {
        KeyTimes { not_before: self.not_before, retired_at: self.retired_at, revoked_at: self.revoked_at }
    }

    fn phase(&self, now: DateTime<Utc>, config: &KeyRingConfig) -> KeyPhase {
        self.times().phase(now, TimeDelta::from_std(config.overlap).unwrap_or(TimeDelta::MAX))
    }

    fn algorithm(&self) -> Result<SigningAlgorithm, KeyError> {
        self.algorithm.parse().map_err(|_| self.corrupt())
    }

    fn info(&self, phase: KeyPhase, is_signing: bool) -> Result<KeyInfo, KeyError> {
        Ok(KeyInfo {
            kid: Kid::from(KeyId::from_uuid(self.kid)),
            algorithm: self.algorithm()?,
            phase,
            is_signing,
            created_at: self.created_at,
            times: self.times(),
        })
    }

    /// Whether what was unsealed from this row is what `other` holds.
    fn holds_the_key_of(&self, other: &Self) -> bool {
        self.algorithm == other.algorithm
            && self.public_key == other.public_key
            && self.private_key_sealed == other.private_key_sealed
    }

    fn corrupt(&self) -> KeyError {
        KeyError::RowCorrupt { table: TABLE, id: KeyId::from_uuid(self.kid).to_string() }
    }
}

/// Lists the keys, oldest first. There is one more with each rotation: a handful.
async fn list(conn: &mut Conn) -> Result<Vec<KeyRow>, KeyError> {
    let rows = conn
        .q("SELECT kid, generation, algorithm, private_key_sealed, public_key, created_at, not_before, retired_at, \
            revoked_at FROM signing_keys ORDER BY generation")
        .all()
        .await?;
    Ok(rows)
}

async fn insert_audited(
    tx: &mut Tx,
    context: &RequestContext,
    row: &KeyRow,
    generation: i64,
    now: DateTime<Utc>,
) -> Result<bool, KeyError> {
    let is_new = insert(tx, row, generation, now).await?;
    if is_new {
        let event =
            AuditEvent::new(context, "signing_key.create", "signing_key").on(KeyId::from_uuid(row.kid));
        tx.audit(event.with("algorithm", row.algorithm.as_str()));
    }
    Ok(is_new)
}

/// Adds a key, unless its generation exists already: then another process was first, and nothing happens.
async fn insert(
    conn: &mut Conn,
    row: &KeyRow,
    generation: i64,
    now: DateTime<Utc>,
) -> Result<bool, KeyError> {
    let rows = conn
        .q("INSERT INTO signing_keys \
            (kid, generation, algorithm, private_key_sealed, public_key, created_at, not_before, retired_at) \
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (generation) DO NOTHING")
        .bind(row.kid)
        .bind(generation)
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

/// Lets no key sign after `at` that would. One that retires earlier keeps its time.
async fn retire_all(conn: &mut Conn, at: DateTime<Utc>) -> Result<(), KeyError> {
    conn.q("UPDATE signing_keys SET retired_at = $1 WHERE retired_at IS NULL OR retired_at > $1")
        .bind(at)
        .run()
        .await?;
    Ok(())
}

async fn withdraw(conn: &mut Conn, kid: KeyId, at: DateTime<Utc>) -> Result<(), KeyError> {
    conn.q("UPDATE signing_keys SET revoked_at = $1 WHERE kid = $2 AND revoked_at IS NULL")
        .bind(at)
        .bind(kid.as_uuid())
        .run()
        .await?;
    Ok(())
}
