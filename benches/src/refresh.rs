//! `POST /auth/refresh` on PostgreSQL beside a bare route that does one select and one update by key in a transaction.

use std::time::Duration;

use serde_json::json;
use stylobate_tests::Engine;
use uuid::Uuid;

use crate::{
    Result, bare,
    load::{Caller, Reply, Same, drive, request},
    report::Report,
    rounds::{self, Rounds},
    site::{Site, login, text},
};

const CONNECTIONS: u32 = 16;
const ROUND: Duration = Duration::from_millis(1500);

pub(crate) async fn run(report: &mut Report) -> Result {
    let site = Site::new(Engine::Postgres, CONNECTIONS).await?;
    site.place().sql(bare::FAMILIES).await;
    let (server, bare) = (site.serve().await?, site.bare()?);
    let mut chains = Vec::new();
    for n in 1..=CONNECTIONS {
        let tokens = login(&server, &format!("p{n}")).await?;
        chains.push(Chain(refresh_request(text(&tokens, "refresh_token")?)));
    }
    let theirs = (1..=CONNECTIONS).map(|n| {
        let body = json!({ "session_id": Uuid::from_u128(u128::from(n)) });
        Same(request("POST", "/refresh", None, Some(&body)))
    });
    let theirs: Vec<Same> = theirs.collect();
    let measured = Rounds::measure(
        rounds::count(11),
        || {
            let (sample, again) = drive(&server, std::mem::take(&mut chains), ROUND)?;
            chains = again;
            Ok(sample)
        },
        || Ok(drive(&bare, theirs.clone(), ROUND)?.0),
    )?;
    measured.report(report, "postgres", "bare transaction", Some(0.7));
    Ok(())
}

/// One session: each answer has the token of the next request.
struct Chain(Vec<u8>);

impl Caller for Chain {
    fn request(&mut self) -> &[u8] {
        &self.0
    }

    fn answered(&mut self, reply: Reply<'_>) -> Result {
        reply.expect(200)?;
        // Found, not parsed: the load shares the machine with what is measured.
        let body = std::str::from_utf8(reply.body)?;
        let (_, rest) = body.split_once(r#""refresh_token":""#).ok_or("no refresh token in the answer")?;
        let (token, _) = rest.split_once('"').ok_or("no end of the refresh token")?;
        self.0 = refresh_request(token);
        Ok(())
    }
}

fn refresh_request(token: &str) -> Vec<u8> {
    request("POST", "/auth/refresh", None, Some(&json!({ "refresh_token": token })))
}
