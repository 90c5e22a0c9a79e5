use stylobate_core::{CursorInvalid, SealError};

/// Why an endpoint or delivery could not be read or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WebhooksError {
    /// The database refused or failed.
    #[error(transparent)]
    Db(#[from] stylobate_db::Error),
    /// There is no such thing in the caller's scope.
    #[error("no such {entity}")]
    NotFound {
        /// What was looked for: `webhook`, `webhook_delivery`.
        entity: &'static str,
    },
    /// A value is out of its range.
    #[error("`{field}` {problem}")]
    Invalid {
        /// The field, as callers name it.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// The tenant has as many endpoints as it may.
    #[error("there are {max} webhooks already")]
    TooMany {
        /// How many there may be.
        max: usize,
    },
    /// Endpoints are of a tenant, and the principal acts for none.
    #[error("a webhook is of a tenant")]
    TenantRequired,
    /// The endpoint is disabled, so nothing is sent to it.
    #[error("the webhook is disabled")]
    Disabled,
    /// The secret was rotated a while ago, and the one before still counts. There are two at most.
    #[error("the secret before the last one still counts")]
    Rotating,
    /// The secret of the endpoint could not be sealed or opened.
    #[error("the secret of the webhook cannot be used")]
    Seal(#[from] SealError),
    /// The system has no randomness to give.
    #[error("the system has no randomness to give")]
    Randomness,
    /// It panicked.
    #[error("it panicked")]
    Panicked,
    /// The cursor was not made by this list.
    #[error(transparent)]
    Cursor(#[from] CursorInvalid),
}

impl WebhooksError {
    /// The stable code of the situation.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Db(error) => error.code(),
            Self::NotFound { .. } => "not_found",
            Self::Invalid { .. } => "validation",
            Self::TooMany { .. } => "webhook_limit",
            Self::TenantRequired => "tenant_required",
            Self::Disabled => "webhook_disabled",
            Self::Rotating => "webhook_secret_rotating",
            Self::Seal(_) => "webhook_secret_unusable",
            Self::Randomness | Self::Panicked => "internal",
            Self::Cursor(_) => "invalid_cursor",
        }
    }
}

impl stylobate_db::TransactError for WebhooksError {
    fn as_db(&self) -> Option<&stylobate_db::Error> {
        match self {
            Self::Db(error) => Some(error),
            _ => None,
        }
    }
}

pub(super) const NO_ENDPOINT: WebhooksError = WebhooksError::NotFound { entity: "webhook" };
pub(super) const NO_DELIVERY: WebhooksError = WebhooksError::NotFound { entity: "webhook_delivery" };

pub(super) fn invalid(field: &'static str, problem: impl Into<String>) -> WebhooksError {
    WebhooksError::Invalid { field, problem: problem.into() }
}
