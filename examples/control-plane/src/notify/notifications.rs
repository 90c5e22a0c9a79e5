//! What people find in the product.

use axum::{Json, extract::State, http::StatusCode};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use stylobate::{
    Platform,
    core::{NotificationId, Page, PersonId, Problem, RequestContext},
    db::Scope,
    endpoints::{Permission, Route, Routes},
    middleware::{ApiError, ApiResult, Context, ListQuery, PathId, StrictJson},
    notify::{Category, NewNotification, Notification, NotificationQuery, Severity},
};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::TAG;
use crate::{
    caller::of_tenant,
    order::{ByCreation, newest_first},
};

pub(super) fn routes(platform: &Platform) -> Routes {
    Routes::new()
        .add(
            Route::get("/notifications", Permission::Authenticated)
                .tag(TAG)
                .summary("Lists the caller's notifications, newest first")
                .query::<NotificationFilter>()
                .returns_page::<NotificationView>(),
            platform,
            list,
        )
        .add(
            Route::post("/notifications", Permission::Key("notification.create"))
                .tag(TAG)
                .summary("Writes a notification to a member of the organisation")
                .body::<NotificationInput>()
                .returns::<NotificationView>(201),
            platform,
            create,
        )
        .add(
            Route::get("/notifications/unread-count", Permission::Authenticated)
                .tag(TAG)
                .summary("Counts the caller's unread notifications; counting ends at 1000")
                .returns::<UnreadCount>(200),
            platform,
            unread_count,
        )
        .add(
            Route::post("/notifications/{id}/read", Permission::Authenticated)
                .tag(TAG)
                .summary("Marks a notification of the caller as read")
                .returns::<NotificationView>(200),
            platform,
            read,
        )
        .add(
            Route::post("/notifications/read-all", Permission::Authenticated)
                .tag(TAG)
                .summary("Marks all notifications of the caller as read")
                .returns::<ReadAll>(200),
            platform,
            read_all,
        )
}

/// Something that a person finds in the product.
#[derive(Serialize, ToSchema)]
pub(super) struct NotificationView {
    id: Uuid,
    recipient_id: Uuid,
    /// Who wrote it, if that was a person.
    sender_id: Option<Uuid>,
    /// `security`, `account`, `alert`, `backup`, `deploy` or `system`.
    #[schema(value_type = String)]
    category: Category,
    /// `info`, `success`, `warning`, `error` or `critical`.
    #[schema(value_type = String)]
    severity: Severity,
    /// The kind of message that it came from; `notification` where somebody wrote it.
    kind: String,
    title: String,
    message: String,
    /// Where it leads: a path of the product.
    link: Option<String>,
    entity_type: Option<String>,
    entity_id: Option<String>,
    is_read: bool,
    read_at: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
}

impl From<Notification> for NotificationView {
    fn from(one: Notification) -> Self {
        Self {
            id: one.id.as_uuid(),
            recipient_id: one.person_id.as_uuid(),
            sender_id: one.sender_id.map(|sender| sender.as_uuid()),
            category: one.category,
            severity: one.severity,
            kind: one.kind,
            title: one.title,
            message: one.body,
            link: one.link,
            entity_type: one.entity_type,
            entity_id: one.entity_id,
            is_read: one.read_at.is_some(),
            read_at: one.read_at,
            created_at: one.created_at,
        }
    }
}

#[derive(Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct NotificationFilter {
    /// Only what was not read.
    #[serde(default)]
    unread_only: bool,
}

/// A notification to be written.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NotificationInput {
    /// Whose it will be: a member of the organisation.
    recipient_id: Uuid,
    /// The caller, if anybody.
    sender_id: Option<Uuid>,
    /// One line, up to 200 characters.
    title: String,
    /// The rest, up to 4000 characters.
    #[serde(default)]
    message: String,
    /// `system` unless given.
    #[schema(value_type = Option<String>)]
    category: Option<Category>,
    /// `info` unless given. `type` means the same.
    #[serde(alias = "type")]
    #[schema(value_type = Option<String>)]
    severity: Option<SeverityInput>,
    /// A path of the product. `action_url` means the same.
    #[serde(alias = "action_url")]
    link: Option<String>,
    entity_type: Option<String>,
    entity_id: Option<String>,
}

/// How much it matters, in the words of the systems that are replaced too.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum SeverityInput {
    #[serde(alias = "system")]
    Info,
    Success,
    Warning,
    Error,
    Critical,
}

impl From<SeverityInput> for Severity {
    fn from(input: SeverityInput) -> Self {
        match input {
            SeverityInput::Info => Self::Info,
            SeverityInput::Success => Self::Success,
            SeverityInput::Warning => Self::Warning,
            SeverityInput::Error => Self::Error,
            SeverityInput::Critical => Self::Critical,
        }
    }
}

impl From<NotificationInput> for NewNotification {
    fn from(input: NotificationInput) -> Self {
        Self {
            recipient: PersonId::from_uuid(input.recipient_id),
            category: input.category.unwrap_or(Category::System),
            severity: input.severity.map_or(Severity::Info, Into::into),
            title: input.title,
            body: input.message,
            link: input.link,
            entity_type: input.entity_type,
            entity_id: input.entity_id,
        }
    }
}

#[derive(Serialize, ToSchema)]
struct UnreadCount {
    unread_count: u32,
}

#[derive(Serialize, ToSchema)]
struct ReadAll {
    /// How many were unread.
    read: u64,
}

async fn list(
    State(platform): State<Platform>,
    context: Context,
    query: ListQuery<NotificationFilter, ByCreation>,
) -> ApiResult<Json<Page<NotificationView>>> {
    let page = newest_first(query.page)?;
    let asked =
        NotificationQuery { unread_only: query.filter.unread_only, limit: page.limit, cursor: page.cursor };
    let (person, tenant) = (person_of(&context)?, context.principal.tenant);
    let page = platform.notifier().notifications(person, tenant, &asked).await?;
    Ok(Json(page.map(NotificationView::from)))
}

async fn create(
    State(platform): State<Platform>,
    context: Context,
    StrictJson(input): StrictJson<NotificationInput>,
) -> ApiResult<(StatusCode, Json<NotificationView>)> {
    let context = of_tenant(&context)?;
    let own = context.principal.person_id().map(|person| person.as_uuid());
    if input.sender_id.is_some() && input.sender_id != own {
        return Err(ApiError::field("sender_id", "invalid", "is not the caller"));
    }
    require_member(&platform, context, PersonId::from_uuid(input.recipient_id)).await?;
    let made = platform.notifier().create_notification(context, input.into()).await.map_err(as_asked)?;
    Ok((StatusCode::CREATED, Json(made.into())))
}

async fn unread_count(State(platform): State<Platform>, context: Context) -> ApiResult<Json<UnreadCount>> {
    let (person, tenant) = (person_of(&context)?, context.principal.tenant);
    let unread_count = platform.notifier().unread_count(person, tenant).await?;
    Ok(Json(UnreadCount { unread_count }))
}

async fn read(
    State(platform): State<Platform>,
    context: Context,
    PathId(id): PathId<NotificationId>,
) -> ApiResult<Json<NotificationView>> {
    Ok(Json(platform.notifier().read_notification(&context, id).await?.into()))
}

async fn read_all(State(platform): State<Platform>, context: Context) -> ApiResult<Json<ReadAll>> {
    let read = platform.notifier().read_all_notifications(&context).await?;
    Ok(Json(ReadAll { read }))
}

/// The person who asks: what is found in the product is nobody else's.
pub(super) fn person_of(context: &RequestContext) -> ApiResult<PersonId> {
    let detail = "Only a person can do this.";
    let person = context.principal.person_id();
    Ok(person.ok_or_else(|| Problem::new(403, "not_a_person").detail(detail))?)
}

// A12
/// Somebody of another organisation is as nobody.
async fn require_member(platform: &Platform, context: &RequestContext, person: PersonId) -> ApiResult<()> {
    let Some(tenant) = context.principal.tenant else { return Err(ApiError::not_found()) };
    let mut tx = platform.db().begin_read(Scope::Tenant(tenant)).await?;
    let is_member = platform.tenancy().is_member(&mut tx, tenant, person).await?;
    tx.rollback().await?;
    if is_member { Ok(()) } else { Err(ApiError::field("recipient_id", "invalid", "is nobody")) }
}

/// Callers know the body of a notification as `message`.
fn as_asked(error: stylobate::notify::NotifierError) -> stylobate::notify::NotifierError {
    use stylobate::notify::NotifierError;

    match error {
        NotifierError::Invalid { field: "body", problem } => {
            NotifierError::Invalid { field: "message", problem }
        }
        error => error,
    }
}
