//! A virtual host of one's own on the broker that tests are given, and what is seen there.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties, ExchangeKind,
    message::BasicGetMessage,
    options::{
        BasicAckOptions, BasicGetOptions, BasicPublishOptions, ExchangeDeclareOptions, QueueBindOptions,
        QueueDeclareOptions,
    },
    types::FieldTable,
};
use serde_json::{Value, json};
use stylobate_core::{Actor, ActorKind, EventId, TenantId};
use stylobate_events::{AmqpUrl, Broker, Catalogue, Envelope, EventType, Exchange};
use url::Url;

/// Where tests find a broker.
const URL: &str = "STYLOBATE_TEST_AMQP_URL";
/// The same over TLS.
const TLS_URL: &str = "STYLOBATE_TEST_AMQP_TLS_URL";
/// Where its management API is.
const API_URL: &str = "STYLOBATE_TEST_AMQP_API_URL";
/// The program that runs `rabbitmqctl` against it.
const CTL: &str = "STYLOBATE_TEST_AMQP_CTL";

fn variable(name: &str) -> String {
    std::env::var(name)
        .unwrap_or_else(|_| panic!("{name} is not set: run `cargo xtask test`, or `cargo xtask services up`"))
}

/// Polls until it holds, for at most eight seconds.
pub(super) async fn until<T>(what: &str, mut holds: impl AsyncFnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(value) = holds().await {
            return value;
        }
        assert!(begun.elapsed() < Duration::from_secs(8), "never: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A virtual host that goes with the value.
pub(super) struct Host {
    name: String,
    connection: Connection,
    pub(super) channel: Channel,
}

impl Host {
    pub(super) async fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("t{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let user = Url::parse(&variable(URL)).unwrap().username().to_owned();
        api("PUT", &format!("/api/vhosts/{name}"), "{}");
        let all = json!({ "configure": ".*", "write": ".*", "read": ".*" }).to_string();
        api("PUT", &format!("/api/permissions/{name}/{user}"), &all);
        let url = url_of(&name);
        let connection = Connection::connect(url.as_str(), ConnectionProperties::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        Self { name, connection, channel }
    }

    /// The address of the virtual host.
    pub(super) fn url(&self) -> Url {
        url_of(&self.name)
    }

    /// The same over TLS.
    pub(super) fn tls_url(&self) -> Url {
        let mut url = Url::parse(&variable(TLS_URL)).unwrap();
        url.set_path(&self.name);
        url
    }

    /// The broker as the crate is told of it.
    pub(super) fn broker(&self) -> Broker {
        self.broker_at(self.port())
    }

    /// The same through another port of this machine.
    pub(super) fn broker_at(&self, port: u16) -> Broker {
        let mut url = self.url();
        url.set_port(Some(port)).unwrap();
        Broker { name: format!("test {}", self.name), ..Broker::new(AmqpUrl::parse(url.as_str()).unwrap()) }
    }

    pub(super) fn port(&self) -> u16 {
        self.url().port().unwrap()
    }

    /// A durable queue that hears `pattern` on `exchange`.
    pub(super) async fn queue(&self, queue: &str, exchange: &str, pattern: &str) {
        let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        let none = FieldTable::default;
        self.channel.exchange_declare(exchange.into(), ExchangeKind::Topic, durable, none()).await.unwrap();
        let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        self.channel.queue_declare(queue.into(), durable, none()).await.unwrap();
        let options = QueueBindOptions::default();
        self.channel
            .queue_bind(queue.into(), exchange.into(), pattern.into(), options, none())
            .await
            .unwrap();
    }

    /// Puts an event where its consumers hear it.
    pub(super) async fn publish(&self, event: &Envelope) {
        let properties = BasicProperties::default().with_message_id(event.id.to_string().into());
        self.publish_raw(AUDIT, &event.kind, &event.to_json(), properties).await;
    }

    pub(super) async fn publish_raw(
        &self,
        exchange: &str,
        key: &str,
        body: &[u8],
        properties: BasicProperties,
    ) {
        let options = BasicPublishOptions::default();
        self.channel.basic_publish(exchange.into(), key.into(), options, body, properties).await.unwrap();
    }

    /// The next message of the queue, taken out of it.
    pub(super) async fn take(&self, queue: &str) -> Option<BasicGetMessage> {
        let message = self.channel.basic_get(queue.into(), BasicGetOptions::default()).await.unwrap()?;
        message.acker.ack(BasicAckOptions::default()).await.unwrap();
        Some(message)
    }

    /// The same, when it has come.
    pub(super) async fn arrival(&self, queue: &str) -> BasicGetMessage {
        until(&format!("a message in {queue}"), async || self.take(queue).await).await
    }

    /// How many messages wait in the queue for a consumer.
    pub(super) async fn waiting(&self, queue: &str) -> u32 {
        let passive = QueueDeclareOptions { passive: true, durable: true, ..QueueDeclareOptions::default() };
        let none = FieldTable::default();
        self.channel.queue_declare(queue.into(), passive, none).await.unwrap().message_count()
    }

    /// The queue, if it is there.
    async fn look(&self, queue: &str) -> Option<lapin::Queue> {
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        // Asking for what is not there closes the channel.
        let channel = self.connection.create_channel().await.unwrap();
        channel.queue_declare(queue.into(), passive, FieldTable::default()).await.ok()
    }

    /// Until the queue has its consumer.
    pub(super) async fn consumed(&self, queue: &str) {
        let is_consumed = async || self.look(queue).await.filter(|queue| queue.consumer_count() > 0);
        until("a consumer", is_consumed).await;
    }

    /// Until the queue has no consumer.
    pub(super) async fn abandoned(&self, queue: &str) {
        let is_abandoned = async || self.look(queue).await.filter(|queue| queue.consumer_count() == 0);
        until("no consumer", is_abandoned).await;
    }

    /// Until the queue is there.
    pub(super) async fn declared(&self, queue: &str) {
        until("a queue", async || self.look(queue).await).await;
    }

    /// Has the broker close the connections of the crate to this host, and says how many those were.
    pub(super) fn close_connections(&self) -> usize {
        let all: Value =
            serde_json::from_str(&api("GET", &format!("/api/vhosts/{}/connections", self.name), "")).unwrap();
        let ours =
            all.as_array().unwrap().iter().filter(|one| {
                one["user_provided_name"].as_str().is_some_and(|name| name.starts_with("test "))
            });
        let names: Vec<&str> = ours.filter_map(|one| one["name"].as_str()).collect();
        for name in &names {
            let name: String = url::form_urlencoded::byte_serialize(name.as_bytes()).collect();
            api("DELETE", &format!("/api/connections/{}", name.replace('+', "%20")), "");
        }
        names.len()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        api("DELETE", &format!("/api/vhosts/{}", self.name), "");
    }
}

fn url_of(host: &str) -> Url {
    let mut url = Url::parse(&variable(URL)).unwrap();
    url.set_path(host);
    url
}

/// Asks the management API.
fn api(method: &str, path: &str, body: &str) -> String {
    let url = Url::parse(&variable(API_URL)).unwrap();
    let address = (url.host_str().unwrap(), url.port().unwrap());
    let credentials = format!("{}:{}", url.username(), url.password().unwrap());
    let mut connection = TcpStream::connect(address).unwrap();
    connection.set_read_timeout(Some(Duration::from_secs(8))).unwrap();
    let request = format!(
        "{method} {path} HTTP/1.0\r\nAuthorization: Basic {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        BASE64_STANDARD.encode(credentials),
        body.len()
    );
    connection.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status: u16 = head.split(' ').nth(1).unwrap().parse().unwrap();
    // What is to be deleted may be gone.
    assert!(status < 300 || (method == "DELETE" && status == 404), "{method} {path}: {answer}");
    body.to_owned()
}

/// Has the broker raise its memory alarm, which blocks whoever publishes, for a second and a half.
pub(super) fn raise_alarm() -> std::process::Child {
    let alarm = "A = {{resource_limit, memory, node()}, []}, rabbit_alarm:set_alarm(A), \
                 timer:apply_after(1500, rabbit_alarm, clear_alarm, [element(1, A)]).";
    std::process::Command::new(variable(CTL))
        .args(["eval", alarm])
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap()
}

pub(super) const AUDIT: &str = "audit.events";

/// Two types with an exchange and one that brokers do not get.
pub(super) fn catalogue() -> Catalogue {
    let kind = |name, version, exchange| EventType {
        name,
        version,
        exchange,
        description: "A test.",
        schema: json!({}),
    };
    let types = [
        kind("user.created", 1, Some(Exchange::AUDIT)),
        kind("user.created", 2, Some(Exchange::AUDIT)),
        kind("auth.login", 1, Some(Exchange::SECURITY)),
        kind("role.renamed", 1, None),
    ];
    Catalogue::new(types).unwrap()
}

pub(super) fn event(kind: &str, subject: &str) -> Envelope {
    let now = "2026-11-21T12:00:00.5Z".parse().unwrap();
    Envelope {
        id: EventId::new(now),
        kind: kind.to_owned(),
        version: 1,
        occurred_at: now,
        tenant_id: None,
        actor: Actor { kind: ActorKind::System, id: None },
        subject: subject.to_owned(),
        sequence: 1,
        trace: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".parse().ok(),
        data: json!({ "name": "Ada" }),
    }
}

/// The same for a tenant.
pub(super) fn event_of(tenant: TenantId, kind: &str) -> Envelope {
    Envelope { tenant_id: Some(tenant), ..event(kind, "person") }
}
