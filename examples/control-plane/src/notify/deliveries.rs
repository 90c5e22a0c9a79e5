//! What came of messages.

use axum::{Json, extract::State};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use stylobate::{
    core::{MessageDeliveryId, NotificationChannelId, Page},
    endpoints::{Permission, Route, Routes},
    middleware::{ApiResult, Context, ListQuery, PathId},
    notify::{DeliveryState, Medium, MessageDelivery, MessageDeliveryQuery, Notifier, Reason},
};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::TAG;
use crate::{
    caller::of_tenant,
    order::{ByCreation, newest_first},
};

const READ: Permission = Permission::Key("notification.delivery.read");

pub(super) fn routes(notifier: &Notifier) -> Routes {
    Routes::new()
        .add(
            Route::get("/notification-deliveries", READ)
                .tag(TAG)
                .summary("Lists what was sent, what was not, and why, newest first")
                .query::<DeliveryFilter>()
                .returns_page::<DeliveryView>(),
            notifier,
            deliveries,
        )
        .add(
            Route::get("/notification-deliveries/{id}", READ)
                .tag(TAG)
                .summary("Reads what came of one message to one destination")
                .returns::<DeliveryView>(200),
            notifier,
            delivery,
        )
}

/// One message to one destination. What was said is not kept.
#[derive(Serialize, ToSchema)]
pub(super) struct DeliveryView {
    id: Uuid,
    /// The message: several deliveries can be of one.
    message_id: Uuid,
    /// The kind of message.
    kind: String,
    #[schema(value_type = String)]
    medium: Medium,
    channel_id: Option<Uuid>,
    person_id: Option<Uuid>,
    /// Where to, with most of it hidden.
    destination: String,
    /// `pending`, `sent`, `failed` or `dropped`.
    #[schema(value_type = String)]
    status: DeliveryState,
    /// Why it was dropped or failed.
    #[schema(value_type = Option<String>)]
    reason: Option<Reason>,
    attempts: u32,
    /// When it is tried next.
    due_at: Option<DateTime<Utc>>,
    /// Why the last attempt failed: a code.
    error: Option<String>,
    /// The status that the other side answered last, of HTTP or SMTP.
    response_code: Option<u16>,
    created_at: DateTime<Utc>,
    attempted_at: Option<DateTime<Utc>>,
    finished_at: Option<DateTime<Utc>>,
}

impl From<MessageDelivery> for DeliveryView {
    fn from(one: MessageDelivery) -> Self {
        Self {
            id: one.id.as_uuid(),
            message_id: one.message_id.as_uuid(),
            kind: one.kind,
            medium: one.medium,
            channel_id: one.channel_id.map(|id| id.as_uuid()),
            person_id: one.person_id.map(|id| id.as_uuid()),
            destination: one.destination,
            status: one.state,
            reason: one.reason,
            attempts: one.attempts,
            due_at: one.due_at,
            error: one.last_error,
            response_code: one.last_status,
            created_at: one.created_at,
            attempted_at: one.attempted_at,
            finished_at: one.finished_at,
        }
    }
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct DeliveryFilter {
    /// Through which channel.
    channel_id: Option<Uuid>,
    /// `pending`, `sent`, `failed` or `dropped`.
    #[param(value_type = Option<String>)]
    status: Option<DeliveryState>,
    /// `email`, `sms`, `in_app` or a type of channel.
    #[param(value_type = Option<String>)]
    medium: Option<Medium>,
}

async fn deliveries(
    State(notifier): State<Notifier>,
    context: Context,
    query: ListQuery<DeliveryFilter, ByCreation>,
) -> ApiResult<Json<Page<DeliveryView>>> {
    let page = newest_first(query.page)?;
    let asked = MessageDeliveryQuery {
        channel: query.filter.channel_id.map(NotificationChannelId::from_uuid),
        state: query.filter.status,
        medium: query.filter.medium,
        limit: page.limit,
        cursor: page.cursor,
    };
    Ok(Json(notifier.deliveries(of_tenant(&context)?, &asked).await?.map(DeliveryView::from)))
}

async fn delivery(
    State(notifier): State<Notifier>,
    context: Context,
    PathId(id): PathId<MessageDeliveryId>,
) -> ApiResult<Json<DeliveryView>> {
    Ok(Json(notifier.delivery(of_tenant(&context)?, id).await?.into()))
}
