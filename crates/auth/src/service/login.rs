use chrono::{DateTime, Utc};
use stylobate_core::{Assurance, AuditEvent, AuthenticatorAssurance, Outcome, PersonId, RequestContext};
use stylobate_db::Tx;

use super::{Auth, AuthError, SCOPE};
use crate::{
    AccountKey, AddressKey, DeviceCookie, Identifier, LoginTry, Password, PasswordHasher, Person, StoredHash,
    Verdict, credential, people, session,
};

/// A person whose password was right. Only [`Auth::verify_login`] makes one.
///
/// It allows nothing yet: [`Auth::admit`] asks whether the account has been locked, disabled or changed meanwhile.
#[derive(Debug, Clone)]
pub struct VerifiedPerson {
    pub(super) person: Person,
    pub(super) login: LoginTry,
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
    /// [`AuthError::Busy`] when the hash queue is full, which counts against nobody; [`AuthError::Db`] and
    /// [`AuthError::Counters`].
    pub async fn verify_login(
        &self,
        ctx: &RequestContext,
        identifier: &str,
        password: Password,
    ) -> Result<VerifiedPerson, AuthError> {
        self.verify_login_from(ctx, identifier, password, None).await
    }

    /// As [`verify_login`](Self::verify_login), by a client that presents the text of a [`DeviceCookie`]. One of this
    /// account makes it a known device, which strangers cannot lock out; anything else changes nothing.
    ///
    /// # Errors
    /// As [`verify_login`](Self::verify_login).
    pub async fn verify_login_from(
        &self,
        ctx: &RequestContext,
        identifier: &str,
        password: Password,
        device: Option<&str>,
    ) -> Result<VerifiedPerson, AuthError> {
        let identifier = Identifier::new(identifier);
        let mut conn = self.inner.db.read().await?;
        let (person, stored) = match people::find_for_login(&mut conn, &identifier).await? {
            Some((person, stored)) => (Some(person), stored),
            None => (None, None),
        };
        let account = match &person {
            Some(person) => AccountKey::Person(person.id),
            None => AccountKey::Nobody(self.inner.pepper.digest("login-name", identifier.key().as_bytes())),
        };
        let epoch = person.as_ref().map_or(0, |person| person.credential_epoch);
        let now = self.inner.clock.now();
        let device =
            device.and_then(|text| DeviceCookie::read(&self.inner.pepper, &account, epoch, text, now));
        let login = LoginTry { account, address: AddressKey::new(ctx.address), device };
        // The connection goes back before the hash, which takes long.
        self.standing(conn, &login).await?;
        let hasher = self.inner.hasher.for_address(ctx.address);
        let compared = self.compare(&hasher, &login, person.as_ref(), password, stored).await?;
        let (Some(person), Compared::Match { outdated }) = (person, compared) else {
            return Err(self.password_failed(ctx, &login, "auth.login_failed").await);
        };
        self.settle_elsewhere(&login).await?;
        if let Some(outdated) = outdated {
            // Not for those whom `admit` will send away: a renewal takes long enough to tell that the password was right.
            self.standing(self.inner.db.read().await?, &login).await?;
            self.rehash(&hasher, person.id, outdated).await;
        }
        let auth_time = self.inner.clock.now();
        Ok(VerifiedPerson { person, login, amr: vec!["pwd".to_owned()], auth_time })
    }

    /// Records that somebody whose password was right was sent away all the same, with the stable code of the `reason`: the
    /// trail would otherwise say nothing of a right password.
    pub async fn record_refused_login(
        &self,
        ctx: &RequestContext,
        verified: &VerifiedPerson,
        reason: &'static str,
    ) {
        let mut event = AuditEvent::new(ctx, "auth.login_refused", "person").outcome(Outcome::Failure);
        event = event.on(verified.id()).with("reason", reason);
        if event.tenant.is_none()
            && let Ok(mut conn) = self.inner.db.read().await
            && let Ok(tenant) = session::find_latest_tenant(&mut conn, Some(verified.id())).await
        {
            // Filed where the person was last at work: an event of no organisation is read by nobody there.
            event = event.in_tenant(tenant);
        }
        self.record(event).await;
    }

    /// Whether `password` is the one of an active person, and nobody has failed too often meanwhile. Callers have asked
    /// [`standing`](Self::standing) before, and report `false` with [`password_failed`](Self::password_failed).
    pub(super) async fn check_password(
        &self,
        hasher: &PasswordHasher,
        login: &LoginTry,
        person: Option<&Person>,
        password: Password,
        stored: Option<String>,
    ) -> Result<bool, AuthError> {
        let compared = self.compare(hasher, login, person, password, stored).await?;
        let (Some(person), Compared::Match { outdated }) = (person, compared) else { return Ok(false) };
        self.settle_elsewhere(login).await?;
        let (auth, login) = (self.clone(), *login);
        let settle = async move |tx: &mut Tx| auth.settle(tx, &login).await;
        self.inner.db.transact(SCOPE, settle).await?;
        if let Some(outdated) = outdated {
            self.rehash(hasher, person.id, outdated).await;
        }
        Ok(true)
    }

    /// Compares a password with the stored hash; costs one hash whoever it is for.
    async fn compare(
        &self,
        hasher: &PasswordHasher,
        login: &LoginTry,
        person: Option<&Person>,
        password: Password,
        stored: Option<String>,
    ) -> Result<Compared, AuthError> {
        let stored = stored.and_then(|text| self.usable_hash(&text));
        let verdict = match &stored {
            Some(stored) => hasher.verify_stored(password.clone(), stored).await?,
            None => self.verify_dummy(hasher, &login.account, password.clone()).await?,
        };
        // The hash was computed all the same; a disabled person goes on like a wrong password from here.
        let is_active = person.is_some_and(Person::is_active);
        let (true, Some(hash), Verdict::Match { needs_rehash }) = (is_active, stored, verdict) else {
            return Ok(Compared::Mismatch);
        };
        Ok(Compared::Match { outdated: needs_rehash.then_some(Outdated { password, hash }) })
    }

    /// Brings a hash to the present form, taking the turn of its client. The login goes on without it.
    async fn rehash(&self, hasher: &PasswordHasher, person: PersonId, outdated: Outdated) {
        let Outdated { password, hash: old } = outdated;
        let new = match hasher.hash(password).await {
            Ok(new) => new,
            // The next sign-in tries again.
            Err(error) => {
                tracing::debug!(
                    code = error.code(),
                    scheme = old.scheme(),
                    "a password hash was not renewed"
                );
                return;
            }
        };
        let (new, now) = (StoredHash::from(new), self.inner.clock.now());
        let store = async move |tx: &mut Tx| credential::rehash_password(tx, person, &old, &new, now).await;
        if let Err(error) = self.inner.db.transact(SCOPE, store).await {
            tracing::warn!(code = error.code(), "a password hash could not be renewed");
        }
    }
}
