use std::sync::Arc;

use stylobate_auth::{RemoteVerifier, TokenError, VerifiedToken};
use stylobate_core::{BoxFuture, Principal};

use super::{Authenticator, CredentialRefused, Presented};
use crate::api_error::log_cause;

/// Bearer tokens of a remote issuer. Session cookies belong to the issuer and prove nobody here.
impl Authenticator for RemoteVerifier {
    fn authenticate_now(&self, presented: Presented<'_>) -> Option<Result<Principal, CredentialRefused>> {
        let Presented::Bearer(token) = presented else { return Some(Err(CredentialRefused::Invalid)) };
        self.verify_now(token).map(decided)
    }

    fn authenticate<'a>(
        &'a self,
        presented: Presented<'a>,
    ) -> BoxFuture<'a, Result<Principal, CredentialRefused>> {
        Box::pin(async move {
            let Presented::Bearer(token) = presented else { return Err(CredentialRefused::Invalid) };
            decided(self.verify(token).await)
        })
    }
}

fn decided(verified: Result<Arc<VerifiedToken>, TokenError>) -> Result<Principal, CredentialRefused> {
    match verified {
        Ok(token) => Ok(token.principal.clone()),
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
