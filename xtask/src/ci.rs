//! `cargo xtask ci`: everything that must hold before a change lands. Every step runs, whatever became of those before.

use crate::{Result, deny, features, install, process, test};
use std::time::Instant;

/// One thing that must hold.
type Step = fn() -> Result;

pub fn run() -> Result {
    install::compiler()?;
    let begun = Instant::now();
    let steps: [(&str, Step); 8] = [
        ("format", format),
        ("dependencies", deny::run),
        ("lints", lints),
        ("docs", docs),
        ("default features", default_features),
        ("no features", features::check_without_any),
        ("each example", features::check_each_example),
        ("tests", || test::run(&[])),
    ];
    let mut verdicts = Vec::new();
    for (name, step) in steps {
        eprintln!("\n==> {name}");
        let started = Instant::now();
        let outcome = step();
        if let Err(error) = &outcome {
            eprintln!("xtask: {error}");
        }
        let word = if outcome.is_ok() { "ok" } else { "FAILED" };
        let line = format!("{word:<6} {name} ({})", process::spell(started.elapsed()));
        eprintln!("==> {line}");
        verdicts.push((outcome.is_ok(), line));
    }
    println!("\nci: {}", process::spell(begun.elapsed()));
    for (_, line) in &verdicts {
        println!("  {line}");
    }
    let failed = verdicts.iter().filter(|(ok, _)| !ok).count();
    if failed == 0 { Ok(()) } else { Err(format!("{failed} of {} steps failed", verdicts.len()).into()) }
}

fn format() -> Result {
    process::run(process::cargo().args(["fmt", "--all", "--check"]))
}

fn lints() -> Result {
    let scope = ["--workspace", "--all-features", "--all-targets", "--locked"];
    process::run(process::cargo().arg("clippy").args(scope).args(["--", "-D", "warnings"]))
}

fn docs() -> Result {
    let scope = ["--workspace", "--all-features", "--no-deps", "--locked"];
    process::run(process::cargo().arg("doc").args(scope).env("RUSTDOCFLAGS", "-D warnings"))
}

fn default_features() -> Result {
    process::run(process::cargo().args(["check", "--workspace", "--locked"]))
}
