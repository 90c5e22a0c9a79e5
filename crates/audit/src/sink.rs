use std::{slice, sync::Arc};

use stylobate_core::{AuditError, AuditEvent, AuditSink, BoxFuture};
use stylobate_db::{Db, Scope};

use crate::{Error, Writer};

/// Stores facts that come without a change of their own, such as failed logins and denials, each in a transaction of
/// its own: in the event's tenant, or on the platform when it names none.
///
/// A caller that holds a `Tx` uses `tx.audit(…)` instead: on SQLite a second transaction would wait for the first.
#[derive(Debug, Clone)]
pub struct Sink {
    db: Db,
    writer: Arc<Writer>,
}

impl Sink {
    /// A sink that writes to `db` by `writer`, whether or not the writer takes part in other transactions there.
    #[must_use]
    pub fn new(db: Db, writer: Arc<Writer>) -> Self {
        Self { db, writer }
    }

    async fn store(&self, event: AuditEvent) -> Result<(), Error> {
        let scope = event.tenant.map_or(Scope::Platform("audit"), Scope::Tenant);
        // The closure owns what it uses: one that borrows gives a future that is not provably `Send`.
        let writer = Arc::clone(&self.writer);
        self.db.transact(scope, async move |tx| writer.write(tx, slice::from_ref(&event)).await).await
    }
}

impl AuditSink for Sink {
    fn record(&self, event: AuditEvent) -> BoxFuture<'_, Result<(), AuditError>> {
        Box::pin(async move { self.store(event).await.map_err(|error| AuditError(Box::new(error))) })
    }
}
