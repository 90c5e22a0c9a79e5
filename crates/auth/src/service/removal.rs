use serde_json::json;
use stylobate_core::{Message, PersonId, RequestContext};
use stylobate_db::{MessageOutbox, Tx};

use super::{Auth, AuthError};
use crate::{Password, Person};

/// The end of an account.
impl Auth {
    /// Asks the caller's present password again, before something that cannot be undone. Hold the person against the row in the
    /// transaction that does it: with another `credential_epoch`, or disabled, it is not who was asked.
    ///
    /// # Errors
    /// [`AuthError::InvalidCredentials`] and [`AuthError::Throttled`] as at sign-in, and counted with it;
    /// [`AuthError::NotAPerson`], [`AuthError::Busy`], [`AuthError::Db`].
    pub async fn prove_password(&self, ctx: &RequestContext, current: Password) -> Result<Person, AuthError> {
        Ok(self.prove_again(ctx, current, "auth.password_proof_failed").await?.0)
    }

    /// Tells the address `email` of a person that their account is disabled: `account_disabled`, with the values `is_by_owner`, `ip`
    /// and `occurred_at`. In the transaction that [does it](crate::People::set_status).
    ///
    /// # Errors
    /// [`AuthError::Db`].
    pub async fn tell_account_disabled(
        &self,
        tx: &mut Tx,
        ctx: &RequestContext,
        person: PersonId,
        email: &str,
        messages: &dyn MessageOutbox,
    ) -> Result<(), AuthError> {
        self.tell_account_end("account_disabled", tx, ctx, person, email, messages).await
    }

    /// Tells the address `email` that a person had that their account is no more: `account_deleted`, with the values `is_by_owner`,
    /// `ip` and `occurred_at`. In the transaction that [does it](crate::People::delete).
    ///
    /// # Errors
    /// [`AuthError::Db`].
    pub async fn tell_account_deleted(
        &self,
        tx: &mut Tx,
        ctx: &RequestContext,
        person: PersonId,
        email: &str,
        messages: &dyn MessageOutbox,
    ) -> Result<(), AuthError> {
        self.tell_account_end("account_deleted", tx, ctx, person, email, messages).await
    }

    async fn tell_account_end(
        &self,
        kind: &'static str,
        tx: &mut Tx,
        ctx: &RequestContext,
        person: PersonId,
        email: &str,
        messages: &dyn MessageOutbox,
    ) -> Result<(), AuthError> {
        let is_by_owner = ctx.principal.person_id() == Some(person);
        // Where somebody else was who did it is not the owner's business.
        let ip = ctx.address.filter(|_| is_by_owner);
        let values = json!({ "is_by_owner": is_by_owner, "ip": ip, "occurred_at": self.inner.clock.now() });
        // To the address: nobody finds people any more who are disabled or gone.
        Ok(messages.hand_over(tx, Message::to_email(kind, email).with(values)).await?)
    }
}
