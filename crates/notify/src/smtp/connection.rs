use std::{
    fmt, io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use lettre::transport::smtp::{
    Error as SmtpError,
    authentication::{Credentials, DEFAULT_MECHANISMS},
    client::{AsyncSmtpConnection, AsyncTokioStream},
    extension::ClientId,
    response::Response,
};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use secrecy::ExposeSecret as _;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{
    SmtpLimits, SmtpSecurity, SmtpUrl,
    bounded::Bounded,
    outcome::{self, Stage, failed, not_encrypted, timed_out, unreachable},
};
use crate::{FailureClass, SendError};

/// TLS 1.2 and 1.3 with ring, named here so that it does not matter what else the program links.
pub(super) struct Tls(TlsConnector);

impl Tls {
    /// Trusts the authorities in `pem`, or those that browsers trust.
    pub(super) fn new(pem: Option<&str>) -> Option<Self> {
        let mut roots = RootCertStore::empty();
        match pem {
            None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
            Some(pem) => {
                for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
                    roots.add(certificate.ok()?).ok()?;
                }
            }
        }
        if roots.is_empty() {
            return None;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .ok()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Some(Self(TlsConnector::from(Arc::new(config))))
    }

    async fn agree(&self, url: &SmtpUrl, stream: TcpStream) -> Result<TlsStream<TcpStream>, SendError> {
        let name = ServerName::try_from(url.host().to_owned()).map_err(|_| not_encrypted())?;
        self.0.connect(name, stream).await.map_err(|error| {
            // The reason is about certificates; it names no mail.
            tracing::warn!(error = &error as &dyn std::error::Error, "TLS to the mail server failed");
            not_encrypted()
        })
    }
}

/// A connection over which mails can be sent.
pub(super) struct Connection {
    client: AsyncSmtpConnection,
    is_broken: Arc<AtomicBool>,
}

impl Connection {
    pub(super) async fn command(&mut self, command: impl fmt::Display) -> Result<Response, SmtpError> {
        self.client.command(command).await
    }

    /// Sends the content of a mail, and its end.
    pub(super) async fn content(&mut self, bytes: &[u8]) -> Result<Response, SmtpError> {
        self.client.message(bytes).await
    }

    /// Whether a further mail may go over it.
    pub(super) fn is_whole(&self) -> bool {
        !self.client.has_broken() && !self.is_broken.load(Ordering::Relaxed)
    }
}

/// Connects: encrypted as the URL says, and with our name told.
pub(super) async fn open(
    url: &SmtpUrl,
    tls: Option<&Tls>,
    limits: &SmtpLimits,
) -> Result<Connection, SendError> {
    let connected = timeout(limits.connect, TcpStream::connect((url.host(), url.port()))).await;
    let stream = connected.map_err(|_| unreachable())?.map_err(|_| unreachable())?;
    // Commands are short and each waits for its answer.
    let _ = stream.set_nodelay(true);
    let hello = ClientId::Domain(url.hello().to_owned());
    let is_broken = Arc::<AtomicBool>::default();
    let broken = Arc::clone(&is_broken);
    let encrypted: Box<dyn AsyncTokioStream> = match (url.security(), tls) {
        (SmtpSecurity::None, _) => Box::new(Bounded::new(stream, broken)),
        (_, None) => return Err(not_encrypted()),
        (SmtpSecurity::Tls, Some(tls)) => {
            let stream = in_time(limits, tls.agree(url, stream)).await?;
            Box::new(Bounded::new(Encrypted { unread: b"", stream }, broken))
        }
        (SmtpSecurity::StartTls, Some(tls)) => {
            let stream = in_time(limits, start_tls(stream, &hello)).await?;
            let stream = in_time(limits, tls.agree(url, stream)).await?;
            // There is no second greeting (RFC 3207 §4.2), and the client waits for one.
            Box::new(Bounded::new(Encrypted { unread: b"220 encrypted\r\n", stream }, broken))
        }
    };
    let mut client = in_time(limits, async {
        AsyncSmtpConnection::connect_with_transport(encrypted, &hello)
            .await
            .map_err(|error| failed(Stage::Session, &error))
    })
    .await?;
    if let Some((user, password)) = url.credentials() {
        let credentials = Credentials::new(user.to_owned(), password.expose_secret().to_owned());
        in_time(limits, async {
            let answer = client.auth(DEFAULT_MECHANISMS, &credentials).await;
            answer.map_err(|error| failed(Stage::Login, &error))
        })
        .await?;
    }
    Ok(Connection { client, is_broken })
}

async fn in_time<T>(
    limits: &SmtpLimits,
    work: impl Future<Output = Result<T, SendError>>,
) -> Result<T, SendError> {
    // Nothing was said about a mail yet: it is nobody's fault but the server's.
    let silent = SendError { class: FailureClass::Outage, ..timed_out() };
    timeout(limits.command, work).await.unwrap_or(Err(silent))
}

/// Brings a server to the point where TLS begins. Not by the client of the library: what the server, or somebody on the way, says
/// before TLS would be taken for its answers after it (CVE-2011-0411).
async fn start_tls(stream: TcpStream, hello: &ClientId) -> Result<TcpStream, SendError> {
    let mut dialogue = Dialogue { stream: Bounded::new(stream, Arc::default()), unread: Vec::new() };
    dialogue.answer(220).await?;
    dialogue.say(&format!("EHLO {hello}\r\n")).await?;
    let offers = dialogue.answer(250).await?;
    if !offers.iter().any(|offer| offer.eq_ignore_ascii_case("STARTTLS")) {
        tracing::warn!("the mail server offers no STARTTLS, so nothing is sent");
        return Err(not_encrypted());
    }
    dialogue.say("STARTTLS\r\n").await?;
    dialogue.answer(220).await?;
    let is_read = dialogue.unread.is_empty();
    dialogue.stream.into_inner().filter(|_| is_read).ok_or_else(|| {
        tracing::warn!("the mail server, or somebody on the way, spoke before TLS");
        not_encrypted()
    })
}

/// The few words before TLS.
struct Dialogue {
    stream: Bounded<TcpStream>,
    unread: Vec<u8>,
}

impl Dialogue {
    async fn say(&mut self, command: &str) -> Result<(), SendError> {
        self.stream.write_all(command.as_bytes()).await.map_err(|_| unreachable())
    }

    /// The lines of an answer without their numbers, which must all be `expected`.
    async fn answer(&mut self, expected: u16) -> Result<Vec<String>, SendError> {
        let mut lines = Vec::new();
        loop {
            let line = self.line().await?;
            let status: u16 = line.get(..3).and_then(|number| number.parse().ok()).ok_or(unreachable())?;
            if status != expected {
                return Err(outcome::refused(Stage::Session, status, ""));
            }
            lines.push(line.get(4..).unwrap_or_default().to_owned());
            if !line.get(3..).is_some_and(|rest| rest.starts_with('-')) {
                return Ok(lines);
            }
        }
    }

    async fn line(&mut self) -> Result<String, SendError> {
        loop {
            if let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.unread.drain(..=end).collect();
                let line = String::from_utf8(line).map_err(|_| unreachable())?;
                return Ok(line.trim_end_matches(['\r', '\n']).to_owned());
            }
            let mut buffer = [0; 1_024];
            let read = self.stream.read(&mut buffer).await.map_err(|_| unreachable())?;
            if read == 0 {
                return Err(unreachable());
            }
            self.unread.extend(buffer.iter().take(read));
        }
    }
}

/// An encrypted connection on which something is read first.
#[derive(Debug)]
struct Encrypted {
    unread: &'static [u8],
    stream: TlsStream<TcpStream>,
}

impl AsyncTokioStream for Encrypted {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.stream.get_ref().0.peer_addr()
    }
}

impl AsyncRead for Encrypted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.unread.is_empty() {
            let (now, later) = self.unread.split_at(self.unread.len().min(buffer.remaining()));
            buffer.put_slice(now);
            self.unread = later;
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Encrypted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
