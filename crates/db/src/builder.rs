use std::sync::Arc;

use crate::{
    Db, DbOptions, Error, Participant,
    handle::{Pools, Shared},
};

/// Puts a [`Db`] together: where it is, and who takes part in its transactions.
pub struct DbBuilder {
    url: String,
    options: DbOptions,
    participants: Vec<Arc<dyn Participant>>,
    without_audit: bool,
    without_events: bool,
}

impl DbBuilder {
    pub(crate) fn new(url: &str, options: DbOptions) -> Self {
        Self {
            url: url.to_owned(),
            options,
            participants: Vec::new(),
            without_audit: false,
            without_events: false,
        }
    }

    /// Lets `participant` take part in every transaction that buffered events, in the order of these calls.
    #[must_use]
    pub fn participant(mut self, participant: Arc<dyn Participant>) -> Self {
        self.participants.push(participant);
        self
    }

    /// Lets audit events vanish when no participant takes them. Without this they make the commit fail.
    #[must_use]
    pub fn without_audit(mut self) -> Self {
        self.without_audit = true;
        self
    }

    /// Lets domain events vanish when no participant takes them. Without this they make the commit fail.
    #[must_use]
    pub fn without_events(mut self) -> Self {
        self.without_events = true;
        self
    }

    /// Connects.
    ///
    /// # Errors
    /// [`Error::Url`] when the address names no engine of this build, [`Error::Unavailable`] when nothing answers.
    pub async fn connect(self) -> Result<Db, Error> {
        let (scheme, _) = self.url.split_once(':').unwrap_or_default();
        match scheme {
            #[cfg(feature = "postgres")]
            "postgres" | "postgresql" => {
                let pool = crate::postgres::connect(&self.url, &self.options).await?;
                Ok(self.build(Pools::Postgres(pool)))
            }
            #[cfg(feature = "sqlite")]
            "sqlite" => {
                let pools = crate::sqlite::connect(&self.url, &self.options).await?;
                Ok(self.build(pools))
            }
            // The address may hold a password, so only its scheme is repeated.
            other => Err(Error::Url(format!("no engine for the scheme `{other}` is compiled in"))),
        }
    }

    /// Uses a pool that exists already. Its connections keep their own limits; begin transactions only through [`Db`].
    #[cfg(feature = "postgres")]
    #[must_use]
    pub fn with_postgres_pool(self, pool: sqlx::PgPool) -> Db {
        self.build(Pools::Postgres(pool))
    }

    /// Uses pools that exist already: a writer with one connection and readers on the same file, all in WAL mode.
    #[cfg(feature = "sqlite")]
    #[must_use]
    pub fn with_sqlite_pools(self, write: sqlx::SqlitePool, read: sqlx::SqlitePool) -> Db {
        self.build(Pools::Sqlite { write, read, deadline: None })
    }

    fn build(self, pools: Pools) -> Db {
        let taken =
            |which: fn(&crate::Takes) -> bool| self.participants.iter().any(|one| which(&one.takes()));
        Db::new(Shared {
            pools,
            audit_is_taken: self.without_audit || taken(|takes| takes.audit),
            events_are_taken: self.without_events || taken(|takes| takes.events),
            options: self.options,
            participants: self.participants,
            topics: Arc::default(),
            statements: Arc::default(),
            #[cfg(feature = "postgres")]
            listener: crate::postgres::listen::Listener::default(),
        })
    }
}
