use axum::{Json, extract::State, http::HeaderMap, response::Response};
use serde::{Deserialize, Serialize};
use stylobate_auth::RenewedSession;
use stylobate_core::{PersonId, Problem, RequestContext, TenantId};
use stylobate_db::{Scope, Tx};
use stylobate_tenancy::Membership;
use stylobate_tower_middleware::{ApiError, ApiResult, Context, Permission, StrictJson, problem_for};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{AccountError, Flows, TAG, hold, login::Tokens};
use crate::{Route, Routes};

const SCOPE: Scope = Scope::Platform("go on in another organisation");

/// `GET /auth/switch-org`: the organisations that the caller may act in. `POST /auth/switch-org`: goes on in another of them, with a
/// new session in place of the one that asks; nothing is proved anew, and the session lives no longer than it would have.
///
/// One that is missing, that the caller does not belong to or may not act in, and one that is not active are answered alike.
#[must_use]
pub fn switch_routes(flows: &Flows) -> Routes {
    let list = Route::get("/auth/switch-org", Permission::Authenticated)
        .tag(TAG)
        .summary("Lists the organisations that the caller may act in");
    let switch = Route::post("/auth/switch-org", Permission::Authenticated).tag(TAG).summary(
        "Goes on in another organisation of the caller, with a new session in place of the one that asks",
    );
    Routes::new().add(list.returns::<OwnOrganizations>(200), flows, own_organizations).add(
        switch.body::<SwitchInput>().returns::<Tokens>(200),
        flows,
        switch_org,
    )
}

/// Where the caller may act.
#[derive(Serialize, ToSchema)]
struct OwnOrganizations {
    items: Vec<OwnOrganization>,
}

/// An organisation that the caller may act in.
#[derive(Serialize, ToSchema)]
struct OwnOrganization {
    id: Uuid,
    /// What it is chosen by at sign-in.
    code: String,
    name: String,
    /// Whether it is the one that the session acts for.
    is_current: bool,
}

/// One of both says where to go on.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SwitchInput {
    #[serde(default)]
    organization_id: Option<Uuid>,
    /// The code of the organisation, in whatever case.
    #[serde(default)]
    org_code: Option<String>,
}

/// Where somebody wants to go on.
enum Wanted {
    Id(TenantId),
    Code(String),
}

impl SwitchInput {
    fn read(self) -> ApiResult<Wanted> {
        match (self.organization_id, self.org_code) {
            (Some(id), None) => Ok(Wanted::Id(TenantId::from_uuid(id))),
            (None, Some(code)) => Ok(Wanted::Code(code)),
            (Some(_), Some(_)) => {
                Err(ApiError::field("org_code", "contradicts", "contradicts `organization_id`"))
            }
            (None, None) => Err(ApiError::field("organization_id", "required", "is required")),
        }
    }
}

impl Wanted {
    /// The organisation, when the person may act in it.
    fn among(&self, memberships: &[Membership]) -> Option<TenantId> {
        let is_it = |membership: &&Membership| match self {
            Self::Id(id) => membership.tenant_id == *id,
            Self::Code(code) => membership.org_code.as_str().eq_ignore_ascii_case(code),
        };
        let found = memberships.iter().filter(|membership| membership.is_usable()).find(is_it);
        found.map(|membership| membership.tenant_id)
    }
}

/// The person whose session it is. Who acts in somebody's name is neither told nor let where else they belong.
fn in_person(context: &RequestContext) -> ApiResult<PersonId> {
    let principal = &context.principal;
    let is_own = principal.session.is_some() && principal.impersonator.is_none();
    let person = principal.person_id().filter(|_| is_own);
    person.ok_or_else(|| problem_for("person_required").into())
}

async fn own_organizations(
    State(flows): State<Flows>,
    context: Context,
) -> ApiResult<Json<OwnOrganizations>> {
    let person = in_person(&context)?;
    let mut tx = flows.db.begin_read(SCOPE).await?;
    let memberships = flows.tenancy.memberships_of(&mut tx, person).await?;
    tx.rollback().await?;
    let usable = memberships.into_iter().filter(Membership::is_usable);
    let items = usable.map(|membership| OwnOrganization {
        id: membership.tenant_id.as_uuid(),
        code: membership.org_code.as_str().to_owned(),
        name: membership.org_name.as_str().to_owned(),
        is_current: context.principal.tenant == Some(membership.tenant_id),
    });
    Ok(Json(OwnOrganizations { items: items.collect() }))
}

async fn switch_org(
    State(flows): State<Flows>,
    context: Context,
    headers: HeaderMap,
    StrictJson(input): StrictJson<SwitchInput>,
) -> ApiResult<Response> {
    let (person, wanted) = (in_person(&context)?, input.read()?);
    // Another session, perhaps, whose cookie is about to be written over.
    let carried = flows.refresh_cookie(&headers).ok().flatten().map(str::to_owned);
    let (db, own) = (flows.db.clone(), flows.clone());
    let go_on = async move |tx: &mut Tx| {
        let memberships = own.tenancy.memberships_of(tx, person).await?;
        let tenant = wanted.among(&memberships).ok_or_else(Problem::not_found)?;
        if !hold(&own.tenancy, tx, tenant).await? {
            return Err(Problem::not_found().into());
        }
        let renewed = own.auth.switch_tenant(tx, &context, tenant).await?;
        // Asked again now that the person is locked: whoever is taken out of the organisation meanwhile does not get in.
        let memberships = own.tenancy.memberships_of(tx, person).await?;
        if wanted.among(&memberships) != Some(tenant) {
            return Err(Problem::not_found().into());
        }
        if let (RenewedSession::Tokens(_), Some(carried)) = (&renewed, &carried) {
            own.auth.end_carried(tx, carried).await?;
        }
        Ok::<_, AccountError>(renewed)
    };
    match db.transact(SCOPE, go_on).await? {
        RenewedSession::Tokens(pair) => Ok(flows.tokens(pair)),
        RenewedSession::Cookie(session) => flows.cookie_session(&session),
    }
}
