use axum::{Json, extract::State, http::StatusCode};
use serde::Deserialize;
use stylobate::{
    auth::ApiKeyQuery,
    core::{ApiKeyId, Direction, FieldProblem, KeyOwner, Page, PersonId, ServiceId},
    endpoints::{Permission, Route, Routes},
    middleware::{ApiResult, Context, ListQuery, PathId, StrictJson},
};
use utoipa::IntoParams;

use super::{
    model::{ApiKeyInput, ApiKeyPatch, ApiKeyView, IssuedKeyView, RotateInput, UsagePage, UsageView},
    service::ApiKeys,
};
use crate::{
    order::ByCreation,
    refused::{Refused, invalid},
};

pub(super) const TAG: &str = "api keys";
const READ: Permission = Permission::Key("api_key.read");
const CREATE: Permission = Permission::Key("api_key.create");
const UPDATE: Permission = Permission::Key("api_key.update");

pub(crate) fn routes(keys: &ApiKeys) -> Routes {
    let make = |path, summary| {
        Route::post(path, CREATE)
            .tag(TAG)
            .summary(summary)
            .body::<ApiKeyInput>()
            .returns::<IssuedKeyView>(201)
    };
    Routes::new()
        .add(
            Route::get("/api-keys", READ)
                .tag(TAG)
                .summary("Lists the API keys of the organisation, the newest first")
                .query::<KeyFilter>()
                .returns_page::<ApiKeyView>(),
            keys,
            list,
        )
        .add(make("/api-keys", "Makes an API key; it is shown once"), keys, create)
        .add(make("/api-keys/generate", "The same as `POST /api-keys`").deprecated(), keys, create)
        .add(
            Route::get("/api-keys/{id}", READ).tag(TAG).summary("Reads an API key").returns::<ApiKeyView>(200),
            keys,
            get,
        )
        .add(
            Route::patch("/api-keys/{id}", UPDATE)
                .tag(TAG)
                .summary("Changes what an API key may do, from where, how often and how long")
                .body::<ApiKeyPatch>()
                .returns::<ApiKeyView>(200),
            keys,
            patch,
        )
        .add(
            Route::delete("/api-keys/{id}", Permission::Key("api_key.delete"))
                .tag(TAG)
                .summary("Revokes an API key for good")
                .answers(204, None),
            keys,
            delete,
        )
        .add(
            Route::post("/api-keys/{id}/rotate", UPDATE)
                .tag(TAG)
                .summary("Gives an API key another secret; it is shown once, and the one before is good for a while")
                .body::<RotateInput>()
                .returns::<IssuedKeyView>(200),
            keys,
            rotate,
        )
        .add(
            Route::get("/api-keys/{id}/usage", READ)
                .tag(TAG)
                .summary("How often an API key was used on each of the last 90 days")
                .returns::<UsagePage>(200),
            keys,
            usage,
        )
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct KeyFilter {
    /// Only those of this person.
    #[param(value_type = Option<uuid::Uuid>)]
    person_id: Option<PersonId>,
    /// Only those of this service account.
    #[param(value_type = Option<uuid::Uuid>)]
    service_account_id: Option<ServiceId>,
    /// Only those that are switched on and neither revoked nor expired, or only the others.
    is_active: Option<bool>,
}

async fn list(
    State(keys): State<ApiKeys>,
    context: Context,
    query: ListQuery<KeyFilter, ByCreation>,
) -> ApiResult<Json<Page<ApiKeyView>>> {
    let ByCreation::CreatedAt = query.page.order_by;
    let owner = match (query.filter.person_id, query.filter.service_account_id) {
        (Some(_), Some(_)) => {
            let problem = FieldProblem::new("service_account_id", "contradicts", "contradicts `person_id`");
            return Err(Refused::from(invalid(vec![problem])).into());
        }
        (Some(id), None) => Some(KeyOwner::Person { id }),
        (None, Some(id)) => Some(KeyOwner::Service { id }),
        (None, None) => None,
    };
    let asked = ApiKeyQuery {
        owner,
        is_active: query.filter.is_active,
        direction: query.page.order_dir.unwrap_or(Direction::Desc),
        limit: query.page.limit,
        cursor: query.page.cursor,
        with_total: query.page.include_total,
    };
    Ok(Json(keys.list(&context, &asked).await?.map(ApiKeyView::from)))
}

async fn create(
    State(keys): State<ApiKeys>,
    context: Context,
    StrictJson(input): StrictJson<ApiKeyInput>,
) -> ApiResult<(StatusCode, Json<IssuedKeyView>)> {
    Ok((StatusCode::CREATED, Json(keys.create(&context, input).await?.into())))
}

async fn get(
    State(keys): State<ApiKeys>,
    context: Context,
    PathId(id): PathId<ApiKeyId>,
) -> ApiResult<Json<ApiKeyView>> {
    Ok(Json(keys.find(&context, id).await?.into()))
}

async fn patch(
    State(keys): State<ApiKeys>,
    context: Context,
    PathId(id): PathId<ApiKeyId>,
    StrictJson(patch): StrictJson<ApiKeyPatch>,
) -> ApiResult<Json<ApiKeyView>> {
    Ok(Json(keys.change(&context, id, patch).await?.into()))
}

async fn delete(
    State(keys): State<ApiKeys>,
    context: Context,
    PathId(id): PathId<ApiKeyId>,
) -> ApiResult<StatusCode> {
    keys.revoke(&context, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn rotate(
    State(keys): State<ApiKeys>,
    context: Context,
    PathId(id): PathId<ApiKeyId>,
    StrictJson(input): StrictJson<RotateInput>,
) -> ApiResult<Json<IssuedKeyView>> {
    Ok(Json(keys.rotate(&context, id, input.overlap()).await?.into()))
}

async fn usage(
    State(keys): State<ApiKeys>,
    context: Context,
    PathId(id): PathId<ApiKeyId>,
) -> ApiResult<Json<UsagePage>> {
    let days = keys.usage(&context, id).await?;
    Ok(Json(UsagePage { items: days.into_iter().map(UsageView::from).collect() }))
}
