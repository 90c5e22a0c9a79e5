//! To whom nothing is sent: what an organisation decides, and what counts for all of them.

use axum::{Json, extract::State, http::StatusCode};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use stylobate::{
    core::{Page, RequestContext, SuppressionId},
    endpoints::{Permission, Route, Routes},
    middleware::{ApiResult, Context, ListQuery, PathId, StrictJson},
    notify::{Medium, Notifier, Suppression},
};
use utoipa::ToSchema;
use uuid::Uuid;

use super::TAG;
use crate::{
    caller::{of_platform, of_tenant},
    order::{ByCreation, NoFilter, newest_first},
};

const OWN: Permission = Permission::Key("notification.suppression.manage");
const ALL: Permission = Permission::Key("platform.suppressions.manage");

pub(super) fn routes(notifier: &Notifier) -> Routes {
    let of_organisation = Routes::new()
        .add(
            Route::get("/notification-suppressions", OWN)
                .tag(TAG)
                .summary("Lists the addresses that the organisation sends nothing to, newest first")
                .returns_page::<SuppressionView>(),
            notifier,
            list,
        )
        .add(
            Route::post("/notification-suppressions", OWN)
                .tag(TAG)
                .summary("Sends nothing to an address any more")
                .body::<SuppressionInput>()
                .returns::<SuppressionView>(201),
            notifier,
            add,
        )
        .add(
            Route::delete("/notification-suppressions/{id}", OWN)
                .tag(TAG)
                .summary("Sends to an address again")
                .answers(204, None),
            notifier,
            remove,
        );
    let of_platform = Routes::new()
        .add(
            Route::get("/notification-suppressions/platform", ALL)
                .tag(TAG)
                .summary("Lists the addresses that no organisation sends to, newest first: those that servers know nobody at, too")
                .returns_page::<SuppressionView>(),
            notifier,
            list_of_platform,
        )
        .add(
            Route::post("/notification-suppressions/platform", ALL)
                .tag(TAG)
                .summary("Has no organisation send to an address any more")
                .body::<SuppressionInput>()
                .returns::<SuppressionView>(201),
            notifier,
            add_of_platform,
        )
        .add(
            Route::delete("/notification-suppressions/platform/{id}", ALL)
                .tag(TAG)
                .summary("Lets organisations send to an address again")
                .answers(204, None),
            notifier,
            remove_of_platform,
        );
    of_organisation.and(of_platform)
}

/// An address that nothing is sent to.
#[derive(Serialize, ToSchema)]
struct SuppressionView {
    id: Uuid,
    #[schema(value_type = String)]
    medium: Medium,
    /// The address, with most of it hidden.
    destination: String,
    reason: String,
    created_at: DateTime<Utc>,
    /// Until when; for ever without.
    expires_at: Option<DateTime<Utc>>,
}

impl From<Suppression> for SuppressionView {
    fn from(one: Suppression) -> Self {
        let Suppression { medium, destination, reason, created_at, expires_at, .. } = one;
        Self { id: one.id.as_uuid(), medium, destination, reason, created_at, expires_at }
    }
}

/// An address that nothing is to be sent to.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SuppressionInput {
    /// `email` or `sms`.
    #[schema(value_type = String)]
    medium: Medium,
    /// An e-mail address, or a phone number with its country.
    address: String,
    /// 1 to 200 characters.
    reason: String,
    /// Until when; for ever unless given.
    expires_at: Option<DateTime<Utc>>,
}

async fn list(
    State(notifier): State<Notifier>,
    context: Context,
    query: ListQuery<NoFilter, ByCreation>,
) -> ApiResult<Json<Page<SuppressionView>>> {
    list_for(&notifier, of_tenant(&context)?, query).await
}

async fn list_of_platform(
    State(notifier): State<Notifier>,
    context: Context,
    query: ListQuery<NoFilter, ByCreation>,
) -> ApiResult<Json<Page<SuppressionView>>> {
    list_for(&notifier, &of_platform(&context), query).await
}

async fn list_for(
    notifier: &Notifier,
    context: &RequestContext,
    query: ListQuery<NoFilter, ByCreation>,
) -> ApiResult<Json<Page<SuppressionView>>> {
    let page = newest_first(query.page)?;
    let found = notifier.suppressions(context, page.limit, page.cursor.as_deref()).await?;
    Ok(Json(found.map(SuppressionView::from)))
}

async fn add(
    State(notifier): State<Notifier>,
    context: Context,
    StrictJson(input): StrictJson<SuppressionInput>,
) -> ApiResult<(StatusCode, Json<SuppressionView>)> {
    add_for(&notifier, of_tenant(&context)?, input).await
}

async fn add_of_platform(
    State(notifier): State<Notifier>,
    context: Context,
    StrictJson(input): StrictJson<SuppressionInput>,
) -> ApiResult<(StatusCode, Json<SuppressionView>)> {
    add_for(&notifier, &of_platform(&context), input).await
}

async fn add_for(
    notifier: &Notifier,
    context: &RequestContext,
    input: SuppressionInput,
) -> ApiResult<(StatusCode, Json<SuppressionView>)> {
    let SuppressionInput { medium, address, reason, expires_at } = input;
    let made = notifier.suppress(context, medium, &address, &reason, expires_at).await?;
    Ok((StatusCode::CREATED, Json(made.into())))
}

async fn remove(
    State(notifier): State<Notifier>,
    context: Context,
    PathId(id): PathId<SuppressionId>,
) -> ApiResult<StatusCode> {
    notifier.unsuppress(of_tenant(&context)?, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn remove_of_platform(
    State(notifier): State<Notifier>,
    context: Context,
    PathId(id): PathId<SuppressionId>,
) -> ApiResult<StatusCode> {
    notifier.unsuppress(&of_platform(&context), id).await?;
    Ok(StatusCode::NO_CONTENT)
}
