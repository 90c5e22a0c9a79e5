//! One's own keys, for the organisation that one is signed in for.

use axum::{Json, extract::State, http::StatusCode};
use stylobate::{
    auth::ApiKeyQuery,
    core::{ApiKeyId, Direction, KeyOwner, Page, PersonId, Problem, RequestContext},
    endpoints::{Permission, Route, Routes},
    middleware::{ApiResult, Context, PageQuery, PathId, StrictJson},
};

use super::{
    model::{ApiKeyView, IssuedKeyView, OwnKeyInput, RotateInput},
    routes::TAG,
    service::ApiKeys,
};
use crate::{order::ByCreation, people::tenant_of, refused::Refused};

pub(crate) fn routes(keys: &ApiKeys) -> Routes {
    let own = Permission::Authenticated;
    Routes::new()
        .add(
            Route::get("/auth/api-keys", own)
                .tag(TAG)
                .summary("Lists one's own API keys, the newest first")
                .returns_page::<ApiKeyView>(),
            keys,
            list,
        )
        .add(
            Route::post("/auth/api-keys", own)
                .tag(TAG)
                .summary("Makes an API key of one's own; it is shown once")
                .body::<OwnKeyInput>()
                .returns::<IssuedKeyView>(201),
            keys,
            create,
        )
        .add(
            Route::delete("/auth/api-keys/{id}", own)
                .tag(TAG)
                .summary("Revokes an API key of one's own for good")
                .answers(204, None),
            keys,
            delete,
        )
        .add(
            Route::post("/auth/api-keys/{id}/rotate", own)
                .tag(TAG)
                .summary("Gives an API key of one's own another secret")
                .body::<RotateInput>()
                .returns::<IssuedKeyView>(200),
            keys,
            rotate,
        )
}

fn caller(context: &RequestContext) -> Result<PersonId, Refused> {
    context.principal.person_id().ok_or_else(|| Problem::not_found().into())
}

async fn list(
    State(keys): State<ApiKeys>,
    context: Context,
    page: PageQuery<ByCreation>,
) -> ApiResult<Json<Page<ApiKeyView>>> {
    let ByCreation::CreatedAt = page.order_by;
    let asked = ApiKeyQuery {
        owner: Some(KeyOwner::Person { id: caller(&context)? }),
        is_active: None,
        direction: page.order_dir.unwrap_or(Direction::Desc),
        limit: page.limit,
        cursor: page.cursor,
        with_total: page.include_total,
    };
    Ok(Json(keys.list(&context, &asked).await?.map(ApiKeyView::from)))
}

async fn create(
    State(keys): State<ApiKeys>,
    context: Context,
    StrictJson(input): StrictJson<OwnKeyInput>,
) -> ApiResult<(StatusCode, Json<IssuedKeyView>)> {
    let owner = KeyOwner::Person { id: caller(&context)? };
    let new = input.read(tenant_of(&context)?, owner)?;
    Ok((StatusCode::CREATED, Json(keys.make(&context, new).await?.into())))
}

async fn delete(
    State(keys): State<ApiKeys>,
    context: Context,
    PathId(id): PathId<ApiKeyId>,
) -> ApiResult<StatusCode> {
    keys.own(&context, caller(&context)?, id).await?;
    keys.revoke(&context, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn rotate(
    State(keys): State<ApiKeys>,
    context: Context,
    PathId(id): PathId<ApiKeyId>,
    StrictJson(input): StrictJson<RotateInput>,
) -> ApiResult<Json<IssuedKeyView>> {
    keys.own(&context, caller(&context)?, id).await?;
    Ok(Json(keys.rotate(&context, id, input.overlap()).await?.into()))
}
