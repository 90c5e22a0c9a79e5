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
        client::AsyncSmtpConnection,
        commands::{Data, Mail as MailFrom, Noop, Rcpt, Rset},
    },
};
use stylobate_core::BoxFuture;
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout, timeout_at},
};

pub use self::url::{SmtpSecurity, SmtpUrl, SmtpUrlInvalid};
use crate::{EmailAddress, FailureClass, Mail, MailTransport, NotifyError, Receipt, SendError};
use connection::Tls;
use idle::Idle;
use outcome::{Stage, failed, timed_out};

/// How long a mail may take, and how many go out at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SmtpLimits {
    /// Until somebody takes the connection. 5 s unless set.
    pub connect: Duration,
    /// Until a command is answered. 10 s unless set. The end of a mail may take as long as there is time in all.
    pub command: Duration,
    /// From the connection to the answer to the mail. 30 s unless set.
    pub total: Duration,
    /// Connections at once; further mails wait for one, up to 20 s. 8 unless set, fewer than common servers take from one client.
    pub connections: usize,
}

impl Default for SmtpLimits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            command: Duration::from_secs(10),
            total: Duration::from_secs(30),
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
        if limits.connections == 0 || limits.total.is_zero() {
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
        Box::pin(self.inner.in_time(self.inner.send(mail)))
    }

    fn check(&self) -> BoxFuture<'_, Result<(), SendError>> {
        Box::pin(self.inner.in_time(self.inner.check()))
    }
}

impl Inner {
    async fn in_time<T>(&self, work: impl Future<Output = Result<T, SendError>>) -> Result<T, SendError> {
        // Waiting for a connection of ours is nobody's fault: it takes nothing from the time of the mail, and is no attempt at it.
        let Ok(_permit) = timeout(PERMIT_MAX, self.permits.acquire()).await else { return Err(busy()) };
        timeout_at(Instant::now() + self.limits.total, work).await.unwrap_or(Err(timed_out()))
    }

    async fn check(&self) -> Result<(), SendError> {
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

    async fn send(&self, mail: &Mail) -> Result<Receipt, SendError> {
        if let Some(mut kept) = self.idle.take() {
            match self.begin(&mut kept, mail).await {
                Ok(()) => return self.rest(kept, mail).await,
                Err(error) if error.class != FailureClass::Outage && error.status.is_some() => {
                    return self.refused(kept, error).await;
                }
                // It was closed while nobody used it; nothing was said about this mail.
                Err(_) => {}
            }
        }
        let mut opened = self.open().await?;
        match self.begin(&mut opened, mail).await {
            Ok(()) => self.rest(opened, mail).await,
            Err(error) => self.refused(opened, error).await,
        }
    }

    async fn open(&self) -> Result<AsyncSmtpConnection, SendError> {
        connection::open(&self.url, self.tls.as_ref(), &self.limits).await
    }

    async fn begin(&self, connection: &mut AsyncSmtpConnection, mail: &Mail) -> Result<(), SendError> {
        let from = MailFrom::new(Some(address(mail.from())?), Vec::new());
        self.ask(Stage::Mail, connection.command(from)).await.map(drop)
    }

    async fn rest(&self, mut connection: AsyncSmtpConnection, mail: &Mail) -> Result<Receipt, SendError> {
        match self.recipient_and_content(&mut connection, mail).await {
            Ok(receipt) => {
                self.idle.keep(connection);
                Ok(receipt)
            }
            Err(error) => self.refused(connection, error).await,
        }
    }

    async fn recipient_and_content(
        &self,
        connection: &mut AsyncSmtpConnection,
        mail: &Mail,
    ) -> Result<Receipt, SendError> {
        let to = Rcpt::new(address(mail.to())?, Vec::new());
        self.ask(Stage::Recipient, connection.command(to)).await?;
        self.ask(Stage::Content, connection.command(Data)).await?;
        // The client ends what it is given with a line end of its own.
        let bytes = mail.as_bytes();
        let bytes = bytes.strip_suffix(b"\r\n").unwrap_or(bytes);
        let answer = connection.message(bytes).await.map_err(|error| failed(Stage::Content, &error))?;
        Ok(Receipt { status: Some(outcome::number(answer.code())) })
    }

    /// Keeps a connection whose server said no to this mail and is there for the next.
    async fn refused(
        &self,
        mut connection: AsyncSmtpConnection,
        error: SendError,
    ) -> Result<Receipt, SendError> {
        if error.status.is_some()
            && error.class != FailureClass::Outage
            && self.ask(Stage::Session, connection.command(Rset)).await.is_ok()
        {
            self.idle.keep(connection);
        }
        Err(error)
    }

    async fn ask<T>(
        &self,
        stage: Stage,
        answer: impl Future<Output = Result<T, SmtpError>>,
    ) -> Result<T, SendError> {
        match timeout(self.limits.command, answer).await {
            Ok(answer) => answer.map_err(|error| failed(stage, &error)),
            Err(_) => Err(timed_out()),
        }
    }
}

fn busy() -> SendError {
    SendError {
        class: FailureClass::Outage,
        code: "smtp_busy",
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
