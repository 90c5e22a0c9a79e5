use std::{cell::Cell, fmt, io, net, os::fd::AsFd as _, sync::Arc, time::Duration};

use lapin::{
    Channel, Connection, ConnectionProperties, ErrorKind,
    tcp::{AsyncTcpStream, OwnedTLSConfig},
};
use parking_lot::Mutex;
use stylobate_core::{Health, HealthStatus};

use super::AmqpUrl;
use crate::backoff;

/// A broker, and how to connect to it.
#[derive(Clone)]
pub struct Broker {
    /// Where it is.
    pub url: AmqpUrl,
    /// Certificates in PEM that sign the broker's, besides those of the public authorities. For `amqps://`.
    pub ca_pem: Option<String>,
    /// What the connection is called in the broker's lists.
    pub name: String,
    /// How long connecting may take: the TCP and TLS handshakes, and as long again for that of AMQP. Default 5 s.
    pub connect_timeout: Duration,
}

impl Broker {
    /// The broker at `url`, with defaults.
    #[must_use]
    pub fn new(url: AmqpUrl) -> Self {
        let name = format!("{} {}", env!("CARGO_PKG_NAME"), std::process::id());
        Self { url, ca_pem: None, name, connect_timeout: Duration::from_secs(5) }
    }
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broker").field("url", &self.url).field("name", &self.name).finish_non_exhaustive()
    }
}

/// Why the broker could not be used. Its text is for operators: it names no password and no part of an event.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum Trouble {
    #[error("the broker has not answered yet")]
    Untried,
    #[error("the broker did not answer within {0:?}")]
    Silent(Duration),
    #[error("the broker takes nothing from publishers, for lack of memory or disk")]
    Blocked,
    /// The broker's own words, for example that an exchange is there and of another type.
    #[error("the broker refuses: {0}")]
    Refused(String),
    #[error("the broker cannot be reached: {0}")]
    Lost(String),
}

impl Trouble {
    /// The same without the words of others, which name users, exchanges and hosts: probes answer anybody.
    fn summary(&self) -> &'static str {
        match self {
            Self::Untried => "the broker has not answered yet",
            Self::Silent(_) => "the broker does not answer in time",
            Self::Blocked => "the broker takes nothing from publishers, for lack of memory or disk",
            Self::Refused(_) => "the broker refuses; the log has its words",
            Self::Lost(_) => "the broker cannot be reached",
        }
    }

    /// What a health check answers.
    pub(super) fn health(trouble: Option<&Self>) -> Health {
        match trouble {
            None => Health::up(),
            Some(Self::Blocked) => {
                Health { status: HealthStatus::Degraded, detail: Some(Self::Blocked.to_string()) }
            }
            Some(trouble) => Health::down(trouble.summary()),
        }
    }
}

impl From<lapin::Error> for Trouble {
    fn from(error: lapin::Error) -> Self {
        match error.kind() {
            // Such a message names exchanges, queues, virtual hosts and users.
            ErrorKind::ProtocolError(said) => Self::Refused(said.to_string()),
            _ => Self::Lost(error.to_string()),
        }
    }
}

/// An open connection. Dropping it cuts the socket: the client gives each connection a thread, which otherwise waits as long as
/// the peer is silent.
pub(super) struct Link {
    connection: Connection,
    // After the connection, which says goodbye first.
    _cut: Cut,
}

impl Link {
    /// Connects. The client itself knows no limit to the time that takes.
    pub(super) async fn open(broker: &Broker) -> Result<Self, Trouble> {
        let within = broker.connect_timeout;
        let runtime = lapin::runtime::default_runtime()?;
        let tls = OwnedTLSConfig { identity: None, cert_chain: broker.ca_pem.clone() };
        let cut = Cut::default();
        let (place, reactor) = (Arc::clone(&cut.0), runtime.clone());
        let connect = async move |uri: lapin::uri::AMQPUri, _| {
            hush();
            let (host, port) = (uri.authority.host.as_str(), uri.authority.port);
            let open = async {
                let mut outcome = Err(io::Error::other("its name has no address"));
                for address in tokio::net::lookup_host((host, port)).await? {
                    outcome = AsyncTcpStream::connect(&reactor, address).await;
                    if outcome.is_ok() {
                        break;
                    }
                }
                let stream = outcome?;
                if let AsyncTcpStream::Plain(socket) = &stream {
                    let socket = socket.get_ref();
                    socket.set_nodelay(true)?;
                    place.lock().hold(socket.as_fd().try_clone_to_owned()?.into())?;
                }
                match uri.scheme {
                    lapin::uri::AMQPScheme::AMQP => Ok(stream),
                    lapin::uri::AMQPScheme::AMQPS => stream.into_tls(host, tls.as_ref()).await,
                }
            };
            match tokio::time::timeout(within, open).await {
                Ok(outcome) => outcome.map_err(lapin::Error::from),
                Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut).into()),
            }
        };
        let properties = ConnectionProperties::default().with_connection_name(broker.name.as_str().into());
        let connection = Connection::connector(broker.url.to_uri(), runtime, connect, properties);
        match tokio::time::timeout(within * 2, connection).await {
            Ok(connection) => Ok(Self { connection: connection?, _cut: cut }),
            Err(_) => Err(Trouble::Silent(within * 2)),
        }
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(super) fn is_up(&self) -> bool {
        self.connection.status().connected()
    }

    /// Whether the broker takes nothing from publishers, for lack of memory or disk.
    pub(super) fn is_blocked(&self) -> bool {
        self.connection.status().blocked()
    }

    /// Says goodbye, and waits a moment for the answers. What is not closed in order is logged as an error by the client.
    pub(super) async fn close(self, channel: Option<Channel>) {
        let goodbye = async {
            if let Some(channel) = channel.filter(|channel| channel.status().connected()) {
                channel.close(200, "OK".into()).await?;
            }
            self.connection.close(200, "OK".into()).await
        };
        let _ = tokio::time::timeout(Duration::from_secs(1), goodbye).await;
    }
}

/// Ends what the client logs on this thread, which is its own and runs for as long as the connection. It logs every message that
/// the broker returns with its body, as a warning; what goes wrong we are told as errors.
fn hush() {
    thread_local! {
        static HUSHED: Cell<Option<tracing::subscriber::DefaultGuard>> = const { Cell::new(None) };
    }
    let nobody = tracing::subscriber::NoSubscriber::new();
    HUSHED.set(Some(tracing::subscriber::set_default(nobody)));
}

/// A second handle to the socket, by which it is cut.
#[derive(Default)]
struct Cut(Arc<Mutex<Socket>>);

#[derive(Default)]
enum Socket {
    #[default]
    Awaited,
    Open(net::TcpStream),
    Unwanted,
}

impl Socket {
    fn hold(&mut self, socket: net::TcpStream) -> io::Result<()> {
        if matches!(self, Self::Unwanted) {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        *self = Self::Open(socket);
        Ok(())
    }
}

impl Drop for Cut {
    fn drop(&mut self) {
        if let Socket::Open(socket) = std::mem::replace(&mut *self.0.lock(), Socket::Unwanted) {
            // It may be closed already.
            let _ = socket.shutdown(net::Shutdown::Both);
        }
    }
}

/// How long to wait before the next attempt to connect: about 100 ms, twice that …, about 5 s, with jitter.
#[derive(Debug, Default)]
pub(super) struct Pause {
    failures: u32,
}

impl Pause {
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }

    pub(super) fn next(&mut self) -> Duration {
        self.failures = self.failures.saturating_add(1);
        backoff::wait(Duration::from_millis(100), Duration::from_secs(5), self.failures, fastrand::f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_peer_that_never_speaks_is_given_up_and_its_socket_cut() {
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = silent.local_addr().unwrap().port();
        let mut broker = Broker::new(AmqpUrl::parse(&format!("amqp://127.0.0.1:{port}")).unwrap());
        broker.connect_timeout = Duration::from_millis(50);
        let (opened, peer) = tokio::join!(Link::open(&broker), silent.accept());
        assert!(matches!(opened.err(), Some(Trouble::Silent(_))));
        let mut peer = peer.unwrap().0;
        // The end comes after AMQP's greeting, which is eight bytes.
        let mut heard = Vec::new();
        let read = tokio::io::AsyncReadExt::read_to_end(&mut peer, &mut heard);
        tokio::time::timeout(Duration::from_secs(5), read).await.unwrap().unwrap();
        assert_eq!(heard, b"AMQP\x00\x00\x09\x01");
    }

    #[tokio::test]
    async fn a_broker_that_is_not_there_cannot_be_reached() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let url = AmqpUrl::parse(&format!("amqp://a:sesame@127.0.0.1:{port}")).unwrap();
        let trouble = Link::open(&Broker::new(url)).await.err().unwrap();
        assert!(matches!(trouble, Trouble::Lost(_)));
        assert!(!trouble.to_string().contains("sesame"), "{trouble}");
    }
}
