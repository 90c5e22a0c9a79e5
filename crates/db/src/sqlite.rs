//! SQLite: one writer, many readers, WAL.

use std::{path::Path, sync::Arc, time::Duration};

use sqlx::{
    AssertSqlSafe, SqliteConnection, SqlitePool,
    sqlite::{
        SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous,
    },
};
use stylobate_core::BoxFuture;

use crate::{
    DbOptions, Error,
    deadline::{Deadline, WriterDeadline},
    handle::Pools,
    link::{Link, Transactional},
};

/// How many pages the writer keeps: 4 MiB, as KiB below zero.
const WRITER_PAGES: &str = "-4096";
/// How many each reader keeps: 2 MiB. There are as many copies of the same pages as readers, and the system's cache holds them once more.
const READER_PAGES: &str = "-2048";

pub(crate) async fn connect(url: &str, options: &DbOptions) -> Result<Pools, Error> {
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
        .foreign_keys(true)
        .busy_timeout(options.lock_timeout)
        .statement_cache_capacity(256)
        // Rows that wait between SQLite's thread and whoever reads them: with few, the two wake each other all the time.
        .row_buffer_size(1_024)
        .pragma("temp_store", "memory")
        .pragma("trusted_schema", "off");
    create_private(connect.get_filename())?;
    let pool =
        || SqlitePoolOptions::new().acquire_timeout(options.acquire_timeout).test_before_acquire(false);
    let writer = Arc::new(WriterDeadline::default());
    let write = pool()
        .max_connections(1)
        .acquire_timeout(options.lock_timeout)
        .idle_timeout(None)
        .max_lifetime(None)
        .after_connect({
            let writer = Arc::clone(&writer);
            move |connection, _| {
                let deadline = Arc::new(Deadline::new());
                writer.replace(&deadline);
                Box::pin(async move { ask(connection, &deadline).await })
            }
        })
        // Setting it takes the writer's lock, even where it is set already: no reader waits for that.
        .connect_with(
            connect
                .clone()
                .pragma("cache_size", WRITER_PAGES)
                .auto_vacuum(SqliteAutoVacuum::Incremental)
                .create_if_missing(true),
        )
        .await?;
    let read = pool()
        .max_connections(options.connections_max)
        .idle_timeout(Duration::from_secs(30))
        .connect_with(connect.pragma("cache_size", READER_PAGES).pragma("query_only", "on"))
        .await?;
    Ok(Pools::Sqlite { write, read, deadline: Some(writer) })
}

/// Whether the file is there.
pub(crate) fn exists(url: &str) -> Result<bool, Error> {
    let connect: SqliteConnectOptions =
        url.parse().map_err(|_| Error::Url("not an SQLite address".to_owned()))?;
    Ok(connect.get_filename().exists())
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

impl Transactional for sqlx::Sqlite {
    /// As a statement that stays prepared.
    fn run<'c>(
        connection: &'c mut SqliteConnection,
        statement: &'c str,
    ) -> BoxFuture<'c, Result<(), sqlx::Error>> {
        Box::pin(async move {
            sqlx::query(AssertSqlSafe(statement)).execute(connection).await?;
            Ok(())
        })
    }
}

/// Begins a transaction whose statements together get what three may take. `writer` has the deadline that the connection
/// asks since it was opened, if it does.
pub(crate) async fn begin(
    pool: &SqlitePool,
    read_only: bool,
    writer: Option<&WriterDeadline>,
    options: &DbOptions,
) -> Result<Link<sqlx::Sqlite>, Error> {
    // A transaction that reads first and writes later would ignore the busy time-out at the upgrade.
    let statement = if read_only { "BEGIN" } else { "BEGIN IMMEDIATE" };
    let mut link = Link::new(pool.acquire().await?).begin(statement, options.begin_timeout()).await?;
    let deadline = match writer {
        Some(writer) => writer.current(),
        None => {
            let deadline = Arc::new(Deadline::new());
            ask(link.raw()?, &deadline).await?;
            deadline
        }
    };
    deadline.set(options.statement_timeout * 3);
    Ok(link.limited_by(deadline))
}

/// Has SQLite ask `deadline` every 10,000 steps of its virtual machine, a fraction of a millisecond, and stop when it
/// has passed.
async fn ask(connection: &mut SqliteConnection, deadline: &Arc<Deadline>) -> Result<(), sqlx::Error> {
    let deadline = Arc::clone(deadline);
    connection.lock_handle().await?.set_progress_handler(10_000, move || !deadline.has_passed());
    Ok(())
}
