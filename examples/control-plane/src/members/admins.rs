use axum::{Json, extract::State, http::StatusCode};
use stylobate::{
    core::TenantId,
    endpoints::{Permission, Route, Routes},
    middleware::{ApiResult, Context, FurtherPermission, PathId, StrictJson},
};

use super::{
    service::{ASSIGN, INVITE, Members},
    user_model::{AccountInput, UserView},
};

pub(super) fn routes(members: &Members) -> Routes {
    Routes::new().add(
        Route::post("/v1/orgs/{id}/admins", Permission::Key(INVITE))
            .tag("members")
            .summary(
                "Makes an administrator of an organisation, or invites one; asks for `role.assign` as well",
            )
            .body::<AccountInput>()
            .returns::<UserView>(201),
        members,
        create,
    )
}

async fn create(
    State(members): State<Members>,
    context: Context,
    further: FurtherPermission,
    PathId(id): PathId<TenantId>,
    StrictJson(input): StrictJson<AccountInput>,
) -> ApiResult<(StatusCode, Json<UserView>)> {
    further.require(ASSIGN).await?;
    let target = members.target(&context, id, INVITE).await?;
    // What is done elsewhere is given by the platform, all of it.
    let target = if target.is_foreign { members.target(&context, id, ASSIGN).await? } else { target };
    let role = members.administrators_role(&target, input.role()).await?;
    Ok((StatusCode::CREATED, Json(members.create_user(&target, input, Some(role)).await?)))
}
