use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::json;
use stylobate_core::{AuditEvent, BoxFuture, Message, RequestContext, TenantId};
use stylobate_db::{MessageOutbox, Tx};
use uuid::Uuid;

use super::{Auth, AuthError, SCOPE};
use crate::{
    AccountKey, ContextWords, Email, Identifier, OneTimeToken, Password, PasswordHash, People, Registration,
    TokenBinding,
    flow_limit::{self, FlowKind, FlowLimit},
    session,
};

/// An account that somebody asks for, with everything that is drawn before its transaction.
struct RegistrationRequest {
    ctx: RequestContext,
    email: Email,
    token: OneTimeToken<Registration>,
    binding: TokenBinding,
    messages: Arc<dyn MessageOutbox>,
    now: DateTime<Utc>,
}

/// Accounts that people ask for themselves. None is made before its address is proven: nothing that is asked for, and nothing that
/// is answered, tells whether an address has one.
impl Auth {
    /// Counts a request of a client for an account: before anything is hashed for it.
    ///
    /// # Errors
    /// [`AuthError::FlowThrottled`] when the client asked too often, for whatever addresses; [`AuthError::Db`].
    pub async fn admit_registration(&self, ctx: &RequestContext) -> Result<(), AuthError> {
        self.admit_client(FlowKind::RegistrationByAddress, ctx).await
    }

    /// Counts a request of a client for an invitation.
    ///
    /// # Errors
    /// [`AuthError::FlowThrottled`] when the client asked too often; [`AuthError::Db`].
    pub async fn admit_invitation(&self, ctx: &RequestContext) -> Result<(), AuthError> {
        self.admit_client(FlowKind::InvitationByAddress, ctx).await
    }

    async fn admit_client(&self, kind: FlowKind, ctx: &RequestContext) -> Result<(), AuthError> {
        let (auth, asking, now) = (self.clone(), ctx.clone(), self.inner.clock.now());
        let count = async move |tx: &mut Tx| auth.count_client(tx, kind, &asking, now).await;
        let counted = self.inner.db.transact(SCOPE, count).await?;
        counted.map_err(|exceeded| AuthError::FlowThrottled { retry_after: exceeded.retry_after })
    }

    /// Hashes the password that a client chooses for an account which is not there yet, as
    /// [`hash_new_password`](Self::hash_new_password) does. No client takes all the room there is for hashing.
    ///
    /// # Errors
    /// As there.
    pub async fn hash_chosen_password(
        &self,
        ctx: &RequestContext,
        about: &ContextWords,
        password: Password,
    ) -> Result<PasswordHash, AuthError> {
        self.hash_allowed(&self.inner.hasher.for_address(ctx.address), about, password).await
    }

    /// Has whoever owns `email` mailed a link that makes the account `draft` in `tenant`, or that they have one: the message
    /// `registration` with the values `token` and `expires_hours`, or `registration_exists`. Both cost the same statements, no hash,
    /// and one mail. The link carries nothing of the draft, which lies in its row: of a password it has the hash alone.
    ///
    /// From the sixth request for one address within an hour on nothing is mailed, and the answer is the same.
    ///
    /// # Errors
    /// [`AuthError::Key`], [`AuthError::Db`].
    pub async fn request_registration(
        &self,
        ctx: &RequestContext,
        tenant: TenantId,
        email: &Email,
        draft: Vec<u8>,
        messages: Arc<dyn MessageOutbox>,
    ) -> Result<(), AuthError> {
        // It is about nobody yet.
        let subject = Uuid::from_bytes(crate::key::random()?);
        let binding = TokenBinding { tenant: Some(tenant), payload: draft, ..TokenBinding::to(subject) };
        let request = Arc::new(RegistrationRequest {
            ctx: ctx.clone(),
            email: email.clone(),
            token: self.draw_one_time()?,
            binding: binding.address(&self.inner.pepper, email),
            messages,
            now: self.inner.clock.now(),
        });
        let auth = self.clone();
        let ask = async move |tx: &mut Tx| auth.ask_for_registration(tx, Arc::clone(&request)).await;
        self.inner.db.transact(SCOPE, ask).await
    }

    fn ask_for_registration<'a>(
        &'a self,
        tx: &'a mut Tx,
        request: Arc<RegistrationRequest>,
    ) -> BoxFuture<'a, Result<(), AuthError>> {
        Box::pin(async move {
            let RegistrationRequest { ctx, email, token, binding, messages, now } = &*request;
            let identifier = Identifier::new(email.as_str());
            let holder = People::find_by_identifier(tx, &identifier).await?;
            let account = match &holder {
                Some(person) => AccountKey::Person(person.id),
                None => AccountKey::Nobody(
                    self.inner.pepper.digest("registration-name", identifier.key().as_bytes()),
                ),
            };
            let kind = FlowKind::RegistrationOfAccount;
            if flow_limit::count(tx, kind, &account.to_bytes(), FlowLimit::LINKS, *now).await?.is_err() {
                return Ok(());
            }
            // Filed where the person was last at work, as forgotten passwords are: the trail of the organisation that newcomers join
            // would tell its readers who has an account elsewhere.
            let tenant = session::find_latest_tenant(tx, account.person()).await?;
            // Kept also when it is mailed to nobody, so that both cost the same.
            self.keep_one_time(tx, token, binding.clone(), self.inner.config.email_link_ttl()).await?;
            let message = match &holder {
                None => self.registration_message(email, token),
                Some(holder) => Message::to_email("registration_exists", holder.email.as_str()),
            };
            messages.hand_over(tx, message).await?;
            let mut event = AuditEvent::new(ctx, "auth.register_request", "person");
            if let Some(person) = account.person() {
                event = event.on(person);
            }
            tx.audit(event.with("link_sent", holder.is_none()).in_tenant(tenant));
            Ok(())
        })
    }

    fn registration_message(&self, email: &Email, token: &OneTimeToken<Registration>) -> Message {
        Message::to_email("registration", email.as_str()).with(json!({
            "token": token.expose_secret(),
            "expires_hours": self.inner.config.email_link_ttl_hours,
        }))
    }
}
