//! The program does what its README says.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "tests")]

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    time::Duration,
};

/// A running program and what it prints.
struct Program {
    child: Child,
    lines: Receiver<String>,
}

impl Program {
    fn start(folder: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_jobs-and-schedules"))
            .current_dir(folder)
            .env_remove("DATABASE_URL")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (sender, lines) = channel();
        let output = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Self { child, lines }
    }

    /// The lines up to the first that `is_it`, which is the last of them; within a minute each.
    fn until(&self, is_it: impl Fn(&str) -> bool) -> Vec<String> {
        let mut seen = Vec::new();
        loop {
            let line = self.lines.recv_timeout(Duration::from_secs(60));
            seen.push(line.unwrap_or_else(|_| panic!("only {seen:?}")));
            if seen.last().is_some_and(|line| is_it(line)) {
                return seen;
            }
        }
    }

    /// Until it has counted to `number` or further; tells where it began and where it is.
    fn count_to(&self, number: u8) -> (u8, u8) {
        let after =
            |line: &str, words: &str| line.strip_prefix(words).and_then(|rest| rest.parse::<u8>().ok());
        let seen = self.until(|line| after(line, "counted ").is_some_and(|counted| counted >= number));
        let began = seen.iter().find_map(|line| line.split_once("begins after ")?.1.parse().ok());
        (began.unwrap(), after(seen.last().unwrap(), "counted ").unwrap())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_worker_that_is_stopped_or_killed_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = Program::start(folder.path());
    let seen = first.until(|line| line == "counted 3");
    for line in ["order: shipped from the shelf of the lamp", "order: given back to the shelf of the chair"] {
        assert!(seen.iter().any(|one| one == line), "{line}: {seen:?}");
    }
    assert!(!seen.iter().any(|line| line.contains("shipped from the shelf of the chair")));
    first.child.kill().unwrap();
    first.child.wait().unwrap();

    let mut second = Program::start(folder.path());
    let (began, counted) = second.count_to(5);
    assert!(began >= 3, "{began}");
    let interrupted = Command::new("kill").args(["-INT", &second.child.id().to_string()]).status().unwrap();
    assert!(interrupted.success());
    let seen = second.until(|line| line.starts_with("stopped"));
    assert!(seen.iter().any(|line| line.starts_with("told to stop after")), "{seen:?}");
    assert!(second.child.wait().unwrap().success());

    let third = Program::start(folder.path());
    let (began, _) = third.count_to(counted + 2);
    assert!(began >= counted, "{began} after {counted}");
}
