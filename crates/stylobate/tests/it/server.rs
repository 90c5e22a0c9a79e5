//! What a server lets its clients do to it.

use axum::{Extension, Router, body::Body, routing::get};
use futures_util::stream;
use stylobate::{middleware::ServerConnection, observability::Shutdown};
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

/// Never ends, and is always more.
async fn endless(
    connection: Extension<ServerConnection>,
    Extension(opened): Extension<mpsc::UnboundedSender<ServerConnection>>,
) -> Body {
    opened.send(connection.0).unwrap();
    Body::from_stream(stream::repeat_with(|| Ok::<_, std::convert::Infallible>(vec![b'x'; 1 << 16])))
}

// A32
#[tokio::test]
async fn a_client_that_does_not_read_is_aborted_and_the_server_ends_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (opened, mut open) = mpsc::unbounded_channel::<ServerConnection>();
    #[expect(clippy::disallowed_methods, reason = "a route without the permissions of a product")]
    let app = Router::new().route("/", get(endless)).layer(Extension(opened));
    let shutdown = Shutdown::default();
    let served = tokio::spawn({
        let shutdown = shutdown.clone();
        async move { stylobate::serve(listener, app, &shutdown).await }
    });
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let connection = open.recv().await.unwrap();
    connection.abort();
    shutdown.begin();
    served.await.unwrap();
    assert!(shutdown.wait().await.is_clean());
    drop(client);
}
