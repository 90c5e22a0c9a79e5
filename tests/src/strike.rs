use std::{
    io::Write as _,
    process::{Command, Stdio},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rustix::process::{Signal, getpid, kill_process};
use serde::{Deserialize, Serialize};

/// What a process does to itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Strike {
    /// `kill -9`.
    Kill,
    /// `kill -STOP`, and `-CONT` so many milliseconds later.
    Freeze(u64),
}

impl Strike {
    pub(crate) fn happen(self) {
        match self {
            Self::Kill => kill_process(getpid(), Signal::KILL).expect("a process to kill itself"),
            Self::Freeze(millis) => {
                let (from, pid) = (now_ms(), getpid().as_raw_nonzero());
                let to = from + i64::try_from(millis).unwrap_or(i64::MAX);
                // It may not live to tell.
                write_line(&format!("frozen {from} {to}"));
                let thaw =
                    format!("(sleep {}; kill -CONT {pid}) &", Duration::from_millis(millis).as_secs_f32());
                let mut shell = Command::new("sh");
                shell.args(["-c", &thaw]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
                shell.status().expect("a shell to thaw the process");
                kill_process(getpid(), Signal::STOP).expect("a process to stop itself");
            }
        }
    }
}

/// One line by one system call: it is there even if the process is killed after it.
pub(crate) fn write_line(line: &str) {
    // Whoever reads it may be gone, which is no reason to fail.
    let _ = std::io::stdout().write_all(format!("{line}\n").as_bytes());
}

/// The time of day, for what processes and databases of one machine note.
#[expect(clippy::disallowed_methods, reason = "held against the clock of others on the same machine")]
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
