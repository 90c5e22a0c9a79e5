use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use stylobate_auth::{Auth, LiveToken};
use stylobate_core::{KeyOwner, Problem, Subject};
use stylobate_tower_middleware::{ApiResult, Context, FurtherPermission, Permission, StrictForm};
use utoipa::ToSchema;
use uuid::Uuid;

use super::TAG;
use crate::{Route, Routes};

/// What introspecting asks of its caller.
const INTROSPECT: &str = "token.introspect";
/// What revoking another's token asks of its caller.
const REVOKE: &str = "token.revoke";

/// `POST /oauth/introspect` (RFC 7662): whether a token is good, and what it says. Only tokens of the caller's own organisation
/// that are for the stated audience are; of any other it says no more than that it is not active. Callers that act for no
/// organisation see all.
#[must_use]
pub fn introspection_routes(auth: &Auth) -> Routes {
    let route = Route::post("/oauth/introspect", Permission::Key(INTROSPECT))
        .tag(TAG)
        .summary("Tells whether a token is good, and what it says (RFC 7662)");
    Routes::new().add(route.form::<IntrospectInput>().returns::<Introspection>(200), auth, introspect)
}

/// `POST /oauth/revoke` (RFC 7009): stops an access or refresh token with its session, or an API key. Its own holder may, and who
/// has the permission `token.revoke` in its organisation.
#[must_use]
pub fn revocation_routes(auth: &Auth) -> Routes {
    let route = Route::post("/oauth/revoke", Permission::AnyCredential)
        .tag(TAG)
        .summary("Stops a token: its session, or the API key (RFC 7009)");
    Routes::new().add(route.form::<RevokeInput>().answers(200, None), auth, revoke)
}

#[derive(Deserialize, ToSchema)]
struct IntrospectInput {
    /// An access token, a service token or an API key.
    token: String,
    /// Not needed: tokens tell their kind.
    #[serde(default)]
    #[expect(dead_code, reason = "RFC 7662 §2.1 lets callers send it")]
    token_type_hint: Option<String>,
    /// Whom the token has to be for, as the caller wants it: its own name as an audience. Without it, this installation.
    #[serde(default)]
    audience: Option<String>,
}

#[derive(Deserialize, ToSchema)]
struct RevokeInput {
    /// An access token, a refresh token or an API key.
    token: String,
    /// Not needed: tokens tell their kind.
    #[serde(default)]
    #[expect(dead_code, reason = "RFC 7009 §2.1 lets callers send it")]
    token_type_hint: Option<String>,
}

/// What is said of a token (RFC 7662 §2.2). Of one that is not active, nothing else.
#[derive(Default, Serialize, ToSchema)]
struct Introspection {
    active: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_type: Option<&'static str>,
    /// `access_token`, `service_token` or `api_key`.
    #[serde(skip_serializing_if = "Option::is_none")]
    token_kind: Option<&'static str>,
    /// What limits it, separated by blanks. Absent when nothing does.
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<String>,
    /// Whose rights it has: a person or a service account.
    #[serde(skip_serializing_if = "Option::is_none")]
    sub: Option<Uuid>,
    /// `person` or `service`.
    #[serde(skip_serializing_if = "Option::is_none")]
    sub_kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    org_id: Option<Uuid>,
    /// Who really acts, during an impersonation (RFC 8693 §4.1).
    #[serde(skip_serializing_if = "Option::is_none")]
    act: Option<ActingPerson>,
    /// Its session, when it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    sid: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aud: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jti: Option<String>,
    /// When it was issued, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    iat: Option<i64>,
    /// From when on it is refused, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<i64>,
}

#[derive(Serialize, ToSchema)]
struct ActingPerson {
    sub: Uuid,
}

impl From<LiveToken> for Introspection {
    fn from(token: LiveToken) -> Self {
        let (sub, sub_kind) = match token.principal.subject {
            Subject::Person { id } | Subject::ApiKey { owner: KeyOwner::Person { id }, .. } => {
                (Some(id.as_uuid()), Some("person"))
            }
            Subject::Service { id } | Subject::ApiKey { owner: KeyOwner::Service { id }, .. } => {
                (Some(id.as_uuid()), Some("service"))
            }
            Subject::Anonymous | Subject::System => (None, None),
        };
        Self {
            active: true,
            token_type: Some("Bearer"),
            token_kind: Some(token.kind.as_str()),
            scope: token.principal.scopes.map(|scopes| scopes.join(" ")),
            client_id: token.client_id,
            sub,
            sub_kind,
            org_id: token.principal.tenant.map(|tenant| tenant.as_uuid()),
            act: token.principal.impersonator.map(|id| ActingPerson { sub: id.as_uuid() }),
            sid: token.principal.session.map(|session| session.as_uuid()),
            aud: Some(token.audience),
            iss: Some(token.issuer),
            jti: Some(token.id),
            iat: Some(token.issued_at.timestamp()),
            exp: Some(token.expires_at.timestamp()),
        }
    }
}

async fn introspect(
    State(auth): State<Auth>,
    context: Context,
    StrictForm(input): StrictForm<IntrospectInput>,
) -> ApiResult<Json<Introspection>> {
    let audience = input.audience.as_deref().unwrap_or(&auth.config().audience);
    let caller = context.principal.tenant;
    let found = auth.introspect(audience, &input.token).await?;
    let found = found.filter(|token| caller.is_none() || token.principal.tenant == caller);
    Ok(Json(found.map(Introspection::from).unwrap_or_default()))
}

async fn revoke(
    State(auth): State<Auth>,
    context: Context,
    further: FurtherPermission,
    StrictForm(input): StrictForm<RevokeInput>,
) -> ApiResult<StatusCode> {
    // Whatever cannot be revoked any more is (RFC 7009 §2.2).
    let Some(token) = auth.find_revocable(&input.token).await? else { return Ok(StatusCode::OK) };
    let principal = &context.principal;
    if !token.is_own(principal) {
        if principal.tenant.is_some() && token.tenant() != principal.tenant {
            let detail = "The token is of another organisation, and not the caller's own.";
            return Err(Problem::new(403, "permission_denied").detail(detail).into());
        }
        further.require(REVOKE).await?;
    }
    auth.revoke_token(&context, token).await?;
    Ok(StatusCode::OK)
}
