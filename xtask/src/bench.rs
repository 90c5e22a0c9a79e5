//! `cargo xtask bench`: the numbers, measured on the release build.

use crate::{Result, chaos};

pub fn run(names: &[String]) -> Result {
    chaos::run_release(&["--package", "stylobate-benches"], names)
}
