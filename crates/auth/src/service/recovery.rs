use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use stylobate_core::{AuditEvent, BoxFuture, Message, PersonId, RequestContext};
use stylobate_db::{MessageOutbox, Tx};
use tokio::time::Instant;
use uuid::Uuid;

use super::{
    Auth, AuthError, SCOPE,
    told::{PasswordChangedBy, tell_password_changed},
};
use crate::{
    AccountKey, Email, Identifier, OneTimeToken, Password, PasswordHash, PasswordReset, Person, TokenBinding,
    credential::{self, ChosenBy},
    flow_limit::{self, Exceeded, FlowKind, FlowLimit},
    people, session,
};

/// Mails to people who have no password to reset, of the whole installation.
const STRANGERS: FlowLimit = FlowLimit { most: 100, within: Duration::from_secs(3_600) };
/// No answer comes sooner after the request: who has an account changes what the same statements find and touch, and with it their time.
const ANSWERED_AFTER: Duration = Duration::from_millis(50);
/// No address: what is handed over for it is sent to nobody.
const NOWHERE: &str = "";

/// A request for a link, with everything that is drawn before its transaction.
struct ResetRequest {
    ctx: RequestContext,
    email: Email,
    token: OneTimeToken<PasswordReset>,
    /// Whose the link is, when it is nobody's.
    decoy: Uuid,
    messages: Arc<dyn MessageOutbox>,
    now: DateTime<Utc>,
}

impl Auth {
    /// Has whoever owns `email` mailed a link that sets a new password, or that there is no password to set: the message
    /// `password_reset` with the values `token` and `expires_minutes`, or `password_reset_unavailable`. An address that nobody
    /// has, a person who is disabled, and one without a password cost the same statements, no hash, and one mail as well. What these
    /// statements take shows only in an answer that is later than 50 ms.
    ///
    /// The mail goes to the address that is stored, never to another spelling of it. From the sixth request for one account
    /// within an hour on nothing is mailed, and the answer is the same.
    ///
    /// # Errors
    /// [`AuthError::FlowThrottled`] when the client asked too often, for whomever; [`AuthError::Key`], [`AuthError::Db`].
    pub async fn request_password_reset(
        &self,
        ctx: &RequestContext,
        email: &Email,
        messages: Arc<dyn MessageOutbox>,
    ) -> Result<(), AuthError> {
        let answered_at = Instant::now() + ANSWERED_AFTER;
        let request = Arc::new(ResetRequest {
            ctx: ctx.clone(),
            email: email.clone(),
            token: self.draw_one_time()?,
            decoy: Uuid::from_bytes(crate::key::random()?),
            messages,
            now: self.inner.clock.now(),
        });
        let auth = self.clone();
        let ask = async move |tx: &mut Tx| auth.ask_for_reset(tx, Arc::clone(&request)).await;
        let counted: Result<(), Exceeded> = self.inner.db.transact(SCOPE, ask).await?;
        counted.map_err(|Exceeded { retry_after }| AuthError::FlowThrottled { retry_after })?;
        tokio::time::sleep_until(answered_at).await;
        Ok(())
    }

    fn ask_for_reset<'a>(
        &'a self,
        tx: &'a mut Tx,
        request: Arc<ResetRequest>,
    ) -> BoxFuture<'a, Result<Result<(), Exceeded>, AuthError>> {
        Box::pin(async move {
            let ResetRequest { ctx, email, token, decoy, messages, now } = &*request;
            let by = FlowKind::PasswordResetByAddress;
            if let Err(exceeded) = self.count_client(tx, by, ctx, *now).await? {
                return Ok(Err(exceeded));
            }
            let identifier = Identifier::new(email.as_str());
            let found = people::find_for_login(tx, &identifier).await?;
            let account = match &found {
                Some((person, _)) => AccountKey::Person(person.id),
                None => {
                    AccountKey::Nobody(self.inner.pepper.digest("reset-name", identifier.key().as_bytes()))
                }
            };
            let kind = FlowKind::PasswordResetOfAccount;
            if flow_limit::count(tx, kind, &account.to_bytes(), FlowLimit::LINKS, *now).await?.is_err() {
                return Ok(Ok(()));
            }
            // Filed where the person was last at work: an event of no organisation is read by nobody there.
            let tenant = session::find_latest_tenant(tx, account.person()).await?;
            let entitled = found.as_ref().filter(|(person, hash)| person.is_active() && hash.is_some());
            // Counted for those who are sent a link as well, each by themselves: it costs the same.
            let by = if entitled.is_some() { decoy.as_bytes().as_slice() } else { &[] };
            let kind = FlowKind::PasswordResetOfNobody;
            let mails_strangers = flow_limit::count(tx, kind, by, STRANGERS, *now).await?;
            let (binding, message) = match entitled {
                Some((person, _)) => (self.personal_binding(person)?, self.link_message(person.id, token)),
                None => {
                    let stored = found.as_ref().map_or(email.as_str(), |(person, _)| person.email.as_str());
                    let binding = TokenBinding { epoch: Some(0), ..TokenBinding::to(*decoy) };
                    let binding = binding.address(&self.inner.pepper, email);
                    // Nobody can have the whole world told that it has no account here.
                    let told = if mails_strangers.is_ok() { stored } else { NOWHERE };
                    (binding, Message::to_email("password_reset_unavailable", told))
                }
            };
            self.keep_one_time(tx, token, binding, self.inner.config.password_reset_ttl()).await?;
            messages.hand_over(tx, message).await?;
            let mut event = AuditEvent::new(ctx, "auth.password_reset_request", "person");
            if let Some(person) = account.person() {
                event = event.on(person);
            }
            tx.audit(event.with("link_sent", entitled.is_some()).in_tenant(tenant));
            Ok(Ok(()))
        })
    }

    fn link_message(&self, person: PersonId, token: &OneTimeToken<PasswordReset>) -> Message {
        Message::to_person("password_reset", person).with(serde_json::json!({
            "token": token.expose_secret(),
            "expires_minutes": self.inner.config.password_reset_ttl_minutes,
        }))
    }

    /// Sets a new password with a mailed link. It signs nobody in, and asks for nothing less at the next sign-in: factors beside
    /// the password stay. All sessions end, a lock is lifted, every other link of the person is void, and the address counts as verified.
    /// The owner hears of it by the event `password.reset`.
    ///
    /// A refused password leaves the link good.
    ///
    /// # Errors
    /// [`AuthError::LinkInvalid`] for a link that is forged, used, too old or overtaken, and for people who may not sign in with
    /// a password; [`AuthError::PasswordRefused`], [`AuthError::Busy`], [`AuthError::Db`].
    pub async fn reset_password(
        &self,
        ctx: &RequestContext,
        token: &OneTimeToken<PasswordReset>,
        new: Password,
    ) -> Result<(), AuthError> {
        let person = self.find_reset(token).await?;
        let hasher = self.inner.hasher.for_address(ctx.address);
        let hash = self.hash_allowed(&hasher, &person.context_words(), new).await?;
        let job = Arc::new((token.clone(), ctx.clone(), hash));
        let auth = self.clone();
        let reset = async move |tx: &mut Tx| auth.reset_in(tx, Arc::clone(&job)).await;
        let done = self.inner.db.transact(SCOPE, reset).await;
        if let Err(AuthError::LinkInvalid) = &done {
            let event = AuditEvent::new(ctx, "auth.password_reset_refused", "person").on(person.id);
            let event = event.outcome(stylobate_core::Outcome::Failure);
            let mut conn = self.inner.db.read().await?;
            let tenant = session::find_latest_tenant(&mut conn, Some(person.id)).await?;
            drop(conn);
            self.record(event.in_tenant(tenant)).await;
        }
        done
    }

    /// Whether a link is good, to decide what to show. It decides nothing: [`reset_password`](Self::reset_password) does.
    ///
    /// # Errors
    /// [`AuthError::Db`].
    pub async fn is_reset_link_open(&self, text: &str) -> Result<bool, AuthError> {
        let found = match self.read_one_time(text) {
            Ok(token) => self.find_reset(&token).await,
            Err(error) => Err(error),
        };
        match found {
            Ok(_) => Ok(true),
            Err(AuthError::LinkInvalid) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The person whose link it is, before a password is hashed for it.
    async fn find_reset(&self, token: &OneTimeToken<PasswordReset>) -> Result<Person, AuthError> {
        let mut conn = self.inner.db.read().await?;
        let binding = self.peek_one_time(&mut conn, token).await?;
        let person = people::find(&mut conn, PersonId::from_uuid(binding.subject)).await?;
        let person = person.ok_or(AuthError::LinkInvalid)?;
        self.may_reset(&person, &binding)?;
        Ok(person)
    }

    fn may_reset(&self, person: &Person, binding: &TokenBinding) -> Result<(), AuthError> {
        let is_due = person.is_active() && self.personal_binding(person)? == *binding;
        is_due.then_some(()).ok_or(AuthError::LinkInvalid)
    }

    fn reset_in<'a>(
        &'a self,
        tx: &'a mut Tx,
        job: Arc<(OneTimeToken<PasswordReset>, RequestContext, PasswordHash)>,
    ) -> BoxFuture<'a, Result<(), AuthError>> {
        Box::pin(async move {
            let (token, ctx, hash) = &*job;
            let (person, binding) = self.redeem_for_person(tx, token).await?;
            let id = person.id;
            // Whoever was disabled, moved to another address or got another password meanwhile is not changed any more.
            self.may_reset(&person, &binding)?;
            // A password that an administrator took away or switched off stays so.
            if credential::is_password_active(tx, id).await? != Some(true) {
                return Err(AuthError::LinkInvalid);
            }
            self.put_password(tx, &person, hash, ChosenBy::Owner, false).await?;
            people::mark_email_verified(tx, id, self.inner.clock.now()).await?;
            let tenant = session::find_latest_tenant(tx, Some(id)).await?;
            tx.audit(AuditEvent::new(ctx, "auth.password_reset", "person").on(id).in_tenant(tenant));
            tell_password_changed(tx, ctx, id, PasswordChangedBy::Link, self.inner.clock.now());
            Ok(())
        })
    }
}
