//! The mails that were written down instead of sent: the embedded form has no mail server.

use std::path::{Path, PathBuf};

use askama::Template;
use axum::{
    extract::State,
    http::{HeaderValue, header},
    response::{Html, IntoResponse, Response},
};
use stylobate::{
    Platform,
    endpoints::{Permission, Route, Routes},
    middleware::{ApiError, ApiResult, CspNonce, PathId},
};
use tokio::{fs, io::AsyncReadExt as _};
use uuid::Uuid;

use super::TAG;

/// Mails of all organisations, with their codes and links.
const READ: Permission = Permission::Key("platform.outbox.read");

/// How many mails the page lists, and how much of one is read.
const MAILS_MAX: usize = 100;
const MAIL_BYTES_MAX: u64 = 1 << 20;

pub(super) fn routes(platform: &Platform) -> Routes {
    let outbox = Outbox(platform.outbox());
    Routes::new()
        .add(
            Route::get("/outbox", READ)
                .tag(TAG)
                .summary("The page with the mails that would have been sent, newest first; nothing is there where mails are sent")
                .answers(200, Some("text/html")),
            &outbox,
            list,
        )
        .add(
            Route::get("/outbox/{id}", READ)
                .tag(TAG)
                .summary("A mail that would have been sent, as it was written")
                .answers(200, Some("text/plain; charset=utf-8")),
            &outbox,
            get,
        )
}

#[derive(Clone)]
struct Outbox(Option<PathBuf>);

#[derive(Template)]
#[template(path = "outbox.html")]
struct OutboxPage<'a> {
    nonce: &'a str,
    mails: &'a [Uuid],
}

async fn list(State(outbox): State<Outbox>, nonce: CspNonce) -> ApiResult<Response> {
    let folder = outbox.0.as_deref().ok_or_else(ApiError::not_found)?;
    let mails = mails(folder).await.map_err(ApiError::internal)?;
    let page = OutboxPage { nonce: nonce.as_str(), mails: &mails };
    let html = Html(page.render().map_err(ApiError::internal)?);
    Ok((nonce, html).into_response())
}

// A22: whatever a mail holds, it is shown as text.
async fn get(State(outbox): State<Outbox>, PathId(id): PathId<Uuid>) -> ApiResult<Response> {
    let folder = outbox.0.as_deref().ok_or_else(ApiError::not_found)?;
    let file = match fs::File::open(folder.join(format!("{id}.eml"))).await {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(ApiError::not_found()),
        Err(error) => return Err(ApiError::internal(error)),
    };
    let mut mail = Vec::new();
    file.take(MAIL_BYTES_MAX).read_to_end(&mut mail).await.map_err(ApiError::internal)?;
    let text = HeaderValue::from_static("text/plain; charset=utf-8");
    Ok(([(header::CONTENT_TYPE, text)], mail).into_response())
}

/// The names of the newest mails: they are made of the time.
async fn mails(folder: &Path) -> std::io::Result<Vec<Uuid>> {
    let mut entries = match fs::read_dir(folder).await {
        Ok(entries) => entries,
        // Nothing has been written yet.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    while let Some(entry) = entries.next_entry().await? {
        let name = entry.file_name();
        let id = name.to_str().and_then(|name| name.strip_suffix(".eml")?.parse::<Uuid>().ok());
        found.extend(id);
    }
    found.sort_unstable_by(|one, other| other.cmp(one));
    found.truncate(MAILS_MAX);
    Ok(found)
}
