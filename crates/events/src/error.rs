use stylobate_core::CursorInvalid;

/// Why an event could not be told, read or dealt with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EventsError {
    /// The database refused or failed.
    #[cfg(feature = "sql")]
    #[error(transparent)]
    Db(#[from] stylobate_db::Error),
    /// The catalogue has no such type in that version.
    #[error("the catalogue has no event `{kind}` of version {version}")]
    UnknownType {
        /// The type.
        kind: String,
        /// The version.
        version: u16,
    },
    /// The catalogue has the type in that version twice.
    #[error("the catalogue has `{kind}` of version {version} twice")]
    TypeTwice {
        /// The type.
        kind: String,
        /// The version.
        version: u16,
    },
    /// The payload has a field whose name says that its value is secret.
    #[error("the event `{kind}` has the secret field `{field}`")]
    Secret {
        /// The type.
        kind: String,
        /// The path of the field.
        field: String,
    },
    /// The event is longer than [`ENVELOPE_MAX`](crate::ENVELOPE_MAX).
    #[error("the event `{kind}` has {bytes} bytes, more than {max}")]
    TooLarge {
        /// The type.
        kind: String,
        /// How long it is.
        bytes: usize,
        /// How long it may be.
        max: usize,
    },
    /// A text is no event.
    #[error("not an event")]
    Malformed(#[source] serde_json::Error),
    /// A value is out of its range.
    #[error("`{field}` {problem}")]
    Invalid {
        /// The field, as callers name it.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// An event of another tenant than its transaction.
    #[error("an event of another tenant than its transaction")]
    ForeignTenant,
    /// There is no such thing in the caller's scope.
    #[error("no such {entity}")]
    NotFound {
        /// What was looked for: `event`, `dead_letter`, `subscriber`.
        entity: &'static str,
    },
    /// A relay works for the subscriber: what it is owed is wanted.
    #[error("a process works for the subscriber `{name}`")]
    Served {
        /// Its name.
        name: String,
    },
    /// A stored row does not have the form this version writes.
    #[error("row {ordinal} of events: bad value in `{column}`")]
    RowInvalid {
        /// The column.
        column: &'static str,
        /// The row.
        ordinal: i64,
    },
    /// What was to be done panicked.
    #[error("it panicked")]
    Panicked,
    /// The cursor was not made by this list.
    #[error(transparent)]
    Cursor(#[from] CursorInvalid),
}

impl EventsError {
    /// The stable code of the situation.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            #[cfg(feature = "sql")]
            Self::Db(error) => error.code(),
            Self::UnknownType { .. } => "event_type_unknown",
            Self::TypeTwice { .. } => "event_type_twice",
            Self::Secret { .. } => "event_secret",
            Self::TooLarge { .. } => "event_too_large",
            Self::Malformed(_) => "event_malformed",
            Self::Invalid { .. } => "validation",
            Self::ForeignTenant => "foreign_tenant",
            Self::NotFound { .. } => "not_found",
            Self::Served { .. } => "subscriber_served",
            Self::RowInvalid { .. } => "row_invalid",
            Self::Panicked => "internal",
            Self::Cursor(_) => "invalid_cursor",
        }
    }
}

#[cfg(feature = "sql")]
impl stylobate_db::TransactError for EventsError {
    fn as_db(&self) -> Option<&stylobate_db::Error> {
        match self {
            Self::Db(error) => Some(error),
            _ => None,
        }
    }
}
