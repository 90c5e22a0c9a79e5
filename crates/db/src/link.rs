//! A connection on loan from its pool, and the transaction on it.
//!
//! sqlx has transactions of its own; these differ in what happens half-way. A `BEGIN` of sqlx 0.9.0 whose future is
//! dropped leaves the transaction open on a connection that goes back to the pool, and its count of open transactions
//! stays wrong after SQLite has rolled one back by itself (full disk). Here a transaction counts as open from before its
//! first byte is sent until the engine has confirmed its end. What is left open is rolled back before the connection is
//! used again, or the connection is closed.

use std::{sync::Arc, time::Duration};

use sqlx::pool::PoolConnection;
use stylobate_core::BoxFuture;

use crate::{Error, deadline::Deadline};

/// How long an abandoned transaction may take to roll back before its connection is closed instead.
const ROLLBACK_TIMEOUT: Duration = Duration::from_secs(5);

/// An engine whose transactions begin and end with statements.
pub(crate) trait Transactional: sqlx::Database {
    /// Runs a statement without parameters whose rows nobody wants.
    fn run<'c>(
        connection: &'c mut Self::Connection,
        statement: &'c str,
    ) -> BoxFuture<'c, Result<(), sqlx::Error>>;
}

/// A connection on loan.
pub(crate) struct Link<D: Transactional> {
    /// Present until it is dropped.
    connection: Option<PoolConnection<D>>,
    is_open: bool,
    deadline: Option<Arc<Deadline>>,
}

impl<D: Transactional> Link<D> {
    /// A connection for single statements.
    pub(crate) fn new(connection: PoolConnection<D>) -> Self {
        Self { connection: Some(connection), is_open: false, deadline: None }
    }

    /// Begins a transaction with `statement`. A connection that refuses it for another reason than
    /// [`Busy`](Error::Busy) is closed.
    pub(crate) async fn begin(mut self, statement: &str, limit: Duration) -> Result<Self, Error> {
        self.is_open = true;
        let begun = self.run(statement, limit).await;
        if let Err(error) = begun {
            self.is_open = false;
            if !matches!(error, Error::Busy)
                && let Some(connection) = self.connection.take()
            {
                drop(connection.detach());
            }
            return Err(error);
        }
        Ok(self)
    }

    /// Ends the transaction with `COMMIT` or `ROLLBACK`.
    pub(crate) async fn end(mut self, statement: &str, limit: Duration) -> Result<(), Error> {
        self.run(statement, limit).await?;
        self.is_open = false;
        Ok(())
    }

    async fn run(&mut self, statement: &str, limit: Duration) -> Result<(), Error> {
        match tokio::time::timeout(limit, D::run(self.raw()?, statement)).await {
            Ok(result) => Ok(result?),
            Err(_) => Err(Error::Timeout),
        }
    }

    /// The transaction's own time limit, lifted when it is over.
    #[cfg(feature = "sqlite")]
    pub(crate) fn limited_by(mut self, deadline: Arc<Deadline>) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Lifts the limit at once.
    #[cfg(feature = "sqlite")]
    pub(crate) fn lift_limit(&mut self) {
        if let Some(deadline) = self.deadline.take() {
            deadline.lift();
        }
    }

    pub(crate) fn raw(&mut self) -> Result<&mut D::Connection, Error> {
        match &mut self.connection {
            Some(connection) => Ok(connection),
            None => Err(Error::Unavailable(Box::new(sqlx::Error::PoolClosed))),
        }
    }
}

impl<D: Transactional> Drop for Link<D> {
    fn drop(&mut self) {
        let deadline = self.deadline.take();
        let lift = |deadline: Option<Arc<Deadline>>| {
            if let Some(deadline) = deadline {
                deadline.lift();
            }
        };
        if !self.is_open {
            // Before the connection goes back: the next user must not meet it.
            return lift(deadline);
        }
        let Some(mut connection) = self.connection.take() else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            // Without a runtime nothing can be sent; closing rolls back as well.
            return drop(connection.detach());
        };
        // Nobody waits for what still runs: it stops at once, and the rollback behind it has its turn.
        if let Some(deadline) = &deadline {
            deadline.set(Duration::ZERO);
        }
        runtime.spawn(async move {
            let rollback = tokio::time::timeout(ROLLBACK_TIMEOUT, D::run(&mut connection, "ROLLBACK"));
            if matches!(rollback.await, Ok(Ok(()))) {
                lift(deadline);
            } else {
                // The deadline stays behind it, so that whatever still runs there ends.
                connection.close_on_drop();
            }
        });
    }
}
