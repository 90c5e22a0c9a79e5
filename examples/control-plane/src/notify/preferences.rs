//! When and about what people are not to be disturbed.

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use stylobate::{
    endpoints::{Permission, Route, Routes},
    middleware::{ApiResult, Context, StrictJson},
    notify::{Category, Notifier, Preferences, QuietHours},
};
use utoipa::ToSchema;

use super::{TAG, notifications::person_of};

pub(super) fn routes(notifier: &Notifier) -> Routes {
    Routes::new()
        .add(
            Route::get("/notification-preferences", Permission::Authenticated)
                .tag(TAG)
                .summary("Reads when and about what the caller is not to be disturbed")
                .returns::<PreferencesBody>(200),
            notifier,
            get,
        )
        .add(
            Route::put("/notification-preferences", Permission::Authenticated)
                .tag(TAG)
                .summary("Says when and about what the caller is not to be disturbed")
                .body::<PreferencesBody>()
                .returns::<PreferencesBody>(200),
            notifier,
            put,
        )
}

/// When and about what somebody is not to be disturbed. What concerns security, and what is critical, comes all the same.
#[derive(Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
struct PreferencesBody {
    quiet_hours: Option<QuietHoursBody>,
    /// What is found in the product only: `account`, `alert`, `backup`, `deploy`, `system`.
    #[schema(value_type = Vec<String>)]
    muted: Vec<Category>,
}

/// In minutes after midnight, 0 to 1439, in the time zone of the profile.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct QuietHoursBody {
    from_min: u16,
    to_min: u16,
}

impl From<Preferences> for PreferencesBody {
    fn from(own: Preferences) -> Self {
        let quiet = |quiet: QuietHours| QuietHoursBody { from_min: quiet.from_min, to_min: quiet.to_min };
        Self { quiet_hours: own.quiet_hours.map(quiet), muted: own.muted }
    }
}

impl From<PreferencesBody> for Preferences {
    fn from(body: PreferencesBody) -> Self {
        let quiet = |quiet: QuietHoursBody| QuietHours { from_min: quiet.from_min, to_min: quiet.to_min };
        Self { quiet_hours: body.quiet_hours.map(quiet), muted: body.muted }
    }
}

async fn get(State(notifier): State<Notifier>, context: Context) -> ApiResult<Json<PreferencesBody>> {
    Ok(Json(notifier.preferences(person_of(&context)?).await?.into()))
}

async fn put(
    State(notifier): State<Notifier>,
    context: Context,
    StrictJson(input): StrictJson<PreferencesBody>,
) -> ApiResult<Json<PreferencesBody>> {
    Ok(Json(notifier.set_preferences(&context, input.into()).await?.into()))
}
