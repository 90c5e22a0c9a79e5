use std::{
    collections::VecDeque,
    fs::{self, File},
    os::unix::process::ExitStatusExt as _,
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use super::{
    relaying::{Blow, Point, Relaying},
    task::{DATABASE, TASK, Task},
    writer::{Crash, Writing},
};
use crate::{PATIENCE, program::built, strike::Strike};

/// The processes of a run.
pub(super) struct Crew {
    folder: TempDir,
    database: String,
    broker: String,
    lease: Duration,
    random: fastrand::Rng,
    relays: Vec<Member>,
    writers: Vec<(Member, bool)>,
    begun: u32,
    relays_begun: u32,
    thaws: Vec<JoinHandle<()>>,
    /// Whether relays that are begun leave themselves alone.
    is_calm: bool,
    /// How many relays were killed.
    pub(super) kills: u32,
    /// What nobody has done to them.
    pub(super) problems: Vec<String>,
}

struct Member {
    process: Child,
}

impl Crew {
    pub(super) fn start(relays: u32, database: &str, broker: &str, lease: Duration, seed: u64) -> Self {
        let mut crew = Self {
            folder: tempfile::tempdir().expect("a temporary folder"),
            database: database.to_owned(),
            broker: broker.to_owned(),
            lease,
            random: fastrand::Rng::with_seed(seed),
            relays: Vec::new(),
            writers: Vec::new(),
            begun: 0,
            relays_begun: 0,
            thaws: Vec::new(),
            is_calm: false,
            kills: 0,
            problems: Vec::new(),
        };
        for _ in 0..relays {
            let relay = crew.relay();
            crew.relays.push(relay);
        }
        crew
    }

    fn begin(&mut self, name: &str, task: &Task) -> Member {
        self.begun += 1;
        let file = |ending: &str| {
            let path = self.folder.path().join(format!("{name}-{}.{ending}", self.begun));
            File::create(path).expect("a file for its words")
        };
        let process = Command::new(built("events-worker"))
            .env(DATABASE, &self.database)
            .env(TASK, serde_json::to_string(task).expect("a task as JSON"))
            .stdin(Stdio::null())
            .stdout(file("out"))
            .stderr(file("log"))
            .spawn()
            .expect("a process to start");
        Member { process }
    }

    /// A relay with the fate that is next.
    fn relay(&mut self) -> Member {
        let n = self.relays_begun;
        self.relays_begun += 1;
        let blows = if self.is_calm { VecDeque::new() } else { self.blows(n) };
        let lease_ms = u64::try_from(self.lease.as_millis()).unwrap_or(u64::MAX);
        let task = Task::Relay(Relaying { lease_ms, broker: self.broker.clone(), blows });
        self.begin("relay", &task)
    }

    /// Every point comes again and again, to freeze at and to die at. Who has frozen dies at the next point.
    fn blows(&mut self, n: u32) -> VecDeque<Blow> {
        let frozen = self.frozen();
        let mut blow = |point, strike| Blow { point, strike, after: self.random.u32(..4) };
        let death = blow(Point::nth(n), Strike::Kill);
        let freeze = blow(Point::nth(n / 2), Strike::Freeze(frozen));
        if n.is_multiple_of(2) { [death].into() } else { [freeze, death].into() }
    }

    /// Longer than a lease, in milliseconds.
    fn frozen(&mut self) -> u64 {
        let frozen = self.lease.mul_f64(1.3 + self.random.f64());
        u64::try_from(frozen.as_millis()).unwrap_or(u64::MAX)
    }

    /// Has a writer tell of some notes.
    pub(super) fn write(&mut self, writing: Writing) {
        let dies = writing.crash.is_some();
        let writer = self.begin("writer", &Task::Write(writing));
        self.writers.push((writer, dies));
    }

    /// Waits until all writers have ended.
    pub(super) async fn written(&mut self) {
        let since = Instant::now();
        for (mut writer, dies) in std::mem::take(&mut self.writers) {
            let end = loop {
                match writer.process.try_wait().expect("a writer to be looked at") {
                    Some(end) => break Some(end),
                    None if since.elapsed() > PATIENCE => break None,
                    None => tokio::time::sleep(Duration::from_millis(10)).await,
                }
            };
            match end {
                Some(end) if dies == is_killed(end) && (dies || end.success()) => {}
                Some(end) => self.problems.push(format!("a writer ended otherwise than it was to: {end}")),
                None => self.problems.push("a writer did not come to its end".to_owned()),
            }
        }
    }

    /// Kills a relay, frozen or not. Another takes its place.
    pub(super) fn kill(&mut self, which: usize) {
        let which = which % self.relays.len();
        // It may just have died by itself; then that is seen by its end.
        let _ = self.relays[which].process.kill();
        let _ = self.relays[which].process.wait();
        self.replace_dead();
    }

    /// Puts others in the place of relays that are dead.
    pub(super) fn replace_dead(&mut self) {
        for which in 0..self.relays.len() {
            let Some(end) = self.relays[which].process.try_wait().expect("a relay to be looked at") else {
                continue;
            };
            if is_killed(end) {
                self.kills += 1;
            } else {
                self.problems.push(format!("a relay ended without being killed: {end}"));
            }
            self.relays[which] = self.relay();
        }
    }

    /// From now on relays are left alone: those that are not go.
    pub(super) async fn calm(&mut self) {
        self.is_calm = true;
        for thaw in self.thaws.drain(..) {
            thaw.await.expect("a thaw not to panic");
        }
        for which in 0..self.relays.len() {
            self.kill(which);
        }
    }

    /// Stops a relay for less than half a lease.
    pub(super) fn pause(&mut self, which: usize) {
        let time = self.lease.mul_f64(0.1 + self.random.f64() * 0.4);
        self.stop(which, time);
    }

    /// Stops a relay for longer than a lease.
    pub(super) fn freeze(&mut self, which: usize) {
        let frozen = self.frozen();
        self.stop(which, Duration::from_millis(frozen));
    }

    fn stop(&mut self, which: usize, time: Duration) {
        let id = self.relays[which % self.relays.len()].process.id();
        let Some(pid) = i32::try_from(id).ok().and_then(Pid::from_raw) else { return };
        // Nobody has waited for it: its number is still its own.
        kill_process(pid, Signal::STOP).expect("a relay to stop");
        self.thaws.push(tokio::spawn(async move {
            tokio::time::sleep(time).await;
            // It may have been killed meanwhile. Its number is not given out again so soon.
            let _ = kill_process(pid, Signal::CONT);
        }));
    }

    /// Ends all and returns every line that any of them wrote.
    pub(super) fn end(mut self) -> Vec<String> {
        self.relays.clear();
        self.writers.clear();
        let mut lines = Vec::new();
        for entry in fs::read_dir(self.folder.path()).expect("the folder of words").flatten() {
            let words = fs::read(entry.path()).expect("the words of a process");
            lines.extend(String::from_utf8_lossy(&words).lines().map(str::to_owned));
        }
        lines
    }
}

fn is_killed(end: ExitStatus) -> bool {
    end.signal() == Some(Signal::KILL.as_raw())
}

impl Drop for Member {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Which writers die in a round, and where: one after its commit, and in some rounds another one before.
pub(super) fn crash_of(round: u32, writer: u32) -> Option<Crash> {
    match writer {
        0 => Some(Crash::Committed),
        1 if round % 4 == 1 => Some(Crash::Uncommitted),
        _ => None,
    }
}
