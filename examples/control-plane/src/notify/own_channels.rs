//! Where people want to hear what is said to them.

use axum::{Json, extract::State, http::StatusCode};
use stylobate::{
    core::{NotificationChannelId, Page, RequestContext},
    endpoints::{Permission, Route, Routes},
    middleware::{ApiResult, Context, ListQuery, PathId, StrictJson},
    notify::{ChannelOwner, Notifier},
};

use super::{
    TAG,
    channels::{
        ChannelInput, ChannelPatch, ChannelView, ChannelWithSecretView, create_of, list_of, update_of,
    },
    deliveries::DeliveryView,
    notifications::person_of,
};
use crate::order::{ByCreation, NoFilter, newest_first};

const OWN: Permission = Permission::Authenticated;

pub(super) fn routes(notifier: &Notifier) -> Routes {
    Routes::new()
        .add(
            Route::get("/notification-channels/me", OWN)
                .tag(TAG)
                .summary("Lists the caller's own channels, newest first")
                .returns_page::<ChannelView>(),
            notifier,
            list,
        )
        .add(
            Route::post("/notification-channels/me", OWN)
                .tag(TAG)
                .summary("Makes a channel for what is said to the caller. Mail goes to nobody but the caller")
                .body::<ChannelInput>()
                .returns::<ChannelWithSecretView>(201),
            notifier,
            create,
        )
        .add(
            Route::get("/notification-channels/me/{id}", OWN)
                .tag(TAG)
                .summary("Reads a channel of the caller")
                .returns::<ChannelView>(200),
            notifier,
            get,
        )
        .add(
            Route::put("/notification-channels/me/{id}", OWN)
                .tag(TAG)
                .summary("Changes what is given about a channel of the caller")
                .body::<ChannelPatch>()
                .returns::<ChannelWithSecretView>(200),
            notifier,
            update,
        )
        .add(
            Route::delete("/notification-channels/me/{id}", OWN)
                .tag(TAG)
                .summary("Removes a channel of the caller")
                .answers(204, None),
            notifier,
            delete,
        )
        .add(
            Route::post("/notification-channels/me/{id}/test", OWN)
                .tag(TAG)
                .summary("Sends a message through a channel of the caller, to try it out")
                .returns::<DeliveryView>(202),
            notifier,
            test,
        )
        .add(
            Route::get("/notification-channels/me/{id}/deliveries", OWN)
                .tag(TAG)
                .summary("Lists what was sent through a channel of the caller, what was not, and why, newest first")
                .returns_page::<DeliveryView>(),
            notifier,
            deliveries,
        )
}

fn owner(context: &RequestContext) -> ApiResult<ChannelOwner> {
    Ok(ChannelOwner::Person(person_of(context)?))
}

async fn list(
    State(notifier): State<Notifier>,
    context: Context,
    query: ListQuery<NoFilter, ByCreation>,
) -> ApiResult<Json<Page<ChannelView>>> {
    list_of(&notifier, owner(&context)?, query).await
}

async fn create(
    State(notifier): State<Notifier>,
    context: Context,
    StrictJson(input): StrictJson<ChannelInput>,
) -> ApiResult<(StatusCode, Json<ChannelWithSecretView>)> {
    create_of(&notifier, &context, owner(&context)?, input).await
}

async fn get(
    State(notifier): State<Notifier>,
    context: Context,
    PathId(id): PathId<NotificationChannelId>,
) -> ApiResult<Json<ChannelView>> {
    Ok(Json(notifier.channel(owner(&context)?, id).await?.into()))
}

async fn update(
    State(notifier): State<Notifier>,
    context: Context,
    PathId(id): PathId<NotificationChannelId>,
    StrictJson(patch): StrictJson<ChannelPatch>,
) -> ApiResult<Json<ChannelWithSecretView>> {
    update_of(&notifier, &context, owner(&context)?, id, patch).await
}

async fn delete(
    State(notifier): State<Notifier>,
    context: Context,
    PathId(id): PathId<NotificationChannelId>,
) -> ApiResult<StatusCode> {
    notifier.delete_channel(&context, owner(&context)?, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn test(
    State(notifier): State<Notifier>,
    context: Context,
    PathId(id): PathId<NotificationChannelId>,
) -> ApiResult<(StatusCode, Json<DeliveryView>)> {
    let delivery = notifier.test_channel(&context, owner(&context)?, id).await?;
    Ok((StatusCode::ACCEPTED, Json(delivery.into())))
}

async fn deliveries(
    State(notifier): State<Notifier>,
    context: Context,
    PathId(id): PathId<NotificationChannelId>,
    query: ListQuery<NoFilter, ByCreation>,
) -> ApiResult<Json<Page<DeliveryView>>> {
    let page = newest_first(query.page)?;
    let found = notifier.channel_deliveries(owner(&context)?, id, page.limit, page.cursor.as_deref()).await?;
    Ok(Json(found.map(DeliveryView::from)))
}
