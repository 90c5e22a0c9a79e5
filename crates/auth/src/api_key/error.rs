use std::time::Duration;

use stylobate_core::{CursorInvalid, KeyOwner};
use stylobate_db::{Error, TransactError};

use crate::KeyError;

/// An API key could not be made, found or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApiKeyError {
    /// A value is not one that a key can have.
    #[error("`{field}` {problem}")]
    Invalid {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        problem: ApiKeyProblem,
    },
    /// The tenant has no such key.
    #[error("there is no such API key")]
    NotFound,
    /// The owner does not exist, is disabled, or is a service account of another tenant.
    #[error("the owner cannot have API keys")]
    OwnerUnknown(KeyOwner),
    /// The owner has as many live keys as anybody may have.
    #[error("the owner has {max} API keys already")]
    TooMany {
        /// As many.
        max: u32,
    },
    /// The caller has made as many keys as anybody may within a while.
    #[error("too many API keys were made")]
    MadeTooMany {
        /// When trying again makes sense.
        retry_after: Duration,
    },
    /// The secret before the present one is still good: a third would make one of the two stop early.
    #[error("the API key is being rotated already")]
    Rotating,
    /// The key is revoked or expired. Make another.
    #[error("the API key has ended")]
    Ended,
    /// A cursor was not made by the list it was given to.
    #[error("the cursor does not belong to this list")]
    Cursor(#[source] CursorInvalid),
    /// There is no randomness for a secret.
    #[error("no secret could be made")]
    Key(#[source] KeyError),
    /// The database could not do it.
    #[error("API keys could not be read or changed")]
    Db(#[source] Error),
}

/// What is wrong with a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ApiKeyProblem {
    /// There is nothing.
    #[error("is empty")]
    Empty,
    /// It is longer than allowed, in characters.
    #[error("is longer than {0} characters")]
    TooLong(usize),
    /// There are more items than allowed.
    #[error("has more than {0} items")]
    TooMany(usize),
    /// It contains a character that cannot be seen.
    #[error("contains a control or invisible character")]
    Invisible,
    /// It is no scope: printable ASCII without blanks, `"` and `\` (RFC 6749 §3.3).
    #[error("has an item that is no scope")]
    NotAScope,
    /// It is no network in CIDR notation.
    #[error("has an item that is no network in CIDR notation")]
    NotANetwork,
    /// It is a number outside its range.
    #[error("is outside {0} to {1}")]
    OutOfRange(u32, u32),
    /// It is a time that is over.
    #[error("is not in the future")]
    Past,
    /// It is later than keys may live.
    #[error("is more than {0} days away")]
    TooLate(u32),
}

impl ApiKeyProblem {
    /// The stable code of the problem.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Empty => "required",
            Self::TooLong(_) => "too_long",
            Self::TooMany(_) => "too_many",
            Self::Invisible | Self::NotAScope | Self::NotANetwork => "invalid",
            Self::OutOfRange(..) | Self::Past | Self::TooLate(_) => "out_of_range",
        }
    }
}

impl ApiKeyError {
    /// The stable code of the situation.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Invalid { .. } => "validation",
            Self::NotFound => "api_key_not_found",
            Self::OwnerUnknown(_) => "api_key_owner_unknown",
            Self::TooMany { .. } => "api_key_limit",
            Self::MadeTooMany { .. } => "api_key_made_too_many",
            Self::Rotating => "api_key_rotating",
            Self::Ended => "api_key_ended",
            Self::Cursor(_) => "cursor_invalid",
            Self::Key(error) => error.code(),
            Self::Db(error) => error.code(),
        }
    }
}

impl From<Error> for ApiKeyError {
    fn from(error: Error) -> Self {
        Self::Db(error)
    }
}

impl From<KeyError> for ApiKeyError {
    fn from(error: KeyError) -> Self {
        Self::Key(error)
    }
}

impl From<CursorInvalid> for ApiKeyError {
    fn from(error: CursorInvalid) -> Self {
        Self::Cursor(error)
    }
}

impl TransactError for ApiKeyError {
    fn as_db(&self) -> Option<&Error> {
        match self {
            Self::Db(error) | Self::Key(KeyError::Db(error)) => Some(error),
            _ => None,
        }
    }
}
