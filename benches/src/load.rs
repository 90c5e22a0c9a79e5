//! Callers that cost little: requests are bytes made beforehand, answers are read just far enough to know where they
//! end, connections are kept.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
};

use crate::{
    Result,
    report::cores,
    rounds::{Sample, percentile, sorted},
    server::Process,
};

/// The bytes of a request.
pub(crate) fn request(method: &str, path: &str, token: Option<&str>, body: Option<&Value>) -> Vec<u8> {
    let mut text = format!("{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nuser-agent: bench\r\n");
    if let Some(token) = token {
        text += &format!("authorization: Bearer {token}\r\n");
    }
    match body.map(Value::to_string) {
        Some(body) => {
            text +=
                &format!("content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        }
        None => text += "\r\n",
    }
    text.into_bytes()
}

/// The bytes of a request with a form: names and values that need no escaping.
pub(crate) fn form(path: &str, token: &str, fields: &[(&str, &str)]) -> Vec<u8> {
    let fields: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let body = fields.join("&");
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nuser-agent: bench\r\nauthorization: Bearer {token}\r\n\
         content-type: application/x-www-form-urlencoded\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// One connection, kept from request to request.
pub(crate) struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
}

/// What came back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reply<'a> {
    pub(crate) status: u16,
    head: &'a [u8],
    pub(crate) body: &'a [u8],
}

impl Reply<'_> {
    /// The value of a header; `name` in lower case, as servers over hyper write it.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let text = std::str::from_utf8(self.head).ok()?;
        text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    /// The body as JSON, of an answer that must have this status.
    pub(crate) fn json(&self, status: u16) -> Result<Value> {
        self.expect(status)?;
        Ok(serde_json::from_slice(self.body)?)
    }

    pub(crate) fn expect(&self, status: u16) -> Result {
        if self.status == status {
            return Ok(());
        }
        Err(format!("{} instead of {status}: {}", self.status, String::from_utf8_lossy(self.body)).into())
    }
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, received: Vec::with_capacity(64 * 1024) })
    }

    pub(crate) async fn exchange(&mut self, request: &[u8]) -> Result<Reply<'_>> {
        self.stream.write_all(request).await?;
        self.received.clear();
        let (status, head, length) = loop {
            self.receive().await?;
            if let Some(end) = self.received.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                let (status, length) = read_head(self.received.get(..end + 4).unwrap_or_default())?;
                break (status, end + 4, length);
            }
        };
        while self.received.len() < head + length {
            self.receive().await?;
        }
        let (head, body) = self.received.split_at_checked(head).ok_or("the head is there")?;
        Ok(Reply { status, head, body })
    }

    async fn receive(&mut self) -> Result {
        match self.stream.read_buf(&mut self.received).await? {
            0 => Err("the server closed the connection".into()),
            _ => Ok(()),
        }
    }
}

/// Status and length of the body.
fn read_head(head: &[u8]) -> Result<(u16, usize)> {
    let head = std::str::from_utf8(head)?;
    let status: u16 = head.get(9..12).ok_or("a short status line")?.parse()?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse())
    });
    match length {
        Some(length) => Ok((status, length?)),
        None if status == 204 => Ok((status, 0)),
        None => Err("an answer without a length".into()),
    }
}

/// Somebody who sends one request after the other.
pub(crate) trait Caller: Send + 'static {
    /// The next request.
    fn request(&mut self) -> &[u8];
    /// Looks at its answer; an error ends the bench.
    fn answered(&mut self, reply: Reply<'_>) -> Result;
}

/// Always the same request, answered with 200.
#[derive(Clone)]
pub(crate) struct Same(pub(crate) Vec<u8>);

impl Caller for Same {
    fn request(&mut self) -> &[u8] {
        &self.0
    }

    fn answered(&mut self, reply: Reply<'_>) -> Result {
        reply.expect(200)
    }
}

/// Lets all callers call at once, each on a connection of its own, for `duration`. Hands the callers back.
pub(crate) fn drive<C: Caller>(
    process: &Process,
    callers: Vec<C>,
    duration: Duration,
) -> Result<(Sample, Vec<C>)> {
    let address = process.address();
    // One thread for each core: no fewer, so that the load is not the bottleneck; callers that wait cost nothing.
    let threads = cores().min(callers.len()).max(1);
    let mut crews: Vec<Vec<C>> = (0..threads).map(|_| Vec::new()).collect();
    for (index, caller) in callers.into_iter().enumerate() {
        if let Some(crew) = crews.get_mut(index % threads) {
            crew.push(caller);
        }
    }
    let cpu_before = process.cpu_time()?;
    let begun = Instant::now();
    let start = |crew: Vec<C>| {
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(call_until(address, crew, begun + duration))
        })
    };
    let crews: Vec<_> = crews.into_iter().map(start).collect();
    let (mut latencies, mut callers) = (Vec::new(), Vec::new());
    for crew in crews {
        let (more, again) = crew.join().map_err(|_| "the load panicked")??;
        latencies.extend(more);
        callers.extend(again);
    }
    // Up to the last answer: with few slow requests, those under way at the end count as well.
    let seconds = begun.elapsed().as_secs_f64();
    let cpu = process.cpu_time()?.saturating_sub(cpu_before);
    let requests = latencies.len() as f64;
    let latencies = sorted(latencies.into_iter().map(|latency| latency.as_secs_f64() * 1e6));
    let sample = Sample {
        rate: requests / seconds,
        cpu_us: Some(cpu.as_secs_f64() * 1e6 / requests),
        p50_us: Some(percentile(&latencies, 0.5)),
        p99_us: Some(percentile(&latencies, 0.99)),
    };
    Ok((sample, callers))
}

async fn call_until<C: Caller>(
    address: SocketAddr,
    callers: Vec<C>,
    end: Instant,
) -> Result<(Vec<Duration>, Vec<C>)> {
    let mut running = JoinSet::new();
    for mut caller in callers {
        let mut connection = Connection::open(address).await?;
        running.spawn(async move {
            let mut latencies = Vec::new();
            let mut now = Instant::now();
            while now < end {
                let reply = connection.exchange(caller.request()).await?;
                caller.answered(reply)?;
                let later = Instant::now();
                latencies.push(later - now);
                now = later;
            }
            Ok::<_, crate::Error>((latencies, caller))
        });
    }
    let (mut latencies, mut callers) = (Vec::new(), Vec::new());
    while let Some(ended) = running.join_next().await {
        let (more, caller) = ended??;
        latencies.extend(more);
        callers.push(caller);
    }
    Ok((latencies, callers))
}
