//! The developer commands of this workspace: `cargo xtask --help`.
//!
//! Everything a command needs and does not find is installed first (`install.rs`), and everything it starts is stopped
//! again when it ends, is interrupted or crashes (`services.rs`).

mod bench;
mod chaos;
mod ci;
mod deny;
mod features;
mod fuzz;
mod install;
mod migration;
mod process;
mod services;
mod test;
mod workspace;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// What went wrong, in words for the developer who reads the terminal.
type Error = Box<dyn std::error::Error>;
type Result<T = ()> = std::result::Result<T, Error>;

/// Developer commands of the Stylobate workspace.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Real servers for tests, on free loopback ports
    #[command(subcommand)]
    Services(services::Command),
    /// All tests: installs what is missing, starts servers, builds, runs, cleans up
    Test {
        /// Filters of cargo-nextest (a part of a test's name, or `-E EXPRESSION`); with one, doc tests are left out
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        filters: Vec<String>,
    },
    /// Kills and cuts at full count against the release build (`STYLOBATE_ROUNDS` changes the count)
    Chaos {
        /// auth, db, tenancy, jobs, events; all when none is named
        areas: Vec<String>,
    },
    /// Measures the release build beside its peers; results in target/bench/NAME.json
    Bench {
        /// Names of benchmarks; all when none is named
        names: Vec<String>,
    },
    /// Property tests named `fuzz_*`, with growing numbers of cases, until the time is used up
    Fuzz {
        /// How long
        #[arg(default_value_t = 10)]
        minutes: u64,
    },
    /// Checks every library with each of its features alone, with none and with all
    Features {
        /// Packages; every library of the workspace when none is named
        packages: Vec<String>,
    },
    /// Advisories (offline, from the committed snapshot), licences, bans and sources of all dependencies
    Deny,
    /// Everything `.ci/run` checks: formatting, lints, docs, features, dependencies, tests
    Ci,
    /// SQL migrations
    #[command(subcommand)]
    Migration(MigrationCommand),
}

#[derive(Subcommand)]
enum MigrationCommand {
    /// Makes an up and a down file for each engine and lists the migration in the crate's `schema.rs`
    New {
        /// Folder under `crates/`, for example `auth`
        krate: String,
        /// What it does, in a few words
        what: String,
    },
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result {
    match command {
        Command::Services(command) => services::run(command),
        Command::Test { filters } => test::run(&filters),
        Command::Chaos { areas } => chaos::run(&areas),
        Command::Bench { names } => bench::run(&names),
        Command::Fuzz { minutes } => fuzz::run(minutes),
        Command::Features { packages } => features::run(&packages),
        Command::Deny => deny::run(),
        Command::Ci => ci::run(),
        Command::Migration(MigrationCommand::New { krate, what }) => migration::new(&krate, &what),
    }
}
