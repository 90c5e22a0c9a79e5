use std::{any::Any, fmt, sync::Arc};

use tokio_util::sync::CancellationToken;

/// The connection of the server that a request came over, for routes whose answer goes on. A server makes one for each connection and
/// puts it among the extensions of its requests.
///
/// Whoever keeps a clone keeps the connection's place in the server: an upgraded one is a connection still.
#[derive(Clone)]
pub struct ServerConnection {
    abort: CancellationToken,
    _place: Arc<dyn Any + Send + Sync>,
}

impl ServerConnection {
    /// A connection that has `place`, which is dropped with the last clone.
    #[must_use]
    pub fn new(place: impl Send + Sync + 'static) -> Self {
        Self { abort: CancellationToken::new(), _place: Arc::new(place) }
    }

    /// Ends the connection with everything on it. It is for clients that do not read: as long as what was written lies about, a
    /// body that ends or fails is not noticed.
    pub fn abort(&self) {
        self.abort.cancel();
    }

    /// Resolves when the server is to drop the connection.
    pub async fn aborted(&self) {
        self.abort.cancelled().await;
    }
}

impl fmt::Debug for ServerConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerConnection")
            .field("is_aborted", &self.abort.is_cancelled())
            .finish_non_exhaustive()
    }
}
