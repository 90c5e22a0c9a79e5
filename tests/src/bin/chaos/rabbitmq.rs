use std::{
    env, fs,
    path::PathBuf,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use stylobate_tests::BrokerHost;

/// How long the broker may take to end, and to come back: an end in good order and a start take some seconds each.
const PATIENCE: Duration = Duration::from_secs(90);

/// The RabbitMQ of this run, as the environment describes it.
pub(crate) struct KillableRabbitMq {
    url: String,
    pid_file: PathBuf,
    start: PathBuf,
}

impl KillableRabbitMq {
    /// The one that `cargo xtask chaos` has started.
    ///
    /// # Panics
    /// When a variable is missing.
    pub(crate) fn from_environment() -> Self {
        let named = |name: &str| {
            let name = format!("STYLOBATE_TEST_AMQP_{name}");
            env::var(&name).unwrap_or_else(|_| panic!("{name} is not set: run `cargo xtask chaos`"))
        };
        Self { url: named("URL"), pid_file: named("PIDFILE").into(), start: named("START").into() }
    }

    /// Kills it.
    ///
    /// # Panics
    /// When it does not run.
    pub(crate) async fn kill(&self) {
        self.end(Signal::KILL).await;
    }

    /// Has it end in good order.
    ///
    /// # Panics
    /// When it does not run, or does not end.
    pub(crate) async fn stop(&self) {
        self.end(Signal::TERM).await;
    }

    async fn end(&self, signal: Signal) {
        let pid = self.pid().expect("RabbitMQ to run");
        kill_process(pid, signal).expect("RabbitMQ to be told");
        until("RabbitMQ to end", async || test_kill_process(pid).is_err()).await;
        // Its port mapper ends after it, and must not meet that of the next one.
        until("the port mapper to end", async || self.is_deserted()).await;
    }

    /// Whether no process has its working directory in the room of the broker.
    fn is_deserted(&self) -> bool {
        let room = self.pid_file.parent().expect("a room");
        let mut processes = fs::read_dir("/proc").expect("a list of processes").flatten();
        !processes
            .any(|process| fs::read_link(process.path().join("cwd")).is_ok_and(|cwd| cwd.starts_with(room)))
    }

    /// Starts it again on the same data and waits until it answers.
    ///
    /// # Panics
    /// When it does not.
    pub(crate) async fn start(&self) {
        let mut command = Command::new(&self.start);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().expect("the start script to run");
        thread::spawn(move || child.wait());
        until("RabbitMQ to be started again", async || BrokerHost::answers(&self.url).await).await;
    }

    fn pid(&self) -> Option<Pid> {
        Pid::from_raw(fs::read_to_string(&self.pid_file).ok()?.trim().parse().ok()?)
    }
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !holds().await {
        assert!(begun.elapsed() < PATIENCE, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
