//! Notifications as they come, over a WebSocket and as a stream of events.

use std::sync::Arc;

use serde_json::Value;
use stylobate::{
    Platform,
    core::{BoxFuture, RequestContext},
    endpoints::{Feed, LiveItem, LiveQuery, LiveRoutes, Permission, Route, Routes},
    middleware::{ApiError, ApiResult},
    notify::Notifier,
};
use tokio::sync::watch;

use super::{
    TAG,
    notifications::{NotificationView, person_of},
};

pub(super) fn routes(platform: &Platform) -> Routes {
    let feed = Arc::new(Notifications(platform.notifier().clone()));
    let live = LiveRoutes::new(platform.live_connections(), feed);
    let judged =
        "the handler tells those who are nobody by close code 4001, as browsers are told nothing else";
    Routes::new()
        .add(
            Route::get("/ws/notifications", Permission::Public(judged))
                .reads_credential()
                .tag(TAG)
                .summary(
                    "The caller's notifications as they come, over a WebSocket. The token is offered as a subprotocol, beside `bearer`",
                )
                .query::<LiveQuery>()
                .header(
                    "Sec-WebSocket-Protocol",
                    "`bearer` and the access token, for those without a session cookie; `bearer` is chosen.",
                )
                .answers(101, None),
            &live,
            LiveRoutes::socket,
        )
        .add(
            Route::get("/notifications/stream", Permission::Authenticated)
                .tag(TAG)
                .summary("The same as a stream of server-sent events")
                .query::<LiveQuery>()
                .header("Last-Event-ID", "Like `after`, and goes before it: browsers send it when they come back.")
                .answers(200, Some("text/event-stream")),
            &live,
            LiveRoutes::stream,
        )
}

/// A person's notifications in the order in which they came, each at its position.
struct Notifications(Notifier);

impl Feed for Notifications {
    fn begin<'a>(
        &'a self,
        context: &'a RequestContext,
        seen: Option<&'a str>,
    ) -> BoxFuture<'a, Result<String, ApiError>> {
        Box::pin(async move {
            let seen = seen.map(place).transpose()?;
            let last = self.0.last_position(person_of(context)?).await?;
            Ok(seen.map_or(last, |seen| seen.min(last)).to_string())
        })
    }

    fn after<'a>(
        &'a self,
        context: &'a RequestContext,
        after: &'a str,
    ) -> BoxFuture<'a, Result<Vec<LiveItem>, ApiError>> {
        Box::pin(async move {
            let person = person_of(context)?;
            let found = self.0.notifications_after(person, context.principal.tenant, place(after)?).await?;
            found.into_iter().map(|one| item(one.position, one.into())).collect()
        })
    }

    fn changes(&self, context: &RequestContext) -> watch::Receiver<u64> {
        match context.principal.person_id() {
            Some(person) => self.0.changes(person),
            // Nobody else is let in.
            None => watch::channel(0).1,
        }
    }
}

fn place(text: &str) -> ApiResult<i64> {
    let place = text.parse().ok().filter(|place| *place >= 0);
    place.ok_or_else(|| ApiError::field("after", "invalid", "is no place in this list"))
}

fn item(position: i64, view: NotificationView) -> ApiResult<LiveItem> {
    let data: Value = serde_json::to_value(view).map_err(ApiError::internal)?;
    Ok(LiveItem { id: position.to_string(), kind: "notification", data })
}
