use stylobate_auth::{Auth, AuthenticateError, VerifiedToken};
use stylobate_core::{BoxFuture, Principal};

use super::{Authenticator, CredentialRefused, Presented};
use crate::api_error::log_cause;

impl Authenticator for Auth {
    fn authenticate_now(&self, presented: Presented<'_>) -> Option<Result<Principal, CredentialRefused>> {
        let decided = match presented {
            Presented::Bearer(token) => Auth::authenticate(self, token).map(|token| principal(&token)),
            Presented::ApiKey { text, address } => self.api_keys().authenticate(text, address),
            Presented::Session(cookie) => self.authenticate_cookie(cookie),
            _ => return Some(Err(CredentialRefused::Invalid)),
        };
        match decided {
            Ok(principal) => Some(Ok(principal)),
            Err(AuthenticateError::Stale) => None,
            Err(error) => Some(Err(refused(&error))),
        }
    }

    fn authenticate<'a>(
        &'a self,
        presented: Presented<'a>,
    ) -> BoxFuture<'a, Result<Principal, CredentialRefused>> {
        Box::pin(async move {
            let decided = match presented {
                Presented::Bearer(token) => {
                    self.authenticate_slow(token).await.map(|token| principal(&token))
                }
                Presented::ApiKey { text, address } => self.api_keys().authenticate_slow(text, address).await,
                Presented::Session(cookie) => self.authenticate_cookie_slow(cookie).await,
                _ => return Err(CredentialRefused::Invalid),
            };
            decided.map_err(|error| refused(&error))
        })
    }

    fn still_holds<'a>(&'a self, presented: Presented<'a>) -> BoxFuture<'a, Result<(), CredentialRefused>> {
        Box::pin(async move {
            let holds = match presented {
                Presented::Session(cookie) => self.cookie_holds(cookie).await,
                Presented::ApiKey { text, address } => self.api_keys().still_holds(text, address).await,
                presented => {
                    if let Some(decided) = self.authenticate_now(presented) {
                        return decided.map(|_| ());
                    }
                    return Authenticator::authenticate(self, presented).await.map(|_| ());
                }
            };
            holds.map_err(|error| refused(&error))
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
        AuthenticateError::KeyThrottled { retry_after } => {
            CredentialRefused::Throttled { retry_after: *retry_after }
        }
        // Which check failed helps who operates the service; the caller learns nothing of it.
        refused => {
            tracing::debug!(code = refused.code(), "a credential was refused");
            CredentialRefused::Invalid
        }
    }
}
