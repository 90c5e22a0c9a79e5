use std::sync::Arc;

use super::{Auth, AuthenticateError};
use crate::{VerifiedServiceToken, VerifiedToken, services, session};

impl Auth {
    /// Checks an access token against keys, time and the revocations in memory: no waiting, no database, and for a
    /// remembered token no allocation.
    ///
    /// # Errors
    /// [`AuthenticateError::Stale`] when memory cannot tell; call [`authenticate_slow`](Self::authenticate_slow) then.
    /// [`AuthenticateError::Refused`] and [`AuthenticateError::Revoked`] are final.
    pub fn authenticate(&self, bearer: &str) -> Result<Arc<VerifiedToken>, AuthenticateError> {
        let token = self.verify(bearer)?;
        let is_decided = self.inner.revocations.may_decide(token.claims.tenant);
        if is_decided { Ok(token) } else { Err(AuthenticateError::Stale) }
    }

    /// Checks an access token as [`authenticate`](Self::authenticate) does, and reads the session row when memory
    /// cannot tell.
    ///
    /// # Errors
    /// [`AuthenticateError::Refused`], [`AuthenticateError::Revoked`]; [`AuthenticateError::Unavailable`] when the row
    /// cannot be read.
    pub async fn authenticate_slow(&self, bearer: &str) -> Result<Arc<VerifiedToken>, AuthenticateError> {
        let token = self.verify(bearer)?;
        if self.inner.revocations.may_decide(token.claims.tenant) {
            return Ok(token);
        }
        let (session, person) = (token.claims.session, token.claims.person);
        let now = self.inner.clock.now();
        let mut conn = self.inner.db.read().await.map_err(AuthenticateError::Unavailable)?;
        match session::is_alive(&mut conn, session, person, now).await {
            Ok(true) => Ok(token),
            Ok(false) => Err(AuthenticateError::Revoked),
            Err(error) => Err(AuthenticateError::Unavailable(error)),
        }
    }

    /// Checks a service token that is for this installation against keys, time and the revocations in memory, as
    /// [`authenticate`](Self::authenticate) does with an access token.
    ///
    /// # Errors
    /// [`AuthenticateError::Stale`] when memory cannot tell; call [`authenticate_service_slow`](Self::authenticate_service_slow)
    /// then. [`AuthenticateError::Refused`], also for an access token and for a token for somebody else, and
    /// [`AuthenticateError::Revoked`] are final.
    pub fn authenticate_service(&self, bearer: &str) -> Result<Arc<VerifiedServiceToken>, AuthenticateError> {
        let token = self.verify_service(bearer)?;
        let is_decided = self.inner.revocations.may_decide(Some(token.claims.tenant));
        if is_decided { Ok(token) } else { Err(AuthenticateError::Stale) }
    }

    /// Checks a service token as [`authenticate_service`](Self::authenticate_service) does, and reads the account's row when
    /// memory cannot tell.
    ///
    /// # Errors
    /// [`AuthenticateError::Refused`], [`AuthenticateError::Revoked`]; [`AuthenticateError::Unavailable`] when the row
    /// cannot be read.
    pub async fn authenticate_service_slow(
        &self,
        bearer: &str,
    ) -> Result<Arc<VerifiedServiceToken>, AuthenticateError> {
        let token = self.verify_service(bearer)?;
        if self.inner.revocations.may_decide(Some(token.claims.tenant)) {
            return Ok(token);
        }
        let claims = &token.claims;
        let mut conn = self.inner.db.read().await.map_err(AuthenticateError::Unavailable)?;
        match services::is_current(&mut conn, claims.tenant, claims.service, claims.version).await {
            Ok(true) => Ok(token),
            Ok(false) => Err(AuthenticateError::Revoked),
            Err(error) => Err(AuthenticateError::Unavailable(error)),
        }
    }

    fn verify_service(&self, bearer: &str) -> Result<Arc<VerifiedServiceToken>, AuthenticateError> {
        let token = self
            .inner
            .service_verifier
            .verify(bearer, self.inner.clock.now())
            .map_err(AuthenticateError::Refused)?;
        let claims = &token.claims;
        if self.inner.revocations.is_older(claims.service.as_uuid(), claims.version) {
            return Err(AuthenticateError::Revoked);
        }
        Ok(token)
    }

    /// What is in memory may refuse even when it is stale; it just may not accept.
    pub(super) fn verify(&self, bearer: &str) -> Result<Arc<VerifiedToken>, AuthenticateError> {
        let token =
            self.inner.verifier.verify(bearer, self.inner.clock.now()).map_err(AuthenticateError::Refused)?;
        let claims = &token.claims;
        if self.inner.revocations.is_revoked(claims.session, claims.person, claims.epoch) {
            return Err(AuthenticateError::Revoked);
        }
        Ok(token)
    }
}
