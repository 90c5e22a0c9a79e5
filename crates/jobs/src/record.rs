use std::{fmt, marker::PhantomData};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stylobate_core::{JobId, PageLimit, ScheduleId, TenantId};

use crate::{Handle, Job, Jobs, State};

/// Most bytes of a payload: 1 MiB. What is larger belongs into a file or table of its own.
pub const PAYLOAD_MAX: usize = 1 << 20;

/// A job as it is stored.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct JobRecord {
    /// Names it.
    pub id: JobId,
    /// Whose it is; `None` is the platform's.
    pub tenant_id: Option<TenantId>,
    /// Where it waits.
    pub queue: String,
    /// What kind of job it is.
    pub name: String,
    /// The version of its payload.
    pub version: u16,
    /// What it needs to know; the stored text when that is no JSON.
    pub payload: Value,
    /// Where it is in its life.
    pub state: State,
    /// Not before then.
    pub run_at: DateTime<Utc>,
    /// How many attempts there have been; those that were handed back are not counted.
    pub attempt: u32,
    /// After how many attempts it is given up.
    pub attempts_max: u32,
    /// What it shares with jobs that must not run beside it.
    pub key: Option<String>,
    /// By what it is the same as another.
    pub unique_key: Option<String>,
    /// Which worker has it, or had it last.
    pub worker: Option<String>,
    /// Whether somebody called it off while it was running.
    pub cancel_requested: bool,
    /// How far it says it is.
    pub progress: Option<Progress>,
    /// What an attempt left for the next one: [`Attempt::set_checkpoint`](crate::Attempt::set_checkpoint).
    pub checkpoint: Option<Value>,
    /// What it resulted in.
    pub result: Option<Value>,
    /// Its last failures, oldest first; at most [`ERRORS_KEPT`].
    pub errors: Vec<AttemptError>,
    /// The trace of whoever asked for it (W3C Trace Context).
    pub traceparent: Option<String>,
    /// The schedule that asked for it.
    pub schedule_id: Option<ScheduleId>,
    /// The slot of the schedule.
    pub slot: Option<DateTime<Utc>>,
    /// When it was asked for.
    pub created_at: DateTime<Utc>,
    /// When it was last claimed.
    pub claimed_at: Option<DateTime<Utc>>,
    /// When it finished.
    pub finished_at: Option<DateTime<Utc>>,
}

/// A job in a list: what is known about it without what may be large. [`Jobs::get`] has its payload, checkpoint and result.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct JobSummary {
    /// Names it.
    pub id: JobId,
    /// Whose it is; `None` is the platform's.
    pub tenant_id: Option<TenantId>,
    /// Where it waits.
    pub queue: String,
    /// What kind of job it is.
    pub name: String,
    /// The version of its payload.
    pub version: u16,
    /// Where it is in its life.
    pub state: State,
    /// Not before then.
    pub run_at: DateTime<Utc>,
    /// How many of its attempts count: those that were handed back do not.
    pub attempt: u32,
    /// After how many attempts it is given up.
    pub attempts_max: u32,
    /// What it shares with jobs that must not run beside it.
    pub key: Option<String>,
    /// By what it is the same as another.
    pub unique_key: Option<String>,
    /// Which worker has it, or had it last.
    pub worker: Option<String>,
    /// Whether somebody called it off while it was running.
    pub cancel_requested: bool,
    /// How far it says it is.
    pub progress: Option<Progress>,
    /// Its last failures, oldest first; at most [`ERRORS_KEPT`].
    pub errors: Vec<AttemptError>,
    /// The trace of whoever asked for it (W3C Trace Context).
    pub traceparent: Option<String>,
    /// The schedule that asked for it.
    pub schedule_id: Option<ScheduleId>,
    /// The slot of the schedule.
    pub slot: Option<DateTime<Utc>>,
    /// When it was asked for.
    pub created_at: DateTime<Utc>,
    /// When it was last claimed.
    pub claimed_at: Option<DateTime<Utc>>,
    /// When it finished.
    pub finished_at: Option<DateTime<Utc>>,
}

impl From<JobRecord> for JobSummary {
    fn from(job: JobRecord) -> Self {
        Self {
            id: job.id,
            tenant_id: job.tenant_id,
            queue: job.queue,
            name: job.name,
            version: job.version,
            state: job.state,
            run_at: job.run_at,
            attempt: job.attempt,
            attempts_max: job.attempts_max,
            key: job.key,
            unique_key: job.unique_key,
            worker: job.worker,
            cancel_requested: job.cancel_requested,
            progress: job.progress,
            errors: job.errors,
            traceparent: job.traceparent,
            schedule_id: job.schedule_id,
            slot: job.slot,
            created_at: job.created_at,
            claimed_at: job.claimed_at,
            finished_at: job.finished_at,
        }
    }
}

/// How many failures of a job are kept.
pub const ERRORS_KEPT: usize = 10;

/// One failed attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptError {
    /// Which, from 1.
    pub attempt: u32,
    /// When it ended.
    pub at: DateTime<Utc>,
    /// Why, at most 2,000 characters.
    pub message: String,
}

/// How far a job says it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// 0 to 100.
    pub percent: u8,
    /// What it is doing, at most 200 characters.
    pub note: Option<String>,
}

/// Which jobs to list, newest first.
#[derive(Debug, Clone, Default)]
pub struct JobQuery {
    /// Only those in this state.
    pub state: Option<State>,
    /// Only those of this queue.
    pub queue: Option<String>,
    /// Only those of this name.
    pub name: Option<String>,
    /// Only those of this schedule.
    pub schedule_id: Option<ScheduleId>,
    /// How many at most.
    pub limit: PageLimit,
    /// Where the last page ended.
    pub cursor: Option<String>,
}

/// What was asked for: a job of kind `J`, or of a kind that the program that asked does not name
/// ([`Schedules::run_now`](crate::Schedules::run_now)).
pub struct Enqueued<J = ()> {
    /// The job, or the one that is the same by its unique key.
    pub id: JobId,
    /// Whether it is new.
    pub is_new: bool,
    kind: PhantomData<fn() -> J>,
}

impl<J> Enqueued<J> {
    pub(crate) fn new(id: JobId, is_new: bool) -> Self {
        Self { id, is_new, kind: PhantomData }
    }

    /// The same, of a kind that the caller knows.
    pub(crate) fn of<K>(self) -> Enqueued<K> {
        Enqueued::new(self.id, self.is_new)
    }
}

impl<J: Job> Enqueued<J> {
    /// What is known about it, with its output typed. To be asked when the transaction is committed.
    #[must_use]
    pub fn handle(&self, jobs: &Jobs) -> Handle<J> {
        jobs.handle(self.id)
    }
}

impl<J> Clone for Enqueued<J> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<J> Copy for Enqueued<J> {}

impl<J> PartialEq for Enqueued<J> {
    fn eq(&self, other: &Self) -> bool {
        (self.id, self.is_new) == (other.id, other.is_new)
    }
}

impl<J> Eq for Enqueued<J> {}

impl<J> fmt::Debug for Enqueued<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Enqueued").field("id", &self.id).field("is_new", &self.is_new).finish()
    }
}

/// Adds a failure, and lets the oldest go when there are too many.
pub(crate) fn with_error(
    mut errors: Vec<AttemptError>,
    attempt: u32,
    at: DateTime<Utc>,
    message: &str,
) -> Vec<AttemptError> {
    errors.push(AttemptError { attempt, at, message: shortened(message, 2_000) });
    let surplus = errors.len().saturating_sub(ERRORS_KEPT);
    errors.drain(..surplus);
    errors
}

/// The first `characters`, without NUL, which PostgreSQL does not store.
pub(crate) fn shortened(text: &str, characters: usize) -> String {
    text.chars().map(|one| if one == '\0' { '\u{fffd}' } else { one }).take(characters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_failures_are_kept_and_shortened() {
        let mut errors = Vec::new();
        for attempt in 1..=12 {
            errors = with_error(errors, attempt, DateTime::UNIX_EPOCH, &"é\0".repeat(3_000));
        }
        let kept: Vec<u32> = errors.iter().map(|error| error.attempt).collect();
        assert_eq!(kept, (3..=12).collect::<Vec<_>>());
        assert!(errors.iter().all(|error| error.message.chars().count() == 2_000));
        assert!(!errors[0].message.contains('\0'));
    }
}
