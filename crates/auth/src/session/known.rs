use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use quick_cache::sync::Cache;
use stylobate_core::{Assurance, AuthenticatorAssurance, Credential, PersonId, Principal, SessionId};

use super::{SessionKey, SessionLimits, store::KnownSession};

/// Cookie sessions that this process has read, remembered until there is no room or they are too old.
pub(crate) struct KnownSessions(Cache<SessionKey, Arc<Known>>);

/// A cookie session as it was read, and how it has been used since.
pub(crate) struct Known {
    pub(crate) principal: Principal,
    pub(crate) session: SessionId,
    pub(crate) person: PersonId,
    pub(crate) epoch: i64,
    expires_at: DateTime<Utc>,
    /// When the read began.
    read_at: Instant,
    /// The latest use that the row has, in milliseconds since 1970. A use that was not written extends nothing: this process
    /// accepts a session no longer than its row does, so that whoever ends sessions finds every one that is accepted.
    written: AtomicI64,
    /// When it was last tried to write a use.
    tried: AtomicI64,
}

impl KnownSessions {
    /// How long a session is used without being read again: far shorter than a revocation is remembered
    /// (at least the lifetime of an access token, a minute), so that no session outlives its revocation in here.
    pub(crate) const FOR: Duration = Duration::from_secs(30);

    pub(crate) fn new(entries: usize) -> Self {
        Self(Cache::new(entries))
    }

    pub(crate) fn find(&self, key: &SessionKey) -> Option<Arc<Known>> {
        self.0.get(key)
    }

    /// Remembers what was read, and that it is in use.
    pub(crate) fn insert(&self, key: SessionKey, read: KnownSession, read_at: Instant) -> Arc<Known> {
        let before = self.0.get(&key);
        let known = Known::new(read, read_at);
        if let Some(before) = before {
            // The row may have been read before the latest use was written.
            known.written.fetch_max(before.written.load(Ordering::Acquire), Ordering::AcqRel);
            known.tried.fetch_max(before.tried.load(Ordering::Acquire), Ordering::AcqRel);
        }
        let known = Arc::new(known);
        self.0.insert(key, Arc::clone(&known));
        known
    }

    pub(crate) fn remove(&self, key: &SessionKey) {
        self.0.remove(key);
    }
}

impl Known {
    fn new(KnownSession { record, epoch }: KnownSession, read_at: Instant) -> Self {
        let principal = Principal {
            tenant: record.tenant,
            session: Some(record.id),
            assurance: Assurance {
                amr: record.amr,
                aal: AuthenticatorAssurance::Aal1,
                auth_time: Some(record.auth_time),
            },
            credential: Credential::Cookie,
            ..Principal::person(record.person)
        };
        let seen = record.last_seen_at.timestamp_millis();
        Self {
            principal,
            session: record.id,
            person: record.person,
            epoch,
            expires_at: record.expires_at,
            read_at,
            written: AtomicI64::new(seen),
            tried: AtomicI64::new(seen),
        }
    }

    /// Whether what is remembered still says that the session is live. When it does not, the row decides: another process
    /// may have seen the session in use.
    pub(crate) fn is_current(&self, limits: &SessionLimits, now: DateTime<Utc>) -> bool {
        let written = DateTime::from_timestamp_millis(self.written.load(Ordering::Acquire));
        self.read_at.elapsed() < KnownSessions::FOR
            && self.expires_at > now
            && written.is_some_and(|used| limits.idle_end(used) > now)
    }

    /// Whether the caller is to write that the session is used at `now`: once in a while, whether or not that succeeds, so
    /// that a database which is away is not asked at every request.
    pub(crate) fn is_to_be_written(&self, limits: &SessionLimits, now: DateTime<Utc>) -> bool {
        let now = now.timestamp_millis();
        let tried = self.tried.load(Ordering::Acquire);
        let every = i64::try_from(limits.touch_every().as_millis()).unwrap_or(i64::MAX);
        now.saturating_sub(tried) >= every
            && self.tried.compare_exchange(tried, now, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// Notes that the use at `at` has been written.
    pub(crate) fn written(&self, at: DateTime<Utc>) {
        self.written.fetch_max(at.timestamp_millis(), Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::{SessionRecord, SessionSecret};

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_772_366_400, 0).unwrap() + TimeDelta::seconds(seconds)
    }

    fn read() -> KnownSession {
        let record = SessionRecord {
            id: SessionId::new(at(0)),
            person: PersonId::new(at(0)),
            tenant: None,
            amr: vec!["pwd".to_owned()],
            auth_time: at(0),
            address: None,
            user_agent: None,
            created_at: at(0),
            last_seen_at: at(0),
            idle_expires_at: at(3_600),
            expires_at: at(86_400),
        };
        KnownSession { record, epoch: 0 }
    }

    #[test]
    fn use_is_to_be_written_once_a_minute() {
        let limits = SessionLimits::default();
        let known = Known::new(read(), Instant::now());
        // Whether or not it succeeds.
        let tried: Vec<i64> =
            (0..=180).filter(|second| known.is_to_be_written(&limits, at(*second))).collect();
        assert_eq!(tried, [60, 120, 180]);
    }

    #[test]
    fn what_idled_out_or_reached_its_limit_is_read_again() {
        let limits = SessionLimits::default();
        let known = Known::new(read(), Instant::now());
        assert!(known.is_current(&limits, at(3_599)));
        assert!(!known.is_current(&limits, at(3_600)));
        // A use that nobody has written extends nothing.
        assert!(known.is_to_be_written(&limits, at(3_599)));
        assert!(!known.is_current(&limits, at(3_600)));
        known.written(at(3_599));
        assert!(known.is_current(&limits, at(7_000)));
        known.written(at(86_399));
        assert!(!known.is_current(&limits, at(86_400)));
    }

    #[test]
    fn what_was_read_half_a_minute_ago_is_read_again() {
        let Some(then) = Instant::now().checked_sub(KnownSessions::FOR) else { return };
        assert!(!Known::new(read(), then).is_current(&SessionLimits::default(), at(1)));
    }

    #[test]
    fn a_second_read_forgets_no_use() {
        let (limits, sessions) = (SessionLimits::default(), KnownSessions::new(10));
        let key = SessionSecret::generate().unwrap().key();
        let first = sessions.insert(key, read(), Instant::now());
        assert!(first.is_to_be_written(&limits, at(3_000)));
        first.written(at(3_000));
        let second = sessions.insert(key, read(), Instant::now());
        assert!(second.is_current(&limits, at(6_000)));
        assert!(!second.is_to_be_written(&limits, at(3_030)));
    }
}
