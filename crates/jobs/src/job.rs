use std::{fmt, future::Future, time::Duration};

use chrono::TimeDelta;
use serde::{Serialize, de::DeserializeOwned};

use crate::{Attempt, Backoff};

/// A kind of work that is done in the background: its fields are what it needs to know, and are stored as JSON.
///
/// An attempt may be made more than once, for a worker can die between doing the work and saying so. Work that must not be
/// done twice either checks whether it was done, or changes the database in one transaction with
/// [`Attempt::complete_in`].
pub trait Job: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// Names it in the database, for good: `reports.send`. 1 to 128 characters of `a-z 0-9 . _ -`.
    const NAME: &'static str;
    /// The version of its fields' shape, from 1. Workers that know an older one hand the job back.
    const VERSION: u16 = 1;
    /// The queue it waits in. 1 to 64 characters of `a-z 0-9 . _ -`.
    const QUEUE: &'static str = "default";
    /// How long one attempt may take. 1 s to 1 day.
    const TIMEOUT: Duration = Duration::from_secs(300);
    /// After how many attempts it is given up. 1 to 1,000; with the usual [`BACKOFF`](Self::BACKOFF), ten span two hours.
    const ATTEMPTS_MAX: u16 = 10;
    /// How long it waits between attempts.
    const BACKOFF: Backoff = Backoff::DEFAULT;
    /// How many jobs of one tenant and [`key`](Self::key) run at once, over all workers.
    const KEY_LIMIT: u16 = 1;

    /// What it works with: clients, services. Cloned for each attempt; handed in when the worker is put together.
    type State: Clone + Send + Sync + 'static;
    /// What it results in; stored as JSON, at most 64 KiB.
    type Output: Serialize + DeserializeOwned + Send;
    /// How it fails, and what is to be done then.
    type Error: Failure;

    /// What it shares with other jobs of its tenant and queue that must not run beside it, for example an account; 1 to 200
    /// characters.
    fn key(&self) -> Option<String> {
        None
    }

    /// By what it is the same job as another one.
    fn unique(&self) -> Option<Unique> {
        None
    }

    /// Does the work once.
    fn run(
        self,
        attempt: Attempt,
        state: Self::State,
    ) -> impl Future<Output = Result<Self::Output, Self::Error>> + Send;
}

/// By what two jobs are the same: the second one is not added, the first is handed out in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unique {
    /// Jobs of one tenant with the same name and key are the same; 1 to 200 characters.
    pub key: String,
    /// Also for this long after the first was asked for, even if it has finished. Without it, only while it has not.
    pub within: Option<TimeDelta>,
}

impl Unique {
    /// One job of `key` that has not finished.
    #[must_use]
    pub fn while_live(key: impl Into<String>) -> Self {
        Self { key: key.into(), within: None }
    }

    /// One job of `key` that has not finished or was asked for less than `window` ago.
    #[must_use]
    pub fn within(key: impl Into<String>, window: TimeDelta) -> Self {
        Self { key: key.into(), within: Some(window) }
    }
}

/// What is to be done about a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Try again after the job's back-off.
    Retry,
    /// Try again after this long, or in the year 4999 if that is sooner; it counts as an attempt.
    RetryAfter(Duration),
    /// Trying again cannot help: a dead letter at once.
    Discard,
}

/// How a job fails. Its text is stored with the job and shown to administrators: no secrets in it.
pub trait Failure: fmt::Display + Send {
    /// What is to be done.
    fn action(&self) -> Action {
        Action::Retry
    }
}

impl Failure for std::convert::Infallible {}

/// A ready-made [`Failure`] for jobs that need no error of their own: `?` makes one of any error, to be retried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    action: Action,
    message: String,
}

impl Failed {
    /// To be tried again.
    #[must_use]
    pub fn retry(message: impl fmt::Display) -> Self {
        Self { action: Action::Retry, message: message.to_string() }
    }

    /// To be tried again after `wait`.
    #[must_use]
    pub fn retry_after(wait: Duration, message: impl fmt::Display) -> Self {
        Self { action: Action::RetryAfter(wait), message: message.to_string() }
    }

    /// Not to be tried again.
    #[must_use]
    pub fn discard(message: impl fmt::Display) -> Self {
        Self { action: Action::Discard, message: message.to_string() }
    }
}

impl Failed {
    /// The same as another failure.
    pub(crate) fn of(failure: &impl Failure) -> Self {
        Self { action: failure.action(), message: failure.to_string() }
    }

    /// The same with `words` in front of its message.
    pub(crate) fn about(mut self, words: &str) -> Self {
        self.message = format!("{words}: {}", self.message);
        self
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Failure for Failed {
    fn action(&self) -> Action {
        self.action
    }
}

// Not an error itself, so that every error can become one.
impl<E: std::error::Error> From<E> for Failed {
    fn from(error: E) -> Self {
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            message.push_str(": ");
            message.push_str(&cause.to_string());
            source = cause.source();
        }
        Self { action: Action::Retry, message }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the mail server does not answer")]
    struct Outer(#[source] std::io::Error);

    fn fails() -> Result<(), Failed> {
        Err(Outer(std::io::Error::other("connection refused")))?;
        Ok(())
    }

    #[test]
    fn a_question_mark_makes_of_any_error_a_failure_to_be_retried_with_its_causes() {
        let failed = fails().unwrap_err();
        assert_eq!(failed.to_string(), "the mail server does not answer: connection refused");
        assert_eq!(failed.action(), Action::Retry);
    }

    #[test]
    fn a_failure_says_what_is_to_be_done() {
        let wait = Duration::from_secs(7);
        assert_eq!(Failed::retry("later").action(), Action::Retry);
        assert_eq!(Failed::retry_after(wait, "later").action(), Action::RetryAfter(wait));
        assert_eq!(Failed::discard("never").action(), Action::Discard);
    }
}
