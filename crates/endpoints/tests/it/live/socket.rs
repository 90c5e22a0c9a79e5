use std::{sync::atomic::Ordering, time::Duration};

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use stylobate_tower_middleware::LiveLimits;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{
        self, Message, client::IntoClientRequest as _, handshake::client::Response, protocol::CloseFrame,
    },
};

use super::world::World;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Longer than anything takes that happens at all.
const PATIENCE: Duration = Duration::from_secs(8);

async fn connect(
    world: &World,
    query: &str,
    headers: &[(&'static str, &str)],
) -> Result<(Socket, Response), tungstenite::Error> {
    let mut request = format!("ws://{}/socket{query}", world.address).into_client_request().unwrap();
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    tokio::time::timeout(PATIENCE, connect_async(request)).await.unwrap()
}

const TOKEN: (&str, &str) = ("sec-websocket-protocol", "bearer, a.b.c");

async fn open(world: &World, query: &str) -> Socket {
    connect(world, query, &[TOKEN]).await.unwrap().0
}

async fn next(socket: &mut Socket) -> Message {
    loop {
        let message = tokio::time::timeout(PATIENCE, socket.next()).await.expect("nothing comes");
        match message.expect("it ended").unwrap() {
            Message::Ping(_) | Message::Pong(_) => {}
            message => return message,
        }
    }
}

async fn number(socket: &mut Socket) -> u64 {
    let Message::Text(text) = next(socket).await else { panic!("no text") };
    let message: Value = serde_json::from_str(&text).unwrap();
    let n = message["data"]["n"].as_u64().unwrap();
    assert_eq!(message, json!({ "type": "number", "id": n.to_string(), "data": { "n": n } }));
    n
}

async fn code(socket: &mut Socket) -> u16 {
    match next(socket).await {
        Message::Close(Some(CloseFrame { code, .. })) => code.into(),
        other => panic!("{other:?}"),
    }
}

fn status(refused: tungstenite::Error) -> u16 {
    match refused {
        tungstenite::Error::Http(response) => response.status().as_u16(),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn what_is_new_is_told_and_whoever_comes_back_misses_nothing() {
    let world = World::start(LiveLimits::default()).await;
    world.count_to(3);
    let mut socket = open(&world, "").await;
    world.count_to(5);
    assert_eq!([number(&mut socket).await, number(&mut socket).await], [4, 5]);
    drop(socket);
    // More than one batch.
    world.count_to(1_050);
    let mut socket = open(&world, "?after=5").await;
    for n in 6..=1_050 {
        assert_eq!(number(&mut socket).await, n);
    }
    // What came while the feed was away is told when it is back, whether anything else comes or not.
    world.fail_to_count_to(1_051).await;
    assert_eq!(number(&mut socket).await, 1_051);
    // Whoever claims to have seen what is not there yet hears it come.
    let mut ahead = open(&world, "?after=4000000").await;
    world.count_to(1_052);
    assert_eq!([number(&mut ahead).await, number(&mut socket).await], [1_052, 1_052]);
    assert_eq!(status(connect(&world, "?after=x", &[TOKEN]).await.unwrap_err()), 422);
    assert_eq!(status(connect(&world, "?token=a.b.c", &[TOKEN]).await.unwrap_err()), 422);
}

// A5, A8
#[tokio::test]
async fn a_token_is_not_sent_back_and_a_revoked_one_closes_the_socket() {
    let world = World::start(LiveLimits::default()).await;
    let (mut socket, response) = connect(&world, "", &[TOKEN]).await.unwrap();
    assert_eq!(response.headers()["sec-websocket-protocol"], "bearer");
    // Clients of older systems offer nothing else, and insist.
    let (status, protocol, _alone) = raw(&world, &["Sec-WebSocket-Protocol: a.b.c"]).await;
    assert_eq!((status, protocol.as_deref()), (101, Some("a.b.c")));
    world.revoke();
    assert_eq!(code(&mut socket).await, 4_001);
    let (mut late, _) = connect(&world, "", &[TOKEN]).await.unwrap();
    assert_eq!(code(&mut late).await, 4_001);
    let (mut nobody, _) = connect(&world, "", &[]).await.unwrap();
    assert_eq!(code(&mut nobody).await, 4_001);
}

// C27
#[tokio::test]
async fn another_site_is_refused_before_the_handshake_is_done() {
    let world = World::start(LiveLimits::default()).await;
    for origin in ["https://evil.example", "null", "https://app.example.evil.example"] {
        assert_eq!(
            status(connect(&world, "", &[TOKEN, ("origin", origin)]).await.unwrap_err()),
            403,
            "{origin}"
        );
    }
    connect(&world, "", &[TOKEN, ("origin", "https://app.example")]).await.unwrap();
}

#[tokio::test]
async fn there_is_an_end_to_connections_and_to_what_clients_may_say() {
    let world = World::start(LiveLimits { connections: 10, per_person: 2 }).await;
    let (mut first, mut second) = (open(&world, "").await, open(&world, "").await);
    assert_eq!(status(connect(&world, "", &[TOKEN]).await.unwrap_err()), 429);
    // Whoever is one too many costs no look at the feed.
    assert_eq!(world.beginnings(), 2);
    assert_eq!(world.places.load(Ordering::SeqCst), 2, "an open socket keeps its place in the server");
    for _ in 0..100 {
        if first.send(Message::text("x")).await.is_err() {
            break;
        }
    }
    assert_eq!(code(&mut first).await, 1_008);
    second.send(Message::text("x".repeat(5_000))).await.unwrap();
    assert_eq!(code(&mut second).await, 1_009);
    world.is_left().await;
}

// RFC 6455 §5.5.1, §7.4.1
#[tokio::test]
async fn goodbyes_are_answered_and_broken_rules_named() {
    let world = World::start(LiveLimits::default()).await;
    let said = async |frame_type: u8, text: &[u8]| {
        let (status, _, mut socket) = raw(&world, &["Sec-WebSocket-Protocol: bearer, a.b.c"]).await;
        assert_eq!(status, 101);
        // Masked with zeros.
        let head = [0x80 | frame_type, 0x80 | u8::try_from(text.len()).unwrap(), 0, 0, 0, 0];
        socket.write_all(&[&head[..], text].concat()).await.unwrap();
        let answer = frame(&mut socket).await;
        assert_eq!(frame(&mut socket).await, None, "it goes on");
        answer
    };
    let (text, close, reserved) = (1, 8, 3);
    assert_eq!(said(close, b"\x03\xe8bye").await, Some((0x88, b"\x03\xe8bye".to_vec())));
    assert_eq!(said(close, b"\x0f\xa0").await, Some((0x88, b"\x0f\xa0".to_vec())));
    assert_eq!(said(close, b"").await, Some((0x88, Vec::new())));
    assert_eq!(said(text, b"\xff\xfe").await, Some((0x88, b"\x03\xefnot UTF-8".to_vec())));
    assert_eq!(said(reserved, b"").await, Some((0x88, b"\x03\xeaprotocol error".to_vec())));
    world.is_left().await;
}

/// Opens a socket without a library: the status, the chosen protocol, and what follows.
async fn raw(world: &World, lines: &[&str]) -> (u16, Option<String>, BufReader<TcpStream>) {
    let mut socket = BufReader::new(TcpStream::connect(world.address).await.unwrap());
    let head = format!(
        "GET /socket HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{}\r\n\r\n",
        world.address,
        lines.join("\r\n"),
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    let (mut status, mut protocol) = (String::new(), None);
    socket.read_line(&mut status).await.unwrap();
    loop {
        let mut line = String::new();
        socket.read_line(&mut line).await.unwrap();
        let Some((name, value)) = line.split_once(':') else { break };
        if name.eq_ignore_ascii_case("sec-websocket-protocol") {
            protocol = Some(value.trim().to_owned());
        }
    }
    (status.split(' ').nth(1).unwrap().parse().unwrap(), protocol, socket)
}

/// The next frame of a server: its first byte and what it says; `None` at the end.
async fn frame(socket: &mut BufReader<TcpStream>) -> Option<(u8, Vec<u8>)> {
    let read = async {
        let first = socket.read_u8().await.ok()?;
        let mut said = vec![0; socket.read_u8().await.ok()?.into()];
        socket.read_exact(&mut said).await.ok()?;
        Some((first, said))
    };
    tokio::time::timeout(PATIENCE, read).await.expect("nothing comes")
}

// A32
#[tokio::test]
async fn a_process_that_stops_says_goodbye() {
    let world = World::start(LiveLimits::default()).await;
    let mut socket = open(&world, "").await;
    world.shutdown.begin();
    assert_eq!(code(&mut socket).await, 1_001);
    drop(socket);
    assert!(tokio::time::timeout(PATIENCE, world.shutdown.wait()).await.unwrap().is_clean());
}

#[tokio::test]
async fn a_request_for_no_socket_is_told_so() {
    let world = World::start(LiveLimits::default()).await;
    let ask = async |authorization: &str| {
        let request = reqwest::Client::new().get(format!("http://{}/socket", world.address));
        let answer = request.header("authorization", authorization).send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap()["code"].as_str().unwrap().to_owned())
    };
    assert_eq!(ask("Bearer a.b.c").await, (426, "upgrade_required".to_owned()));
    assert_eq!(ask("Bearer x").await, (401, "unauthenticated".to_owned()));
}
