use std::{fmt, sync::Arc};

use stylobate_core::{Clock, SystemClock};

use super::RemoteJwks;
use crate::{TokenConfig, TokenConfigProblems, TokenError, VerifiedToken, Verifier};

/// Checks access tokens of a remote issuer by the keys it shows: for services without a key, a secret or a database.
///
/// It cannot know what the issuer revokes: a token is good here until it expires. Services that have to know sooner ask
/// the issuer.
#[derive(Clone)]
pub struct RemoteVerifier {
    jwks: RemoteJwks,
    verifier: Verifier,
    clock: Arc<dyn Clock>,
}

impl RemoteVerifier {
    /// Accepts tokens as `config` says, by the keys of `jwks`.
    ///
    /// # Errors
    /// Everything that is wrong with `config`.
    pub fn new(jwks: RemoteJwks, config: TokenConfig) -> Result<Self, TokenConfigProblems> {
        let verifier = Verifier::new(jwks.keys().clone(), config)?;
        Ok(Self { jwks, verifier, clock: Arc::new(SystemClock) })
    }

    /// Takes the present from `clock` instead of the system.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// The issuer's keys.
    #[must_use]
    pub fn jwks(&self) -> &RemoteJwks {
        &self.jwks
    }

    /// Checks `token` with the keys at hand, without waiting; `None` when the issuer should be asked first.
    ///
    /// The error says why the token is refused.
    #[must_use]
    pub fn verify_now(&self, token: &str) -> Option<Result<Arc<VerifiedToken>, TokenError>> {
        self.jwks.judge_now(|| self.verifier.verify(token, self.clock.now()), || Verifier::named_key(token))
    }

    /// Checks `token`. One that names a key we do not know makes us ask for the issuer's keys, when the last time is
    /// long enough ago.
    ///
    /// # Errors
    /// Why it is refused; [`TokenError::KeysUnavailable`] when nothing can be said, because there are no keys.
    pub async fn verify(&self, token: &str) -> Result<Arc<VerifiedToken>, TokenError> {
        let check = || self.verifier.verify(token, self.clock.now());
        self.jwks.judge(check, || Verifier::named_key(token)).await
    }
}

impl fmt::Debug for RemoteVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteVerifier")
            .field("jwks", &self.jwks)
            .field("verifier", &self.verifier)
            .finish_non_exhaustive()
    }
}
