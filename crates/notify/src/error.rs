use crate::{AddressInvalid, DirectoryError, SendError};

/// Why a message could not be taken, rendered or addressed. No message of these repeats a value.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotifyError {
    /// The catalogue has no such kind.
    #[error("the catalogue has no message `{kind}`")]
    KindUnknown {
        /// The kind.
        kind: String,
    },
    /// A kind is not declared as it must be.
    #[error("the message `{kind}`: {problem}")]
    KindInvalid {
        /// The kind.
        kind: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The values of a message are not those of its kind.
    #[error("the message `{kind}` has no value `{variable}`")]
    ValueMissing {
        /// The kind.
        kind: String,
        /// The key that is missing.
        variable: String,
    },
    /// The values of a message are no object, too many, or too deep.
    #[error("the values of the message `{kind}` {problem}")]
    ValuesInvalid {
        /// The kind.
        kind: String,
        /// What is wrong with them.
        problem: &'static str,
    },
    /// A template is not one that is taken.
    #[error("the template's {part}, line {line}: {problem}")]
    TemplateInvalid {
        /// `subject`, `text` or `html`.
        part: &'static str,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// A template could not be rendered with the values of a message.
    #[error("the {part} of the message `{kind}` could not be rendered, line {line}: {problem}")]
    RenderFailed {
        /// The kind.
        kind: String,
        /// `subject`, `text` or `html`.
        part: &'static str,
        /// The line, from 1.
        line: usize,
        /// What the matter is; no values.
        problem: String,
    },
    /// An e-mail address is none that mail can be sent to.
    #[error(transparent)]
    Address(#[from] AddressInvalid),
    /// A setting is out of its range.
    #[error("`{setting}` {problem}")]
    SettingInvalid {
        /// What was set.
        setting: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A mail could not be signed.
    #[error("the mail could not be signed")]
    SigningFailed,
    /// There is no such person, or they have no address.
    #[error("there is no address to send it to")]
    Unreachable,
    /// Nobody could be asked for an address.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// It was not taken by whoever delivers it.
    #[error(transparent)]
    Send(#[from] SendError),
}

impl NotifyError {
    /// The stable code of the situation.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::KindUnknown { .. } => "notify_kind_unknown",
            Self::KindInvalid { .. } => "notify_kind_invalid",
            Self::ValueMissing { .. } | Self::ValuesInvalid { .. } => "notify_values_invalid",
            Self::TemplateInvalid { .. } => "notify_template_invalid",
            Self::RenderFailed { .. } => "notify_render_failed",
            Self::Address(_) => "notify_address_invalid",
            Self::SettingInvalid { .. } => "notify_setting_invalid",
            Self::SigningFailed => "notify_signing_failed",
            Self::Unreachable => "notify_unreachable",
            Self::Directory(_) => "notify_directory_failed",
            Self::Send(error) => error.code,
        }
    }
}
