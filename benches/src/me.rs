//! `GET /auth/me` beside a bare axum route that runs the same one-row query on the same database.

use std::time::Duration;

use crate::{
    Result,
    load::{Same, drive, request},
    report::Report,
    rounds::{self, Rounds},
    site::{ENGINES, Site, login, text},
};

const CONNECTIONS: usize = 16;
const ROUND: Duration = Duration::from_millis(1250);

pub(crate) async fn run(report: &mut Report) -> Result {
    for engine in ENGINES {
        let site = Site::new(engine, 1000).await?;
        let (server, bare) = (site.serve().await?, site.bare()?);
        let tokens = login(&server, "admin").await?;
        let token = text(&tokens, "access_token")?;
        let me = request("GET", "/auth/me", Some(token), None);
        let person = {
            let mut connection = crate::load::Connection::open(server.address()).await?;
            text(&connection.exchange(&me).await?.json(200)?, "id")?.to_owned()
        };
        let ours = vec![Same(me); CONNECTIONS];
        let theirs = vec![Same(request("GET", &format!("/me/{person}"), Some(token), None)); CONNECTIONS];
        let measured = Rounds::measure(
            rounds::count(9),
            || Ok(drive(&server, ours.clone(), ROUND)?.0),
            || Ok(drive(&bare, theirs.clone(), ROUND)?.0),
        )?;
        measured.report(report, &format!("{engine:?}").to_lowercase(), "bare query", Some(0.7));
    }
    Ok(())
}
