//! PostgreSQL with the two roles that the workspace knows: `stylobate_owner` runs migrations, `stylobate_app` serves.

use super::{Durability, Exports, Launch, Service, as_user, drop_to, give, write_private};
use crate::{Result, install, process};
use rustix::process::Signal;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The oldest generation the workspace supports, and the one preferred for tests.
const GENERATION: u32 = 15;

pub struct Postgres;

impl Service for Postgres {
    fn name(&self) -> &'static str {
        "postgres"
    }

    fn install(&self) -> Result {
        if programs().is_none() {
            install::apt(&[&format!("postgresql-{GENERATION}")])
                .or_else(|_| install::apt(&["postgresql"]))?;
        }
        programs().map(drop).ok_or_else(|| "PostgreSQL was installed but its programs are not found".into())
    }

    fn prepare(&self, room: &Path, port: u16, durability: Durability) -> Result<Launch> {
        let programs = programs().ok_or("PostgreSQL is not installed")?;
        let program = |name: &str| programs.join(name).display().to_string();
        let user = drop_to("postgres")?;
        let password = process::random_hex(20)?;
        let data = room.join("data");
        let data = data.to_string_lossy();
        give(room, user.as_ref())?;

        let password_file = room.join("password");
        write_private(&password_file, &password)?;
        give(&password_file, user.as_ref())?;
        let mut initdb = vec![program("initdb")];
        initdb.extend(["-D", &data, "-U", "postgres", "-A", "scram-sha-256", "-E", "UTF8"].map(String::from));
        initdb.extend(["--locale=C.UTF-8".into(), format!("--pwfile={}", password_file.display())]);
        if durability == Durability::Process {
            initdb.push("--no-sync".into());
        }
        let initdb = as_user(user.as_ref(), initdb);
        let (first, rest) = initdb.split_first().ok_or("no command")?;
        process::output(Command::new(first).args(rest).current_dir(room))?;
        fs::remove_file(&password_file)?;

        let mut command = vec![program("postgres"), "-D".into(), data.clone().into_owned()];
        let mut set = |name: &str, value: &str| command.extend(["-c".into(), format!("{name}={value}")]);
        set("listen_addresses", "127.0.0.1");
        set("port", &port.to_string());
        set("unix_socket_directories", ""); // paths of sockets are limited to 107 bytes
        set("max_connections", "300");
        set("synchronous_commit", "on");
        if durability == Durability::Process {
            set("fsync", "off");
            set("full_page_writes", "off");
        }
        let command = as_user(user.as_ref(), command);
        write_start_script(&start_script(room), &command)?;
        Ok(Launch {
            command,
            programs: &["postgres"],
            end: Signal::INT,
            port,
            more_ports: Vec::new(),
            password,
        })
    }

    fn is_ready(&self, launch: &Launch) -> bool {
        psql(launch, "SELECT 1;").is_ok()
    }

    fn complete(&self, room: &Path, launch: &Launch) -> Result<Exports> {
        let (owner, app) = (process::random_hex(20)?, process::random_hex(20)?);
        psql(launch, &roles(&owner, &app))?;
        let url = |user: &str, password: &str, database: &str| {
            format!("postgres://{user}:{password}@127.0.0.1:{}/{database}", launch.port)
        };
        let data = room.join("data");
        let exports = [
            ("URL", url("postgres", &launch.password, "postgres")),
            ("OWNER_URL", url("stylobate_owner", &owner, "stylobate")),
            ("APP_URL", url("stylobate_app", &app, "stylobate")),
            ("DATA", data.display().to_string()),
            ("PIDFILE", data.join("postmaster.pid").display().to_string()),
            ("START", start_script(room).display().to_string()),
        ];
        Ok(exports.map(|(name, value)| (format!("STYLOBATE_TEST_POSTGRES_{name}"), value)).into())
    }
}

/// The roles, and an empty database of the owner's. What the server's role may do there is for migrations to grant.
fn roles(owner_password: &str, app_password: &str) -> String {
    format!(
        "CREATE ROLE stylobate_owner LOGIN NOSUPERUSER CREATEDB NOCREATEROLE NOBYPASSRLS PASSWORD '{owner_password}';
         CREATE ROLE stylobate_app LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS PASSWORD '{app_password}';
         CREATE DATABASE stylobate OWNER stylobate_owner;
        "
    )
}

/// Runs SQL as the superuser. It goes through standard input, because arguments are everybody's to read.
fn psql(launch: &Launch, sql: &str) -> Result {
    let program = programs().ok_or("PostgreSQL is not installed")?.join("psql");
    let mut psql = Command::new(program);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PG")) {
        psql.env_remove(name);
    }
    let mut child = psql
        .args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-U", "postgres", "-d", "postgres"])
        .args(["-p", &launch.port.to_string()])
        .env("PGPASSWORD", &launch.password)
        .env("PGCONNECT_TIMEOUT", "5")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    if let Some(mut input) = child.stdin.take() {
        // psql may have ended already; its message is the better one.
        let _ = input.write_all(sql.as_bytes());
    }
    let output = child.wait_with_output()?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into()) }
}

/// The program that starts the same server again on the same data, in the foreground, after a test killed it.
fn start_script(room: &Path) -> PathBuf {
    room.join("start")
}

fn write_start_script(path: &Path, command: &[String]) -> Result {
    let words: Vec<String> = command.iter().map(|word| super::quoted(word)).collect();
    fs::write(path, format!("#!/bin/sh\nexec {}\n", words.join(" ")))?;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o755))?)
}

/// The folder with `postgres`, `initdb` and `psql`.
fn programs() -> Option<PathBuf> {
    let generations = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let names: Vec<String> = generations.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    let debian = preferred(&names).map(|name| Path::new("/usr/lib/postgresql").join(name).join("bin"));
    let anywhere = || process::on_path("postgres").and_then(|file| file.parent().map(Path::to_path_buf));
    let has_all = |dir: &PathBuf| ["postgres", "initdb", "psql"].iter().all(|name| dir.join(name).is_file());
    debian.filter(has_all).or_else(|| anywhere().filter(has_all))
}

/// The preferred generation if it is there, else the newest that is supported.
fn preferred(names: &[String]) -> Option<&String> {
    let number = |name: &&String| name.parse::<u32>().ok().filter(|number| *number >= GENERATION);
    names.iter().filter(|name| number(name).is_some()).max_by_key(|name| {
        let number = number(name).unwrap_or_default();
        (number == GENERATION, number)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_preferred_generation_wins_else_the_newest_supported() {
        let pick = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            preferred(&names).cloned()
        };
        assert_eq!(pick(&["13", "15", "17"]).as_deref(), Some("15"));
        assert_eq!(pick(&["16", "18", "9.6"]).as_deref(), Some("18"));
        assert_eq!(pick(&["13", "lost+found"]), None);
    }

    #[test]
    fn no_role_may_pass_row_level_security() {
        let sql = roles("a", "b");
        let created: Vec<&str> = sql.lines().filter(|line| line.contains("CREATE ROLE")).collect();
        assert_eq!(created.len(), 2);
        assert!(created.iter().all(|line| line.contains(" NOSUPERUSER ") && line.contains(" NOBYPASSRLS ")));
    }
}
