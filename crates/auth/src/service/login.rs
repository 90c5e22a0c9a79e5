use chrono::{DateTime, Utc};
use stylobate_core::{Assurance, AuditEvent, AuthenticatorAssurance, Outcome, PersonId, RequestContext};
use stylobate_db::{Conn, Tx};

use super::{Auth, AuthError, SCOPE};
use crate::{
    Identifier, Password, PasswordHasher, Person, StoredHash, Verdict, credential, people, session,
    throttle::{self, CounterKey, Standing},
};

/// A person whose password was right. Only [`Auth::verify_login`] makes one.
///
/// It allows nothing yet: [`Auth::admit`] asks whether the account has been locked, disabled or changed meanwhile.
#[derive(Debug, Clone)]
pub struct VerifiedPerson {
    pub(super) person: Person,
    pub(super) counted: Counted,
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
#[derive(Debug, Clone)]
pub(super) struct Counted {
    pub(super) account: CounterKey,
    pub(super) address: Option<CounterKey>,
}

/// How a password compares with the stored hash.
enum Compared {
    Match {
        /// What to hash again, with the present parameters.
        outdated: Option<Outdated>,
    },
    Mismatch,
}

/// A hash that was made otherwise than new ones are, and its password.
struct Outdated {
    password: Password,
    hash: StoredHash,
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
        let hasher = self.inner.hasher.for_address(ctx.address);
        let compared = self.compare(&hasher, person.as_ref(), password, stored).await?;
        let (Some(person), Compared::Match { outdated }) = (person, compared) else {
            return Err(self.password_failed(ctx, &counted, "auth.login_failed").await);
        };
        if let Some(outdated) = outdated {
            // Not for those whom `admit` will send away: a renewal takes long enough to tell that the password was right.
            let mut conn = self.inner.db.read().await?;
            self.standing(&mut conn, &counted).await?;
            drop(conn);
            self.rehash(person.id, outdated).await;
        }
        let auth_time = self.inner.clock.now();
        Ok(VerifiedPerson { person, counted, amr: vec!["pwd".to_owned()], auth_time })
    }

    /// Whether `password` is the one of an active person, and nobody has failed too often meanwhile. Callers have asked
    /// [`standing`](Self::standing) before, and report `false` with [`password_failed`](Self::password_failed).
    pub(super) async fn check_password(
        &self,
        hasher: &PasswordHasher,
        counted: &Counted,
        person: Option<&Person>,
        password: Password,
        stored: Option<String>,
    ) -> Result<bool, AuthError> {
        let compared = self.compare(hasher, person, password, stored).await?;
        let (Some(person), Compared::Match { outdated }) = (person, compared) else { return Ok(false) };
        let (auth, counted) = (self.clone(), counted.clone());
        let settle = async move |tx: &mut Tx| auth.settle(tx, &counted).await;
        self.inner.db.transact(SCOPE, settle).await?;
        if let Some(outdated) = outdated {
            self.rehash(person.id, outdated).await;
        }
        Ok(true)
    }

    /// Compares a password with the stored hash; costs one hash whoever it is for.
    async fn compare(
        &self,
        hasher: &PasswordHasher,
        person: Option<&Person>,
        password: Password,
        stored: Option<String>,
    ) -> Result<Compared, AuthError> {
        let stored = stored.and_then(|text| self.usable_hash(&text));
        let verdict = match &stored {
            Some(stored) => hasher.verify_stored(password.clone(), stored).await?,
            None => hasher.verify_dummy(password.clone()).await?,
        };
        // The hash was computed all the same; a disabled person goes on like a wrong password from here.
        let is_active = person.is_some_and(Person::is_active);
        let (true, Some(hash), Verdict::Match { needs_rehash }) = (is_active, stored, verdict) else {
            return Ok(Compared::Mismatch);
        };
        Ok(Compared::Match { outdated: needs_rehash.then_some(Outdated { password, hash }) })
    }

    /// Asks again after the hash how an account stands: of many tries at once, those that end after the lock learn
    /// nothing. A success ends the account's failures.
    pub(super) async fn settle(&self, tx: &mut Tx, counted: &Counted) -> Result<(), AuthError> {
        let standing = self.standing(tx, counted).await?;
        if let (true, CounterKey::Person(id)) = (standing.has_failures, &counted.account) {
            throttle::clear(tx, *id).await?;
        }
        Ok(())
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

    /// Brings a hash to the present form. The login goes on without it.
    async fn rehash(&self, person: PersonId, Outdated { password, hash: old }: Outdated) {
        let Ok(new) = self.inner.hasher.hash(password).await else { return };
        let (new, now) = (StoredHash::from(new), self.inner.clock.now());
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
