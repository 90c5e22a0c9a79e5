//! The pages behind mailed links. A `GET` shows a form and changes nothing, because mail programs open links by themselves.

mod email;
mod password_reset;

use std::sync::Arc;

use askama::Template;
use axum::response::Response;
use serde::Deserialize;
use stylobate::{
    Platform,
    endpoints::{MailedLinks, Routes, email_routes, recovery_routes},
    middleware::{ApiError, ApiResult, CspNonce},
};

use crate::{forms::PageStatus, people::People};

const TAG: &str = "pages";

/// What the pages work with.
#[derive(Clone)]
struct Pages {
    links: MailedLinks,
    /// What stands before the paths of routes in a browser. Forms lead to their own routes, whatever name the page was opened under.
    base: Arc<str>,
}

pub(crate) fn routes(platform: &Platform, people: &People) -> Routes {
    let links = MailedLinks {
        auth: platform.auth().clone(),
        db: platform.db().clone(),
        messages: Arc::new(platform.notifier().clone()),
        follower: Some(Arc::new(people.clone())),
    };
    let public = platform.settings().public_url.as_ref();
    let base = public.map_or("", |url| url.path().trim_end_matches('/'));
    let pages = Pages { links: links.clone(), base: base.into() };
    recovery_routes(&links)
        .and(email_routes(&links))
        .and(password_reset::routes(&pages))
        .and(email::routes(&pages))
}

/// What a link has in its query. What else is there was added on its way, by whoever counts clicks.
#[derive(Deserialize)]
struct LinkQuery {
    #[serde(default)]
    token: String,
}

fn page(status: impl Into<PageStatus>, nonce: CspNonce, template: &impl Template) -> ApiResult<Response> {
    let html = template.render().map_err(ApiError::internal)?;
    Ok(status.into().answer(nonce, html))
}
