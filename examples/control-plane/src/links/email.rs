//! Proving an address, and taking another one.

use askama::Template;
use axum::{
    Form,
    extract::{State, rejection::FormRejection},
    http::StatusCode,
    response::Response,
};
use serde::Deserialize;
use stylobate::{
    core::FieldProblem,
    endpoints::{Permission, Route, Routes},
    middleware::{ApiError, ApiResult, Context, CspNonce, StrictQuery},
};

use super::{LinkQuery, Pages, TAG, page};
use crate::forms::{not_the_form, problems_of};

pub(super) fn routes(pages: &Pages) -> Routes {
    let reason = Permission::Public("the mailed link is the credential, and works once");
    let form = |path, what| Route::get(path, reason).tag(TAG).summary(what).answers(200, Some("text/html"));
    let sent = |path, what| Route::post(path, reason).tag(TAG).summary(what).answers(200, Some("text/html"));
    Routes::new()
        .add(form("/auth/verify-email", "The form that proves an address"), pages, verify_form)
        .add(sent("/auth/verify-email/form", "Proves an address, from the form"), pages, verify)
        .add(form("/auth/email-change/confirm", "The form that takes another address"), pages, change_form)
        .add(sent("/auth/email-change/confirm/form", "Takes another address, from the form"), pages, change)
}

/// A button: the link alone must not do it.
#[derive(Template)]
#[template(path = "confirm_email.html")]
struct ConfirmPage<'a> {
    nonce: &'a str,
    title: &'a str,
    action: &'a str,
    token: &'a str,
    is_done: bool,
    problems: &'a [FieldProblem],
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConfirmForm {
    token: String,
}

const VERIFY: &str = "Confirm your e-mail address";
const CHANGE: &str = "Confirm your new e-mail address";

async fn verify_form(
    State(Pages { base, .. }): State<Pages>,
    nonce: CspNonce,
    StrictQuery(query): StrictQuery<LinkQuery>,
) -> ApiResult<Response> {
    form(nonce, VERIFY, &format!("{base}/auth/verify-email/form"), &query.token)
}

async fn change_form(
    State(Pages { base, .. }): State<Pages>,
    nonce: CspNonce,
    StrictQuery(query): StrictQuery<LinkQuery>,
) -> ApiResult<Response> {
    form(nonce, CHANGE, &format!("{base}/auth/email-change/confirm/form"), &query.token)
}

async fn verify(
    State(Pages { links, .. }): State<Pages>,
    context: Context,
    nonce: CspNonce,
    sent: Result<Form<ConfirmForm>, FormRejection>,
) -> ApiResult<Response> {
    let Form(input) = sent.map_err(not_the_form)?;
    answer(nonce, VERIFY, links.verify_email(&context, &input.token).await)
}

async fn change(
    State(Pages { links, .. }): State<Pages>,
    context: Context,
    nonce: CspNonce,
    sent: Result<Form<ConfirmForm>, FormRejection>,
) -> ApiResult<Response> {
    let Form(input) = sent.map_err(not_the_form)?;
    answer(nonce, CHANGE, links.confirm_email_change(&context, &input.token).await)
}

fn form(nonce: CspNonce, title: &str, action: &str, token: &str) -> ApiResult<Response> {
    let text = nonce.as_str().to_owned();
    let form = ConfirmPage { nonce: &text, title, action, token, is_done: false, problems: &[] };
    page(StatusCode::OK, nonce, &form)
}

fn answer(nonce: CspNonce, title: &str, confirmed: Result<(), ApiError>) -> ApiResult<Response> {
    let (status, problems) = match confirmed {
        Ok(()) => (StatusCode::OK.into(), Vec::new()),
        Err(refused) => problems_of(refused)?,
    };
    let text = nonce.as_str().to_owned();
    let is_done = problems.is_empty();
    let said = ConfirmPage { nonce: &text, title, action: "", token: "", is_done, problems: &problems };
    page(status, nonce, &said)
}
