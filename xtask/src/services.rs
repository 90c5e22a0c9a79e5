//! Real servers on free loopback ports with throwaway data.
//!
//! A **service** is one kind of server (one file under `services/`). It lives in a **room**, a folder with its data, its
//! log and a record of the process. Rooms lie together in one folder: the developer's, kept from `up` to `down`, or that
//! of an [`Instance`], which ends with the command that started it.

mod certificates;
mod port;
mod postgres;
mod rabbitmq;
mod redis;
mod smtp;

use crate::process::{self, Identity};
use crate::{Result, workspace};
use clap::Subcommand;
use rustix::process::Signal;
use serde_json::{Value, json};
use std::env;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread;
use std::time::Duration;

/// Every service there is, in the order in which they start. A new one is a file beside the others and a line here.
const SERVICES: [&dyn Service; 4] = [&postgres::Postgres, &redis::Redis, &rabbitmq::RabbitMq, &smtp::Smtp];

/// How long a server may take until it answers, and until it has ended.
const PATIENCE: Duration = Duration::from_secs(60);

/// Names and values of environment variables.
pub type Exports = Vec<(String, String)>;

/// What a server promises about acknowledged writes.
#[derive(Clone, Copy, PartialEq)]
pub enum Durability {
    /// They survive a killed process, not a power cut: fast, for tests.
    Process,
    /// As the server comes: for `chaos` and `bench`.
    Default,
}

/// One kind of server.
trait Service: Sync {
    /// How it is named on the command line.
    fn name(&self) -> &'static str;
    /// Installs what is missing.
    fn install(&self) -> Result;
    /// Lays out the empty room and says how to start the server there.
    fn prepare(&self, room: &Path, port: u16, durability: Durability) -> Result<Launch>;
    /// Whether it answers now.
    fn is_ready(&self, launch: &Launch) -> bool;
    /// Completes it once it answers, and says what clients need to know.
    fn complete(&self, room: &Path, launch: &Launch) -> Result<Exports>;
}

/// How to start a server that was prepared.
struct Launch {
    /// Program and arguments; the program does not fork away.
    command: Vec<String>,
    /// The names under which its processes are seen once they run.
    programs: &'static [&'static str],
    /// The signal that ends it in good order.
    end: Signal,
    port: u16,
    /// Where else it listens, in an order that the service knows.
    more_ports: Vec<u16>,
    password: String,
}

/// Real servers for tests.
#[derive(Subcommand)]
pub enum Command {
    /// Starts them (all when none is named) and prints their addresses: `eval "$(cargo xtask services up)"`
    Up {
        names: Vec<String>,
        /// With the durability the servers have by default, instead of the fast one of tests
        #[arg(long)]
        durable: bool,
    },
    /// Prints the addresses of those that run, as `export NAME=VALUE`
    Env { names: Vec<String> },
    /// Stops them and deletes their data
    Down { names: Vec<String> },
    /// Says which run
    Status,
    /// Waits until its standard input ends, then stops everything in the folder and deletes it
    #[command(hide = true)]
    Guard { folder: PathBuf },
}

pub fn run(command: Command) -> Result {
    if let Command::Guard { folder } = command {
        return guard(&folder);
    }
    let folder = developer_folder()?;
    let lock = File::create(folder.join("lock"))?;
    lock.lock()?;
    match command {
        Command::Up { names, durable } => {
            let services = named(&names)?;
            let durability = if durable { Durability::Default } else { Durability::Process };
            services.iter().try_for_each(|service| service.install())?;
            for service in services {
                print(&start(service, &folder, durability)?);
            }
        }
        Command::Env { names } => {
            for service in named(&names)? {
                print(&running(service, &folder).unwrap_or_default());
            }
        }
        Command::Down { names } => {
            named(&names)?.into_iter().rev().for_each(|service| stop(service, &folder))
        }
        Command::Status => {
            for service in SERVICES {
                let record = Record::read(&folder.join(service.name())).filter(Record::is_alive);
                let state =
                    record.map_or("stopped".to_owned(), |record| format!("runs, pid {}", record.process.pid));
                println!("{} {state}", service.name());
            }
        }
        Command::Guard { .. } => unreachable!("answered above"),
    }
    Ok(())
}

fn print(exports: &Exports) {
    for (name, value) in exports {
        println!("export {name}={}", quoted(value));
    }
}

/// The value as one word of a POSIX shell.
fn quoted(value: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:@%+,".contains(c);
    if !value.is_empty() && value.chars().all(plain) {
        value.to_owned()
    } else {
        format!("'{}'", value.replace('\'', r"'\''"))
    }
}

fn named(names: &[String]) -> Result<Vec<&'static dyn Service>> {
    for name in names {
        if !SERVICES.iter().any(|service| service.name() == name) {
            let known = SERVICES.map(|service| service.name()).join(", ");
            return Err(format!("no service is named {name}; there are {known}").into());
        }
    }
    let wanted = |service: &&dyn Service| names.is_empty() || names.iter().any(|name| name == service.name());
    Ok(SERVICES.into_iter().filter(wanted).collect())
}

/// Servers that end with this command: when it is dropped, and, through a guard process that notices the death of this
/// one, also on Ctrl-C, a panic or `kill -9`.
pub struct Instance {
    guard: Child,
    exports: Exports,
    /// Held while this lives; a folder whose lock is free was abandoned by command and guard alike.
    _lock: File,
}

impl Instance {
    /// Starts all services with fresh data.
    pub fn start(durability: Durability) -> Result<Self> {
        SERVICES.iter().try_for_each(|service| service.install())?;
        let base = base_folder()?;
        sweep(&base);
        let folder = base.join(format!("{INSTANCE_PREFIX}{}", process::random_hex(6)?));
        make_folder(&folder)?;
        let lock = File::create(folder.join("lock"))?;
        lock.lock()?;
        // Not by its path: a build that runs meanwhile may replace the file.
        let guard = std::process::Command::new("/proc/self/exe")
            .args(["services", "guard"])
            .arg(&folder)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .process_group(0) // Ctrl-C goes to the terminal's group: the guard stays
            .spawn()?;
        let mut instance = Self { guard, exports: Exports::new(), _lock: lock };
        for service in SERVICES {
            instance.exports.extend(start(service, &folder, durability)?);
            eprintln!("xtask: {} is ready", service.name());
        }
        Ok(instance)
    }

    /// What clients need to know, for [`std::process::Command::envs`].
    pub fn exports(&self) -> Exports {
        self.exports.clone()
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        if !self.guard.wait().is_ok_and(|status| status.success()) {
            eprintln!("xtask: the servers of this run could not be stopped; the next run tries again");
        }
    }
}

const INSTANCE_PREFIX: &str = "stylobate-run-";

fn guard(folder: &Path) -> Result {
    // Nothing is ever written: it ends when the other side dies or lets go.
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    remove(folder)
}

/// Stops everything in the folder and deletes it.
fn remove(folder: &Path) -> Result {
    SERVICES.iter().rev().for_each(|service| stop(*service, folder));
    Ok(fs::remove_dir_all(folder)?)
}

/// Removes what runs left behind whose guard was killed too.
fn sweep(base: &Path) {
    for entry in fs::read_dir(base).into_iter().flatten().flatten() {
        let folder = entry.path();
        let is_instance = entry.file_name().to_string_lossy().starts_with(INSTANCE_PREFIX);
        if !is_instance || !is_ours(&folder) {
            continue;
        }
        let Ok(lock) = File::open(folder.join("lock")) else { continue };
        // A young one may belong to a command that is about to take its lock.
        let is_old = lock
            .metadata()
            .and_then(|meta| meta.modified())
            .is_ok_and(|made| made.elapsed().is_ok_and(|age| age > Duration::from_secs(60)));
        if is_old && lock.try_lock().is_ok() {
            eprintln!("xtask: removing servers left behind in {}", folder.display());
            let _ = remove(&folder);
        }
    }
}

/// Starts it unless it runs, and waits until it answers.
fn start(service: &dyn Service, folder: &Path, durability: Durability) -> Result<Exports> {
    if let Some(exports) = running(service, folder) {
        return Ok(exports);
    }
    // Somebody may take the port between choosing and binding it.
    let mut outcome = Err("never tried".into());
    for _ in 0..3 {
        stop(service, folder);
        outcome = start_once(service, &folder.join(service.name()), durability);
        if outcome.is_ok() {
            break;
        }
    }
    outcome.map_err(|error| format!("{}: {error}", service.name()).into())
}

fn start_once(service: &dyn Service, room: &Path, durability: Durability) -> Result<Exports> {
    make_folder(room)?;
    let launch = service.prepare(room, port::choose()?, durability)?;
    let log = room.join("log");
    let output = OpenOptions::new().create(true).append(true).mode(0o600).open(&log)?;
    let (program, arguments) = launch.command.split_first().ok_or("no command")?;
    let mut child = std::process::Command::new(program)
        .args(arguments)
        .current_dir(room)
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .process_group(0)
        .spawn()?;
    let process = Identity::of(i32::try_from(child.id())?).ok_or("it ended at once")?;
    // A killed server nobody waits for keeps its process id, and PostgreSQL then refuses to start again on its data.
    thread::spawn(move || child.wait());
    let mut record = Record {
        process,
        programs: launch.programs.iter().map(ToString::to_string).collect(),
        end: launch.end,
        exports: Vec::new(),
    };
    record.write(room)?;
    process::wait_until(PATIENCE, || !process.is_alive() || service.is_ready(&launch));
    if !process.is_alive() || !service.is_ready(&launch) {
        let state = if process.is_alive() { "does not answer" } else { "ended" };
        return Err(
            format!("it {state}; its log says\n{}", fs::read_to_string(log).unwrap_or_default()).into()
        );
    }
    record.exports = service.complete(room, &launch)?;
    record.write(room)?;
    Ok(record.exports)
}

/// What clients need to know, when it runs and was completed.
fn running(service: &dyn Service, folder: &Path) -> Option<Exports> {
    let record = Record::read(&folder.join(service.name()))?;
    (record.is_alive() && !record.exports.is_empty()).then_some(record.exports)
}

/// Stops it and deletes its room. Also stops a server that a test killed and started again in the same room, and what a killed
/// one left behind.
fn stop(service: &dyn Service, folder: &Path) {
    let room = folder.join(service.name());
    if let Some(record) = Record::read(&room) {
        record.process.stop(record.end, PATIENCE);
        for program in &record.programs {
            for left in process::find(program, &room.to_string_lossy()) {
                left.stop(record.end, PATIENCE);
            }
        }
    }
    // Helpers of a killed server may still write while they end.
    process::wait_until(Duration::from_secs(10), || !room.exists() || fs::remove_dir_all(&room).is_ok());
}

/// The process in a room, as it is remembered between commands.
struct Record {
    process: Identity,
    programs: Vec<String>,
    end: Signal,
    /// Empty until the service is complete.
    exports: Exports,
}

impl Record {
    fn read(room: &Path) -> Option<Self> {
        let record: Value = serde_json::from_str(&fs::read_to_string(room.join("record.json")).ok()?).ok()?;
        let exports = record["exports"].as_object()?.iter();
        Some(Self {
            process: Identity {
                pid: i32::try_from(record["pid"].as_i64()?).ok()?,
                started: record["started"].as_u64()?,
            },
            programs: record["programs"]
                .as_array()?
                .iter()
                .map(|name| name.as_str().map(str::to_owned))
                .collect::<Option<_>>()?,
            end: Signal::from_named_raw(i32::try_from(record["end"].as_i64()?).ok()?)?,
            exports: exports
                .map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
                .collect::<Option<_>>()?,
        })
    }

    /// Holds passwords: for the owner's eyes only.
    fn write(&self, room: &Path) -> Result {
        let record = json!({
            "pid": self.process.pid,
            "started": self.process.started,
            "programs": self.programs,
            "end": self.end.as_raw(),
            "exports": self.exports.iter().cloned().collect::<std::collections::BTreeMap<_, _>>(),
        });
        write_private(&room.join("record.json"), &record.to_string())
    }

    fn is_alive(&self) -> bool {
        self.process.is_alive()
    }
}

/// Writes a file that only its owner may read.
fn write_private(path: &Path, text: &str) -> Result {
    let mut file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(path)?;
    Ok(file.write_all(text.as_bytes())?)
}

/// One folder for each clone of the repository and user.
fn developer_folder() -> Result<PathBuf> {
    let mut hasher = DefaultHasher::new();
    workspace::root().canonicalize()?.hash(&mut hasher);
    let user = rustix::process::getuid().as_raw();
    let folder = base_folder()?.join(format!("stylobate-services-{user}-{:08x}", hasher.finish() as u32));
    if !folder.exists() {
        make_folder(&folder)?;
    }
    // The temporary folder is everybody's: another user may have been there first.
    if is_ours(&folder) { Ok(folder) } else { Err(format!("{} is not ours", folder.display()).into()) }
}

/// Where folders with rooms lie: `STYLOBATE_SERVICES_DIR`, or a temporary folder that servers running as other users can
/// reach.
fn base_folder() -> Result<PathBuf> {
    if let Some(dir) = env::var_os("STYLOBATE_SERVICES_DIR") {
        fs::create_dir_all(&dir)?;
        return Ok(fs::canonicalize(dir)?);
    }
    [env::temp_dir(), "/tmp".into(), "/var/tmp".into()]
        .into_iter()
        .filter_map(|dir| dir.canonicalize().ok())
        .find(|dir| dir.ancestors().all(is_searchable_by_all))
        .ok_or_else(|| {
            "no temporary folder is searchable by other users; set STYLOBATE_SERVICES_DIR to one".into()
        })
}

fn is_searchable_by_all(dir: &Path) -> bool {
    dir.metadata().is_ok_and(|meta| meta.permissions().mode() & 0o001 != 0)
}

/// A folder that others may pass through but not list.
fn make_folder(path: &Path) -> Result {
    DirBuilder::new().mode(0o711).create(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o711))?)
}

fn is_ours(folder: &Path) -> bool {
    fs::symlink_metadata(folder)
        .is_ok_and(|meta| meta.is_dir() && meta.uid() == rustix::process::getuid().as_raw())
}

/// The user that servers which refuse to run as root (or should not) run as: none when this is not root.
fn drop_to(user: &str) -> Result<Option<User>> {
    if !rustix::process::getuid().is_root() {
        return Ok(None);
    }
    let passwd = fs::read_to_string("/etc/passwd")?;
    Ok(Some(User::parse(&passwd, user).ok_or_else(|| format!("there is no user {user} on this machine"))?))
}

/// An account of the system.
#[derive(Debug, PartialEq)]
struct User {
    name: String,
    uid: u32,
    gid: u32,
}

impl User {
    /// Finds it in the text of `/etc/passwd` (passwd(5)).
    fn parse(passwd: &str, name: &str) -> Option<Self> {
        let line = passwd.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut numbers = line.split(':').skip(2).map(str::parse);
        Some(Self { name: name.to_owned(), uid: numbers.next()?.ok()?, gid: numbers.next()?.ok()? })
    }

    /// The beginning of a command that becomes this user and then the program itself, under the same process id.
    fn prefix(&self) -> [String; 5] {
        let Self { uid, gid, .. } = self;
        [
            "setpriv".into(),
            format!("--reuid={uid}"),
            format!("--regid={gid}"),
            "--clear-groups".into(),
            "--inh-caps=-all".into(),
        ]
    }
}

/// The command, run as that user if one is given.
fn as_user(user: Option<&User>, command: impl IntoIterator<Item = String>) -> Vec<String> {
    user.map(User::prefix).into_iter().flatten().chain(command).collect()
}

/// Gives a file or folder to the user that the server runs as.
fn give(path: &Path, user: Option<&User>) -> Result {
    if let Some(user) = user {
        std::os::unix::fs::chown(path, Some(user.uid), Some(user.gid))
            .map_err(|error| format!("giving {} to {}: {error}", path.display(), user.name))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_quoted_for_the_shell_when_needed() {
        assert_eq!(quoted("postgres://a:b@127.0.0.1:5/c"), "postgres://a:b@127.0.0.1:5/c");
        assert_eq!(quoted("a b"), "'a b'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
    }

    #[test]
    fn an_unknown_service_is_refused_with_the_known_ones() {
        let error = named(&["mysql".to_owned()]).err().unwrap().to_string();
        assert_eq!(error, "no service is named mysql; there are postgres, redis, rabbitmq, smtp");
    }

    #[test]
    fn services_start_in_the_fixed_order_whatever_order_they_are_named_in() {
        let names = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            named(&names).unwrap().iter().map(|service| service.name()).collect::<Vec<_>>()
        };
        assert_eq!(names(&[]), ["postgres", "redis", "rabbitmq", "smtp"]);
        assert_eq!(names(&["redis", "postgres"]), ["postgres", "redis"]);
        assert_eq!(names(&["redis"]), ["redis"]);
    }

    #[test]
    fn an_account_is_found_by_its_whole_name() {
        let passwd =
            "postgres2:x:1:2::/:/bin/sh\npostgres:x:104:112:PostgreSQL,,,:/var/lib/postgresql:/bin/bash\n";
        assert_eq!(
            User::parse(passwd, "postgres"),
            Some(User { name: "postgres".into(), uid: 104, gid: 112 })
        );
        assert_eq!(User::parse(passwd, "redis"), None);
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let room = env::temp_dir().join(format!("xtask-record-{}", process::random_hex(6).unwrap()));
        make_folder(&room).unwrap();
        let record = Record {
            process: Identity { pid: 7, started: 11 },
            programs: vec!["postgres".into()],
            end: Signal::INT,
            exports: vec![("A".into(), "b".into())],
        };
        record.write(&room).unwrap();
        let read = Record::read(&room).unwrap();
        let mode = fs::metadata(room.join("record.json")).unwrap().permissions().mode() & 0o777;
        fs::remove_dir_all(&room).unwrap();
        assert_eq!(
            (read.process, read.programs, read.end, read.exports),
            (record.process, record.programs, record.end, record.exports)
        );
        assert_eq!(mode, 0o600);
    }
}
