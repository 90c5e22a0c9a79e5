use std::sync::Arc;

use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use stylobate_core::{ServiceId, TenantId, TokenId};

use super::ServiceClaims;
use crate::{
    Keys,
    token::{
        TokenConfig, TokenConfigProblems, TokenError,
        jws::{self, TokenType},
    },
};

/// Issues service tokens with the present signing key. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ServiceTokenSigner {
    keys: Keys,
    config: Arc<TokenConfig>,
}

impl ServiceTokenSigner {
    /// Signs with whatever key `keys` holds at the time. The audience of `config` is the issuer's own; tokens are for whatever
    /// audience their claims name.
    ///
    /// # Errors
    /// Everything that is wrong with `config`.
    pub fn new(keys: Keys, config: TokenConfig) -> Result<Self, TokenConfigProblems> {
        config.validate()?;
        Ok(Self { keys, config: Arc::new(config) })
    }

    /// Claims for a new token of `service`, whose account has `version`: issuer, a fresh `jti`, issued `now` for the configured
    /// lifetime, for the issuer's own audience and no operation. Audience and operations are the caller's to set.
    #[must_use]
    pub fn claims(
        &self,
        service: ServiceId,
        tenant: TenantId,
        version: i64,
        now: DateTime<Utc>,
    ) -> ServiceClaims {
        let issued_at = now.duration_trunc(TimeDelta::seconds(1)).unwrap_or(now);
        ServiceClaims {
            issuer: self.config.issuer.clone(),
            audience: self.config.audience.clone(),
            service,
            tenant,
            id: TokenId::new(now),
            issued_at,
            // The configuration holds the lifetime to a day, so the sum stays in range for millennia.
            expires_at: issued_at + self.config.lifetime,
            operations: Vec::new(),
            version,
        }
    }

    /// Signs `claims`.
    ///
    /// # Errors
    /// The same ones with which [`ServiceTokenVerifier`](super::ServiceTokenVerifier) of the audience would refuse such a token;
    /// [`TokenError::SigningKeyMissing`] when the keys only verify, [`TokenError::Signing`] when signing fails,
    /// [`TokenError::TooLong`] when there are too many operations.
    pub fn issue(&self, claims: &ServiceClaims) -> Result<String, TokenError> {
        claims.check(&self.config)?;
        let snapshot = self.keys.load();
        let key = snapshot.set.signing().ok_or(TokenError::SigningKeyMissing)?;
        jws::sign(key, TokenType::Service, &claims.to_json()?)
    }

    /// How tokens are issued.
    #[must_use]
    pub fn config(&self) -> &TokenConfig {
        &self.config
    }
}
