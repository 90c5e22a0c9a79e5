use std::{fmt, time::Duration};

use stylobate_core::BoxFuture;
use stylobate_db::{Db, Error, TransactError, Tx};

use crate::{Envelope, Types};

/// Hears events in this process.
///
/// Each event is handled in a transaction of its own in which the delivery is removed, so what a handler does through `tx`
/// happens exactly once, whatever dies when. What it does elsewhere may happen more often.
pub trait Subscriber: Send + Sync {
    /// The name under which what is owed to it is kept: 1 to 64 characters of `a-z 0-9 . _ -`. It outlives programs: another
    /// name is another subscriber.
    fn name(&self) -> &'static str;

    /// Which types it hears. Events of a type that it no longer names may still come for a while.
    fn types(&self) -> Types;

    /// Handles `event` inside `tx`, which has the scope of the event's tenant, or the platform's when it has none. It may run
    /// again for the same event after the transaction was rolled back.
    fn handle<'a>(&'a self, tx: &'a mut Tx, event: &'a Envelope) -> BoxFuture<'a, Result<(), Refused>>;
}

/// Why an event was not taken.
#[derive(Debug)]
pub struct Refused {
    reason: Reason,
    after: Option<Duration>,
}

#[derive(Debug)]
enum Reason {
    Later(String),
    Never(String),
    Db(Error),
}

impl Refused {
    /// It did not work; it may another time. Tell no secrets: the text is kept and shown.
    #[must_use]
    pub fn later(why: impl fmt::Display) -> Self {
        Self { reason: Reason::Later(why.to_string()), after: None }
    }

    /// It can never work: the event becomes a dead letter at once. Tell no secrets: the text is kept and shown.
    #[must_use]
    pub fn never(why: impl fmt::Display) -> Self {
        Self { reason: Reason::Never(why.to_string()), after: None }
    }

    /// The same, not to be tried again before `wait` is over, at most a day.
    #[must_use]
    pub fn after(mut self, wait: Duration) -> Self {
        self.after = Some(wait);
        self
    }

    /// Whether it can never work.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(self.reason, Reason::Never(_))
    }

    /// The wait that was asked for.
    #[must_use]
    pub fn wait(&self) -> Option<Duration> {
        self.after
    }

    /// Whether it may have been the database, and not the event.
    fn seems_outage(&self) -> bool {
        matches!(&self.reason, Reason::Db(Error::Unavailable(_) | Error::Busy))
    }
}

/// How long the database may take to say that it is there.
const PATIENCE: Duration = Duration::from_secs(5);

/// Whether it was the database, and not the event: then it answers nobody. An event that alone meets such an error each time would
/// otherwise keep all others from its subscriber for ever.
pub(crate) async fn is_outage(db: &Db, refused: &Refused) -> bool {
    refused.seems_outage() && !matches!(tokio::time::timeout(PATIENCE, db.ping()).await, Ok(Ok(())))
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reason {
            Reason::Later(why) | Reason::Never(why) => f.write_str(why),
            Reason::Db(error) => write!(f, "{error} ({})", error.code()),
        }
    }
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self { reason: Reason::Db(error), after: None }
    }
}

impl TransactError for Refused {
    fn as_db(&self) -> Option<&Error> {
        match &self.reason {
            Reason::Db(error) => Some(error),
            Reason::Later(_) | Reason::Never(_) => None,
        }
    }
}
