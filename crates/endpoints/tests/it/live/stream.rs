use std::{net::SocketAddr, time::Duration};

use axum::{body::Body, extract::ConnectInfo};
use futures_util::{Stream, StreamExt as _};
use reqwest::{RequestBuilder, Response};
use stylobate_tower_middleware::{LiveLimits, ServerConnection};
use tokio::time::{Instant, timeout};
use tower::ServiceExt as _;

use super::world::World;

const PATIENCE: Duration = Duration::from_secs(8);

fn request(world: &World, query: &str) -> RequestBuilder {
    let url = format!("http://{}/stream{query}", world.address);
    reqwest::Client::new().get(url).header("authorization", "Bearer a.b.c")
}

/// The text of a stream, as it comes.
struct Told<S> {
    stream: S,
    text: String,
}

fn told(response: Response) -> Told<impl Stream<Item = String> + Unpin> {
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    assert_eq!(response.headers()["cache-control"], "no-store");
    let stream = response.bytes_stream().map(|part| String::from_utf8(part.unwrap().to_vec()).unwrap());
    Told { stream, text: String::new() }
}

impl<S: Stream<Item = String> + Unpin> Told<S> {
    /// The next event without its line ends; `None` at the end.
    async fn next(&mut self) -> Option<String> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let (event, rest) = (event.replace('\n', " "), rest.to_owned());
                self.text = rest;
                if !event.starts_with(':') {
                    return Some(event);
                }
                continue;
            }
            let part = tokio::time::timeout(PATIENCE, self.stream.next()).await.expect("nothing comes")?;
            self.text.push_str(&part);
        }
    }
}

fn event(n: u32) -> Option<String> {
    Some(format!("id: {n} event: number data: {{\"n\":{n}}}"))
}

#[tokio::test]
async fn a_stream_tells_what_is_new_and_goes_on_where_it_ended() {
    let world = World::start(LiveLimits::default()).await;
    world.count_to(3);
    let mut first = told(request(&world, "").send().await.unwrap());
    world.count_to(5);
    assert_eq!([first.next().await, first.next().await], [event(4), event(5)]);
    world.count_to(250);
    let mut again = told(request(&world, "?after=1").header("last-event-id", "4").send().await.unwrap());
    for n in 5..=250 {
        assert_eq!(again.next().await, event(n));
    }
    world.fail_to_count_to(251).await;
    assert_eq!(again.next().await, event(251));
    let refused = request(&world, "?after=x").send().await.unwrap();
    assert_eq!(refused.status(), 422);
}

// A21, C27
#[tokio::test]
async fn pages_of_other_origins_take_no_place_of_a_person() {
    let world = World::start(LiveLimits { connections: 10, per_person: 1 }).await;
    let url = format!("http://{}/stream", world.address);
    let ask = async |credential: (&str, &str), lines: &[(&str, &str)]| {
        let request = reqwest::Client::new().get(&url).header(credential.0, credential.1);
        let request = lines.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        request.send().await.unwrap()
    };
    let cookie = ("cookie", "__Host-session=ada");
    let other_port = format!("http://127.0.0.1:{}", world.address.port() ^ 1);
    for lines in [
        &[("origin", "https://evil.example")][..],
        &[("origin", "null")],
        &[("origin", other_port.as_str())],
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site")],
        &[("origin", "https://evil.example"), ("accept", "text/event-stream")],
        // Browsers that send the cookie send one of the two.
        &[],
    ] {
        assert_eq!(ask(cookie, lines).await.status(), 403, "{lines:?}");
    }
    // Whatever it presents, as with a socket.
    let token = ("authorization", "Bearer a.b.c");
    assert_eq!(ask(token, &[("origin", "https://evil.example")]).await.status(), 403);
    assert_eq!((world.connections.count(), world.beginnings()), (0, 0));
    for line in [("sec-fetch-site", "same-origin"), ("origin", "https://app.example")] {
        let opened = ask(cookie, &[line]).await;
        assert_eq!(opened.status(), 200, "{line:?}");
        drop(opened);
        world.is_left().await;
    }
}

// A5
#[tokio::test]
async fn a_stream_ends_with_its_credential() {
    let world = World::start(LiveLimits::default()).await;
    let mut stream = told(request(&world, "").send().await.unwrap());
    world.count_to(1);
    assert_eq!(stream.next().await, event(1));
    world.revoke();
    assert_eq!(stream.next().await, None);
    assert_eq!(request(&world, "").send().await.unwrap().status(), 401);
}

// A32
#[tokio::test]
async fn a_stream_ends_with_the_process() {
    let world = World::start(LiveLimits { connections: 1, per_person: 1 }).await;
    let mut stream = told(request(&world, "").send().await.unwrap());
    assert_eq!(request(&world, "").send().await.unwrap().status(), 429);
    world.shutdown.begin();
    assert_eq!(stream.next().await, None);
    assert!(tokio::time::timeout(PATIENCE, world.shutdown.wait()).await.unwrap().is_clean());
}

/// Asks for everything and reads nothing of it: the body is not asked for more, as by a server whose buffers are full.
async fn unread(world: &World) -> (axum::response::Response, ServerConnection) {
    let connection = ServerConnection::new(());
    let request = http::Request::get("/stream?after=0")
        .header("host", "localhost")
        .header("authorization", "Bearer a.b.c");
    let request =
        request.extension(ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 7)))).extension(connection.clone());
    let answer = world.app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(answer.status(), 200);
    (answer, connection)
}

// A5, A32
#[tokio::test(start_paused = true)]
async fn whoever_does_not_read_is_disconnected_when_they_have_to_go() {
    let world = World::start(LiveLimits::default()).await;
    world.count_to(1_000);
    let (_answer, connection) = unread(&world).await;
    world.revoke();
    // A second until it is seen, and another for reading what there is.
    timeout(Duration::from_secs(2), connection.aborted()).await.unwrap();
    assert_eq!(world.connections.count(), 0);
    world.restore();
    let (_answer, connection) = unread(&world).await;
    world.shutdown.begin();
    timeout(Duration::from_secs(2), connection.aborted()).await.unwrap();
    assert!(world.shutdown.wait().await.is_clean());
}

#[tokio::test(start_paused = true)]
async fn whoever_does_not_read_for_ten_seconds_is_disconnected() {
    let world = World::start(LiveLimits::default()).await;
    world.count_to(1_000);
    let (_answer, connection) = unread(&world).await;
    let begun = Instant::now();
    timeout(Duration::from_secs(60), connection.aborted()).await.unwrap();
    assert!((10..12).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    assert_eq!(world.connections.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn whoever_goes_leaves_nothing_behind() {
    let world = World::start(LiveLimits::default()).await;
    let (answer, connection) = unread(&world).await;
    assert_eq!(world.connections.count(), 1);
    drop(answer);
    assert!(timeout(Duration::from_secs(2), connection.aborted()).await.is_err());
    assert_eq!(world.connections.count(), 0);
}
