//! `cargo xtask test`: the one command that passes all tests.

use crate::services::{Durability, Exports, Instance};
use crate::{Result, install, process, workspace};
use std::process::Command;
use std::time::Instant;

/// Features and lock of the one build that all tests share.
const BUILD: [&str; 3] = ["--workspace", "--all-features", "--locked"];

/// Variables of a developer's shell that would point tests at something else than their own servers.
const MISLEADING: [&str; 7] =
    ["DATABASE_URL", "DATABASE_MIGRATION_URL", "REDIS_URL", "AMQP_URL", "SMTP_URL", "SMS_URL", "MAIL_FROM"];

pub fn run(filters: &[String]) -> Result {
    let begun = Instant::now();
    install::compiler()?;
    let nextest = install::NEXTEST.path()?;
    process::run(process::cargo().arg("build").args(BUILD).arg("--all-targets"))?;
    eprintln!("xtask: built in {}", process::spell(begun.elapsed()));

    let binary = workspace::metadata()?.target.join("debug/control-plane");
    let services = Instance::start(Durability::Process)?;
    let mut environment: Exports = services.exports();
    environment.push(("STYLOBATE_BIN_CONTROL_PLANE".into(), binary.display().to_string()));

    let mut tests = as_cargo(nextest);
    tests.args(["nextest", "run"]).args(BUILD).args(filters);
    let mut outcomes = vec![Outcome::of("tests", &mut tests, &environment)?];
    if filters.is_empty() {
        // The control plane once more, with casbin deciding about permissions.
        let mut casbin = as_cargo(install::NEXTEST.path()?);
        casbin.args(["nextest", "run"]).args(BUILD).args(["-E", "package(stylobate-tests)"]);
        casbin.env("STYLOBATE_TEST_RBAC_ENGINE", "casbin");
        outcomes.push(Outcome::of("control plane with casbin", &mut casbin, &environment)?);
        let mut docs = process::cargo();
        docs.args(["test", "--doc"]).args(BUILD).arg("--no-fail-fast");
        outcomes.push(Outcome::of("doc tests", &mut docs, &environment)?);
    }
    drop(services);

    eprintln!("xtask: tests took {} with the build", process::spell(begun.elapsed()));
    outcomes.iter().for_each(Outcome::print);
    let failed: Vec<&str> =
        outcomes.iter().filter(|outcome| !outcome.success).map(|outcome| outcome.what).collect();
    if failed.is_empty() { Ok(()) } else { Err(format!("{} failed", failed.join(" and ")).into()) }
}

/// The program of a cargo subcommand, prepared as cargo itself is.
pub fn as_cargo(program: std::path::PathBuf) -> Command {
    let cargo = process::cargo();
    let mut command = Command::new(program);
    command.current_dir(workspace::root());
    for (name, value) in cargo.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
}

/// How one runner ended.
struct Outcome {
    what: &'static str,
    success: bool,
    closing: Vec<String>,
}

impl Outcome {
    fn of(what: &'static str, command: &mut Command, environment: &Exports) -> Result<Self> {
        for name in MISLEADING {
            command.env_remove(name);
        }
        let (success, lines) = process::run_and_keep(command.envs(environment.iter().cloned()))?;
        Ok(Self { what, success, closing: closing(&lines) })
    }

    fn print(&self) {
        for line in &self.closing {
            println!("{}: {}", self.what, line.trim());
        }
        if self.closing.is_empty() {
            println!("{}: no closing line; see above", self.what);
        }
    }
}

/// nextest's summary, or the sum over the many closing lines of doc tests.
fn closing(lines: &[String]) -> Vec<String> {
    let nextest = lines.iter().rposition(|line| line.trim_start().starts_with("Summary ["));
    if let Some(at) = nextest {
        return lines.iter().skip(at).filter(|line| !line.trim().is_empty()).cloned().collect();
    }
    let results: Vec<&str> =
        lines.iter().filter_map(|line| line.trim().strip_prefix("test result: ")).collect();
    if results.is_empty() {
        return Vec::new();
    }
    let total = |what| results.iter().map(|result| count(result, what)).sum::<u64>();
    vec![format!("{} passed, {} failed, {} ignored", total("passed"), total("failed"), total("ignored"))]
}

/// The number before a word in `ok. 5 passed; 0 failed; 1 ignored; …`.
fn count(result: &str, what: &str) -> u64 {
    let words: Vec<&str> = result.split([' ', ';']).filter(|word| !word.is_empty()).collect();
    words.windows(2).find_map(|pair| (pair[1] == what).then(|| pair[0].parse().ok())?).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn the_summary_of_nextest_is_kept_with_the_failures_below_it() {
        let text = "PASS a\n   Summary [ 1.2s] 2 tests run: 1 passed, 1 failed, 0 skipped\n   FAIL b\n";
        assert_eq!(closing(&lines(text)).len(), 2);
    }

    #[test]
    fn closing_lines_of_doc_tests_are_added_up() {
        let text = "test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.1s\n\
                    test result: FAILED. 2 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out\n";
        assert_eq!(closing(&lines(text)), ["7 passed, 3 failed, 1 ignored"]);
    }

    #[test]
    fn a_run_that_broke_off_has_no_closing_line() {
        assert!(closing(&lines("error: could not compile")).is_empty());
    }
}
