//! Key sets over HTTP, from a server that does what a bad one does.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use stylobate_auth::{HttpJwks, JwksSource as _, RemoteJwks, RemoteJwksConfig};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

const SET: &str = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","use":"sig","alg":"EdDSA","kid":"k1"}]}"#;

/// Answers every connection with these bytes, and counts them; with `None` it listens and says nothing.
async fn serve(answer: Option<String>) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, asked) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let counter = Arc::clone(&asked);
    tokio::spawn(async move {
        let mut silent = Vec::new();
        while let Ok((mut connection, _)) = listener.accept().await {
            counter.fetch_add(1, Ordering::SeqCst);
            let Some(answer) = answer.clone() else {
                silent.push(connection);
                continue;
            };
            tokio::spawn(async move {
                let mut request = [0; 4_096];
                let _ = connection.read(&mut request).await;
                let _ = connection.write_all(answer.as_bytes()).await;
            });
        }
    });
    (address, asked)
}

fn answer(status: &str, headers: &str, body: &str) -> Option<String> {
    let length = body.len();
    Some(format!("HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}"))
}

async fn fetch(answer: Option<String>) -> Result<stylobate_auth::FetchedJwks, String> {
    let (address, _) = serve(answer).await;
    let source = HttpJwks::new(&format!("http://{address}/.well-known/jwks.json")).unwrap();
    source.fetch().await.map_err(|error| error.to_string())
}

#[tokio::test]
async fn a_set_is_fetched_with_the_age_that_it_states() {
    let fetched = fetch(answer("200 OK", "cache-control: public, max-age=300\r\n", SET)).await.unwrap();
    assert_eq!((fetched.json.as_slice(), fetched.max_age), (SET.as_bytes(), Some(Duration::from_secs(300))));
    let fetched = fetch(answer("200 OK", "", SET)).await.unwrap();
    assert_eq!(fetched.max_age, None);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (elsewhere, asked) = serve(answer("200 OK", "", SET)).await;
    for status in ["301 Moved Permanently", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let location = format!("location: http://{elsewhere}/keys\r\n");
        assert!(fetch(answer(status, &location, "")).await.is_err(), "{status}");
    }
    assert_eq!(asked.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn whatever_is_no_answer_with_a_set_is_an_error() {
    for status in ["404 Not Found", "500 Internal Server Error", "204 No Content", "206 Partial Content"] {
        assert!(fetch(answer(status, "", SET)).await.is_err(), "{status}");
    }
    // 128 KiB are read: whether the length is stated, or the answer just goes on.
    let long = format!("{SET}{}", " ".repeat(200 * 1_024));
    assert!(fetch(answer("200 OK", "", &long)).await.is_err());
    assert!(fetch(Some(format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{long}"))).await.is_err());
    // Cut off, and not HTTP at all.
    assert!(fetch(Some(format!("HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n{SET}"))).await.is_err());
    assert!(fetch(Some("\x16\x03\x01 hello".to_owned())).await.is_err());
    assert!(fetch(Some(String::new())).await.is_err());
    // Nobody there.
    let unused = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let source = HttpJwks::new(&format!("http://{unused}/keys")).unwrap();
    assert!(source.fetch().await.is_err());
    // Plain HTTP where TLS is expected.
    let (address, _) = serve(answer("200 OK", "", SET)).await;
    assert!(HttpJwks::new(&format!("https://{address}/keys")).unwrap().fetch().await.is_err());
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up() {
    let (address, asked) = serve(None).await;
    let source = HttpJwks::new(&format!("http://{address}/keys")).unwrap();
    let config = RemoteJwksConfig { timeout: Duration::from_millis(200), ..RemoteJwksConfig::default() };
    let jwks = RemoteJwks::new(source, config);
    let begun = Instant::now();
    assert!(jwks.refresh().await.is_err());
    // Ten times what it is to take.
    assert!(begun.elapsed() < Duration::from_secs(2));
    assert_eq!((asked.load(Ordering::SeqCst), jwks.is_usable()), (1, false));
}
