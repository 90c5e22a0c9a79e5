use std::sync::Arc;

use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use stylobate_core::{Assurance, PersonId, SessionId, TokenId};

use super::{
    AccessClaims, TokenBuilder, TokenConfig, TokenConfigProblems, TokenError,
    jws::{self, TokenType},
};
use crate::Keys;

/// Issues access tokens with the present signing key. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Signer {
    keys: Keys,
    config: Arc<TokenConfig>,
}

impl Signer {
    /// Signs with whatever key `keys` holds at the time.
    ///
    /// # Errors
    /// Everything that is wrong with `config`.
    pub fn new(keys: Keys, config: TokenConfig) -> Result<Self, TokenConfigProblems> {
        config.validate()?;
        Ok(Self { keys, config: Arc::new(config) })
    }

    /// Claims for a new token: issuer, audience, a fresh `jti`, issued `now` for the configured lifetime. Tenant,
    /// scopes and impersonator are the caller's to set.
    #[must_use]
    pub fn claims(
        &self,
        person: PersonId,
        session: SessionId,
        epoch: i64,
        assurance: Assurance,
        now: DateTime<Utc>,
    ) -> AccessClaims {
        let issued_at = now.duration_trunc(TimeDelta::seconds(1)).unwrap_or(now);
        AccessClaims {
            issuer: self.config.issuer.clone(),
            audience: vec![self.config.audience.clone()],
            person,
            session,
            id: TokenId::new(now),
            tenant: None,
            issued_at,
            // The configuration holds the lifetime to a day, so the sum stays in range for millennia.
            expires_at: issued_at + self.config.lifetime,
            not_before: None,
            assurance,
            scopes: None,
            permissions: None,
            client_id: None,
            epoch,
            impersonator: None,
            custom: serde_json::Map::new(),
        }
    }

    /// Begins a token for `person`, who signed in as `assurance` says, as [`claims`](Self::claims) does.
    pub fn token(
        &self,
        person: PersonId,
        session: SessionId,
        epoch: i64,
        assurance: Assurance,
        now: DateTime<Utc>,
    ) -> TokenBuilder<'_> {
        TokenBuilder::new(self, self.claims(person, session, epoch, assurance, now))
    }

    /// Signs `claims`.
    ///
    /// # Errors
    /// The same ones with which [`Verifier`](super::Verifier) would refuse such a token: nothing is issued that is
    /// not accepted. [`TokenError::SigningKeyMissing`] when the keys only verify, [`TokenError::Signing`] when
    /// signing fails, [`TokenError::TooLong`] when claims have grown past what is accepted.
    pub fn issue(&self, claims: &AccessClaims) -> Result<String, TokenError> {
        claims.check(&self.config)?;
        let snapshot = self.keys.load();
        let key = snapshot.set.signing().ok_or(TokenError::SigningKeyMissing)?;
        jws::sign(key, TokenType::Access, &claims.to_json()?)
    }

    /// How tokens are issued.
    #[must_use]
    pub fn config(&self) -> &TokenConfig {
        &self.config
    }
}
