//! A29: the server and PostgreSQL are killed under load; nothing acknowledged is lost, nothing is half done.

use std::time::Duration;

use stylobate_tests::{Client, Engine, Ledger, Load, TestApp, Verdict, eventually};

use crate::{Verdicts, postgres::KillablePostgres, rounds};

const WRITERS: u32 = 8;

pub(crate) async fn run(verdicts: &mut Verdicts, seed: u64) {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        kill_servers(verdicts, engine, seed).await;
    }
    kill_postgres(verdicts, seed).await;
}

async fn kill_servers(verdicts: &mut Verdicts, engine: Engine, seed: u64) {
    let rounds = rounds(100);
    let mut app = started(engine).await;
    let client = app.administrator().await;
    let mut all = Ledger::default();
    let mut problems = Vec::new();
    for round in 0..rounds {
        let load = Load::start(&client, WRITERS, round, seed);
        writes_for_a_while(&load, seed, round).await;
        app.server().kill();
        let ledger = load.stop().await;
        app.restart().await;
        note(&mut problems, round, &ledger, &ledger.check_acknowledged(&client).await);
        all.merge(ledger);
    }
    note(&mut problems, rounds, &all, &all.check_everything(&client).await);
    let figures = format!("{rounds} kills, {} acknowledged writes, problems {problems:?}", all.writes());
    verdicts.add(problems.is_empty(), &format!("db kill -9 of the server on {engine:?} (A29)"), &figures);
}

async fn kill_postgres(verdicts: &mut Verdicts, seed: u64) {
    let rounds = rounds(20);
    let database = KillablePostgres::from_environment();
    let mut app = started(Engine::Postgres).await;
    let client = app.administrator().await;
    let mut all = Ledger::default();
    let mut problems = Vec::new();
    for round in 0..rounds {
        let load = Load::start(&client, WRITERS, round, seed);
        writes_for_a_while(&load, seed, round).await;
        database.kill();
        // The load goes on against a server without a database.
        tokio::time::sleep(Duration::from_millis(300)).await;
        database.start().await;
        recovered(&client).await;
        let before = load.acknowledged();
        eventually("writes to be acknowledged again", async || (load.acknowledged() > before).then_some(()))
            .await;
        let ledger = load.stop().await;
        note(&mut problems, round, &ledger, &ledger.check_acknowledged(&client).await);
        all.merge(ledger);
        if !app.server().is_running() {
            problems.push(format!("round {round}: the server ended"));
            break;
        }
    }
    note(&mut problems, rounds, &all, &all.check_everything(&client).await);
    let figures = format!("{rounds} kills, {} acknowledged writes, problems {problems:?}", all.writes());
    verdicts.add(problems.is_empty(), "db kill -9 of PostgreSQL (A29)", &figures);
}

/// A server whose access tokens outlive the run.
async fn started(engine: Engine) -> TestApp {
    TestApp::builder(engine).env("JWT_ACCESS_TTL_MINUTES", "60").env("LOG_LEVEL", "warn").start().await
}

/// Lets a random number of writes be acknowledged, so that the kill comes in the middle of others.
async fn writes_for_a_while(load: &Load, seed: u64, round: u32) {
    let enough = fastrand::Rng::with_seed(seed.wrapping_add(u64::from(round))).u64(20..120);
    eventually("writes to be acknowledged", async || (load.acknowledged() >= enough).then_some(())).await;
}

async fn recovered(client: &Client) {
    eventually("the server to find its database again", async || {
        let answer = client.get("/health/ready").await;
        (answer.status == 200).then_some(())
    })
    .await;
}

fn note(problems: &mut Vec<String>, round: u32, ledger: &Ledger, verdict: &Verdict) {
    if !verdict.is_sound() {
        problems.push(format!("round {round}: {verdict:?}"));
    }
    let strange = ledger.strange_refusals();
    if !strange.is_empty() {
        problems.push(format!("round {round}: refused with {strange:?}"));
    }
}
