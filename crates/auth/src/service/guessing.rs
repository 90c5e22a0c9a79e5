use std::sync::Arc;

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
    /// Elsewhere. Asked outside transactions, because others wait for those.
    Store(Arc<LoginThrottle>),
}

impl Counters {
    /// Forgets the failures of a person, in the transaction that gives a reason to. Says whether there were any.
    pub(crate) async fn clear(&self, tx: &mut Tx, person: PersonId) -> Result<bool, CounterStoreError> {
        let account = AccountKey::Person(person);
        match self {
            Self::Tables => throttle::clear(tx, &account).await.map_err(CounterStoreError::Db),
            Self::Store(throttle) => throttle.clear(&account).await,
        }
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

    /// Ends every lock of an account, whatever its failures: for strangers, for each client, for its known devices.
    ///
    /// # Errors
    /// [`AuthError::Db`], [`AuthError::Counters`].
    pub async fn unlock(
        &self,
        tx: &mut Tx,
        ctx: &RequestContext,
        person: PersonId,
    ) -> Result<bool, AuthError> {
        let was_counted = self.inner.counters.clear(tx, person).await?;
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

    /// How a person's account stands: who is locked out of it, and until when.
    ///
    /// # Errors
    /// [`AuthError::Db`], [`AuthError::Counters`].
    pub async fn lock_state(&self, conn: &mut Conn, person: PersonId) -> Result<LockState, AuthError> {
        let (account, now) = (AccountKey::Person(person), self.inner.clock.now());
        match &self.inner.counters {
            Counters::Tables => Ok(LockState::of(throttle::find_account(conn, &account).await?, now)),
            Counters::Store(throttle) => Ok(throttle.lock_state(&account, now).await?),
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
