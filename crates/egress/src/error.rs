use crate::{Forbidden, target::TargetInvalid};

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why there is no answer. No message names an address that a name resolved to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The URL cannot be asked.
    #[error(transparent)]
    Target(#[from] TargetInvalid),
    /// The host is, or resolves to, an address that must not be connected to. Nothing was connected to.
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    /// The name has no address, or nobody could be asked for it.
    #[error("the name could not be resolved")]
    NameUnresolved(#[source] Option<Cause>),
    /// Too many names are being looked up, so nobody was asked for this one, and nothing was connected to. It says nothing about
    /// the host: try again in a moment.
    #[error("too many names are being looked up")]
    Busy,
    /// Nobody took the connection.
    #[error("the connection could not be made")]
    ConnectFailed(#[source] Option<Cause>),
    /// The other side could not prove to be the host, or speaks no TLS that is spoken here.
    #[error("TLS could not be agreed on")]
    TlsFailed(#[source] Cause),
    /// It took longer than allowed.
    #[error("there was no answer in time")]
    Timeout,
    /// The answer is longer than allowed.
    #[error("the answer is longer than {bytes_max} bytes")]
    TooLarge {
        /// How long it may be.
        bytes_max: usize,
    },
    /// What came back is no HTTP, or broke off.
    #[error("the answer is broken")]
    Broken(#[source] Option<Cause>),
    /// The certificates of the authorities to trust cannot be read.
    #[error("the certificates to trust cannot be read")]
    Roots,
}

impl Error {
    /// The stable code of the situation.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Target(_) => "egress_url_invalid",
            Self::Forbidden(_) => "egress_address_forbidden",
            Self::NameUnresolved(_) => "egress_name_unresolved",
            Self::Busy => "egress_busy",
            Self::ConnectFailed(_) => "egress_connect_failed",
            Self::TlsFailed(_) => "egress_tls_failed",
            Self::Timeout => "egress_timeout",
            Self::TooLarge { .. } => "egress_too_large",
            Self::Broken(_) => "egress_answer_broken",
            Self::Roots => "egress_roots_invalid",
        }
    }
}
