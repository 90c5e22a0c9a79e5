//! Redis, without persistence.

use super::{Durability, Exports, Launch, Service, as_user, drop_to, give, write_private};
use crate::{Result, install, process};
use rustix::process::Signal;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::time::Duration;

pub struct Redis;

impl Service for Redis {
    fn name(&self) -> &'static str {
        "redis"
    }

    fn install(&self) -> Result {
        if process::on_path("redis-server").is_some() { Ok(()) } else { install::apt(&["redis-server"]) }
    }

    fn prepare(&self, room: &Path, port: u16, _: Durability) -> Result<Launch> {
        let password = process::random_hex(20)?;
        // Debian's package makes the user; a server from elsewhere runs as whoever calls.
        let user = drop_to("redis").unwrap_or_default();
        let configuration = room.join("redis.conf");
        let text = format!(
            "bind 127.0.0.1\nport {port}\ndir {}\nrequirepass {password}\nsave \"\"\nappendonly no\ndaemonize no\n",
            room.display()
        );
        write_private(&configuration, &text)?;
        give(room, user.as_ref())?;
        give(&configuration, user.as_ref())?;
        let command = as_user(user.as_ref(), ["redis-server".into(), configuration.display().to_string()]);
        Ok(Launch {
            command,
            programs: &["redis-server"],
            end: Signal::TERM,
            port,
            more_ports: Vec::new(),
            password,
        })
    }

    fn is_ready(&self, launch: &Launch) -> bool {
        ping(launch).is_ok_and(|answer| answer == "+OK\r\n+PONG\r\n")
    }

    fn complete(&self, _: &Path, launch: &Launch) -> Result<Exports> {
        let url = format!("redis://:{}@127.0.0.1:{}/0", launch.password, launch.port);
        Ok(vec![("STYLOBATE_TEST_REDIS_URL".into(), url)])
    }
}

/// Logs in, pings and leaves; returns what the server said (inline commands, RESP).
fn ping(launch: &Launch) -> Result<String> {
    let mut connection = TcpStream::connect((Ipv4Addr::LOCALHOST, launch.port))?;
    connection.set_read_timeout(Some(Duration::from_secs(2)))?;
    connection.write_all(format!("AUTH {}\r\nPING\r\n", launch.password).as_bytes())?;
    let mut answer = [0; 12];
    connection.read_exact(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
