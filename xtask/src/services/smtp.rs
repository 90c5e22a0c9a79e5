//! Mail servers that take everything and deliver nothing: plain, with STARTTLS, and with TLS. See `smtp/sinks.py` for how they
//! refuse.

use super::{Durability, Exports, Launch, Service, certificates, make_folder, port, write_private};
use crate::{Result, install, process};
use rustix::process::Signal;
use serde_json::json;
use std::io::Read;
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::time::Duration;

const PROGRAM: &str = include_str!("smtp/sinks.py");

/// Whose login they take.
const USER: &str = "stylobate";

pub struct Smtp;

impl Service for Smtp {
    fn name(&self) -> &'static str {
        "smtp"
    }

    fn install(&self) -> Result {
        install::AIOSMTPD.python().map(drop)
    }

    /// They keep mails in files, whatever `Durability` says.
    fn prepare(&self, room: &Path, port: u16, _: Durability) -> Result<Launch> {
        let password = process::random_hex(20)?;
        let (starttls, tls) = (port::choose()?, port::choose()?);
        let path = |name: &str| room.join(name).display().to_string();
        make_folder(&room.join("box"))?;
        let config = json!({
            "plain": port,
            "starttls": starttls,
            "tls": tls,
            "user": USER,
            "password": password,
            "certificate": path("certificate.pem"),
            "key": path("key.pem"),
            "folder": path("box"),
        });
        write_private(&room.join("sinks.py"), PROGRAM)?;
        write_private(&room.join("config.json"), &config.to_string())?;
        write_private(&room.join("certificate.pem"), certificates::CERTIFICATE)?;
        write_private(&room.join("key.pem"), certificates::KEY)?;
        let python = install::AIOSMTPD.python()?.display().to_string();
        Ok(Launch {
            // It warns of logins without TLS, which is the point of one of them.
            command: vec![python, "-Wignore".into(), path("sinks.py"), path("config.json")],
            programs: &["python3"],
            end: Signal::TERM,
            port,
            more_ports: vec![starttls, tls],
            password,
        })
    }

    fn is_ready(&self, launch: &Launch) -> bool {
        let [starttls, tls] = launch.more_ports[..] else { return false };
        // The last greets after TLS only.
        [launch.port, starttls].into_iter().all(|port| greets(port).unwrap_or(false))
            && TcpStream::connect((Ipv4Addr::LOCALHOST, tls)).is_ok()
    }

    fn complete(&self, room: &Path, launch: &Launch) -> Result<Exports> {
        let Launch { port, password, more_ports, .. } = launch;
        let [starttls, tls] = more_ports[..] else { return Err("not all ports".into()) };
        let exports = [
            ("PLAIN_URL", format!("smtp://{USER}:{password}@127.0.0.1:{port}?tls=none")),
            ("STARTTLS_URL", format!("smtp://{USER}:{password}@127.0.0.1:{starttls}")),
            ("TLS_URL", format!("smtps://{USER}:{password}@127.0.0.1:{tls}")),
            ("BOX", room.join("box").display().to_string()),
        ];
        Ok(exports.map(|(name, value)| (format!("STYLOBATE_TEST_SMTP_{name}"), value)).into())
    }
}

/// Whether a client is greeted (RFC 5321 §3.1).
fn greets(port: u16) -> Result<bool> {
    let mut connection = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    connection.set_read_timeout(Some(Duration::from_secs(2)))?;
    let mut greeting = [0; 4];
    connection.read_exact(&mut greeting)?;
    Ok(&greeting == b"220 ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_listens_beyond_the_loopback_address() {
        assert!(PROGRAM.contains("host = \"127.0.0.1\"\n"));
        assert_eq!(PROGRAM.matches("await listen(").count(), PROGRAM.matches(", host, config[").count());
    }
}
