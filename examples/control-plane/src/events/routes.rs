use axum::{Json, extract::State, http::StatusCode};
use serde::Deserialize;
use stylobate::{
    Platform,
    core::{EventId, Page, TenantId},
    endpoints::{Permission, Route, Routes},
    events::{DeadLetterQuery, EventQuery, Events, RelayOptions},
    middleware::{ApiResult, Context, ListQuery, PathId, PathIds, StrictJson},
};

use super::model::{
    EventDeadLetterFilter, EventDeadLetterView, EventFilter, EventTypesView, EventView, ReplayInput,
    ReplayedView, SubscribersView,
};
use crate::{
    caller::{of_platform, of_tenant},
    order::newest_first,
};

const TAG: &str = "events";
const READ: Permission = Permission::Key("event.read");
const EVERYWHERE: Permission = Permission::Key("platform.events.manage");

pub(crate) fn routes(platform: &Platform) -> Routes {
    let events = platform.events();
    Routes::new()
        .add(
            Route::get("/v1/events", READ)
                .tag(TAG)
                .summary("Lists what happened in the organisation, newest first")
                .query::<EventFilter>()
                .returns_page::<EventView>(),
            events,
            list,
        )
        .add(
            Route::get("/v1/events/types", READ)
                .tag(TAG)
                .summary("Lists the types of events, and what they tell")
                .returns::<EventTypesView>(200),
            events,
            types,
        )
        .add(
            Route::get("/v1/events/dead-letters", EVERYWHERE)
                .tag(TAG)
                .summary("Lists the deliveries that were given up, the last first, of all organisations")
                .query::<EventDeadLetterFilter>()
                .returns_page::<EventDeadLetterView>(),
            events,
            dead_letters,
        )
        .add(
            Route::post("/v1/events/dead-letters/replay", EVERYWHERE)
                .tag(TAG)
                .summary("Owes deliveries that were given up once more: one, or all of a subscriber")
                .body::<ReplayInput>()
                .returns::<ReplayedView>(200),
            events,
            replay,
        )
        .add(
            Route::delete("/v1/events/dead-letters/{subscriber}/{event_id}", EVERYWHERE)
                .tag(TAG)
                .no_id("subscriber", "The subscriber's name.")
                .summary("Drops a delivery that was given up: its event never reaches that subscriber")
                .answers(204, None),
            events,
            drop_dead_letter,
        )
        .add(
            Route::get("/v1/events/subscribers", EVERYWHERE)
                .tag(TAG)
                .summary("Lists who hears events, and what they are owed")
                .returns::<SubscribersView>(200),
            events,
            subscribers,
        )
        .add(
            Route::delete("/v1/events/subscribers/{name}", EVERYWHERE)
                .tag(TAG)
                .no_id("name", "The subscriber's name.")
                .summary("Removes a subscriber that no process works for any more, with all that it is owed; 409 while one does")
                .answers(204, None),
            events,
            unsubscribe,
        )
        .add(
            Route::get("/v1/events/{id}", READ).tag(TAG).summary("Reads an event").returns::<EventView>(200),
            events,
            get,
        )
}

/// By what events are ordered.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ByTime {
    #[default]
    OccurredAt,
}

/// By what dead letters are ordered.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ByParking {
    #[default]
    ParkedAt,
}

async fn list(
    State(events): State<Events>,
    context: Context,
    query: ListQuery<EventFilter, ByTime>,
) -> ApiResult<Json<Page<EventView>>> {
    let page = newest_first(query.page)?;
    let EventFilter { r#type, subject, from, to } = query.filter;
    let asked = EventQuery { kind: r#type, subject, from, to, limit: page.limit, cursor: page.cursor };
    Ok(Json(events.list(of_tenant(&context)?, &asked).await?.map(EventView::from)))
}

async fn types(State(events): State<Events>) -> Json<EventTypesView> {
    Json(EventTypesView { items: events.outbox().catalogue().iter().map(Into::into).collect() })
}

async fn get(
    State(events): State<Events>,
    context: Context,
    PathId(id): PathId<EventId>,
) -> ApiResult<Json<EventView>> {
    Ok(Json(events.get(of_tenant(&context)?, id).await?.into()))
}

async fn dead_letters(
    State(events): State<Events>,
    context: Context,
    query: ListQuery<EventDeadLetterFilter, ByParking>,
) -> ApiResult<Json<Page<EventDeadLetterView>>> {
    let page = newest_first(query.page)?;
    let EventDeadLetterFilter { subscriber, organization_id } = query.filter;
    let tenant = organization_id.map(TenantId::from_uuid);
    let asked = DeadLetterQuery { subscriber, tenant, limit: page.limit, cursor: page.cursor };
    Ok(Json(events.dead_letters(&of_platform(&context), &asked).await?.map(EventDeadLetterView::from)))
}

async fn replay(
    State(events): State<Events>,
    context: Context,
    StrictJson(input): StrictJson<ReplayInput>,
) -> ApiResult<Json<ReplayedView>> {
    let context = of_platform(&context);
    let replayed = match input.event_id {
        Some(id) => {
            events.replay(&context, &input.subscriber, EventId::from_uuid(id)).await?;
            1
        }
        None => events.replay_all(&context, &input.subscriber).await?,
    };
    Ok(Json(ReplayedView { replayed }))
}

async fn drop_dead_letter(
    State(events): State<Events>,
    context: Context,
    PathIds(subscriber, event): PathIds<String, EventId>,
) -> ApiResult<StatusCode> {
    events.drop_dead_letter(&of_platform(&context), &subscriber, event).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn subscribers(State(events): State<Events>) -> ApiResult<Json<SubscribersView>> {
    Ok(Json(SubscribersView { items: events.counts().await?.into_iter().map(Into::into).collect() }))
}

async fn unsubscribe(
    State(events): State<Events>,
    context: Context,
    PathId(name): PathId<String>,
) -> ApiResult<StatusCode> {
    events.unsubscribe(&of_platform(&context), &name, RelayOptions::default().lease).await?;
    Ok(StatusCode::NO_CONTENT)
}
