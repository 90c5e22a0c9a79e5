use stylobate_core::{CursorInvalid, SealError};

use crate::NotifyError;

/// Why a message could not be handed over, or what belongs to messages not be read or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotifierError {
    /// The database refused or failed.
    #[error(transparent)]
    Db(#[from] stylobate_db::Error),
    /// The message or template is not as it must be.
    #[error(transparent)]
    Notify(#[from] NotifyError),
    /// There is no such thing in the caller's scope.
    #[error("no such {entity}")]
    NotFound {
        /// What was looked for: `notification_channel`, `notification`, `message_template`, `message_delivery`, `suppression`.
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
    /// A channel is not set up as it must be.
    #[error("`{field}` {problem}")]
    ChannelInvalid {
        /// The field, as callers name it: `config.url`.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// What is said is longer than a message may be.
    #[error("the values of the message have {bytes} bytes, more than {max}")]
    TooLarge {
        /// How long they are.
        bytes: usize,
        /// How long they may be.
        max: usize,
    },
    /// There are as many as there may be.
    #[error("there are {max} channels already")]
    TooMany {
        /// How many there may be.
        max: usize,
    },
    /// The channel is switched off, so nothing is sent through it.
    #[error("the channel is switched off")]
    ChannelInactive,
    /// It was changed since it was read.
    #[error("it has been changed meanwhile")]
    VersionConflict,
    /// A message of another tenant than its transaction.
    #[error("a message of another tenant than its transaction")]
    ForeignTenant,
    /// The caller acts for no tenant, or is no person, and this belongs to one.
    #[error("{0}")]
    OwnerRequired(&'static str),
    /// Something could not be sealed or opened.
    #[error("what is sealed cannot be used")]
    Seal(#[from] SealError),
    /// Nobody could say how a person is reached.
    #[error("the directory has no answer")]
    Directory(#[source] Box<dyn std::error::Error + Send + Sync>),
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

impl NotifierError {
    /// The stable code of the situation.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Db(error) => error.code(),
            Self::Notify(error) => error.code(),
            Self::NotFound { .. } => "not_found",
            Self::Invalid { .. } => "validation",
            Self::ChannelInvalid { .. } => "notify_channel_invalid",
            Self::TooLarge { .. } => "notify_values_too_large",
            Self::TooMany { .. } => "notify_channel_limit",
            Self::ChannelInactive => "notify_channel_inactive",
            Self::VersionConflict => "version_conflict",
            Self::ForeignTenant => "foreign_tenant",
            Self::OwnerRequired(_) => "notify_owner_required",
            Self::Seal(_) => "notify_unopenable",
            Self::Directory(_) => "notify_directory_unavailable",
            Self::Randomness | Self::Panicked => "internal",
            Self::Cursor(_) => "invalid_cursor",
        }
    }
}

impl stylobate_db::TransactError for NotifierError {
    fn as_db(&self) -> Option<&stylobate_db::Error> {
        match self {
            Self::Db(error) => Some(error),
            _ => None,
        }
    }
}

pub(crate) const NO_CHANNEL: NotifierError = NotifierError::NotFound { entity: "notification_channel" };
pub(crate) const NO_NOTIFICATION: NotifierError = NotifierError::NotFound { entity: "notification" };
pub(crate) const NO_TEMPLATE: NotifierError = NotifierError::NotFound { entity: "message_template" };
pub(crate) const NO_SUPPRESSION: NotifierError = NotifierError::NotFound { entity: "suppression" };

pub(crate) fn invalid(field: &'static str, problem: impl Into<String>) -> NotifierError {
    NotifierError::Invalid { field, problem: problem.into() }
}

/// Refuses `text` unless it has 1 to `max` characters, none of them unseen.
pub(crate) fn checked_line(field: &'static str, text: &str, max: usize) -> Result<(), NotifierError> {
    let chars = text.chars().count();
    if chars == 0 || chars > max || text.chars().any(crate::plain::is_unseen) {
        return Err(invalid(field, format!("has 1 to {max} characters, none of them a control character")));
    }
    Ok(())
}
