use std::{fmt, sync::Arc};

use chrono::{DateTime, Utc};
use stylobate_core::Principal;

use super::{
    AccessClaims, TokenConfig, TokenConfigProblems, TokenError,
    cache::TokenCache,
    json,
    jws::{TokenType, Unverified},
};
use crate::{KeySet, Keys, Kid};

/// A token that passed every check.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct VerifiedToken {
    /// What it says.
    pub claims: AccessClaims,
    /// Who acts, made from the claims.
    pub principal: Principal,
    /// The key that signed it.
    pub kid: Kid,
}

impl VerifiedToken {
    /// From when on the token is refused (leeway aside).
    #[must_use]
    pub fn expires_at(&self) -> DateTime<Utc> {
        self.claims.expires_at
    }
}

/// Checks access tokens. Cheap to clone; clones share what they remember.
#[derive(Clone)]
pub struct Verifier {
    keys: Keys,
    config: Arc<TokenConfig>,
    cache: Arc<TokenCache<VerifiedToken>>,
}

impl Verifier {
    /// Accepts tokens of the keys in `keys`, as they are at the time of each check.
    ///
    /// # Errors
    /// Everything that is wrong with `config`.
    pub fn new(keys: Keys, config: TokenConfig) -> Result<Self, TokenConfigProblems> {
        config.validate()?;
        let cache = Arc::new(TokenCache::new(config.cache_entries));
        Ok(Self { keys, config: Arc::new(config), cache })
    }

    /// Checks `token` at the time `now`. Whether its session or subject has been revoked is not in it, and is the
    /// caller's next question.
    ///
    /// # Errors
    /// Why it is refused. None of it is for the caller's eyes, who learns `unauthenticated` whatever it was.
    pub fn verify(&self, token: &str, now: DateTime<Utc>) -> Result<Arc<VerifiedToken>, TokenError> {
        let snapshot = self.keys.load();
        let holds = |known: &VerifiedToken| known.claims.check_times(now, self.config.leeway);
        let check = || self.check(&snapshot.set, token, now);
        self.cache.find_or_check(token, snapshot.generation, holds, check)
    }

    /// Checks `token` as [`verify`](Self::verify) does, without looking whether it is remembered and without remembering
    /// it: for tokens that are seen once.
    ///
    /// # Errors
    /// As [`verify`](Self::verify).
    pub fn verify_once(&self, token: &str, now: DateTime<Utc>) -> Result<VerifiedToken, TokenError> {
        self.check(&self.keys.load().set, token, now)
    }

    fn check(&self, set: &KeySet, token: &str, now: DateTime<Utc>) -> Result<VerifiedToken, TokenError> {
        let unverified = Unverified::parse(token)?;
        let key = unverified.key(TokenType::Access, set)?;
        let payload = unverified.verify(key)?;
        let claims = AccessClaims::from_json(&json::object(&payload)?)?;
        claims.check(&self.config)?;
        claims.check_times(now, self.config.leeway)?;
        let principal = Principal::from(&claims);
        Ok(VerifiedToken { claims, principal, kid: key.kid().clone() })
    }

    /// The key that `token` names, when it names one that a token may name; nothing of the token has been proved.
    pub(super) fn named_key(token: &str) -> Option<Kid> {
        Unverified::parse(token).ok()?.kid(TokenType::Access)
    }

    /// The keys whose tokens are accepted.
    #[must_use]
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// How tokens are checked.
    #[must_use]
    pub fn config(&self) -> &TokenConfig {
        &self.config
    }

    /// How many tokens are remembered.
    #[must_use]
    pub fn remembered(&self) -> usize {
        self.cache.len()
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier")
            .field("config", &self.config)
            .field("remembered", &self.remembered())
            .finish_non_exhaustive()
    }
}
