use std::{sync::Arc, time::Instant};

use stylobate_core::{Credential, Principal, RequestContext, SessionId, TenantId};
use stylobate_db::Tx;

use super::{AdmittedPerson, Auth, AuthError, AuthenticateError, SCOPE, VerifiedPerson};
use crate::{
    NewCookieSession, RefreshToken, SessionKey, SessionSecret,
    session::{self, EndReason, Known, NewCookie, NewSession},
};

impl Auth {
    /// Begins a session that a cookie carries, for somebody who has just signed in, acting for `tenant`, in a transaction of
    /// its own.
    ///
    /// # Errors
    /// As [`admit`](Self::admit) and [`begin_cookie_session`](Self::begin_cookie_session).
    pub async fn start_cookie_session(
        &self,
        ctx: &RequestContext,
        verified: &VerifiedPerson,
        tenant: Option<TenantId>,
    ) -> Result<NewCookieSession, AuthError> {
        let (auth, ctx, verified) = (self.clone(), ctx.clone(), verified.clone());
        let begin = async move |tx: &mut Tx| {
            let admitted = auth.admit(tx, &verified).await?;
            auth.begin_cookie_session(tx, &ctx, admitted, tenant).await
        };
        self.inner.db.transact(SCOPE, begin).await
    }

    /// Begins a session that a cookie carries, of somebody who was admitted in the same transaction, acting for `tenant`.
    /// It lives by [`AuthConfig::session_idle_minutes`](crate::AuthConfig::session_idle_minutes) and
    /// [`AuthConfig::session_absolute_hours`](crate::AuthConfig::session_absolute_hours). The cookie session that the
    /// request came with, if any, ends; above the limit of parallel sessions the oldest end.
    ///
    /// # Errors
    /// [`AuthError::Db`], [`AuthError::Key`].
    pub async fn begin_cookie_session(
        &self,
        tx: &mut Tx,
        ctx: &RequestContext,
        AdmittedPerson(verified): AdmittedPerson<'_>,
        tenant: Option<TenantId>,
    ) -> Result<NewCookieSession, AuthError> {
        let now = self.inner.clock.now();
        let limits = &self.inner.session_limits;
        let secret = SessionSecret::generate()?;
        let new = NewSession {
            id: SessionId::new(now),
            person: verified.id(),
            tenant,
            epoch: verified.person.credential_epoch,
            amr: &verified.amr,
            auth_time: verified.auth_time,
            address: ctx.address,
            user_agent: ctx.user_agent.as_deref(),
            created_at: now,
            now,
            cookie: Some(NewCookie { key: secret.key(), idle_expires_at: limits.idle_end(now) }),
            expires_at: limits.absolute_end(now),
        };
        self.end_presented(tx, ctx).await?;
        let ended = self.insert_session(tx, &new).await?;
        self.record_login(tx, ctx, &new, ended);
        Ok(NewCookieSession { secret, session_id: new.id, expires_in: limits.absolute })
    }

    /// Ends the session of a refresh token that a sign-in came with, as its cookie carries it, in the transaction that begins
    /// the next: the browser is about to forget the token, and nobody would end the session before it runs out (C18).
    /// Whose it was does not matter. Any other text changes nothing. Returns whether a live one ended.
    ///
    /// # Errors
    /// [`AuthError::Db`].
    pub async fn end_carried(&self, tx: &mut Tx, refresh_token: &str) -> Result<bool, AuthError> {
        match RefreshToken::parse(&self.inner.pepper, refresh_token) {
            Some(token) => {
                self.end_session(tx, token.session(), EndReason::Replaced, self.inner.clock.now()).await
            }
            None => Ok(false),
        }
    }

    /// Ends the cookie session that a sign-in came with: an id from before it is never good after it (C18).
    pub(super) async fn end_presented(&self, tx: &mut Tx, ctx: &RequestContext) -> Result<(), AuthError> {
        if let (Credential::Cookie, Some(before)) = (ctx.principal.credential, ctx.principal.session) {
            self.end_session(tx, before, EndReason::Replaced, self.inner.clock.now()).await?;
        }
        Ok(())
    }

    /// Checks a session cookie against what this process has read of it and the revocations in memory: no waiting and no
    /// database. Now and then it is written, beside the request, that the session is in use; for that it has to be called
    /// within a Tokio runtime.
    ///
    /// # Errors
    /// [`AuthenticateError::Stale`] when memory cannot tell; call
    /// [`authenticate_cookie_slow`](Self::authenticate_cookie_slow) then. [`AuthenticateError::UnknownSession`] and
    /// [`AuthenticateError::Revoked`] are final.
    pub fn authenticate_cookie(&self, cookie: &str) -> Result<Principal, AuthenticateError> {
        let key = SessionKey::of_presented(cookie).ok_or(AuthenticateError::UnknownSession)?;
        let known = self.remembered(&key)?;
        Ok(self.in_use(key, &known))
    }

    /// Checks a session cookie as [`authenticate_cookie`](Self::authenticate_cookie) does, and reads the session row when
    /// memory cannot tell.
    ///
    /// # Errors
    /// [`AuthenticateError::UnknownSession`], [`AuthenticateError::Revoked`]; [`AuthenticateError::Unavailable`] when the
    /// row cannot be read.
    pub async fn authenticate_cookie_slow(&self, cookie: &str) -> Result<Principal, AuthenticateError> {
        match self.authenticate_cookie(cookie) {
            Err(AuthenticateError::Stale) => {}
            decided => return decided,
        }
        let key = SessionKey::of_presented(cookie).ok_or(AuthenticateError::UnknownSession)?;
        let known = self.read_session(key).await?;
        Ok(self.in_use(key, &known))
    }

    /// Checks whether a session cookie would still do, without using the session: for connections that stay open.
    ///
    /// # Errors
    /// As [`authenticate_cookie_slow`](Self::authenticate_cookie_slow).
    pub async fn cookie_holds(&self, cookie: &str) -> Result<(), AuthenticateError> {
        let key = SessionKey::of_presented(cookie).ok_or(AuthenticateError::UnknownSession)?;
        match self.remembered(&key) {
            Err(AuthenticateError::Stale) => self.read_session(key).await.map(|_| ()),
            decided => decided.map(|_| ()),
        }
    }

    /// What memory says of a session, if it may decide.
    fn remembered(&self, key: &SessionKey) -> Result<Arc<Known>, AuthenticateError> {
        let known = self.inner.known_sessions.find(key).ok_or(AuthenticateError::Stale)?;
        self.refuse_revoked(key, &known)?;
        let now = self.inner.clock.now();
        let may_decide = self.inner.revocations.may_decide(known.principal.tenant);
        if !may_decide || !known.is_current(&self.inner.session_limits, now) {
            return Err(AuthenticateError::Stale);
        }
        Ok(known)
    }

    async fn read_session(&self, key: SessionKey) -> Result<Arc<Known>, AuthenticateError> {
        let (began, now) = (Instant::now(), self.inner.clock.now());
        let mut conn = self.inner.db.read().await.map_err(AuthenticateError::Unavailable)?;
        let read = session::find_by_key(&mut conn, key, now).await.map_err(AuthenticateError::Unavailable)?;
        drop(conn);
        let Some(read) = read else {
            self.inner.known_sessions.remove(&key);
            return Err(AuthenticateError::UnknownSession);
        };
        let known = self.inner.known_sessions.insert(key, read, began);
        self.refuse_revoked(&key, &known)?;
        Ok(known)
    }

    /// What is in memory may refuse even when it is stale; it just may not accept.
    fn refuse_revoked(&self, key: &SessionKey, known: &Known) -> Result<(), AuthenticateError> {
        if self.inner.revocations.is_revoked(known.session, known.person, known.epoch) {
            self.inner.known_sessions.remove(key);
            return Err(AuthenticateError::Revoked);
        }
        Ok(())
    }

    fn in_use(&self, key: SessionKey, known: &Arc<Known>) -> Principal {
        let now = self.inner.clock.now();
        if known.is_to_be_written(&self.inner.session_limits, now)
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let (auth, known) = (self.clone(), Arc::clone(known));
            let idle_expires_at = self.inner.session_limits.idle_end(now);
            runtime.spawn(async move {
                let touch = async move |tx: &mut Tx| session::touch(tx, key, now, idle_expires_at).await;
                match auth.inner.db.transact(SCOPE, touch).await {
                    Ok(is_live) => {
                        if is_live {
                            known.written(now);
                        }
                    }
                    Err(error) => {
                        if let Some(unsaid) = auth.inner.unwritten_uses.say() {
                            tracing::warn!(
                                code = error.code(),
                                unsaid,
                                "that a session is in use could not be written"
                            );
                        }
                    }
                }
            });
        }
        known.principal.clone()
    }
}
