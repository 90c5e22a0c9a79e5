//! `cargo xtask chaos`: promises at full count, against the release build and servers with their default durability.

use crate::services::{Durability, Instance};
use crate::{Result, install, process, workspace};

pub fn run(areas: &[String]) -> Result {
    let driver = ["--package", "stylobate-tests", "--bin", "chaos"];
    // What it kills; it finds it beside itself.
    let workers = ["--package", "stylobate-tests", "--bin", "jobs-worker", "--bin", "events-worker"];
    process::run(process::cargo().args(["build", "--release", "--locked"]).args(workers))?;
    run_release(&["build", "--release"], &["run", "--quiet", "--release"], &driver, areas)
}

/// Builds the control plane and a driver for release, and runs the driver beside fresh servers.
pub fn run_release(build: &[&str], run: &[&str], driver: &[&str], arguments: &[String]) -> Result {
    install::compiler()?;
    process::run(process::cargo().args(["build", "--release", "--locked", "--package", "control-plane"]))?;
    process::run(process::cargo().args(build).arg("--locked").args(driver))?;
    let binary = workspace::metadata()?.target.join("release/control-plane");
    let services = Instance::start(Durability::Default)?;
    let mut command = process::cargo();
    command.args(run).arg("--locked").args(driver).arg("--").args(arguments);
    command.envs(services.exports()).env("STYLOBATE_BIN_CONTROL_PLANE", binary);
    process::run(&mut command)
}
