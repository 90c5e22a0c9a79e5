//! Asking for a link that sets a new password, and setting one with it.

use askama::Template;
use axum::{
    Form,
    extract::{State, rejection::FormRejection},
    http::StatusCode,
    response::Response,
};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use stylobate::{
    core::FieldProblem,
    endpoints::{Permission, Route, Routes},
    middleware::{ApiResult, Context, CspNonce, StrictQuery},
};

use super::{LinkQuery, Pages, TAG, page};
use crate::forms::{not_the_form, problems_of};

pub(super) fn routes(pages: &Pages) -> Routes {
    let ask = Permission::Public("whoever forgot a password has no credential; requests are limited");
    let set = Permission::Public("the mailed link is the credential, and works once");
    Routes::new()
        .add(
            Route::get("/auth/password-reset-request", ask)
                .tag(TAG)
                .summary("The form that asks for a link")
                .answers(200, Some("text/html")),
            pages,
            ask_form,
        )
        .add(
            Route::post("/auth/password-reset-request/form", ask)
                .tag(TAG)
                .summary("Asks for a link, from the form")
                .answers(200, Some("text/html")),
            pages,
            asked,
        )
        .add(
            Route::get("/auth/password-reset", set)
                .tag(TAG)
                .summary("The form behind a mailed link")
                .answers(200, Some("text/html")),
            pages,
            set_form,
        )
        .add(
            Route::post("/auth/password-reset/form", set)
                .tag(TAG)
                .summary("Sets a new password, from the form")
                .answers(200, Some("text/html")),
            pages,
            set_password,
        )
}

#[derive(Template)]
#[template(path = "password_reset_request.html")]
struct AskPage<'a> {
    nonce: &'a str,
    base: &'a str,
    email: &'a str,
    is_sent: bool,
    problems: &'a [FieldProblem],
}

#[derive(Template)]
#[template(path = "password_reset.html")]
struct SetPage<'a> {
    nonce: &'a str,
    base: &'a str,
    chars_min: u32,
    token: &'a str,
    is_open: bool,
    is_set: bool,
    problems: &'a [FieldProblem],
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AskForm {
    email: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetForm {
    token: String,
    new_password: SecretString,
}

async fn ask_form(State(Pages { base, .. }): State<Pages>, nonce: CspNonce) -> ApiResult<Response> {
    let text = nonce.as_str().to_owned();
    let form = AskPage { nonce: &text, base: &base, email: "", is_sent: false, problems: &[] };
    page(StatusCode::OK, nonce, &form)
}

async fn asked(
    State(Pages { links, base, .. }): State<Pages>,
    context: Context,
    nonce: CspNonce,
    form: Result<Form<AskForm>, FormRejection>,
) -> ApiResult<Response> {
    let Form(input) = form.map_err(not_the_form)?;
    let (status, problems) = match links.request_password_reset(&context, &input.email).await {
        Ok(()) => (StatusCode::OK.into(), Vec::new()),
        Err(refused) => problems_of(refused)?,
    };
    let text = nonce.as_str().to_owned();
    let is_sent = problems.is_empty();
    let form = AskPage { nonce: &text, base: &base, email: &input.email, is_sent, problems: &problems };
    page(status, nonce, &form)
}

async fn set_form(
    State(Pages { links, base, .. }): State<Pages>,
    nonce: CspNonce,
    StrictQuery(query): StrictQuery<LinkQuery>,
) -> ApiResult<Response> {
    let is_open = links.auth.is_reset_link_open(&query.token).await?;
    let text = nonce.as_str().to_owned();
    let form = SetPage {
        nonce: &text,
        base: &base,
        chars_min: links.auth.config().password_min_length,
        token: if is_open { &query.token } else { "" },
        is_open,
        is_set: false,
        problems: &[],
    };
    page(StatusCode::OK, nonce, &form)
}

async fn set_password(
    State(Pages { links, base, .. }): State<Pages>,
    context: Context,
    nonce: CspNonce,
    form: Result<Form<SetForm>, FormRejection>,
) -> ApiResult<Response> {
    let Form(input) = form.map_err(not_the_form)?;
    let new = input.new_password.expose_secret().to_owned();
    let (status, problems) = match links.reset_password(&context, &input.token, new).await {
        Ok(()) => (StatusCode::OK.into(), Vec::new()),
        Err(refused) => problems_of(refused)?,
    };
    let is_open = problems.is_empty() || links.auth.is_reset_link_open(&input.token).await?;
    let text = nonce.as_str().to_owned();
    let form = SetPage {
        nonce: &text,
        base: &base,
        chars_min: links.auth.config().password_min_length,
        token: if is_open { &input.token } else { "" },
        is_open,
        is_set: problems.is_empty(),
        problems: &problems,
    };
    page(status, nonce, &form)
}
