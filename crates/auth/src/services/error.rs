use stylobate_core::CursorInvalid;
use stylobate_db::{Error, TransactError};

use crate::ApiKeyProblem;

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
        problem: ApiKeyProblem,
    },
    /// The tenant has no such account.
    #[error("there is no such service account")]
    NotFound,
    /// The tenant has an account of this name.
    #[error("the name is taken")]
    NameTaken,
    /// A cursor was not made by the list it was given to.
    #[error("the cursor does not belong to this list")]
    Cursor(#[source] CursorInvalid),
    /// The database could not do it.
    #[error("service accounts could not be read or changed")]
    Db(#[source] Error),
}

impl ServiceAccountError {
    /// The stable code of the situation.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Invalid { .. } => "validation",
            Self::NotFound => "service_account_not_found",
            Self::NameTaken => "service_account_name_taken",
            Self::Cursor(_) => "cursor_invalid",
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
