//! A virtual host of one's own on the broker that tests are given.

use std::{
    env,
    io::{self, Read as _, Write as _},
    net::TcpStream,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use lapin::{
    Channel, Connection, ConnectionProperties, ExchangeKind,
    options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable},
};
use reqwest::Url;
use serde_json::{Value, json};

/// How long the broker may take for one thing.
const PATIENCE: Duration = Duration::from_secs(10);

/// A virtual host on the broker of this run; it goes with the value.
#[derive(Debug)]
pub struct BrokerHost {
    url: Url,
    api: Url,
    name: String,
}

impl BrokerHost {
    /// Makes one on the broker that `STYLOBATE_TEST_AMQP_URL` and `STYLOBATE_TEST_AMQP_API_URL` name.
    ///
    /// # Panics
    /// When there is no such broker.
    #[must_use]
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("x{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let mut url = address("STYLOBATE_TEST_AMQP_URL");
        url.set_path(&name);
        let host = Self { url, api: address("STYLOBATE_TEST_AMQP_API_URL"), name };
        host.ask("PUT", &format!("/api/vhosts/{}", host.name), "{}").expect("a virtual host to be made");
        let all = json!({ "configure": ".*", "write": ".*", "read": ".*" }).to_string();
        let permissions = format!("/api/permissions/{}/{}", host.name, host.url.username());
        host.ask("PUT", &permissions, &all).expect("permissions to be given");
        host
    }

    /// Its address.
    #[must_use]
    pub fn url(&self) -> &str {
        self.url.as_str()
    }

    /// The same through another port of this machine.
    ///
    /// # Panics
    /// Never: addresses of brokers have ports.
    #[must_use]
    pub fn url_at(&self, port: u16) -> String {
        let mut url = self.url.clone();
        url.set_port(Some(port)).expect("an address with a port");
        url.into()
    }

    /// The broker's host and port.
    #[must_use]
    pub fn address(&self) -> String {
        format!("{}:{}", self.url.host_str().unwrap_or_default(), self.url.port().unwrap_or(5_672))
    }

    /// Connects.
    ///
    /// # Errors
    /// The client's own, and a time-out after ten seconds.
    pub async fn connect(&self) -> Result<Connection, lapin::Error> {
        connect(self.url()).await
    }

    /// Whether the broker at `url` takes clients.
    pub async fn answers(url: &str) -> bool {
        connect(url).await.is_ok()
    }

    /// Declares a durable queue that hears all that is published on the topic exchange, which it declares as well. With `most`
    /// it keeps only so many messages, the last ones.
    ///
    /// # Panics
    /// When the broker refuses.
    pub async fn declare(&self, exchange: &str, queue: &str, kind: &str, most: Option<i64>) {
        let connection = self.connect().await.expect("the broker to answer");
        let channel = connection.create_channel().await.expect("a channel");
        declare(&channel, exchange, queue, kind, most).await.expect("a queue to be declared");
        let _ = connection.close(200, "done".into()).await;
    }

    /// How many messages wait in a queue.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn waiting(&self, queue: &str) -> Result<u32, lapin::Error> {
        let connection = self.connect().await?;
        let channel = connection.create_channel().await?;
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let queue = channel.queue_declare(queue.into(), passive, FieldTable::default()).await?;
        let _ = connection.close(200, "done".into()).await;
        Ok(queue.message_count())
    }

    /// Has the broker close every connection to this host, and says how many it knew of. It learns of new ones within a second
    /// or so.
    ///
    /// # Errors
    /// When the management API does not answer.
    pub fn close_connections(&self) -> io::Result<usize> {
        let all = self.ask("GET", &format!("/api/vhosts/{}/connections", self.name), "")?;
        let all: Value = serde_json::from_str(&all).map_err(io::Error::other)?;
        let names: Vec<&str> =
            all.as_array().into_iter().flatten().filter_map(|one| one["name"].as_str()).collect();
        for name in &names {
            // It may have gone by itself.
            let _ = self.ask("DELETE", &format!("/api/connections/{}", encoded(name)), "");
        }
        Ok(names.len())
    }

    /// Asks the management API.
    fn ask(&self, method: &str, path: &str, body: &str) -> io::Result<String> {
        let host = self.api.host_str().unwrap_or_default();
        let mut connection = TcpStream::connect((host, self.api.port().unwrap_or(15_672)))?;
        connection.set_read_timeout(Some(PATIENCE))?;
        let credentials = format!("{}:{}", self.api.username(), self.api.password().unwrap_or_default());
        let request = format!(
            "{method} {path} HTTP/1.0\r\nAuthorization: Basic {}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            BASE64_STANDARD.encode(credentials),
            body.len()
        );
        connection.write_all(request.as_bytes())?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        match head.split(' ').nth(1) {
            Some(status) if status.starts_with('2') => Ok(body.to_owned()),
            _ => Err(io::Error::other(format!("{method} {path}: {head}"))),
        }
    }
}

impl Default for BrokerHost {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for BrokerHost {
    fn drop(&mut self) {
        // The broker goes soon as well.
        let _ = self.ask("DELETE", &format!("/api/vhosts/{}", self.name), "");
    }
}

/// Connects. The client itself would wait for ever.
pub(crate) async fn connect(url: &str) -> Result<Connection, lapin::Error> {
    let connect = Connection::connect(url, ConnectionProperties::default());
    match tokio::time::timeout(PATIENCE, connect).await {
        Ok(connection) => connection,
        Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut).into()),
    }
}

async fn declare(
    channel: &Channel,
    exchange: &str,
    queue: &str,
    kind: &str,
    most: Option<i64>,
) -> Result<(), lapin::Error> {
    let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    channel.exchange_declare(exchange.into(), ExchangeKind::Topic, durable, FieldTable::default()).await?;
    let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString(kind.into()));
    if let Some(most) = most {
        arguments.insert("x-max-length".into(), AMQPValue::LongLongInt(most));
    }
    channel.queue_declare(queue.into(), durable, arguments).await?;
    let options = QueueBindOptions::default();
    channel.queue_bind(queue.into(), exchange.into(), "#".into(), options, FieldTable::default()).await?;
    Ok(())
}

fn address(name: &str) -> Url {
    let text = env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set: run `cargo xtask test`, or `cargo xtask services up`")
    });
    text.parse().unwrap_or_else(|_| panic!("{name} is no address"))
}

/// Percent-encoded, all but what never needs it (RFC 3986 §2.3).
fn encoded(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(encode).collect()
}
