//! The reference control plane: `serve`, and the commands an operator runs beside it.

mod access;
mod admin;
mod api_keys;
mod app;
mod audit;
mod caller;
mod commands;
mod credentials;
#[cfg(feature = "dev-endpoints")]
mod diagnostics;
mod events;
mod forms;
mod given;
mod jobs;
mod keys;
mod links;
mod lock;
mod members;
mod merged;
mod notify;
mod ops;
mod order;
mod orgs;
mod passwords;
mod people;
mod refused;
mod router;
mod schema;
mod service_accounts;
mod sessions;
mod setup;
mod unlock;
mod webhooks;

use std::process::ExitCode;

use clap::Parser as _;
use stylobate::{Settings, StartError};

use crate::commands::{Arguments, Failed};

fn main() -> ExitCode {
    // Variables that are set win over the file. One that cannot be read to its end would lose settings in silence.
    if let Err(error) = dotenvy::dotenv()
        && !error.not_found()
    {
        return failed(&Failed::EnvironmentFile);
    }
    let arguments = Arguments::parse();
    let settings = match Settings::from_env() {
        Ok(settings) => settings,
        Err(error) => return failed(&Failed::Start(error.into())),
    };
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if let Some(threads) = settings.worker_threads {
        runtime.worker_threads(threads);
    }
    let runtime = match runtime.enable_all().build() {
        Ok(runtime) => runtime,
        Err(source) => {
            return failed(&Failed::Start(StartError::Io { what: "no runtime".to_owned(), source }));
        }
    };
    match runtime.block_on(commands::run(arguments, settings)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

/// Says on standard error what went wrong, from the outermost cause to the innermost.
#[expect(clippy::print_stderr, reason = "this is the program's last word to its operator")]
fn failed(error: &Failed) -> ExitCode {
    eprintln!("control-plane: {} ({})", error, error.code());
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        eprintln!("  because: {cause}");
        source = cause.source();
    }
    ExitCode::FAILURE
}
