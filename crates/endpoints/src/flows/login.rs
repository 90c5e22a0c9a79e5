use axum::{
    extract::State,
    http::{HeaderMap, header},
    response::Response,
};
use serde::{Deserialize, Serialize};
use stylobate_auth::{AuthError, IdempotencyKey, NewCookieSession, Password, TokenPair};
use stylobate_core::SessionId;
use stylobate_db::{Scope, TransactError, Tx};
use stylobate_tenancy::{ChooseError, choose};
use stylobate_tower_middleware::{ApiError, ApiResult, Context, CurrentPrincipal, Permission, StrictJson};
use utoipa::ToSchema;

use super::{
    Flows, TAG, device_cookie, hold,
    password::{is_outgrown, must_change_password},
};
use crate::{Route, Routes};

/// `POST /auth/login`: a password for an access token and a refresh token, or with `"session": "cookie"` for a session cookie;
/// and a cookie that makes the client a known device: it lets nobody in, and keeps strangers from locking its owner out.
#[must_use]
pub fn login_routes(flows: &Flows) -> Routes {
    let reason = Permission::Public("the password in the body is the credential; tries are limited");
    let route = Route::post("/auth/login", reason).tag(TAG).summary("Signs in");
    Routes::new().add(route.body::<LoginInput>().returns::<Tokens>(200), flows, login)
}

/// `POST /auth/refresh`: a refresh token, in the body or in its cookie, for its successor and a new access token. With an
/// `Idempotency-Key` the same request may be sent again for 30 s.
#[must_use]
pub fn refresh_routes(flows: &Flows) -> Routes {
    let reason = Permission::Public("the refresh token in the body or cookie is the credential");
    let route = Route::post("/auth/refresh", reason).tag(TAG).summary("Renews the access token");
    let route = route.header(
        "Idempotency-Key",
        "Names the request, so that it can be sent again: 22 to 128 random characters.",
    );
    Routes::new().add(route.body::<RefreshInput>().returns::<Tokens>(200), flows, refresh)
}

/// `POST /auth/logout`: ends the session of the access token, of the session cookie, or of the refresh token in the body or
/// cookie, and takes the cookies away.
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
    /// What carries the session: `tokens` (the default), or a `cookie` for browsers.
    #[serde(default)]
    session: Carrier,
}

#[derive(Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Carrier {
    #[default]
    Tokens,
    Cookie,
}

#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RefreshInput {
    /// Left out when its cookie carries it.
    #[serde(default)]
    refresh_token: Option<String>,
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
pub(super) struct Tokens {
    /// Absent when a cookie carries the session.
    #[serde(skip_serializing_if = "Option::is_none")]
    access_token: Option<String>,
    /// Empty when a cookie carries it, absent when a cookie carries the session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) refresh_token: Option<String>,
    /// `bearer`, or `cookie`.
    token_type: &'static str,
    /// How long the access token, or the session in the cookie, is good for, in seconds.
    expires_in: u64,
    #[schema(value_type = uuid::Uuid)]
    session_id: SessionId,
}

impl From<TokenPair> for Tokens {
    fn from(pair: TokenPair) -> Self {
        Self {
            access_token: Some(pair.access_token),
            refresh_token: Some(pair.refresh_token),
            token_type: "bearer",
            expires_in: pair.expires_in.as_secs(),
            session_id: pair.session_id,
        }
    }
}

impl From<&NewCookieSession> for Tokens {
    fn from(session: &NewCookieSession) -> Self {
        Self {
            access_token: None,
            refresh_token: None,
            token_type: "cookie",
            expires_in: session.expires_in.as_secs(),
            session_id: session.session_id,
        }
    }
}

/// What a sign-in begins.
enum Begun {
    Tokens(TokenPair),
    Cookie(NewCookieSession),
}

async fn login(
    State(flows): State<Flows>,
    context: Context,
    headers: HeaderMap,
    StrictJson(input): StrictJson<LoginInput>,
) -> ApiResult<Response> {
    if input.provider.as_deref().is_some_and(|provider| provider != "local") {
        return Err(ApiError::field("provider", "invalid", "is not `local`"));
    }
    let (db, password) = (flows.db.clone(), Password::new(input.password)?);
    let is_outgrown = is_outgrown(&flows.auth, &password);
    let device = device_cookie::presented(flows.cookies.session, &headers);
    let person = flows.auth.verify_login_from(&context, &input.username, password, device).await?;
    let (own, org_code, carrier) = (flows.clone(), input.org_code, input.session);
    let (asking, verified) = (context.clone(), person.clone());
    // The session that the browser had before: its cookie is about to be written over.
    let carried = flows.refresh_cookie(&headers).ok().flatten().map(str::to_owned);
    let begin = async move |tx: &mut Tx| {
        // Everybody locks organisations before people: the one that will be chosen is held first, so that it ends before this or
        // with the session.
        let memberships = own.tenancy.memberships_of(tx, person.id()).await?;
        let held = choose(&memberships, org_code.as_deref());
        if let Ok(tenant) = held {
            hold(&own.tenancy, tx, tenant).await?;
        }
        // Admitted before the memberships count: whoever is taken out of the organisation meanwhile waits, and then
        // finds the session among those to end.
        let admitted = own.auth.admit(tx, &person).await?;
        if is_outgrown {
            return Err(AuthError::MustChangePassword.into());
        }
        let memberships = own.tenancy.memberships_of(tx, person.id()).await?;
        let tenant = choose(&memberships, org_code.as_deref())?;
        if held != Ok(tenant) {
            // Something changed in between, so that it is another one by now.
            return Err(stylobate_db::Error::Serialization.into());
        }
        let tenant = Some(tenant);
        let device = own.auth.remember_device(&admitted)?;
        if let Some(carried) = &carried {
            own.auth.end_carried(tx, carried).await?;
        }
        let begun = match carrier {
            Carrier::Tokens => Begun::Tokens(own.auth.begin_session(tx, &context, admitted, tenant).await?),
            Carrier::Cookie => {
                Begun::Cookie(own.auth.begin_cookie_session(tx, &context, admitted, tenant).await?)
            }
        };
        Ok::<_, SignInError>((device, begun))
    };
    let (device, begun) = match db.transact(Scope::Platform("sign-in"), begin).await {
        Ok(begun) => begun,
        Err(refused) => {
            if let Some(reason) = refused.reason() {
                flows.auth.record_refused_login(&asking, &verified, reason).await;
            }
            return Err(refused.into());
        }
    };
    let mut response = match begun {
        Begun::Tokens(pair) => flows.tokens(pair),
        Begun::Cookie(session) => flows.cookie_session(&session)?,
    };
    let cookie = device_cookie::set(flows.cookies.session, &device);
    response.headers_mut().append(header::SET_COOKIE, cookie);
    Ok(response)
}

async fn refresh(
    State(flows): State<Flows>,
    context: Context,
    headers: HeaderMap,
    input: Option<StrictJson<RefreshInput>>,
) -> ApiResult<Response> {
    let input = input.map(|StrictJson(input)| input).unwrap_or_default();
    let carried = flows.refresh_cookie(&headers)?;
    let token = given(input.refresh_token.as_deref()).or(carried);
    let token = token.ok_or_else(|| ApiError::field("refresh_token", "required", "is required"))?;
    let pair = match idempotency_key(&headers)? {
        Some(key) => flows.auth.refresh_idempotent(&context, token, input.session_id, key).await?,
        None => flows.auth.refresh(&context, token, input.session_id).await?,
    };
    Ok(flows.tokens(pair))
}

/// The name that the client gave its request.
fn idempotency_key(headers: &HeaderMap) -> ApiResult<Option<IdempotencyKey>> {
    const HEADER: &str = "Idempotency-Key";
    let mut lines = headers.get_all(HEADER).iter();
    let Some(line) = lines.next() else { return Ok(None) };
    if lines.next().is_some() {
        return Err(ApiError::field(HEADER, "duplicate", "is given twice"));
    }
    let text = line.to_str().unwrap_or("\u{7f}");
    let key = IdempotencyKey::parse(text);
    key.map(Some).map_err(|error| ApiError::field(HEADER, error.code(), error.to_string()))
}

async fn logout(
    State(flows): State<Flows>,
    context: Context,
    principal: Result<CurrentPrincipal, ApiError>,
    headers: HeaderMap,
    input: Option<StrictJson<LogoutInput>>,
) -> ApiResult<Response> {
    let input = input.map(|StrictJson(input)| input).unwrap_or_default();
    let tokens = [given(input.refresh_token.as_deref()), flows.refresh_cookie(&headers)?];
    if tokens == [None, None] {
        // A credential that cannot be judged now is no reason to believe that the session is over.
        principal?;
    }
    // Each credential ends its own session: one that says nothing must not keep the others alive.
    for token in tokens.into_iter().flatten() {
        flows.auth.logout_refresh_token(&context, token).await?;
    }
    flows.auth.logout(&context).await?;
    Ok(flows.signed_out(&headers))
}

/// A refresh token in a body. Empty it is what we put there ourselves where its cookie carries it.
fn given(token: Option<&str>) -> Option<&str> {
    token.filter(|token| !token.is_empty())
}

/// Why a session could not begin although the password was right.
#[derive(Debug)]
enum SignInError {
    Auth(AuthError),
    Tenancy(stylobate_tenancy::Error),
    Choose(ChooseError),
    Db(stylobate_db::Error),
}

impl SignInError {
    /// Why the person was sent away, where the reason lies with the person.
    fn reason(&self) -> Option<&'static str> {
        match self {
            Self::Auth(error @ AuthError::MustChangePassword) => Some(error.code()),
            Self::Choose(error) => Some(error.code()),
            Self::Auth(_) | Self::Tenancy(_) | Self::Db(_) => None,
        }
    }
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
