use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use quick_cache::sync::Cache;
use stylobate_core::{BoxFuture, ServiceId, ServiceKeyId};
use stylobate_db::Db;
use uuid::Uuid;

use super::key_store::{self, ReadKey};
use crate::{HeldKey, KeyHolder, KeySource, KeySourceError, Revocations};

/// The keys that service accounts have registered: a request that one of them signed acts for its account. Clone it freely, all
/// clones share what is remembered.
///
/// Get it from [`Auth::service_keys`](crate::Auth::service_keys), for a [`RequestVerifier`](crate::RequestVerifier). A key that was
/// read is used for half a minute; when its account changes, or a key of it is revoked, it is read again: at once in this process
/// and within a second in others. While memory is stale every request reads the row, and when that fails nothing is accepted.
#[derive(Clone)]
pub struct SqlKeys(Arc<Inner>);

struct Inner {
    db: Db,
    revocations: Revocations,
    known: Cache<ServiceKeyId, Arc<KnownKey>>,
}

/// A key as it was read.
struct KnownKey {
    held: Arc<HeldKey>,
    service: ServiceId,
    version: i64,
    not_before: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    /// When the read began.
    read_at: Instant,
}

impl KnownKey {
    /// The key, when it may sign at `now`.
    fn held_at(&self, now: DateTime<Utc>) -> Option<Arc<HeldKey>> {
        (self.not_before <= now && now < self.expires_at).then(|| Arc::clone(&self.held))
    }
}

/// The key that is called so. A second spelling would be a second name for nonces.
fn parsed(key_id: &str) -> Option<ServiceKeyId> {
    let id = key_id.parse::<ServiceKeyId>().ok()?;
    let mut buffer = Uuid::encode_buffer();
    (id.as_uuid().hyphenated().encode_lower(&mut buffer) == key_id).then_some(id)
}

/// How long a key is used without being read again: far shorter than it is remembered that its account changed (at least the
/// lifetime of a token, a minute), so that no key outlives its revocation in here.
const KNOWN_FOR: Duration = Duration::from_secs(30);

impl SqlKeys {
    pub(crate) fn new(db: Db, revocations: Revocations, entries: usize) -> Self {
        Self(Arc::new(Inner { db, revocations, known: Cache::new(entries) }))
    }

    /// What memory says of a key, if it may decide.
    fn remembered(&self, id: ServiceKeyId) -> Option<Arc<KnownKey>> {
        let known = self.0.known.get(&id)?;
        let revocations = &self.0.revocations;
        let is_current = revocations.may_decide(known.held.holder.tenant)
            && known.read_at.elapsed() < KNOWN_FOR
            && !revocations.is_older(known.service.as_uuid(), known.version);
        is_current.then_some(known)
    }

    async fn read(&self, id: ServiceKeyId) -> Result<Option<Arc<KnownKey>>, KeySourceError> {
        let read_at = Instant::now();
        let unreachable = |error| KeySourceError(Box::new(error));
        let mut conn = self.0.db.read().await.map_err(unreachable)?;
        let read = key_store::find_to_check(&mut conn, id).await;
        drop(conn);
        // One that opens nothing is not kept: it is read again each time, and its place is for others.
        let Some(read) = read.map_err(unreachable)?.filter(|read| read.is_open) else {
            self.0.known.remove(&id);
            return Ok(None);
        };
        let ReadKey { key, service, tenant, name, version, is_open: _, not_before, expires_at } = read;
        let holder = KeyHolder { service, tenant: Some(tenant), name: name.into() };
        let held = Arc::new(HeldKey { key, holder });
        let known = Arc::new(KnownKey { held, service, version, not_before, expires_at, read_at });
        self.0.known.insert(id, Arc::clone(&known));
        Ok(Some(known))
    }
}

impl KeySource for SqlKeys {
    fn find_now(&self, key_id: &str, now: DateTime<Utc>) -> Option<Arc<HeldKey>> {
        self.remembered(parsed(key_id)?)?.held_at(now)
    }

    fn find<'a>(
        &'a self,
        key_id: &'a str,
        now: DateTime<Utc>,
    ) -> BoxFuture<'a, Result<Option<Arc<HeldKey>>, KeySourceError>> {
        Box::pin(async move {
            let Some(id) = parsed(key_id) else { return Ok(None) };
            let known = match self.remembered(id) {
                Some(known) => Some(known),
                None => self.read(id).await?,
            };
            Ok(known.and_then(|known| known.held_at(now)))
        })
    }
}

impl fmt::Debug for SqlKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqlKeys").field("remembered", &self.0.known.len()).finish_non_exhaustive()
    }
}
