use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::json;
use stylobate_core::{AuditEvent, BoxFuture, Message, PersonId, RequestContext};
use stylobate_db::{MessageOutbox, Tx};

use super::{Auth, AuthError, SCOPE, session::caller};
use crate::{
    Email, EmailChange, EmailVerification, Identifier, OneTimeToken, Password, People, PeopleError, Person,
    PersonChange, TokenBinding,
    flow_limit::{self, Exceeded, FlowKind, FlowLimit},
    one_time, people,
};

/// A change of address that its owner asked for, with everything that is drawn before its transaction.
struct ChangeRequest {
    ctx: RequestContext,
    person: Person,
    new: Email,
    token: OneTimeToken<EmailChange>,
    messages: Arc<dyn MessageOutbox>,
    now: DateTime<Utc>,
}

/// The e-mail address of an account: proving that mail to it arrives, and changing it.
impl Auth {
    /// Mails the caller a link that proves that mail to their address arrives: the message `email_verification` with the values
    /// `token` and `expires_hours`. Nothing happens when that is proven already.
    ///
    /// # Errors
    /// [`AuthError::NotAPerson`], [`AuthError::FlowThrottled`] after the fifth link within an hour, [`AuthError::Key`],
    /// [`AuthError::Db`].
    pub async fn request_email_verification(
        &self,
        ctx: &RequestContext,
        messages: Arc<dyn MessageOutbox>,
    ) -> Result<(), AuthError> {
        let id = caller(ctx)?;
        let (auth, token, ctx) = (self.clone(), self.draw_one_time()?, ctx.clone());
        let job = Arc::new((id, token, ctx, messages));
        let ask = async move |tx: &mut Tx| auth.ask_for_verification(tx, Arc::clone(&job)).await;
        let counted: Result<(), Exceeded> = self.inner.db.transact(SCOPE, ask).await?;
        counted.map_err(|Exceeded { retry_after }| AuthError::FlowThrottled { retry_after })
    }

    fn ask_for_verification<'a>(
        &'a self,
        tx: &'a mut Tx,
        job: Arc<(PersonId, OneTimeToken<EmailVerification>, RequestContext, Arc<dyn MessageOutbox>)>,
    ) -> BoxFuture<'a, Result<Result<(), Exceeded>, AuthError>> {
        Box::pin(async move {
            let (id, token, ctx, messages) = &*job;
            let now = self.inner.clock.now();
            let person = people::find(tx, *id).await?.ok_or(PeopleError::NotFound)?;
            if person.email_verified {
                return Ok(Ok(()));
            }
            let key = id.as_uuid();
            let counted =
                flow_limit::count(tx, FlowKind::EmailOfAccount, key.as_bytes(), FlowLimit::LINKS, now)
                    .await?;
            if counted.is_err() {
                return Ok(counted);
            }
            let binding = self.personal_binding(&person)?;
            self.keep_one_time(tx, token, binding, self.inner.config.email_link_ttl()).await?;
            messages.hand_over(tx, self.proof("email_verification", &person.email, token)).await?;
            tx.audit(AuditEvent::new(ctx, "auth.email_verify_request", "person").on(id));
            Ok(Ok(()))
        })
    }

    /// A message with a link, to the address that it is to prove and no other.
    fn proof<P: crate::Purpose>(
        &self,
        kind: &'static str,
        address: &str,
        token: &OneTimeToken<P>,
    ) -> Message {
        Message::to_email(kind, address).with(json!({
            "token": token.expose_secret(),
            "expires_hours": self.inner.config.email_link_ttl_hours,
        }))
    }

    /// Takes a link that proves that mail to somebody's address arrives. It signs nobody in.
    ///
    /// # Errors
    /// [`AuthError::LinkInvalid`] for a link that is forged, used, too old or overtaken; [`AuthError::Db`].
    pub async fn verify_email(
        &self,
        ctx: &RequestContext,
        token: &OneTimeToken<EmailVerification>,
    ) -> Result<(), AuthError> {
        let (auth, ctx, token) = (self.clone(), ctx.clone(), token.clone());
        let verify = async move |tx: &mut Tx| {
            let binding = auth.redeem_one_time(tx, &token).await?;
            let person = auth.lock_bound(tx, &binding).await?;
            if auth.personal_binding(&person)? != binding {
                return Err(AuthError::LinkInvalid);
            }
            people::mark_email_verified(tx, person.id).await?;
            tx.audit(AuditEvent::new(&ctx, "auth.email_verify", "person").on(person.id));
            Ok(())
        };
        self.inner.db.transact(SCOPE, verify).await
    }

    /// Asks for another address for the caller, who says the present password again. The new address is mailed a link
    /// (`email_change_confirm` with the values `token` and `expires_hours`), the present one hears of it
    /// (`email_change_requested`). Until the link is used nothing changes. When somebody has the new address already, they are
    /// told so instead (`email_change_taken`), and the caller learns nothing.
    ///
    /// # Errors
    /// [`AuthError::InvalidCredentials`] and [`AuthError::Throttled`] as at sign-in, and counted with it;
    /// [`AuthError::EmailUnchanged`], [`AuthError::NotAPerson`], [`AuthError::FlowThrottled`] after the fifth within an hour,
    /// [`AuthError::Busy`], [`AuthError::Key`], [`AuthError::Db`].
    pub async fn request_email_change(
        &self,
        ctx: &RequestContext,
        current: Password,
        new: &Email,
        messages: Arc<dyn MessageOutbox>,
    ) -> Result<(), AuthError> {
        let (person, _) = self.prove_again(ctx, current, "auth.email_change_failed").await?;
        if Email::parse(&person.email).is_ok_and(|present| present.key() == new.key()) {
            return Err(AuthError::EmailUnchanged);
        }
        let request = Arc::new(ChangeRequest {
            ctx: ctx.clone(),
            person,
            new: new.clone(),
            token: self.draw_one_time()?,
            messages,
            now: self.inner.clock.now(),
        });
        let auth = self.clone();
        let ask = async move |tx: &mut Tx| auth.ask_for_change(tx, Arc::clone(&request)).await;
        let counted: Result<(), Exceeded> = self.inner.db.transact(SCOPE, ask).await?;
        counted.map_err(|Exceeded { retry_after }| AuthError::FlowThrottled { retry_after })
    }

    fn ask_for_change<'a>(
        &'a self,
        tx: &'a mut Tx,
        request: Arc<ChangeRequest>,
    ) -> BoxFuture<'a, Result<Result<(), Exceeded>, AuthError>> {
        Box::pin(async move {
            let ChangeRequest { ctx, person, new, token, messages, now } = &*request;
            let key = person.id.as_uuid();
            let counted =
                flow_limit::count(tx, FlowKind::EmailOfAccount, key.as_bytes(), FlowLimit::LINKS, *now)
                    .await?;
            if counted.is_err() {
                return Ok(counted);
            }
            let holder = People::find_by_identifier(tx, &Identifier::new(new.as_str())).await?;
            let binding = self.personal_binding(person)?;
            let binding = TokenBinding { payload: new.as_str().as_bytes().to_vec(), ..binding };
            // Kept also when it is mailed to nobody, so that both cost the same.
            self.keep_one_time(tx, token, binding, self.inner.config.email_link_ttl()).await?;
            let confirm = match &holder {
                None => self.proof("email_change_confirm", new.as_str(), token),
                Some(holder) => Message::to_email("email_change_taken", holder.email.clone()),
            };
            messages.hand_over(tx, confirm).await?;
            let told = Message::to_person("email_change_requested", person.id);
            let values = json!({ "address": ctx.address, "occurred_at": now });
            messages.hand_over(tx, told.with(values)).await?;
            tx.audit(AuditEvent::new(ctx, "auth.email_change_request", "person").on(person.id));
            Ok(Ok(()))
        })
    }

    /// Takes a link that gives an account the address it was mailed to. Both addresses are told (`email_changed`). Links that
    /// were mailed to the old address are void.
    ///
    /// # Errors
    /// [`AuthError::LinkInvalid`] for a link that is forged, used, too old or overtaken; [`AuthError::People`] with
    /// [`PeopleError::EmailTaken`] when somebody else has the address by now; [`AuthError::Db`].
    pub async fn confirm_email_change(
        &self,
        ctx: &RequestContext,
        token: &OneTimeToken<EmailChange>,
        messages: Arc<dyn MessageOutbox>,
    ) -> Result<(), AuthError> {
        let (auth, job) = (self.clone(), Arc::new((ctx.clone(), token.clone(), messages)));
        let confirm = async move |tx: &mut Tx| auth.change_email_in(tx, Arc::clone(&job)).await;
        self.inner.db.transact(SCOPE, confirm).await
    }

    fn change_email_in<'a>(
        &'a self,
        tx: &'a mut Tx,
        job: Arc<(RequestContext, OneTimeToken<EmailChange>, Arc<dyn MessageOutbox>)>,
    ) -> BoxFuture<'a, Result<(), AuthError>> {
        Box::pin(async move {
            let (ctx, token, messages) = &*job;
            let binding = self.redeem_one_time(tx, token).await?;
            let person = self.lock_bound(tx, &binding).await?;
            let new = String::from_utf8(binding.payload.clone()).ok().and_then(|new| Email::parse(&new).ok());
            let new = new.ok_or(AuthError::LinkInvalid)?;
            let payload = binding.payload.clone();
            if (TokenBinding { payload, ..self.personal_binding(&person)? }) != binding {
                return Err(AuthError::LinkInvalid);
            }
            let change =
                PersonChange { email: Some(new), email_verified: Some(true), ..PersonChange::default() };
            // Whoever follows a link acts for the account, whether signed in or not.
            self.inner.people.update(tx, ctx, person.id, person.version, change).await?;
            one_time::delete_of(tx, person.id.as_uuid()).await?;
            self.tell_email_changed(tx, ctx, person.id, &person.email, &**messages).await?;
            tx.audit(AuditEvent::new(ctx, "auth.email_change", "person").on(person.id));
            Ok(())
        })
    }

    /// Tells the address `old` that a person had until now, and the person at the new one, that it is another: `email_changed`
    /// with the values `address` and `occurred_at`. For services that change addresses by [`People::update`](crate::People::update),
    /// in the same transaction.
    ///
    /// # Errors
    /// [`AuthError::Db`].
    pub async fn tell_email_changed(
        &self,
        tx: &mut Tx,
        ctx: &RequestContext,
        person: PersonId,
        old: &str,
        messages: &dyn MessageOutbox,
    ) -> Result<(), AuthError> {
        let values = json!({ "address": ctx.address, "occurred_at": self.inner.clock.now() });
        for to in [Message::to_email("email_changed", old), Message::to_person("email_changed", person)] {
            messages.hand_over(tx, to.with(values.clone())).await?;
        }
        Ok(())
    }

    /// The person whom a link is about, locked, while they may sign in.
    async fn lock_bound(&self, tx: &mut Tx, binding: &TokenBinding) -> Result<Person, AuthError> {
        let person = people::lock(tx, PersonId::from_uuid(binding.subject)).await?;
        person.filter(Person::is_active).ok_or(AuthError::LinkInvalid)
    }
}
