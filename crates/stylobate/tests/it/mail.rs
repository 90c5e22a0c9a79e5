//! What the health of a platform costs its mail server.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use stylobate::{Platform, Settings, core::HealthStatus};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
};

/// A mail server that ends each connection after the hello, so that none can be used again.
async fn server() -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move { greet(stream).await.ok() });
        }
    });
    (port, connections)
}

async fn greet(mut stream: TcpStream) -> std::io::Result<()> {
    stream.write_all(b"220 canary.example.test\r\n").await?;
    let (reader, mut writer) = stream.split();
    let mut hello = String::new();
    BufReader::new(reader).read_line(&mut hello).await?;
    writer.write_all(b"250 canary.example.test\r\n").await
}

/// Everybody may ask for the health.
#[tokio::test(flavor = "multi_thread")]
async fn asking_for_the_health_again_and_again_asks_the_mail_server_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let (port, connections) = server().await;
    let (database, smtp) =
        (format!("sqlite://{path}/platform.db"), format!("smtp://127.0.0.1:{port}?tls=none"));
    let pairs = [
        ("DATA_DIR", path),
        ("DATABASE_URL", &database),
        ("SMTP_URL", &smtp),
        ("MAIL_FROM", "no-reply@example.test"),
    ];
    let pairs = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let platform = Platform::builder(Settings::from_pairs("", pairs).unwrap()).start().await.unwrap();
    assert_eq!(connections.load(Ordering::SeqCst), 0, "nobody asked");
    let health = platform.health().as_ref().clone().with_cache(Duration::ZERO);
    // On a busy machine the first answers may be that it is not known yet.
    let mut report = health.ready().await;
    for _ in 0..60 {
        if report.checks["mail"].status == HealthStatus::Up {
            break;
        }
        report = health.ready().await;
    }
    for _ in 0..20 {
        report = health.ready().await;
        let mail = &report.checks["mail"];
        assert_eq!((mail.status, &mail.detail), (HealthStatus::Up, &None), "{report:?}");
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1);
    platform.end().await;
}
