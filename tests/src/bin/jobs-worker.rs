//! A process that works on jobs until it is killed: what `cargo xtask chaos jobs` kills, freezes and thaws.
//!
//! It is told by `STYLOBATE_CHAOS_DATABASE`, `STYLOBATE_CHAOS_NAME` and `STYLOBATE_CHAOS_LEASE_MS`, writes a line to its
//! standard output for every step of a handler, and logs to its standard error.

use std::process::ExitCode;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).init();
    stylobate_tests::job_chaos::work().await;
    ExitCode::SUCCESS
}
