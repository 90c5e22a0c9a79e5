//! Two thousand connections on which people wait for their notifications: what the server holds for them, and how soon they hear.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use futures_util::{StreamExt as _, future::try_join_all};
use serde_json::{Value, json};
use stylobate_tests::Engine;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    task::JoinSet,
};
use tokio_tungstenite::{
    client_async,
    tungstenite::{Message, client::IntoClientRequest as _},
};

use super::number;
use crate::{
    Result,
    load::{Connection, request},
    report::{Goal, Report},
    rounds::{percentile, sorted},
    server::Process,
    site::{Site, login, text},
};

/// The promise, for all connections together.
const MOST_MB: f64 = 60.0;
/// How many connections a person has: as many as the server lets one have.
const EACH: usize = 10;
/// How long nothing is said: every WebSocket has been asked whether it is there, and every stream was given signs of life.
const IDLE: Duration = Duration::from_secs(35);
/// How many notices are written while they listen, and how long after each other.
const NOTICES: usize = 200;
const EVERY: Duration = Duration::from_millis(50);
const PATIENCE: Duration = Duration::from_secs(30);

/// How people listen.
#[derive(Debug, Clone, Copy)]
enum Way {
    Socket,
    Stream,
}

/// Somebody who listens.
struct Person {
    id: String,
    token: String,
}

/// Which notice came, and when.
type Heard = (usize, Instant);

pub(super) async fn measure(report: &mut Report, engine: Engine) -> Result {
    let connections = number("STYLOBATE_CONNECTIONS", 2_000);
    let site = Site::new(engine, u32::try_from(connections.div_ceil(EACH))?).await?;
    let server = site.serve().await?;
    let admin = text(&login(&server, "admin").await?, "access_token")?.to_owned();
    let mut people = Vec::new();
    for n in 1..=connections.div_ceil(EACH) {
        let token = text(&login(&server, &format!("p{n}")).await?, "access_token")?.to_owned();
        let id = text(&me(&server, &token).await?, "id")?.to_owned();
        people.push(Person { id, token });
    }
    server.stop().await?;
    for way in [Way::Socket, Way::Stream] {
        // One of its own for each: memory for hashing passwords and for the connections before would hide what these take.
        let server = site.serve().await?;
        one_way(report, engine, way, &server, (&admin, &people), connections).await?;
        server.stop().await?;
    }
    Ok(())
}

async fn me(server: &Process, token: &str) -> Result<Value> {
    let mut connection = Connection::open(server.address()).await?;
    connection.exchange(&request("GET", "/auth/me", Some(token), None)).await?.json(200)
}

async fn one_way(
    report: &mut Report,
    engine: Engine,
    way: Way,
    server: &Process,
    (admin, people): (&str, &[Person]),
    connections: usize,
) -> Result {
    // What is made at the first use is there before: connections to the database, threads, caches.
    for chunk in people.chunks(16) {
        try_join_all(chunk.iter().map(|person| me(server, &person.token))).await?;
    }
    let before = server.resident()?;
    let (heard, mut hears) = unbounded_channel();
    let mut open = JoinSet::new();
    let begun = Instant::now();
    for person in people.iter().flat_map(|person| std::iter::repeat_n(person, EACH)).take(connections) {
        way.listen(&mut open, server.address(), &person.token, heard.clone()).await?;
    }
    let opened = begun.elapsed();
    tokio::time::sleep(IDLE).await;
    if let Some(ended) = open.try_join_next() {
        return Err(format!("a connection ended: {:?}", ended?.err()).into());
    }
    let after = server.resident()?;
    let delays = notices(server, admin, people, connections, &mut hears).await?;
    let told = server.resident()?;
    open.shutdown().await;

    let more = |now: u64| (now as f64 - before as f64) / 1e6;
    let each = (after as f64 - before as f64) / 1e3 / connections as f64;
    let delays = sorted(delays.into_iter().map(|delay| delay.as_secs_f64() * 1e3));
    let (p50, p99) = (percentile(&delays, 0.5), percentile(&delays, 0.99));
    let what = format!("{connections} {} on {engine:?}", way.name());
    report.note(&format!(
        "{what}: {:.1} MB before, {:.1} MB more idle ({each:.1} kB each), {:.1} MB more after {} messages; opened in {:.1} s; a notice is \
         heard after p50 {p50:.0} ms, p99 {p99:.0} ms",
        before as f64 / 1e6,
        more(after),
        more(told),
        delays.len(),
        opened.as_secs_f64()
    ));
    report.keep(json!({
        "what": "live", "way": way.name(), "engine": format!("{engine:?}"), "connections": connections,
        "before_mb": before as f64 / 1e6, "more_mb": more(after), "more_after_notices_mb": more(told), "each_kb": each,
        "heard_p50_ms": p50, "heard_p99_ms": p99,
    }));
    report.verdict(&format!("memory of {what}"), more(after), "MB more", Goal::AtMost(MOST_MB));
    Ok(())
}

/// Writes notices, each to another person, and says how long each took from asking until each connection of that person had it.
async fn notices(
    server: &Process,
    admin: &str,
    people: &[Person],
    connections: usize,
    hears: &mut UnboundedReceiver<Heard>,
) -> Result<Vec<Duration>> {
    // The last may have fewer connections than the others.
    let people = people.get(..connections / EACH).unwrap_or(people);
    let mut writer = Connection::open(server.address()).await?;
    let mut asked = Vec::with_capacity(NOTICES);
    for (n, person) in people.iter().cycle().take(NOTICES).enumerate() {
        let body = json!({ "recipient_id": person.id, "title": title(n) });
        asked.push(Instant::now());
        writer.exchange(&request("POST", "/notifications", Some(admin), Some(&body))).await?.expect(201)?;
        tokio::time::sleep(EVERY).await;
    }
    let mut delays = Vec::with_capacity(NOTICES * EACH);
    let hear = async {
        while delays.len() < NOTICES * EACH
            && let Some((n, at)) = hears.recv().await
        {
            delays.extend(asked.get(n).map(|asked| at.saturating_duration_since(*asked)));
        }
    };
    let is_over = tokio::time::timeout(PATIENCE, hear).await.is_err();
    if is_over {
        return Err(format!("{} of {} notices were heard", delays.len(), NOTICES * EACH).into());
    }
    Ok(delays)
}

fn title(n: usize) -> String {
    format!("notice-{n}.")
}

/// Which notice a message is about.
fn notice_in(text: &str) -> Option<usize> {
    text.split_once("notice-")?.1.split_once('.')?.0.parse().ok()
}

impl Way {
    const fn name(self) -> &'static str {
        match self {
            Self::Socket => "WebSockets",
            Self::Stream => "streams",
        }
    }

    /// Opens a connection, and has `heard` told of each notice on it.
    async fn listen(
        self,
        open: &mut JoinSet<Result>,
        server: SocketAddr,
        token: &str,
        heard: UnboundedSender<Heard>,
    ) -> Result {
        let tcp = TcpStream::connect(server).await?;
        match self {
            Self::Socket => {
                let mut asked = format!("ws://{server}/ws/notifications").into_client_request()?;
                asked.headers_mut().insert("sec-websocket-protocol", format!("bearer, {token}").parse()?);
                let (mut socket, _) = client_async(asked, tcp).await?;
                open.spawn(async move {
                    while let Some(message) = socket.next().await {
                        match message? {
                            Message::Text(text) => heard.send((of(&text)?, Instant::now()))?,
                            Message::Close(frame) => return Err(format!("closed: {frame:?}").into()),
                            _ => {}
                        }
                    }
                    Err("the server closed a socket".into())
                });
            }
            Self::Stream => {
                let mut tcp = tcp;
                tcp.write_all(&request("GET", "/notifications/stream", Some(token), None)).await?;
                let mut read = String::new();
                let mut bytes = [0; 1_024];
                while !read.contains("\r\n\r\n") {
                    read += std::str::from_utf8(some(&mut tcp, &mut bytes).await?)?;
                }
                if !read.starts_with("HTTP/1.1 200") {
                    return Err(format!("no stream: {read}").into());
                }
                open.spawn(async move {
                    let mut read = String::new();
                    loop {
                        read += std::str::from_utf8(some(&mut tcp, &mut bytes).await?)?;
                        // An event ends with an empty line (WHATWG HTML §9.2.6).
                        while let Some((event, rest)) = read.split_once("\n\n") {
                            if event.contains("data:") {
                                heard.send((of(event)?, Instant::now()))?;
                            }
                            read = rest.to_owned();
                        }
                    }
                });
            }
        }
        Ok(())
    }
}

fn of(text: &str) -> Result<usize> {
    notice_in(text).ok_or_else(|| format!("no notice: {text}").into())
}

async fn some<'a>(tcp: &mut TcpStream, bytes: &'a mut [u8]) -> Result<&'a [u8]> {
    match tcp.read(bytes).await? {
        0 => Err("the server closed a stream".into()),
        read => Ok(bytes.get(..read).unwrap_or_default()),
    }
}
