//! The roles of service accounts, as those of people.

use axum::{Json, extract::State, http::StatusCode};
use stylobate::{
    auth::ServiceAccountError,
    core::{Page, RequestContext, RoleId, ServiceId},
    endpoints::{Permission, Route, Routes},
    middleware::{
        ApiError, ApiResult, Context, IntoProblem as _, ListQuery, PathId, PathIds, PolicyEpoch, StrictJson,
    },
};

use super::{
    Access,
    model::{AssignInput, AssignedRoleView, ListFilter, ServiceRoleView},
    roles::Order,
};

const TAG: &str = "service accounts";

pub(super) fn routes(access: &Access) -> Routes {
    let (all, one) = ("/service-accounts/{id}/roles", "/service-accounts/{id}/roles/{role_id}");
    let about = |route: Route, summary| route.tag(TAG).summary(summary);
    let key = Permission::Key;
    Routes::new()
        .add(
            about(Route::get(all, key("role.read")), "Lists the roles of a service account, and until when")
                .returns_page::<AssignedRoleView>(),
            access,
            list,
        )
        .add(
            about(Route::post(all, key("role.assign")), "Assigns a role to a service account")
                .body::<AssignInput>()
                .returns::<ServiceRoleView>(201),
            access,
            assign,
        )
        .add(
            about(Route::delete(one, key("role.revoke")), "Takes a role from a service account")
                .answers(204, None),
            access,
            unassign,
        )
}

async fn list(
    State(access): State<Access>,
    context: Context,
    PathId(id): PathId<ServiceId>,
    query: ListQuery<ListFilter, Order>,
) -> ApiResult<Json<Page<AssignedRoleView>>> {
    access.must_be_own(&context, id).await?;
    access.roles_of(&context, id, query).await
}

async fn assign(
    State(access): State<Access>,
    context: Context,
    PathId(id): PathId<ServiceId>,
    StrictJson(input): StrictJson<AssignInput>,
) -> ApiResult<(StatusCode, PolicyEpoch, Json<ServiceRoleView>)> {
    access.assign_role(&context, id, input).await
}

async fn unassign(
    State(access): State<Access>,
    context: Context,
    PathIds(id, role): PathIds<ServiceId, RoleId>,
) -> ApiResult<(StatusCode, PolicyEpoch)> {
    access.must_be_own(&context, id).await?;
    access.unassign_role(&context, id, role).await
}

impl Access {
    /// A service account of another tenant answers exactly as a missing one.
    async fn must_be_own(&self, context: &RequestContext, id: ServiceId) -> ApiResult<()> {
        let tenant = context.principal.tenant.ok_or_else(ApiError::not_found)?;
        let found = self.auth.service_accounts().find(tenant, id).await;
        found.map(|_| ()).map_err(|error: ServiceAccountError| error.into_problem().into())
    }
}
