use stylobate_core::{BoxFuture, Health, HealthCheck};

use crate::{Db, Error, Scope};

/// Asks the database for a trivial answer.
#[derive(Clone)]
pub struct DatabaseHealth(Db);

impl DatabaseHealth {
    /// A check of `db`.
    #[must_use]
    pub fn new(db: Db) -> Self {
        Self(db)
    }
}

impl HealthCheck for DatabaseHealth {
    fn name(&self) -> &'static str {
        "database"
    }

    fn check(&self) -> BoxFuture<'_, Health> {
        Box::pin(async {
            match self.0.ping().await {
                Ok(()) => Health::up(),
                Err(error) => Health::down(error.code()),
            }
        })
    }
}

impl Db {
    /// Asks the database for a trivial answer, through the pool and as a transaction.
    ///
    /// # Errors
    /// [`Error::Timeout`] when no connection is free or the answer is late, [`Error::Unavailable`] when there is no
    /// database.
    pub async fn ping(&self) -> Result<(), Error> {
        let mut tx = self.begin_read(Scope::Platform("health")).await?;
        tx.q("SELECT CAST(1 AS bigint)").scalar::<i64>().await?;
        tx.rollback().await
    }
}
