use stylobate_auth::CookieSessions;
use stylobate_core::{BoxFuture, Principal};

use super::{Authenticator, CredentialRefused, Presented};
use crate::api_error::log_cause;

/// For services without SQL: session cookies alone, which the store is asked about at every request.
impl Authenticator for CookieSessions {
    fn authenticate<'a>(
        &'a self,
        presented: Presented<'a>,
    ) -> BoxFuture<'a, Result<Principal, CredentialRefused>> {
        Box::pin(async move {
            let Presented::Session(cookie) = presented else { return Err(CredentialRefused::Invalid) };
            match CookieSessions::authenticate(self, cookie).await {
                Ok(Some(principal)) => Ok(principal),
                Ok(None) => Err(CredentialRefused::Invalid),
                Err(error) => {
                    log_cause("auth_unavailable", &error);
                    Err(CredentialRefused::Unavailable)
                }
            }
        })
    }
}
