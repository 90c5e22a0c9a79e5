mod file;
mod log;

use std::time::Duration;

use stylobate_core::BoxFuture;

use crate::Mail;
pub use file::FileTransport;
pub use log::LogTransport;

/// Takes mails to whoever delivers them.
///
/// What holds for every transport is in `conformance::mail_transport` (feature `conformance`).
pub trait MailTransport: Send + Sync {
    /// Hands `mail` over. When this returns, somebody else answers for it. When the future is dropped, nobody knows whether it was
    /// handed over.
    ///
    /// # Errors
    /// [`SendError`], whose class says whether it is worth another try.
    fn send<'a>(&'a self, mail: &'a Mail) -> BoxFuture<'a, Result<Receipt, SendError>>;

    /// Asks whether mails could be handed over now, without handing one over.
    ///
    /// # Errors
    /// [`SendError`].
    fn check(&self) -> BoxFuture<'_, Result<(), SendError>>;
}

/// That a message was taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Receipt {
    /// What the other side answered, as a number: 250 of SMTP, 201 of HTTP.
    pub status: Option<u16>,
}

/// That a message was not taken. Holds nothing that the other side said but a number: servers repeat addresses and contents.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{words}")]
pub struct SendError {
    /// Whether it is worth another try.
    pub class: FailureClass,
    /// The stable code of the situation.
    pub code: &'static str,
    /// What the other side answered, as a number.
    pub status: Option<u16>,
    /// What an operator should know.
    pub words: &'static str,
}

impl SendError {
    /// The code of mails that nothing was tried with, because all of our own connections are in use.
    #[cfg(any(feature = "smtp", feature = "sql"))]
    pub(crate) const SMTP_BUSY: &str = "smtp_busy";

    /// Whether a mail that failed so never got past the own mail server: that says nothing about whoever it was for.
    pub(crate) fn is_of_server(&self) -> bool {
        match self.class {
            FailureClass::Outage => true,
            FailureClass::Transient { .. } => self.status.is_none(),
            FailureClass::Permanent | FailureClass::BadRecipient => false,
        }
    }
}

/// What to do about a message that was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureClass {
    /// Try again later.
    Transient {
        /// How long the other side asked to be left alone.
        retry_after: Option<Duration>,
    },
    /// This message is taken neither now nor later.
    Permanent,
    /// There is no such recipient: do not write there again.
    BadRecipient,
    /// Nobody's message is taken: the other side is away, or does not know us. Try again, and tell the operator.
    Outage,
}

impl FailureClass {
    /// Try again later, whenever.
    pub const TRANSIENT: Self = Self::Transient { retry_after: None };

    /// Whether another try may succeed.
    #[must_use]
    pub fn is_worth_a_retry(self) -> bool {
        matches!(self, Self::Transient { .. } | Self::Outage)
    }
}
