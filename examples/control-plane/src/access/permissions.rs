use axum::{Json, extract::State, http::StatusCode};
use serde::Deserialize;
use stylobate::{
    core::{Page, PermissionId},
    endpoints::{Permission, Route, Routes},
    middleware::{ApiError, ApiResult, Context, ListQuery, PathId, PolicyEpoch, StrictJson},
    rbac::{NewPermission, PermissionOrder, PermissionQuery, PermissionUpdate},
};

use super::{
    Access,
    model::{ListFilter, PermissionInput, PermissionPatch, PermissionView},
    written,
};

const TAG: &str = "permissions";
const READ: Permission = Permission::Key("perm.read");

pub(super) fn routes(access: &Access) -> Routes {
    let key = Permission::Key;
    Routes::new()
        .add(
            Route::get("/permissions", READ)
                .tag(TAG)
                .summary("Lists permissions")
                .query::<ListFilter>()
                .returns_page::<PermissionView>(),
            access,
            list,
        )
        .add(
            Route::post("/permissions", key("perm.create"))
                .tag(TAG)
                .summary("Makes a permission")
                .body::<PermissionInput>()
                .returns::<PermissionView>(201),
            access,
            create,
        )
        .add(
            Route::get("/permissions/{id}", READ)
                .tag(TAG)
                .summary("Reads a permission")
                .returns::<PermissionView>(200),
            access,
            get,
        )
        .add(
            Route::patch("/permissions/{id}", key("perm.update"))
                .tag(TAG)
                .summary("Changes fields of a permission")
                .body::<PermissionPatch>()
                .returns::<PermissionView>(200),
            access,
            patch,
        )
        .add(
            Route::put("/permissions/{id}", key("perm.update"))
                .tag(TAG)
                .summary("Replaces a permission")
                .body::<PermissionInput>()
                .returns::<PermissionView>(200),
            access,
            put,
        )
        .add(
            Route::delete("/permissions/{id}", key("perm.delete"))
                .tag(TAG)
                .summary("Removes a permission")
                .answers(204, None),
            access,
            delete,
        )
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Order {
    #[default]
    Key,
    CreatedAt,
}

async fn list(
    State(access): State<Access>,
    context: Context,
    query: ListQuery<ListFilter, Order>,
) -> ApiResult<Json<Page<PermissionView>>> {
    let query = PermissionQuery {
        is_active: query.filter.is_active,
        search: query.filter.search,
        order_by: match query.page.order_by {
            Order::Key => PermissionOrder::Key,
            Order::CreatedAt => PermissionOrder::CreatedAt,
        },
        direction: query.page.order_dir.unwrap_or_default(),
        limit: query.page.limit,
        cursor: query.page.cursor,
        with_total: query.page.include_total,
    };
    let page = access.rbac.list_permissions(&context, &query).await?;
    Ok(Json(page.map(PermissionView::from)))
}

async fn create(
    State(access): State<Access>,
    context: Context,
    StrictJson(input): StrictJson<PermissionInput>,
) -> ApiResult<(StatusCode, PolicyEpoch, Json<PermissionView>)> {
    let new = NewPermission { key: input.key, description: input.description, is_active: input.is_active };
    let (epoch, permission) = written(&context, access.rbac.create_permission(&context, new).await?);
    Ok((StatusCode::CREATED, epoch, Json(permission.into())))
}

async fn get(
    State(access): State<Access>,
    context: Context,
    PathId(id): PathId<PermissionId>,
) -> ApiResult<Json<PermissionView>> {
    let permission = access.rbac.find_permission(&context, id).await?.ok_or_else(ApiError::not_found)?;
    Ok(Json(permission.into()))
}

async fn patch(
    State(access): State<Access>,
    context: Context,
    PathId(id): PathId<PermissionId>,
    StrictJson(input): StrictJson<PermissionPatch>,
) -> ApiResult<(PolicyEpoch, Json<PermissionView>)> {
    let update = PermissionUpdate {
        key: input.key,
        description: input.description,
        is_active: input.is_active,
        version: input.version,
    };
    let (epoch, permission) = written(&context, access.rbac.update_permission(&context, id, update).await?);
    Ok((epoch, Json(permission.into())))
}

async fn put(
    State(access): State<Access>,
    context: Context,
    PathId(id): PathId<PermissionId>,
    StrictJson(input): StrictJson<PermissionInput>,
) -> ApiResult<(PolicyEpoch, Json<PermissionView>)> {
    let update = PermissionUpdate {
        key: Some(input.key),
        description: Some(input.description),
        is_active: Some(input.is_active),
        version: input.version,
    };
    let (epoch, permission) = written(&context, access.rbac.update_permission(&context, id, update).await?);
    Ok((epoch, Json(permission.into())))
}

async fn delete(
    State(access): State<Access>,
    context: Context,
    PathId(id): PathId<PermissionId>,
) -> ApiResult<(StatusCode, PolicyEpoch)> {
    let (epoch, ()) = written(&context, access.rbac.delete_permission(&context, id).await?);
    Ok((StatusCode::NO_CONTENT, epoch))
}
