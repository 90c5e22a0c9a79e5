//! A5: what one process ends, another refuses within a second: with its database, without it, and after a restart.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;
use stylobate_tests::{Client, Engine, PASSWORD, TestApp, eventually};

use crate::{Verdicts, rounds};

/// What A5 allows, in the other process.
const PROMISE: Duration = Duration::from_secs(1);

pub(crate) async fn run(verdicts: &mut Verdicts) {
    // This one's database can be cut off; the other one's cannot.
    let mut app = TestApp::builder(Engine::Postgres).behind_proxy().start().await;
    let (_other_server, other) = app.another_server_past_the_proxy().await;
    let rounds = rounds(100);
    verdict(verdicts, "with its database", ended_elsewhere(&app, &other, rounds).await);
    verdict(verdicts, "while its connections are cut", cut_off(&app, &other, rounds.div_ceil(5)).await);
    restarted(verdicts, &mut app, &other, rounds.div_ceil(10)).await;
}

/// How long it took to refuse, and what was wrong.
#[derive(Default)]
struct Found {
    times: Vec<Duration>,
    problems: Vec<String>,
}

fn verdict(verdicts: &mut Verdicts, when: &str, found: Found) {
    let longest = found.times.iter().max().copied().unwrap_or_default();
    let sum: Duration = found.times.iter().sum();
    let mean = sum.checked_div(u32::try_from(found.times.len()).unwrap_or(1)).unwrap_or_default();
    let figures = format!(
        "{} revocations, refused after {mean:.0?} on average and {longest:.0?} at most, problems {:?}",
        found.times.len(),
        found.problems
    );
    let is_kept = found.problems.is_empty() && longest <= PROMISE && !found.times.is_empty();
    verdicts.add(is_kept, &format!("auth revocation in another process {when} (A5)"), &figures);
}

/// Somebody signed in at `other`, by token and by cookie, with whom to ask at `app`.
struct Pair {
    token: Client,
    cookie: String,
}

impl Pair {
    async fn sign_in(app: &TestApp, other: &Client) -> Self {
        let signed_in = other.login("admin", PASSWORD).await;
        let body = json!({ "username": "admin", "password": PASSWORD, "session": "cookie" });
        let answer = other.anonymous().post("/auth/login", body).await;
        answer.expect(200);
        let line = answer.header("set-cookie").expect("a cookie");
        let cookie = line.split(';').next().expect("a name and a value").to_owned();
        let token = signed_in.access_token.as_deref().expect("a token");
        let pair = Self { token: app.anonymous().presenting(token), cookie };
        assert_eq!(pair.statuses().await, [200, 200], "both work before");
        pair
    }

    /// What the process says to the token and to the cookie.
    async fn statuses(&self) -> [u16; 2] {
        let by_cookie =
            self.token.anonymous().request(Method::GET, "/auth/whoami").header("cookie", &self.cookie);
        let (token, cookie) = tokio::join!(self.token.get("/auth/whoami"), self.token.send_raw(by_cookie));
        [token.status, cookie.status]
    }

    /// Signs out at `other`.
    async fn sign_out(&self, other: &Client) {
        let token = self.token.access_token.as_deref().expect("a token");
        other.presenting(token).send(Method::POST, "/auth/logout", None).await.expect(204);
        let by_cookie =
            other.anonymous().request(Method::POST, "/auth/logout").header("cookie", &self.cookie);
        other.send_raw(by_cookie.header("sec-fetch-site", "same-origin")).await.expect(204);
    }

    /// Asks until both are refused.
    async fn refused(&self, since: Instant) -> Option<Duration> {
        while since.elapsed() < 10 * PROMISE {
            if self.statuses().await.iter().all(|status| *status != 200) {
                return Some(since.elapsed());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        None
    }
}

async fn ended_elsewhere(app: &TestApp, other: &Client, rounds: u32) -> Found {
    let mut found = Found::default();
    for round in 0..rounds {
        let pair = Pair::sign_in(app, other).await;
        pair.sign_out(other).await;
        let ended = Instant::now();
        match pair.refused(ended).await {
            Some(took) => found.times.push(took),
            None => found.problems.push(format!("round {round}: never refused")),
        }
        if pair.statuses().await != [401, 401] {
            found.problems.push(format!("round {round}: not refused as unauthenticated"));
        }
    }
    found
}

/// The process cannot hear of the revocation: it has to stop trusting its memory in time, and to refuse for good once it
/// hears again.
async fn cut_off(app: &TestApp, other: &Client, rounds: u32) -> Found {
    let proxy = app.proxy.as_ref().expect("a proxy");
    let mut found = Found::default();
    for round in 0..rounds {
        let pair = Pair::sign_in(app, other).await;
        proxy.shut();
        pair.sign_out(other).await;
        let ended = Instant::now();
        match pair.refused(ended).await {
            Some(took) => found.times.push(took),
            None => found.problems.push(format!("round {round}: never refused")),
        }
        proxy.open();
        eventually("the process to hear of the revocation", async || {
            let statuses = pair.statuses().await;
            if statuses.contains(&200) {
                found.problems.push(format!("round {round}: accepted again: {statuses:?}"));
                return Some(());
            }
            (statuses == [401, 401]).then_some(())
        })
        .await;
    }
    found
}

/// A process with an empty cache knows what was ended while it was away.
async fn restarted(verdicts: &mut Verdicts, app: &mut TestApp, other: &Client, rounds: u32) {
    let mut wrong = Vec::new();
    for round in 0..rounds {
        let pair = Pair::sign_in(app, other).await;
        app.server().kill();
        pair.sign_out(other).await;
        app.restart().await;
        let statuses = pair.statuses().await;
        if statuses != [401, 401] {
            wrong.push(format!("round {round}: {statuses:?}"));
        }
    }
    let figures = format!("{rounds} restarts, first answers that were not 401: {wrong:?}");
    verdicts.add(wrong.is_empty(), "auth revocation known after a restart (A5)", &figures);
}
