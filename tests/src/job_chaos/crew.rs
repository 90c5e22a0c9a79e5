use std::{
    fs::{self, File},
    os::unix::process::ExitStatusExt as _,
    process::{Child, Command, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use super::{chore::Point, evidence::Window, now_ms};
use crate::program::built;

/// What is done to a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// `kill -9` at any time; another takes its place.
    Kill,
    /// It kills itself at a point of an attempt.
    KillAt(Point),
    /// `kill -STOP`, and `-CONT` before its leases are over.
    Pause,
    /// `kill -STOP`, and `-CONT` when others have its jobs.
    Freeze,
    /// It stops itself at a point of an attempt, and goes on when others have its jobs.
    FreezeAt(Point),
}

/// How many rounds with freezes follow each other.
const STORM: u32 = 10;
/// How many rounds there are from the beginning of a storm to that of the next.
const CYCLE: u32 = 25;

impl Fault {
    /// Every kind and every point comes again and again. Freezes come in storms with a calm after each, in which workers are
    /// only killed and paused: a worker that is frozen in the middle of a transaction may hold up others, so that how soon
    /// jobs are taken shows in the calm.
    pub(super) fn of_round(round: u32) -> Self {
        let (cycle, place) = (round / CYCLE, round % CYCLE);
        match place {
            1 | 6 => Self::Freeze,
            4 | 8 => Self::FreezeAt(Point::nth(cycle * 2 + place / 4)),
            2 | 16 => Self::Pause,
            place if place % 2 == 1 => Self::KillAt(Point::nth(cycle + place / 2)),
            _ => Self::Kill,
        }
    }

    /// Whether a calm begins with this round.
    pub(super) fn begins_calm(round: u32) -> bool {
        round % CYCLE == STORM
    }
}

/// The worker processes of a run.
pub(super) struct Crew {
    folder: TempDir,
    url: String,
    lease: Duration,
    members: Vec<Member>,
    begun: u32,
    thaws: Vec<JoinHandle<Window>>,
    kills: u32,
    problems: Vec<String>,
}

struct Member {
    process: Child,
}

impl Crew {
    pub(super) fn start(workers: usize, url: &str, lease: Duration) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut crew = Self {
            folder,
            url: url.to_owned(),
            lease,
            members: Vec::new(),
            begun: 0,
            thaws: Vec::new(),
            kills: 0,
            problems: Vec::new(),
        };
        for _ in 0..workers {
            let member = crew.begin();
            crew.members.push(member);
        }
        crew
    }

    fn begin(&mut self) -> Member {
        self.begun += 1;
        let name = format!("worker-{}", self.begun);
        let file = |ending: &str| {
            File::create(self.folder.path().join(format!("{name}.{ending}"))).expect("a file for its words")
        };
        let process = Command::new(built("jobs-worker"))
            .env("STYLOBATE_CHAOS_DATABASE", &self.url)
            .env("STYLOBATE_CHAOS_NAME", &name)
            .env("STYLOBATE_CHAOS_LEASE_MS", self.lease.as_millis().to_string())
            .stdin(Stdio::null())
            .stdout(file("out"))
            .stderr(file("log"))
            .spawn()
            .expect("a worker to start");
        Member { process }
    }

    /// Kills one, frozen or not, and starts another.
    pub(super) fn kill(&mut self, which: usize) {
        let which = which % self.members.len();
        let next = self.begin();
        let mut gone = std::mem::replace(&mut self.members[which], next);
        gone.process.kill().expect("a worker to be killed");
        gone.process.wait().expect("the killed worker to be gone");
        self.kills += 1;
    }

    /// Puts others in the place of those that have killed themselves.
    pub(super) fn replace_dead(&mut self) {
        for which in 0..self.members.len() {
            let Some(end) = self.members[which].process.try_wait().expect("a worker to be looked at") else {
                continue;
            };
            match end.signal() {
                Some(signal) if signal == Signal::KILL.as_raw() => self.kills += 1,
                _ => self.problems.push(format!("a worker ended without being killed: {end}")),
            }
            self.members[which] = self.begin();
        }
    }

    /// How many have been killed so far.
    pub(super) fn kills(&self) -> u32 {
        self.kills
    }

    /// Stops one for `time`.
    pub(super) fn stop(&mut self, which: usize, time: Duration) {
        let which = which % self.members.len();
        let id = self.members[which].process.id();
        let Some(pid) = i32::try_from(id).ok().and_then(Pid::from_raw) else { return };
        let from = now_ms();
        kill_process(pid, Signal::STOP).expect("a worker to stop");
        self.thaws.push(tokio::spawn(async move {
            tokio::time::sleep(time).await;
            // It may have been killed meanwhile. Its number is not given out again so soon.
            let _ = kill_process(pid, Signal::CONT);
            Window { from, to: now_ms() }
        }));
    }

    /// Waits until all go on, and tells when they did not.
    pub(super) async fn thaw_all(&mut self) -> Vec<Window> {
        let mut windows = Vec::new();
        for thaw in self.thaws.drain(..) {
            windows.push(thaw.await.expect("a thaw not to panic"));
        }
        windows
    }

    /// Ends all and returns every line that any of them wrote, and what was wrong with them.
    pub(super) fn end(mut self) -> (Vec<String>, Vec<String>) {
        for member in &mut self.members {
            member.end();
        }
        let mut lines = Vec::new();
        for entry in fs::read_dir(self.folder.path()).expect("the folder of words").flatten() {
            let words = fs::read(entry.path()).expect("the words of a worker");
            lines.extend(String::from_utf8_lossy(&words).lines().map(str::to_owned));
        }
        (lines, std::mem::take(&mut self.problems))
    }
}

impl Member {
    fn end(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn most_rounds_are_calm_and_every_point_is_struck_in_both_ways() {
        let rounds = CYCLE * 5;
        let calm: Vec<Fault> =
            (0..rounds).filter(|round| round % CYCLE >= STORM).map(Fault::of_round).collect();
        assert!(calm.len() * 2 > rounds as usize);
        assert!(calm.iter().all(|fault| !matches!(fault, Fault::Freeze | Fault::FreezeAt(_))));
        assert_eq!((0..rounds).filter(|round| Fault::begins_calm(*round)).count(), 5);
        let all: Vec<Fault> = (0..rounds).map(Fault::of_round).collect();
        assert!(all.contains(&Fault::Pause) && all.contains(&Fault::Kill) && all.contains(&Fault::Freeze));
        for point in (0..5).map(Point::nth) {
            assert!(calm.contains(&Fault::KillAt(point)), "{point:?}");
            assert!(all.contains(&Fault::FreezeAt(point)), "{point:?}");
        }
    }
}
