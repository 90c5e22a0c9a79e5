use crate::{FailureClass, SendError};

/// A message that was not taken, without an answer.
pub(crate) fn failed(class: FailureClass, code: &'static str) -> SendError {
    SendError { class, code, status: None, words: "the message was not taken" }
}

/// One that nothing can be done about.
#[cfg(feature = "sql")]
pub(crate) fn refused(code: &'static str) -> SendError {
    failed(FailureClass::Permanent, code)
}

impl SendError {
    /// Whether a mail that failed so never got past the own mail server: that says nothing about whoever it was for.
    pub(crate) fn is_of_server(&self) -> bool {
        match self.class {
            FailureClass::Outage => true,
            FailureClass::Transient { .. } => self.status.is_none(),
            FailureClass::Permanent | FailureClass::BadRecipient => false,
        }
    }
}

/// What it is called when there is nothing any more at a place.
pub(crate) const GONE: &str = "notify_gone";
