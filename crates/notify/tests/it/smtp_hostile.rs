//! Servers that never come to an end.

use std::time::Duration;

use stylobate_notify::{FailureClass, MailTransport as _, SendError, SmtpTransport, SmtpUrl};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpListener,
    sync::mpsc,
    time::timeout,
};

use super::world::mail;

/// Longer than every limit of a transport: only what hangs takes that long.
const PATIENCE: Duration = Duration::from_secs(60);
/// What fits between two sockets, generously; whoever reads on takes more within a second.
const SAID_BYTES_MAX: usize = 8 * 1_024 * 1_024;

/// A server that gives `answers`, waits for a line after each, and then says `more` until nobody is there.
struct Flood {
    port: u16,
    /// How much was said on each connection.
    said: mpsc::UnboundedReceiver<usize>,
}

impl Flood {
    async fn start(answers: &'static [&'static str], more: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sender, said) = mpsc::unbounded_channel();
        let more = more.repeat(1_024);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let mut stream = BufReader::new(stream);
                let mut line = String::new();
                for answer in answers {
                    stream.write_all(answer.as_bytes()).await.unwrap();
                    stream.read_line(&mut line).await.unwrap();
                }
                let mut bytes = 0;
                while stream.write_all(more.as_bytes()).await.is_ok() {
                    bytes += more.len();
                }
                let _ = sender.send(bytes);
            }
        });
        Self { port, said }
    }

    fn transport(&self, parameters: &str) -> SmtpTransport {
        let url = SmtpUrl::parse(&format!("smtp://127.0.0.1:{}{parameters}", self.port)).unwrap();
        SmtpTransport::builder(url).build().unwrap()
    }

    /// What comes of sending, after which the connection is closed and little was heard.
    async fn send(&mut self, parameters: &str) -> SendError {
        let transport = self.transport(parameters);
        // In a task of its own: one that never gives way would not let the time end here either.
        let sent = tokio::spawn(async move { transport.send(&mail("ada")).await.map(drop) });
        let error = timeout(PATIENCE, sent).await.expect("it hangs").unwrap().unwrap_err();
        self.hung_up().await;
        error
    }

    async fn check(&mut self, parameters: &str) -> SendError {
        let transport = self.transport(parameters);
        let checked = tokio::spawn(async move { transport.check().await });
        let error = timeout(PATIENCE, checked).await.expect("it hangs").unwrap().unwrap_err();
        self.hung_up().await;
        error
    }

    async fn hung_up(&mut self) {
        let said = timeout(PATIENCE, self.said.recv()).await.expect("the connection is open").unwrap();
        assert!(said < SAID_BYTES_MAX, "{said}");
    }
}

const GREETING: &str = "220 here\r\n";

// C50
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_server_without_end_is_hung_up_on() {
    let floods: [(&'static [&'static str], &str); 5] = [
        (&[], "220-x\r\n"),
        (&[], "220 xxxx"),
        (&[], "\n"),
        (&[GREETING], "250-x\r\n"),
        (&[GREETING], "250-xxxx"),
    ];
    for (answers, more) in floods {
        for parameters in ["?tls=none", ""] {
            let mut flood = Flood::start(answers, more).await;
            for error in [flood.send(parameters).await, flood.check(parameters).await] {
                let told = (error.code, error.class);
                assert_eq!(told, ("smtp_unreachable", FailureClass::Outage), "{more:?} {parameters}");
            }
        }
    }
}

// C50
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nor_is_it_heard_where_tls_begins() {
    for more in ["220-x\r\n", "220 xxxx"] {
        let mut flood = Flood::start(&[GREETING, "250-here\r\n250 STARTTLS\r\n"], more).await;
        for error in [flood.send("").await, flood.check("").await] {
            assert_eq!((error.code, error.class), ("smtp_unreachable", FailureClass::Outage), "{more:?}");
        }
    }
}

// C50
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_mail_with_an_answer_without_end_is_tried_again() {
    let commands: [&'static [&'static str]; 2] =
        [&[GREETING, "250 here\r\n"], &[GREETING, "250 here\r\n", "250 fine\r\n"]];
    for more in ["250-x\r\n", "250-xxxx"] {
        for answers in commands {
            let mut flood = Flood::start(answers, more).await;
            let error = flood.send("?tls=none").await;
            assert_eq!((error.code, error.class), ("smtp_cut", FailureClass::TRANSIENT), "{more:?}");
        }
    }
}
