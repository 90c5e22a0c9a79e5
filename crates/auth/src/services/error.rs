use stylobate_core::CursorInvalid;
use stylobate_db::{Error, TransactError};

use crate::TokenError;

/// A service account could not be made, found or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServiceAccountError {
    /// A value is not one that an account can have.
    #[error("`{field}` {problem}")]
    Invalid {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        problem: ServiceAccountProblem,
    },
    /// The tenant has no such account.
    #[error("there is no such service account")]
    NotFound,
    /// The tenant has an account of this name.
    #[error("the name is taken")]
    NameTaken,
    /// The account has as many keys as any may have. Revoke one that is not used.
    #[error("the service account has {max} keys already")]
    TooManyKeys {
        /// As many.
        max: usize,
    },
    /// Only a service gets such a token, and only for a key of its own or a request that it signed.
    #[error("the caller is no service that presents a key of its own or signs")]
    ServiceRequired,
    /// The registry does not have the audience for this service, or not with these operations.
    #[error("the service has no such operation at this audience")]
    AudienceRefused,
    /// A cursor was not made by the list it was given to.
    #[error("the cursor does not belong to this list")]
    Cursor(#[source] CursorInvalid),
    /// The token could not be signed.
    #[error("the token could not be issued")]
    Token(#[source] TokenError),
    /// The database could not do it.
    #[error("service accounts could not be read or changed")]
    Db(#[source] Error),
}

/// What is wrong with a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ServiceAccountProblem {
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
    /// It is no operation: spelled as a scope, printable ASCII without blanks, `"` and `\` (RFC 6749 §3.3).
    #[error("has an item that is no operation")]
    NotAnOperation,
    /// It is no audience: printable ASCII without blanks, `"` and `\`.
    #[error("is no audience: printable ASCII without blanks, `\"` and `\\`")]
    NotAnAudience,
    /// It is no public key of an algorithm that is accepted.
    #[error("is no public key that is accepted: Ed25519, P-256, or RSA of at least 2048 bits for PS512")]
    NotAKey,
    /// It is a time that is over.
    #[error("is not in the future")]
    Past,
    /// It is later than public keys may live.
    #[error("is more than {0} days away")]
    TooLate(u32),
}

impl ServiceAccountProblem {
    /// The stable code of the problem.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Empty => "required",
            Self::TooLong(_) => "too_long",
            Self::TooMany(_) => "too_many",
            Self::Invisible | Self::NotAnOperation | Self::NotAnAudience | Self::NotAKey => "invalid",
            Self::Past | Self::TooLate(_) => "out_of_range",
        }
    }
}

impl ServiceAccountError {
    /// The stable code of the situation.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Invalid { .. } => "validation",
            Self::NotFound => "service_account_not_found",
            Self::NameTaken => "service_account_name_taken",
            Self::TooManyKeys { .. } => "service_key_limit",
            Self::ServiceRequired => "service_required",
            Self::AudienceRefused => "audience_refused",
            Self::Cursor(_) => "cursor_invalid",
            Self::Token(error) => error.code(),
            Self::Db(error) => error.code(),
        }
    }
}

impl From<Error> for ServiceAccountError {
    fn from(error: Error) -> Self {
        if error.is_unique_violation("service_accounts_tenant_id_name_key_key") {
            Self::NameTaken
        } else {
            Self::Db(error)
        }
    }
}

impl From<TokenError> for ServiceAccountError {
    fn from(error: TokenError) -> Self {
        Self::Token(error)
    }
}

impl From<CursorInvalid> for ServiceAccountError {
    fn from(error: CursorInvalid) -> Self {
        Self::Cursor(error)
    }
}

impl TransactError for ServiceAccountError {
    fn as_db(&self) -> Option<&Error> {
        match self {
            Self::Db(error) => Some(error),
            _ => None,
        }
    }
}
