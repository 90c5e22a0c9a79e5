use std::{fmt, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use stylobate_core::{
    Assurance, AuthenticatorAssurance, Clock, Credential, PersonId, Principal, RequestContext, SessionId,
    TenantId,
};

use super::{SessionKey, SessionLimits, SessionRecord, SessionSecret, SessionStore, SessionStoreError};
use crate::KeyError;

/// Sessions that a cookie carries, over a [`SessionStore`]: for services that know their people from elsewhere and have no
/// SQL. Clone it freely.
///
/// Nothing is remembered between requests: the store is asked each time, so that what has ended is refused at once
/// everywhere.
///
/// ```
/// # async fn example(person: stylobate_core::PersonId, ctx: stylobate_core::RequestContext)
/// # -> Result<(), Box<dyn std::error::Error>> {
/// use std::sync::Arc;
///
/// use stylobate_auth::{CookieSessions, MemorySessions, SessionLimits};
/// use stylobate_core::SystemClock;
///
/// let store = Arc::new(MemorySessions::new());
/// let sessions = CookieSessions::new(store, Arc::new(SystemClock), SessionLimits::default());
/// // The person has just proved who they are.
/// let begun = sessions.begin(&ctx, person, None, &["pwd"]).await?;
/// let principal = sessions.authenticate(begun.secret.expose_secret()).await?;
/// assert_eq!(principal.and_then(|principal| principal.person_id()), Some(person));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct CookieSessions {
    store: Arc<dyn SessionStore>,
    clock: Arc<dyn Clock>,
    limits: SessionLimits,
}

/// A session that a cookie carries, just begun or under a new secret. `Debug` shows no secret.
#[derive(Debug, Clone)]
pub struct NewCookieSession {
    /// What the cookie carries.
    pub secret: SessionSecret,
    /// The session's public id.
    pub session_id: SessionId,
    /// How long it lives at most, in whole seconds.
    pub expires_in: Duration,
}

/// A cookie session could not be begun or looked up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CookieSessionError {
    /// There is no randomness for a secret.
    #[error("no session secret could be made")]
    Key(#[source] KeyError),
    /// The store could not do its work.
    #[error("the session could not be looked up")]
    Store(#[source] SessionStoreError),
}

impl CookieSessionError {
    /// The stable code of the situation.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Key(error) => error.code(),
            Self::Store(error) => error.code(),
        }
    }
}

impl From<KeyError> for CookieSessionError {
    fn from(error: KeyError) -> Self {
        Self::Key(error)
    }
}

impl From<SessionStoreError> for CookieSessionError {
    fn from(error: SessionStoreError) -> Self {
        Self::Store(error)
    }
}

impl CookieSessions {
    /// Sessions in `store` that live by `limits`.
    #[must_use]
    pub fn new(store: Arc<dyn SessionStore>, clock: Arc<dyn Clock>, limits: SessionLimits) -> Self {
        Self { store, clock, limits }
    }

    /// Begins a session of somebody who has just proved who they are, by the methods `amr` (RFC 8176). The session that the
    /// request came with, if any, ends: an id from before a sign-in is never carried over it.
    ///
    /// # Errors
    /// [`CookieSessionError`].
    pub async fn begin(
        &self,
        ctx: &RequestContext,
        person: PersonId,
        tenant: Option<TenantId>,
        amr: &[&str],
    ) -> Result<NewCookieSession, CookieSessionError> {
        let now = self.clock.now();
        if let (Credential::Cookie, Some(owner), Some(before)) =
            (ctx.principal.credential, ctx.principal.person_id(), ctx.principal.session)
        {
            self.store.end_one(owner, before, now).await?;
        }
        let secret = SessionSecret::generate()?;
        let record = SessionRecord {
            id: SessionId::new(now),
            person,
            tenant,
            amr: amr.iter().map(|method| (*method).to_owned()).collect(),
            auth_time: now,
            address: ctx.address,
            user_agent: ctx.user_agent.clone(),
            created_at: now,
            last_seen_at: now,
            idle_expires_at: self.limits.idle_end(now),
            expires_at: self.limits.absolute_end(now),
        };
        self.store.insert(secret.key(), &record, self.limits.sessions_max).await?;
        Ok(NewCookieSession { secret, session_id: record.id, expires_in: self.limits.absolute })
    }

    /// Who presents `cookie`; `None` when it belongs to no live session.
    ///
    /// # Errors
    /// [`CookieSessionError::Store`]: whether the session lives could not be found out. Answer 503.
    pub async fn authenticate(&self, cookie: &str) -> Result<Option<Principal>, CookieSessionError> {
        let now = self.clock.now();
        let Some(key) = SessionKey::of_presented(cookie) else { return Ok(None) };
        let Some(record) = self.store.find(key, now).await? else { return Ok(None) };
        let unwritten = now.signed_duration_since(record.last_seen_at).to_std().unwrap_or_default();
        if unwritten >= self.limits.touch_every() {
            self.store.touch(key, now, self.limits.idle_end(now)).await?;
        }
        Ok(Some(Principal {
            tenant: record.tenant,
            session: Some(record.id),
            assurance: Assurance {
                amr: record.amr,
                aal: AuthenticatorAssurance::Aal1,
                auth_time: Some(record.auth_time),
            },
            credential: Credential::Cookie,
            ..Principal::person(record.person)
        }))
    }

    /// Gives the session of `cookie` a new secret, after a change of what it may do; the old one is refused from here on.
    /// `has_proved` says that the person has just proved again who they are. `None` when there is no such session.
    ///
    /// # Errors
    /// [`CookieSessionError`].
    pub async fn rotate(
        &self,
        cookie: &str,
        has_proved: bool,
    ) -> Result<Option<NewCookieSession>, CookieSessionError> {
        let now = self.clock.now();
        let Some(key) = SessionKey::of_presented(cookie) else { return Ok(None) };
        let Some(record) = self.store.find(key, now).await? else { return Ok(None) };
        let secret = SessionSecret::generate()?;
        if !self.store.rotate(key, secret.key(), has_proved.then_some(now), now).await? {
            return Ok(None);
        }
        Ok(Some(NewCookieSession { secret, session_id: record.id, expires_in: left(record.expires_at, now) }))
    }

    /// Ends the session of `cookie`. Returns whether there was one.
    ///
    /// # Errors
    /// [`CookieSessionError::Store`].
    pub async fn end(&self, cookie: &str) -> Result<bool, CookieSessionError> {
        let Some(key) = SessionKey::of_presented(cookie) else { return Ok(false) };
        Ok(self.store.end(key, self.clock.now()).await?)
    }

    /// Ends all sessions of a person but `except`: after a change of their password, or because they were disabled.
    /// Returns those it ended.
    ///
    /// # Errors
    /// [`CookieSessionError::Store`].
    pub async fn end_all(
        &self,
        person: PersonId,
        except: Option<SessionId>,
    ) -> Result<Vec<SessionId>, CookieSessionError> {
        Ok(self.store.end_all(person, except, self.clock.now()).await?)
    }

    /// The live sessions of a person, oldest first.
    ///
    /// # Errors
    /// [`CookieSessionError::Store`].
    pub async fn list(&self, person: PersonId) -> Result<Vec<SessionRecord>, CookieSessionError> {
        Ok(self.store.list(person, self.clock.now()).await?)
    }
}

/// From `now` to `until` in whole seconds.
pub(super) fn left(until: DateTime<Utc>, now: DateTime<Utc>) -> Duration {
    Duration::from_secs(u64::try_from(until.signed_duration_since(now).num_seconds()).unwrap_or(0))
}

impl fmt::Debug for CookieSessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CookieSessions").field("limits", &self.limits).finish_non_exhaustive()
    }
}
