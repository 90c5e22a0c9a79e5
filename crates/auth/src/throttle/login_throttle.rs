use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};

use super::{
    AccountKey, CounterChange, CounterStore, CounterStoreError, LockState, LoginRefused, LoginTry, Standing,
    ThrottleConfig, TryBy,
};

/// The rules of this module over a [`CounterStore`]: for services that check passwords without
/// `Auth`, and for `Auth` when its counters are not in its database.
///
/// Ask [`judge`](Self::judge) before the password is looked at, then say [`failed`](Self::failed) or
/// [`succeeded`](Self::succeeded), and answer what that says.
#[derive(Debug, Clone)]
pub struct LoginThrottle {
    store: Arc<dyn CounterStore>,
    config: ThrottleConfig,
}

/// How often a change is made anew because somebody else was faster. Each time somebody was: of 50 parallel failures on
/// one account the last one tries at most 50 times.
const ROUNDS_MAX: u32 = 256;

impl LoginThrottle {
    /// Counts in `store`, by the rules of `config`.
    #[must_use]
    pub fn new(store: Arc<dyn CounterStore>, config: ThrottleConfig) -> Self {
        Self { store, config }
    }

    /// The counters.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn CounterStore> {
        &self.store
    }

    /// As whom a try counts, or that it is refused.
    ///
    /// # Errors
    /// [`CounterStoreError`]: refuse the try.
    pub async fn judge(
        &self,
        login: &LoginTry,
        now: DateTime<Utc>,
    ) -> Result<Result<TryBy, LoginRefused>, CounterStoreError> {
        Ok(self.standing(login).await?.judge(login, now))
    }

    /// Counts a wrong password: as whom, and how it stands now.
    ///
    /// # Errors
    /// [`CounterStoreError`]: refuse the try.
    pub async fn failed(
        &self,
        login: &LoginTry,
        now: DateTime<Utc>,
    ) -> Result<Result<(TryBy, Standing), LoginRefused>, CounterStoreError> {
        self.change(login, now, |standing| standing.failed(login, &self.config, now)).await
    }

    /// Ends the failures of whoever had the right password.
    ///
    /// # Errors
    /// [`CounterStoreError`]: refuse the try.
    pub async fn succeeded(
        &self,
        login: &LoginTry,
        now: DateTime<Utc>,
    ) -> Result<Result<(TryBy, Standing), LoginRefused>, CounterStoreError> {
        self.change(login, now, |standing| standing.succeeded(login, now)).await
    }

    /// How an account stands.
    ///
    /// # Errors
    /// [`CounterStoreError`].
    pub async fn lock_state(
        &self,
        account: &AccountKey,
        now: DateTime<Utc>,
    ) -> Result<LockState, CounterStoreError> {
        Ok(LockState::of(self.store.find_account(account).await?, now))
    }

    /// Forgets the failures of an account, its clients and its devices. Says whether there were any.
    ///
    /// # Errors
    /// [`CounterStoreError`].
    pub async fn clear(&self, account: &AccountKey) -> Result<bool, CounterStoreError> {
        self.store.clear_account(account).await
    }

    async fn standing(&self, login: &LoginTry) -> Result<Standing, CounterStoreError> {
        let keys = login.keys();
        let mut standing = Standing::default();
        for (key, counter) in keys.iter().zip(self.store.find(&keys).await?) {
            standing.set(key.kind(), counter);
        }
        Ok(standing)
    }

    async fn change(
        &self,
        login: &LoginTry,
        now: DateTime<Utc>,
        decide: impl Fn(&Standing) -> Result<(TryBy, Standing), LoginRefused>,
    ) -> Result<Result<(TryBy, Standing), LoginRefused>, CounterStoreError> {
        for round in 0..ROUNDS_MAX {
            let before = self.standing(login).await?;
            let (by, after) = match decide(&before) {
                Ok(decided) => decided,
                Err(refused) => return Ok(Err(refused)),
            };
            let changes: Vec<CounterChange> = login
                .keys()
                .into_iter()
                .map(|key| CounterChange {
                    key,
                    before: before.get(key.kind()),
                    after: after.get(key.kind()),
                })
                .filter(|change| change.before != change.after)
                .collect();
            if changes.is_empty() || self.store.replace(&changes, now).await? {
                return Ok(Ok((by, after)));
            }
            // Out of step with whoever was faster; the cause is a crowd, so waiting longer and longer helps.
            tokio::time::sleep(Duration::from_micros(u64::from(round.min(20)) * 100)).await;
        }
        Err(CounterStoreError::Contended)
    }
}
