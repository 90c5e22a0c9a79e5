use std::{
    collections::VecDeque,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
};

use stylobate_egress::{Rejected, TOLERANCE, WebhookHeaders, WebhookMessageId, WebhookSecret, verify};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// How a receiver answers a message.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// With a status, further headers and a body.
    Status(u16, String, String),
    /// Not at all.
    Hang,
    /// By closing.
    Close,
    /// With 200 and a body without end.
    Flood,
}

pub(crate) fn status(code: u16) -> Reply {
    Reply::Status(code, String::new(), String::new())
}

/// A message as it came.
#[derive(Debug, Clone)]
pub(crate) struct Got {
    pub(crate) line: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Got {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(one, _)| one == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// What a receiver does, with the time at which it was sent as its own.
    pub(crate) fn verify(&self, secrets: &[WebhookSecret]) -> Result<WebhookMessageId, Rejected> {
        let headers = WebhookHeaders::find(|name| self.header(name))?;
        let sent = headers.timestamp.parse().unwrap();
        let now = chrono::DateTime::from_timestamp(sent, 0).unwrap();
        verify(&headers, &self.body, secrets, now, TOLERANCE)
    }
}

#[derive(Debug, Default)]
struct State {
    replies: Mutex<VecDeque<Reply>>,
    got: Mutex<Vec<Got>>,
}

/// A server that answers as it was told, one reply after the other and then 204.
#[derive(Clone)]
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
}

impl Receiver {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let receiver = Self { address: listener.local_addr().unwrap(), state: Arc::default() };
        let this = receiver.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let this = this.clone();
                tokio::spawn(async move { this.serve(stream).await });
            }
        });
        receiver
    }

    pub(crate) fn will(&self, replies: impl IntoIterator<Item = Reply>) {
        self.state.replies.lock().unwrap().extend(replies);
    }

    /// The last message.
    pub(crate) fn last(&self) -> Got {
        self.got().pop().unwrap()
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/hook?a=b", self.address)
    }

    pub(crate) fn got(&self) -> Vec<Got> {
        self.state.got.lock().unwrap().clone()
    }

    async fn serve(&self, mut stream: TcpStream) -> io::Result<()> {
        let Some(got) = read(&mut stream).await? else { return Ok(()) };
        // Noted when it is taken up, so that replies and messages are in one order.
        let reply = {
            let mut replies = self.state.replies.lock().unwrap();
            self.state.got.lock().unwrap().push(got);
            replies.pop_front().unwrap_or(status(204))
        };
        match reply {
            Reply::Status(code, headers, body) => answer(&mut stream, code, &headers, &body).await,
            Reply::Close => Ok(()),
            Reply::Hang => std::future::pending().await,
            Reply::Flood => {
                stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
                loop {
                    stream.write_all(&[b'x'; 65_536]).await?;
                }
            }
        }
    }
}

async fn answer(stream: &mut TcpStream, code: u16, headers: &str, body: &str) -> io::Result<()> {
    let length = if code == 204 { String::new() } else { format!("content-length: {}\r\n", body.len()) };
    stream.write_all(format!("HTTP/1.1 {code} X\r\n{length}{headers}\r\n{body}").as_bytes()).await
}

async fn read(stream: &mut TcpStream) -> io::Result<Option<Got>> {
    let mut read = Vec::new();
    let end = loop {
        if let Some(end) = read.windows(4).position(|end| end == b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(&mut read).await? == 0 {
            return Ok(None);
        }
    };
    let mut body = read.split_off(end + 4);
    let head = String::from_utf8(read).unwrap();
    let mut lines = head.trim_end().split("\r\n");
    let line = lines.next().unwrap().to_owned();
    let headers: Vec<_> = lines
        .map(|line| line.split_once(": ").unwrap())
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let length = headers.iter().find(|(name, _)| name == "content-length").unwrap().1.parse().unwrap();
    while body.len() < length {
        if stream.read_buf(&mut body).await? == 0 {
            return Ok(None);
        }
    }
    Ok(Some(Got { line, headers, body }))
}
