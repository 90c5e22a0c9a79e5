//! `cargo xtask bench`: the numbers, measured on the release build.

use crate::{Result, chaos};

pub fn run(names: &[String]) -> Result {
    // A bench target, because only those and tests may use crates that are never published.
    let driver = ["--package", "stylobate-benches", "--bench", "numbers"];
    chaos::run_release(&["bench", "--no-run"], &["bench", "--quiet"], &driver, names)
}
