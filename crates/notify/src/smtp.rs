mod bounded;
mod connection;
mod idle;
mod outcome;
mod url;

use std::{fmt, sync::Arc, time::Duration};

use lettre::{
    Address,
    transport::smtp::{
        Error as SmtpError,
        commands::{Data, Mail as MailFrom, Noop, Rcpt, Rset},
        response::Response,
    },
};
use stylobate_core::BoxFuture;
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::timeout,
};

pub use self::url::{SmtpSecurity, SmtpUrl, SmtpUrlInvalid};
use crate::{EmailAddress, FailureClass, Mail, MailTransport, NotifyError, Receipt, SendError};
use connection::{Connection, Tls};
use idle::Idle;
use outcome::{Stage, timed_out};

/// How long a mail may take, and how many go out at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SmtpLimits {
    /// Until somebody takes the connection. 5 s unless set.
    pub connect: Duration,
    /// Until a command is answered. 10 s unless set.
    pub command: Duration,
    /// From the connection until the server asks for the mail's content. 30 s unless set.
    pub total: Duration,
    /// From then until it has taken the mail. 10 minutes unless set, as RFC 5321 §4.5.3.2.6 asks: it may have the mail by the time
    /// somebody gives up waiting, and has it twice when it is sent again. An attempt of a notifier ends after 240 s in all, whatever
    /// is set here.
    pub content: Duration,
    /// Connections at once; further mails wait for one, up to 20 s. 8 unless set, fewer than common servers take from one client.
    pub connections: usize,
}

impl Default for SmtpLimits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            command: Duration::from_secs(10),
            total: Duration::from_secs(30),
            content: Duration::from_mins(10),
            connections: 8,
        }
    }
}

/// How long a mail waits for a connection of ours. With [`SmtpLimits::total`] it leaves time within an attempt of a notifier.
const PERMIT_MAX: Duration = Duration::from_secs(20);

/// Hands mails to a server by SMTP (RFC 5321), over TLS.
///
/// 1. `smtp://` demands STARTTLS (RFC 3207) and `smtps://` begins with TLS (RFC 8314): no mail and no password goes over a
///    connection that is not encrypted to a server whose certificate names the host of the URL. What a server says before TLS and
///    ought to have said after it ends the connection.
/// 2. Without TLS only by `?tls=none`, to this machine or after [`insecure_allow_plain`](SmtpBuilder::insecure_allow_plain).
/// 3. A connection is used for further mails for as long as the server leaves it open, at most 30 s.
/// 4. What servers answer is kept as a number: the words hold addresses.
/// 5. A reply has at most 100 lines of at most 2,048 bytes, and 16 KiB in all; a server that says more is hung up on.
/// 6. A command has one reply. When a server says more, the connection ends after that reply; one to `DATA` that is not 354, or
///    another that is not 2yz, ends it too, and the mail was not sent and may be tried again.
///
/// Clones share the connections.
#[derive(Clone)]
pub struct SmtpTransport {
    inner: Arc<Inner>,
}

struct Inner {
    url: SmtpUrl,
    tls: Option<Tls>,
    limits: SmtpLimits,
    permits: Semaphore,
    idle: Arc<Idle>,
}

/// A transport that is being put together.
#[derive(Debug, Clone)]
pub struct SmtpBuilder {
    url: SmtpUrl,
    limits: SmtpLimits,
    ca_pem: Option<String>,
    allows_plain: bool,
}

impl SmtpBuilder {
    /// Other limits than those by default.
    #[must_use]
    pub fn limits(mut self, limits: SmtpLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Trusts the authorities in `pem` and no other, instead of those that browsers trust.
    #[must_use]
    pub fn trust_only(mut self, pem: impl Into<String>) -> Self {
        self.ca_pem = Some(pem.into());
        self
    }

    /// Takes `?tls=none` to other machines too. Whoever is on the way can then read every mail, its links and the password.
    #[must_use]
    pub fn insecure_allow_plain(mut self) -> Self {
        self.allows_plain = true;
        self
    }

    /// Puts it together; connects to nobody.
    ///
    /// # Errors
    /// [`NotifyError::SettingInvalid`] when the connection would not be encrypted and that was not allowed, when the authorities
    /// cannot be read, or when a limit leaves nothing.
    pub fn build(self) -> Result<SmtpTransport, NotifyError> {
        let Self { url, limits, ca_pem, allows_plain } = self;
        let invalid = |setting, problem| NotifyError::SettingInvalid { setting, problem };
        if limits.connections == 0 || limits.total.is_zero() || limits.content.is_zero() {
            return Err(invalid("smtp_limits", "leave nothing"));
        }
        let tls = match url.security() {
            SmtpSecurity::None if allows_plain || url.is_loopback() => None,
            SmtpSecurity::None => {
                return Err(invalid("smtp_url", "has tls=none, and the server is another machine"));
            }
            SmtpSecurity::StartTls | SmtpSecurity::Tls => {
                Some(Tls::new(ca_pem.as_deref()).ok_or(invalid("smtp_ca", "cannot be read"))?)
            }
        };
        let permits = Semaphore::new(limits.connections.min(Semaphore::MAX_PERMITS));
        Ok(SmtpTransport { inner: Arc::new(Inner { url, tls, limits, permits, idle: Arc::default() }) })
    }
}

impl SmtpTransport {
    /// A transport to the server at `url`.
    #[must_use]
    pub fn builder(url: SmtpUrl) -> SmtpBuilder {
        SmtpBuilder { url, limits: SmtpLimits::default(), ca_pem: None, allows_plain: false }
    }

    /// Where the server is, and how it is reached.
    #[must_use]
    pub fn url(&self) -> &SmtpUrl {
        &self.inner.url
    }
}

impl fmt::Debug for SmtpTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SmtpTransport").field("url", &self.inner.url).finish_non_exhaustive()
    }
}

impl MailTransport for SmtpTransport {
    fn send<'a>(&'a self, mail: &'a Mail) -> BoxFuture<'a, Result<Receipt, SendError>> {
        Box::pin(self.inner.send(mail))
    }

    fn check(&self) -> BoxFuture<'_, Result<(), SendError>> {
        Box::pin(self.inner.check())
    }
}

impl Inner {
    async fn send(&self, mail: &Mail) -> Result<Receipt, SendError> {
        let _permit = self.permit().await?;
        let connection = self.in_time(self.announced(mail)).await?;
        self.content(connection, mail).await
    }

    async fn check(&self) -> Result<(), SendError> {
        let _permit = self.permit().await?;
        self.in_time(self.checked()).await
    }

    async fn permit(&self) -> Result<SemaphorePermit<'_>, SendError> {
        // Waiting for a connection of ours is nobody's fault: it takes nothing from the time of the mail, and is no attempt at it.
        let Ok(Ok(permit)) = timeout(PERMIT_MAX, self.permits.acquire()).await else { return Err(busy()) };
        Ok(permit)
    }

    async fn in_time<T>(&self, work: impl Future<Output = Result<T, SendError>>) -> Result<T, SendError> {
        timeout(self.limits.total, work).await.unwrap_or(Err(timed_out()))
    }

    async fn checked(&self) -> Result<(), SendError> {
        if let Some(mut kept) = self.idle.take()
            && self.ask(Stage::Session, kept.command(Noop)).await.is_ok()
        {
            self.idle.keep(kept);
            return Ok(());
        }
        let opened = self.open().await?;
        self.idle.keep(opened);
        Ok(())
    }

    /// A connection whose server waits for the content of `mail`.
    async fn announced(&self, mail: &Mail) -> Result<Connection, SendError> {
        if let Some(mut kept) = self.idle.take() {
            match self.begin(&mut kept, mail).await {
                Ok(()) => return self.rest(kept, mail).await,
                Err(error) if error.class != FailureClass::Outage && error.status.is_some() => {
                    return Err(self.refused(kept, error).await);
                }
                // It was closed, or spoke, while nobody used it; nothing was said about this mail.
                Err(_) => {}
            }
        }
        let mut opened = self.open().await?;
        match self.begin(&mut opened, mail).await {
            Ok(()) => self.rest(opened, mail).await,
            Err(error) => Err(self.refused(opened, error).await),
        }
    }

    async fn open(&self) -> Result<Connection, SendError> {
        connection::open(&self.url, self.tls.as_ref(), &self.limits).await
    }

    async fn begin(&self, connection: &mut Connection, mail: &Mail) -> Result<(), SendError> {
        let from = MailFrom::new(Some(address(mail.from())?), Vec::new());
        self.ask(Stage::Mail, connection.command(from)).await.map(drop)
    }

    async fn rest(&self, mut connection: Connection, mail: &Mail) -> Result<Connection, SendError> {
        match self.recipient(&mut connection, mail).await {
            Ok(()) => Ok(connection),
            Err(error) => Err(self.refused(connection, error).await),
        }
    }

    async fn recipient(&self, connection: &mut Connection, mail: &Mail) -> Result<(), SendError> {
        let to = Rcpt::new(address(mail.to())?, Vec::new());
        self.ask(Stage::Recipient, connection.command(to)).await?;
        self.ask(Stage::Data, connection.command(Data)).await.map(drop)
    }

    async fn content(&self, mut connection: Connection, mail: &Mail) -> Result<Receipt, SendError> {
        // The client ends what it is given with a line end of its own.
        let bytes = mail.as_bytes();
        let bytes = bytes.strip_suffix(b"\r\n").unwrap_or(bytes);
        match within(self.limits.content, Stage::Content, connection.content(bytes)).await {
            Ok(status) => {
                self.idle.keep(connection);
                Ok(Receipt { status: Some(status) })
            }
            Err(error) => Err(self.refused(connection, error).await),
        }
    }

    /// Keeps a connection whose server said no to this mail and is there for the next.
    async fn refused(&self, mut connection: Connection, error: SendError) -> SendError {
        if error.status.is_some()
            && error.class != FailureClass::Outage
            && self.ask(Stage::Session, connection.command(Rset)).await.is_ok()
        {
            self.idle.keep(connection);
        }
        error
    }

    async fn ask(
        &self,
        stage: Stage,
        answer: impl Future<Output = Result<Response, SmtpError>>,
    ) -> Result<u16, SendError> {
        within(self.limits.command, stage, answer).await
    }
}

async fn within(
    limit: Duration,
    stage: Stage,
    answer: impl Future<Output = Result<Response, SmtpError>>,
) -> Result<u16, SendError> {
    timeout(limit, answer).await.map_or(Err(timed_out()), |answer| outcome::answered(stage, answer))
}

fn busy() -> SendError {
    SendError {
        class: FailureClass::Outage,
        code: SendError::SMTP_BUSY,
        status: None,
        words: "all connections to the mail server are in use",
    }
}

fn address(address: &EmailAddress) -> Result<Address, SendError> {
    Address::new(address.local(), address.domain()).map_err(|_| SendError {
        class: FailureClass::Permanent,
        code: "smtp_address_invalid",
        status: None,
        words: "the address cannot be said in SMTP",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_mail_that_gets_no_connection_of_ours_was_not_tried() {
        let url = SmtpUrl::parse("smtp://127.0.0.1:1?tls=none").unwrap();
        let limits = SmtpLimits { connections: 2, ..SmtpLimits::default() };
        let transport = SmtpTransport::builder(url).limits(limits).build().unwrap();
        let held = transport.inner.permits.acquire_many(2).await.unwrap();
        let error = transport.check().await.unwrap_err();
        assert_eq!((error.class, error.code), (FailureClass::Outage, "smtp_busy"));
        drop(held);
        assert_eq!(transport.check().await.unwrap_err().code, "smtp_unreachable");
    }
}
