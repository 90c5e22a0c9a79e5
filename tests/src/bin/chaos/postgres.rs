use std::{
    env, fs,
    path::PathBuf,
    process::{Command, Stdio},
    thread,
};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use sqlx::{Connection as _, PgConnection};
use stylobate_tests::eventually;

/// The PostgreSQL server of this run, as the environment describes it.
pub(crate) struct KillablePostgres {
    url: String,
    pid_file: PathBuf,
    start: PathBuf,
}

impl KillablePostgres {
    /// The one that `cargo xtask chaos` has started.
    ///
    /// # Panics
    /// When a variable is missing.
    pub(crate) fn from_environment() -> Self {
        let named = |name: &str| {
            let name = format!("STYLOBATE_TEST_POSTGRES_{name}");
            env::var(&name).unwrap_or_else(|_| panic!("{name} is not set: run `cargo xtask chaos`"))
        };
        Self { url: named("URL"), pid_file: named("PIDFILE").into(), start: named("START").into() }
    }

    /// Kills the server itself; its helpers notice and end.
    ///
    /// # Panics
    /// When it does not run.
    pub(crate) fn kill(&self) {
        kill_process(self.pid().expect("PostgreSQL to run"), Signal::KILL).expect("PostgreSQL to be killed");
    }

    /// Starts it again on the same data and waits until it answers.
    ///
    /// # Panics
    /// When it does not.
    pub(crate) async fn start(&self) {
        eventually("PostgreSQL to be started again", async || {
            // Helpers of the killed server hold its memory for a moment; a start ends at once until they are gone.
            if self.pid().is_none_or(|pid| test_kill_process(pid).is_err()) {
                self.start_once();
            }
            PgConnection::connect(&self.url).await.ok().map(drop)
        })
        .await;
    }

    fn start_once(&self) {
        let mut command = Command::new(&self.start);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().expect("the start script to run");
        // A killed server nobody waits for keeps its process id, and the next start would take it for alive.
        thread::spawn(move || child.wait());
        thread::sleep(std::time::Duration::from_millis(200)); // until its own pid stands in the file
    }

    fn pid(&self) -> Option<Pid> {
        Pid::from_raw(fs::read_to_string(&self.pid_file).ok()?.lines().next()?.trim().parse().ok()?)
    }
}
