//! The pages behind mailed links. A `GET` shows a form and changes nothing, because mail programs open links by themselves.

mod email;
mod newcomers;
mod password_reset;

use std::sync::Arc;

use askama::Template;
use axum::response::Response;
use serde::Deserialize;
use stylobate::{
    Platform,
    endpoints::{MailedLinks, Newcomers, Routes, email_routes, newcomer_routes, recovery_routes},
    middleware::{ApiError, ApiResult, CspNonce},
};

use crate::{forms::PageStatus, people::People};

const TAG: &str = "pages";

/// What the pages work with.
#[derive(Clone)]
struct Pages {
    links: MailedLinks,
    newcomers: Newcomers,
    /// What stands before the paths of routes in a browser. Forms lead to their own routes, whatever name the page was opened under.
    base: Arc<str>,
}

/// What people come in by.
pub(crate) fn newcomers(platform: &Platform, people: &People) -> Newcomers {
    let settings = platform.settings();
    Newcomers {
        auth: platform.auth().clone(),
        tenancy: platform.tenancy().clone(),
        rbac: platform.rbac().clone(),
        db: platform.db().clone(),
        accounts: Arc::new(people.clone()),
        messages: Arc::new(platform.notifier().clone()),
        registration: settings.registration,
        default_org: platform.default_org(),
        role: settings.registration_role.as_str().into(),
    }
}

pub(crate) fn routes(platform: &Platform, newcomers: &Newcomers) -> Routes {
    let links = MailedLinks {
        auth: platform.auth().clone(),
        db: platform.db().clone(),
        messages: Arc::clone(&newcomers.messages),
        accounts: Arc::clone(&newcomers.accounts),
    };
    let settings = platform.settings();
    let public = settings.public_url.as_ref();
    let base = public.map_or("", |url| url.path().trim_end_matches('/'));
    let pages = Pages { links: links.clone(), newcomers: newcomers.clone(), base: base.into() };
    recovery_routes(&links)
        .and(email_routes(&links))
        .and(newcomer_routes(newcomers))
        .and(password_reset::routes(&pages))
        .and(email::routes(&pages))
        .and(newcomers::routes(&pages))
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
