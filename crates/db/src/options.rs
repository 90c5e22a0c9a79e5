use std::time::Duration;

/// How to use a database; the address is separate because it holds a password.
#[derive(Debug, Clone)]
pub struct DbOptions {
    /// Most connections at once: PostgreSQL connections, or SQLite readers beside the one writer. Default 16, enough for
    /// two to four cores; PostgreSQL itself slows down past a few per core.
    pub connections_max: u32,
    /// How long to wait for a free connection before answering [`Error::Timeout`](crate::Error::Timeout). Default 2 s: a
    /// caller gets its 503 within 3 s.
    pub acquire_timeout: Duration,
    /// How long one statement may run. Default 10 s.
    pub statement_timeout: Duration,
    /// How long a statement may wait for a lock of another transaction. Default 5 s; on SQLite also how long a writer
    /// waits for its turn.
    pub lock_timeout: Duration,
    /// How often [`Db::transact`](crate::Db::transact) runs its work when the database is busy or transactions conflict.
    /// Default 6 times over about half a second. None begins after `lock_timeout`.
    pub attempts_max: u32,
}

impl Default for DbOptions {
    fn default() -> Self {
        Self {
            connections_max: 16,
            acquire_timeout: Duration::from_secs(2),
            statement_timeout: Duration::from_secs(10),
            lock_timeout: Duration::from_secs(5),
            attempts_max: 6,
        }
    }
}

impl DbOptions {
    /// How long beginning a transaction may take: on SQLite it waits for the writer's turn.
    pub(crate) fn begin_timeout(&self) -> Duration {
        self.statement_timeout.max(self.lock_timeout) + Duration::from_secs(1)
    }
}
