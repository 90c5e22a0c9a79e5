//! Puts the product together.

use std::{io::Write as _, sync::Arc};

use stylobate::{
    Paths, Platform, Settings, StartError,
    db::Engine,
    rbac::{PermissionDef, default_catalogue},
    serve as serve_connections,
};
use tokio::net::TcpListener;

use crate::{commands::Failed, events, jobs, ops, people::ProfileDirectory, router, schema::OWN, setup};

pub(crate) async fn platform(settings: Settings) -> Result<Platform, StartError> {
    let catalogue = default_catalogue().extended(PERMISSIONS, [])?;
    let builder = Platform::builder(settings)
        .migrations(&OWN)
        .catalogue(catalogue)
        .directory(|db| Arc::new(ProfileDirectory(db.clone())));
    let builder = builder.jobs(jobs::fill).event_types(events::event_types()).sweeps_by_jobs();
    // All that is put together would lie on the stack of whoever waits.
    Box::pin(builder.start()).await
}

/// What the product knows beside the permissions of the platform's crates.
const PERMISSIONS: [PermissionDef; 3] = [
    PermissionDef::new("platform.diagnostics", "Use the diagnostics of development builds").platform(),
    PermissionDef::new(
        "platform.outbox.read",
        "Read the mails that the embedded form writes down instead of sending them",
    )
    .platform(),
    PermissionDef::new(
        "platform.suppressions.manage",
        "See and decide to which addresses no organisation sends",
    )
    .platform(),
];

/// Serves until a signal arrives and everything that runs has ended.
pub(crate) async fn serve(mut settings: Settings) -> Result<(), Failed> {
    let address = settings.bind_address;
    // Listening first: whoever waits for the address can connect as soon as the rest is ready.
    let listener = TcpListener::bind(address)
        .await
        .map_err(|source| StartError::Io { what: format!("cannot listen on {address}"), source })?;
    settings.bind_address = listener.local_addr()?;
    let platform = platform(settings).await?;
    platform.shutdown().on_signals().map_err(StartError::from)?;
    jobs::make_standing(&platform).await?;
    let app = platform.router(router::routes(&platform), paths())?;
    let base = base_url(&platform);
    say(&format!("listening on http://{}", platform.settings().bind_address))?;
    if let Some(token) = setup::open(&platform).await? {
        say(&format!("create the first administrator: {base}/setup?token={token}"))?;
    }
    // Also where nobody works: somebody has to notice that.
    platform.keep_up_jobs();
    warn_of_nobody(&platform);
    platform.keep_up_events();
    if platform.settings().worker_in_server {
        platform.work();
        platform.relay_events();
    }
    if platform.settings().scheduler_in_server {
        platform.follow_schedules();
    }
    serve_connections(listener, app, platform.shutdown()).await;
    platform.end().await;
    Ok(())
}

/// SQLite has room for this process only: what it does not do, nobody does.
fn warn_of_nobody(platform: &Platform) {
    if platform.db().engine() != Engine::Sqlite {
        return;
    }
    if !platform.settings().worker_in_server {
        tracing::warn!(
            "WORKER_ENABLED is false, and nobody else can use this SQLite database: no background job is ever run"
        );
    }
    if !platform.settings().scheduler_in_server {
        tracing::warn!(
            "SCHEDULER_ENABLED is false, and nobody else can use this SQLite database: no schedule ever asks for a job"
        );
    }
}

/// Works on background jobs until a signal arrives and what runs has ended or has been handed back.
pub(crate) async fn work(settings: Settings) -> Result<(), Failed> {
    let platform = platform(settings).await?;
    platform.shutdown().on_signals().map_err(StartError::from)?;
    platform.work();
    platform.relay_events();
    say("working on jobs and taking events to who hears them")?;
    platform.shutdown().draining().await;
    platform.end().await;
    Ok(())
}

/// Asks for the jobs of schedules when their time has come, until a signal arrives.
pub(crate) async fn schedule(settings: Settings) -> Result<(), Failed> {
    let platform = platform(settings).await?;
    platform.shutdown().on_signals().map_err(StartError::from)?;
    jobs::make_standing(&platform).await?;
    platform.follow_schedules();
    say("following schedules")?;
    platform.shutdown().draining().await;
    platform.end().await;
    Ok(())
}

fn base_url(platform: &Platform) -> String {
    let settings = platform.settings();
    match &settings.public_url {
        Some(url) => url.as_str().trim_end_matches('/').to_owned(),
        None => format!("http://{}", settings.bind_address),
    }
}

/// The API document. The routes need what they work with, so it is made on a throwaway database.
pub(crate) async fn document() -> Result<String, Failed> {
    let folder = tempfile::tempdir()?;
    let pairs = [("DATA_DIR".to_owned(), folder.path().display().to_string())];
    let platform = platform(Settings::from_pairs("", pairs).map_err(StartError::from)?).await?;
    let document = router::routes(&platform).document(&ops::api_info(), router::ALIASES).to_pretty_json();
    platform.end().await;
    document.map_err(|error| Failed::Terminal(error.into()))
}

fn paths() -> Paths {
    Paths { prefixes: router::PREFIXES, aliases: router::ALIASES }
}

fn say(line: &str) -> Result<(), Failed> {
    Ok(writeln!(std::io::stdout(), "{line}")?)
}
