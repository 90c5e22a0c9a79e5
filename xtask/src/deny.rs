//! `cargo xtask deny`: advisories, licences, bans and sources of every dependency in the lock file.
//!
//! The advisories are the RustSec database (CC0) as committed beside this program, so that the verdict needs no network
//! and is the same for everybody. cargo-deny only reads a git repository in a folder of a name it derives itself, so the
//! snapshot is laid out as one, below `target/`, where `deny.toml` points.

use crate::test::as_cargo;
use crate::{Result, install, process, workspace};
use std::fs;
use std::path::Path;
use std::process::Command;

/// The snapshot in this folder and the day it was taken; a newer one replaces both.
const SNAPSHOT: &str = "advisory-db-2026-08-21.tar.xz";
const TAKEN: &str = "2026-08-21T00:00:00Z";
/// What cargo-deny calls the folder of the database at its default address.
const FOLDER: &str = "advisory-db-3157b0e258782691";

pub fn run() -> Result {
    let deny = install::DENY.path()?;
    lay_out(&workspace::root().join("target/advisory-dbs"))?;
    // The verdict covers every platform: their packages must be at hand.
    process::run(process::cargo().args(["fetch", "--quiet", "--locked"]))?;
    let mut check = as_cargo(deny);
    check.args(["deny", "--offline", "--locked", "--all-features"]);
    check.args(["check", "advisories", "bans", "licenses", "sources"]);
    process::run(&mut check)
}

/// Makes the repository, unless it is there already from the same snapshot.
fn lay_out(parent: &Path) -> Result {
    let mark = parent.join("snapshot");
    if fs::read_to_string(&mark).is_ok_and(|name| name == SNAPSHOT) {
        return Ok(());
    }
    let folder = parent.join(FOLDER);
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    if process::on_path("xz").is_none() {
        install::apt(&["xz-utils"])?;
    }
    let snapshot = workspace::root().join("xtask").join(SNAPSHOT);
    process::output(Command::new("tar").arg("-xJf").arg(snapshot).arg("-C").arg(&folder))?;
    git(&folder, &["init", "--quiet", "--initial-branch=main"])?;
    git(&folder, &["add", "--all", "--force"])?;
    git(&folder, &["commit", "--quiet", "--no-verify", "--no-gpg-sign", "--message", SNAPSHOT])?;
    Ok(fs::write(mark, SNAPSHOT)?)
}

/// Runs git there, with nothing from the user's own settings.
fn git(folder: &Path, arguments: &[&str]) -> Result {
    let mut git = Command::new("git");
    git.arg("-C").arg(folder).args(arguments);
    for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
        git.env_remove(name);
    }
    for role in ["AUTHOR", "COMMITTER"] {
        git.env(format!("GIT_{role}_NAME"), "xtask").env(format!("GIT_{role}_EMAIL"), "xtask@localhost");
        git.env(format!("GIT_{role}_DATE"), TAKEN);
    }
    git.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
    process::output(&mut git).map(drop)
}
