use chrono::{DateTime, Utc};
use stylobate_core::{AuditEvent, PersonId, RequestContext, SessionId};
use stylobate_db::{Conn, Tx};

use super::{
    Auth, AuthError, RenewedSession, SCOPE, VerifiedPerson,
    session::caller,
    step_up::GoesOn,
    told::{PasswordChangedBy, tell_password_changed},
};
use crate::{
    AccountKey, AddressKey, ContextWords, DeviceCookie, DeviceId, LoginTry, Password, PasswordHash,
    PasswordHasher, PeopleError, Person, StoredHash,
    credential::{self, ChosenBy},
    people,
    session::EndReason,
};

/// What the client goes on with whose owner has changed the password.
#[derive(Debug, Clone)]
#[must_use = "what the client held before does not work any more"]
pub struct ChangedPassword {
    /// What keeps the client a known device: earlier cookies are void.
    pub device: DeviceCookie,
    /// What replaces the session that asked, of the kind that it had. Absent when the caller's credential has no live
    /// session.
    pub session: Option<RenewedSession>,
}

impl Auth {
    /// Changes the caller's password: the present one is asked again, the session that asks goes on under a new id with a
    /// new cookie or new tokens, all others end, and so do the locks of the account. Whoever held anything of the caller's
    /// before is out.
    ///
    /// # Errors
    /// [`AuthError::InvalidCredentials`] and [`AuthError::Throttled`] as at sign-in, and counted with it;
    /// [`AuthError::PasswordRefused`], [`AuthError::PasswordUnchanged`], [`AuthError::NotAPerson`],
    /// [`AuthError::Busy`], [`AuthError::Db`].
    pub async fn change_password(
        &self,
        ctx: &RequestContext,
        current: Password,
        new: Password,
    ) -> Result<ChangedPassword, AuthError> {
        let (person, login) = self.prove_again(ctx, current.clone(), "auth.password_change_failed").await?;
        if current.expose_secret() == new.expose_secret() {
            return Err(AuthError::PasswordUnchanged);
        }
        let hasher = self.inner.hasher.for_address(ctx.address);
        let hash = self.hash_allowed(&hasher, &person.context_words(), new).await?;
        let (epoch, session) = self.store_password(ctx, person, hash, ctx.principal.session).await?;
        let now = self.inner.clock.now();
        let device = DeviceCookie::issue(&self.inner.pepper, &login.account, epoch, None, now)?;
        Ok(ChangedPassword { device, session })
    }

    /// Asks the caller's present password again. A wrong one is counted as at sign-in, and recorded as `failed`.
    pub(super) async fn prove_again(
        &self,
        ctx: &RequestContext,
        password: Password,
        failed: &'static str,
    ) -> Result<(Person, LoginTry), AuthError> {
        let id = caller(ctx)?;
        let mut conn = self.inner.db.read().await?;
        let person = people::find(&mut conn, id).await?;
        let stored = credential::find_password(&mut conn, id).await?;
        let login = LoginTry {
            account: AccountKey::Person(id),
            address: AddressKey::new(ctx.address),
            // Strangers cannot keep whoever is signed in from proving who they are, or from ending an attack by a new password.
            device: ctx.principal.session.map(DeviceId::of_session),
        };
        self.standing(conn, &login).await?;
        let hasher = self.inner.hasher.for_address(ctx.address);
        let matches = self.check_password(&hasher, &login, person.as_ref(), password, stored).await?;
        match person.filter(|_| matches) {
            Some(person) => Ok((person, login)),
            None => Err(self.password_failed(ctx, &login, failed).await),
        }
    }

    /// Sets a new password for somebody who has just signed in with one that has to be changed. All sessions end; sign in
    /// again with the new one.
    ///
    /// # Errors
    /// [`AuthError::PasswordRefused`], [`AuthError::PasswordUnchanged`]; [`AuthError::Throttled`] and
    /// [`AuthError::InvalidCredentials`] when the account was locked, or the person changed, since;
    /// [`AuthError::Busy`], [`AuthError::Db`].
    pub async fn replace_password(
        &self,
        ctx: &RequestContext,
        verified: &VerifiedPerson,
        new: Password,
    ) -> Result<(), AuthError> {
        let mut conn = self.inner.db.read().await?;
        let stored = credential::find_password(&mut conn, verified.id()).await?;
        self.standing(conn, &verified.login).await?;
        let hasher = self.inner.hasher.for_address(ctx.address);
        if let Some(stored) = stored.and_then(|text| self.usable_hash(&text))
            && hasher.verify_stored(new.clone(), &stored).await?.is_match()
        {
            return Err(AuthError::PasswordUnchanged);
        }
        let hash = self.hash_allowed(&hasher, &verified.person.context_words(), new).await?;
        self.store_password(ctx, verified.person.clone(), hash, None).await?;
        Ok(())
    }

    /// Holds a new password against the policy and hashes it: before the transaction that sets it, because hashing takes
    /// long and SQLite has one writer.
    ///
    /// # Errors
    /// [`AuthError::PasswordRefused`] with all violations, [`AuthError::Busy`].
    pub async fn hash_new_password(
        &self,
        about: &ContextWords,
        password: Password,
    ) -> Result<PasswordHash, AuthError> {
        self.hash_allowed(&self.inner.hasher, about, password).await
    }

    pub(super) async fn hash_allowed(
        &self,
        hasher: &PasswordHasher,
        about: &ContextWords,
        password: Password,
    ) -> Result<PasswordHash, AuthError> {
        let about = match &self.inner.config.service_name {
            Some(name) => &about.clone().service(name),
            None => about,
        };
        let violations = hasher.judge(&self.inner.policy, &password, about).await?;
        if !violations.is_empty() {
            return Err(AuthError::PasswordRefused(violations));
        }
        Ok(hasher.hash(password).await?)
    }

    /// The stored hash that a text is, unless it cannot be verified: then its person cannot sign in, which looks like a wrong password
    /// to them and is an error in the log, at most once a minute: whoever knows the name could otherwise fill it.
    pub(super) fn usable_hash(&self, text: &str) -> Option<StoredHash> {
        let parsed = text.parse::<StoredHash>();
        let usable = parsed.and_then(|stored| self.inner.hasher.check_stored(&stored).map(|()| stored));
        usable
            .inspect_err(|error| {
                if let Some(unsaid) = self.inner.unusable_hashes.say() {
                    tracing::error!(
                        code = error.code(),
                        unsaid,
                        "a stored password hash cannot be verified; its person cannot sign in"
                    );
                }
            })
            .ok()
    }

    /// Sets a person's password, as administrators and commands do: all sessions end, everything issued before is void,
    /// a lock is lifted. `must_change` makes the person choose another at the next sign-in. Unless the platform does it for
    /// somebody who comes in, or the person themselves, the password counts as somebody else's: see
    /// [`require_own_password`](Self::require_own_password).
    ///
    /// # Errors
    /// [`AuthError::People`] with [`PeopleError::NotFound`], [`AuthError::Db`].
    pub async fn set_password(
        &self,
        tx: &mut Tx,
        ctx: &RequestContext,
        id: PersonId,
        hash: &PasswordHash,
        must_change: bool,
    ) -> Result<(), AuthError> {
        let person = people::lock(tx, id).await?.ok_or(PeopleError::NotFound)?;
        let had_one = credential::is_password_active(tx, id).await?.is_some();
        self.put_password(tx, &person, hash, ChosenBy::of(ctx, id), must_change).await?;
        let event = AuditEvent::new(ctx, "auth.password_set", "person").on(id);
        tx.audit(event.with("must_change_password", must_change));
        if had_one {
            let now = self.inner.clock.now();
            tell_password_changed(tx, ctx, id, PasswordChangedBy::Administrator, now);
        }
        Ok(())
    }

    /// The password of a person who is locked, set by somebody else or by a link.
    pub(super) async fn put_password(
        &self,
        tx: &mut Tx,
        person: &Person,
        hash: &PasswordHash,
        by: ChosenBy,
        must_change: bool,
    ) -> Result<(), AuthError> {
        let now = self.inner.clock.now();
        credential::put_password(tx, person.id, &hash.clone().into(), by, now).await?;
        // Whoever is given a password is meant to sign in with it.
        credential::set_password_active(tx, person.id, true, now).await?;
        let epoch = people::raise_epoch(tx, person, must_change, now).await?;
        self.inner.people.void_all(tx, person.id, epoch, EndReason::PasswordChange).await?;
        people::void_links(tx, person.id).await?;
        self.inner.counters.clear(tx, person.id).await?;
        Ok(())
    }

    /// Refuses who signs in with a password that somebody else chose, and may know: before they join a further organisation, in
    /// which that one has no business. Changing it by knowing it does not make it one's own, also where it has to be changed: whoever
    /// chose it could have done that. A mailed link does, unless somebody else chooses the address as well. For transactions in which
    /// the person is locked.
    ///
    /// # Errors
    /// [`AuthError::PasswordNotOwn`], [`AuthError::Db`].
    pub async fn require_own_password(&self, conn: &mut Conn, person: PersonId) -> Result<(), AuthError> {
        let is_others = credential::is_chosen_by_other(conn, person).await?;
        if is_others { Err(AuthError::PasswordNotOwn) } else { Ok(()) }
    }

    /// When the password of a person was last set; `None` where there is none. Of one that is the person's
    /// [own](Self::require_own_password), whatever is older may be the doing of who chose the one before.
    ///
    /// # Errors
    /// [`AuthError::Db`].
    pub async fn password_set_at(
        &self,
        conn: &mut Conn,
        person: PersonId,
    ) -> Result<Option<DateTime<Utc>>, AuthError> {
        Ok(credential::password_set_at(conn, person).await?)
    }

    /// Has the password of a person count as somebody else's that the platform set on the word of who is not its operator. See
    /// [`require_own_password`](Self::require_own_password).
    ///
    /// # Errors
    /// [`AuthError::Db`].
    pub async fn disown_password(&self, tx: &mut Tx, person: PersonId) -> Result<(), AuthError> {
        Ok(credential::mark_chosen_by_other(tx, person).await?)
    }

    /// Gives somebody who has no password the one of a replaced system, by its hash: nobody learns the password, and the first sign-in
    /// hashes it anew. A password that is there already stays. Returns whether it was set.
    ///
    /// # Errors
    /// [`AuthError::Password`] when the hash asks for more than is allowed or for a secret that is missing; [`AuthError::Db`].
    pub async fn import_password(
        &self,
        tx: &mut Tx,
        ctx: &RequestContext,
        id: PersonId,
        hash: &StoredHash,
    ) -> Result<bool, AuthError> {
        self.inner.hasher.check_stored(hash)?;
        let now = self.inner.clock.now();
        let is_set = credential::insert_password(tx, id, hash, now).await?;
        if is_set {
            let event = AuditEvent::new(ctx, "auth.password_import", "person").on(id);
            tx.audit(event.with("scheme", hash.scheme()));
        }
        Ok(is_set)
    }

    /// Stores what a person chose themselves; `keep` goes on as another session. Returns the new epoch, and that session.
    async fn store_password(
        &self,
        ctx: &RequestContext,
        person: Person,
        hash: PasswordHash,
        keep: Option<SessionId>,
    ) -> Result<(i64, Option<RenewedSession>), AuthError> {
        let (auth, ctx, now) = (self.clone(), ctx.clone(), self.inner.clock.now());
        let hash = StoredHash::from(hash);
        let store = async move |tx: &mut Tx| {
            // Whoever was disabled, or got another password, while this one was hashed is not changed any more.
            let present = people::lock(tx, person.id).await?;
            let epoch_is_same = |present: &Person| present.credential_epoch == person.credential_epoch;
            let Some(present) = present.filter(Person::is_active).filter(epoch_is_same) else {
                return Err(AuthError::InvalidCredentials);
            };
            credential::put_password(tx, person.id, &hash, ChosenBy::Holder, now).await?;
            let epoch = people::raise_epoch(tx, &present, false, now).await?;
            // What was guessed so far was guessed at another password.
            auth.inner.counters.clear(tx, person.id).await?;
            people::void_links(tx, person.id).await?;
            let ended = auth.end_sessions(tx, person.id, keep, EndReason::PasswordChange, now).await?;
            let renewed = match keep {
                // The password was the right one a moment ago.
                Some(_) => auth.replace_session(tx, &ctx, &present, epoch, GoesOn::Proved(now)).await,
                None => Err(AuthError::SessionNotFound),
            };
            let renewed = match renewed {
                Ok(replaced) => Some(replaced.session),
                // One that has run out meanwhile has nothing to go on with.
                Err(AuthError::SessionNotFound) => None,
                Err(error) => return Err(error),
            };
            let event = AuditEvent::new(&ctx, "auth.password_change", "person").on(person.id);
            let mut event = event.with("sessions_ended", ended.len());
            if let Some(renewed) = &renewed {
                event = event.with("goes_on_as", renewed.session_id().to_string());
            }
            tx.audit(event);
            tell_password_changed(tx, &ctx, person.id, PasswordChangedBy::Owner, now);
            Ok((epoch, renewed))
        };
        self.inner.db.transact(SCOPE, store).await
    }
}
