use std::{
    ops::{Deref, DerefMut},
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

#[cfg(any(feature = "postgres", feature = "sqlite"))]
use crate::link::Link;
use crate::{Engine, Query, Sql, SqlBuilder, sql::Text};

/// A connection: what statements run on. A [`Tx`](crate::Tx) and a [`Reader`] both are one, so a store that only reads
/// takes `&mut Conn` and serves both.
pub struct Conn {
    pub(crate) inner: Inner,
    pub(crate) statement_timeout: Duration,
    pub(crate) state: State,
    /// Counts the statements of the whole handle.
    pub(crate) statements: Arc<AtomicU64>,
}

/// Whether statements may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Outside a transaction each stands for itself.
    Plain,
    /// In a transaction, and none has failed.
    Sound,
    /// In a transaction of which one failed, or was given up: whatever PostgreSQL is told after that, it only rolls back,
    /// and SQLite may have rolled back by itself.
    Spoiled,
}

pub(crate) enum Inner {
    #[cfg(feature = "postgres")]
    Postgres(Link<sqlx::Postgres>),
    #[cfg(feature = "sqlite")]
    Sqlite(Link<sqlx::Sqlite>),
}

impl Conn {
    /// Which engine is at the other end.
    #[must_use]
    pub fn engine(&self) -> Engine {
        match self.inner {
            #[cfg(feature = "postgres")]
            Inner::Postgres(_) => Engine::Postgres,
            #[cfg(feature = "sqlite")]
            Inner::Sqlite(_) => Engine::Sqlite,
        }
    }

    /// Begins a statement.
    pub fn q(&mut self, sql: impl Into<Sql>) -> Query<'_> {
        let engine = self.engine();
        Query::new(self, Text::Borrowed(sql.into().text(engine)), engine.values())
    }

    /// A builder for a statement whose shape is only known at run time; run it with [`q_build`](Self::q_build).
    #[must_use]
    pub fn builder(&self, text: &'static str) -> SqlBuilder {
        SqlBuilder::new(self.engine(), text)
    }

    /// Begins a statement that was put together at run time.
    pub fn q_build(&mut self, sql: SqlBuilder) -> Query<'_> {
        Query::new(self, Text::Owned(sql.text), sql.values)
    }
}

/// A connection for single statements that only read tables outside row-level security. It is not a transaction: two
/// statements may see different states.
pub struct Reader(pub(crate) Conn);

impl Deref for Reader {
    type Target = Conn;

    fn deref(&self) -> &Conn {
        &self.0
    }
}

impl DerefMut for Reader {
    fn deref_mut(&mut self) -> &mut Conn {
        &mut self.0
    }
}
