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

/// What it is called when there is nothing any more at a place.
pub(crate) const GONE: &str = "notify_gone";
