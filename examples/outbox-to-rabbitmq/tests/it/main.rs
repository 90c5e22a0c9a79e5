//! The program does what its README says.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "tests")]

use std::{
    env,
    io::{BufRead as _, BufReader},
    ops::RangeInclusive,
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    time::Duration,
};

fn variable(name: &str) -> String {
    env::var(name)
        .unwrap_or_else(|_| panic!("{name} is not set: run `cargo xtask test`, or `cargo xtask services up`"))
}

/// A virtual host of the broker that goes with the value.
struct Host {
    name: String,
    url: String,
}

impl Host {
    fn new() -> Self {
        let name = format!("shop-{}", std::process::id());
        let url = variable("STYLOBATE_TEST_AMQP_URL");
        let user = url.split(['/', ':']).nth(3).unwrap();
        rabbitmqctl(&["add_vhost", &name]);
        rabbitmqctl(&["set_permissions", "-p", &name, user, ".*", ".*", ".*"]);
        let (server, _) = url.rsplit_once('/').unwrap();
        Self { url: format!("{server}/{name}"), name }
    }

    /// Until the number of messages in `queue` is one of these, within half a minute: the broker's own count is some time behind.
    fn until(&self, queue: &str, counts: RangeInclusive<u32>) {
        let mut list = String::new();
        for _ in 0..30 {
            list = rabbitmqctl(&["-p", &self.name, "list_queues", "--no-table-headers", "-q"]);
            let mut rows = list.lines().filter_map(|line| line.split_once('\t'));
            let count = rows.find(|(name, _)| *name == queue).and_then(|(_, count)| count.parse().ok());
            if count.is_some_and(|count| counts.contains(&count)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        panic!("{queue} has other than {counts:?}: {list}");
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        rabbitmqctl(&["delete_vhost", &self.name]);
    }
}

fn rabbitmqctl(arguments: &[&str]) -> String {
    let output = Command::new(variable("STYLOBATE_TEST_AMQP_CTL")).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// A running program and what it prints.
struct Program {
    child: Child,
    lines: Receiver<String>,
}

impl Program {
    fn start(folder: &Path, host: &Host) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_outbox-to-rabbitmq"))
            .current_dir(folder)
            .env_remove("DATABASE_URL")
            .env("AMQP_URL", &host.url)
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

    /// The lines up to the first with these words, within a minute each.
    fn until(&self, words: &str) -> Vec<String> {
        let mut seen: Vec<String> = Vec::new();
        while !seen.last().is_some_and(|line| line.contains(words)) {
            let line = self.lines.recv_timeout(Duration::from_secs(60));
            seen.push(line.unwrap_or_else(|_| panic!("no {words:?}: only {seen:?}")));
        }
        seen
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn every_order_is_sent_once_though_the_program_is_killed() {
    let (folder, host) = (tempfile::tempdir().unwrap(), Host::new());
    let mut first = Program::start(folder.path(), &host);
    first.until("order 4 was placed");
    first.child.kill().unwrap();
    first.child.wait().unwrap();

    let mut second = Program::start(folder.path(), &host);
    let seen = second.until("dead letters");
    // At least four orders before it was killed and six after, with a unicorn each.
    let numbers: Vec<u32> = seen.last().unwrap().split(' ').filter_map(|word| word.parse().ok()).collect();
    let [orders, parcels, dead] = numbers.try_into().unwrap();
    assert!(orders >= 10 && dead == 2 && parcels == orders - dead, "{seen:?}");
    let interrupted = Command::new("kill").args(["-INT", &second.child.id().to_string()]).status().unwrap();
    assert!(interrupted.success());
    second.until("closed");
    assert!(second.child.wait().unwrap().success());
    host.until("warehouse", 0..=0);
    // A letter that was being put aside when the program was killed may lie there twice: it counts once, by its id.
    host.until("warehouse.dead", 2..=3);
}
