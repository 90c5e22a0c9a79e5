//! Tokens of a remote issuer, checked by the keys that it shows (RFC 7517).

mod budget;
#[cfg(feature = "remote-jwks")]
mod http;
mod service_verifier;
mod verifier;

use std::{fmt, future::Future, pin::pin, sync::Arc, time::Duration};

use parking_lot::Mutex;
use stylobate_core::BoxFuture;
use tokio::time::Instant;

use super::TokenError;
use crate::{KeySet, Keys, Kid, SigningAlgorithm, key::read_set};
use budget::Budget;

#[cfg(feature = "remote-jwks")]
pub use http::HttpJwks;
pub use service_verifier::RemoteServiceVerifier;
pub use verifier::RemoteVerifier;

/// Where a key set is fetched from. `HttpJwks` (feature `remote-jwks`) asks an address; whoever has an HTTP client of
/// their own, or keys in a file, writes another.
///
/// Whoever asks bounds the time; the source bounds the bytes, follows no redirect, and asks the one place it was made for.
pub trait JwksSource: Send + Sync + 'static {
    /// Fetches the set as it is now.
    ///
    /// The future fails with [`JwksUnavailable`] when there is no answer, or none that could be a key set.
    fn fetch(&self) -> BoxFuture<'_, Result<FetchedJwks, JwksUnavailable>>;
}

/// A key set as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedJwks {
    /// The JSON text.
    pub json: Vec<u8>,
    /// How long the issuer says it may be kept (`Cache-Control: max-age`), when it does.
    pub max_age: Option<Duration>,
}

/// Why a key set was not had. For logs; a caller whose token cannot be judged learns that and nothing else.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct JwksUnavailable(String);

impl JwksUnavailable {
    /// With the reason, in words for an operator.
    #[must_use]
    pub fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }

    /// The stable code of the situation.
    #[must_use]
    pub fn code(&self) -> &'static str {
        "jwks_unavailable"
    }
}

/// How a remote issuer's keys are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteJwksConfig {
    /// What the issuer may sign with; keys of anything else are passed over. Default: everything that is not symmetric.
    /// Symmetric algorithms are refused whatever stands here: a secret that is shown is none.
    pub algorithms: Vec<SigningAlgorithm>,
    /// How long keys are kept before they are fetched again, when the issuer does not say it; default 5 minutes. What
    /// the issuer says counts between 30 s and 1 hour.
    pub refresh_every: Duration,
    /// How long the last good keys are used while the issuer cannot be asked; default 1 hour. After that no token can be
    /// judged. It is also how long a key that the issuer withdrew while we could not ask still counts.
    pub stale_max: Duration,
    /// How long one fetch may take; default 5 s.
    pub timeout: Duration,
}

impl Default for RemoteJwksConfig {
    fn default() -> Self {
        Self {
            algorithms: SigningAlgorithm::ALL.into_iter().filter(|one| !one.is_symmetric()).collect(),
            refresh_every: Duration::from_secs(5 * 60),
            stale_max: Duration::from_secs(60 * 60),
            timeout: Duration::from_secs(5),
        }
    }
}

/// What an issuer says about the age of its keys is believed between these.
const MAX_AGE: std::ops::RangeInclusive<Duration> = Duration::from_secs(30)..=Duration::from_secs(60 * 60);
/// Keys are fetched when this part of their time is over, so that they never run out while the issuer answers.
const REFRESH_AT: f64 = 0.8;
/// Between two tries while the issuer does not answer.
const RETRY_EVERY: Duration = Duration::from_secs(10);

/// The keys of a remote issuer, kept up to date. Clones are one.
///
/// 1. Keys come from the one source it was made with, whatever a token says.
/// 2. Keys that are not for signatures, of algorithms that are not wanted, symmetric or private ones are passed over.
/// 3. A token that names an unknown key makes it ask, at most twice a minute and never twice within five seconds.
///    Everybody who waits for keys waits for the same answer.
/// 4. [`run`](Self::run) fetches again before the keys grow old. While the issuer does not answer, or answers with
///    something that holds no usable key, the last good keys stay for [`RemoteJwksConfig::stale_max`].
#[derive(Clone)]
pub struct RemoteJwks {
    inner: Arc<Inner>,
}

struct Inner {
    source: Arc<dyn JwksSource>,
    config: RemoteJwksConfig,
    keys: Keys,
    state: Mutex<State>,
    /// Held by who fetches: of many who want to, one does.
    fetching: Arc<tokio::sync::Mutex<()>>,
}

struct State {
    budget: Budget,
    /// When the present keys were fetched, and until when they are fresh.
    good: Option<(Instant, Instant)>,
    /// Counts the answers, good and bad: who waited for one need not ask again.
    answers: u64,
    is_failing: bool,
}

impl RemoteJwks {
    /// Keys from `source`. Nothing is fetched yet: [`refresh`](Self::refresh), [`run`](Self::run) or the first token does.
    #[must_use]
    pub fn new(source: impl JwksSource, mut config: RemoteJwksConfig) -> Self {
        config.algorithms.retain(|algorithm| !algorithm.is_symmetric());
        let state = State { budget: Budget::default(), good: None, answers: 0, is_failing: false };
        let inner = Inner {
            source: Arc::new(source),
            config,
            keys: Keys::new(KeySet::verify_only()),
            state: Mutex::new(state),
            fetching: Arc::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// The present keys, none of which signs.
    #[must_use]
    pub fn keys(&self) -> &Keys {
        &self.inner.keys
    }

    /// Whether there are keys that may still be used.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        let good = self.inner.state.lock().good;
        good.is_some_and(|(fetched_at, _)| fetched_at.elapsed() <= self.inner.config.stale_max)
    }

    /// Fetches the keys now, whatever was fetched before; for the start of a service that would rather not start than
    /// refuse everybody.
    ///
    /// # Errors
    /// [`JwksUnavailable`]; the present keys stay.
    pub async fn refresh(&self) -> Result<(), JwksUnavailable> {
        let fetching = Arc::clone(&self.inner.fetching).lock_owned().await;
        self.inner.state.lock().budget.spend(Instant::now());
        self.fetch_to_the_end(fetching).await
    }

    /// Keeps the keys fresh until `shutdown` completes. Without it they are fetched when a token needs it.
    pub async fn run(&self, shutdown: impl Future<Output = ()>) {
        let mut shutdown = pin!(shutdown);
        loop {
            let due = {
                let state = self.inner.state.lock();
                match state.good {
                    None if state.answers == 0 => Instant::now(),
                    Some((_, until)) if !state.is_failing => until,
                    _ => Instant::now() + RETRY_EVERY,
                }
            };
            if tokio::time::timeout_at(due, shutdown.as_mut()).await.is_ok() {
                return;
            }
            // Somebody with an unknown key may have asked meanwhile.
            let is_due = self.inner.state.lock().good.is_none_or(|(_, until)| until <= Instant::now());
            if is_due && tokio::time::timeout(self.inner.config.timeout * 2, self.refresh()).await.is_err() {
                tracing::debug!("a fetch of keys is under way elsewhere");
            }
        }
    }

    /// What `check` says with the keys at hand, without waiting; `None` when the issuer should be asked first, also because of the
    /// key that the token names.
    fn judge_now<T>(
        &self,
        check: impl FnOnce() -> Result<T, TokenError>,
        named_key: impl FnOnce() -> Option<Kid>,
    ) -> Option<Result<T, TokenError>> {
        if !self.is_fresh() {
            return None;
        }
        match check() {
            Err(TokenError::KeyUnknown) if named_key().is_some() => None,
            decided => Some(decided),
        }
    }

    /// What `check` says, when there are keys, and once more when the token names one that had to be asked for.
    async fn judge<T>(
        &self,
        check: impl Fn() -> Result<T, TokenError>,
        named_key: impl FnOnce() -> Option<Kid>,
    ) -> Result<T, TokenError> {
        self.ensure_usable().await?;
        match check() {
            Err(TokenError::KeyUnknown) => {}
            decided => return decided,
        }
        // What is no name of a key is none of the issuer's either.
        let kid = named_key().ok_or(TokenError::KeyUnknown)?;
        if !self.learn(&kid).await {
            return Err(TokenError::KeyUnknown);
        }
        check()
    }

    /// Whether the keys are usable and not yet due to be fetched again.
    fn is_fresh(&self) -> bool {
        let good = self.inner.state.lock().good;
        good.is_some_and(|(_, until)| until > Instant::now()) && self.is_usable()
    }

    /// Makes sure that there are usable keys. Old ones do while new ones are fetched; nobody waits for those.
    async fn ensure_usable(&self) -> Result<(), TokenError> {
        if self.is_fresh() {
            return Ok(());
        }
        if self.is_usable() {
            if self.inner.state.lock().budget.allows(Instant::now()) {
                let jwks = self.clone();
                tokio::spawn(async move { jwks.ask_within_budget().await });
            }
            return Ok(());
        }
        self.ask_within_budget().await;
        if self.is_usable() { Ok(()) } else { Err(TokenError::KeysUnavailable) }
    }

    /// Asks for a key that is not known. Whether it is known then.
    async fn learn(&self, kid: &Kid) -> bool {
        self.ask_within_budget().await;
        self.inner.keys.load().set.find(kid.as_str()).is_some()
    }

    async fn ask_within_budget(&self) {
        let answers = {
            let state = self.inner.state.lock();
            // Most of those who ask in vain do not even wait for each other.
            if !state.budget.allows(Instant::now()) && self.inner.fetching.try_lock().is_ok() {
                return;
            }
            state.answers
        };
        let fetching = Arc::clone(&self.inner.fetching).lock_owned().await;
        {
            let mut state = self.inner.state.lock();
            if state.answers != answers || !state.budget.allows(Instant::now()) {
                return;
            }
            state.budget.spend(Instant::now());
        }
        // What went wrong has been logged; whoever waits finds out by the keys.
        let _ = self.fetch_to_the_end(fetching).await;
    }

    /// Fetches in a task of its own: a caller that goes away must not take the answer from those who wait for it.
    async fn fetch_to_the_end(
        &self,
        fetching: tokio::sync::OwnedMutexGuard<()>,
    ) -> Result<(), JwksUnavailable> {
        let jwks = self.clone();
        let task = tokio::spawn(async move {
            let done = jwks.fetch().await;
            drop(fetching);
            done
        });
        task.await.unwrap_or_else(|_| Err(JwksUnavailable::new("the fetch did not end")))
    }

    /// Fetches and takes in.
    async fn fetch(&self) -> Result<(), JwksUnavailable> {
        let config = &self.inner.config;
        let fetched = match tokio::time::timeout(config.timeout, self.inner.source.fetch()).await {
            Ok(fetched) => fetched,
            Err(_) => Err(JwksUnavailable::new("no answer in time")),
        };
        let taken = fetched.and_then(|fetched| Ok((self.key_set(&fetched.json)?, fetched.max_age)));
        let now = Instant::now();
        let mut state = self.inner.state.lock();
        state.answers += 1;
        match taken {
            Ok((set, max_age)) => {
                self.inner.keys.replace(set);
                let age = max_age.unwrap_or(config.refresh_every).clamp(*MAX_AGE.start(), *MAX_AGE.end());
                state.good = Some((now, now + age.mul_f64(REFRESH_AT)));
                if std::mem::take(&mut state.is_failing) {
                    tracing::info!("the issuer's keys are fetched again");
                }
                Ok(())
            }
            Err(error) => {
                // Once per outage.
                if !std::mem::replace(&mut state.is_failing, true) {
                    tracing::warn!(code = error.code(), reason = %error, "the issuer's keys cannot be fetched");
                }
                Err(error)
            }
        }
    }

    fn key_set(&self, json: &[u8]) -> Result<KeySet, JwksUnavailable> {
        let unusable = |reason: &str| JwksUnavailable::new(reason);
        let keys = read_set(json, &self.inner.config.algorithms).map_err(|_| unusable("no key set"))?;
        if keys.is_empty() {
            // An issuer without keys signs nothing: this is a mistake there, and taking it over would not mend it.
            return Err(unusable("the set holds no key that may be used"));
        }
        let set = keys.into_iter().try_fold(KeySet::verify_only(), KeySet::also_accepting);
        set.map_err(|_| unusable("two keys of the set share one name"))
    }
}

impl fmt::Debug for RemoteJwks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteJwks")
            .field("config", &self.inner.config)
            .field("keys", &self.inner.keys.load().set.len())
            .field("is_usable", &self.is_usable())
            .finish_non_exhaustive()
    }
}
