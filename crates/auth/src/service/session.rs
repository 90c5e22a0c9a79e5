use std::{collections::BTreeMap, fmt, time::Duration};

use chrono::{DateTime, Utc};
use stylobate_core::{
    Actor, ActorKind, Assurance, AuditEvent, PersonId, RequestContext, SessionId, TenantId,
};
use stylobate_db::Tx;

use super::{
    Auth, AuthError, SCOPE, VerifiedPerson,
    told::{ToldSession, tell_session},
};
use crate::{
    Person, RefreshToken, Session, people, refresh,
    session::{self, EndReason, NewSession},
};

/// What a client gets at sign-in and at each renewal. `Debug` shows no token.
#[derive(Clone)]
pub struct TokenPair {
    /// The access token, for the `Authorization` header.
    pub access_token: String,
    /// The refresh token, good for one renewal.
    pub refresh_token: String,
    /// How long the access token lives from now on, in whole seconds.
    pub expires_in: Duration,
    /// The session they belong to.
    pub session_id: SessionId,
}

impl fmt::Debug for TokenPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenPair")
            .field("session_id", &self.session_id)
            .field("expires_in", &self.expires_in)
            .finish_non_exhaustive()
    }
}

/// Somebody who may begin a session in the transaction that admitted them. Only [`Auth::admit`] makes one.
#[derive(Debug)]
#[must_use = "being admitted begins no session"]
pub struct AdmittedPerson<'v>(pub(super) &'v VerifiedPerson);

impl<'v> AdmittedPerson<'v> {
    pub(super) fn verified(&self) -> &'v VerifiedPerson {
        self.0
    }
}

/// What an access token is made from.
pub(super) struct Grant {
    pub(super) person: PersonId,
    pub(super) session: SessionId,
    pub(super) tenant: Option<TenantId>,
    pub(super) epoch: i64,
    pub(super) assurance: Assurance,
    /// When the session ends; no token outlives it.
    pub(super) expires_at: DateTime<Utc>,
}

impl Auth {
    /// Begins a new session for somebody who has just signed in, acting for `tenant`, in a transaction of its own. Above
    /// the limit of parallel sessions the oldest end.
    ///
    /// # Errors
    /// As [`admit`](Self::admit) and [`begin_session`](Self::begin_session).
    pub async fn start_session(
        &self,
        ctx: &RequestContext,
        verified: &VerifiedPerson,
        tenant: Option<TenantId>,
    ) -> Result<TokenPair, AuthError> {
        let (auth, ctx, verified) = (self.clone(), ctx.clone(), verified.clone());
        let begin = async move |tx: &mut Tx| {
            let admitted = auth.admit(tx, &verified).await?;
            auth.begin_session(tx, &ctx, admitted, tenant).await
        };
        self.inner.db.transact(SCOPE, begin).await
    }

    /// Looks again at somebody whose password was right, and keeps the person from changing until the transaction ends:
    /// the time to choose what the session is for. A disable that comes later waits, and then finds the session that was
    /// begun among those to end.
    ///
    /// # Errors
    /// [`AuthError::Throttled`] when the account or address was locked while the password was checked;
    /// [`AuthError::InvalidCredentials`] when the person was disabled, or the password changed;
    /// [`AuthError::MustChangePassword`], [`AuthError::Db`].
    pub async fn admit<'v>(
        &self,
        tx: &mut Tx,
        verified: &'v VerifiedPerson,
    ) -> Result<AdmittedPerson<'v>, AuthError> {
        // The person before the counters, as whoever sets a password or deletes a person takes them.
        let person = people::lock(tx, verified.id()).await?;
        self.settle(tx, &verified.login).await?;
        let epoch = verified.person.credential_epoch;
        let is_as_checked = |person: &Person| person.is_active() && person.credential_epoch == epoch;
        match person.filter(is_as_checked) {
            None => Err(AuthError::InvalidCredentials),
            Some(person) if person.must_change_password => Err(AuthError::MustChangePassword),
            Some(_) => Ok(AdmittedPerson(verified)),
        }
    }

    /// Begins a session of somebody who was admitted in the same transaction, acting for `tenant`. Above the limit of
    /// parallel sessions the oldest end. The tokens are good once the transaction has committed.
    ///
    /// # Errors
    /// [`AuthError::Db`], [`AuthError::Token`].
    pub async fn begin_session(
        &self,
        tx: &mut Tx,
        ctx: &RequestContext,
        AdmittedPerson(verified): AdmittedPerson<'_>,
        tenant: Option<TenantId>,
    ) -> Result<TokenPair, AuthError> {
        let now = self.inner.clock.now();
        let grant = Grant {
            person: verified.id(),
            session: SessionId::new(now),
            tenant,
            epoch: verified.person.credential_epoch,
            assurance: verified.assurance(),
            expires_at: now + self.inner.config.refresh_ttl(),
        };
        let new = NewSession {
            id: grant.session,
            person: grant.person,
            tenant: grant.tenant,
            epoch: grant.epoch,
            amr: &verified.amr,
            auth_time: verified.auth_time,
            address: ctx.address,
            user_agent: ctx.user_agent.as_deref(),
            created_at: now,
            now,
            cookie: None,
            expires_at: grant.expires_at,
        };
        self.end_presented(tx, ctx).await?;
        let ended = self.insert_session(tx, &new).await?;
        let token = RefreshToken::issue(&self.inner.pepper, grant.session, 0)?;
        refresh::insert(tx, grant.session, token.hash(), now, grant.expires_at).await?;
        self.record_login(tx, ctx, &new, ended);
        self.token_pair(&grant, &token, now)
    }

    /// Writes a session; above the limit of parallel ones the oldest end. Returns how many.
    pub(super) async fn insert_session(&self, tx: &mut Tx, new: &NewSession<'_>) -> Result<i64, AuthError> {
        let others = session::insert(tx, new).await?;
        let too_many = (others + 1 - i64::from(self.inner.config.sessions_max)).max(0);
        if too_many > 0 {
            let live = session::find_live_ids(tx, new.person, new.now).await?;
            let oldest = live.into_iter().filter(|id| *id != new.id);
            for id in oldest.take(usize::try_from(too_many).unwrap_or(usize::MAX)) {
                self.end_session(tx, id, EndReason::SessionLimit, new.now).await?;
            }
        }
        Ok(too_many)
    }

    pub(super) fn record_login(&self, tx: &mut Tx, ctx: &RequestContext, new: &NewSession<'_>, ended: i64) {
        let mut event = AuditEvent::new(ctx, "auth.login", "session").on(new.id).in_tenant(new.tenant);
        event.actor = Actor { kind: ActorKind::User, id: Some(new.person.to_string()) };
        event.session_id = Some(new.id);
        if new.cookie.is_some() {
            event = event.with("credential", "cookie");
        }
        if ended > 0 {
            event = event.with("sessions_ended", ended);
        }
        tx.audit(event);
        let session = ToldSession { id: new.id, person: new.person, tenant: new.tenant };
        tell_session(tx, ctx, "auth.login", session, new.now);
    }

    /// Signs an access token, and puts it beside its refresh token.
    pub(super) fn token_pair(
        &self,
        grant: &Grant,
        token: &RefreshToken,
        now: DateTime<Utc>,
    ) -> Result<TokenPair, AuthError> {
        let mut claims =
            self.inner.signer.claims(grant.person, grant.session, grant.epoch, grant.assurance.clone(), now);
        claims.tenant = grant.tenant;
        claims.expires_at = claims.expires_at.min(grant.expires_at);
        let left = claims.expires_at.signed_duration_since(now).num_seconds();
        Ok(TokenPair {
            access_token: self.inner.signer.issue(&claims)?,
            refresh_token: token.expose_secret().to_owned(),
            expires_in: Duration::from_secs(u64::try_from(left).unwrap_or(0)),
            session_id: grant.session,
        })
    }

    pub(super) async fn end_session(
        &self,
        tx: &mut Tx,
        id: SessionId,
        reason: EndReason,
        now: DateTime<Utc>,
    ) -> Result<bool, AuthError> {
        Ok(session::end(tx, &self.inner.revocations, id, reason, now, self.inner.access_ttl).await?)
    }

    /// Ends the session of the caller's credential. Ending one that is over changes nothing.
    ///
    /// # Errors
    /// [`AuthError::Db`].
    pub async fn logout(&self, ctx: &RequestContext) -> Result<(), AuthError> {
        match ctx.principal.session {
            Some(id) => self.logout_session(ctx, id).await,
            None => Ok(()),
        }
    }

    /// Ends the session of a refresh token, also when the token itself has been redeemed: whoever holds it is the owner,
    /// or a thief whose session should end. Any other text changes nothing and is no error (RFC 7009 §2.2).
    ///
    /// # Errors
    /// [`AuthError::Db`].
    pub async fn logout_refresh_token(&self, ctx: &RequestContext, token: &str) -> Result<(), AuthError> {
        match RefreshToken::parse(&self.inner.pepper, token) {
            Some(token) => self.logout_session(ctx, token.session()).await,
            None => Ok(()),
        }
    }

    pub(super) async fn logout_session(&self, ctx: &RequestContext, id: SessionId) -> Result<(), AuthError> {
        let (auth, ctx, now) = (self.clone(), ctx.clone(), self.inner.clock.now());
        let end = async move |tx: &mut Tx| {
            let owner = session::find_owner(tx, id).await?;
            let tenant = session::find_tenant(tx, id).await?;
            if let Some(owner) = owner
                && auth.end_session(tx, id, EndReason::Logout, now).await?
            {
                let mut event = AuditEvent::new(&ctx, "auth.logout", "session").on(id).in_tenant(tenant);
                event.actor = Actor { kind: ActorKind::User, id: Some(owner.to_string()) };
                event.session_id = Some(id);
                tx.audit(event);
                let session = ToldSession { id, person: owner, tenant };
                tell_session(tx, &ctx, "auth.logout", session, now);
            }
            Ok::<_, AuthError>(())
        };
        self.inner.db.transact(SCOPE, end).await
    }

    /// The caller's live sessions, oldest first.
    ///
    /// # Errors
    /// [`AuthError::NotAPerson`], [`AuthError::Db`].
    pub async fn list_sessions(&self, ctx: &RequestContext) -> Result<Vec<Session>, AuthError> {
        let person = caller(ctx)?;
        let mut conn = self.inner.db.read().await?;
        Ok(session::list_live(&mut conn, person, ctx.principal.session, self.inner.clock.now()).await?)
    }

    /// Ends one of the caller's sessions. It is on record in the tenant that the session was begun for.
    ///
    /// # Errors
    /// [`AuthError::SessionNotFound`] when it is over, was never there, or is somebody else's; [`AuthError::NotAPerson`],
    /// [`AuthError::Db`].
    pub async fn revoke_session(&self, ctx: &RequestContext, id: SessionId) -> Result<(), AuthError> {
        let person = caller(ctx)?;
        let (auth, ctx, now) = (self.clone(), ctx.clone(), self.inner.clock.now());
        let end = async move |tx: &mut Tx| {
            let is_own = session::find_owner(tx, id).await? == Some(person);
            let tenant = session::find_tenant(tx, id).await?;
            if !is_own || !auth.end_session(tx, id, EndReason::Revoked, now).await? {
                return Err(AuthError::SessionNotFound);
            }
            record_ended(tx, &ctx, AuditEvent::new(&ctx, "session.revoke", "session").on(id), tenant);
            Ok(())
        };
        self.inner.db.transact(SCOPE, end).await
    }

    /// Ends the caller's sessions but the one that asks. Returns how many. Each tenant that some were begun for has those on record.
    ///
    /// # Errors
    /// [`AuthError::NotAPerson`], [`AuthError::Db`].
    pub async fn revoke_other_sessions(&self, ctx: &RequestContext) -> Result<usize, AuthError> {
        let person = caller(ctx)?;
        let (auth, ctx, now) = (self.clone(), ctx.clone(), self.inner.clock.now());
        let end = async move |tx: &mut Tx| {
            // A session that begins at the same moment comes before or after this as a whole.
            people::lock(tx, person).await?;
            let current = ctx.principal.session;
            let ended = auth.end_sessions(tx, person, current, EndReason::Revoked, now).await?;
            let mut by_tenant: BTreeMap<Option<TenantId>, Vec<String>> = BTreeMap::new();
            for id in &ended {
                let tenant = session::find_tenant(tx, *id).await?;
                by_tenant.entry(tenant).or_default().push(id.to_string());
            }
            for (tenant, ids) in by_tenant {
                let event = AuditEvent::new(&ctx, "session.revoke_others", "person").on(person);
                record_ended(tx, &ctx, event.with("sessions", ids), tenant);
            }
            Ok::<_, AuthError>(ended.len())
        };
        self.inner.db.transact(SCOPE, end).await
    }

    pub(super) async fn end_sessions(
        &self,
        tx: &mut Tx,
        person: PersonId,
        except: Option<SessionId>,
        reason: EndReason,
        now: DateTime<Utc>,
    ) -> Result<Vec<SessionId>, AuthError> {
        let (live, ttl) = (&self.inner.revocations, self.inner.access_ttl);
        Ok(session::end_all(tx, live, person, except, reason, now, ttl).await?)
    }
}

/// Files the end of sessions that were begun for `tenant` in its trail. In another than the caller acts in, nothing is said of the session
/// that asks: which organisations somebody belongs to is the person's own.
fn record_ended(tx: &mut Tx, ctx: &RequestContext, event: AuditEvent, tenant: Option<TenantId>) {
    let mut event = event.in_tenant(tenant);
    if tenant == ctx.principal.tenant {
        tx.audit(event);
    } else {
        event.session_id = None;
        tx.audit_also(event);
    }
}

/// The person who asks by themselves: sessions and passwords are not managed with API keys.
pub(super) fn caller(ctx: &RequestContext) -> Result<PersonId, AuthError> {
    match ctx.principal.subject {
        stylobate_core::Subject::Person { id } => Ok(id),
        _ => Err(AuthError::NotAPerson),
    }
}
