use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use stylobate_auth::{IssuedServiceToken, NewServiceToken};
use stylobate_tower_middleware::{ApiResult, Context, Permission, StrictJson};
use utoipa::ToSchema;

use super::{Flows, TAG};
use crate::{Route, Routes};

/// `POST /service-tokens`: a service's own API key, or its signature, for a token of a few minutes that is for one audience.
///
/// Who asks is known by what they present, so the path names nobody.
#[must_use]
pub fn service_token_routes(flows: &Flows) -> Routes {
    let route = Route::post("/service-tokens", Permission::AnyCredential)
        .tag(TAG)
        .summary("Gives the service that calls a short-lived token for one audience");
    Routes::new().add(route.body::<ServiceTokenInput>().returns::<ServiceToken>(200), flows, issue)
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ServiceTokenInput {
    /// Whom the service wants to call, as the registry spells it.
    audience: String,
    /// What for; all that the service may there unless given.
    #[serde(default)]
    operations: Option<Vec<String>>,
}

#[derive(Serialize, ToSchema)]
struct ServiceToken {
    access_token: String,
    /// Always `Bearer`.
    token_type: &'static str,
    /// In seconds.
    expires_in: u64,
    /// Whom it is for.
    audience: String,
    /// What for.
    operations: Vec<String>,
}

impl From<IssuedServiceToken> for ServiceToken {
    fn from(issued: IssuedServiceToken) -> Self {
        Self {
            access_token: issued.access_token,
            token_type: "Bearer",
            expires_in: issued.expires_in.as_secs(),
            audience: issued.claims.audience,
            operations: issued.claims.operations,
        }
    }
}

async fn issue(
    State(flows): State<Flows>,
    context: Context,
    StrictJson(input): StrictJson<ServiceTokenInput>,
) -> ApiResult<Json<ServiceToken>> {
    let wanted = NewServiceToken { audience: input.audience, operations: input.operations };
    Ok(Json(flows.auth.service_accounts().issue_token(&context, wanted).await?.into()))
}
