use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::json;
use stylobate_core::{AuditEvent, BoxFuture, Message, PersonId, RequestContext, Subject};
use stylobate_db::{MessageOutbox, Tx};

use super::{Auth, AuthError, SCOPE, session as signed_in};
use crate::{
    Email, EmailChange, EmailVerification, Identifier, OneTimeToken, Password, People, PeopleError, Person,
    PersonChange, TokenBinding,
    credential::ChosenBy,
    flow_limit::{self, Exceeded, FlowKind, FlowLimit},
    people, session,
};

/// A proof of address that its owner asked for, with everything that is drawn before its transaction.
struct VerificationRequest {
    ctx: RequestContext,
    person: PersonId,
    token: OneTimeToken<EmailVerification>,
    messages: Arc<dyn MessageOutbox>,
    now: DateTime<Utc>,
}

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
        let person = signed_in::caller(ctx)?;
        let request = Arc::new(VerificationRequest {
            ctx: ctx.clone(),
            person,
            token: self.draw_one_time()?,
            messages,
            now: self.inner.clock.now(),
        });
        let auth = self.clone();
        let ask = async move |tx: &mut Tx| auth.ask_for_verification(tx, Arc::clone(&request)).await;
        let counted: Result<(), Exceeded> = self.inner.db.transact(SCOPE, ask).await?;
        counted.map_err(|Exceeded { retry_after }| AuthError::FlowThrottled { retry_after })
    }

    fn ask_for_verification<'a>(
        &'a self,
        tx: &'a mut Tx,
        request: Arc<VerificationRequest>,
    ) -> BoxFuture<'a, Result<Result<(), Exceeded>, AuthError>> {
        Box::pin(async move {
            let VerificationRequest { ctx, person: id, token, messages, now } = &*request;
            let person = people::find(tx, *id).await?.ok_or(PeopleError::NotFound)?;
            if person.email_verified {
                return Ok(Ok(()));
            }
            let key = id.as_uuid();
            let counted = flow_limit::count(
                tx,
                FlowKind::VerificationOfAccount,
                key.as_bytes(),
                FlowLimit::LINKS,
                *now,
            )
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
        let (auth, job) = (self.clone(), Arc::new((ctx.clone(), token.clone())));
        let verify = async move |tx: &mut Tx| auth.verify_in(tx, Arc::clone(&job)).await;
        self.inner.db.transact(SCOPE, verify).await
    }

    fn verify_in<'a>(
        &'a self,
        tx: &'a mut Tx,
        job: Arc<(RequestContext, OneTimeToken<EmailVerification>)>,
    ) -> BoxFuture<'a, Result<(), AuthError>> {
        Box::pin(async move {
            let (ctx, token) = &*job;
            let (person, binding) = self.redeem_for_person(tx, token).await?;
            if self.personal_binding(&person)? != binding {
                return Err(AuthError::LinkInvalid);
            }
            people::mark_email_verified(tx, person.id, self.inner.clock.now()).await?;
            let tenant = session::find_latest_tenant(tx, Some(person.id)).await?;
            tx.audit(AuditEvent::new(ctx, "auth.email_verify", "person").on(person.id).in_tenant(tenant));
            Ok(())
        })
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
                flow_limit::count(tx, FlowKind::EmailChangeOfAccount, key.as_bytes(), FlowLimit::LINKS, *now)
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
            // To the mailbox as it is now, whatever comes of the change before the mail is planned.
            let told = Message::to_email("email_change_requested", person.email.clone());
            let values = json!({ "ip": ctx.address, "occurred_at": now });
            messages.hand_over(tx, told.with(values)).await?;
            tx.audit(AuditEvent::new(ctx, "auth.email_change_request", "person").on(person.id));
            Ok(Ok(()))
        })
    }

    /// Takes a link that gives an account the address it was mailed to, in the transaction in which a service changes what it keeps
    /// of that address itself. Both addresses are told (`email_changed`). Links that were mailed to the old one are void. Returns the
    /// person as it is then.
    ///
    /// # Errors
    /// [`AuthError::LinkInvalid`] for a link that is forged, used, too old or overtaken; [`AuthError::People`] with
    /// [`PeopleError::EmailTaken`] when somebody else has the address by now; [`AuthError::Db`].
    pub async fn confirm_email_change(
        &self,
        tx: &mut Tx,
        ctx: &RequestContext,
        token: &OneTimeToken<EmailChange>,
        messages: &dyn MessageOutbox,
    ) -> Result<Person, AuthError> {
        let (person, binding) = self.redeem_for_person(tx, token).await?;
        let new = String::from_utf8(binding.payload.clone()).ok().and_then(|new| Email::parse(&new).ok());
        let new = new.ok_or(AuthError::LinkInvalid)?;
        let payload = binding.payload.clone();
        if (TokenBinding { payload, ..self.personal_binding(&person)? }) != binding {
            return Err(AuthError::LinkInvalid);
        }
        let change = PersonChange { email: Some(new), email_verified: Some(true), ..PersonChange::default() };
        let tenant = session::find_latest_tenant(tx, Some(person.id)).await?;
        // Whoever follows a link acts for the account, whether signed in or not.
        let (place, by) = ((person.id, person.version), ChosenBy::Owner);
        let after = self.inner.people.update_as(tx, ctx, place, change, by).await?;
        self.tell_email_changed(tx, ctx, person.id, &person.email, messages).await?;
        tx.audit(AuditEvent::new(ctx, "auth.email_change", "person").on(person.id).in_tenant(tenant));
        Ok(after)
    }

    /// Tells the address `old` that a person had until now, and the person at the new one, that it is another: `email_changed`
    /// with the values `ip` and `occurred_at`. For services that change addresses by [`People::update`](crate::People::update),
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
        // Where somebody else was who did it is not the owner's business.
        let own =
            matches!(ctx.principal.subject, Subject::Anonymous) || ctx.principal.person_id() == Some(person);
        let ip = ctx.address.filter(|_| own);
        let values = json!({ "ip": ip, "occurred_at": self.inner.clock.now() });
        for to in [Message::to_email("email_changed", old), Message::to_person("email_changed", person)] {
            messages.hand_over(tx, to.with(values.clone())).await?;
        }
        Ok(())
    }
}
