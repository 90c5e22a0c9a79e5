//! SQLite: one writer, many readers, WAL.

use std::time::{Duration, Instant};

use sqlx::{
    SqlitePool,
    sqlite::{
        SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous,
    },
};

use crate::{DbOptions, Error, conn::Link};

pub(crate) async fn connect(url: &str, options: &DbOptions) -> Result<(SqlitePool, SqlitePool), Error> {
    let connect: SqliteConnectOptions =
        url.parse().map_err(|_| Error::Url("not an SQLite address".to_owned()))?;
    if url.contains(":memory:") || url.contains("mode=memory") {
        return Err(Error::Url(
            "an SQLite database in memory cannot have a writer and readers; use a file".to_owned(),
        ));
    }
    let connect = connect
        .journal_mode(SqliteJournalMode::Wal)
        // A commit is on disk when it is acknowledged, also after a power cut.
        .synchronous(SqliteSynchronous::Full)
        .auto_vacuum(SqliteAutoVacuum::Incremental)
        .foreign_keys(true)
        .busy_timeout(options.lock_timeout)
        .statement_cache_capacity(256)
        .pragma("temp_store", "memory")
        .pragma("trusted_schema", "off")
        // 4 MiB of pages per connection.
        .pragma("cache_size", "-4096");
    let pool =
        || SqlitePoolOptions::new().acquire_timeout(options.acquire_timeout).test_before_acquire(false);
    let write = pool()
        .max_connections(1)
        .acquire_timeout(options.lock_timeout)
        .idle_timeout(None)
        .max_lifetime(None)
        .connect_with(connect.clone().create_if_missing(true))
        .await?;
    let read = pool()
        .max_connections(options.connections_max)
        .idle_timeout(Duration::from_secs(30))
        .connect_with(connect.pragma("query_only", "on"))
        .await?;
    Ok((write, read))
}

/// Begins in a task of its own, for the same reason as on PostgreSQL, and sets the deadline of the transaction: SQLite has
/// no statement time-out, and a dropped query would otherwise keep the only writer until it is done.
pub(crate) async fn begin(
    pool: &SqlitePool,
    read_only: bool,
    statement_timeout: Duration,
) -> Result<Link<sqlx::Sqlite>, Error> {
    let pool = pool.clone();
    let begun = tokio::spawn(async move {
        // A transaction that reads first and writes later would ignore the busy time-out at the upgrade.
        let statement = if read_only { "BEGIN" } else { "BEGIN IMMEDIATE" };
        #[expect(clippy::disallowed_methods, reason = "inside the task that makes it safe")]
        let mut transaction = pool.begin_with(statement).await?;
        // The whole transaction gets what three statements may take.
        let deadline = Instant::now() + statement_timeout * 3;
        transaction.lock_handle().await?.set_progress_handler(10_000, move || Instant::now() < deadline);
        Ok(Link::Transaction(transaction))
    });
    begun.await.map_err(|error| Error::Engine(Box::new(error)))?
}
