//! `cargo xtask chaos auth db tenancy jobs events`: the promises about races and kills at full count. One verdict line per promise.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a driver that ends with a message when it cannot go on"
)]

use std::{env, process::ExitCode};

mod auth;
mod db;
mod events;
mod jobs;
mod login;
mod postgres;
mod rabbitmq;
mod revocation;
mod tenancy;

/// Every area, in the order in which they run.
const AREAS: [&str; 5] = ["auth", "db", "tenancy", "jobs", "events"];

#[tokio::main]
async fn main() -> ExitCode {
    let named: Vec<String> = env::args().skip(1).collect();
    let areas = if named.is_empty() { AREAS.map(str::to_owned).to_vec() } else { named };
    let seed = env::var("STYLOBATE_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(|| fastrand::u64(..));
    println!("seed {seed} (STYLOBATE_SEED repeats it)");
    let mut verdicts = Verdicts::default();
    for area in &areas {
        match area.as_str() {
            "auth" => {
                auth::run(&mut verdicts).await;
                revocation::run(&mut verdicts).await;
                login::run(&mut verdicts).await;
            }
            "db" => db::run(&mut verdicts, seed).await,
            "tenancy" => Box::pin(tenancy::run(&mut verdicts, seed)).await,
            "jobs" => jobs::run(&mut verdicts, seed).await,
            "events" => events::run(&mut verdicts, seed).await,
            unknown => {
                println!("FAIL {unknown}: there is no such area; there are {}", AREAS.join(", "));
                return ExitCode::FAILURE;
            }
        }
    }
    if verdicts.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What was found so far.
#[derive(Default)]
pub(crate) struct Verdicts {
    failed: u32,
}

impl Verdicts {
    /// Prints one verdict.
    pub(crate) fn add(&mut self, is_kept: bool, name: &str, figures: &str) {
        println!("{} {name}: {figures}", if is_kept { "PASS" } else { "FAIL" });
        self.failed += u32::from(!is_kept);
    }
}

/// How many rounds to run: `STYLOBATE_ROUNDS`, or as many as the promise says.
pub(crate) fn rounds(promised: u32) -> u32 {
    env::var("STYLOBATE_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(promised)
}
