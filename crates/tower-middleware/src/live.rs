//! Connections that stay open after their request was admitted.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::HeaderMap;
use stylobate_core::{PersonId, Principal};
use stylobate_observability::Shutdown;
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout, timeout_at},
};
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::{
    ApiError, Authenticator, CredentialRefused, SessionCookie, authenticate::OwnedCredential, problem_for,
};

/// How often the credential of an open connection is looked at again: revoked ones are to be gone within a second.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long one look may take.
const JUDGED_WITHIN: Duration = Duration::from_secs(1);
/// How long a connection stays open without a judgement.
const UNJUDGED_MAX: Duration = Duration::from_secs(10);
/// How many are judged at once. Most judgements ask memory alone; when memory is stale, each reads a row, and thousands of open
/// connections must not take the database away from requests.
const JUDGED_AT_ONCE: usize = 4;

/// How many connections may be open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LiveLimits {
    /// In this process. Default [`CONNECTIONS`](Self::CONNECTIONS).
    pub connections: usize,
    /// Of one person. Default 10.
    pub per_person: usize,
}

impl LiveLimits {
    /// How many connections of a process may stay open by default. A server has to take more than that, or nobody else is answered.
    pub const CONNECTIONS: usize = 8_000;
}

impl Default for LiveLimits {
    fn default() -> Self {
        Self { connections: Self::CONNECTIONS, per_person: 10 }
    }
}

/// The open connections of a process: WebSockets and event streams. The layers judge a request once, when it comes; these end
/// when what admitted them would no longer do, within a second (SECURITY A5), and when the process stops.
#[derive(Clone)]
pub struct LiveConnections {
    inner: Arc<Inner>,
}

struct Inner {
    authenticator: Arc<dyn Authenticator>,
    cookie: SessionCookie,
    shutdown: Shutdown,
    limits: LiveLimits,
    open: Mutex<HashMap<PersonId, usize>>,
    judging: Semaphore,
}

impl LiveConnections {
    /// Those whose credentials `authenticator` judges, found as the [`AuthenticateLayer`](crate::AuthenticateLayer) with `cookie` finds
    /// them, and that end with `shutdown`.
    #[must_use]
    pub fn new(
        authenticator: Arc<dyn Authenticator>,
        cookie: SessionCookie,
        shutdown: Shutdown,
        limits: LiveLimits,
    ) -> Self {
        let judging = Semaphore::new(JUDGED_AT_ONCE);
        let inner = Inner { authenticator, cookie, shutdown, limits, open: Mutex::default(), judging };
        Self { inner: Arc::new(inner) }
    }

    /// Lets `principal` keep a connection open whose request had `headers`.
    ///
    /// # Errors
    /// 401 for nobody, 403 `person_required` for a program, 429 `too_many_connections` above the [`LiveLimits`], 503 `draining` while the process stops.
    pub fn open(&self, headers: &HeaderMap, principal: &Principal) -> Result<LiveConnection, ApiError> {
        let Some(person) = principal.person_id() else {
            let code = if principal.is_authenticated() { "person_required" } else { "unauthenticated" };
            return Err(problem_for(code).into());
        };
        if self.inner.shutdown.is_draining() {
            return Err(problem_for("draining").retry_after(1).into());
        }
        // Keys open none of these, so where they come from does not matter.
        let credential = self.inner.cookie.presented(headers, None)?.to_owned();
        let mut open = self.inner.open();
        let all: usize = open.values().sum();
        let own = open.entry(person).or_default();
        if all >= self.inner.limits.connections || *own >= self.inner.limits.per_person {
            if *own == 0 {
                open.remove(&person);
            }
            return Err(problem_for("too_many_connections").retry_after(5).into());
        }
        *own += 1;
        drop(open);
        let shutdown = self.inner.shutdown.hold();
        Ok(LiveConnection {
            place: Place { inner: Arc::clone(&self.inner), person },
            credential,
            judged_at: Instant::now(),
            looked_at: Instant::now(),
            _shutdown: shutdown,
        })
    }

    /// How many are open.
    #[must_use]
    pub fn count(&self) -> usize {
        self.inner.open().values().sum()
    }
}

impl Inner {
    fn open(&self) -> MutexGuard<'_, HashMap<PersonId, usize>> {
        // A count is whole at every moment.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for LiveConnections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveConnections").field("count", &self.count()).finish_non_exhaustive()
    }
}

/// Why a connection has to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LiveEnd {
    /// What was presented proves nobody any more: it ran out, or was revoked.
    Refused,
    /// It could not be judged for ten seconds.
    Unjudged,
    /// The process stops.
    Draining,
}

/// One open connection, counted until it is dropped; the end of the process waits for that.
pub struct LiveConnection {
    place: Place,
    credential: OwnedCredential,
    /// When its credential was found good.
    judged_at: Instant,
    looked_at: Instant,
    _shutdown: TaskTrackerToken,
}

impl LiveConnection {
    /// Resolves when the connection has to end, and says why. Dropped and called again it goes on, but for a judgement that was
    /// under way: that begins anew.
    pub async fn ended(&mut self) -> LiveEnd {
        let inner = Arc::clone(&self.place.inner);
        tokio::select! {
            biased;
            () = inner.shutdown.draining() => LiveEnd::Draining,
            end = self.refused(&inner) => end,
        }
    }

    async fn refused(&mut self, inner: &Inner) -> LiveEnd {
        loop {
            tokio::time::sleep_until(self.looked_at + LOOK_EVERY).await;
            let judgement = async {
                // It fails when it is closed, and nobody does that.
                let _turn = inner.judging.acquire().await;
                timeout(JUDGED_WITHIN, inner.authenticator.still_holds(self.credential.as_presented())).await
            };
            let judged = match timeout_at(self.judged_at + UNJUDGED_MAX, judgement).await {
                Ok(judged) => judged.unwrap_or(Err(CredentialRefused::Unavailable)),
                Err(_) => return LiveEnd::Unjudged,
            };
            self.looked_at = Instant::now();
            match judged {
                Ok(()) => self.judged_at = self.looked_at,
                Err(CredentialRefused::Invalid) => return LiveEnd::Refused,
                Err(CredentialRefused::Unavailable | CredentialRefused::Throttled { .. }) => {
                    if self.judged_at.elapsed() >= UNJUDGED_MAX {
                        return LiveEnd::Unjudged;
                    }
                }
            }
        }
    }
}

impl fmt::Debug for LiveConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveConnection").field("person", &self.place.person).finish_non_exhaustive()
    }
}

/// A place among the connections of a person, given back when it is dropped.
struct Place {
    inner: Arc<Inner>,
    person: PersonId,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.inner.open();
        if let Some(own) = open.get_mut(&self.person) {
            *own -= 1;
            if *own == 0 {
                open.remove(&self.person);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU8, Ordering};

    use http::{HeaderValue, header};
    use stylobate_core::BoxFuture;

    use super::*;
    use crate::Presented;

    /// Says of every credential what it was told to: 0 good, 1 bad, 2 cannot tell, 3 nothing, 4 good after a while.
    #[derive(Default)]
    struct Told(AtomicU8, Mutex<Judged>);

    #[derive(Default)]
    struct Judged {
        now: usize,
        most: usize,
        all: usize,
    }

    impl Authenticator for Told {
        fn authenticate<'a>(
            &'a self,
            presented: Presented<'a>,
        ) -> BoxFuture<'a, Result<Principal, CredentialRefused>> {
            assert_eq!(presented, Presented::Bearer("a.b.c"));
            let person = PersonId::from_uuid(uuid::Uuid::nil());
            Box::pin(async move {
                match self.0.load(Ordering::SeqCst) {
                    0 => Ok(Principal::person(person)),
                    1 => Err(CredentialRefused::Invalid),
                    2 => Err(CredentialRefused::Unavailable),
                    3 => std::future::pending().await,
                    _ => {
                        {
                            let mut judged = self.1.lock().unwrap();
                            judged.now += 1;
                            judged.most = judged.most.max(judged.now);
                        }
                        tokio::time::sleep(Duration::from_millis(10)).await;
                        let mut judged = self.1.lock().unwrap();
                        judged.now -= 1;
                        judged.all += 1;
                        Ok(Principal::person(person))
                    }
                }
            })
        }
    }

    fn person(n: u128) -> Principal {
        Principal::person(PersonId::from_uuid(uuid::Uuid::from_u128(n)))
    }

    fn headers() -> HeaderMap {
        [(header::AUTHORIZATION, HeaderValue::from_static("Bearer a.b.c"))].into_iter().collect()
    }

    fn connections(limits: LiveLimits) -> (Arc<Told>, Shutdown, LiveConnections) {
        let (told, shutdown) = (Arc::new(Told::default()), Shutdown::default());
        let live = LiveConnections::new(told.clone(), SessionCookie::Host, shutdown.clone(), limits);
        (told, shutdown, live)
    }

    // A5
    #[tokio::test(start_paused = true)]
    async fn a_revoked_credential_ends_its_connection_within_a_second_however_busy_it_is() {
        let (told, _shutdown, live) = connections(LiveLimits::default());
        let mut connection = live.open(&headers(), &person(1)).unwrap();
        assert!(tokio::time::timeout(Duration::from_secs(60), connection.ended()).await.is_err());
        told.0.store(1, Ordering::SeqCst);
        let revoked = Instant::now();
        let end = loop {
            // A message every 50 ms.
            match tokio::time::timeout(Duration::from_millis(50), connection.ended()).await {
                Ok(end) => break end,
                Err(_) => assert!(revoked.elapsed() < Duration::from_secs(1), "still open"),
            }
        };
        assert_eq!(end, LiveEnd::Refused);
    }

    #[tokio::test(start_paused = true)]
    async fn a_hiccup_of_the_judge_ends_nothing_and_an_outage_does() {
        let (told, _shutdown, live) = connections(LiveLimits::default());
        let mut connection = live.open(&headers(), &person(1)).unwrap();
        told.0.store(2, Ordering::SeqCst);
        assert!(tokio::time::timeout(Duration::from_secs(8), connection.ended()).await.is_err());
        told.0.store(0, Ordering::SeqCst);
        assert!(tokio::time::timeout(Duration::from_secs(8), connection.ended()).await.is_err());
        told.0.store(2, Ordering::SeqCst);
        let ended = tokio::time::timeout(Duration::from_secs(11), connection.ended()).await;
        assert_eq!(ended.unwrap(), LiveEnd::Unjudged);
    }

    #[tokio::test(start_paused = true)]
    async fn a_judge_who_says_nothing_is_waited_for_ten_seconds() {
        let (told, _shutdown, live) = connections(LiveLimits::default());
        let mut connection = live.open(&headers(), &person(1)).unwrap();
        told.0.store(3, Ordering::SeqCst);
        let silent = Instant::now();
        assert_eq!(connection.ended().await, LiveEnd::Unjudged);
        assert_eq!(silent.elapsed().as_secs(), 10);
        // However often its wait is begun anew.
        let mut connection = live.open(&headers(), &person(1)).unwrap();
        let silent = Instant::now();
        while tokio::time::timeout(Duration::from_millis(50), connection.ended()).await.is_err() {
            assert!(silent.elapsed().as_secs() < 11, "still open");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn few_are_judged_at_once_and_all_in_turn() {
        let (told, _shutdown, live) = connections(LiveLimits { connections: 400, per_person: 400 });
        told.0.store(4, Ordering::SeqCst);
        let all: Vec<_> = (0..400).map(|_| live.open(&headers(), &person(1)).unwrap()).collect();
        let held =
            all.into_iter().map(|mut connection| tokio::spawn(async move { connection.ended().await }));
        let held: Vec<_> = held.collect();
        tokio::time::sleep(Duration::from_secs(20)).await;
        assert!(held.iter().all(|one| !one.is_finished()));
        let judged = told.1.lock().unwrap();
        assert!(judged.most <= JUDGED_AT_ONCE && judged.all >= 400, "{} {}", judged.most, judged.all);
    }

    #[tokio::test(start_paused = true)]
    async fn draining_ends_connections_and_waits_for_them() {
        let (_told, shutdown, live) = connections(LiveLimits::default());
        let mut connection = live.open(&headers(), &person(1)).unwrap();
        shutdown.begin();
        assert_eq!(connection.ended().await, LiveEnd::Draining);
        let refused = live.open(&headers(), &person(1)).unwrap_err();
        assert_eq!(refused.problem().code, "draining");
        let drained = tokio::spawn(async move { shutdown.wait().await });
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(!drained.is_finished());
        drop(connection);
        assert!(drained.await.unwrap().is_clean());
    }

    #[tokio::test]
    async fn nobody_has_more_connections_than_the_limits_allow() {
        let (_told, _shutdown, live) = connections(LiveLimits { connections: 3, per_person: 2 });
        let code = |n: u128| live.open(&headers(), &person(n)).map_err(|error| error.problem().code.clone());
        let (first, _second) = (code(1).unwrap(), code(1).unwrap());
        assert_eq!(code(1).unwrap_err(), "too_many_connections");
        let _third = code(2).unwrap();
        assert_eq!(code(3).unwrap_err(), "too_many_connections");
        drop(first);
        let _fourth = code(3).unwrap();
        assert_eq!(live.count(), 3);
        assert_eq!(live.open(&headers(), &Principal::anonymous()).unwrap_err().problem().status, 401);
    }
}
