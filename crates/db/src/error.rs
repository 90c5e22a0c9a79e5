/// Which kind of constraint a statement violated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConstraintKind {
    /// A row with this key exists already.
    Unique,
    /// A row that is referred to is missing, or a row that is to go is still referred to.
    ForeignKey,
    /// A value is outside what the column allows.
    Check,
    /// A value is missing.
    NotNull,
}

/// What can go wrong with the database. No message carries a value from a statement.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A statement violated a constraint.
    #[error("a {kind:?} constraint refused the change (`{}`)", name.as_deref().unwrap_or("unnamed"))]
    Constraint {
        /// The kind of constraint.
        kind: ConstraintKind,
        /// Its name; unique ones are `<table>_<columns>_key` on both engines. SQLite does not name foreign keys.
        name: Option<String>,
    },
    /// A row that had to be there is not.
    #[error("the row does not exist")]
    NotFound,
    /// Another transaction holds what this one needs; trying again may work.
    #[error("the database is busy")]
    Busy,
    /// The transaction lost against a concurrent one; trying again may work.
    #[error("the transaction conflicted with another one")]
    Serialization,
    /// A statement or a wait for a connection took longer than allowed.
    #[error("the database did not answer in time")]
    Timeout,
    /// The database cannot be reached, or closed the connection.
    #[error("the database is unavailable")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A value is outside what the database can store or compare: a text with a NUL, a number or time out of range.
    #[error("a value is outside what the database can store")]
    Value(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Row-level security or a missing privilege refused the statement.
    #[error("the database refused the statement for lack of privilege")]
    Forbidden,
    /// A trigger of the schema refused the change, for example on append-only tables.
    #[error("the schema forbids this change")]
    Refused,
    /// The transaction only reads, and something tried to change data or to buffer an event.
    #[error("the transaction is read-only")]
    ReadOnly,
    /// Events were buffered that no participant takes, so they would have been lost.
    #[error("nobody stores the {0} events of this transaction")]
    Unclaimed(&'static str),
    /// A statement of the transaction failed outside [`nested`](crate::Tx::nested), and the work went on as if it had not:
    /// PostgreSQL would answer the commit with a rollback.
    #[error("a statement of the transaction failed, so it cannot be committed")]
    Spoiled,
    /// A participant could not store what it took.
    #[error("a participant of the transaction failed")]
    Participant(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A row holds something its table should not contain.
    #[error("column `{column}` of a row cannot be read")]
    BadRow {
        /// The column, or its position.
        column: String,
        /// What was wrong with it.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A migration did not apply.
    #[error("migration of `{set}` failed")]
    Migrate {
        /// The migration set.
        set: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A migration that was asked to be undone has no way back.
    #[error("migration {version} of `{set}` is irreversible")]
    Irreversible {
        /// The migration set.
        set: &'static str,
        /// The migration.
        version: i64,
    },
    /// The address does not name a database this build can reach.
    #[error("the database URL is not usable: {0}")]
    Url(String),
    /// A statement has another number of parameters than values, or something else only a programmer can mend.
    #[error("the statement is wrong: {0}")]
    Statement(String),
    /// Anything else the engine reported.
    #[error("the database reported an error")]
    Engine(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Error {
    /// The stable code of the situation.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Constraint { .. } => "db_constraint",
            Self::NotFound => "db_not_found",
            Self::Busy => "db_busy",
            Self::Serialization => "db_serialization",
            Self::Timeout => "db_timeout",
            Self::Unavailable(_) => "db_unavailable",
            Self::Value(_) => "db_value",
            Self::Forbidden => "db_forbidden",
            Self::Refused => "db_refused",
            Self::ReadOnly => "db_read_only",
            Self::Unclaimed(_) => "db_unclaimed_events",
            Self::Spoiled => "db_spoiled",
            Self::Participant(_) => "db_participant",
            Self::BadRow { .. } => "db_bad_row",
            Self::Migrate { .. } => "db_migrate",
            Self::Irreversible { .. } => "db_irreversible",
            Self::Url(_) => "db_url",
            Self::Statement(_) => "db_statement",
            Self::Engine(_) => "db_engine",
        }
    }

    /// Whether running the whole transaction again may succeed.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Busy | Self::Serialization)
    }

    /// Whether the database could not do its work at all, so that trying later makes sense (503).
    #[must_use]
    pub fn is_outage(&self) -> bool {
        matches!(self, Self::Busy | Self::Serialization | Self::Timeout | Self::Unavailable(_))
    }

    /// Whether the unique constraint or index called `name` was violated.
    #[must_use]
    pub fn is_unique_violation(&self, name: &str) -> bool {
        matches!(self, Self::Constraint { kind: ConstraintKind::Unique, name: Some(found) } if found == name)
    }

    /// Whether a foreign key was violated.
    #[must_use]
    pub fn is_foreign_key_violation(&self) -> bool {
        matches!(self, Self::Constraint { kind: ConstraintKind::ForeignKey, .. })
    }
}

/// An error that work inside [`Db::transact`](crate::Db::transact) may end with.
///
/// `transact` has to make one when the database fails, and to see through one to know whether trying again makes sense.
pub trait TransactError: From<Error> {
    /// The database error inside, when there is one.
    fn as_db(&self) -> Option<&Error>;
}

impl TransactError for Error {
    fn as_db(&self) -> Option<&Error> {
        Some(self)
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::RowNotFound => Self::NotFound,
            sqlx::Error::PoolTimedOut => Self::Timeout,
            sqlx::Error::Database(error) => from_engine(error),
            sqlx::Error::ColumnDecode { index, source } => Self::BadRow { column: index, source },
            sqlx::Error::ColumnNotFound(ref column) => {
                Self::BadRow { column: column.clone(), source: Box::new(error) }
            }
            error @ (sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::Protocol(_)) => Self::Unavailable(Box::new(error)),
            sqlx::Error::Configuration(error) => Self::Url(error.to_string()),
            sqlx::Error::Encode(error) => Self::Statement(error.to_string()),
            other => Self::Engine(Box::new(other)),
        }
    }
}

/// The engine's own message is dropped here on purpose: PostgreSQL quotes values in it (`Key (email)=(…)`).
fn from_engine(error: Box<dyn sqlx::error::DatabaseError>) -> Error {
    use sqlx::error::ErrorKind;

    let constraint = |kind| Error::Constraint { kind, name: constraint_name(&*error) };
    match error.kind() {
        ErrorKind::UniqueViolation => return constraint(ConstraintKind::Unique),
        ErrorKind::ForeignKeyViolation => return constraint(ConstraintKind::ForeignKey),
        ErrorKind::CheckViolation => return constraint(ConstraintKind::Check),
        ErrorKind::NotNullViolation => return constraint(ConstraintKind::NotNull),
        _ => {}
    }
    let code = error.code().unwrap_or_default().into_owned();
    match code.as_str() {
        // PostgreSQL SQLSTATEs.
        "40001" | "40P01" => Error::Serialization,
        "55P03" => Error::Busy,
        "57014" | "25P03" | "25P04" => Error::Timeout,
        // Administrator shutdown, crash, starting up, connection lost, too many connections; and what only connecting can
        // meet: a role that may not log in or has another password, a database that is gone.
        "57P01" | "57P02" | "57P03" | "53300" | "08000" | "08003" | "08006" | "28000" | "28P01" | "3D000" => {
            Error::Unavailable(error.into_error())
        }
        "42501" => Error::Forbidden,
        "25006" => Error::ReadOnly,
        // Raised by triggers of our schemas (`RAISE EXCEPTION … USING ERRCODE = 'ST001'`).
        "ST001" => Error::Refused,
        // SQLSTATE class 22, data exception.
        state if state.len() == 5 && state.starts_with("22") => Error::Value(Box::new(Reported { code })),
        // Five digits are a SQLSTATE, never a code of SQLite.
        state if state.len() == 5 => Error::Engine(Box::new(Reported { code })),
        _ => match code.parse::<i32>().map(|code| code & 0xff) {
            // SQLite primary result codes; extended ones carry them in the low byte.
            Ok(5 | 6) => Error::Busy,
            Ok(8) => Error::ReadOnly,
            Ok(9) => Error::Timeout,
            // SQLITE_FULL, SQLITE_IOERR, SQLITE_CANTOPEN, SQLITE_CORRUPT, SQLITE_NOTADB.
            Ok(10 | 11 | 13 | 14 | 26) => Error::Unavailable(error.into_error()),
            // SQLITE_TOOBIG.
            Ok(18) => Error::Value(Box::new(Reported { code })),
            Ok(19) => Error::Refused,
            _ => Error::Engine(Box::new(Reported { code })),
        },
    }
}

/// An engine error reduced to what cannot contain a value.
#[derive(Debug, thiserror::Error)]
#[error("engine error code {code}")]
struct Reported {
    code: String,
}

fn constraint_name(error: &dyn sqlx::error::DatabaseError) -> Option<String> {
    if let Some(name) = error.constraint() {
        return Some(name.to_owned());
    }
    // SQLite: `UNIQUE constraint failed: people.email_key, people.tenant_id`, `CHECK constraint failed: name`,
    // `UNIQUE constraint failed: index 'name'`.
    let (_, list) = error.message().split_once("constraint failed: ")?;
    if let Some(index) = list.strip_prefix("index '") {
        return index.strip_suffix('\'').map(str::to_owned);
    }
    if !list.contains('.') {
        return Some(list.to_owned());
    }
    let mut name = String::new();
    for (position, part) in list.split(", ").enumerate() {
        let (table, column) = part.split_once('.')?;
        if position == 0 {
            name.push_str(table);
        }
        name.push('_');
        name.push_str(column);
    }
    name.push_str("_key");
    Some(name)
}
