//! Serving a router over HTTP/1.1 and HTTP/2 with limits on what a connection may cost.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use axum::{body::Body, extract::ConnectInfo, response::Response};
use hyper::{Request, body::Incoming};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
    service::TowerToHyperService,
};
use stylobate_observability::Shutdown;
use stylobate_tower_middleware::{LiveLimits, ServerConnection};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tower::{Service, ServiceExt as _};

/// Most bytes of a request's head: 16 KiB holds the largest token beside ordinary headers.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Most header fields of a request.
const HEADERS_MAX: usize = 100;
/// How long the head of a request may take to arrive; slower senders only hold connections.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Most connections at once, 10,000: each costs a few tens of KiB and a file descriptor. Those that stay open leave places for
/// requests.
const CONNECTIONS_MAX: usize = LiveLimits::CONNECTIONS + 2_000;

/// Serves `app`, a [`Router`](axum::Router) or what [`Platform::router`](crate::Platform::router) made, on `listener` until
/// `shutdown` begins, then lets running requests end.
///
/// Requests carry the peer's address as [`ConnectInfo<SocketAddr>`], and their [`ServerConnection`].
pub async fn serve<S>(listener: TcpListener, app: S, shutdown: &Shutdown)
where
    S: Service<axum::extract::Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let connections = connections();
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let accepted = tokio::select! {
            biased;
            () = shutdown.draining() => return,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, or a connection that was gone before it was taken: both pass.
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "a connection could not be accepted"
                );
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let (connections, app) = (connections.clone(), app.clone());
        let draining = shutdown.token();
        shutdown.spawn(async move {
            let own = ServerConnection::new(place);
            let served = serve_connection(&connections, stream, peer, own.clone(), app, async move {
                draining.cancelled().await
            });
            tokio::select! {
                () = served => {}
                () = own.aborted() => tracing::debug!("a connection was aborted"),
            }
        });
    }
}

fn connections() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(HEAD_BYTES_MAX).unwrap_or(u32::MAX))
        .max_concurrent_streams(100)
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(HEAD_TIMEOUT);
    builder
}

async fn serve_connection<S>(
    connections: &auto::Builder<TokioExecutor>,
    stream: TcpStream,
    peer: SocketAddr,
    own: ServerConnection,
    app: S,
    draining: impl Future<Output = ()>,
) where
    S: Service<axum::extract::Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    // Answers are small: waiting for more bytes only adds latency.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(error = &error as &dyn std::error::Error, "TCP_NODELAY was refused");
    }
    let service = app.map_request(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        request.extensions_mut().insert(own.clone());
        request.map(Body::new)
    });
    let service = TowerToHyperService::new(service);
    let connection = connections.serve_connection_with_upgrades(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let mut draining = std::pin::pin!(draining);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = draining.as_mut() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        // What clients do to their connections is not our failure.
        tracing::debug!(error = &*error, "a connection ended early");
    }
}
