use std::sync::Arc;

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// A door between a server and its database that a test can shut: connections break and new ones are refused, as when the
/// database is killed, without harm to the neighbours on the same database server.
pub struct Proxy {
    port: u16,
    is_open: Arc<watch::Sender<bool>>,
}

impl Proxy {
    /// An open door to `target`, a host and port.
    ///
    /// # Panics
    /// When there is no free port.
    pub async fn start(target: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let is_open = Arc::new(watch::Sender::new(true));
        let door = Arc::clone(&is_open);
        tokio::spawn(async move {
            while let Ok((mut inside, _)) = listener.accept().await {
                let mut door = door.subscribe();
                let target = target.clone();
                tokio::spawn(async move {
                    if !*door.borrow_and_update() {
                        return; // dropped: the other side sees the connection close
                    }
                    let Ok(mut outside) = TcpStream::connect(target).await else { return };
                    tokio::select! {
                        _ = copy_bidirectional(&mut inside, &mut outside) => {}
                        _ = door.changed() => {}
                    }
                });
            }
        });
        Self { port, is_open }
    }

    /// The port on loopback.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Breaks all connections and refuses new ones.
    pub fn shut(&self) {
        self.is_open.send_replace(false);
    }

    /// Lets connections through again.
    pub fn open(&self) {
        self.is_open.send_replace(true);
    }
}
