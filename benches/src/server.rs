//! Processes that are measured: ours and the bare peer, started and looked at alike.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, Read as _},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{
    Result,
    load::{Connection, request},
};

/// How long a process may take to start or to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server that says where it listens. Killed when it is dropped.
pub(crate) struct Process {
    child: Child,
    address: SocketAddr,
    started: Instant,
}

impl Process {
    /// Starts it and waits for the line with its address. Standard error goes to a file in `folder`.
    pub(crate) fn start(mut command: Command, folder: &Path) -> Result<Self> {
        let log = folder.join("stderr.log");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(File::create(&log)?);
        let started = Instant::now();
        let mut child = command.spawn()?;
        let output = child.stdout.take().ok_or("a piped output")?;
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            let mut output = BufReader::new(output);
            let mut line = String::new();
            while output.read_line(&mut line).is_ok_and(|read| read > 0) {
                if let Some(address) = address_in(&line) {
                    let _ = sender.send(address);
                    break;
                }
                line.clear();
            }
            // Nobody must wait for a full pipe.
            let mut rest = [0; 4096];
            while output.read(&mut rest).is_ok_and(|read| read > 0) {}
        });
        // Made before the wait, so that it is killed when that fails.
        let mut process = Self { child, address: SocketAddr::from(([127, 0, 0, 1], 0)), started };
        let waited = receiver.recv_timeout(PATIENCE);
        process.address = waited.map_err(|_| describe("it did not say where it listens", &log))?;
        Ok(process)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until `/health/ready` answers 200, and says how long that took since the process was started.
    pub(crate) async fn ready(&self) -> Result<Duration> {
        let probe = request("GET", "/health/ready", None, None);
        let mut connection = Connection::open(self.address).await?;
        while connection.exchange(&probe).await?.status != 200 {
            if self.started.elapsed() > PATIENCE {
                return Err("the server does not become ready".into());
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(self.started.elapsed())
    }

    /// CPU time of all its threads so far, to a hundredth of a second.
    pub(crate) fn cpu_time(&self) -> Result<Duration> {
        let stat = fs::read_to_string(self.proc("stat"))?;
        // The fields after the name, which may hold anything (proc(5)): utime is the 12th of them, stime the 13th.
        let (_, fields) = stat.rsplit_once(") ").ok_or("a line of /proc")?;
        let ticks: Vec<u64> =
            fields.split(' ').skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
        let per_second = rustix::param::clock_ticks_per_second();
        Ok(Duration::from_secs_f64(ticks.iter().sum::<u64>() as f64 / per_second as f64))
    }

    /// Resident memory now, in bytes.
    pub(crate) fn resident(&self) -> Result<u64> {
        self.status("VmRSS:")
    }

    /// The most resident memory it ever had, in bytes.
    pub(crate) fn resident_peak(&self) -> Result<u64> {
        self.status("VmHWM:")
    }

    fn status(&self, name: &str) -> Result<u64> {
        let status = fs::read_to_string(self.proc("status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix(name)).ok_or("a line of /proc")?;
        let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(kib * 1024)
    }

    fn proc(&self, file: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{file}", self.child.id()))
    }

    /// Asks it to end, and waits until it has.
    pub(crate) async fn stop(mut self) -> Result {
        let id = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).ok_or("a process id")?;
        kill_process(id, Signal::TERM)?;
        let asked = Instant::now();
        while self.child.try_wait()?.is_none() {
            if asked.elapsed() > PATIENCE {
                return Err("the server does not end".into());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn address_in(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once("listening on http://")?;
    rest.trim().parse().ok()
}

fn describe(what: &str, log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    format!("{what}; its last words: {}", text.lines().last().unwrap_or("none"))
}
