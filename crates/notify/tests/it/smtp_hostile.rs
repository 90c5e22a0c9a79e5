//! Servers that never come to an end, and servers that say something else than they are asked.

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use stylobate_notify::{FailureClass, MailTransport as _, SendError, SmtpLimits, SmtpTransport, SmtpUrl};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::{sleep, timeout},
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

/// What the first connection to an [`Odd`] server is answered to one command: parts, with [`PAUSE`] before each but the first.
type Answer = (&'static str, &'static [&'static str]);

const PAUSE: Duration = Duration::from_millis(200);

/// A server like any other, but for one answer on the first connection; on further ones it refuses every mail at its end.
struct Odd {
    port: u16,
    /// The first words of what was heard on each connection.
    heard: Arc<Mutex<Vec<Vec<String>>>>,
}

impl Odd {
    async fn start(odd: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard = Arc::<Mutex<Vec<Vec<String>>>>::default();
        let all = Arc::clone(&heard);
        tokio::spawn(async move {
            for at in 0.. {
                let (stream, _) = listener.accept().await.unwrap();
                all.lock().unwrap().push(Vec::new());
                let odd = if at == 0 { odd } else { (".", ["554 5.7.1 no\r\n"].as_slice()) };
                tokio::spawn(serve(stream, odd, at, Arc::clone(&all)));
            }
        });
        Self { port, heard }
    }

    fn transport(&self, limits: SmtpLimits) -> SmtpTransport {
        let url = SmtpUrl::parse(&format!("smtp://127.0.0.1:{}?tls=none", self.port)).unwrap();
        SmtpTransport::builder(url).limits(limits).build().unwrap()
    }

    fn heard(&self) -> Vec<Vec<String>> {
        self.heard.lock().unwrap().clone()
    }
}

async fn serve(
    stream: TcpStream,
    (command, answer): Answer,
    at: usize,
    heard: Arc<Mutex<Vec<Vec<String>>>>,
) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    stream.write_all(GREETING.as_bytes()).await?;
    let (mut line, mut in_content) = (String::new(), false);
    while stream.read_line(&mut line).await? > 0 {
        let word = line.split_whitespace().next().unwrap_or_default().to_owned();
        line.clear();
        if in_content && word != "." {
            continue;
        }
        in_content = false;
        heard.lock().unwrap()[at].push(word.clone());
        if word == command {
            for (part, words) in answer.iter().enumerate() {
                sleep(if part == 0 { Duration::ZERO } else { PAUSE }).await;
                stream.write_all(words.as_bytes()).await?;
            }
            continue;
        }
        in_content = word == "DATA";
        stream.write_all(if in_content { b"354 go\r\n" } else { b"250 fine\r\n" }).await?;
    }
    heard.lock().unwrap()[at].push("hung up".to_owned());
    Ok(())
}

const MAIL: [&str; 5] = ["EHLO", "MAIL", "RCPT", "DATA", "."];

/// The next mail, and the one after, get the answers of a connection of their own.
async fn the_next_mails_are_refused(server: &Odd, transport: &SmtpTransport) {
    for _ in 0..2 {
        let error = transport.send(&mail("ada")).await.unwrap_err();
        assert_eq!((error.code, error.status), ("smtp_refused", Some(554)));
    }
    let heard = server.heard();
    assert_eq!(heard.len(), 2);
    assert_eq!(heard[1], [MAIL.as_slice(), &["RSET"], &MAIL[1..], &["RSET"]].concat());
}

#[tokio::test]
async fn what_a_server_says_unasked_is_no_answer_to_a_later_mail() {
    let taken: [&'static [&'static str]; 3] = [
        &["250 taken\r\n250 x\r\n250 x\r\n250 x\r\n"],
        &["250-taken\r\n250 all\r\n2"],
        &["250 taken\r\n", "250 x\r\n250 x\r\n250 x\r\n250 x\r\n"],
    ];
    for answer in taken {
        let server = Odd::start((".", answer)).await;
        let transport = server.transport(SmtpLimits::default());
        assert_eq!(transport.send(&mail("ada")).await.unwrap().status, Some(250), "{answer:?}");
        sleep(2 * PAUSE).await;
        the_next_mails_are_refused(&server, &transport).await;
    }
    // Nor to the next command about the same mail.
    for command in ["EHLO", "MAIL", "RCPT", "DATA"] {
        let answer: &[&str] =
            if command == "DATA" { &["354 go\r\n250 x\r\n"] } else { &["250 fine\r\n250 x\r\n"] };
        let server = Odd::start((command, answer)).await;
        let transport = server.transport(SmtpLimits::default());
        let error = transport.send(&mail("ada")).await.unwrap_err();
        assert_eq!((error.code, error.class), ("smtp_cut", FailureClass::TRANSIENT), "{command}");
        the_next_mails_are_refused(&server, &transport).await;
    }
}

#[tokio::test]
async fn a_mail_whose_command_is_answered_with_something_else_is_not_sent_and_tried_again() {
    for (command, answer) in [
        ("MAIL", ["354 go\r\n"].as_slice()),
        ("RCPT", &["354 go\r\n"]),
        ("DATA", &["250 fine\r\n"]),
        (".", &["354 go\r\n"]),
    ] {
        let server = Odd::start((command, answer)).await;
        let transport = server.transport(SmtpLimits::default());
        let error = transport.send(&mail("ada")).await.unwrap_err();
        let told = (error.code, error.class, error.status);
        assert_eq!(told, ("smtp_out_of_step", FailureClass::TRANSIENT, None), "{command}");
        // Nothing follows it, and above all not the lines of the mail.
        the_next_mails_are_refused(&server, &transport).await;
        sleep(PAUSE).await;
        let until = MAIL.iter().position(|one| *one == command).unwrap();
        assert_eq!(server.heard()[0], [&MAIL[..=until], &["hung up"]].concat());
    }
}

#[tokio::test]
async fn the_end_of_a_mail_is_waited_for_longer_than_everything_before_it() {
    let limits = SmtpLimits { command: PAUSE, total: 2 * PAUSE, ..SmtpLimits::default() };
    let answer: Answer = (".", &["", "", "", "", "250 taken\r\n"]);
    let server = Odd::start(answer).await;
    assert_eq!(server.transport(limits).send(&mail("ada")).await.unwrap().status, Some(250));
    assert_eq!(server.heard(), [MAIL]);
    // Within a limit of its own.
    let server = Odd::start(answer).await;
    let transport = server.transport(SmtpLimits { content: PAUSE, ..SmtpLimits::default() });
    let error = transport.send(&mail("ada")).await.unwrap_err();
    assert_eq!((error.code, error.class), ("smtp_timeout", FailureClass::TRANSIENT));
}
