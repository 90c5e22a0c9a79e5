use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use stylobate_auth::{Password, TokenPair};
use stylobate_core::{PersonId, Problem, SessionId, TenantId};
use stylobate_db::Scope;
use stylobate_tenancy::choose;
use stylobate_tower_middleware::{ApiError, ApiResult, Context, CurrentPrincipal, Permission, StrictJson};
use utoipa::ToSchema;

use super::{Flows, TAG};
use crate::{Route, Routes};

/// `POST /auth/login`: a password for an access token and a refresh token.
#[must_use]
pub fn login_routes(flows: &Flows) -> Routes {
    let reason = Permission::Public("the password in the body is the credential; tries are limited");
    let route = Route::post("/auth/login", reason).tag(TAG).summary("Signs in");
    Routes::new().add(route.body::<LoginInput>().returns::<Tokens>(200), flows, login)
}

/// `POST /auth/refresh`: a refresh token for its successor and a new access token.
#[must_use]
pub fn refresh_routes(flows: &Flows) -> Routes {
    let reason = Permission::Public("the refresh token in the body is the credential");
    let route = Route::post("/auth/refresh", reason).tag(TAG).summary("Renews the access token");
    Routes::new().add(route.body::<RefreshInput>().returns::<Tokens>(200), flows, refresh)
}

/// `POST /auth/logout`: ends the session of the access token, or of the refresh token in the body.
#[must_use]
pub fn logout_routes(flows: &Flows) -> Routes {
    let reason = Permission::Public(
        "either token is the credential, and ending a session that is over changes nothing",
    );
    let route = Route::post("/auth/logout", reason).tag(TAG).summary("Signs out");
    Routes::new().add(route.body::<LogoutInput>().answers(204, None), flows, logout)
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct LoginInput {
    /// The user name or the e-mail address.
    username: String,
    password: String,
    /// Only `local` for now.
    #[serde(default)]
    provider: Option<String>,
    /// The code of the organisation, for people who belong to several.
    #[serde(default)]
    org_code: Option<String>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RefreshInput {
    refresh_token: String,
    /// When given, the token must belong to this session.
    #[serde(default)]
    #[schema(value_type = Option<uuid::Uuid>)]
    session_id: Option<SessionId>,
}

#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct LogoutInput {
    #[serde(default)]
    refresh_token: Option<String>,
}

/// What a sign-in or a refresh answers (RFC 6749 §5.1).
#[derive(Serialize, ToSchema)]
struct Tokens {
    access_token: String,
    refresh_token: String,
    token_type: &'static str,
    /// How long the access token is good for, in seconds.
    expires_in: u64,
    #[schema(value_type = uuid::Uuid)]
    session_id: SessionId,
}

impl From<TokenPair> for Tokens {
    fn from(pair: TokenPair) -> Self {
        Self {
            access_token: pair.access_token,
            refresh_token: pair.refresh_token,
            token_type: "bearer",
            expires_in: pair.expires_in.as_secs(),
            session_id: pair.session_id,
        }
    }
}

async fn login(
    State(flows): State<Flows>,
    context: Context,
    StrictJson(input): StrictJson<LoginInput>,
) -> ApiResult<Json<Tokens>> {
    if input.provider.as_deref().is_some_and(|provider| provider != "local") {
        return Err(ApiError::field("provider", "invalid", "is not `local`"));
    }
    let password = Password::new(input.password)?;
    let person = flows.auth.verify_login(&context, &input.username, password).await?;
    if person.must_change_password() {
        let detail = "The password has to be changed before anything else.";
        return Err(Problem::new(428, "must_change_password").detail(detail).into());
    }
    let tenant = flows.tenant_of(person.id(), input.org_code.as_deref()).await?;
    Ok(Json(flows.auth.start_session(&context, &person, Some(tenant)).await?.into()))
}

async fn refresh(
    State(flows): State<Flows>,
    context: Context,
    StrictJson(input): StrictJson<RefreshInput>,
) -> ApiResult<Json<Tokens>> {
    Ok(Json(flows.auth.refresh(&context, &input.refresh_token, input.session_id).await?.into()))
}

async fn logout(
    State(flows): State<Flows>,
    context: Context,
    principal: Result<CurrentPrincipal, ApiError>,
    input: Option<StrictJson<LogoutInput>>,
) -> ApiResult<StatusCode> {
    let token = input.and_then(|StrictJson(input)| input.refresh_token);
    match token {
        Some(token) => flows.auth.logout_refresh_token(&context, &token).await?,
        None => {
            // A credential that cannot be judged now is no reason to believe that the session is over.
            principal?;
            flows.auth.logout(&context).await?;
        }
    }
    Ok(StatusCode::NO_CONTENT)
}

impl Flows {
    /// The organisation a person signs in to.
    async fn tenant_of(&self, person: PersonId, org_code: Option<&str>) -> ApiResult<TenantId> {
        let mut tx = self.db.begin_read(Scope::Platform("sign-in")).await?;
        let memberships = self.tenancy.memberships_of(&mut tx, person).await?;
        tx.rollback().await?;
        Ok(choose(&memberships, org_code)?)
    }
}
