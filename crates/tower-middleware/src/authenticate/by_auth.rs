use stylobate_auth::{Auth, AuthenticateError, VerifiedToken};
use stylobate_core::{BoxFuture, Principal};

use super::{Authenticator, CredentialRefused, Presented};
use crate::api_error::log_cause;

impl Authenticator for Auth {
    fn authenticate_now(&self, presented: Presented<'_>) -> Option<Result<Principal, CredentialRefused>> {
        let Presented::Bearer(token) = presented else { return Some(Err(CredentialRefused::Invalid)) };
        match Auth::authenticate(self, token) {
            Ok(token) => Some(Ok(principal(&token))),
            Err(AuthenticateError::Stale) => None,
            Err(error) => Some(Err(refused(&error))),
        }
    }

    fn authenticate<'a>(
        &'a self,
        presented: Presented<'a>,
    ) -> BoxFuture<'a, Result<Principal, CredentialRefused>> {
        Box::pin(async move {
            let Presented::Bearer(token) = presented else { return Err(CredentialRefused::Invalid) };
            match self.authenticate_slow(token).await {
                Ok(token) => Ok(principal(&token)),
                Err(error) => Err(refused(&error)),
            }
        })
    }
}

fn principal(token: &VerifiedToken) -> Principal {
    token.principal.clone()
}

fn refused(error: &AuthenticateError) -> CredentialRefused {
    match error {
        AuthenticateError::Unavailable(_) | AuthenticateError::Stale => {
            log_cause("auth_unavailable", error);
            CredentialRefused::Unavailable
        }
        // Which check failed helps who operates the service; the caller learns nothing of it.
        refused => {
            tracing::debug!(code = refused.code(), "an access token was refused");
            CredentialRefused::Invalid
        }
    }
}
