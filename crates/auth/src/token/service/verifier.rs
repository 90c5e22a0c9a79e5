use std::{fmt, sync::Arc};

use chrono::{DateTime, Utc};
use stylobate_core::Principal;

use super::ServiceClaims;
use crate::{
    KeySet, Keys, Kid,
    token::{
        TokenConfig, TokenConfigProblems, TokenError,
        cache::TokenCache,
        json,
        jws::{TokenType, Unverified},
    },
};

/// A service token that passed every check.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct VerifiedServiceToken {
    /// What it says.
    pub claims: ServiceClaims,
    /// Who acts: the service, with its operations as scopes.
    pub principal: Principal,
    /// The key that signed it.
    pub kid: Kid,
}

/// Checks service tokens that are for one audience. Cheap to clone; clones share what they remember.
#[derive(Clone)]
pub struct ServiceTokenVerifier {
    keys: Keys,
    config: Arc<TokenConfig>,
    cache: Arc<TokenCache<VerifiedServiceToken>>,
}

impl ServiceTokenVerifier {
    /// Accepts tokens of the keys in `keys`, as they are at the time of each check, for the audience of `config`. Its lifetime is
    /// the longest that a token may have.
    ///
    /// # Errors
    /// Everything that is wrong with `config`.
    pub fn new(keys: Keys, config: TokenConfig) -> Result<Self, TokenConfigProblems> {
        config.validate()?;
        let cache = Arc::new(TokenCache::new(config.cache_entries));
        Ok(Self { keys, config: Arc::new(config), cache })
    }

    /// Checks `token` at the time `now`. Whether its service has been disabled since is not in it, and is the caller's next
    /// question.
    ///
    /// # Errors
    /// Why it is refused: [`TokenError::TypeRefused`] for an access token, [`TokenError::AudienceRefused`] for another's token.
    /// None of it is for the caller's eyes, who learns `unauthenticated` whatever it was.
    pub fn verify(&self, token: &str, now: DateTime<Utc>) -> Result<Arc<VerifiedServiceToken>, TokenError> {
        let snapshot = self.keys.load();
        let holds = |known: &VerifiedServiceToken| known.claims.check_times(now, self.config.leeway);
        let check = || self.check(&snapshot.set, token, Some(&self.config.audience), now);
        self.cache.find_or_check(token, snapshot.generation, holds, check)
    }

    /// Checks `token` as [`verify`](Self::verify) does, when it is for somebody else: for who is asked about it.
    #[cfg(feature = "sql")]
    pub(crate) fn verify_for(
        &self,
        audience: &str,
        token: &str,
        now: DateTime<Utc>,
    ) -> Result<VerifiedServiceToken, TokenError> {
        self.check(&self.keys.load().set, token, Some(audience), now)
    }

    /// Checks `token` for whatever audience it is.
    #[cfg(feature = "sql")]
    pub(crate) fn verify_for_anybody(
        &self,
        token: &str,
        now: DateTime<Utc>,
    ) -> Result<VerifiedServiceToken, TokenError> {
        self.check(&self.keys.load().set, token, None, now)
    }

    fn check(
        &self,
        set: &KeySet,
        token: &str,
        audience: Option<&str>,
        now: DateTime<Utc>,
    ) -> Result<VerifiedServiceToken, TokenError> {
        let unverified = Unverified::parse(token)?;
        let key = unverified.key(TokenType::Service, set)?;
        let payload = unverified.verify(key)?;
        let claims = ServiceClaims::from_json(&json::object(&payload)?)?;
        claims.check(&self.config)?;
        if audience.is_some_and(|audience| claims.audience != audience) {
            return Err(TokenError::AudienceRefused);
        }
        claims.check_times(now, self.config.leeway)?;
        let principal = Principal::from(&claims);
        Ok(VerifiedServiceToken { claims, principal, kid: key.kid().clone() })
    }

    /// The key that `token` names, when it names one that a token may name; nothing of the token has been proved.
    pub(in crate::token) fn named_key(token: &str) -> Option<Kid> {
        Unverified::parse(token).ok()?.kid(TokenType::Service)
    }

    /// How tokens are checked.
    #[must_use]
    pub fn config(&self) -> &TokenConfig {
        &self.config
    }
}

impl fmt::Debug for ServiceTokenVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceTokenVerifier")
            .field("config", &self.config)
            .field("remembered", &self.cache.len())
            .finish_non_exhaustive()
    }
}
