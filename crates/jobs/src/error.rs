use stylobate_core::CursorInvalid;

/// Why a job or schedule could not be read, asked for or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JobsError {
    /// The database refused or failed.
    #[error(transparent)]
    Db(#[from] stylobate_db::Error),
    /// There is no such thing in the caller's scope.
    #[error("no such {entity}")]
    NotFound {
        /// What was looked for: `job`, `schedule`.
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
    /// The payload cannot be written as JSON.
    #[error("the payload of `{name}` cannot be written")]
    Payload {
        /// The name of the job.
        name: &'static str,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The payload is longer than [`PAYLOAD_MAX`](crate::PAYLOAD_MAX).
    #[error("the payload has {bytes} bytes, more than {max}")]
    PayloadTooLarge {
        /// How long it is.
        bytes: usize,
        /// How long it may be.
        max: usize,
    },
    /// The job is not in a state in which that can be done.
    #[error("the job is {state}")]
    WrongState {
        /// The state it is in.
        state: crate::State,
    },
    /// Another live job has the same unique key.
    #[error("another job has the same unique key")]
    NotUnique,
    /// The attempt has lost its lease: another worker may have the job.
    #[error("the lease of the job is lost")]
    LeaseLost,
    /// A job of another tenant than the transaction's.
    #[error("a job of another tenant than its transaction")]
    ForeignTenant,
    /// The row was changed since it was read.
    #[error("the {entity} has been changed meanwhile")]
    Conflict {
        /// What: `schedule`.
        entity: &'static str,
    },
    /// The name is taken.
    #[error("the name is taken")]
    NameTaken,
    /// What was to be done panicked.
    #[error("it panicked")]
    Panicked,
    /// The cursor was not made by this list.
    #[error(transparent)]
    Cursor(#[from] CursorInvalid),
}

impl JobsError {
    /// The stable code of the situation.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Db(error) => error.code(),
            Self::NotFound { .. } => "not_found",
            Self::Invalid { .. } | Self::Payload { .. } => "validation",
            Self::PayloadTooLarge { .. } => "payload_too_large",
            Self::WrongState { .. } => "job_wrong_state",
            Self::NotUnique => "job_not_unique",
            Self::LeaseLost => "job_lease_lost",
            Self::ForeignTenant => "foreign_tenant",
            Self::Conflict { .. } => "stale",
            Self::NameTaken => "schedule_name_taken",
            Self::Panicked => "internal",
            Self::Cursor(_) => "invalid_cursor",
        }
    }
}

impl stylobate_db::TransactError for JobsError {
    fn as_db(&self) -> Option<&stylobate_db::Error> {
        match self {
            Self::Db(error) => Some(error),
            _ => None,
        }
    }
}

/// What is said about a text that cannot be read: where, and nothing of what stands there, as that may be personal and this goes
/// into logs.
pub(crate) fn unreadable(error: &serde_json::Error) -> String {
    use serde_json::error::Category;
    let problem = match error.classify() {
        Category::Data => "is not what is expected",
        Category::Syntax => "is no JSON",
        Category::Eof => "ends too early",
        Category::Io => "did not come whole",
    };
    match error.line() {
        // What was read as a whole before has no lines.
        0 => format!("it {problem}"),
        line => format!("it {problem} at line {line}, column {}", error.column()),
    }
}
