use std::time::Duration;

use axum::{Json, extract::State, http::StatusCode};
use stylobate::{
    Platform,
    core::{Page, RequestContext, WebhookDeliveryId, WebhookEndpointId},
    endpoints::{Permission, Route, Routes},
    events::{DeliveryQuery, EndpointQuery, WebhookDelivery, Webhooks, WebhooksError},
    middleware::{ApiError, ApiResult, Context, ListQuery, PathId, PathIds, StrictJson},
};

use super::model::{
    DeliveryFilter, RotateInput, WebhookDeliveryView, WebhookInput, WebhookPatch, WebhookView,
    WebhookWithSecretView,
};
use crate::{
    caller::of_tenant,
    order::{ByCreation, NoFilter, newest_first},
};

const TAG: &str = "webhooks";
const READ: Permission = Permission::Key("webhook.read");
const MANAGE: Permission = Permission::Key("webhook.manage");

pub(crate) fn routes(platform: &Platform) -> Routes {
    let webhooks = platform.webhooks();
    Routes::new()
        .add(
            Route::get("/webhooks", READ)
                .tag(TAG)
                .summary("Lists the webhooks of the organisation, newest first")
                .returns_page::<WebhookView>(),
            webhooks,
            list,
        )
        .add(
            Route::post("/webhooks", MANAGE)
                .tag(TAG)
                .summary("Makes a webhook. The answer has its secret, which is shown this once")
                .body::<WebhookInput>()
                .returns::<WebhookWithSecretView>(201),
            webhooks,
            create,
        )
        .add(
            Route::get("/webhooks/{id}", READ).tag(TAG).summary("Reads a webhook").returns::<WebhookView>(200),
            webhooks,
            get,
        )
        .add(
            Route::patch("/webhooks/{id}", MANAGE)
                .tag(TAG)
                .summary("Changes a webhook, stops it or lets it begin anew")
                .body::<WebhookPatch>()
                .returns::<WebhookView>(200),
            webhooks,
            update,
        )
        .add(
            Route::delete("/webhooks/{id}", MANAGE)
                .tag(TAG)
                .summary("Removes a webhook; what was owed to it is not sent")
                .answers(204, None),
            webhooks,
            delete,
        )
        .add(
            Route::post("/webhooks/{id}/rotate-secret", MANAGE)
                .tag(TAG)
                .summary("Makes another secret, which is shown this once; messages are signed with both for a while")
                .body::<RotateInput>()
                .returns::<WebhookWithSecretView>(200),
            webhooks,
            rotate_secret,
        )
        .add(
            Route::post("/webhooks/{id}/test", MANAGE)
                .tag(TAG)
                .summary("Sends the event `webhook.test` to the webhook")
                .returns::<WebhookDeliveryView>(202),
            webhooks,
            test,
        )
        .add(
            Route::get("/webhooks/{id}/deliveries", READ)
                .tag(TAG)
                .summary("Lists the messages to a webhook, newest first")
                .query::<DeliveryFilter>()
                .returns_page::<WebhookDeliveryView>(),
            webhooks,
            deliveries,
        )
        .add(
            Route::get("/webhooks/{id}/deliveries/{delivery_id}", READ)
                .tag(TAG)
                .summary("Reads a message to a webhook, and what came of it")
                .returns::<WebhookDeliveryView>(200),
            webhooks,
            delivery,
        )
        .add(
            Route::post("/webhooks/{id}/deliveries/{delivery_id}/redeliver", MANAGE)
                .tag(TAG)
                .summary("Sends a message again, at once and with all its attempts")
                .returns::<WebhookDeliveryView>(202),
            webhooks,
            redeliver,
        )
}

async fn list(
    State(webhooks): State<Webhooks>,
    context: Context,
    query: ListQuery<NoFilter, ByCreation>,
) -> ApiResult<Json<Page<WebhookView>>> {
    let page = newest_first(query.page)?;
    let asked = EndpointQuery { limit: page.limit, cursor: page.cursor };
    Ok(Json(webhooks.list(of_tenant(&context)?, &asked).await?.map(WebhookView::from)))
}

async fn create(
    State(webhooks): State<Webhooks>,
    context: Context,
    StrictJson(input): StrictJson<WebhookInput>,
) -> ApiResult<(StatusCode, Json<WebhookWithSecretView>)> {
    let (endpoint, secret) = webhooks.create(of_tenant(&context)?, input.into()).await.map_err(as_asked)?;
    Ok((StatusCode::CREATED, Json(WebhookWithSecretView::new(endpoint, &secret))))
}

async fn get(
    State(webhooks): State<Webhooks>,
    context: Context,
    PathId(id): PathId<WebhookEndpointId>,
) -> ApiResult<Json<WebhookView>> {
    Ok(Json(webhooks.get(of_tenant(&context)?, id).await?.into()))
}

async fn update(
    State(webhooks): State<Webhooks>,
    context: Context,
    PathId(id): PathId<WebhookEndpointId>,
    StrictJson(patch): StrictJson<WebhookPatch>,
) -> ApiResult<Json<WebhookView>> {
    let endpoint = webhooks.update(of_tenant(&context)?, id, patch.into()).await.map_err(as_asked)?;
    Ok(Json(endpoint.into()))
}

async fn delete(
    State(webhooks): State<Webhooks>,
    context: Context,
    PathId(id): PathId<WebhookEndpointId>,
) -> ApiResult<StatusCode> {
    webhooks.delete(of_tenant(&context)?, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn rotate_secret(
    State(webhooks): State<Webhooks>,
    context: Context,
    PathId(id): PathId<WebhookEndpointId>,
    StrictJson(input): StrictJson<RotateInput>,
) -> ApiResult<Json<WebhookWithSecretView>> {
    let overlap = input.overlap_seconds.map(Duration::from_secs);
    let (endpoint, secret) = webhooks.rotate_secret(of_tenant(&context)?, id, overlap).await?;
    Ok(Json(WebhookWithSecretView::new(endpoint, &secret)))
}

async fn test(
    State(webhooks): State<Webhooks>,
    context: Context,
    PathId(id): PathId<WebhookEndpointId>,
) -> ApiResult<(StatusCode, Json<WebhookDeliveryView>)> {
    let delivery = webhooks.test(of_tenant(&context)?, id).await?;
    Ok((StatusCode::ACCEPTED, Json(delivery.into())))
}

async fn deliveries(
    State(webhooks): State<Webhooks>,
    context: Context,
    PathId(id): PathId<WebhookEndpointId>,
    query: ListQuery<DeliveryFilter, ByCreation>,
) -> ApiResult<Json<Page<WebhookDeliveryView>>> {
    let page = newest_first(query.page)?;
    let state = query.filter.status;
    let asked = DeliveryQuery { state, limit: page.limit, cursor: page.cursor, ..DeliveryQuery::of(id) };
    Ok(Json(webhooks.deliveries(of_tenant(&context)?, &asked).await?.map(WebhookDeliveryView::from)))
}

async fn delivery(
    State(webhooks): State<Webhooks>,
    context: Context,
    PathIds(id, delivery): PathIds<WebhookEndpointId, WebhookDeliveryId>,
) -> ApiResult<Json<WebhookDeliveryView>> {
    Ok(Json(find(&webhooks, of_tenant(&context)?, id, delivery).await?.into()))
}

async fn redeliver(
    State(webhooks): State<Webhooks>,
    context: Context,
    PathIds(id, delivery): PathIds<WebhookEndpointId, WebhookDeliveryId>,
) -> ApiResult<(StatusCode, Json<WebhookDeliveryView>)> {
    let context = of_tenant(&context)?;
    find(&webhooks, context, id, delivery).await?;
    Ok((StatusCode::ACCEPTED, Json(webhooks.redeliver(context, delivery).await?.into())))
}

/// Callers know the types that a webhook hears as `events`.
fn as_asked(error: WebhooksError) -> WebhooksError {
    match error {
        WebhooksError::Invalid { field: "types", problem } => {
            WebhooksError::Invalid { field: "events", problem }
        }
        error => error,
    }
}

/// The delivery, if it is one of that webhook's.
async fn find(
    webhooks: &Webhooks,
    context: &RequestContext,
    id: WebhookEndpointId,
    delivery: WebhookDeliveryId,
) -> ApiResult<WebhookDelivery> {
    let found = webhooks.delivery(context, delivery).await?;
    if found.endpoint_id == id { Ok(found) } else { Err(ApiError::not_found()) }
}
