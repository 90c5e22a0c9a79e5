use chrono::{DateTime, Utc};
use stylobate_core::{Assurance, AuditEvent, AuthenticatorAssurance, Outcome, PersonId, RequestContext};
use stylobate_db::{Conn, Tx};

use super::{Auth, AuthError, SCOPE};
use crate::{
    Identifier, Password, PasswordHash, Person, Verdict, credential, people, session,
    throttle::{self, CounterKey, Standing},
};

/// A person who has just proved who they are. Only [`Auth::verify_login`] makes one.
#[derive(Debug, Clone)]
pub struct VerifiedPerson {
    pub(super) person: Person,
    pub(super) amr: Vec<String>,
    pub(super) auth_time: DateTime<Utc>,
}

impl VerifiedPerson {
    /// Who it is.
    #[must_use]
    pub fn id(&self) -> PersonId {
        self.person.id
    }

    /// The person, as it was when the password was checked.
    #[must_use]
    pub fn person(&self) -> &Person {
        &self.person
    }

    /// Whether the password has to be changed ([`Auth::replace_password`]) before a session can begin.
    #[must_use]
    pub fn must_change_password(&self) -> bool {
        self.person.must_change_password
    }

    pub(super) fn assurance(&self) -> Assurance {
        Assurance {
            amr: self.amr.clone(),
            aal: AuthenticatorAssurance::Aal1,
            auth_time: Some(self.auth_time),
        }
    }
}

/// What a try is counted against.
pub(super) struct Counted {
    pub(super) account: CounterKey,
    pub(super) address: Option<CounterKey>,
}

impl Auth {
    /// Checks a username or e-mail address and a password.
    ///
    /// Unknown, disabled and passwordless persons cost the same reads, one hash and the same writes as a wrong password,
    /// and end in the same error.
    ///
    /// # Errors
    /// [`AuthError::InvalidCredentials`], counted and recorded; [`AuthError::Throttled`] after too many of them;
    /// [`AuthError::Busy`] when the hash queue is full, which counts against nobody; [`AuthError::Db`].
    pub async fn verify_login(
        &self,
        ctx: &RequestContext,
        identifier: &str,
        password: Password,
    ) -> Result<VerifiedPerson, AuthError> {
        let identifier = Identifier::new(identifier);
        let mut conn = self.inner.db.read().await?;
        let (person, stored) = match people::find_for_login(&mut conn, &identifier).await? {
            Some((person, stored)) => (Some(person), stored),
            None => (None, None),
        };
        let account = match &person {
            Some(person) => CounterKey::Person(person.id),
            None => CounterKey::Nobody(self.inner.pepper.digest("login-name", identifier.key().as_bytes())),
        };
        let counted = Counted { account, address: ctx.address.map(CounterKey::address) };
        self.standing(&mut conn, &counted).await?;
        // Hashing takes long: the connection goes back first.
        drop(conn);
        let matches = self.check_password(&counted, person.as_ref(), password, stored).await?;
        match person.filter(|_| matches) {
            Some(person) => {
                let auth_time = self.inner.clock.now();
                Ok(VerifiedPerson { person, amr: vec!["pwd".to_owned()], auth_time })
            }
            None => Err(self.password_failed(ctx, &counted, "auth.login_failed").await),
        }
    }

    /// Whether `password` is the one of an active person. Callers have asked [`standing`](Self::standing) before, and
    /// report `false` with [`password_failed`](Self::password_failed).
    pub(super) async fn check_password(
        &self,
        counted: &Counted,
        person: Option<&Person>,
        password: Password,
        stored: Option<String>,
    ) -> Result<bool, AuthError> {
        let stored = stored.and_then(|text| {
            text.parse::<PasswordHash>()
                .inspect_err(|_| {
                    tracing::error!("a stored password hash is malformed; its person cannot sign in")
                })
                .ok()
        });
        let verdict = match &stored {
            Some(stored) => self.inner.hasher.verify(password.clone(), stored).await?,
            None => self.inner.hasher.verify_dummy(password.clone()).await?,
        };
        // The hash was computed whoever it is for; a disabled person goes on like a wrong password from here.
        let person = person.filter(|person| person.is_active());
        let (Some(person), Some(stored), Verdict::Match { needs_rehash }) = (person, stored, verdict) else {
            return Ok(false);
        };
        // Asked again after the hash: of many tries at once, those that end after the lock learn nothing.
        let id = person.id;
        let mut conn = self.inner.db.read().await?;
        let standing = self.standing(&mut conn, counted).await?;
        drop(conn);
        if standing.has_failures {
            let forget = async move |tx: &mut Tx| throttle::clear(tx, id).await;
            self.inner.db.transact(SCOPE, forget).await?;
        }
        if needs_rehash {
            self.rehash(id, password, &stored).await;
        }
        Ok(true)
    }

    /// Refuses when the account or address is locked.
    pub(super) async fn standing(&self, conn: &mut Conn, counted: &Counted) -> Result<Standing, AuthError> {
        let now = self.inner.clock.now();
        let standing = throttle::find_standing(conn, &counted.account, counted.address.as_ref(), now).await?;
        match standing.locked_until.map(|until| until.signed_duration_since(now).to_std()) {
            Some(Ok(retry_after)) => Err(AuthError::Throttled { retry_after }),
            _ => Ok(standing),
        }
    }

    /// Counts and records a wrong password, and makes the error for it.
    pub(super) async fn password_failed(
        &self,
        ctx: &RequestContext,
        counted: &Counted,
        action: &'static str,
    ) -> AuthError {
        let now = self.inner.clock.now();
        let (account, address) = (counted.account.clone(), counted.address.clone());
        let config = self.inner.throttle.clone();
        let person = match &counted.account {
            CounterKey::Person(person) => Some(*person),
            _ => None,
        };
        let count = async move |tx: &mut Tx| {
            let by_account = throttle::fail(tx, &account, &config, now).await?;
            let by_address = match &address {
                Some(address) => Some(throttle::fail(tx, address, &config, now).await?),
                None => None,
            };
            // Asked for nobody as well: the cost must not tell who exists.
            let tenant = session::find_latest_tenant(tx, person).await?;
            Ok::<_, stylobate_db::Error>((by_account, by_address, tenant))
        };
        let (by_account, by_address, tenant) = match self.inner.db.transact(SCOPE, count).await {
            Ok(counted) => counted,
            // A try that is not counted gets no answer either: otherwise an outage would be the time to guess.
            Err(error) => return AuthError::Db(error),
        };
        let before = [Some(by_account.0), by_address.map(|(before, _)| before)];
        let already_locked = before.into_iter().flatten().filter_map(|counter| counter.lock_left(now)).max();
        if let Some(retry_after) = already_locked {
            return AuthError::Throttled { retry_after };
        }
        // The typed name is not recorded: people type passwords into that field.
        let mut event = AuditEvent::new(ctx, action, "person").outcome(Outcome::Failure);
        if let Some(person) = person {
            event = event.on(person);
        }
        // Filed where the person was last at work: an event of no organisation is read by nobody there.
        if tenant.is_some() && event.tenant.is_none() {
            event = event.in_tenant(tenant);
        }
        event = event.with("failures", by_account.1.failures);
        if let Some(until) = by_account.1.locked_until {
            event = event.with("account_locked_until", until.to_rfc3339());
        }
        if let Some(until) = by_address.and_then(|(_, after)| after.locked_until) {
            event = event.with("address_locked_until", until.to_rfc3339());
        }
        self.record(event).await;
        AuthError::InvalidCredentials
    }

    /// Brings a hash to the present parameters. The login goes on without it.
    async fn rehash(&self, person: PersonId, password: Password, old: &PasswordHash) {
        let Ok(new) = self.inner.hasher.hash(password).await else { return };
        let (old, now) = (old.clone(), self.inner.clock.now());
        let store = async move |tx: &mut Tx| credential::rehash_password(tx, person, &old, &new, now).await;
        if let Err(error) = self.inner.db.transact(SCOPE, store).await {
            tracing::warn!(code = error.code(), "a password hash could not be renewed");
        }
    }

    /// Ends the lock of an account, whatever its failures.
    ///
    /// # Errors
    /// [`AuthError::Db`].
    pub async fn unlock(
        &self,
        tx: &mut Tx,
        ctx: &RequestContext,
        person: PersonId,
    ) -> Result<bool, AuthError> {
        let was_counted = throttle::clear(tx, person).await?;
        if was_counted {
            tx.audit(AuditEvent::new(ctx, "auth.unlock", "person").on(person));
        }
        Ok(was_counted)
    }
}
