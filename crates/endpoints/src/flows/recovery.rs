use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use stylobate_tower_middleware::{ApiResult, Context, Permission, StrictJson};
use utoipa::ToSchema;

use super::{MailedLinks, TAG};
use crate::{Route, Routes};

/// `POST /auth/password-reset-request`: has whoever owns an address mailed a link, and says the same whoever that is.
///
/// `POST /auth/password-reset`: a mailed link for a new password. It signs nobody in.
#[must_use]
pub fn recovery_routes(links: &MailedLinks) -> Routes {
    let reason = Permission::Public("whoever forgot a password has no credential; requests are limited");
    let ask = Route::post("/auth/password-reset-request", reason)
        .tag(TAG)
        .summary("Asks for a link that sets a new password");
    let reason = Permission::Public("the mailed link in the body is the credential, and works once");
    let reset =
        Route::post("/auth/password-reset", reason).tag(TAG).summary("Sets a new password with a link");
    Routes::new().add(ask.body::<ResetRequestInput>().returns::<Done>(200), links, request).add(
        reset.body::<ResetInput>().returns::<Done>(200),
        links,
        set,
    )
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ResetRequestInput {
    /// The e-mail address of the account.
    email: String,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ResetInput {
    /// The `token` of the mailed link.
    token: String,
    new_password: String,
}

/// What is answered whoever asked.
#[derive(Serialize, ToSchema)]
struct Done {
    /// `ok`
    status: &'static str,
}

const DONE: Json<Done> = Json(Done { status: "ok" });

async fn request(
    State(links): State<MailedLinks>,
    context: Context,
    StrictJson(input): StrictJson<ResetRequestInput>,
) -> ApiResult<Json<Done>> {
    links.request_password_reset(&context, &input.email).await?;
    Ok(DONE)
}

async fn set(
    State(links): State<MailedLinks>,
    context: Context,
    StrictJson(input): StrictJson<ResetInput>,
) -> ApiResult<Json<Done>> {
    links.reset_password(&context, &input.token, input.new_password).await?;
    Ok(DONE)
}
