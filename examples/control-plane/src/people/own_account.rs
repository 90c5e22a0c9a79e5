//! The end of one's own account, by its owner.

use axum::{extract::State, http::StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use stylobate::{
    USER_DELETED, auth,
    auth::{AuthError, Password},
    core::{AuditEvent, PersonId, Problem, RequestContext},
    db::{Scope, Tx},
    endpoints::{Permission, Route, Routes},
    middleware::{ApiResult, Context, StrictJson},
};
use utoipa::ToSchema;

use super::{service::People, store, told::tell_person};
use crate::refused::{Refused, field};

pub(super) fn routes(people: &People) -> Routes {
    let route = Route::delete("/auth/me", Permission::Authenticated)
        .tag("auth")
        .summary("Deletes the caller's own account, in all organisations and for good")
        .body::<ProofInput>()
        .answers(204, None);
    Routes::new().add(route, people, delete)
}

/// What shows that it is the owner who asks.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ProofInput {
    /// The present password.
    #[schema(value_type = String)]
    current_password: SecretString,
}

async fn delete(
    State(people): State<People>,
    context: Context,
    StrictJson(input): StrictJson<ProofInput>,
) -> ApiResult<StatusCode> {
    people.delete_own(&context, input.current_password.expose_secret().to_owned()).await?;
    Ok(StatusCode::NO_CONTENT)
}

impl People {
    /// Removes the caller, who says the present password again, with everything that is kept about them.
    async fn delete_own(&self, context: &RequestContext, password: String) -> Result<(), Refused> {
        let password =
            Password::new(password).map_err(|_| field("current_password", "is longer than 1024 bytes"))?;
        let proven = self.auth.prove_password(context, password).await?;
        let (this, context) = (self.clone(), context.clone());
        self.db
            .transact(Scope::Platform("delete one's own account"), async move |tx: &mut Tx| {
                this.delete_own_in(tx, &context, &proven).await
            })
            .await
    }

    async fn delete_own_in(
        &self,
        tx: &mut Tx,
        context: &RequestContext,
        proven: &auth::Person,
    ) -> Result<(), Refused> {
        let id: PersonId = proven.id;
        let present = auth::People::find(tx, id).await?;
        // Whoever was disabled, or got another password, since the old one was said is asked again.
        let is_same = |present: &auth::Person| {
            present.is_active() && present.credential_epoch == proven.credential_epoch
        };
        present.filter(is_same).ok_or(AuthError::InvalidCredentials)?;
        let before =
            store::find_self(tx, id, context.principal.tenant).await?.ok_or_else(Problem::not_found)?;
        let memberships = self.tenancy.memberships_of(tx, id).await?;
        let tenants: Vec<_> = memberships.iter().map(|membership| membership.tenant_id).collect();
        self.remove(tx, context, &tenants, &before).await?;
        let deleted =
            |context, action, tenant| AuditEvent::new(context, action, "person").on(id).in_tenant(tenant);
        let own = context.principal.tenant;
        tx.audit_instead(deleted(context, "person.delete", own).change(Some(&before), None::<()>));
        for tenant in tenants {
            if Some(tenant) != own {
                tx.audit(deleted(context, "member.remove", Some(tenant)));
            }
            tell_person(tx, context, USER_DELETED, tenant, &before);
        }
        Ok(())
    }
}
