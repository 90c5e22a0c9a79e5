//! SQLite: one writer, many readers, WAL.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use sqlx::{
    Connection as _, SqlitePool,
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
    create_private(connect.get_filename())?;
    let pool =
        || SqlitePoolOptions::new().acquire_timeout(options.acquire_timeout).test_before_acquire(false);
    let write = pool()
        .max_connections(1)
        .acquire_timeout(options.lock_timeout)
        .idle_timeout(None)
        .max_lifetime(None)
        // When the disk is full or a statement is interrupted, SQLite rolls back by itself; the ROLLBACK that follows fails,
        // and the connection would count as inside a transaction for ever. The ping waits for a rollback that a dropped
        // transaction left behind.
        .before_acquire(|connection, _| {
            Box::pin(async move {
                connection.ping().await?;
                Ok(!connection.is_in_transaction())
            })
        })
        .connect_with(connect.clone().create_if_missing(true))
        .await?;
    let read = pool()
        .max_connections(options.connections_max)
        .idle_timeout(Duration::from_secs(30))
        // A transaction that was dropped leaves its deadline behind, which would cut short the next user's statement.
        // The pool runs this after the user is done, so that no read waits for it.
        .after_release(|connection, _| {
            Box::pin(async move {
                connection.lock_handle().await?.remove_progress_handler();
                Ok(true)
            })
        })
        .connect_with(connect.pragma("query_only", "on"))
        .await?;
    Ok((write, read))
}

/// Creates the file, when it does not exist, so that only its owner can read it; SQLite gives the mode of the file to the
/// `-wal` and `-shm` files beside it.
fn create_private(path: &Path) -> Result<(), Error> {
    #[cfg(unix)]
    {
        use std::{io, os::unix::fs::OpenOptionsExt as _};

        let created = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        if let Err(error) = created
            && error.kind() != io::ErrorKind::AlreadyExists
        {
            return Err(Error::Unavailable(Box::new(error)));
        }
    }
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
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
