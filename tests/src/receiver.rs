use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
};

use crate::eventually;

/// A request that a [`Receiver`] was sent.
#[derive(Debug, Clone)]
pub struct Received {
    /// Method and path: `POST /hook`.
    pub line: String,
    /// By lower-case name.
    pub headers: BTreeMap<String, String>,
    /// As it was sent.
    pub body: Vec<u8>,
}

impl Received {
    /// The header called `name`, or nothing.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }
}

/// Somebody's server that webhooks are sent to: keeps what it is sent, and answers as it is told.
pub struct Receiver {
    address: String,
    received: Arc<Mutex<Vec<Received>>>,
    answer: Arc<Mutex<String>>,
}

impl Receiver {
    /// A receiver that answers 204.
    ///
    /// # Panics
    /// When there is no free port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        let received = Arc::<Mutex<Vec<Received>>>::default();
        let answer = Arc::new(Mutex::new(answer_of(204, "")));
        let (keep, say) = (Arc::clone(&received), Arc::clone(&answer));
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let (keep, say) = (Arc::clone(&keep), Arc::clone(&say));
                tokio::spawn(async move {
                    // Who does not speak HTTP is not listened to.
                    let _ = serve(connection, &keep, &say).await;
                });
            }
        });
        Self { address, received, answer }
    }

    /// Where it is, followed by `path`.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.address)
    }

    /// Answers with `status` from now on, and with more lines of the head, each ended by `\r\n`.
    ///
    /// # Panics
    /// When another thread has panicked with it.
    pub fn answers(&self, status: u16, head: &str) {
        *self.answer.lock().expect("nobody panicked") = answer_of(status, head);
    }

    /// What it was sent so far.
    ///
    /// # Panics
    /// When another thread has panicked with it.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        self.received.lock().expect("nobody panicked").clone()
    }

    /// Waits until it was sent `number` requests, and returns all.
    ///
    /// # Panics
    /// When that does not come.
    pub async fn wait_for(&self, number: usize) -> Vec<Received> {
        eventually("the receiver to be sent something", async || {
            let received = self.received();
            (received.len() >= number).then_some(received)
        })
        .await
    }
}

fn answer_of(status: u16, head: &str) -> String {
    format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\nconnection: close\r\n{head}\r\n")
}

async fn serve(
    connection: TcpStream,
    keep: &Mutex<Vec<Received>>,
    say: &Mutex<String>,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(connection);
    let mut line = String::new();
    reader.read_line(&mut line).await?;
    let mut headers = BTreeMap::new();
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).await?;
        let Some((name, value)) = header.trim_end().split_once(':') else { break };
        headers.insert(name.to_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).await?;
    let line = line.trim_end().trim_end_matches(" HTTP/1.1").to_owned();
    keep.lock().expect("nobody panicked").push(Received { line, headers, body });
    let answer = say.lock().expect("nobody panicked").clone();
    reader.get_mut().write_all(answer.as_bytes()).await?;
    reader.get_mut().shutdown().await
}
