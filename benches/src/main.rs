//! Measures the built control plane beside bare peers, both in one run: `cargo xtask bench [NAME]…`.
//!
//! A *bench* (one file each) starts an installation of its own, measures us and the peer in turns (A B A B …), prints
//! what it saw with one verdict line per goal, and writes `target/bench/NAME.json`. What counts is the median over the
//! rounds of the ratio within a round, so that a machine that is slow for a while is slow for both. The number of
//! rounds comes from `STYLOBATE_ROUNDS`. The program fails when a goal was missed.
//!
//! The peer is a bare axum server ([`bare`]) in a process of its own, with as many worker threads as ours, or the bare
//! algorithm. The load ([`load`]) is as cheap as it could be made, but load, servers and database share all cores of the
//! machine: a rate is that of all of them together. The CPU time of the server alone stands beside it.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program that measures and prints; its peer is a bare router with bare transactions"
)]

mod auth;
mod bare;
mod events;
mod footprint;
mod jobs;
mod load;
mod lockout;
mod login;
mod login_storm;
mod me;
mod notify;
mod people;
mod rbac;
mod refresh;
mod report;
mod rounds;
mod server;
mod site;
mod sweep;
mod tenancy;
mod whoami;

use std::process::ExitCode;

use report::Report;

/// What went wrong, in words for whoever reads the terminal.
type Error = Box<dyn std::error::Error + Send + Sync>;
type Result<T = ()> = std::result::Result<T, Error>;

/// Every bench, in the order in which they run.
const NAMES: [&str; 15] = [
    "auth",
    "whoami",
    "me",
    "login",
    "login-storm",
    "lockout",
    "refresh",
    "sweep",
    "people",
    "rbac",
    "tenancy",
    "jobs",
    "events",
    "notify",
    "footprint",
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.is_empty() || arguments.iter().any(|one| one == "--list") {
        // `cargo test --all-targets` and nextest treat bench targets as tests; `cargo bench` always says `--bench`.
        return ExitCode::SUCCESS;
    }
    let arguments: Vec<String> = arguments.into_iter().filter(|one| one != "--bench").collect();
    let done = match arguments.first().map(String::as_str) {
        Some(bare::COMMAND) => bare::serve().map(|()| true),
        Some(events::COMMAND) => events::drain().map(|()| true),
        _ => runtime().and_then(|runtime| runtime.block_on(run(&arguments))),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

/// For everything but the load: waiting for servers, preparing databases.
fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

/// Whether every goal was met.
async fn run(names: &[String]) -> Result<bool> {
    if let Some(unknown) = names.iter().find(|name| *name != "all" && !NAMES.contains(&name.as_str())) {
        return Err(format!("no bench is named {unknown}; there are {}, and all", NAMES.join(", ")).into());
    }
    let wants_all = names.is_empty() || names.iter().any(|name| name == "all");
    let mut verdicts = Vec::new();
    for name in NAMES.into_iter().filter(|name| wants_all || names.iter().any(|wanted| wanted == name)) {
        let mut report = Report::new(name);
        match name {
            "auth" => auth::run(&mut report).await,
            "whoami" => whoami::run(&mut report).await,
            "me" => me::run(&mut report).await,
            "login" => login::run(&mut report).await,
            "login-storm" => login_storm::run(&mut report).await,
            "lockout" => lockout::run(&mut report).await,
            "refresh" => refresh::run(&mut report).await,
            "sweep" => sweep::run(&mut report).await,
            "people" => people::run(&mut report).await,
            "rbac" => rbac::run(&mut report).await,
            "tenancy" => tenancy::run(&mut report).await,
            "jobs" => jobs::run(&mut report),
            "events" => events::run(&mut report),
            "notify" => notify::run(&mut report),
            _ => footprint::run(&mut report).await,
        }?;
        verdicts.extend(report.finish()?);
    }
    println!("\nVerdicts");
    for verdict in &verdicts {
        println!("{verdict}");
    }
    Ok(verdicts.iter().all(|verdict| verdict.is_met))
}
