use chrono::{DateTime, Utc};
use stylobate_core::{ApiKeyId, KeyOwner, PersonId, Principal, RequestContext, SessionId, Subject, TenantId};
use stylobate_db::Tx;

use super::{Auth, AuthError, AuthenticateError, SCOPE};
use crate::{RefreshToken, VerifiedServiceToken, VerifiedToken, services, session};

/// What a token that is good says of itself (RFC 7662 §2.2).
#[derive(Debug, Clone)]
pub struct LiveToken {
    /// What kind of token it is.
    pub kind: LiveTokenKind,
    /// Who acts with it, for which tenant, and within which scopes.
    pub principal: Principal,
    /// Who issued it.
    pub issuer: String,
    /// Whom it is for.
    pub audience: Vec<String>,
    /// What names it, of its kind.
    pub id: String,
    /// The client that asked for it, when there is one.
    pub client_id: Option<String>,
    /// When it was issued; of an API key, when it was made.
    pub issued_at: DateTime<Utc>,
    /// From when on it is refused.
    pub expires_at: DateTime<Utc>,
}

/// The kinds of tokens that can be [introspected](Auth::introspect).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LiveTokenKind {
    /// An access token of a session.
    Access,
    /// A service token.
    Service,
    /// An API key.
    ApiKey,
}

impl LiveTokenKind {
    /// The kind as answers spell it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Access => "access_token",
            Self::Service => "service_token",
            Self::ApiKey => "api_key",
        }
    }
}

/// What stops when a token is revoked (RFC 7009 §2.1): with an access or refresh token, its session and all tokens of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RevocableToken {
    /// A session.
    Session {
        /// Which.
        id: SessionId,
        /// Whose.
        person: PersonId,
        /// The tenant it was begun for.
        tenant: Option<TenantId>,
    },
    /// An API key.
    ApiKey {
        /// Which.
        id: ApiKeyId,
        /// Whose.
        owner: KeyOwner,
        /// The tenant it is for.
        tenant: TenantId,
    },
}

impl RevocableToken {
    /// Whether `principal` is its own holder: the person whose session or key it is, in person, or the key itself.
    #[must_use]
    pub fn is_own(&self, principal: &Principal) -> bool {
        match *self {
            Self::Session { person, .. } => principal.person_id() == Some(person),
            Self::ApiKey { id, owner, .. } => match principal.subject {
                Subject::ApiKey { id: presented, .. } => presented == id,
                _ => matches!(owner, KeyOwner::Person { id } if principal.person_id() == Some(id)),
            },
        }
    }

    /// The tenant it acts for.
    #[must_use]
    pub fn tenant(&self) -> Option<TenantId> {
        match *self {
            Self::Session { tenant, .. } => tenant,
            Self::ApiKey { tenant, .. } => Some(tenant),
        }
    }
}

impl Auth {
    /// What a token says of itself, when it is good and for `audience`: an access token, a service token or an API key. Whether it is
    /// decides the row of its session, service account or key at this moment, not what this process remembers. Nothing is counted
    /// as a use. `None` for anything else: a refresh token is for us alone, and a key that is limited to networks is judged where it
    /// is presented.
    ///
    /// # Errors
    /// [`AuthError::Db`].
    pub async fn introspect(&self, audience: &str, text: &str) -> Result<Option<LiveToken>, AuthError> {
        let now = self.inner.clock.now();
        match self.verify(text) {
            Ok(token) => self.introspect_access(audience, &token).await,
            Err(AuthenticateError::Revoked) => Ok(None),
            Err(_) => match self.inner.service_verifier.verify_for(audience, text, now) {
                Ok(token) => self.introspect_service(token).await,
                Err(_) => self.introspect_key(audience, text).await,
            },
        }
    }

    async fn introspect_access(
        &self,
        audience: &str,
        token: &VerifiedToken,
    ) -> Result<Option<LiveToken>, AuthError> {
        let claims = &token.claims;
        if !claims.audience.iter().any(|one| one == audience) {
            return Ok(None);
        }
        let mut conn = self.inner.db.read().await?;
        let now = self.inner.clock.now();
        let is_alive = session::is_alive(&mut conn, claims.session, claims.person, now).await?;
        Ok(is_alive.then(|| LiveToken {
            kind: LiveTokenKind::Access,
            principal: token.principal.clone(),
            issuer: claims.issuer.clone(),
            audience: claims.audience.clone(),
            id: claims.id.to_string(),
            client_id: claims.client_id.clone(),
            issued_at: claims.issued_at,
            expires_at: claims.expires_at,
        }))
    }

    async fn introspect_service(&self, token: VerifiedServiceToken) -> Result<Option<LiveToken>, AuthError> {
        let VerifiedServiceToken { claims, principal, .. } = token;
        let mut conn = self.inner.db.read().await?;
        let is_current =
            services::is_current(&mut conn, claims.tenant, claims.service, claims.version).await?;
        Ok(is_current.then(|| LiveToken {
            kind: LiveTokenKind::Service,
            principal,
            issuer: claims.issuer,
            audience: vec![claims.audience],
            id: claims.id.to_string(),
            client_id: None,
            issued_at: claims.issued_at,
            expires_at: claims.expires_at,
        }))
    }

    async fn introspect_key(&self, audience: &str, text: &str) -> Result<Option<LiveToken>, AuthError> {
        let config = &self.inner.config;
        let Some(found) = self.api_keys().look_up(text).await? else { return Ok(None) };
        let is_anywhere = found.key.allowed_networks.is_none();
        let principal = found.principal.filter(|_| is_anywhere && config.audience == audience);
        Ok(principal.map(|principal| LiveToken {
            kind: LiveTokenKind::ApiKey,
            principal,
            issuer: config.issuer.clone(),
            audience: vec![config.audience.clone()],
            id: found.key.id.to_string(),
            client_id: None,
            issued_at: found.key.created_at,
            expires_at: found.good_until,
        }))
    }

    /// What revoking `text` would stop: the session of an access or refresh token, or an API key, which may be switched off or its
    /// owner at rest. `None` when there is nothing left to stop.
    ///
    /// # Errors
    /// [`AuthError::TokenNotRevocable`] for a service token that is good; [`AuthError::Db`].
    pub async fn find_revocable(&self, text: &str) -> Result<Option<RevocableToken>, AuthError> {
        let of_refresh = RefreshToken::parse(&self.inner.pepper, text).map(|token| token.session());
        let id = of_refresh.or_else(|| self.verify(text).ok().map(|token| token.claims.session));
        let Some(id) = id else {
            let of_service = self.inner.service_verifier.verify_for_anybody(text, self.inner.clock.now());
            if of_service.is_ok_and(|VerifiedServiceToken { claims, .. }| {
                !self.inner.revocations.is_older(claims.service.as_uuid(), claims.version)
            }) {
                return Err(AuthError::TokenNotRevocable);
            }
            let found = self.api_keys().look_up(text).await?;
            return Ok(found.and_then(|found| {
                let owner = found.key.owner()?;
                Some(RevocableToken::ApiKey { id: found.key.id, owner, tenant: found.key.tenant_id })
            }));
        };
        let mut conn = self.inner.db.read().await?;
        let Some(person) = session::find_owner(&mut conn, id).await? else { return Ok(None) };
        let tenant = session::find_tenant(&mut conn, id).await?;
        Ok(Some(RevocableToken::Session { id, person, tenant }))
    }

    /// Stops a token, at once in this process and within a second everywhere (RFC 7009 §2). Stopping it again changes nothing.
    /// Whether the caller may is the caller's question.
    ///
    /// # Errors
    /// [`AuthError::Db`].
    pub async fn revoke_token(&self, ctx: &RequestContext, token: RevocableToken) -> Result<(), AuthError> {
        let (auth, context) = (self.clone(), ctx.clone());
        match token {
            RevocableToken::Session { id, tenant: Some(tenant), .. } if !token.is_own(&ctx.principal) => {
                let end = async move |tx: &mut Tx| auth.revoke_session_in(tx, &context, tenant, id).await;
                match self.inner.db.transact(SCOPE, end).await {
                    Ok(_) | Err(AuthError::SessionNotFound) => Ok(()),
                    Err(error) => Err(error),
                }
            }
            RevocableToken::Session { id, .. } => self.logout_session(ctx, id).await,
            RevocableToken::ApiKey { id, tenant, .. } => {
                let end = async move |tx: &mut Tx| {
                    auth.api_keys().revoke_if_there(tx, &context, (tenant, id)).await?;
                    Ok::<_, AuthError>(())
                };
                self.inner.db.transact(SCOPE, end).await
            }
        }
    }
}
