//! Serving a router over HTTP/1.1 and HTTP/2 with limits on what a connection may cost.

use std::{convert::Infallible, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use axum::{body::Body, extract::ConnectInfo, response::Response};
use hyper::{
    Request,
    body::Incoming,
    server::conn::{http1, http2},
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use stylobate_observability::Shutdown;
use stylobate_tower_middleware::{LiveLimits, ServerConnection};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
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
    let connections = Arc::new(Connections::new());
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
                sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let (connections, app) = (Arc::clone(&connections), app.clone());
        let draining = shutdown.token();
        shutdown.spawn(async move {
            let own = ServerConnection::new(place);
            let draining = async move { draining.cancelled().await };
            let served = connections.serve(stream, peer, own.clone(), app, draining);
            tokio::select! {
                () = served => {}
                () = own.aborted() => tracing::debug!("a connection was aborted"),
            }
        });
    }
}

/// How connections are served, by either version of HTTP.
struct Connections {
    http1: http1::Builder,
    http2: http2::Builder<TokioExecutor>,
}

impl Connections {
    fn new() -> Self {
        let mut http1 = http1::Builder::new();
        http1
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(HEAD_BYTES_MAX)
            .max_headers(HEADERS_MAX);
        let mut http2 = http2::Builder::new(TokioExecutor::new());
        http2
            .timer(TokioTimer::new())
            .max_header_list_size(u32::try_from(HEAD_BYTES_MAX).unwrap_or(u32::MAX))
            .max_concurrent_streams(100)
            .keep_alive_interval(Duration::from_secs(30))
            .keep_alive_timeout(HEAD_TIMEOUT);
        Self { http1, http2 }
    }

    async fn serve<S>(
        &self,
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
        let mut draining = pin!(draining);
        let begun = tokio::select! {
            begun = timeout(HEAD_TIMEOUT, speaks_http2(&stream)) => begun,
            () = draining.as_mut() => return,
        };
        // Whoever says nothing only holds a connection.
        let Ok(Ok(is_http2)) = begun else { return };
        let service = app.map_request(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(ConnectInfo(peer));
            request.extensions_mut().insert(own.clone());
            request.map(Body::new)
        });
        let (stream, service) = (TokioIo::new(stream), TowerToHyperService::new(service));
        let ended = if is_http2 {
            // Boxed: it is large, and few connections are of this kind.
            let mut connection = Box::pin(self.http2.serve_connection(stream, service));
            tokio::select! {
                ended = connection.as_mut() => ended,
                () = draining.as_mut() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            }
        } else {
            let mut connection = pin!(self.http1.serve_connection(stream, service).with_upgrades());
            tokio::select! {
                ended = connection.as_mut() => ended,
                () = draining.as_mut() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            }
        };
        if let Err(error) = ended {
            // What clients do to their connections is not our failure.
            tracing::debug!(error = &error as &dyn std::error::Error, "a connection ended early");
        }
    }
}

/// How the preface of HTTP/2 begins (RFC 9113 §3.4), and no request of HTTP/1.1 (§11.6).
const PREFACE: [u8; 4] = *b"PRI ";
/// How long until it is looked again for the rest of it, which nearly always comes at once.
const PREFACE_WAIT: Duration = Duration::from_millis(10);

/// Whether the client begins with the preface of HTTP/2. Nothing is taken from the connection: what is put back in front of it
/// doubles the buffer that HTTP/1.1 reads into, for as long as the connection is open.
async fn speaks_http2(stream: &TcpStream) -> std::io::Result<bool> {
    let mut start = [0; PREFACE.len()];
    loop {
        let read = stream.peek(&mut start).await?;
        let begun = start.get(..read).unwrap_or_default();
        if begun.is_empty() || !PREFACE.starts_with(begun) {
            return Ok(false);
        }
        if read == PREFACE.len() {
            return Ok(true);
        }
        // What is there is told at once when it is asked for again.
        sleep(PREFACE_WAIT).await;
    }
}
