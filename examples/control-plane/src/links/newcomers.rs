//! Joining with an invitation, and having the account that one asked for.

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
    auth::Password,
    core::FieldProblem,
    endpoints::{AccountRequest, Joined, NewProfile, Newcomers, Permission, Route, Routes, ShownInvitation},
    middleware::{ApiResult, Context, CspNonce, StrictQuery},
};

use super::{LinkQuery, Pages, TAG, page};
use crate::forms::{not_the_form, problems_of};

pub(super) fn routes(pages: &Pages) -> Routes {
    let reason = Permission::Public("the mailed link is the credential, and works once");
    let form = |path, what| Route::get(path, reason).tag(TAG).summary(what).answers(200, Some("text/html"));
    let sent = |path, what| Route::post(path, reason).tag(TAG).summary(what).answers(200, Some("text/html"));
    Routes::new()
        .add(form("/auth/invitations/accept", "The form that accepts an invitation"), pages, invitation_form)
        .add(sent("/auth/invitations/accept/form", "Accepts an invitation, from the form"), pages, accept)
        .add(form("/auth/register/confirm", "The form that makes an account"), pages, confirm_form)
        .add(sent("/auth/register/confirm/form", "Makes an account, from the form"), pages, confirm)
}

#[derive(Template)]
#[template(path = "invitation.html")]
struct InvitationPage<'a> {
    nonce: &'a str,
    base: &'a str,
    chars_min: u32,
    token: &'a str,
    /// While the link is good.
    invitation: Option<&'a ShownInvitation>,
    username: &'a str,
    first_name: &'a str,
    last_name: &'a str,
    is_done: bool,
    problems: &'a [FieldProblem],
}

#[derive(Template)]
#[template(path = "registration.html")]
struct ConfirmPage<'a> {
    nonce: &'a str,
    base: &'a str,
    token: &'a str,
    username: &'a str,
    is_done: bool,
    problems: &'a [FieldProblem],
}

/// Whoever has an account sends its password alone.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AcceptForm {
    token: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    first_name: String,
    #[serde(default)]
    last_name: String,
    password: SecretString,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConfirmForm {
    token: String,
    password: SecretString,
    #[serde(default)]
    username: String,
}

async fn invitation_form(
    State(Pages { newcomers, base, .. }): State<Pages>,
    nonce: CspNonce,
    StrictQuery(query): StrictQuery<LinkQuery>,
) -> ApiResult<Response> {
    let shown = newcomers.show_invitation(&query.token).await?;
    let text = nonce.as_str().to_owned();
    let form = InvitationPage {
        nonce: &text,
        base: &base,
        chars_min: newcomers.auth.config().password_min_length,
        token: &query.token,
        invitation: shown.as_ref(),
        username: "",
        first_name: "",
        last_name: "",
        is_done: false,
        problems: &[],
    };
    page(StatusCode::OK, nonce, &form)
}

async fn accept(
    State(pages): State<Pages>,
    context: Context,
    nonce: CspNonce,
    form: Result<Form<AcceptForm>, FormRejection>,
) -> ApiResult<Response> {
    let Form(input) = form.map_err(not_the_form)?;
    let Pages { newcomers, base, .. } = &pages;
    let shown = newcomers.show_invitation(&input.token).await?;
    let has_account = shown.as_ref().is_some_and(|shown| shown.has_account);
    let (status, problems) = match accept_as(&pages, &context, &input, has_account).await {
        Ok(()) => (StatusCode::OK.into(), Vec::new()),
        Err(refused) => problems_of(refused)?,
    };
    let text = nonce.as_str().to_owned();
    let form = InvitationPage {
        nonce: &text,
        base,
        chars_min: newcomers.auth.config().password_min_length,
        token: &input.token,
        invitation: shown.as_ref(),
        username: &input.username,
        first_name: &input.first_name,
        last_name: &input.last_name,
        is_done: problems.is_empty(),
        problems: &problems,
    };
    page(status, nonce, &form)
}

async fn accept_as(pages: &Pages, context: &Context, input: &AcceptForm, has_account: bool) -> ApiResult<()> {
    let newcomers = &pages.newcomers;
    let password = Password::new(input.password.expose_secret().to_owned())?;
    if has_account {
        newcomers.accept_with_password(context, &input.token, password).await?;
        return Ok(());
    }
    let request = AccountRequest {
        username: Some(input.username.clone()),
        password: Some(password),
        profile: NewProfile {
            first_name: input.first_name.clone(),
            last_name: input.last_name.clone(),
            ..NewProfile::default()
        },
        ..AccountRequest::default()
    };
    newcomers.accept_as_new(context, &input.token, request).await?;
    Ok(())
}

async fn confirm_as(newcomers: &Newcomers, context: &Context, input: &ConfirmForm) -> ApiResult<Joined> {
    let password = Password::new(input.password.expose_secret().to_owned())?;
    newcomers.confirm_registration(context, &input.token, password, Some(&input.username)).await
}

async fn confirm_form(
    State(Pages { base, .. }): State<Pages>,
    nonce: CspNonce,
    StrictQuery(query): StrictQuery<LinkQuery>,
) -> ApiResult<Response> {
    let text = nonce.as_str().to_owned();
    let form = ConfirmPage {
        nonce: &text,
        base: &base,
        token: &query.token,
        username: "",
        is_done: false,
        problems: &[],
    };
    page(StatusCode::OK, nonce, &form)
}

async fn confirm(
    State(Pages { newcomers, base, .. }): State<Pages>,
    context: Context,
    nonce: CspNonce,
    form: Result<Form<ConfirmForm>, FormRejection>,
) -> ApiResult<Response> {
    let Form(input) = form.map_err(not_the_form)?;
    let confirmed = confirm_as(&newcomers, &context, &input).await;
    let (status, problems) = match confirmed {
        Ok(_) => (StatusCode::OK.into(), Vec::new()),
        Err(refused) => problems_of(refused)?,
    };
    let text = nonce.as_str().to_owned();
    let form = ConfirmPage {
        nonce: &text,
        base: &base,
        token: &input.token,
        username: &input.username,
        is_done: problems.is_empty(),
        problems: &problems,
    };
    page(status, nonce, &form)
}
