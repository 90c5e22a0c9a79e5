use stylobate_core::{AuditEvent, PersonId, RequestContext};
use stylobate_db::{Conn, Tx};

use super::{Auth, AuthError};
use crate::{
    CredentialRecord, HashCounts, PasswordHash, PeopleError,
    credential::{self, ChosenBy},
    people,
    session::EndReason,
};

/// What administrators do with credentials. Whether the caller may, is the caller's question; setting another password is
/// [`Auth::set_password`], ending a lock [`Auth::unlock`].
impl Auth {
    /// The credentials of `people`, in their order; who has none is left out.
    ///
    /// # Errors
    /// [`AuthError::Db`], [`AuthError::Counters`].
    pub async fn credentials_of(
        &self,
        conn: &mut Conn,
        people: &[PersonId],
    ) -> Result<Vec<CredentialRecord>, AuthError> {
        if people.is_empty() {
            return Ok(Vec::new());
        }
        let locks = self.inner.counters.lock_states(conn, people, self.inner.clock.now()).await?;
        Ok(credential::find_records(conn, people, &locks).await?)
    }

    /// The credential of a person.
    ///
    /// # Errors
    /// [`AuthError::CredentialNotFound`], [`AuthError::Db`], [`AuthError::Counters`].
    pub async fn credential_of(
        &self,
        conn: &mut Conn,
        person: PersonId,
    ) -> Result<CredentialRecord, AuthError> {
        let found = self.credentials_of(conn, &[person]).await?;
        found.into_iter().next().ok_or(AuthError::CredentialNotFound)
    }

    /// Whether the person has a credential that can be signed in with.
    ///
    /// # Errors
    /// [`AuthError::Db`].
    pub async fn has_credential(&self, conn: &mut Conn, person: PersonId) -> Result<bool, AuthError> {
        Ok(credential::is_password_active(conn, person).await?.unwrap_or(false))
    }

    /// Gives a person without a password one. `must_change` makes the person choose another at the first sign-in.
    ///
    /// # Errors
    /// [`AuthError::CredentialExists`], [`AuthError::People`] with [`PeopleError::NotFound`], [`AuthError::Db`].
    pub async fn create_credential(
        &self,
        tx: &mut Tx,
        ctx: &RequestContext,
        id: PersonId,
        hash: &PasswordHash,
        must_change: bool,
    ) -> Result<(), AuthError> {
        // The lock first: of two at once, the second finds what the first made.
        let person = people::lock(tx, id).await?.ok_or(PeopleError::NotFound)?;
        if credential::is_password_active(tx, id).await?.is_some() {
            return Err(AuthError::CredentialExists);
        }
        self.put_password(tx, &person, hash, ChosenBy::of(ctx, id), must_change).await?;
        let event = AuditEvent::new(ctx, "credential.create", "credential").on(id);
        tx.audit(event.with("must_change_password", must_change));
        Ok(())
    }

    /// Switches a person's password on or off. Off, nobody signs in with it, and everything issued before is void.
    ///
    /// # Errors
    /// [`AuthError::CredentialNotFound`], [`AuthError::People`] with [`PeopleError::NotFound`], [`AuthError::Db`].
    pub async fn set_credential_active(
        &self,
        tx: &mut Tx,
        ctx: &RequestContext,
        id: PersonId,
        is_active: bool,
    ) -> Result<(), AuthError> {
        let person = people::lock(tx, id).await?.ok_or(PeopleError::NotFound)?;
        let was_active = credential::is_password_active(tx, id).await?;
        if was_active.ok_or(AuthError::CredentialNotFound)? == is_active {
            return Ok(());
        }
        let now = self.inner.clock.now();
        credential::set_password_active(tx, id, is_active, now).await?;
        if !is_active {
            self.void(tx, &person).await?;
        }
        let event = AuditEvent::new(ctx, "credential.update", "credential").on(id);
        tx.audit(event.with("is_active", is_active));
        Ok(())
    }

    /// Removes a person's password: nobody signs in with it, and everything issued before is void.
    ///
    /// # Errors
    /// [`AuthError::CredentialNotFound`], [`AuthError::People`] with [`PeopleError::NotFound`], [`AuthError::Db`].
    pub async fn delete_credential(
        &self,
        tx: &mut Tx,
        ctx: &RequestContext,
        id: PersonId,
    ) -> Result<(), AuthError> {
        let person = people::lock(tx, id).await?.ok_or(PeopleError::NotFound)?;
        if !credential::delete_password(tx, id).await? {
            return Err(AuthError::CredentialNotFound);
        }
        self.void(tx, &person).await?;
        tx.audit(AuditEvent::new(ctx, "credential.delete", "credential").on(id));
        Ok(())
    }

    /// How many stored hashes are of which kind, and keyed with which version of the password pepper: a version may be
    /// taken out of the configuration once no hash names it. Reads all of them, page by page.
    ///
    /// # Errors
    /// [`AuthError::Db`].
    pub async fn count_password_hashes(&self) -> Result<HashCounts, AuthError> {
        let mut conn = self.inner.db.read().await?;
        Ok(credential::count_hashes(&mut conn, &self.inner.hasher).await?)
    }

    /// Ends everything that was issued to a person who is locked.
    async fn void(&self, tx: &mut Tx, person: &crate::Person) -> Result<(), AuthError> {
        let now = self.inner.clock.now();
        let epoch = people::raise_epoch(tx, person, person.must_change_password, now).await?;
        self.inner.people.void_all(tx, person.id, epoch, EndReason::Revoked).await?;
        Ok(())
    }
}
