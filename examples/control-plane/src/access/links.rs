//! The links between roles, permissions and people as resources of their own, as older systems spell them. Deprecated:
//! `/roles/{id}/permissions` and `/people/{id}/roles` say the same.

use axum::{Json, extract::State, http::StatusCode};
use serde::Deserialize;
use stylobate::{
    core::{
        Direction, Page, PermissionId, PersonId, RequestContext, RoleAssignmentId, RoleId, RolePermissionId,
    },
    endpoints::{Permission, Route, Routes},
    middleware::{
        ApiError, ApiResult, Context, FurtherPermission, ListQuery, PathId, PolicyEpoch, StrictJson,
    },
    rbac::{AssigneeKind, AssignmentQuery, RoleAssignment, RolePermissionQuery},
};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{
    Access,
    model::{PersonRoleView, RolePermissionView},
    written,
};
use crate::order::ByCreation;

const TAG: &str = "roles";
const READ: Permission = Permission::Key("role.read");
const ATTACH: Permission = Permission::Key("role.perm.assign");
const DETACH: &str = "role.perm.revoke";
const ASSIGN: Permission = Permission::Key("role.assign");
const REVOKE: &str = "role.revoke";

pub(super) fn routes(access: &Access) -> Routes {
    let (grants, grant) = ("/rbac/role-permissions", "/rbac/role-permissions/{link_id}");
    let (people, person) = ("/rbac/person-roles", "/rbac/person-roles/{link_id}");
    let old = |route: Route, summary| route.tag(TAG).summary(summary).deprecated();
    Routes::new()
        .add(
            old(Route::get(grants, READ), "Lists which roles have which permissions")
                .query::<GrantFilter>()
                .returns_page::<RolePermissionView>(),
            access,
            list_grants,
        )
        .add(
            old(Route::post(grants, ATTACH), "Attaches a permission to a role")
                .body::<GrantInput>()
                .returns::<RolePermissionView>(201),
            access,
            attach,
        )
        .add(
            old(Route::get(grant, READ), "Reads which role has which permission")
                .returns::<RolePermissionView>(200),
            access,
            get_grant,
        )
        .add(
            old(Route::patch(grant, ATTACH), "Detaches a permission from a role and attaches one instead")
                .body::<GrantPatch>()
                .returns::<RolePermissionView>(200),
            access,
            patch_grant,
        )
        .add(
            old(Route::delete(grant, Permission::Key(DETACH)), "Detaches a permission from a role")
                .answers(204, None),
            access,
            detach,
        )
        .add(
            old(Route::get(people, READ), "Lists who has which roles")
                .query::<AssignmentFilter>()
                .returns_page::<PersonRoleView>(),
            access,
            list_assignments,
        )
        .add(
            old(Route::post(people, ASSIGN), "Gives a role to a person")
                .body::<AssignmentInput>()
                .returns::<PersonRoleView>(201),
            access,
            assign,
        )
        .add(
            old(Route::get(person, READ), "Reads who has which role").returns::<PersonRoleView>(200),
            access,
            get_assignment,
        )
        .add(
            old(Route::patch(person, ASSIGN), "Takes a role from a person and gives one instead")
                .body::<AssignmentPatch>()
                .returns::<PersonRoleView>(200),
            access,
            patch_assignment,
        )
        .add(
            old(Route::delete(person, Permission::Key(REVOKE)), "Takes a role from a person")
                .answers(204, None),
            access,
            unassign,
        )
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct GrantFilter {
    /// Only those of this role.
    role_id: Option<Uuid>,
    /// Only those of this permission.
    permission_id: Option<Uuid>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct GrantInput {
    role_id: Uuid,
    permission_id: Uuid,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct GrantPatch {
    #[serde(default)]
    role_id: Option<Uuid>,
    #[serde(default)]
    permission_id: Option<Uuid>,
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct AssignmentFilter {
    /// Only those of this person.
    person_id: Option<Uuid>,
    /// Only those of this role.
    role_id: Option<Uuid>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct AssignmentInput {
    person_id: Uuid,
    role_id: Uuid,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct AssignmentPatch {
    #[serde(default)]
    person_id: Option<Uuid>,
    #[serde(default)]
    role_id: Option<Uuid>,
}

async fn list_grants(
    State(access): State<Access>,
    context: Context,
    query: ListQuery<GrantFilter, ByCreation>,
) -> ApiResult<Json<Page<RolePermissionView>>> {
    let ByCreation::CreatedAt = query.page.order_by;
    let query = RolePermissionQuery {
        role_id: query.filter.role_id.map(RoleId::from_uuid),
        permission_id: query.filter.permission_id.map(PermissionId::from_uuid),
        direction: query.page.order_dir.unwrap_or(Direction::Asc),
        limit: query.page.limit,
        cursor: query.page.cursor,
        with_total: query.page.include_total,
    };
    let page = access.rbac.list_role_permissions(&context, &query).await?;
    Ok(Json(page.map(RolePermissionView::from)))
}

async fn attach(
    State(access): State<Access>,
    context: Context,
    StrictJson(input): StrictJson<GrantInput>,
) -> ApiResult<(StatusCode, PolicyEpoch, Json<RolePermissionView>)> {
    let (role, permission) = (RoleId::from_uuid(input.role_id), PermissionId::from_uuid(input.permission_id));
    let (epoch, link) = written(&context, access.rbac.attach(&context, role, permission).await?);
    Ok((StatusCode::CREATED, epoch, Json(link.into())))
}

async fn get_grant(
    State(access): State<Access>,
    context: Context,
    PathId(id): PathId<RolePermissionId>,
) -> ApiResult<Json<RolePermissionView>> {
    let link = access.rbac.find_role_permission(&context, id).await?.ok_or_else(ApiError::not_found)?;
    Ok(Json(link.into()))
}

async fn patch_grant(
    State(access): State<Access>,
    context: Context,
    further: FurtherPermission,
    PathId(id): PathId<RolePermissionId>,
    StrictJson(input): StrictJson<GrantPatch>,
) -> ApiResult<(PolicyEpoch, Json<RolePermissionView>)> {
    further.require(DETACH).await?;
    let role = input.role_id.map(RoleId::from_uuid);
    let permission = input.permission_id.map(PermissionId::from_uuid);
    let replaced = access.rbac.replace_role_permission(&context, id, role, permission).await?;
    let (epoch, link) = written(&context, replaced);
    Ok((epoch, Json(link.into())))
}

async fn detach(
    State(access): State<Access>,
    context: Context,
    PathId(id): PathId<RolePermissionId>,
) -> ApiResult<(StatusCode, PolicyEpoch)> {
    let (epoch, ()) = written(&context, access.rbac.delete_role_permission(&context, id).await?);
    Ok((StatusCode::NO_CONTENT, epoch))
}

async fn list_assignments(
    State(access): State<Access>,
    context: Context,
    query: ListQuery<AssignmentFilter, ByCreation>,
) -> ApiResult<Json<Page<PersonRoleView>>> {
    let ByCreation::CreatedAt = query.page.order_by;
    let query = AssignmentQuery {
        assignee: query.filter.person_id.map(|id| PersonId::from_uuid(id).into()),
        kind: Some(AssigneeKind::Person),
        role_id: query.filter.role_id.map(RoleId::from_uuid),
        direction: query.page.order_dir.unwrap_or(Direction::Asc),
        limit: query.page.limit,
        cursor: query.page.cursor,
        with_total: query.page.include_total,
    };
    let page = access.rbac.list_assignments(&context, &query).await?;
    Ok(Json(page.map(PersonRoleView::from)))
}

async fn assign(
    State(access): State<Access>,
    context: Context,
    StrictJson(input): StrictJson<AssignmentInput>,
) -> ApiResult<(StatusCode, PolicyEpoch, Json<PersonRoleView>)> {
    let (person, role) = (PersonId::from_uuid(input.person_id), RoleId::from_uuid(input.role_id));
    let (epoch, link) = written(&context, access.rbac.assign(&context, person, role).await?);
    Ok((StatusCode::CREATED, epoch, Json(link.into())))
}

async fn get_assignment(
    State(access): State<Access>,
    context: Context,
    PathId(id): PathId<RoleAssignmentId>,
) -> ApiResult<Json<PersonRoleView>> {
    Ok(Json(access.of_person(&context, id).await?.into()))
}

async fn patch_assignment(
    State(access): State<Access>,
    context: Context,
    further: FurtherPermission,
    PathId(id): PathId<RoleAssignmentId>,
    StrictJson(input): StrictJson<AssignmentPatch>,
) -> ApiResult<(PolicyEpoch, Json<PersonRoleView>)> {
    further.require(REVOKE).await?;
    access.of_person(&context, id).await?;
    let person = input.person_id.map(PersonId::from_uuid);
    let role = input.role_id.map(RoleId::from_uuid);
    let replaced = access.rbac.replace_assignment(&context, id, person.map(Into::into), role).await?;
    let (epoch, link) = written(&context, replaced);
    Ok((epoch, Json(link.into())))
}

async fn unassign(
    State(access): State<Access>,
    context: Context,
    PathId(id): PathId<RoleAssignmentId>,
) -> ApiResult<(StatusCode, PolicyEpoch)> {
    access.of_person(&context, id).await?;
    let (epoch, ()) = written(&context, access.rbac.delete_assignment(&context, id).await?);
    Ok((StatusCode::NO_CONTENT, epoch))
}

impl Access {
    /// The assignment of a role to a person; that to a service account or a group is none of these. One of which nobody can read
    /// whose it is can be taken away here alone.
    async fn of_person(&self, context: &RequestContext, id: RoleAssignmentId) -> ApiResult<RoleAssignment> {
        let found = self.rbac.find_assignment(context, id).await?;
        let is_of_others = |kind| matches!(kind, AssigneeKind::Service | AssigneeKind::Group);
        found.filter(|found| !is_of_others(found.assignee.kind)).ok_or_else(ApiError::not_found)
    }
}
