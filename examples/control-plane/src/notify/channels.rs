//! Where an organisation wants to hear what happens: mail, chats, signed webhooks.

use axum::{Json, extract::State, http::StatusCode};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stylobate::{
    core::{NotificationChannelId, Page, RequestContext},
    endpoints::{Permission, Route, Routes},
    middleware::{ApiError, ApiResult, Context, ListQuery, PathId, StrictJson},
    notify::{
        ChannelChange, ChannelDisabled, ChannelOwner, ChannelQuery, Medium, NewChannel, NotificationChannel,
        Notifier, Severity,
    },
};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{TAG, deliveries::DeliveryView};
use crate::order::{ByCreation, NoFilter, newest_first};

const READ: Permission = Permission::Key("notification.channel.read");
const MANAGE: Permission = Permission::Key("notification.channel.manage");

pub(super) fn routes(notifier: &Notifier) -> Routes {
    let channels = Channels::new(notifier, organisation);
    Routes::new()
        .add(
            Route::get("/notification-channels", READ)
                .tag(TAG)
                .summary("Lists the channels of the organisation, newest first")
                .returns_page::<ChannelView>(),
            &channels,
            list,
        )
        .add(
            Route::post("/notification-channels", MANAGE)
                .tag(TAG)
                .summary("Makes a channel. The answer has the secret of a webhook, which is shown this once")
                .body::<ChannelInput>()
                .returns::<ChannelWithSecretView>(201),
            &channels,
            create,
        )
        .add(
            Route::get("/notification-channels/{id}", READ)
                .tag(TAG)
                .summary("Reads a channel")
                .returns::<ChannelView>(200),
            &channels,
            get,
        )
        .add(
            Route::put("/notification-channels/{id}", MANAGE)
                .tag(TAG)
                .summary("Changes what is given about a channel. Another configuration gives a webhook another secret")
                .body::<ChannelPatch>()
                .returns::<ChannelWithSecretView>(200),
            &channels,
            update,
        )
        .add(
            Route::delete("/notification-channels/{id}", MANAGE)
                .tag(TAG)
                .summary("Removes a channel; what was owed to it is not sent")
                .answers(204, None),
            &channels,
            delete,
        )
        .add(
            Route::post("/notification-channels/{id}/test", MANAGE)
                .tag(TAG)
                .summary("Sends a message through a channel, to try it out")
                .returns::<DeliveryView>(202),
            &channels,
            test,
        )
}

/// A channel. What opens it is not shown.
#[derive(Serialize, ToSchema)]
pub(super) struct ChannelView {
    id: Uuid,
    /// `email`, `slack`, `mattermost`, `teams`, `discord`, `telegram` or `webhook`.
    #[schema(value_type = String)]
    channel_type: Medium,
    label: String,
    /// Where it leads, with most of it hidden.
    destination: String,
    /// What it hears: kinds of messages and types of events, `user.*` for all that begin so, `*` for all.
    events: Vec<String>,
    /// What matters less is not heard.
    #[schema(value_type = String)]
    severity_min: Severity,
    is_active: bool,
    /// Why nothing is sent: `by_hand`, `gone` or `failing` (for five days).
    #[schema(value_type = Option<String>)]
    disabled_reason: Option<ChannelDisabled>,
    /// Since when every attempt has failed.
    failing_since: Option<DateTime<Utc>>,
    version: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl From<NotificationChannel> for ChannelView {
    fn from(channel: NotificationChannel) -> Self {
        Self {
            id: channel.id.as_uuid(),
            channel_type: channel.channel_type,
            label: channel.label,
            destination: channel.destination,
            events: channel.events,
            severity_min: channel.severity_min,
            is_active: channel.is_active,
            disabled_reason: channel.disabled_reason,
            failing_since: channel.failing_since,
            version: channel.version,
            created_at: channel.created_at,
            updated_at: channel.updated_at,
        }
    }
}

/// A channel, and the secret that the messages of a webhook are signed with. It is shown this once.
#[derive(Serialize, ToSchema)]
pub(super) struct ChannelWithSecretView {
    #[serde(flatten)]
    channel: ChannelView,
    /// `whsec_…`: give it to the receiver.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

/// A channel to be made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ChannelInput {
    /// `email`, `slack`, `mattermost`, `teams`, `discord`, `telegram` or `webhook`.
    #[schema(value_type = String)]
    channel_type: Medium,
    /// What it is for, 1 to 100 characters.
    label: String,
    /// `{"address"}` of `email`, `{"bot_token","chat_id"}` of `telegram`, `{"url"}` of the others.
    config: Value,
    /// What it hears; everything unless given.
    events: Option<Vec<String>>,
    /// `info` unless given.
    #[schema(value_type = Option<String>)]
    severity_min: Option<Severity>,
}

impl From<ChannelInput> for NewChannel {
    fn from(input: ChannelInput) -> Self {
        Self {
            channel_type: input.channel_type,
            label: input.label,
            config: input.config,
            events: input.events.unwrap_or_else(|| vec!["*".to_owned()]),
            severity_min: input.severity_min.unwrap_or(Severity::Info),
        }
    }
}

/// What changes about a channel; what is left out stays.
#[derive(Deserialize, ToSchema, Default)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ChannelPatch {
    label: Option<String>,
    /// The whole of it: nothing of the one before stays.
    config: Option<Value>,
    events: Option<Vec<String>>,
    #[schema(value_type = Option<String>)]
    severity_min: Option<Severity>,
    /// `false` stops it; `true` lets it begin anew.
    is_active: Option<bool>,
    /// Refuses the change if the channel has another version by now.
    version: Option<i64>,
}

impl From<ChannelPatch> for ChannelChange {
    fn from(patch: ChannelPatch) -> Self {
        let ChannelPatch { label, config, events, severity_min, is_active, version } = patch;
        Self { label, config, events, severity_min, is_active, version }
    }
}

/// The channels that a caller asks for: the organisation's, or their own.
#[derive(Clone)]
pub(super) struct Channels {
    notifier: Notifier,
    owner: fn(&RequestContext) -> ApiResult<ChannelOwner>,
}

impl Channels {
    pub(super) fn new(notifier: &Notifier, owner: fn(&RequestContext) -> ApiResult<ChannelOwner>) -> Self {
        Self { notifier: notifier.clone(), owner }
    }
}

fn organisation(context: &RequestContext) -> ApiResult<ChannelOwner> {
    let tenant = crate::caller::of_tenant(context)?.principal.tenant;
    Ok(ChannelOwner::Tenant(tenant.ok_or_else(ApiError::not_found)?))
}

pub(super) async fn list(
    State(Channels { notifier, owner }): State<Channels>,
    context: Context,
    query: ListQuery<NoFilter, ByCreation>,
) -> ApiResult<Json<Page<ChannelView>>> {
    let page = newest_first(query.page)?;
    let asked = ChannelQuery { limit: page.limit, cursor: page.cursor };
    Ok(Json(notifier.channels(owner(&context)?, &asked).await?.map(ChannelView::from)))
}

pub(super) async fn create(
    State(Channels { notifier, owner }): State<Channels>,
    context: Context,
    StrictJson(input): StrictJson<ChannelInput>,
) -> ApiResult<(StatusCode, Json<ChannelWithSecretView>)> {
    let (channel, secret) = notifier.create_channel(&context, owner(&context)?, input.into()).await?;
    let secret = secret.map(|secret| secret.expose().to_owned());
    Ok((StatusCode::CREATED, Json(ChannelWithSecretView { channel: channel.into(), secret })))
}

pub(super) async fn get(
    State(Channels { notifier, owner }): State<Channels>,
    context: Context,
    PathId(id): PathId<NotificationChannelId>,
) -> ApiResult<Json<ChannelView>> {
    Ok(Json(notifier.channel(owner(&context)?, id).await?.into()))
}

pub(super) async fn update(
    State(Channels { notifier, owner }): State<Channels>,
    context: Context,
    PathId(id): PathId<NotificationChannelId>,
    StrictJson(patch): StrictJson<ChannelPatch>,
) -> ApiResult<Json<ChannelWithSecretView>> {
    let (channel, secret) = notifier.update_channel(&context, owner(&context)?, id, patch.into()).await?;
    let secret = secret.map(|secret| secret.expose().to_owned());
    Ok(Json(ChannelWithSecretView { channel: channel.into(), secret }))
}

pub(super) async fn delete(
    State(Channels { notifier, owner }): State<Channels>,
    context: Context,
    PathId(id): PathId<NotificationChannelId>,
) -> ApiResult<StatusCode> {
    notifier.delete_channel(&context, owner(&context)?, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn test(
    State(Channels { notifier, owner }): State<Channels>,
    context: Context,
    PathId(id): PathId<NotificationChannelId>,
) -> ApiResult<(StatusCode, Json<DeliveryView>)> {
    let delivery = notifier.test_channel(&context, owner(&context)?, id).await?;
    Ok((StatusCode::ACCEPTED, Json(delivery.into())))
}
