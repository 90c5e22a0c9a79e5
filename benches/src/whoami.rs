//! `GET /auth/whoami` with a bearer token beside a bare axum route: what authentication, limits, headers and metrics cost.

use std::time::Duration;

use stylobate_tests::Engine;

use crate::{
    Result,
    load::{Same, drive, request},
    report::Report,
    rounds::{self, Rounds},
    site::{Site, login, text},
};

const CONNECTIONS: usize = 16;
const ROUND: Duration = Duration::from_millis(1500);

pub(crate) async fn run(report: &mut Report) -> Result {
    let site = Site::new(Engine::Sqlite, 0).await?;
    let (server, bare) = (site.serve().await?, site.bare()?);
    let tokens = login(&server, "admin").await?;
    let ours =
        vec![Same(request("GET", "/auth/whoami", Some(text(&tokens, "access_token")?), None)); CONNECTIONS];
    // The same bytes come in, also the token that nobody reads.
    let theirs =
        vec![Same(request("GET", "/fixed", Some(text(&tokens, "access_token")?), None)); CONNECTIONS];
    let measured = Rounds::measure(
        rounds::count(9),
        || Ok(drive(&server, ours.clone(), ROUND)?.0),
        || Ok(drive(&bare, theirs.clone(), ROUND)?.0),
    )?;
    measured.report(report, "", "bare route", Some(0.5));
    report
        .note(&format!("{:.1} us of CPU over the bare route (design: at most 15)", measured.added_cpu_us()));
    Ok(())
}
