use axum::{
    extract::State,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::AppendHeaders,
};
use serde::Deserialize;
use stylobate_auth::Password;
use stylobate_tower_middleware::{ApiResult, Context, Permission, StrictJson};
use utoipa::ToSchema;

use super::{Flows, TAG, device_cookie};
use crate::{Route, Routes};

/// `POST /auth/password-change`: a new password, for whoever knows the present one. Ends every other session, and makes
/// the client a known device anew.
#[must_use]
pub fn password_routes(flows: &Flows) -> Routes {
    let route = Route::post("/auth/password-change", Permission::Authenticated)
        .tag(TAG)
        .summary("Changes the password");
    Routes::new().add(route.body::<PasswordChangeInput>().answers(204, None), flows, change)
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PasswordChangeInput {
    current_password: String,
    new_password: String,
}

async fn change(
    State(flows): State<Flows>,
    context: Context,
    StrictJson(input): StrictJson<PasswordChangeInput>,
) -> ApiResult<(StatusCode, AppendHeaders<[(HeaderName, HeaderValue); 1]>)> {
    let current = Password::new(input.current_password)?;
    let new = Password::new(input.new_password)?;
    let device = flows.auth.change_password(&context, current, new).await?;
    let cookie = (header::SET_COOKIE, device_cookie::set(flows.cookies, &device));
    Ok((StatusCode::NO_CONTENT, AppendHeaders([cookie])))
}
