//! PostgreSQL: connections with limits, and transactions that know their tenant.

pub(crate) mod listen;

use std::time::Duration;

use sqlx::{
    AssertSqlSafe, Connection as _, PgConnection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use stylobate_core::BoxFuture;

use crate::{
    DbOptions, Error, Scope,
    link::{Link, Transactional},
};

/// A connection in use shows that it is alive by working; only one that has been idle for longer is asked. A busy pool
/// hands out what was returned a moment ago and pays nothing.
const IDLE_UNASKED: Duration = Duration::from_secs(1);

/// How long a connection may take to say that it is alive before another is tried.
const PING_TIMEOUT: Duration = Duration::from_millis(500);

pub(crate) async fn connect(url: &str, options: &DbOptions) -> Result<PgPool, Error> {
    let connect: PgConnectOptions =
        url.parse().map_err(|_| Error::Url("not a PostgreSQL address".to_owned()))?;
    let connect = connect.application_name("stylobate").statement_cache_capacity(256).options([
        ("statement_timeout", options.statement_timeout.as_millis().to_string()),
        ("lock_timeout", options.lock_timeout.as_millis().to_string()),
        // A process that froze inside a transaction must not hold its locks for ever.
        ("idle_in_transaction_session_timeout", "30000".to_owned()),
    ]);
    let pool = PgPoolOptions::new()
        .max_connections(options.connections_max)
        .acquire_timeout(options.acquire_timeout)
        // The ping before each use would cost a round trip.
        .test_before_acquire(false)
        .before_acquire(|connection, meta| {
            Box::pin(async move {
                if meta.idle_for <= IDLE_UNASKED {
                    return Ok(true);
                }
                // An error makes the pool drop the connection and open another in its place.
                match tokio::time::timeout(PING_TIMEOUT, connection.ping()).await {
                    Ok(answer) => answer.map(|()| true),
                    Err(_) => Err(sqlx::Error::PoolTimedOut),
                }
            })
        })
        .connect_with(connect)
        .await?;
    Ok(pool)
}

impl Transactional for sqlx::Postgres {
    /// By the simple query protocol: one round trip, however many statements.
    fn run<'c>(
        connection: &'c mut PgConnection,
        statement: &'c str,
    ) -> BoxFuture<'c, Result<(), sqlx::Error>> {
        Box::pin(async move {
            sqlx::raw_sql(AssertSqlSafe(statement)).execute(connection).await?;
            Ok(())
        })
    }
}

/// Begins a transaction that knows its tenant, in one round trip.
pub(crate) async fn begin(
    pool: &PgPool,
    scope: Scope,
    read_only: bool,
    limit: Duration,
) -> Result<Link<sqlx::Postgres>, Error> {
    let begin = if read_only { "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY" } else { "BEGIN" };
    let statement = match scope {
        // A tenant is a UUID: there is nothing in it to quote.
        Scope::Tenant(tenant) => {
            format!("{begin}; SET LOCAL stylobate.tenant = '{tenant}'; SET LOCAL stylobate.scope = 'tenant'")
        }
        // Sees all tenants, whichever the connection might name.
        Scope::Platform(_) => format!("{begin}; SET LOCAL stylobate.scope = 'platform'"),
    };
    let mut last = Error::Timeout;
    // After the server restarted, every pooled connection is dead: each failure removes one from the pool.
    for _ in 0..=pool.options().get_max_connections() {
        match begin_once(pool, &statement, limit).await {
            Err(error @ Error::Unavailable(_)) => last = error,
            result => return result,
        }
        if pool.num_idle() == 0 {
            break;
        }
    }
    Err(last)
}

async fn begin_once(pool: &PgPool, statement: &str, limit: Duration) -> Result<Link<sqlx::Postgres>, Error> {
    Link::new(pool.acquire().await?).begin(statement, limit).await
}
