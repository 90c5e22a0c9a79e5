use std::{
    collections::HashMap,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use chrono::{DateTime, Utc};
use stylobate_core::{AuditEvent, Outcome, PersonId, RequestContext};
use stylobate_db::{Conn, Reader, Tx};

use super::{AdmittedPerson, Auth, AuthError, SCOPE};
use crate::{
    AccountKey, CounterStoreError, DeviceCookie, LockState, LoginRefused, LoginThrottle, LoginTry, TryBy,
    session,
    throttle::{self, Failed},
};

/// Counters that one call of a store removes.
const SWEEP_MAX: u32 = 10_000;

/// Where failed logins are counted.
#[derive(Debug, Clone)]
pub(crate) enum Counters {
    /// In this crate's tables, on the connections and in the transactions of those who sign in.
    Tables,
    /// Elsewhere, where nothing is rolled back: changed outside transactions, once they have committed.
    Store(Arc<LoginThrottle>),
}

/// Between the first tries to clear counters that are elsewhere; each wait is twice the one before.
const CLEAR_AGAIN_AFTER: Duration = Duration::from_millis(200);
/// How often it is tried: for a little more than three minutes in all.
const CLEAR_TRIES: u32 = 11;

impl Counters {
    /// Forgets the failures of a person, with the transaction that gives a reason to. A store elsewhere is asked once the
    /// transaction has committed, and waited for by nobody: while it is away a person can be deleted and a password set
    /// all the same.
    pub(crate) async fn clear(&self, tx: &mut Tx, person: PersonId) -> Result<(), stylobate_db::Error> {
        let account = AccountKey::Person(person);
        match self {
            Self::Tables => throttle::clear(tx, &account).await.map(drop),
            Self::Store(throttle) => {
                let throttle = Arc::clone(throttle);
                tx.on_commit(move || now_or_beside(clear_elsewhere(throttle, account)));
                Ok(())
            }
        }
    }

    /// [`clear`](Self::clear), and says whether there were any failures.
    async fn clear_told(&self, tx: &mut Tx, person: PersonId) -> Result<bool, CounterStoreError> {
        let account = AccountKey::Person(person);
        match self {
            Self::Tables => throttle::clear(tx, &account).await.map_err(CounterStoreError::Db),
            Self::Store(throttle) => {
                // Asked before, so that a transaction that is begun again finds the same.
                let is_counted = !throttle.store().find_account(&account).await?.is_empty();
                self.clear(tx, person).await.map_err(CounterStoreError::Db)?;
                Ok(is_counted)
            }
        }
    }

    /// How the accounts of `people` stand; who has no failures is left out.
    pub(crate) async fn lock_states(
        &self,
        conn: &mut Conn,
        people: &[PersonId],
        now: DateTime<Utc>,
    ) -> Result<HashMap<PersonId, LockState>, CounterStoreError> {
        let accounts: Vec<AccountKey> = people.iter().map(|person| AccountKey::Person(*person)).collect();
        let mut counters: HashMap<PersonId, Vec<_>> = HashMap::new();
        match self {
            Self::Tables => {
                let found = throttle::find_accounts(conn, &accounts).await.map_err(CounterStoreError::Db)?;
                for (account, kind, counter) in found {
                    if let Some(person) = account.person() {
                        counters.entry(person).or_default().push((kind, counter));
                    }
                }
            }
            Self::Store(throttle) => {
                for (person, account) in people.iter().zip(&accounts) {
                    let found = throttle.store().find_account(account).await?;
                    if !found.is_empty() {
                        counters.insert(*person, found);
                    }
                }
            }
        }
        Ok(counters.into_iter().map(|(person, found)| (person, LockState::of(found, now))).collect())
    }
}

/// Clears what a committed change makes worthless. That it cannot be done leaves a lock on somebody who should have none.
async fn clear_elsewhere(throttle: Arc<LoginThrottle>, account: AccountKey) {
    let mut wait = CLEAR_AGAIN_AFTER;
    for tried in 1..=CLEAR_TRIES {
        let Err(error) = throttle.clear(&account).await else { return };
        if tried == CLEAR_TRIES {
            tracing::error!(code = error.code(), "the login counters of an account could not be cleared");
            return;
        }
        tokio::time::sleep(wait).await;
        wait *= 2;
    }
}

/// Does work at once when it waits for nothing, as in memory, and beside the caller otherwise.
fn now_or_beside(work: impl Future<Output = ()> + Send + 'static) {
    let mut work: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(work);
    let Ok(runtime) = tokio::runtime::Handle::try_current() else {
        tracing::error!("outside of a runtime login counters are not cleared");
        return;
    };
    // Whoever goes on with it polls it again, and is woken then.
    if work.as_mut().poll(&mut Context::from_waker(Waker::noop())) == Poll::Pending {
        runtime.spawn(work);
    }
}

impl From<LoginRefused> for AuthError {
    fn from(LoginRefused { retry_after }: LoginRefused) -> Self {
        Self::Throttled { retry_after }
    }
}

impl Auth {
    /// Refuses a try that is locked out. Gives the connection back.
    pub(super) async fn standing(&self, mut conn: Reader, login: &LoginTry) -> Result<(), AuthError> {
        let now = self.inner.clock.now();
        match &self.inner.counters {
            Counters::Tables => {
                throttle::find_standing(&mut conn, login).await?.judge(login, now)?;
            }
            Counters::Store(throttle) => {
                drop(conn);
                throttle.judge(login, now).await??;
            }
        }
        Ok(())
    }

    /// Asks again after the hash: of many tries at once, those that end after the lock learn nothing. A success ends its
    /// failures.
    pub(super) async fn settle(&self, tx: &mut Tx, login: &LoginTry) -> Result<(), AuthError> {
        if let Counters::Tables = self.inner.counters {
            let standing = throttle::find_standing(tx, login).await?;
            let (by, after) = standing.succeeded(login, self.inner.clock.now())?;
            if after != standing {
                throttle::forget(tx, login, by).await?;
            }
        }
        Ok(())
    }

    /// [`settle`](Self::settle) for counters that are no part of a transaction.
    pub(super) async fn settle_elsewhere(&self, login: &LoginTry) -> Result<(), AuthError> {
        if let Counters::Store(throttle) = &self.inner.counters {
            throttle.succeeded(login, self.inner.clock.now()).await??;
        }
        Ok(())
    }

    /// Counts and records a wrong password, and makes the error for it.
    pub(super) async fn password_failed(
        &self,
        ctx: &RequestContext,
        login: &LoginTry,
        action: &'static str,
    ) -> AuthError {
        let now = self.inner.clock.now();
        let (login, config, person) = (*login, self.inner.throttle.clone(), login.account.person());
        let counters = self.inner.counters.clone();
        let elsewhere = match &counters {
            Counters::Tables => None,
            Counters::Store(throttle) => match throttle.failed(&login, now).await {
                Ok(counted) => Some(counted.map(|(by, after)| Failed { by, after })),
                // A try that is not counted gets no answer either: otherwise an outage would be the time to guess.
                Err(error) => return error.into(),
            },
        };
        let count = async move |tx: &mut Tx| {
            let counted = match elsewhere {
                Some(counted) => counted,
                None => throttle::count_failure(tx, &login, &config, now).await?,
            };
            // Asked for nobody as well: the cost must not tell who exists.
            let tenant = session::find_latest_tenant(tx, person).await?;
            Ok::<_, stylobate_db::Error>((counted, tenant))
        };
        let (counted, tenant) = match self.inner.db.transact(SCOPE, count).await {
            Ok(counted) => counted,
            Err(error) => return AuthError::Db(error),
        };
        let failed = match counted {
            Ok(failed) => failed,
            Err(refused) => return refused.into(),
        };
        // The typed name is not recorded: people type passwords into that field.
        let mut event = AuditEvent::new(ctx, action, "person").outcome(Outcome::Failure);
        if let Some(person) = person {
            event = event.on(person);
        }
        // Filed where the person was last at work: an event of no organisation is read by nobody there.
        if tenant.is_some() && event.tenant.is_none() {
            event = event.in_tenant(tenant);
        }
        self.record(described(event, &failed)).await;
        AuthError::InvalidCredentials
    }

    /// What makes the client of somebody who was admitted a known device from now on: hand its text to the client once
    /// the transaction has committed. A device that is known stays the one it is.
    ///
    /// # Errors
    /// [`AuthError::Key`] when there is no randomness.
    pub fn remember_device(&self, admitted: &AdmittedPerson<'_>) -> Result<DeviceCookie, AuthError> {
        let (verified, now) = (admitted.verified(), self.inner.clock.now());
        let (login, epoch) = (&verified.login, verified.person.credential_epoch);
        Ok(DeviceCookie::issue(&self.inner.pepper, &login.account, epoch, login.device, now)?)
    }

    /// Ends every lock of an account, whatever its failures: for strangers, for each client, for its known devices. Says
    /// whether there was a failure to forget; without one nothing is recorded. Counters that are not in this database are
    /// forgotten once the transaction has committed.
    ///
    /// # Errors
    /// [`AuthError::Db`], [`AuthError::Counters`].
    pub async fn unlock(
        &self,
        tx: &mut Tx,
        ctx: &RequestContext,
        person: PersonId,
    ) -> Result<bool, AuthError> {
        let was_counted = self.inner.counters.clear_told(tx, person).await?;
        if was_counted {
            tx.audit(AuditEvent::new(ctx, "auth.unlock", "person").on(person));
        }
        Ok(was_counted)
    }

    /// Sweeps counters that are not in this database; the others go with everything else.
    pub(super) async fn sweep_counters(&self, now: DateTime<Utc>) -> Result<u64, AuthError> {
        match &self.inner.counters {
            Counters::Tables => Ok(0),
            Counters::Store(throttle) => Ok(throttle.store().sweep(now, SWEEP_MAX).await?),
        }
    }
}

/// What an administrator wants to know of a failure.
fn described(event: AuditEvent, Failed { by, after }: &Failed) -> AuditEvent {
    // The counters of the other side were not touched: a lock of theirs is not news.
    let (failures, locks) = match by {
        TryBy::KnownDevice => (after.devices, vec![("device_locked_until", after.device)]),
        TryBy::Stranger => (
            after.account,
            vec![
                ("account_locked_until", after.account),
                ("client_locked_until", after.pair),
                ("address_locked_until", after.address),
            ],
        ),
    };
    let event = event.with("failures", failures.map_or(0, |counter| counter.failures));
    let event = event.with("known_device", *by == TryBy::KnownDevice);
    locks.into_iter().fold(event, |event, (name, counter)| {
        match counter.and_then(|counter| counter.locked_until) {
            Some(until) => event.with(name, until.to_rfc3339()),
            None => event,
        }
    })
}
