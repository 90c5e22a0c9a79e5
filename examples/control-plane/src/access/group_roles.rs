//! The roles of groups, as those of people: whoever is in the group has them.

use axum::{Json, extract::State, http::StatusCode};
use stylobate::{
    core::{GroupId, Page, RoleId},
    endpoints::{Permission, Route, Routes},
    middleware::{ApiResult, Context, ListQuery, PathId, PathIds, PolicyEpoch, StrictJson},
};

use super::{
    Access,
    model::{AssignInput, AssignedRoleView, GroupRoleView, ListFilter},
    roles::Order,
};

const TAG: &str = "groups";

pub(super) fn routes(access: &Access) -> Routes {
    let (all, one) = ("/groups/{id}/roles", "/groups/{id}/roles/{role_id}");
    let about = |route: Route, summary| route.tag(TAG).summary(summary);
    let key = Permission::Key;
    Routes::new()
        .add(
            about(Route::get(all, key("role.read")), "Lists the roles of a group, and until when")
                .returns_page::<AssignedRoleView>(),
            access,
            list,
        )
        .add(
            about(Route::post(all, key("role.assign")), "Assigns a role to a group, and so to who is in it")
                .body::<AssignInput>()
                .returns::<GroupRoleView>(201),
            access,
            assign,
        )
        .add(
            about(Route::delete(one, key("role.revoke")), "Takes a role from a group").answers(204, None),
            access,
            unassign,
        )
}

async fn list(
    State(access): State<Access>,
    context: Context,
    PathId(id): PathId<GroupId>,
    query: ListQuery<ListFilter, Order>,
) -> ApiResult<Json<Page<AssignedRoleView>>> {
    access.group(&context, id).await?;
    access.roles_of(&context, id, query).await
}

async fn assign(
    State(access): State<Access>,
    context: Context,
    PathId(id): PathId<GroupId>,
    StrictJson(input): StrictJson<AssignInput>,
) -> ApiResult<(StatusCode, PolicyEpoch, Json<GroupRoleView>)> {
    access.assign_role(&context, id, input).await
}

async fn unassign(
    State(access): State<Access>,
    context: Context,
    PathIds(id, role): PathIds<GroupId, RoleId>,
) -> ApiResult<(StatusCode, PolicyEpoch)> {
    access.group(&context, id).await?;
    access.unassign_role(&context, id, role).await
}
