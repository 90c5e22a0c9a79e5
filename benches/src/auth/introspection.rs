//! `POST /oauth/introspect` beside a bare axum route that takes a form and reads the same row of the same database. Ours also judges
//! its caller and the token.

use std::time::Duration;

use crate::{
    Result,
    load::{Connection, Same, drive, form, request},
    report::Report,
    rounds::{self, Rounds},
    site::{ENGINES, Site, login, text},
};

const CONNECTIONS: usize = 16;
const ROUND: Duration = Duration::from_millis(1250);
/// At least this part of the peer's rate.
const LEAST: f64 = 0.55;

pub(super) async fn run(report: &mut Report) -> Result {
    for engine in ENGINES {
        let site = Site::new(engine, 0).await?;
        let (server, bare) = (site.serve().await?, site.bare()?);
        // The caller, and whose token it asks about.
        let (caller, asked) = (login(&server, "admin").await?, login(&server, "admin").await?);
        let (caller, token) = (text(&caller, "access_token")?, text(&asked, "access_token")?);
        let me = request("GET", "/auth/me", Some(token), None);
        let mut connection = Connection::open(server.address()).await?;
        let person = text(&connection.exchange(&me).await?.json(200)?, "id")?.to_owned();
        let ours = form("/oauth/introspect", caller, &[("token", token)]);
        let told = connection.exchange(&ours).await?.json(200)?;
        if told.get("active").and_then(serde_json::Value::as_bool) != Some(true) {
            return Err(format!("the token is not active: {told}").into());
        }
        let row = [("session_id", text(&asked, "session_id")?), ("person_id", &person)];
        let theirs = form("/introspect", caller, &row);
        let (ours, theirs) = (vec![Same(ours); CONNECTIONS], vec![Same(theirs); CONNECTIONS]);
        let measured = Rounds::measure(
            rounds::count(9),
            || Ok(drive(&server, ours.clone(), ROUND)?.0),
            || Ok(drive(&bare, theirs.clone(), ROUND)?.0),
        )?;
        let what = format!("introspection, {}", format!("{engine:?}").to_lowercase());
        measured.report(report, &what, "bare query", Some(LEAST));
    }
    Ok(())
}
