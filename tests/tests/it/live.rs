//! Notifications as they come: over a WebSocket and as a stream of events, with resumption, refusals and revocation.

use futures_util::{SinkExt as _, StreamExt as _};
use reqwest::{Method, header};
use serde_json::{Value, json};
use stylobate_tests::{Client, Engine, PASSWORD, PATIENCE, Person, TestApp};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{self, Message, client::IntoClientRequest as _, protocol::CloseFrame},
};

stylobate_tests::both_engines!(
    a_socket_tells_what_comes_and_goes_on_where_it_was,
    a_socket_is_closed_when_its_session_ends,
    nobody_and_foreign_pages_are_told_nothing,
    a_stream_tells_the_same
);

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn connect(
    app: &mut TestApp,
    query: &str,
    headers: &[(&'static str, &str)],
) -> Result<Socket, tungstenite::Error> {
    let address = app.server().address().replacen("http", "ws", 1);
    let mut request = format!("{address}/ws/notifications{query}").into_client_request().unwrap();
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    Ok(tokio::time::timeout(PATIENCE, connect_async(request)).await.expect("no answer")?.0)
}

fn offered(client: &Client) -> String {
    format!("bearer, {}", client.access_token.as_deref().unwrap())
}

async fn open(app: &mut TestApp, client: &Client, query: &str) -> Socket {
    connect(app, query, &[("sec-websocket-protocol", &offered(client))]).await.unwrap()
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

async fn told(socket: &mut Socket) -> Value {
    let Message::Text(text) = next(socket).await else { panic!("no text") };
    serde_json::from_str(&text).unwrap()
}

async fn close_code(socket: &mut Socket) -> u16 {
    match next(socket).await {
        Message::Close(Some(CloseFrame { code, .. })) => code.into(),
        other => panic!("{other:?}"),
    }
}

async fn write(admin: &Client, to: &Person, title: &str) {
    admin.post("/notifications", json!({ "recipient_id": to.id, "title": title })).await.expect(201);
}

async fn a_socket_tells_what_comes_and_goes_on_where_it_was(engine: Engine) {
    let mut app = TestApp::start(engine).await;
    let admin = app.administrator().await;
    let (ada, bob) = (app.person(&admin, "ada").await, app.person(&admin, "bob").await);
    write(&admin, &ada, "before").await;
    let mut socket = open(&mut app, &ada.client, "").await;
    write(&admin, &bob, "to somebody else").await;
    write(&admin, &ada, "one").await;
    let one = told(&mut socket).await;
    assert_eq!((&one["type"], &one["data"]["title"]), (&json!("notification"), &json!("one")), "{one}");
    socket.send(Message::Close(None)).await.unwrap();
    write(&admin, &ada, "two").await;
    write(&admin, &ada, "three").await;
    let query = format!("?after={}", one["id"].as_str().unwrap());
    let mut socket = open(&mut app, &ada.client, &query).await;
    let titles =
        [told(&mut socket).await["data"]["title"].clone(), told(&mut socket).await["data"]["title"].clone()];
    assert_eq!(titles, ["two", "three"]);
    // Whoever claims to have seen what is not there yet hears it come.
    let mut ahead = open(&mut app, &ada.client, &format!("?after={}", i64::MAX)).await;
    write(&admin, &ada, "four").await;
    assert_eq!(told(&mut ahead).await["data"]["title"], "four");
    // A place that means nothing is refused before anything is opened.
    let refused = connect(&mut app, "?after=x", &[("sec-websocket-protocol", &offered(&ada.client))]).await;
    let Err(tungstenite::Error::Http(answer)) = refused else { panic!("{refused:?}") };
    assert_eq!(answer.status(), 422);
}

// A5
async fn a_socket_is_closed_when_its_session_ends(engine: Engine) {
    let mut app = TestApp::start(engine).await;
    let admin = app.administrator().await;
    let ada = app.person(&admin, "ada").await;
    let mut socket = open(&mut app, &ada.client, "").await;
    write(&admin, &ada, "one").await;
    let one = told(&mut socket).await;
    ada.client.send(Method::POST, "/auth/logout", None).await.expect(204);
    assert_eq!(close_code(&mut socket).await, 4001);
    while let Some(Ok(message)) =
        tokio::time::timeout(PATIENCE, socket.next()).await.expect("it is still open")
    {
        assert!(!message.is_text(), "{message:?}");
    }
    // Whoever signs in again goes on where that ended, and hears each once.
    write(&admin, &ada, "two").await;
    let client = app.login("ada").await;
    let mut socket = open(&mut app, &client, &format!("?after={}", one["id"].as_str().unwrap())).await;
    assert_eq!(told(&mut socket).await["data"]["title"], "two");
    write(&admin, &ada, "three").await;
    assert_eq!(told(&mut socket).await["data"]["title"], "three");
}

async fn session_cookie(app: &TestApp, username: &str) -> String {
    let body = json!({ "username": username, "password": PASSWORD, "session": "cookie" });
    let page = app.anonymous();
    let login = page.request(Method::POST, "/auth/login").header("sec-fetch-site", "same-origin");
    let answer = page.send_raw(login.json(&body)).await;
    answer.expect(200);
    let line = answer.headers[header::SET_COOKIE].to_str().unwrap();
    line.split_once(';').unwrap().0.to_owned()
}

// A21, C27
async fn nobody_and_foreign_pages_are_told_nothing(engine: Engine) {
    let mut app = TestApp::start(engine).await;
    let admin = app.administrator().await;
    let ada = app.person(&admin, "ada").await;
    let mut socket = connect(&mut app, "", &[("sec-websocket-protocol", "bearer, a.b.c")]).await.unwrap();
    assert_eq!(close_code(&mut socket).await, 4001);
    for origin in ["https://evil.test", "null"] {
        let headers = [("sec-websocket-protocol", offered(&ada.client)), ("origin", origin.to_owned())];
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let refused = connect(&mut app, "", &headers).await;
        let Err(tungstenite::Error::Http(answer)) = refused else { panic!("{origin}: {refused:?}") };
        assert_eq!(answer.status(), 403, "{origin}");
        let stream = ada.client.request(Method::GET, "/notifications/stream").header(header::ORIGIN, origin);
        assert_eq!(stream.send().await.unwrap().status().as_u16(), 403, "{origin}");
    }
    let cookie = session_cookie(&app, "ada").await;
    let of_browser = async |name: &str, value: &str| {
        let stream = app.anonymous().request(Method::GET, "/notifications/stream");
        stream.header(header::COOKIE, &cookie).header(name, value).send().await.unwrap().status().as_u16()
    };
    for (name, value) in [
        ("origin", "https://evil.test"),
        ("origin", "null"),
        ("origin", "http://127.0.0.1:1"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
    ] {
        assert_eq!(of_browser(name, value).await, 403, "{name}: {value}");
    }
    assert_eq!(of_browser("sec-fetch-site", "same-origin").await, 200);
    // A token has no place in an address.
    let token = ada.client.access_token.clone().unwrap();
    app.anonymous()
        .get(&format!("/notifications/stream?token={token}"))
        .await
        .problem(401, "unauthenticated");
}

async fn a_stream_tells_the_same(engine: Engine) {
    let app = TestApp::start(engine).await;
    let admin = app.administrator().await;
    let ada = app.person(&admin, "ada").await;
    write(&admin, &ada, "one").await;
    write(&admin, &ada, "two").await;
    let request = ada.client.request(Method::GET, "/notifications/stream").header("last-event-id", "1");
    let answer = request.send().await.unwrap();
    let kind = answer.headers()[header::CONTENT_TYPE].to_str().unwrap().to_owned();
    assert_eq!((answer.status().as_u16(), kind.as_str()), (200, "text/event-stream"));
    let mut bytes = answer.bytes_stream();
    let mut text = String::new();
    let read = async {
        while let Some(Ok(piece)) = bytes.next().await {
            text.push_str(&String::from_utf8_lossy(&piece));
            if text.contains("three") {
                return;
            }
            if text.contains("two") && !text.contains("three") {
                write(&admin, &ada, "three").await;
            }
        }
        panic!("it ended");
    };
    tokio::time::timeout(PATIENCE, read).await.expect("nothing comes");
    assert!(
        text.contains("event: notification") && text.contains("id: 2") && !text.contains("\"one\""),
        "{text}"
    );
    ada.client.send(Method::POST, "/auth/logout", None).await.expect(204);
    let rest = async {
        while let Some(piece) = bytes.next().await {
            piece.expect("the server ends it, and not the client's patience");
        }
    };
    tokio::time::timeout(PATIENCE, rest).await.expect("it goes on after the session has ended");
}
