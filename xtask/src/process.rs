//! Running programs, and telling processes apart.

use crate::Result;
use crate::workspace;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// `cargo` in the workspace root, without the variables that `cargo run` gave to this program: build scripts would take
/// them for a change and build again.
pub fn cargo() -> Command {
    let mut cargo = Command::new("cargo");
    cargo.current_dir(workspace::root());
    for (name, _) in std::env::vars_os() {
        if is_left_by_cargo_run(&name) {
            cargo.env_remove(name);
        }
    }
    cargo
}

fn is_left_by_cargo_run(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"].iter().any(|prefix| name.starts_with(prefix))
        || ["CARGO", "CARGO_CRATE_NAME", "CARGO_PRIMARY_PACKAGE", "OUT_DIR"].contains(&name.as_ref())
}

/// Runs it, everything visible; fails when it fails.
pub fn run(command: &mut Command) -> Result {
    eprintln!("$ {}", shown(command));
    let status =
        command.stdin(Stdio::null()).status().map_err(|error| format!("{}: {error}", shown(command)))?;
    if status.success() { Ok(()) } else { Err(format!("{}: {status}", shown(command)).into()) }
}

/// Runs it, everything visible, and also returns whether it succeeded and the lines it wrote.
pub fn run_and_keep(command: &mut Command) -> Result<(bool, Vec<String>)> {
    eprintln!("$ {}", shown(command));
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("{}: {error}", shown(command)))?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let lines = thread::scope(|scope| {
        let out = scope.spawn(|| stdout.map_or_else(Vec::new, |pipe| copy_lines(pipe, std::io::stdout())));
        let mut lines = stderr.map_or_else(Vec::new, |pipe| copy_lines(pipe, std::io::stderr()));
        lines.extend(out.join().unwrap_or_default());
        lines
    });
    Ok((child.wait()?.success(), lines))
}

fn copy_lines(from: impl Read, mut to: impl Write) -> Vec<String> {
    let mut lines = Vec::new();
    let mut from = BufReader::new(from);
    let mut line = Vec::new();
    while from.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
        // A closed terminal must not end the child: it still has to be waited for.
        let _ = to.write_all(&line);
        lines.push(String::from_utf8_lossy(&line).trim_end().to_owned());
        line.clear();
    }
    lines
}

/// Runs it silently and returns its standard output; its standard error is part of the failure.
pub fn output(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{}: {error}", command.get_program().display()))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{}: {}\n{}", shown(command), output.status, stderr.trim_end()).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}

/// The first program of that name on `PATH`.
pub fn on_path(name: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file())
}

/// `2m05s`, `7.3s`.
pub fn spell(time: Duration) -> String {
    let seconds = time.as_secs();
    if seconds < 60 {
        format!("{:.1}s", time.as_secs_f64())
    } else {
        format!("{}m{:02}s", seconds / 60, seconds % 60)
    }
}

/// Random hexadecimal digits from the system, two per byte.
pub fn random_hex(bytes: usize) -> Result<String> {
    let mut buffer = vec![0; bytes];
    fs::File::open("/dev/urandom")?.read_exact(&mut buffer)?;
    Ok(buffer.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// One process, and no later one that was given the same number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Identity {
    pub pid: i32,
    /// Clock ticks since boot (field 22 of `/proc/PID/stat`, proc(5)).
    pub started: u64,
}

impl Identity {
    /// The process that has this number now; none when it ended.
    pub fn of(pid: i32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        start_time(&stat).map(|started| Self { pid, started })
    }

    /// Whether it still runs. A process that ended but was not waited for does not.
    pub fn is_alive(self) -> bool {
        Self::of(self.pid) == Some(self)
    }

    /// Asks it to end, waits, and kills it with its process group when it does not.
    pub fn stop(self, politely: Signal, patience: Duration) {
        let Some(pid) = Pid::from_raw(self.pid).filter(|_| self.is_alive()) else { return };
        // Each signal may find the process gone already, which is what was wanted.
        let _ = kill_process(pid, politely);
        if wait_until(patience, || !self.is_alive()) {
            return;
        }
        let _ = kill_process_group(pid, Signal::KILL);
        let _ = kill_process(pid, Signal::KILL);
        wait_until(Duration::from_secs(5), || !self.is_alive());
    }
}

/// The start time in a line of `/proc/PID/stat`; none for a zombie. The name of the program stands in parentheses and may
/// itself hold parentheses and spaces.
fn start_time(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split_ascii_whitespace();
    match fields.next()? {
        "Z" | "X" => None,
        _ => fields.nth(18)?.parse().ok(),
    }
}

/// Running processes of the program `name` that have an argument or their working directory under `folder`.
pub fn find(name: &str, folder: &str) -> Vec<Identity> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| {
        let cmdline = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let directory = fs::read_link(format!("/proc/{pid}/cwd")).unwrap_or_default();
        runs_under(&String::from_utf8_lossy(&cmdline), &directory, name, folder)
    })
    .filter_map(Identity::of)
    .collect()
}

fn runs_under(cmdline: &str, directory: &Path, name: &str, folder: &str) -> bool {
    let mut words = cmdline.split('\0');
    let program = words.next().and_then(|path| path.rsplit('/').next());
    program == Some(name) && (directory.starts_with(folder) || words.any(|word| word.starts_with(folder)))
}

/// Polls until it holds, at most so long; says whether it held.
pub fn wait_until(patience: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + patience;
    loop {
        if holds() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        thread::sleep(Duration::from_millis(30));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_time_is_found_behind_an_odd_program_name() {
        let stat = "12 (a) b (c) S 1 12 12 0 -1 4194560 5 6 7 8 9 10 11 12 20 0 1 0 4711 1000 2000 18446744073709551615";
        assert_eq!(start_time(stat), Some(4711));
    }

    #[test]
    fn a_zombie_has_no_start_time() {
        assert_eq!(start_time("12 (a) Z 1 12 12 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 4711 0 0"), None);
    }

    #[test]
    fn this_process_is_alive_and_another_start_time_is_another_process() {
        let me = Identity::of(std::process::id() as i32).unwrap();
        assert!(me.is_alive());
        assert!(!Identity { started: me.started + 1, ..me }.is_alive());
    }

    #[test]
    fn a_process_is_found_by_program_and_folder_only() {
        let cmdline = "/usr/lib/postgres\0-D\0/tmp/x/postgres/data\0";
        let root = Path::new("/");
        assert!(runs_under(cmdline, root, "postgres", "/tmp/x/postgres"));
        assert!(!runs_under(cmdline, root, "postgres", "/tmp/y/postgres"));
        assert!(!runs_under("tail\0-f\0/tmp/x/postgres/log\0", root, "postgres", "/tmp/x/postgres"));
        let room = Path::new("/tmp/x/rabbitmq");
        assert!(runs_under("epmd\0-port\x0015002\0", room, "epmd", "/tmp/x/rabbitmq"));
        assert!(!runs_under("epmd\0-port\x0015002\0", room, "epmd", "/tmp/y/rabbitmq"));
        assert!(!runs_under("bash\0", room, "epmd", "/tmp/x/rabbitmq"));
    }

    #[test]
    fn variables_of_cargo_run_are_told_from_settings() {
        for name in ["CARGO_PKG_NAME", "CARGO_MANIFEST_DIR", "CARGO", "OUT_DIR"] {
            assert!(is_left_by_cargo_run(OsStr::new(name)), "{name}");
        }
        for name in ["CARGO_HOME", "CARGO_TARGET_DIR", "CARGO_BUILD_JOBS", "PATH"] {
            assert!(!is_left_by_cargo_run(OsStr::new(name)), "{name}");
        }
    }

    #[test]
    fn times_are_spelled_for_people() {
        assert_eq!(spell(Duration::from_millis(7_340)), "7.3s");
        assert_eq!(spell(Duration::from_secs(125)), "2m05s");
    }
}
