use axum::{Json, extract::State};
use serde::Serialize;
use stylobate_auth::People;
use stylobate_core::{PersonId, SessionId, TenantId};
use stylobate_tower_middleware::{ApiError, ApiResult, CurrentPrincipal, Permission};
use utoipa::ToSchema;

use super::{Flows, TAG};
use crate::{Route, Routes};

/// `GET /auth/whoami`: the principal alone, from the token, without a database read.
#[must_use]
pub fn whoami_routes() -> Routes {
    let route = Route::get("/auth/whoami", Permission::AnyCredential)
        .tag(TAG)
        .summary("Who the credential speaks for");
    Routes::new().add(route.answers(200, Some("application/json")), &(), whoami)
}

async fn whoami(principal: CurrentPrincipal) -> Json<stylobate_core::Principal> {
    Json(stylobate_core::Principal::clone(&principal))
}

/// `GET /auth/me`: who the caller is, from the database. A product with profiles mounts its own.
#[must_use]
pub fn me_routes(flows: &Flows) -> Routes {
    let route = Route::get("/auth/me", Permission::Authenticated).tag(TAG).summary("Who the caller is");
    Routes::new().add(route.returns::<Me>(200), flows, me)
}

#[derive(Serialize, ToSchema)]
struct Me {
    #[schema(value_type = uuid::Uuid)]
    id: PersonId,
    username: Option<String>,
    email: String,
    email_verified: bool,
    /// Whether the next sign-in asks for a new password first.
    must_change_password: bool,
    #[schema(value_type = Option<uuid::Uuid>)]
    tenant_id: Option<TenantId>,
    #[schema(value_type = Option<uuid::Uuid>)]
    session_id: Option<SessionId>,
}

async fn me(State(flows): State<Flows>, principal: CurrentPrincipal) -> ApiResult<Json<Me>> {
    let id = principal.person_id().ok_or_else(ApiError::not_found)?;
    let mut reader = flows.db.read().await?;
    let person = People::find(&mut reader, id).await?.ok_or_else(ApiError::not_found)?;
    Ok(Json(Me {
        id,
        username: person.username,
        email: person.email,
        email_verified: person.email_verified,
        must_change_password: person.must_change_password,
        tenant_id: principal.tenant,
        session_id: principal.session,
    }))
}
