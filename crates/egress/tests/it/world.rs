use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use stylobate_core::BoxFuture;
use stylobate_egress::{AddressPolicy, Client, Limits, Lookup, Target};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// How a server goes on once it has read the head of a request.
#[derive(Debug, Clone)]
pub(crate) enum Then {
    /// Writes this and closes.
    Write(Vec<u8>),
    /// Writes this, then one byte now and again without end.
    Drip(&'static str),
    /// Writes this, then bytes as fast as they are taken.
    Flood(&'static str),
    /// Says nothing.
    Hang,
    /// Closes.
    Close,
}

/// A server on loopback that counts its connections and remembers the heads it has read.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    connections: Arc<AtomicUsize>,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub(crate) async fn start(then: Then) -> Self {
        Self::start_at(Ipv4Addr::LOCALHOST, 0, then).await
    }

    pub(crate) async fn start_at(address: Ipv4Addr, port: u16, then: Then) -> Self {
        let listener = TcpListener::bind((address, port)).await.unwrap();
        let server = Self {
            address: listener.local_addr().unwrap(),
            connections: Arc::default(),
            heads: Arc::default(),
        };
        let (connections, heads) = (Arc::clone(&server.connections), Arc::clone(&server.heads));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                connections.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(stream, then.clone(), Arc::clone(&heads)));
            }
        });
        server
    }

    pub(crate) async fn answering(status: &str, headers: &str, body: &str) -> Self {
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n{headers}\r\n{body}", body.len());
        Self::start(Then::Write(answer.into_bytes())).await
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

async fn serve(mut stream: TcpStream, then: Then, heads: Arc<Mutex<Vec<String>>>) -> io::Result<()> {
    let mut read = Vec::new();
    while !read.windows(4).any(|end| end == b"\r\n\r\n") {
        if stream.read_buf(&mut read).await? == 0 {
            return Ok(());
        }
    }
    heads.lock().unwrap().push(String::from_utf8_lossy(&read).into_owned());
    match then {
        Then::Write(bytes) => stream.write_all(&bytes).await,
        Then::Close => Ok(()),
        Then::Hang => std::future::pending().await,
        Then::Drip(head) => {
            stream.write_all(head.as_bytes()).await?;
            loop {
                tokio::time::sleep(Duration::from_millis(20)).await;
                stream.write_all(b"x").await?;
            }
        }
        Then::Flood(head) => {
            stream.write_all(head.as_bytes()).await?;
            loop {
                stream.write_all(&[b'x'; 65_536]).await?;
            }
        }
    }
}

/// Answers what it was told to, one answer after the other and the last for ever.
#[derive(Debug, Default)]
pub(crate) struct Told {
    answers: Mutex<Vec<Vec<IpAddr>>>,
    pub(crate) asked: AtomicUsize,
}

impl Told {
    pub(crate) fn new(answers: &[&[&str]]) -> Arc<Self> {
        let answers = answers.iter().map(|answer| answer.iter().map(|text| text.parse().unwrap()).collect());
        Arc::new(Self { answers: Mutex::new(answers.collect()), asked: AtomicUsize::new(0) })
    }
}

impl Lookup for Told {
    fn lookup<'a>(&'a self, _: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        let asked = self.asked.fetch_add(1, Ordering::SeqCst);
        let answers = self.answers.lock().unwrap();
        let answer =
            answers.get(asked).or(answers.last()).cloned().ok_or_else(|| io::Error::other("no answer"));
        Box::pin(async move { answer })
    }
}

pub(crate) fn limits() -> Limits {
    Limits {
        total: Duration::from_millis(700),
        connect: Duration::from_millis(500),
        answer_bytes_max: 10_000,
    }
}

pub(crate) fn loopback() -> AddressPolicy {
    AddressPolicy::public().allow(["127.0.0.0/8".parse().unwrap()]).insecure_allow_http()
}

pub(crate) fn client(policy: AddressPolicy) -> Client {
    Client::builder(policy).limits(limits()).build().unwrap()
}

pub(crate) fn target(text: &str) -> Target {
    Target::parse(text, &loopback()).unwrap()
}
