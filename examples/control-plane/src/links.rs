//! The pages behind mailed links. A `GET` shows a form and changes nothing, because mail programs open links by themselves.

mod email;
mod password_reset;

use std::sync::Arc;

use askama::Template;
use axum::{
    http::StatusCode,
    response::{Html, IntoResponse as _, Response},
};
use serde::Deserialize;
use stylobate::{
    Platform,
    endpoints::{MailedLinks, Routes, email_routes, recovery_routes},
    middleware::{ApiError, ApiResult, CspNonce},
};

const TAG: &str = "pages";

pub(crate) fn routes(platform: &Platform) -> Routes {
    let links =
        MailedLinks { auth: platform.auth().clone(), messages: Arc::new(platform.notifier().clone()) };
    recovery_routes(&links)
        .and(email_routes(&links))
        .and(password_reset::routes(&links))
        .and(email::routes(&links))
}

/// What a link has in its query.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LinkQuery {
    #[serde(default)]
    token: String,
}

fn page(status: StatusCode, nonce: CspNonce, template: &impl Template) -> ApiResult<Response> {
    let html = Html(template.render().map_err(ApiError::internal)?);
    Ok((status, nonce, html).into_response())
}
