//! Where people want to hear what is said to them.

use axum::{Json, extract::State};
use stylobate::{
    core::{NotificationChannelId, Page, RequestContext},
    endpoints::{IdKind, IdPosition, Permission, Route, Routes},
    middleware::{ApiResult, Context, ListQuery, PathId},
    notify::{ChannelOwner, Notifier},
};

use super::{
    TAG,
    channels::{
        ChannelInput, ChannelPatch, ChannelView, ChannelWithSecretView, Channels, create, delete, get, list,
        test, update,
    },
    deliveries::DeliveryView,
    notifications::person_of,
};
use crate::order::{ByCreation, NoFilter, newest_first};

const OWN: Permission = Permission::Authenticated;

pub(super) fn routes(notifier: &Notifier) -> Routes {
    let channels = Channels::new(notifier, caller);
    Routes::new()
        .add(
            Route::get("/notification-channels/me", OWN)
                .tag(TAG)
                .summary("Lists the caller's own channels, newest first")
                .returns_page::<ChannelView>(),
            &channels,
            list,
        )
        .add(
            Route::post("/notification-channels/me", OWN)
                .tag(TAG)
                .summary("Makes a channel for what is said to the caller. Mail goes to nobody but the caller")
                .body::<ChannelInput>()
                .returns::<ChannelWithSecretView>(201),
            &channels,
            create,
        )
        .add(
            Route::get("/notification-channels/me/{id}", OWN)
                .tag(TAG)
                .summary("Reads a channel of the caller")
                .returns::<ChannelView>(200),
            &channels,
            get,
        )
        .add(
            Route::put("/notification-channels/me/{id}", OWN)
                .tag(TAG)
                .summary("Changes what is given about a channel of the caller")
                .body::<ChannelPatch>()
                .returns::<ChannelWithSecretView>(200),
            &channels,
            update,
        )
        .add(
            Route::delete("/notification-channels/me/{id}", OWN)
                .tag(TAG)
                .summary("Removes a channel of the caller")
                .answers(204, None),
            &channels,
            delete,
        )
        .add(
            Route::post("/notification-channels/me/{id}/test", OWN)
                .tag(TAG)
                .summary("Sends a message through a channel of the caller, to try it out")
                .returns::<DeliveryView>(202),
            &channels,
            test,
        )
        .add(
            Route::get("/notification-channels/me/{id}/deliveries", OWN)
                .tag(TAG)
                .summary("Lists what was sent through a channel of the caller, what was not, and why, newest first")
                .returns_page::<DeliveryView>()
                .id(IdPosition::Query, "cursor", IdKind::NotificationDelivery),
            notifier,
            deliveries,
        )
}

fn caller(context: &RequestContext) -> ApiResult<ChannelOwner> {
    Ok(ChannelOwner::Person(person_of(context)?))
}

async fn deliveries(
    State(notifier): State<Notifier>,
    context: Context,
    PathId(id): PathId<NotificationChannelId>,
    query: ListQuery<NoFilter, ByCreation>,
) -> ApiResult<Json<Page<DeliveryView>>> {
    let page = newest_first(query.page)?;
    let found =
        notifier.channel_deliveries(caller(&context)?, id, page.limit, page.cursor.as_deref()).await?;
    Ok(Json(found.map(DeliveryView::from)))
}
