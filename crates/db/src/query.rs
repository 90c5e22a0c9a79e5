use std::sync::atomic::Ordering;

use crate::{
    Bind, Error, Record,
    bind::Values,
    conn::{Conn, Inner, State},
    sql::{Text, highest_parameter},
};

/// A statement with its values, bound to the connection it will run on.
#[must_use = "a query does nothing until it is run"]
pub struct Query<'c> {
    conn: &'c mut Conn,
    text: Text,
    values: Result<Values, Error>,
}

/// Runs one arm per engine on a raw connection.
macro_rules! on_engine {
    ($query:expr, $conn:ident, $values:ident, $text:ident => $body:expr) => {{
        let Query { conn, text: $text, values } = $query;
        let values = values?;
        let expected = highest_parameter(&$text);
        if values.count() < expected {
            return Err(Error::Statement(format!("{expected} parameters, {} values", values.count())));
        }
        conn.statements.fetch_add(1, Ordering::Relaxed);
        let limit = conn.statement_timeout;
        let before = conn.state;
        match before {
            State::Plain => {}
            // Until it has succeeded: a statement that is dropped half-way counts as failed.
            State::Sound => conn.state = State::Spoiled,
            State::Spoiled => return Err(Error::Spoiled),
        }
        // The text is static, or was made by `SqlBuilder` from static parts.
        #[cfg(any(feature = "postgres", feature = "sqlite"))]
        let $text = sqlx::AssertSqlSafe($text);
        let run = async {
            match (&mut conn.inner, values) {
                #[cfg(feature = "postgres")]
                (Inner::Postgres(connection), Values::Postgres($values)) => {
                    let $conn = connection.raw()?;
                    $body
                }
                #[cfg(feature = "sqlite")]
                (Inner::Sqlite(connection), Values::Sqlite($values)) => {
                    let $conn = connection.raw()?;
                    $body
                }
                #[allow(unreachable_patterns, reason = "reachable only with both engines compiled in")]
                _ => Err(Error::Statement("the values belong to another engine".to_owned())),
            }
        };
        let result = match tokio::time::timeout(limit, run).await {
            Ok(result) => result,
            Err(_) => Err(Error::Timeout),
        };
        if result.is_ok() {
            conn.state = before;
        }
        result
    }};
}

impl<'c> Query<'c> {
    pub(crate) fn new(conn: &'c mut Conn, text: Text, values: Result<Values, Error>) -> Self {
        Self { conn, text, values }
    }

    /// Binds the next parameter, from `$1` on.
    pub fn bind(mut self, value: impl Bind) -> Self {
        if let Ok(values) = &mut self.values
            && let Err(error) = values.add(value)
        {
            self.values = Err(error);
        }
        self
    }

    /// Runs the statement and returns how many rows it changed.
    ///
    /// # Errors
    /// [`Error::Constraint`] when a constraint refused the change, [`Error::Busy`] and [`Error::Serialization`] when
    /// the transaction may be tried again, [`Error::Timeout`] and [`Error::Unavailable`] when the database cannot do
    /// its work now.
    pub async fn run(self) -> Result<u64, Error> {
        on_engine!(self, conn, values, text => {
            Ok(sqlx::query_with(text, values).execute(conn).await?.rows_affected())
        })
    }

    /// Reads exactly one row.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is none, [`Error::BadRow`] when it cannot be read; otherwise as [`run`](Self::run).
    pub async fn one<T: Record>(self) -> Result<T, Error> {
        self.opt().await?.ok_or(Error::NotFound)
    }

    /// Reads the row if there is one.
    ///
    /// # Errors
    /// As [`one`](Self::one), except that absence is no error.
    pub async fn opt<T: Record>(self) -> Result<Option<T>, Error> {
        on_engine!(self, conn, values, text => {
            Ok(sqlx::query_as_with(text, values).fetch_optional(conn).await?)
        })
    }

    /// Reads all rows; the statement bounds how many.
    ///
    /// # Errors
    /// As [`one`](Self::one), except that absence is no error.
    pub async fn all<T: Record>(self) -> Result<Vec<T>, Error> {
        on_engine!(self, conn, values, text => {
            Ok(sqlx::query_as_with(text, values).fetch_all(conn).await?)
        })
    }

    /// Reads the only column of exactly one row.
    ///
    /// # Errors
    /// As [`one`](Self::one).
    pub async fn scalar<T>(self) -> Result<T, Error>
    where
        (T,): Record,
    {
        Ok(self.one::<(T,)>().await?.0)
    }

    /// Reads the only column of the row if there is one.
    ///
    /// # Errors
    /// As [`opt`](Self::opt).
    pub async fn scalar_opt<T>(self) -> Result<Option<T>, Error>
    where
        (T,): Record,
    {
        Ok(self.opt::<(T,)>().await?.map(|(value,)| value))
    }
}
