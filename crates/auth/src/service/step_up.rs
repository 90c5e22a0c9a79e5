use chrono::{DateTime, Utc};
use stylobate_core::{
    Assurance, AuditEvent, AuthenticatorAssurance, PersonId, RequestContext, SessionId, TenantId,
};
use stylobate_db::Tx;

use super::{
    Auth, AuthError, SCOPE, TokenPair,
    session::{Grant, caller},
};
use crate::{
    NewCookieSession, Password, Person, RefreshToken, SessionSecret, people, refresh,
    session::{self, EndReason, NewCookie, NewSession},
};

/// What a session goes on with once it was replaced: of the kind that it had.
#[derive(Debug, Clone)]
#[must_use = "what the client held before does not work any more"]
#[non_exhaustive]
pub enum RenewedSession {
    /// A new secret for the cookie.
    Cookie(NewCookieSession),
    /// New tokens.
    Tokens(TokenPair),
}

impl RenewedSession {
    /// The session's new public id.
    #[must_use]
    pub fn session_id(&self) -> SessionId {
        match self {
            Self::Cookie(session) => session.session_id,
            Self::Tokens(pair) => pair.session_id,
        }
    }
}

impl Auth {
    /// Asks the caller's password again, before something that a stolen session must not do: the session is replaced by one
    /// whose `auth_time` is now, under a new id, with a new cookie or new tokens. Its absolute limit stays.
    ///
    /// # Errors
    /// [`AuthError::InvalidCredentials`] and [`AuthError::Throttled`] as at sign-in, and counted with it;
    /// [`AuthError::SessionNotFound`] when the credential has no live session; [`AuthError::NotAPerson`],
    /// [`AuthError::Busy`], [`AuthError::Db`].
    pub async fn step_up(
        &self,
        ctx: &RequestContext,
        password: Password,
    ) -> Result<RenewedSession, AuthError> {
        let (person, _) = self.prove_again(ctx, password, "auth.step_up_failed").await?;
        let (auth, ctx, proved_at) = (self.clone(), ctx.clone(), self.inner.clock.now());
        let replace = async move |tx: &mut Tx| {
            // Whoever was disabled, or got another password, while this one was checked has proved nothing.
            let present = people::lock(tx, person.id).await?.filter(Person::is_active);
            if present.is_none_or(|present| present.credential_epoch != person.credential_epoch) {
                return Err(AuthError::InvalidCredentials);
            }
            auth.replace_session(tx, &ctx, &person, Some(proved_at), "auth.step_up").await
        };
        self.inner.db.transact(SCOPE, replace).await
    }

    /// Replaces the caller's session by one under a new id, in the transaction that changes what the caller may do: what
    /// was stolen before the change is worth nothing after it. Nothing is proved anew, and all limits stay.
    ///
    /// # Errors
    /// [`AuthError::SessionNotFound`] when the credential has no live session; [`AuthError::NotAPerson`],
    /// [`AuthError::Db`], [`AuthError::Key`], [`AuthError::Token`].
    pub async fn rotate_session(
        &self,
        tx: &mut Tx,
        ctx: &RequestContext,
    ) -> Result<RenewedSession, AuthError> {
        let person = people::lock(tx, caller(ctx)?).await?.filter(Person::is_active);
        let person = person.ok_or(AuthError::SessionNotFound)?;
        self.replace_session(tx, ctx, &person, None, "session.rotate").await
    }

    /// The caller has locked the person.
    async fn replace_session(
        &self,
        tx: &mut Tx,
        ctx: &RequestContext,
        person: &Person,
        proved_at: Option<DateTime<Utc>>,
        action: &'static str,
    ) -> Result<RenewedSession, AuthError> {
        let now = self.inner.clock.now();
        let old = ctx.principal.session.ok_or(AuthError::SessionNotFound)?;
        let epoch = person.credential_epoch;
        let live = session::find_live(tx, old, person.id, epoch, now).await?;
        let live = live.ok_or(AuthError::SessionNotFound)?;
        if !self.end_session(tx, old, EndReason::Replaced, now).await? {
            return Err(AuthError::SessionNotFound);
        }
        let mut amr = session::methods(&live.amr);
        if proved_at.is_some() && !amr.iter().any(|method| method == "pwd") {
            amr.push("pwd".to_owned());
        }
        let secret = SessionSecret::generate()?;
        let limits = &self.inner.session_limits;
        let is_cookie = live.idle_expires_at.is_some();
        let new = NewSession {
            id: SessionId::new(now),
            person: person.id,
            tenant: live.tenant_id.map(TenantId::from_uuid),
            epoch,
            amr: &amr,
            auth_time: proved_at.unwrap_or(live.auth_time),
            address: ctx.address,
            user_agent: ctx.user_agent.as_deref(),
            created_at: live.created_at,
            now,
            cookie: is_cookie.then(|| NewCookie { key: secret.key(), idle_expires_at: limits.idle_end(now) }),
            expires_at: live.expires_at,
        };
        session::insert(tx, &new).await?;
        let mut event = AuditEvent::new(ctx, action, "session").on(new.id).in_tenant(new.tenant);
        event.session_id = Some(new.id);
        tx.audit(event.with("replaces", old.to_string()));
        if is_cookie {
            let left = live.expires_at.signed_duration_since(now).num_seconds();
            let expires_in = std::time::Duration::from_secs(u64::try_from(left).unwrap_or(0));
            return Ok(RenewedSession::Cookie(NewCookieSession { secret, session_id: new.id, expires_in }));
        }
        let token = RefreshToken::issue(&self.inner.pepper, new.id, 0)?;
        refresh::insert(tx, new.id, token.hash(), now, new.expires_at).await?;
        let grant = grant(person.id, &new);
        Ok(RenewedSession::Tokens(self.token_pair(&grant, &token, now)?))
    }
}

fn grant(person: PersonId, new: &NewSession<'_>) -> Grant {
    Grant {
        person,
        session: new.id,
        tenant: new.tenant,
        epoch: new.epoch,
        assurance: Assurance {
            amr: new.amr.to_vec(),
            aal: AuthenticatorAssurance::Aal1,
            auth_time: Some(new.auth_time),
        },
        expires_at: new.expires_at,
    }
}
