use axum::{Json, extract::State, http::StatusCode};
use serde::Deserialize;
use stylobate::{
    core::{Page, PermissionId, PersonId, RoleId},
    endpoints::{Permission, Route, Routes},
    middleware::{
        ApiError, ApiResult, Context, FurtherPermission, ListQuery, PathId, PathIds, PolicyEpoch, StrictJson,
    },
    rbac::{
        AssignmentQuery, GrantRule, NewRole, PermissionOrder, PermissionQuery, RoleOrder,
        RolePermissionQuery, RoleQuery, RoleUpdate,
    },
};

use super::{
    Access,
    model::{
        AssignInput, AssignedRoleView, AssignmentExpiry, AttachInput, GrantedPermissionView, ListFilter,
        PersonRoleView, RoleInput, RolePatch, RolePermissionView, RoleView, RulePatch,
    },
    written,
};

const TAG: &str = "roles";
const READ: Permission = Permission::Key("role.read");

pub(super) fn routes(access: &Access) -> Routes {
    let key = Permission::Key;
    Routes::new()
        .add(
            Route::get("/roles", READ)
                .tag(TAG)
                .summary("Lists roles")
                .query::<ListFilter>()
                .returns_page::<RoleView>(),
            access,
            list,
        )
        .add(
            Route::post("/roles", key("role.create"))
                .tag(TAG)
                .summary("Makes a role")
                .body::<RoleInput>()
                .returns::<RoleView>(201),
            access,
            create,
        )
        .add(
            Route::get("/roles/{id}", READ).tag(TAG).summary("Reads a role").returns::<RoleView>(200),
            access,
            get,
        )
        .add(
            Route::patch("/roles/{id}", key("role.update"))
                .tag(TAG)
                .summary("Changes fields of a role")
                .body::<RolePatch>()
                .returns::<RoleView>(200),
            access,
            patch,
        )
        .add(
            Route::put("/roles/{id}", key("role.update"))
                .tag(TAG)
                .summary("Replaces a role")
                .body::<RoleInput>()
                .returns::<RoleView>(200),
            access,
            put,
        )
        .add(
            Route::delete("/roles/{id}", key("role.delete"))
                .tag(TAG)
                .summary("Removes a role")
                .answers(204, None),
            access,
            delete,
        )
        .and(links(access))
}

fn links(access: &Access) -> Routes {
    let key = Permission::Key;
    Routes::new()
        .add(
            Route::get("/roles/{id}/permissions", READ)
                .tag(TAG)
                .summary("Lists the permissions of a role")
                .returns_page::<GrantedPermissionView>(),
            access,
            list_permissions,
        )
        .add(
            Route::post("/roles/{id}/permissions", key("role.perm.assign"))
                .tag(TAG)
                .summary("Attaches a permission to a role")
                .body::<AttachInput>()
                .returns::<RolePermissionView>(201),
            access,
            attach,
        )
        .add(
            Route::patch("/roles/{id}/permissions/{permission_id}", key("role.perm.assign"))
                .tag(TAG)
                .summary("Changes whether and when a role allows or denies a permission that it has; asks `role.perm.revoke` too")
                .body::<RulePatch>()
                .returns::<RolePermissionView>(200),
            access,
            patch_rule,
        )
        .add(
            Route::delete("/roles/{id}/permissions/{permission_id}", key("role.perm.revoke"))
                .tag(TAG)
                .summary("Detaches a permission from a role")
                .answers(204, None),
            access,
            detach,
        )
        .add(
            Route::get("/people/{id}/roles", READ)
                .tag(TAG)
                .summary("Lists the roles of a person, and until when; those that are over for 30 days longer")
                .returns_page::<AssignedRoleView>(),
            access,
            list_of_person,
        )
        .add(
            Route::post("/people/{id}/roles", key("role.assign"))
                .tag(TAG)
                .summary("Assigns a role to a person")
                .body::<AssignInput>()
                .returns::<PersonRoleView>(201),
            access,
            assign,
        )
        .add(
            Route::patch("/people/{id}/roles/{role_id}", key("role.assign"))
                .tag(TAG)
                .summary("Changes until when a person has a role; asks `role.revoke` too")
                .body::<AssignmentExpiry>()
                .returns::<PersonRoleView>(200),
            access,
            patch_assignment,
        )
        .add(
            Route::delete("/people/{id}/roles/{role_id}", key("role.revoke"))
                .tag(TAG)
                .summary("Takes a role from a person")
                .answers(204, None),
            access,
            unassign,
        )
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Order {
    #[default]
    Name,
    CreatedAt,
}

type Query = ListQuery<ListFilter, Order>;

pub(super) fn role_query(query: Query) -> RoleQuery {
    RoleQuery {
        is_active: query.filter.is_active,
        search: query.filter.search,
        order_by: match query.page.order_by {
            Order::Name => RoleOrder::Name,
            Order::CreatedAt => RoleOrder::CreatedAt,
        },
        direction: query.page.order_dir.unwrap_or_default(),
        limit: query.page.limit,
        cursor: query.page.cursor,
        with_total: query.page.include_total,
    }
}

async fn list(
    State(access): State<Access>,
    context: Context,
    query: Query,
) -> ApiResult<Json<Page<RoleView>>> {
    let page = access.rbac.list_roles(&context, &role_query(query)).await?;
    Ok(Json(page.map(RoleView::from)))
}

async fn create(
    State(access): State<Access>,
    context: Context,
    StrictJson(input): StrictJson<RoleInput>,
) -> ApiResult<(StatusCode, PolicyEpoch, Json<RoleView>)> {
    let new = NewRole { name: input.name, description: input.description, is_active: input.is_active };
    let (epoch, role) = written(&context, access.rbac.create_role(&context, new).await?);
    Ok((StatusCode::CREATED, epoch, Json(role.into())))
}

async fn get(
    State(access): State<Access>,
    context: Context,
    PathId(id): PathId<RoleId>,
) -> ApiResult<Json<RoleView>> {
    let role = access.rbac.find_role(&context, id).await?.ok_or_else(ApiError::not_found)?;
    Ok(Json(role.into()))
}

async fn patch(
    State(access): State<Access>,
    context: Context,
    PathId(id): PathId<RoleId>,
    StrictJson(input): StrictJson<RolePatch>,
) -> ApiResult<(PolicyEpoch, Json<RoleView>)> {
    let update = RoleUpdate {
        name: input.name,
        description: input.description,
        is_active: input.is_active,
        version: input.version,
    };
    let (epoch, role) = written(&context, access.rbac.update_role(&context, id, update).await?);
    Ok((epoch, Json(role.into())))
}

async fn put(
    State(access): State<Access>,
    context: Context,
    PathId(id): PathId<RoleId>,
    StrictJson(input): StrictJson<RoleInput>,
) -> ApiResult<(PolicyEpoch, Json<RoleView>)> {
    let update = RoleUpdate {
        name: Some(input.name),
        description: Some(input.description),
        is_active: Some(input.is_active),
        version: input.version,
    };
    let (epoch, role) = written(&context, access.rbac.update_role(&context, id, update).await?);
    Ok((epoch, Json(role.into())))
}

async fn delete(
    State(access): State<Access>,
    context: Context,
    PathId(id): PathId<RoleId>,
) -> ApiResult<(StatusCode, PolicyEpoch)> {
    let (epoch, ()) = written(&context, access.rbac.delete_role(&context, id).await?);
    Ok((StatusCode::NO_CONTENT, epoch))
}

async fn list_permissions(
    State(access): State<Access>,
    context: Context,
    PathId(id): PathId<RoleId>,
    query: Query,
) -> ApiResult<Json<Page<GrantedPermissionView>>> {
    let query = PermissionQuery {
        is_active: query.filter.is_active,
        search: query.filter.search,
        order_by: match query.page.order_by {
            Order::Name => PermissionOrder::Key,
            Order::CreatedAt => PermissionOrder::CreatedAt,
        },
        direction: query.page.order_dir.unwrap_or_default(),
        limit: query.page.limit,
        cursor: query.page.cursor,
        with_total: query.page.include_total,
    };
    let page = access.rbac.permissions_of(&context, id, &query).await?;
    Ok(Json(page.map(GrantedPermissionView::from)))
}

async fn attach(
    State(access): State<Access>,
    context: Context,
    PathId(id): PathId<RoleId>,
    StrictJson(input): StrictJson<AttachInput>,
) -> ApiResult<(StatusCode, PolicyEpoch, Json<RolePermissionView>)> {
    let rule = GrantRule { effect: input.effect, condition: input.condition };
    let permission = PermissionId::from_uuid(input.permission_id);
    let (epoch, link) = written(&context, access.rbac.attach_rule(&context, id, permission, rule).await?);
    Ok((StatusCode::CREATED, epoch, Json(link.into())))
}

async fn patch_rule(
    State(access): State<Access>,
    context: Context,
    further: FurtherPermission,
    PathIds(id, permission): PathIds<RoleId, PermissionId>,
    StrictJson(input): StrictJson<RulePatch>,
) -> ApiResult<(PolicyEpoch, Json<RolePermissionView>)> {
    further.require("role.perm.revoke").await?;
    let of_pair = RolePermissionQuery {
        role_id: Some(id),
        permission_id: Some(permission),
        ..RolePermissionQuery::default()
    };
    let found = access.rbac.list_role_permissions(&context, &of_pair).await?.items.into_iter().next();
    let link = found.ok_or_else(ApiError::not_found)?;
    let rule = GrantRule { effect: input.effect, condition: input.condition };
    let (epoch, link) = written(&context, access.rbac.update_role_permission(&context, link.id, rule).await?);
    Ok((epoch, Json(link.into())))
}

async fn detach(
    State(access): State<Access>,
    context: Context,
    PathIds(id, permission): PathIds<RoleId, PermissionId>,
) -> ApiResult<(StatusCode, PolicyEpoch)> {
    let (epoch, ()) = written(&context, access.rbac.detach(&context, id, permission).await?);
    Ok((StatusCode::NO_CONTENT, epoch))
}

async fn list_of_person(
    State(access): State<Access>,
    context: Context,
    PathId(id): PathId<PersonId>,
    query: Query,
) -> ApiResult<Json<Page<AssignedRoleView>>> {
    access.must_be_member(&context, id).await?;
    access.roles_of(&context, id, query).await
}

async fn assign(
    State(access): State<Access>,
    context: Context,
    PathId(id): PathId<PersonId>,
    StrictJson(input): StrictJson<AssignInput>,
) -> ApiResult<(StatusCode, PolicyEpoch, Json<PersonRoleView>)> {
    access.assign_role(&context, id, input).await
}

async fn patch_assignment(
    State(access): State<Access>,
    context: Context,
    further: FurtherPermission,
    PathIds(id, role): PathIds<PersonId, RoleId>,
    StrictJson(input): StrictJson<AssignmentExpiry>,
) -> ApiResult<(PolicyEpoch, Json<PersonRoleView>)> {
    further.require("role.revoke").await?;
    access.must_be_member(&context, id).await?;
    let of_pair =
        AssignmentQuery { assignee: Some(id.into()), role_id: Some(role), ..AssignmentQuery::default() };
    let found = access.rbac.list_assignments(&context, &of_pair).await?.items.into_iter().next();
    let link = found.ok_or_else(ApiError::not_found)?;
    let updated = access.rbac.update_assignment(&context, link.id, input.expires_at).await?;
    let (epoch, link) = written(&context, updated);
    Ok((epoch, Json(link.into())))
}

async fn unassign(
    State(access): State<Access>,
    context: Context,
    PathIds(id, role): PathIds<PersonId, RoleId>,
) -> ApiResult<(StatusCode, PolicyEpoch)> {
    access.must_be_member(&context, id).await?;
    access.unassign_role(&context, id, role).await
}
