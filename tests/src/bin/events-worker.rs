//! A process that emits events or relays them until it is done or killed: what `cargo xtask chaos events` kills, freezes and
//! thaws.
//!
//! It is told by `STYLOBATE_CHAOS_DATABASE` and `STYLOBATE_CHAOS_TASK`, writes a line to its standard output for every step that
//! the driver has to know of, and logs to its standard error.

use std::process::ExitCode;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).init();
    stylobate_tests::event_chaos::work().await;
    ExitCode::SUCCESS
}
