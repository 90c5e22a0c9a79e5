//! A port before the broker that can be stopped, cut and closed.

use std::sync::Arc;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::{JoinHandle, JoinSet},
};

/// What becomes of what clients and broker send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Open,
    /// What clients send stays in the proxy.
    FromClientsStopped,
    /// What the broker sends stays in the proxy.
    FromBrokerStopped,
}

pub(super) struct Proxy {
    port: u16,
    target: u16,
    way: watch::Sender<Way>,
    serving: Option<JoinHandle<()>>,
}

impl Proxy {
    /// A port that leads to `target`.
    pub(super) async fn to(target: u16) -> Self {
        let mut proxy = Self::closed(target).await;
        proxy.open().await;
        proxy
    }

    /// A port at which nobody listens yet.
    pub(super) async fn closed(target: u16) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        Self { port, target, way: watch::Sender::new(Way::Open), serving: None }
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Begins to listen.
    pub(super) async fn open(&mut self) {
        let listener = TcpListener::bind(("127.0.0.1", self.port)).await.unwrap();
        let (target, way) = (self.target, self.way.subscribe());
        self.serving = Some(tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let broker = TcpStream::connect(("127.0.0.1", target)).await.unwrap();
                let ((from_client, to_client), (from_broker, to_broker)) =
                    (client.into_split(), broker.into_split());
                let way = Arc::new(way.clone());
                let (there, back) = (Arc::clone(&way), way);
                connections.spawn(async move {
                    tokio::select! {
                        () = copy(from_client, to_broker, there, Way::FromClientsStopped) => {}
                        () = copy(from_broker, to_client, back, Way::FromBrokerStopped) => {}
                    }
                });
            }
        }));
    }

    pub(super) fn set(&self, way: Way) {
        self.way.send_replace(way);
    }

    /// Cuts all connections and listens no more.
    pub(super) async fn close(&mut self) {
        if let Some(serving) = self.serving.take() {
            serving.abort();
            let _ = serving.await;
        }
    }

    /// Cuts all connections and listens again.
    pub(super) async fn cut(&mut self) {
        self.close().await;
        self.open().await;
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(serving) = self.serving.take() {
            serving.abort();
        }
    }
}

async fn copy(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, way: Arc<watch::Receiver<Way>>, closed: Way) {
    let mut way = watch::Receiver::clone(&way);
    let mut buffer = vec![0; 16_384];
    while let Ok(read) = from.read(&mut buffer).await {
        let _ = way.wait_for(|way| *way != closed).await;
        if read == 0 || to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
