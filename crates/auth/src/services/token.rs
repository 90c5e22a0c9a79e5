use std::{fmt, time::Duration};

use chrono::{DateTime, Utc};
use stylobate_core::{
    AuditEvent, Credential, KeyOwner, Outcome, Principal, RequestContext, ServiceId, Subject, TenantId,
};
use stylobate_db::{Scope, Tx};

use super::{ServiceAccountError, ServiceAccounts, grant, store};
use crate::{ServiceClaims, token};

/// These tables are read before any tenant is known.
const SCOPE: Scope = Scope::Platform("service tokens");

/// What a service asks a token for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewServiceToken {
    /// Whom it wants to call.
    pub audience: String,
    /// What for; `None` is all that it may there. Less is better: whoever gets hold of the token can do no more.
    pub operations: Option<Vec<String>>,
}

/// A token that was just issued. `Debug` does not show it.
#[derive(Clone)]
pub struct IssuedServiceToken {
    /// The token, for the `Authorization` header.
    pub access_token: String,
    /// How long it lives from now on, in whole seconds.
    pub expires_in: Duration,
    /// What it says.
    pub claims: ServiceClaims,
}

impl fmt::Debug for IssuedServiceToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssuedServiceToken")
            .field("expires_in", &self.expires_in)
            .field("claims", &self.claims)
            .finish_non_exhaustive()
    }
}

impl ServiceAccounts {
    /// Issues a token to the service that calls: for one audience, with operations that the registry has for it there and that
    /// the scopes of the key, if it has any, cover. It is on record, and so is a refusal.
    ///
    /// # Errors
    /// [`ServiceAccountError::ServiceRequired`] for everybody else, and for a service that presents such a token: one token does
    /// not beget the next. [`ServiceAccountError::AudienceRefused`]; [`ServiceAccountError::NotFound`] when the account was
    /// disabled or removed meanwhile; [`ServiceAccountError::Invalid`], [`ServiceAccountError::Token`],
    /// [`ServiceAccountError::Db`].
    pub async fn issue_token(
        &self,
        ctx: &RequestContext,
        wanted: NewServiceToken,
    ) -> Result<IssuedServiceToken, ServiceAccountError> {
        let (tenant, id) = caller(&ctx.principal).ok_or(ServiceAccountError::ServiceRequired)?;
        grant::check_audience(&wanted.audience)?;
        wanted.operations.as_deref().map_or(Ok(()), grant::check_operations)?;
        let (this, context, asked) = (self.clone(), ctx.clone(), wanted.clone());
        let issued = self.parts().db.transact(SCOPE, async move |tx: &mut Tx| {
            this.issue_in(tx, &context, (tenant, id), &asked).await
        });
        let issued = issued.await;
        if matches!(issued, Err(ServiceAccountError::AudienceRefused)) {
            let event = event(ctx, "service_token.refuse", (tenant, id), &wanted.audience);
            let event = event.with("operations", wanted.operations).outcome(Outcome::Denied);
            if let Err(error) = self.parts().audit.record(event).await {
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, "that a service token was refused could not be recorded");
            }
        }
        issued
    }

    async fn issue_in(
        &self,
        tx: &mut Tx,
        ctx: &RequestContext,
        (tenant, id): (TenantId, ServiceId),
        wanted: &NewServiceToken,
    ) -> Result<IssuedServiceToken, ServiceAccountError> {
        let account = store::find(tx, tenant, id).await?.filter(super::ServiceAccount::is_active);
        let account = account.ok_or(ServiceAccountError::NotFound)?;
        let granted = store::operations_at(tx, id, &wanted.audience).await?;
        let held = match &ctx.principal.scopes {
            None => granted,
            Some(scopes) => token::common(&granted, scopes),
        };
        let operations = narrowed(held, wanted.operations.as_deref())?;
        // A key may have more scopes for one operation than a token has room for.
        grant::check_operations(&operations)?;
        let signer = &self.parts().signer;
        let now: DateTime<Utc> = self.parts().clock.now();
        let claims = ServiceClaims {
            audience: wanted.audience.clone(),
            operations,
            ..signer.claims(id, tenant, account.version, now)
        };
        let access_token = signer.issue(&claims)?;
        // No change but a right that goes out: without its record there is no token.
        let event = event(ctx, "service_token.issue", (tenant, id), &claims.audience);
        tx.audit(event.with("operations", claims.operations.clone()).with("jti", claims.id.to_string()));
        Ok(IssuedServiceToken { access_token, expires_in: signer.config().lifetime, claims })
    }
}

/// The service that calls with something that lasts: a key of its own, or one that signs.
fn caller(principal: &Principal) -> Option<(TenantId, ServiceId)> {
    let service = match (principal.subject, principal.credential) {
        (Subject::ApiKey { owner: KeyOwner::Service { id }, .. }, Credential::ApiKey)
        | (Subject::Service { id }, Credential::Signature) => id,
        _ => return None,
    };
    Some((principal.tenant?, service))
}

/// What is wanted of what is held: all of it, or those that it covers, each once.
fn narrowed(held: Vec<String>, wanted: Option<&[String]>) -> Result<Vec<String>, ServiceAccountError> {
    if held.is_empty() {
        return Err(ServiceAccountError::AudienceRefused);
    }
    let Some(wanted) = wanted else { return Ok(held) };
    let mut kept: Vec<String> = Vec::with_capacity(wanted.len());
    for operation in wanted {
        if !held.iter().any(|held| token::covers(held, operation)) {
            return Err(ServiceAccountError::AudienceRefused);
        }
        if !kept.contains(operation) {
            kept.push(operation.clone());
        }
    }
    Ok(kept)
}

fn event(
    ctx: &RequestContext,
    action: &'static str,
    (tenant, id): (TenantId, ServiceId),
    audience: &str,
) -> AuditEvent {
    AuditEvent::new(ctx, action, "service_account").on(id).in_tenant(Some(tenant)).with("audience", audience)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn nobody_gets_more_than_is_held() {
        let held = || of(&["invoice.read", "order.*"]);
        assert_eq!(narrowed(held(), None).unwrap(), held());
        let wanted = of(&["order.read", "order.*", "order.read"]);
        assert_eq!(narrowed(held(), Some(&wanted)).unwrap(), of(&["order.read", "order.*"]));
        for wanted in ["invoice.write", "*", "invoice.*", "order", "invoice.read.all"] {
            assert!(narrowed(held(), Some(&of(&["order.read", wanted]))).is_err(), "{wanted}");
        }
        assert!(narrowed(Vec::new(), None).is_err());
    }
}
