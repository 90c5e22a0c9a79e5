use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use parking_lot::RwLock;
use stylobate_core::{ApiKeyId, PersonId, ServiceId, SessionId, TenantId};
use uuid::Uuid;

/// What stopped working.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revocation {
    /// All tokens of a session.
    Session(SessionId),
    /// All tokens of a subject from before this credential epoch.
    Subject(PersonId, i64),
    /// What is remembered of an API key from before this version.
    ApiKey(ApiKeyId, i64),
    /// What is remembered of a service account from before this version.
    Service(ServiceId, i64),
    /// What is remembered of anything that was issued for a tenant.
    Tenant(TenantId),
}

/// The live revocations of a process, as [`Auth::revocations`](crate::Auth::revocations) shows them; who writes them is
/// [`Auth`](crate::Auth) alone. Clone it freely, all clones share them.
#[derive(Clone)]
pub struct Revocations(Arc<Inner>);

struct Inner {
    sessions: Shards<()>,
    subjects: Shards<i64>,
    tenants: Shards<()>,
    /// What the times below count from.
    base: Instant,
    /// When the last successful read of the rows began, in nanoseconds since `base`, plus one; 0 is never.
    read_at: AtomicU64,
}

impl Revocations {
    /// How old the last read of the rows may be before memory is no longer trusted: what A5 of the security promises
    /// allows a revocation to take.
    pub const STALE_AFTER: Duration = Duration::from_secs(1);

    /// None yet, and stale until rows have been read.
    pub(crate) fn new() -> Self {
        let inner = Inner {
            sessions: Shards::new(),
            subjects: Shards::new(),
            tenants: Shards::new(),
            base: Instant::now(),
            read_at: AtomicU64::new(0),
        };
        Self(Arc::new(inner))
    }

    /// Whether a token of `session`, issued to `subject` in `epoch`, has been revoked.
    #[must_use]
    pub fn is_revoked(&self, session: SessionId, subject: PersonId, epoch: i64) -> bool {
        self.0.sessions.find(session.as_uuid()).is_some()
            || self.0.subjects.find(subject.as_uuid()).is_some_and(|since| epoch < since)
    }

    /// Whether what is known of a subject, a key or a service account in `epoch` has been replaced since.
    pub(crate) fn is_older(&self, id: Uuid, epoch: i64) -> bool {
        self.0.subjects.find(id).is_some_and(|since| epoch < since)
    }

    /// Whether the rows were read so recently that a token which is not in here has not been revoked.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        match self.0.read_at.load(Ordering::Acquire) {
            0 => false,
            read_at => self.0.nanos(Instant::now()).saturating_sub(read_at - 1) <= STALE_NANOS,
        }
    }

    /// Whether memory may let a credential of `tenant` in: it is fresh, and the tenant was not ended while tokens live that were
    /// issued before. Otherwise the row decides.
    pub(crate) fn may_decide(&self, tenant: Option<TenantId>) -> bool {
        self.is_fresh() && tenant.is_none_or(|id| self.0.tenants.find(id.as_uuid()).is_none())
    }

    /// Adds a revocation, to be kept until `expires_at`. Adding it again changes nothing; a subject keeps its highest
    /// epoch.
    pub(crate) fn add(&self, revocation: Revocation, expires_at: DateTime<Utc>) {
        let older = |id, epoch| {
            self.0.subjects.add(id, epoch, expires_at, |old, new| *old = (*old).max(new));
        };
        match revocation {
            Revocation::Session(id) => self.0.sessions.add(id.as_uuid(), (), expires_at, |_, ()| ()),
            Revocation::Subject(id, epoch) => older(id.as_uuid(), epoch),
            Revocation::ApiKey(id, version) => older(id.as_uuid(), version),
            Revocation::Service(id, version) => older(id.as_uuid(), version),
            Revocation::Tenant(id) => self.0.tenants.add(id.as_uuid(), (), expires_at, |_, ()| ()),
        }
    }

    /// Records that a read of the rows which began at `began` has been taken in.
    pub(crate) fn mark_read(&self, began: Instant) {
        self.0.read_at.fetch_max(self.0.nanos(began) + 1, Ordering::AcqRel);
    }

    /// Forgets what expired before `now`: those tokens are refused for their age.
    pub(crate) fn forget_expired(&self, now: DateTime<Utc>) {
        self.0.sessions.forget_expired(now);
        self.0.subjects.forget_expired(now);
        self.0.tenants.forget_expired(now);
    }

    /// How many are live.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.sessions.len() + self.0.subjects.len() + self.0.tenants.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl fmt::Debug for Revocations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Revocations").field("len", &self.len()).field("is_fresh", &self.is_fresh()).finish()
    }
}

/// [`Revocations::STALE_AFTER`] as a number.
const STALE_NANOS: u64 = 1_000_000_000;

impl Inner {
    fn nanos(&self, at: Instant) -> u64 {
        // 584 years fit.
        u64::try_from(at.saturating_duration_since(self.base).as_nanos()).unwrap_or(u64::MAX - 1)
    }
}

/// A map that is read at every request and written at logouts: split so that readers on different cores rarely meet,
/// and with a count beside it, because most of the time it is empty.
struct Shards<V> {
    shards: [RwLock<HashMap<Uuid, Entry<V>>>; SHARDS],
    count: AtomicUsize,
}

struct Entry<V> {
    value: V,
    expires_at: DateTime<Utc>,
}

const SHARDS: usize = 16;

impl<V: Copy> Shards<V> {
    fn new() -> Self {
        Self { shards: std::array::from_fn(|_| RwLock::new(HashMap::new())), count: AtomicUsize::new(0) }
    }

    #[expect(clippy::indexing_slicing, reason = "the index is below the number of shards")]
    fn shard(&self, id: Uuid) -> &RwLock<HashMap<Uuid, Entry<V>>> {
        // The last byte of a UUIDv7 is random.
        &self.shards[usize::from(id.as_bytes()[15]) % SHARDS]
    }

    fn find(&self, id: Uuid) -> Option<V> {
        if self.count.load(Ordering::Acquire) == 0 {
            return None;
        }
        self.shard(id).read().get(&id).map(|entry| entry.value)
    }

    fn add(&self, id: Uuid, value: V, expires_at: DateTime<Utc>, merge: impl FnOnce(&mut V, V)) {
        let mut shard = self.shard(id).write();
        match shard.get_mut(&id) {
            Some(entry) => {
                merge(&mut entry.value, value);
                entry.expires_at = entry.expires_at.max(expires_at);
            }
            None => {
                shard.insert(id, Entry { value, expires_at });
                self.count.fetch_add(1, Ordering::AcqRel);
            }
        }
    }

    fn forget_expired(&self, now: DateTime<Utc>) {
        for shard in &self.shards {
            let mut shard = shard.write();
            let before = shard.len();
            shard.retain(|_, entry| entry.expires_at > now);
            self.count.fetch_sub(before - shard.len(), Ordering::AcqRel);
        }
    }

    fn len(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_772_366_400 + seconds, 0).unwrap()
    }

    #[test]
    fn a_revoked_session_is_over_and_others_are_not() {
        let revocations = Revocations::new();
        let (one, other, person) = (SessionId::new(at(0)), SessionId::new(at(0)), PersonId::new(at(0)));
        revocations.add(Revocation::Session(one), at(900));
        assert!(revocations.is_revoked(one, person, 7));
        assert!(!revocations.is_revoked(other, person, 7));
    }

    #[test]
    fn a_subject_loses_the_tokens_of_earlier_epochs_alone() {
        let revocations = Revocations::new();
        let (session, person) = (SessionId::new(at(0)), PersonId::new(at(0)));
        revocations.add(Revocation::Subject(person, 3), at(900));
        revocations.add(Revocation::Subject(person, 2), at(900));
        assert!(revocations.is_revoked(session, person, 2));
        assert!(!revocations.is_revoked(session, person, 3));
    }

    #[test]
    fn a_key_of_an_earlier_version_is_old() {
        let revocations = Revocations::new();
        let (key, service) = (ApiKeyId::new(at(0)), ServiceId::new(at(0)));
        revocations.add(Revocation::ApiKey(key, 3), at(900));
        revocations.add(Revocation::Service(service, 2), at(900));
        for (id, current) in [(key.as_uuid(), 3), (service.as_uuid(), 2)] {
            assert!(revocations.is_older(id, current - 1));
            assert!(!revocations.is_older(id, current));
        }
    }

    #[test]
    fn memory_decides_nothing_for_a_tenant_that_was_ended() {
        let revocations = Revocations::new();
        let (ended, other) = (TenantId::new(at(0)), TenantId::new(at(0)));
        revocations.add(Revocation::Tenant(ended), at(900));
        assert!(!revocations.may_decide(Some(other)) && !revocations.may_decide(None), "it is stale");
        revocations.mark_read(Instant::now());
        assert!(revocations.may_decide(Some(other)) && revocations.may_decide(None));
        assert!(!revocations.may_decide(Some(ended)));
        revocations.forget_expired(at(900));
        assert!(revocations.may_decide(Some(ended)) && revocations.is_empty());
    }

    #[test]
    fn expired_ones_are_forgotten_and_counted_off() {
        let revocations = Revocations::new();
        let (session, person) = (SessionId::new(at(0)), PersonId::new(at(0)));
        revocations.add(Revocation::Session(session), at(10));
        revocations.add(Revocation::Session(session), at(20));
        assert_eq!(revocations.len(), 1);
        revocations.forget_expired(at(19));
        assert!(revocations.is_revoked(session, person, 1));
        revocations.forget_expired(at(20));
        assert!(revocations.is_empty());
    }

    #[test]
    fn memory_is_stale_until_rows_are_read_and_again_when_the_read_is_old() {
        let revocations = Revocations::new();
        assert!(!revocations.is_fresh());
        revocations.mark_read(Instant::now());
        assert!(revocations.is_fresh());

        // As if the read had begun two seconds ago.
        let aged =
            Inner { base: Instant::now().checked_sub(Duration::from_secs(2)).unwrap(), ..fresh_inner() };
        let aged = Revocations(Arc::new(aged));
        aged.0.read_at.store(1, Ordering::Release);
        assert!(!aged.is_fresh());
    }

    fn fresh_inner() -> Inner {
        Inner {
            sessions: Shards::new(),
            subjects: Shards::new(),
            tenants: Shards::new(),
            base: Instant::now(),
            read_at: AtomicU64::new(0),
        }
    }
}
