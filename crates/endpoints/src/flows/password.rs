use axum::{
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use serde::Deserialize;
use stylobate_auth::{Auth, Password, PasswordError, RenewedSession};
use stylobate_core::Problem;
use stylobate_db::{Scope, Tx};
use stylobate_tower_middleware::{ApiError, ApiResult, Context, Permission, StrictJson, problem_for};
use utoipa::ToSchema;

use super::{Flows, TAG, device_cookie, login::Tokens};
use crate::{Route, Routes};

/// Where a password is changed that has to be changed before a session can begin.
const FORCED_CHANGE: &str = "/auth/password-change/forced";

/// `POST /auth/password-change`: a new password, for whoever knows the present one. Ends every other session, lets the one
/// that asks go on under a new id with new tokens or a new cookie, and makes the client a known device anew.
///
/// `POST /auth/password-change/forced`: the same for those whom sign-in answers 428 `must_change_password`, who have no
/// session yet. It begins none either: every way in asks for everything that sign-in asks for.
#[must_use]
pub fn password_routes(flows: &Flows) -> Routes {
    let route = Route::post("/auth/password-change", Permission::Authenticated)
        .tag(TAG)
        .summary("Changes the password");
    let reason = Permission::Public("the present password in the body is the credential; tries are limited");
    let forced = Route::post(FORCED_CHANGE, reason)
        .tag(TAG)
        .summary("Changes a password that has to be changed before signing in");
    Routes::new().add(route.body::<PasswordChangeInput>().returns::<Tokens>(200), flows, change).add(
        forced.body::<ForcedChangeInput>().answers(204, None),
        flows,
        change_forced,
    )
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PasswordChangeInput {
    current_password: String,
    new_password: String,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ForcedChangeInput {
    /// The user name or the e-mail address.
    username: String,
    current_password: String,
    new_password: String,
}

async fn change(
    State(flows): State<Flows>,
    context: Context,
    StrictJson(input): StrictJson<PasswordChangeInput>,
) -> ApiResult<Response> {
    let current = password("current_password", input.current_password)?;
    let new = password("new_password", input.new_password)?;
    let changed = flows.auth.change_password(&context, current, new).await?;
    let mut response = match changed.session {
        Some(RenewedSession::Tokens(pair)) => flows.tokens(pair),
        Some(RenewedSession::Cookie(session)) => flows.cookie_session(&session)?,
        // The session ran out while the password was changed: there is nothing to go on with.
        None => StatusCode::NO_CONTENT.into_response(),
    };
    let cookie = device_cookie::set(flows.cookies.session, &changed.device);
    response.headers_mut().append(header::SET_COOKIE, cookie);
    Ok(response)
}

async fn change_forced(
    State(flows): State<Flows>,
    context: Context,
    headers: HeaderMap,
    StrictJson(input): StrictJson<ForcedChangeInput>,
) -> ApiResult<StatusCode> {
    let current = password("current_password", input.current_password)?;
    let new = password("new_password", input.new_password)?;
    let is_outgrown = is_outgrown(&flows.auth, &current);
    let device = device_cookie::presented(flows.cookies.session, &headers);
    let person = flows.auth.verify_login_from(&context, &input.username, current, device).await?;
    if !person.must_change_password() && !is_outgrown {
        // Asked as at sign-in: a lock that began meanwhile keeps the result of this try to itself.
        let (db, flows) = (flows.db.clone(), flows.clone());
        let admit = async move |tx: &mut Tx| flows.auth.admit(tx, &person).await.map(drop);
        db.transact(Scope::Platform("sign-in"), admit).await?;
        // Whoever can sign in changes the password there, where everything that a session needs was asked for.
        return Err(problem_for("password_change_not_required").into());
    }
    flows.auth.replace_password(&context, &person, new).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) fn password(field: &'static str, typed: String) -> ApiResult<Password> {
    Password::new(typed).map_err(|error| match error {
        PasswordError::TooLong => ApiError::field(field, "too_long", "is longer than 1024 bytes"),
        error => error.into(),
    })
}

/// Whether a password is shorter than the policy asks by now: one that was set elsewhere, or before the minimum was raised.
/// Length alone: a longer list of common passwords stops nobody at the door, and what anybody may send costs nothing to ask.
pub(super) fn is_outgrown(auth: &Auth, password: &Password) -> bool {
    let min_chars = usize::try_from(auth.config().password_min_length).unwrap_or(usize::MAX);
    password.expose_secret().chars().count() < min_chars
}

/// 428, with the way on.
pub(super) fn must_change_password() -> ApiError {
    let problem: Problem = problem_for("must_change_password");
    let detail = format!("The password has to be changed first: POST {FORCED_CHANGE}.");
    problem.detail(detail).into()
}
