use std::sync::Arc;

use axum::{extract::State, http::StatusCode};
use serde::Deserialize;
use stylobate_tower_middleware::{ApiResult, Context, Permission, StrictJson};
use utoipa::ToSchema;

use super::{MailedLinks, TAG, mailed_links::address, password::password};
use crate::{Route, Routes};

/// `POST /auth/verify-email`: a mailed link that proves that mail to an address arrives; `POST /auth/verify-email/resend` has the
/// caller mailed one.
///
/// `POST /auth/email-change`: asks for another address, with the present password; `POST /auth/email-change/confirm` takes the
/// link that was mailed there.
#[must_use]
pub fn email_routes(links: &MailedLinks) -> Routes {
    let reason = Permission::Public("the mailed link in the body is the credential, and works once");
    let verify = Route::post("/auth/verify-email", reason).tag(TAG).summary("Proves an address with a link");
    let resend = Route::post("/auth/verify-email/resend", Permission::Authenticated)
        .tag(TAG)
        .summary("Mails the caller a link that proves their address");
    let change = Route::post("/auth/email-change", Permission::Authenticated)
        .tag(TAG)
        .summary("Asks for another e-mail address");
    let confirm = Route::post("/auth/email-change/confirm", reason)
        .tag(TAG)
        .summary("Takes another e-mail address with a link");
    Routes::new()
        .add(verify.body::<LinkInput>().answers(204, None), links, verify_email)
        .add(resend.answers(202, None), links, request_verification)
        .add(change.body::<EmailChangeInput>().answers(202, None), links, request_change)
        .add(confirm.body::<LinkInput>().answers(204, None), links, confirm_change)
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct LinkInput {
    /// The `token` of the mailed link.
    token: String,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct EmailChangeInput {
    new_email: String,
    current_password: String,
}

async fn verify_email(
    State(links): State<MailedLinks>,
    context: Context,
    StrictJson(input): StrictJson<LinkInput>,
) -> ApiResult<StatusCode> {
    links.verify_email(&context, &input.token).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn request_verification(State(links): State<MailedLinks>, context: Context) -> ApiResult<StatusCode> {
    links.auth.request_email_verification(&context, Arc::clone(&links.messages)).await?;
    Ok(StatusCode::ACCEPTED)
}

async fn request_change(
    State(links): State<MailedLinks>,
    context: Context,
    StrictJson(input): StrictJson<EmailChangeInput>,
) -> ApiResult<StatusCode> {
    let new = address("new_email", &input.new_email)?;
    let current = password("current_password", input.current_password)?;
    links.auth.request_email_change(&context, current, &new, Arc::clone(&links.messages)).await?;
    Ok(StatusCode::ACCEPTED)
}

async fn confirm_change(
    State(links): State<MailedLinks>,
    context: Context,
    StrictJson(input): StrictJson<LinkInput>,
) -> ApiResult<StatusCode> {
    links.confirm_email_change(&context, &input.token).await?;
    Ok(StatusCode::NO_CONTENT)
}
