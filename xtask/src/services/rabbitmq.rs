//! RabbitMQ, one node with the management API.
//!
//! A node of Erlang's has neighbours: a port mapper (epmd), which it starts as a daemon on all interfaces when it finds none,
//! and a cookie by which nodes know each other. Here each room has its own of both, the mapper on the loopback address and
//! in the process group of the node, so that nodes do not meet and nothing outlives the room.

use super::{
    Durability, Exports, Launch, Service, as_user, certificates, drop_to, give, make_folder, port,
    write_private,
};
use crate::{Result, install, process};
use rustix::process::Signal;
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The programs themselves; those of the same name on `PATH` change the user.
const PROGRAMS: &str = "/usr/lib/rabbitmq/bin";

/// The user whose queues tests see.
const USER: &str = "stylobate";

pub struct RabbitMq;

impl Service for RabbitMq {
    fn name(&self) -> &'static str {
        "rabbitmq"
    }

    fn install(&self) -> Result {
        let is_here = || Path::new(PROGRAMS).join("rabbitmq-server").is_file();
        if !is_here() {
            install::apt(&["rabbitmq-server"])?;
        }
        let error = || format!("RabbitMQ was installed but is not in {PROGRAMS}").into();
        is_here().then_some(()).ok_or_else(error)
    }

    /// Its queues are as durable as they are declared, whatever `Durability` says.
    fn prepare(&self, room: &Path, port: u16, _: Durability) -> Result<Launch> {
        let user = drop_to("rabbitmq")?;
        let password = process::random_hex(20)?;
        let ports = Ports {
            amqp: port,
            tls: port::choose()?,
            mapper: port::choose()?,
            node: port::choose()?,
            api: port::choose()?,
        };
        give(room, user.as_ref())?;
        for folder in ["home", "logs", "mnesia"].map(|name| room.join(name)) {
            make_folder(&folder)?;
            give(&folder, user.as_ref())?;
        }
        let cookie = process::random_hex(20)?;
        let files = [
            ("home/.erlang.cookie", cookie.as_str(), 0o400),
            ("plugins", "[rabbitmq_management].\n", 0o600),
            ("rabbitmq.conf", &ports.configuration(room, &password), 0o600),
            ("certificate.pem", certificates::CERTIFICATE, 0o600),
            ("key.pem", certificates::KEY, 0o600),
            ("start", &ports.start(room), 0o755),
            ("ctl", &ports.ctl(room), 0o755),
        ];
        for (name, text, mode) in files {
            let path = room.join(name);
            write_private(&path, text)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
            give(&path, user.as_ref())?;
        }
        let start = as_user(user.as_ref(), ["sh".into(), script(room, "start")]);
        // Tests run these as whoever they are, and that must be the one who started the node.
        for name in ["start", "ctl"] {
            let words = as_user(user.as_ref(), ["sh".into(), script(room, name)]);
            let words: Vec<String> = words.iter().map(|word| super::quoted(word)).collect();
            let path = room.join(format!("as-user-{name}"));
            fs::write(&path, format!("#!/bin/sh\nexec {} \"$@\"\n", words.join(" ")))?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        }
        Ok(Launch {
            command: start,
            programs: &["beam.smp", "epmd"],
            end: Signal::KILL, // an end in good order takes six seconds, and the data is deleted anyway
            port,
            more_ports: vec![ports.api, ports.tls],
            password,
        })
    }

    fn is_ready(&self, launch: &Launch) -> bool {
        speaks_amqp(launch.port).unwrap_or(false)
            && launch.more_ports.first().is_some_and(|api| answers_http(*api).unwrap_or(false))
    }

    fn complete(&self, room: &Path, launch: &Launch) -> Result<Exports> {
        let Launch { port, password, more_ports, .. } = launch;
        let [api, tls] = more_ports[..] else { return Err("not all ports".into()) };
        let file = |name: &str| room.join(name).display().to_string();
        let exports = [
            ("URL", format!("amqp://{USER}:{password}@127.0.0.1:{port}/%2F")),
            ("TLS_URL", format!("amqps://{USER}:{password}@127.0.0.1:{tls}/%2F")),
            ("API_URL", format!("http://{USER}:{password}@127.0.0.1:{api}")),
            ("PIDFILE", file("pid")),
            ("START", file("as-user-start")),
            ("CTL", file("as-user-ctl")),
        ];
        Ok(exports.map(|(name, value)| (format!("STYLOBATE_TEST_AMQP_{name}"), value)).into())
    }
}

fn script(room: &Path, name: &str) -> String {
    room.join(name).display().to_string()
}

/// The ports of one node.
struct Ports {
    /// Clients.
    amqp: u16,
    /// Clients over TLS.
    tls: u16,
    /// The port mapper, which tells `node` to `rabbitmqctl`.
    mapper: u16,
    node: u16,
    /// The management API.
    api: u16,
}

impl Ports {
    fn configuration(&self, room: &Path, password: &str) -> String {
        let Self { amqp, tls, api, .. } = self;
        let room = room.display();
        format!(
            "listeners.tcp.1 = 127.0.0.1:{amqp}\n\
             listeners.ssl.1 = 127.0.0.1:{tls}\n\
             ssl_options.certfile = {room}/certificate.pem\n\
             ssl_options.keyfile = {room}/key.pem\n\
             management.tcp.ip = 127.0.0.1\n\
             management.tcp.port = {api}\n\
             default_user = {USER}\n\
             default_pass = {password}\n\
             loopback_users = none\n\
             log.console.level = warning\n\
             collect_statistics_interval = 1000\n\
             vm_memory_high_watermark.absolute = 512MB\n\
             disk_free_limit.absolute = 50MB\n"
        )
    }

    /// What the server and its tools find each other by.
    fn environment(&self, room: &Path) -> String {
        let Self { amqp, mapper, node, .. } = self;
        let file = |name: &str| super::quoted(&PathBuf::from(room).join(name).display().to_string());
        let lines = [
            ("HOME", file("home")),
            ("ERL_EPMD_ADDRESS", "127.0.0.1".into()),
            ("ERL_EPMD_PORT", mapper.to_string()),
            ("ERL_CRASH_DUMP_SECONDS", "0".into()),
            ("RABBITMQ_NODENAME", format!("stylobate-{amqp}@localhost")),
            ("RABBITMQ_NODE_PORT", amqp.to_string()),
            ("RABBITMQ_DIST_PORT", node.to_string()),
            ("RABBITMQ_MNESIA_BASE", file("mnesia")),
            ("RABBITMQ_LOG_BASE", file("logs")),
            ("RABBITMQ_LOGS", "-".into()),
            ("RABBITMQ_CONF_ENV_FILE", "/dev/null".into()),
            ("RABBITMQ_CONFIG_FILE", file("rabbitmq.conf")),
            ("RABBITMQ_ENABLED_PLUGINS_FILE", file("plugins")),
            ("RABBITMQ_PID_FILE", file("pid")),
            (
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
                // Quorum queues tell how many messages they have once a tick, which is five seconds by default.
                "'-kernel inet_dist_use_interface {127,0,0,1} -rabbit quorum_tick_interval 500 +S 1:1 +sbwt none'".into(),
            ),
            ("RABBITMQ_CTL_ERL_ARGS", "'+S 1:1 +sbwt none'".into()),
        ];
        lines.map(|(name, value)| format!("export {name}={value}\n")).concat()
    }

    /// Runs the node until it ends or this is told to end, and takes the port mapper along. The working directory is how
    /// both are recognised when this was killed.
    fn start(&self, room: &Path) -> String {
        let (environment, mapper) = (self.environment(room), self.mapper);
        let here = super::quoted(&room.display().to_string());
        format!(
            "#!/bin/sh\n\
             cd {here} || exit 1\n\
             {environment}\
             rm -f pid\n\
             epmd -address 127.0.0.1 -port {mapper} & mapper=$!\n\
             tries=0\n\
             until epmd -port {mapper} -names >/dev/null 2>&1 || [ $tries -ge 100 ]; do tries=$((tries + 1)); sleep 0.05; done\n\
             {PROGRAMS}/rabbitmq-server & server=$!\n\
             trap 'kill -TERM $server 2>/dev/null' TERM INT HUP\n\
             while kill -0 $server 2>/dev/null; do wait $server; done\n\
             kill $mapper 2>/dev/null\n\
             wait\n"
        )
    }

    fn ctl(&self, room: &Path) -> String {
        let here = super::quoted(&room.display().to_string());
        format!(
            "#!/bin/sh\ncd {here} || exit 1\n{}exec {PROGRAMS}/rabbitmqctl \"$@\"\n",
            self.environment(room)
        )
    }
}

/// Whether a client is greeted with Connection.Start (AMQP 0-9-1 §2.2.4: a method frame on channel 0, class 10, method 10).
fn speaks_amqp(port: u16) -> Result<bool> {
    let mut greeting = [0; 11];
    ask(port, b"AMQP\x00\x00\x09\x01", &mut greeting)?;
    Ok(greeting[..3] == [1, 0, 0] && greeting[7..] == [0, 10, 0, 10])
}

fn answers_http(port: u16) -> Result<bool> {
    let mut answer = [0; 5];
    ask(port, b"HEAD / HTTP/1.0\r\n\r\n", &mut answer)?;
    Ok(&answer == b"HTTP/")
}

fn ask(port: u16, question: &[u8], answer: &mut [u8]) -> Result {
    let mut connection = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    connection.set_read_timeout(Some(Duration::from_secs(2)))?;
    connection.write_all(question)?;
    Ok(connection.read_exact(answer)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PORTS: Ports = Ports { amqp: 15_001, mapper: 15_002, node: 15_003, api: 15_004, tls: 15_005 };

    #[test]
    fn nothing_listens_beyond_the_loopback_address() {
        let configuration = PORTS.configuration(Path::new("/tmp/room"), "pw");
        assert!(configuration.contains("listeners.tcp.1 = 127.0.0.1:15001\n"));
        assert!(configuration.contains("listeners.ssl.1 = 127.0.0.1:15005\n"));
        assert!(configuration.contains("management.tcp.ip = 127.0.0.1\n"));
        let start = PORTS.start(Path::new("/tmp/room"));
        assert!(start.contains("epmd -address 127.0.0.1 -port 15002 &"));
        assert!(start.contains("inet_dist_use_interface {127,0,0,1}"));
    }

    #[test]
    fn nodes_of_two_rooms_share_neither_name_nor_mapper_nor_cookie() {
        let environment = PORTS.environment(Path::new("/tmp/room"));
        for line in [
            "export RABBITMQ_NODENAME=stylobate-15001@localhost\n",
            "export ERL_EPMD_PORT=15002\n",
            "export HOME=/tmp/room/home\n",
        ] {
            assert!(environment.contains(line), "{line}");
        }
    }

    #[test]
    fn the_password_is_in_no_script() {
        let room = Path::new("/tmp/room");
        assert!(PORTS.configuration(room, "sesame").contains("default_pass = sesame\n"));
        assert!(![PORTS.start(room), PORTS.ctl(room)].concat().contains("sesame"));
    }
}
