//! What servers answer, and what they do instead.

use std::{net::TcpListener, sync::atomic::Ordering, time::Duration};

use stylobate_egress::{
    Client, Ending, Limits, Request,
    http::{HeaderValue, StatusCode, header},
};

use crate::world::{Server, Then, Told, client, limits, loopback, target};

#[tokio::test]
async fn a_request_arrives_as_it_was_made() {
    let server = Server::answering("201 Created", "x-made: yes\r\n", "hello").await;
    let mut request =
        Request::post(target(&server.url("/in/bücher?a=b c".replace(' ', "%20").as_str())), "body");
    request.headers.insert("x-own", HeaderValue::from_static("1"));
    // What is said about the connection is the client's own.
    request.headers.insert(header::HOST, HeaderValue::from_static("other.test"));
    request.headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("999"));
    request.headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    request.headers.insert(header::EXPECT, HeaderValue::from_static("100-continue"));
    let answer = client(loopback()).send(request).await.unwrap();
    assert_eq!((answer.status, answer.ending), (StatusCode::CREATED, Ending::Whole));
    assert_eq!((answer.headers["x-made"].to_str().unwrap(), &answer.body[..]), ("yes", &b"hello"[..]));
    let head = server.heads().pop().unwrap().to_lowercase();
    assert!(head.starts_with("post /in/b%c3%bccher?a=b%20c http/1.1\r\n"), "{head}");
    for line in [
        format!("host: {}", server.address),
        "content-length: 4".to_owned(),
        "connection: close".to_owned(),
        "x-own: 1".to_owned(),
        format!("user-agent: stylobate/{}", env!("CARGO_PKG_VERSION")),
    ] {
        assert!(head.contains(&format!("\r\n{line}\r\n")), "{line} in {head}");
    }
    for absent in ["other.test", "transfer-encoding", "expect", "accept-encoding", "cookie"] {
        assert!(!head.contains(absent), "{absent} in {head}");
    }
}

// A27
#[tokio::test]
async fn redirects_are_answers() {
    let elsewhere = Server::answering("200 OK", "", "").await;
    for status in ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"] {
        let headers = format!("location: {}\r\nset-cookie: a=b\r\n", elsewhere.url("/"));
        let server = Server::answering(status, &headers, "").await;
        let client = client(loopback());
        for _ in 0..2 {
            let answer = client.send(Request::get(target(&server.url("/")))).await.unwrap();
            assert!(answer.status.is_redirection());
        }
        assert_eq!(server.connections(), 2);
        assert!(!server.heads()[1].to_lowercase().contains("cookie"));
    }
    assert_eq!(elsewhere.connections(), 0);
}

#[tokio::test]
async fn a_body_that_does_not_end_is_cut_in_time() {
    for head in [
        "HTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n",
        "HTTP/1.1 500 No\r\ntransfer-encoding: chunked\r\n\r\nffff\r\n",
    ] {
        let server = Server::start(Then::Drip(head)).await;
        let answer = client(loopback()).send(Request::get(target(&server.url("/")))).await.unwrap();
        assert_eq!(answer.ending, Ending::TimedOut, "{head}");
        assert!(!answer.body.is_empty() && answer.body.iter().all(|byte| *byte == b'x'));
        assert_eq!(answer.whole().unwrap_err().code(), "egress_timeout");
    }
}

#[tokio::test]
async fn a_head_that_does_not_end_is_no_answer() {
    for then in [Then::Hang, Then::Drip("HTTP/1.1 200 OK\r\nx-long: "), Then::Drip("")] {
        let server = Server::start(then.clone()).await;
        let refused = client(loopback()).send(Request::get(target(&server.url("/")))).await.unwrap_err();
        // Bytes that begin no answer are seen to be none before the time is up.
        assert!(matches!(refused.code(), "egress_timeout" | "egress_answer_broken"), "{then:?}: {refused:?}");
    }
}

#[tokio::test]
async fn a_huge_body_is_cut_where_it_becomes_too_long() {
    for head in ["HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n"] {
        let server = Server::start(Then::Flood(head)).await;
        let mut request = Request::get(target(&server.url("/")));
        let answer = client(loopback()).send(request.clone()).await.unwrap();
        assert_eq!((answer.body.len(), answer.ending), (10_000, Ending::TooLarge { bytes_max: 10_000 }));
        request.answer_bytes_max = Some(16);
        let answer = client(loopback()).send(request).await.unwrap();
        assert_eq!((answer.body.len(), answer.ending), (16, Ending::TooLarge { bytes_max: 16 }));
        assert_eq!(answer.whole().unwrap_err().code(), "egress_too_large");
    }
    // As long as it may be is not too long.
    let server = Server::answering("200 OK", "", &"x".repeat(10_000)).await;
    let answer = client(loopback()).send(Request::get(target(&server.url("/")))).await.unwrap();
    assert_eq!((answer.body.len(), answer.ending), (10_000, Ending::Whole));
}

#[tokio::test]
async fn a_huge_head_is_refused() {
    let server = Server::start(Then::Flood("HTTP/1.1 200 OK\r\nx-long: ")).await;
    let refused = client(loopback()).send(Request::get(target(&server.url("/")))).await.unwrap_err();
    assert_eq!(refused.code(), "egress_answer_broken");
}

#[tokio::test]
async fn what_is_no_http_is_refused() {
    for bytes in [
        "",
        "SSH-2.0-server\r\n",
        "HTTP/0.9\r\n\r\n",
        "HTTP/1.1 99 Odd\r\n\r\n",
        "HTTP/1.1 200 OK\r\nx: \0\r\n\r\n",
    ] {
        let server = Server::start(Then::Write(bytes.into())).await;
        let refused = client(loopback()).send(Request::get(target(&server.url("/")))).await.unwrap_err();
        assert_eq!(refused.code(), "egress_answer_broken", "{bytes:?}");
    }
    let server = Server::start(Then::Close).await;
    let refused = client(loopback()).send(Request::get(target(&server.url("/")))).await.unwrap_err();
    assert_eq!(refused.code(), "egress_answer_broken");
}

#[tokio::test]
async fn half_a_body_is_marked() {
    let server =
        Server::start(Then::Write(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf".to_vec())).await;
    let answer = client(loopback()).send(Request::get(target(&server.url("/")))).await.unwrap();
    assert_eq!((&answer.body[..], answer.ending), (&b"half"[..], Ending::Broken));
}

#[tokio::test]
async fn nobody_there_is_told() {
    // The port was free a moment ago.
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let refused =
        client(loopback()).send(Request::get(target(&format!("http://{free}/")))).await.unwrap_err();
    assert_eq!(refused.code(), "egress_connect_failed");
}

#[tokio::test]
async fn names_without_addresses_are_told() {
    for lookup in [Told::new(&[]), Told::new(&[&[]])] {
        let client = Client::builder(loopback()).lookup(lookup.clone()).build().unwrap();
        let refused = client.send(Request::get(target("http://nowhere.test/"))).await.unwrap_err();
        assert_eq!(refused.code(), "egress_name_unresolved");
        assert_eq!(lookup.asked.load(Ordering::SeqCst), 1);
    }
}

#[tokio::test]
async fn a_second_address_is_tried_when_the_first_is_silent() {
    let server = Server::answering("204 No Content", "", "").await;
    // Nobody listens on the first; the second is the server.
    let lookup = Told::new(&[&["127.0.0.2", "127.0.0.1"]]);
    let client = Client::builder(loopback()).lookup(lookup).limits(limits()).build().unwrap();
    let url = format!("http://receiver.test:{}/", server.address.port());
    let answer = client.send(Request::get(target(&url))).await.unwrap();
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    assert!(server.heads()[0].contains(&format!("host: receiver.test:{}\r\n", server.address.port())));
}

#[tokio::test]
async fn a_call_that_is_dropped_leaves_no_connection() {
    let server = Server::start(Then::Drip("HTTP/1.1 200 OK\r\n\r\n")).await;
    let limits = Limits { total: Duration::from_secs(600), ..limits() };
    let client = Client::builder(loopback()).limits(limits).build().unwrap();
    let call = tokio::spawn({
        let request = Request::get(target(&server.url("/")));
        async move { client.send(request).await.map(|answer| answer.status) }
    });
    while server.heads().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    let metrics = tokio::runtime::Handle::current().metrics();
    for _ in 0..500 {
        // The server's own loop is all that is left once its writes fail.
        if metrics.num_alive_tasks() <= 1 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{} tasks are left", metrics.num_alive_tasks());
}
