//! PostgreSQL: connections with limits, and transactions that know their tenant.

use std::time::Duration;

use sqlx::{
    Connection as _, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use crate::{DbOptions, Error, Scope, conn::Link};

/// A connection in use shows that it is alive by working; only one that has been idle for longer is asked. A busy pool
/// hands out what was returned a moment ago and pays nothing.
const IDLE_UNASKED: Duration = Duration::from_secs(1);

/// How long a connection may take to say that it is alive before another is tried.
const PING_TIMEOUT: Duration = Duration::from_millis(500);

pub(crate) async fn connect(url: &str, options: &DbOptions) -> Result<PgPool, Error> {
    let connect: PgConnectOptions =
        url.parse().map_err(|_| Error::Url("not a PostgreSQL address".to_owned()))?;
    let connect = connect.application_name("stylobate").options([
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

/// Begins in a task of its own: `begin` of sqlx 0.9.0 leaves the connection inside a transaction when its future is
/// dropped half-way, and the next user would work with this one's tenant.
pub(crate) async fn begin(
    pool: &PgPool,
    scope: Scope,
    read_only: bool,
) -> Result<Link<sqlx::Postgres>, Error> {
    let pool = pool.clone();
    let begun = tokio::spawn(async move {
        let mut last = Error::Timeout;
        // After the server restarted, every pooled connection is dead: each failure removes one from the pool.
        for _ in 0..=pool.options().get_max_connections() {
            match begin_once(&pool, scope, read_only).await {
                Err(error @ Error::Unavailable(_)) => last = error,
                result => return result,
            }
            if pool.num_idle() == 0 {
                break;
            }
        }
        Err(last)
    });
    begun.await.map_err(|error| Error::Engine(Box::new(error)))?
}

async fn begin_once(pool: &PgPool, scope: Scope, read_only: bool) -> Result<Link<sqlx::Postgres>, Error> {
    let statement = if read_only { "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY" } else { "BEGIN" };
    #[expect(clippy::disallowed_methods, reason = "inside the task that makes it safe")]
    let mut transaction = pool.begin_with(statement).await?;
    let (tenant, kind) = match scope {
        Scope::Tenant(tenant) => (tenant.to_string(), "tenant"),
        Scope::Platform(_) => (String::new(), "platform"),
    };
    sqlx::query("SELECT set_config('stylobate.tenant', $1, true), set_config('stylobate.scope', $2, true)")
        .bind(tenant)
        .bind(kind)
        .execute(&mut *transaction)
        .await?;
    Ok(Link::Transaction(transaction))
}
