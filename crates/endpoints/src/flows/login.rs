use axum::{
    Json,
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::AppendHeaders,
};
use serde::{Deserialize, Serialize};
use stylobate_auth::{AuthError, Password, TokenPair};
use stylobate_core::SessionId;
use stylobate_db::{Scope, TransactError, Tx};
use stylobate_tenancy::{ChooseError, choose};
use stylobate_tower_middleware::{ApiError, ApiResult, Context, CurrentPrincipal, Permission, StrictJson};
use utoipa::ToSchema;

use super::{
    Flows, TAG, device_cookie,
    password::{is_outgrown, must_change_password},
};
use crate::{Route, Routes};

/// `POST /auth/login`: a password for an access token and a refresh token, and a cookie that makes the client a known
/// device: it lets nobody in, and keeps strangers from locking its owner out.
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
    let route = Route::post("/auth/logout", reason).tag(TAG).summary("Signs out").reads_credential();
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
    headers: HeaderMap,
    StrictJson(input): StrictJson<LoginInput>,
) -> ApiResult<(AppendHeaders<[(HeaderName, HeaderValue); 1]>, Json<Tokens>)> {
    if input.provider.as_deref().is_some_and(|provider| provider != "local") {
        return Err(ApiError::field("provider", "invalid", "is not `local`"));
    }
    let (db, password) = (flows.db.clone(), Password::new(input.password)?);
    let is_outgrown = is_outgrown(&flows.auth, &password);
    let device = device_cookie::presented(flows.cookies, &headers);
    let person = flows.auth.verify_login_from(&context, &input.username, password, device).await?;
    let (cookies, org_code) = (flows.cookies, input.org_code);
    let begin = async move |tx: &mut Tx| {
        // Admitted before the memberships are read: whoever is taken out of the organisation meanwhile waits, and then
        // finds the session among those to end.
        let admitted = flows.auth.admit(tx, &person).await?;
        if is_outgrown {
            return Err(AuthError::MustChangePassword.into());
        }
        let memberships = flows.tenancy.memberships_of(tx, person.id()).await?;
        let tenant = choose(&memberships, org_code.as_deref())?;
        let device = flows.auth.remember_device(&admitted)?;
        let tokens = flows.auth.begin_session(tx, &context, admitted, Some(tenant)).await?;
        Ok::<_, SignInError>((device, tokens))
    };
    let (device, tokens) = db.transact(Scope::Platform("sign-in"), begin).await?;
    let cookie = (header::SET_COOKIE, device_cookie::set(cookies, &device));
    Ok((AppendHeaders([cookie]), Json(tokens.into())))
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

/// Why a session could not begin although the password was right.
#[derive(Debug)]
enum SignInError {
    Auth(AuthError),
    Tenancy(stylobate_tenancy::Error),
    Choose(ChooseError),
    Db(stylobate_db::Error),
}

impl From<AuthError> for SignInError {
    fn from(error: AuthError) -> Self {
        Self::Auth(error)
    }
}

impl From<stylobate_tenancy::Error> for SignInError {
    fn from(error: stylobate_tenancy::Error) -> Self {
        Self::Tenancy(error)
    }
}

impl From<ChooseError> for SignInError {
    fn from(error: ChooseError) -> Self {
        Self::Choose(error)
    }
}

impl From<stylobate_db::Error> for SignInError {
    fn from(error: stylobate_db::Error) -> Self {
        Self::Db(error)
    }
}

impl TransactError for SignInError {
    fn as_db(&self) -> Option<&stylobate_db::Error> {
        match self {
            Self::Auth(error) => error.as_db(),
            Self::Tenancy(error) => error.as_db(),
            Self::Choose(_) => None,
            Self::Db(error) => Some(error),
        }
    }
}

impl From<SignInError> for ApiError {
    fn from(error: SignInError) -> Self {
        match error {
            SignInError::Auth(AuthError::MustChangePassword) => must_change_password(),
            SignInError::Auth(error) => error.into(),
            SignInError::Tenancy(error) => error.into(),
            SignInError::Choose(error) => error.into(),
            SignInError::Db(error) => error.into(),
        }
    }
}
