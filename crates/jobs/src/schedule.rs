//! When to ask for jobs.

mod health;
mod scheduler;
mod service;
mod timing;
mod watch;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use stylobate_core::{JobId, PageLimit, ScheduleId, TenantId};

pub use health::ScheduleHealth;
pub use service::Schedules;
pub use timing::{CatchUp, ON_TIME, Overlap, Ticks, Timing, tick};

use crate::{Job, JobsError};

/// A schedule as it is stored: which job is asked for, and when.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Schedule {
    /// Names it.
    pub id: ScheduleId,
    /// Whose it is, and its jobs are; `None` is the platform's.
    pub tenant_id: Option<TenantId>,
    /// What people call it; unique among those of its tenant.
    pub name: String,
    /// The kind of its jobs.
    pub job: String,
    /// The version of the payload.
    pub job_version: u16,
    /// What its jobs need to know.
    pub payload: Value,
    /// When its slots are.
    pub timing: Timing,
    /// Which of `payload` and `timing` cannot be read as they are stored; they are shown as the stored text. Such a schedule asks for
    /// nothing until they are replaced, and can be removed.
    pub unreadable: Vec<&'static str>,
    /// What is done about missed slots.
    pub catch_up: CatchUp,
    /// What is done about slots while an earlier job has not finished.
    pub overlap: Overlap,
    /// Whether it asks for anything.
    pub is_enabled: bool,
    /// Its first slot that nobody has decided on; `None` when it is disabled or has no more.
    pub next_run_at: Option<DateTime<Utc>>,
    /// The latest slot that it asked for a job at.
    pub last_slot: Option<DateTime<Utc>>,
    /// The job that it asked for last, at a slot or by hand.
    pub last_job_id: Option<JobId>,
    /// How many slots were left out, missed or because of an overlap.
    pub skipped: i64,
    /// Counts its edits, from 1.
    pub version: i64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last edited.
    pub updated_at: DateTime<Utc>,
}

/// A schedule to be made.
#[derive(Debug, Clone, PartialEq)]
pub struct NewSchedule {
    /// 1 to 128 characters, none of them a control character, no space at either end.
    pub name: String,
    /// A kind of job that the registry knows.
    pub job: String,
    /// What its jobs need to know.
    pub payload: Value,
    /// When its slots are.
    pub timing: Timing,
    /// Default [`CatchUp::One`].
    pub catch_up: CatchUp,
    /// Default [`Overlap::Allow`].
    pub overlap: Overlap,
    /// Default `true`.
    pub is_enabled: bool,
}

impl NewSchedule {
    /// One that asks for jobs of the kind `job`.
    pub fn new(name: impl Into<String>, job: impl Into<String>, payload: Value, timing: Timing) -> Self {
        Self {
            name: name.into(),
            job: job.into(),
            payload,
            timing,
            catch_up: CatchUp::default(),
            overlap: Overlap::default(),
            is_enabled: true,
        }
    }

    /// One that asks for `job`.
    ///
    /// # Errors
    /// [`JobsError::Payload`] when it cannot be written.
    pub fn of<J: Job>(name: impl Into<String>, job: &J, timing: Timing) -> Result<Self, JobsError> {
        let payload =
            serde_json::to_value(job).map_err(|source| JobsError::Payload { name: J::NAME, source })?;
        Ok(Self::new(name, J::NAME, payload, timing))
    }
}

/// What is to be changed about a schedule; `None` stays as it is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ScheduleChange {
    /// See [`NewSchedule::name`].
    pub name: Option<String>,
    /// See [`NewSchedule::job`].
    pub job: Option<String>,
    /// See [`NewSchedule::payload`].
    pub payload: Option<Value>,
    /// When its slots are, from now on: what is due and has not run is forgotten.
    pub timing: Option<Timing>,
    /// See [`NewSchedule::catch_up`].
    pub catch_up: Option<CatchUp>,
    /// See [`NewSchedule::overlap`].
    pub overlap: Option<Overlap>,
    /// Whether it asks for anything. What it would have asked for while it was disabled is not caught up on.
    pub is_enabled: Option<bool>,
}

/// Which schedules to list, by name.
#[derive(Debug, Clone, Default)]
pub struct ScheduleQuery {
    /// Only those that are enabled, or are not.
    pub is_enabled: Option<bool>,
    /// Only those of this kind of job.
    pub job: Option<String>,
    /// How many at most.
    pub limit: PageLimit,
    /// Where the last page ended.
    pub cursor: Option<String>,
}

/// What one look at all schedules came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ticked {
    /// How many jobs this scheduler asked for.
    pub enqueued: usize,
    /// How many slots it left out.
    pub skipped: u64,
    /// How many due schedules it cannot serve: of kinds, or versions of them, that its registry does not know, or damaged. They
    /// stay due, for a scheduler that can.
    pub unserved: usize,
    /// When the next schedule that was not due will be.
    pub next_run_at: Option<DateTime<Utc>>,
    /// Whether some schedule had more slots due than one look goes through.
    pub has_more: bool,
}

/// A schedule whose slot has come and gone, and nobody has decided on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Overdue {
    /// Names the schedule.
    pub id: ScheduleId,
    /// Whose it is.
    pub tenant_id: Option<TenantId>,
    /// What people call it.
    pub name: String,
    /// The kind of its jobs.
    pub job: String,
    /// The slot.
    pub next_run_at: DateTime<Utc>,
}

/// How many schedules there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct ScheduleCounts {
    /// Those that ask for jobs, or did so once and have no more slots.
    pub enabled: u64,
    /// Those that are switched off.
    pub disabled: u64,
}
