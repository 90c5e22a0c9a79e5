use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{
    Conn, DbBuilder, DbOptions, Error, Participant, Reader, Scope, TransactError, Tx,
    bind::Values,
    conn::{Inner, State},
    hint::{Hints, Topics},
};

/// Which database engine is at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Engine {
    /// PostgreSQL, 13 or later.
    Postgres,
    /// SQLite, the version that is compiled in.
    Sqlite,
}

impl Engine {
    /// The engine as OpenTelemetry calls it (`db.system.name`).
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgresql",
            Self::Sqlite => "sqlite",
        }
    }

    pub(crate) fn values(self) -> Result<Values, Error> {
        match self {
            #[cfg(feature = "postgres")]
            Self::Postgres => Ok(Values::Postgres(sqlx::postgres::PgArguments::default())),
            #[cfg(feature = "sqlite")]
            Self::Sqlite => Ok(Values::Sqlite(sqlx::sqlite::SqliteArguments::default())),
            #[allow(unreachable_patterns, reason = "reachable when an engine is not compiled in")]
            _ => Err(Error::Statement(format!("{} is not compiled in", self.name()))),
        }
    }
}

/// A database: clone it freely, all clones share the pool.
#[derive(Clone)]
pub struct Db {
    shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) pools: Pools,
    pub(crate) options: DbOptions,
    pub(crate) participants: Vec<Arc<dyn Participant>>,
    pub(crate) audit_is_taken: bool,
    pub(crate) events_are_taken: bool,
    pub(crate) topics: Arc<Topics>,
    pub(crate) statements: Arc<AtomicU64>,
    #[cfg(feature = "postgres")]
    pub(crate) listener: crate::postgres::listen::Listener,
}

pub(crate) enum Pools {
    #[cfg(feature = "postgres")]
    Postgres(sqlx::PgPool),
    #[cfg(feature = "sqlite")]
    Sqlite {
        /// SQLite has one writer at a time; one connection makes waiting for it fair.
        write: sqlx::SqlitePool,
        read: sqlx::SqlitePool,
        /// The deadline of the writer's transaction; absent when the pools are somebody else's.
        deadline: Option<Arc<crate::deadline::WriterDeadline>>,
    },
}

/// How the pool is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct PoolStats {
    /// Most connections at once.
    pub max: u32,
    /// Connections open now.
    pub open: u32,
    /// Open connections that nobody uses.
    pub idle: u32,
    /// Open connections in use.
    pub in_use: u32,
}

impl fmt::Debug for Db {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Db").field("engine", &self.engine()).finish_non_exhaustive()
    }
}

impl Db {
    pub(crate) fn new(shared: Shared) -> Self {
        Self { shared: Arc::new(shared) }
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Connects to `url` without audit or event participants: `postgres://…` or `sqlite://path`.
    ///
    /// # Errors
    /// [`Error::Url`] when the address names no engine of this build, [`Error::Unavailable`] when nothing answers.
    pub async fn connect(url: &str, options: DbOptions) -> Result<Self, Error> {
        Self::builder(url, options).without_audit().without_events().connect().await
    }

    /// Begins to put a handle together.
    #[must_use]
    pub fn builder(url: &str, options: DbOptions) -> DbBuilder {
        DbBuilder::new(url, options)
    }

    /// Whether its transactions may emit domain events: a participant takes them, or they were declined
    /// (`without_events`). Services that emit rare events ask at their start instead of failing at the first one.
    #[must_use]
    pub fn takes_events(&self) -> bool {
        self.shared.events_are_taken
    }

    /// How many statements its clones have run so far, failed ones included; beginning and ending a transaction is none.
    /// Two requests that must look alike from outside also have to cost the database alike: their tests compare it.
    #[must_use]
    pub fn statements(&self) -> u64 {
        self.shared.statements.load(Ordering::Relaxed)
    }

    /// The engine at the other end.
    #[must_use]
    pub fn engine(&self) -> Engine {
        match self.shared.pools {
            #[cfg(feature = "postgres")]
            Pools::Postgres(_) => Engine::Postgres,
            #[cfg(feature = "sqlite")]
            Pools::Sqlite { .. } => Engine::Sqlite,
        }
    }

    /// Begins a transaction that changes rows of `scope`. Prefer [`transact`](Self::transact), which tries again when the
    /// database is busy.
    ///
    /// # Errors
    /// [`Error::Timeout`] when no connection is free in time, [`Error::Busy`] when another writer holds SQLite,
    /// [`Error::Unavailable`] when there is no database.
    pub async fn begin(&self, scope: Scope) -> Result<Tx, Error> {
        self.begin_as(scope, false).await
    }

    /// Begins a transaction that only reads rows of `scope`, all from one consistent state.
    ///
    /// # Errors
    /// As [`begin`](Self::begin).
    pub async fn begin_read(&self, scope: Scope) -> Result<Tx, Error> {
        self.begin_as(scope, true).await
    }

    async fn begin_as(&self, scope: Scope, read_only: bool) -> Result<Tx, Error> {
        if let Scope::Platform(reason) = scope {
            tracing::trace!(reason, read_only, "transaction over all tenants");
        }
        let inner = match self.shared.pools {
            #[cfg(feature = "postgres")]
            Pools::Postgres(ref pool) => {
                let limit = self.shared.options.begin_timeout();
                Inner::Postgres(crate::postgres::begin(pool, scope, read_only, limit).await?)
            }
            #[cfg(feature = "sqlite")]
            Pools::Sqlite { ref write, ref read, ref deadline } => {
                let (pool, deadline) = if read_only { (read, None) } else { (write, deadline.as_deref()) };
                Inner::Sqlite(crate::sqlite::begin(pool, read_only, deadline, &self.shared.options).await?)
            }
        };
        let conn = Conn { state: State::Sound, ..self.conn(inner) };
        Ok(Tx::new(self.clone(), conn, scope, read_only))
    }

    /// A plain pooled connection for single statements that read tables outside row-level security: a transaction would
    /// triple what such a read costs.
    ///
    /// # Errors
    /// As [`begin`](Self::begin).
    pub async fn read(&self) -> Result<Reader, Error> {
        #[cfg(any(feature = "postgres", feature = "sqlite"))]
        use crate::link::Link;
        let inner = match self.shared.pools {
            #[cfg(feature = "postgres")]
            Pools::Postgres(ref pool) => Inner::Postgres(Link::new(pool.acquire().await?)),
            #[cfg(feature = "sqlite")]
            Pools::Sqlite { ref read, .. } => Inner::Sqlite(Link::new(read.acquire().await?)),
        };
        Ok(Reader(self.conn(inner)))
    }

    fn conn(&self, inner: Inner) -> Conn {
        // The engines enforce the limit themselves; the second on top is for an engine that does not answer at all.
        let statement_timeout = self.shared.options.statement_timeout + Duration::from_secs(1);
        let statements = Arc::clone(&self.shared.statements);
        Conn { inner, statement_timeout, state: State::Plain, statements }
    }

    /// Runs `work` in a transaction on rows of `scope` and commits when it returns `Ok`. When the database is busy or the
    /// transaction loses against another, the whole of `work` runs again, so it must have no effect but through `tx`.
    ///
    /// # Errors
    /// What `work` returns, after a rollback; or the database's own error.
    pub async fn transact<T, E, F>(&self, scope: Scope, mut work: F) -> Result<T, E>
    where
        F: AsyncFnMut(&mut Tx) -> Result<T, E>,
        E: TransactError,
    {
        let started = Instant::now();
        let mut attempt = 1;
        loop {
            let error = match self.attempt(scope, &mut work).await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            let retry = error.as_db().is_some_and(Error::is_retryable);
            // Who has waited for a lock as long as anybody may does not wait for it again.
            let is_late = started.elapsed() >= self.shared.options.lock_timeout;
            if !retry || is_late || attempt >= self.shared.options.attempts_max {
                return Err(error);
            }
            // 4, 8, 16 … ms, each between half and the whole, so that losers do not meet again.
            let ceiling = 2_u64.saturating_pow(attempt.min(8) + 1);
            let wait = Duration::from_micros(fastrand::u64(ceiling * 500..=ceiling * 1_000));
            tracing::debug!(attempt, wait_us = wait.as_micros(), "transaction is tried again");
            tokio::time::sleep(wait).await;
            attempt += 1;
        }
    }

    async fn attempt<T, E, F>(&self, scope: Scope, work: &mut F) -> Result<T, E>
    where
        F: AsyncFnMut(&mut Tx) -> Result<T, E>,
        E: TransactError,
    {
        let mut tx = self.begin(scope).await?;
        match work(&mut tx).await {
            Ok(value) => {
                tx.commit().await?;
                Ok(value)
            }
            Err(error) => {
                // Dropping would roll back as well, but only when the connection is used again.
                if let Err(rollback) = tx.rollback().await {
                    tracing::debug!(code = rollback.code(), "rollback failed; the connection is dropped");
                }
                Err(error)
            }
        }
    }

    /// Hears hints about `topic`, a short name, from now on: see [`Hints`]. On PostgreSQL the first call opens a connection
    /// beside the pool that stays until the last clone of this handle is gone; without one, or behind a pooler that is no
    /// session, only hints of this handle's own transactions are heard.
    #[must_use]
    pub fn hints(&self, topic: &'static str) -> Hints {
        let hints = self.shared.topics.hear(topic);
        match self.shared.pools {
            #[cfg(feature = "postgres")]
            Pools::Postgres(ref pool) => self.shared.listener.start(pool, &self.shared.topics),
            #[cfg(feature = "sqlite")]
            Pools::Sqlite { .. } => {}
        }
        hints
    }

    /// How the pool is doing. On SQLite the writer counts as one connection.
    #[must_use]
    pub fn pool_stats(&self) -> PoolStats {
        let (open, idle, max): (u32, usize, u32) = match self.shared.pools {
            #[cfg(feature = "postgres")]
            Pools::Postgres(ref pool) => (pool.size(), pool.num_idle(), self.shared.options.connections_max),
            #[cfg(feature = "sqlite")]
            Pools::Sqlite { ref write, ref read, .. } => (
                write.size() + read.size(),
                write.num_idle() + read.num_idle(),
                self.shared.options.connections_max + 1,
            ),
        };
        let idle = u32::try_from(idle).unwrap_or(open).min(open);
        PoolStats { max, open, idle, in_use: open - idle }
    }

    /// Waits until every connection is back and closes them; on SQLite this also folds the write-ahead log into the file.
    pub async fn close(&self) {
        match self.shared.pools {
            #[cfg(feature = "postgres")]
            Pools::Postgres(ref pool) => {
                self.shared.listener.stop();
                pool.close().await;
            }
            #[cfg(feature = "sqlite")]
            Pools::Sqlite { ref write, ref read, .. } => {
                read.close().await;
                write.close().await;
            }
        }
    }
}
