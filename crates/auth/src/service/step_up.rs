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
            let (epoch, proved) = (person.credential_epoch, GoesOn::Proved(proved_at));
            let renewed = auth.replace_session(tx, &ctx, &person, epoch, proved).await?;
            record_replaced(tx, &ctx, &renewed, "auth.step_up");
            Ok(renewed.session)
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
        let epoch = person.credential_epoch;
        let renewed = self.replace_session(tx, ctx, &person, epoch, GoesOn::AsItWas).await?;
        record_replaced(tx, ctx, &renewed, "session.rotate");
        Ok(renewed.session)
    }

    /// The caller has locked the person. The session that ends is of the person's epoch, the one that begins of `epoch`.
    pub(super) async fn replace_session(
        &self,
        tx: &mut Tx,
        ctx: &RequestContext,
        person: &Person,
        epoch: i64,
        goes_on: GoesOn,
    ) -> Result<Replaced, AuthError> {
        let now = self.inner.clock.now();
        let old = ctx.principal.session.ok_or(AuthError::SessionNotFound)?;
        let live = session::find_live(tx, old, person.id, person.credential_epoch, now).await?;
        let live = live.ok_or(AuthError::SessionNotFound)?;
        if !self.end_session(tx, old, EndReason::Replaced, now).await? {
            return Err(AuthError::SessionNotFound);
        }
        let mut amr = session::methods(&live.amr);
        let was_in = live.tenant_id.map(TenantId::from_uuid);
        let (tenant, auth_time) = match goes_on {
            GoesOn::AsItWas => (was_in, live.auth_time),
            GoesOn::Proved(at) => (was_in, at),
            GoesOn::In(tenant) => (Some(tenant), live.auth_time),
        };
        if matches!(goes_on, GoesOn::Proved(_)) && !amr.iter().any(|method| method == "pwd") {
            amr.push("pwd".to_owned());
        }
        let secret = SessionSecret::generate()?;
        let limits = &self.inner.session_limits;
        let is_cookie = live.idle_expires_at.is_some();
        let new = NewSession {
            id: SessionId::new(now),
            person: person.id,
            tenant,
            epoch,
            amr: &amr,
            auth_time,
            address: ctx.address,
            user_agent: ctx.user_agent.as_deref(),
            created_at: live.created_at,
            now,
            cookie: is_cookie.then(|| NewCookie { key: secret.key(), idle_expires_at: limits.idle_end(now) }),
            expires_at: live.expires_at,
        };
        session::insert(tx, &new).await?;
        let replaced = |session| Replaced { session, old, was_in, tenant };
        if is_cookie {
            let left = live.expires_at.signed_duration_since(now).num_seconds();
            let expires_in = std::time::Duration::from_secs(u64::try_from(left).unwrap_or(0));
            let session = NewCookieSession { secret, session_id: new.id, expires_in };
            return Ok(replaced(RenewedSession::Cookie(session)));
        }
        let token = RefreshToken::issue(&self.inner.pepper, new.id, 0)?;
        refresh::insert(tx, new.id, token.hash(), now, new.expires_at).await?;
        let grant = grant(person.id, &new);
        Ok(replaced(RenewedSession::Tokens(self.token_pair(&grant, &token, now)?)))
    }
}

/// What differs when a session goes on as another one.
#[derive(Debug, Clone, Copy)]
pub(super) enum GoesOn {
    /// Nothing but its id.
    AsItWas,
    /// Its person has proved anew who they are, by the password.
    Proved(DateTime<Utc>),
    /// It acts for this tenant.
    In(TenantId),
}

/// A session that took the place of another one.
pub(super) struct Replaced {
    pub(super) session: RenewedSession,
    pub(super) old: SessionId,
    pub(super) was_in: Option<TenantId>,
    tenant: Option<TenantId>,
}

fn record_replaced(tx: &mut Tx, ctx: &RequestContext, replaced: &Replaced, action: &'static str) {
    let id = replaced.session.session_id();
    let mut event = AuditEvent::new(ctx, action, "session").on(id).in_tenant(replaced.tenant);
    event.session_id = Some(id);
    tx.audit(event.with("replaces", replaced.old.to_string()));
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
