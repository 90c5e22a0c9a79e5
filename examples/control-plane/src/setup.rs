//! The first administrator, made by whoever holds the link that the first start printed.

use askama::Template;
use axum::{
    Form,
    extract::{State, rejection::FormRejection},
    http::StatusCode,
    response::{Html, IntoResponse, Response},
};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use stylobate::{
    Platform,
    auth::AuthError,
    core::{FieldProblem, RequestContext},
    db::{Scope, Tx},
    endpoints::{Permission, Route, Routes},
    middleware::{ApiError, ApiResult, Context, CspNonce, StrictQuery},
};

use crate::{
    admin,
    commands::Failed,
    forms::{PageStatus, not_the_form, problems_of},
    people::PersonInput,
    refused::Refused,
};

/// Makes the one-time link when there is nobody yet, and returns its token.
pub(crate) async fn open(platform: &Platform) -> Result<Option<String>, Failed> {
    let token = platform.auth().create_setup_token().await.map_err(Refused::from)?;
    Ok(token.map(|token| token.expose_secret().to_owned()))
}

pub(crate) fn routes(platform: &Platform) -> Routes {
    let reason = Permission::Public("the one-time link of the first start is the credential");
    Routes::new()
        .add(
            Route::get("/setup", reason)
                .tag("setup")
                .summary("The form for the first administrator")
                .answers(200, Some("text/html")),
            platform,
            form,
        )
        .add(
            Route::post("/setup", reason)
                .tag("setup")
                .summary("Makes the first administrator")
                .answers(201, Some("text/html")),
            platform,
            make,
        )
}

#[derive(Template)]
#[template(path = "setup.html")]
struct SetupPage<'a> {
    nonce: &'a str,
    token: &'a str,
    username: &'a str,
    email: &'a str,
    first_name: &'a str,
    last_name: &'a str,
    problems: &'a [FieldProblem],
}

#[derive(Template)]
#[template(path = "setup_done.html")]
struct DonePage<'a> {
    nonce: &'a str,
    username: &'a str,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetupQuery {
    #[serde(default)]
    token: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetupForm {
    token: String,
    username: String,
    email: String,
    first_name: String,
    last_name: String,
    password: SecretString,
}

async fn form(nonce: CspNonce, StrictQuery(query): StrictQuery<SetupQuery>) -> ApiResult<Response> {
    let page = SetupPage {
        nonce: nonce.as_str(),
        token: &query.token,
        username: "",
        email: "",
        first_name: "",
        last_name: "",
        problems: &[],
    };
    let html = page.render().map_err(ApiError::internal)?;
    Ok(PageStatus::from(StatusCode::OK).answer(nonce, html))
}

async fn make(
    State(platform): State<Platform>,
    context: Context,
    nonce: CspNonce,
    form: Result<Form<SetupForm>, FormRejection>,
) -> ApiResult<Response> {
    let Form(input) = form.map_err(not_the_form)?;
    match make_admin(&platform, &context, &input).await {
        Ok(()) => {
            let page = DonePage { nonce: nonce.as_str(), username: &input.username };
            let html = Html(page.render().map_err(ApiError::internal)?);
            Ok((StatusCode::CREATED, nonce, html).into_response())
        }
        Err(refused) => {
            let (status, problems) = problems_of(refused.into())?;
            let page = SetupPage {
                nonce: nonce.as_str(),
                token: &input.token,
                username: &input.username,
                email: &input.email,
                first_name: &input.first_name,
                last_name: &input.last_name,
                problems: &problems,
            };
            let html = page.render().map_err(ApiError::internal)?;
            Ok(status.answer(nonce, html))
        }
    }
}

async fn make_admin(platform: &Platform, context: &RequestContext, input: &SetupForm) -> Result<(), Refused> {
    // A wrong link is refused before a password is hashed for it, and again by the one statement that redeems it.
    if !platform.auth().is_setup_token_open(&input.token).await? {
        return Err(AuthError::SetupTokenInvalid.into());
    }
    let person = PersonInput::named(
        input.first_name.clone(),
        input.last_name.clone(),
        input.email.clone(),
        input.username.clone(),
        input.password.expose_secret().to_owned(),
    );
    let draft = admin::people(platform).prepare(person).await?;
    let system = RequestContext { process: Some("setup"), ..context.clone() };
    let system = RequestContext { principal: stylobate::core::Principal::system(), ..system };
    let (this, token) = (platform.clone(), input.token.clone());
    platform
        .db()
        .transact(Scope::Platform("first administrator"), async move |tx: &mut Tx| {
            // Of this and a bootstrap at once, one is the first.
            this.rbac().lock_policy(tx, None).await?;
            this.auth().redeem_setup_token(tx, &token).await?;
            admin::make_in(&this, tx, &system, &draft).await?;
            Ok(())
        })
        .await
}
