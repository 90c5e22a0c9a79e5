use stylobate_auth::{RemoteServiceVerifier, RemoteVerifier, TokenError};
use stylobate_core::{BoxFuture, Principal};

use super::{Authenticator, CredentialRefused, Presented};
use crate::api_error::log_cause;

/// Bearer tokens of a remote issuer. Session cookies belong to the issuer and prove nobody here.
impl Authenticator for RemoteVerifier {
    fn authenticate_now(&self, presented: Presented<'_>) -> Option<Result<Principal, CredentialRefused>> {
        let Presented::Bearer(token) = presented else { return Some(Err(CredentialRefused::Invalid)) };
        self.verify_now(token).map(|verified| decided(verified.map(|token| token.principal.clone())))
    }

    fn authenticate<'a>(
        &'a self,
        presented: Presented<'a>,
    ) -> BoxFuture<'a, Result<Principal, CredentialRefused>> {
        Box::pin(async move {
            let Presented::Bearer(token) = presented else { return Err(CredentialRefused::Invalid) };
            decided(self.verify(token).await.map(|token| token.principal.clone()))
        })
    }
}

/// Service tokens of a remote issuer that are for this audience: their operations are the scopes of the principal.
impl Authenticator for RemoteServiceVerifier {
    fn authenticate_now(&self, presented: Presented<'_>) -> Option<Result<Principal, CredentialRefused>> {
        let Presented::Bearer(token) = presented else { return Some(Err(CredentialRefused::Invalid)) };
        self.verify_now(token).map(|verified| decided(verified.map(|token| token.principal.clone())))
    }

    fn authenticate<'a>(
        &'a self,
        presented: Presented<'a>,
    ) -> BoxFuture<'a, Result<Principal, CredentialRefused>> {
        Box::pin(async move {
            let Presented::Bearer(token) = presented else { return Err(CredentialRefused::Invalid) };
            decided(self.verify(token).await.map(|token| token.principal.clone()))
        })
    }
}

fn decided(verified: Result<Principal, TokenError>) -> Result<Principal, CredentialRefused> {
    match verified {
        Ok(principal) => Ok(principal),
        Err(error @ TokenError::KeysUnavailable) => {
            log_cause("auth_unavailable", &error);
            Err(CredentialRefused::Unavailable)
        }
        // Which check failed helps who operates the service; the caller learns nothing of it.
        Err(error) => {
            tracing::debug!(code = error.code(), "an access token was refused");
            Err(CredentialRefused::Invalid)
        }
    }
}
