use std::{fmt, sync::Arc};

use stylobate_core::{Clock, SystemClock};

use super::RemoteJwks;
use crate::{ServiceTokenVerifier, TokenConfig, TokenConfigProblems, TokenError, VerifiedServiceToken};

/// Checks service tokens of a remote issuer by the keys it shows: for services that others call, without a key, a secret or a
/// database.
///
/// A token says for which tenant the service acts (`org_id`) and what it may do here (`ops`): both are the receiver's to keep to.
/// What the issuer ends meanwhile is good here until it expires, a few minutes.
///
/// ```
/// # async fn example(source: impl stylobate_auth::JwksSource, token: &str) -> Result<(), Box<dyn std::error::Error>> {
/// use stylobate_auth::{RemoteJwks, RemoteJwksConfig, RemoteServiceVerifier, TokenConfig};
///
/// // With the feature `remote-jwks`: `HttpJwks` of the issuer's `/.well-known/jwks.json`.
/// let jwks = RemoteJwks::new(source, RemoteJwksConfig::default());
/// let config = TokenConfig::new("https://id.example.org", "https://billing.example.org");
/// let verifier = RemoteServiceVerifier::new(jwks, config)?;
///
/// let caller = verifier.verify(token).await?;
/// let may_read = caller.claims.operations.iter().any(|operation| operation == "invoice:read");
/// println!("{} of {} may read: {may_read}", caller.claims.service, caller.claims.tenant);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct RemoteServiceVerifier {
    jwks: RemoteJwks,
    verifier: ServiceTokenVerifier,
    clock: Arc<dyn Clock>,
}

impl RemoteServiceVerifier {
    /// Accepts tokens for the audience of `config`, by the keys of `jwks`. An issuer whose service tokens live longer than 15
    /// minutes needs [`TokenConfig::lifetime`] set.
    ///
    /// # Errors
    /// Everything that is wrong with `config`.
    pub fn new(jwks: RemoteJwks, config: TokenConfig) -> Result<Self, TokenConfigProblems> {
        let verifier = ServiceTokenVerifier::new(jwks.keys().clone(), config)?;
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
    pub fn verify_now(&self, token: &str) -> Option<Result<Arc<VerifiedServiceToken>, TokenError>> {
        let check = || self.verifier.verify(token, self.clock.now());
        self.jwks.judge_now(check, || ServiceTokenVerifier::named_key(token))
    }

    /// Checks `token`. One that names a key we do not know makes us ask for the issuer's keys, when the last time is
    /// long enough ago.
    ///
    /// # Errors
    /// Why it is refused; [`TokenError::KeysUnavailable`] when nothing can be said, because there are no keys.
    pub async fn verify(&self, token: &str) -> Result<Arc<VerifiedServiceToken>, TokenError> {
        let check = || self.verifier.verify(token, self.clock.now());
        self.jwks.judge(check, || ServiceTokenVerifier::named_key(token)).await
    }
}

impl fmt::Debug for RemoteServiceVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteServiceVerifier")
            .field("jwks", &self.jwks)
            .field("config", self.verifier.config())
            .finish_non_exhaustive()
    }
}
