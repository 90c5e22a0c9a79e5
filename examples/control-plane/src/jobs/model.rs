use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stylobate::{
    core::ScheduleId,
    jobs::{JobRecord, JobSummary, State},
};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

/// A job in a list.
#[derive(Serialize, ToSchema)]
pub(super) struct JobView {
    id: Uuid,
    /// Whose it is; `null` is the platform's.
    organization_id: Option<Uuid>,
    /// What kind of job it is.
    name: String,
    queue: String,
    /// `available`, `leased`, `retryable`, `completed`, `discarded` or `cancelled`.
    #[schema(value_type = String)]
    state: State,
    /// Not before then.
    run_at: DateTime<Utc>,
    /// How many of its attempts count: those that were handed back do not.
    attempt: u32,
    /// After how many attempts it is given up.
    attempts_max: u32,
    /// Whether somebody called it off while it was running.
    cancel_requested: bool,
    progress: Option<ProgressView>,
    /// Why the last attempt failed.
    last_error: Option<String>,
    /// The schedule that asked for it, and for which time.
    schedule_id: Option<Uuid>,
    slot: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
    claimed_at: Option<DateTime<Utc>>,
    finished_at: Option<DateTime<Utc>>,
}

/// How far a job says it is.
#[derive(Serialize, ToSchema)]
struct ProgressView {
    /// 0 to 100.
    percent: u8,
    note: Option<String>,
}

/// One failed attempt.
#[derive(Serialize, ToSchema)]
struct AttemptErrorView {
    attempt: u32,
    at: DateTime<Utc>,
    message: String,
}

/// A whole job.
#[derive(Serialize, ToSchema)]
pub(super) struct JobDetailView {
    #[serde(flatten)]
    job: JobView,
    /// The version of its payload.
    version: u16,
    /// What it needs to know.
    payload: Value,
    /// What it resulted in.
    result: Option<Value>,
    /// What its attempts have left for the next one, as far as they are.
    checkpoint: Option<Value>,
    /// Its last failures, oldest first.
    errors: Vec<AttemptErrorView>,
    /// What it shares with jobs that must not run beside it.
    key: Option<String>,
    /// By what it is the same as another.
    unique_key: Option<String>,
    /// Which process has it, or had it last; for the platform alone.
    worker: Option<String>,
    /// The trace of whoever asked for it (W3C Trace Context).
    traceparent: Option<String>,
}

impl From<JobSummary> for JobView {
    fn from(job: JobSummary) -> Self {
        Self {
            id: job.id.as_uuid(),
            organization_id: job.tenant_id.map(|tenant| tenant.as_uuid()),
            name: job.name,
            queue: job.queue,
            state: job.state,
            run_at: job.run_at,
            attempt: job.attempt,
            attempts_max: job.attempts_max,
            cancel_requested: job.cancel_requested,
            progress: job.progress.map(|at| ProgressView { percent: at.percent, note: at.note }),
            last_error: job.errors.into_iter().next_back().map(|error| error.message),
            schedule_id: job.schedule_id.map(|schedule| schedule.as_uuid()),
            slot: job.slot,
            created_at: job.created_at,
            claimed_at: job.claimed_at,
            finished_at: job.finished_at,
        }
    }
}

impl JobDetailView {
    /// Organisations do not learn on which machine their jobs run.
    pub(super) fn new(mut job: JobRecord, is_of_platform: bool) -> Self {
        let errors = job.errors.iter().map(|error| AttemptErrorView {
            attempt: error.attempt,
            at: error.at,
            message: error.message.clone(),
        });
        Self {
            errors: errors.collect(),
            version: job.version,
            payload: job.payload.take(),
            result: job.result.take(),
            checkpoint: job.checkpoint.take(),
            key: job.key.take(),
            unique_key: job.unique_key.take(),
            worker: job.worker.take().filter(|_| is_of_platform),
            traceparent: job.traceparent.take(),
            job: JobSummary::from(job).into(),
        }
    }
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct JobFilter {
    /// `available`, `leased`, `retryable`, `completed`, `discarded` or `cancelled`.
    #[param(value_type = Option<String>)]
    pub(super) state: Option<State>,
    /// Only those of this queue.
    pub(super) queue: Option<String>,
    /// Only those of this kind.
    pub(super) name: Option<String>,
    /// Only those of this schedule.
    #[param(value_type = Option<Uuid>)]
    pub(super) schedule_id: Option<ScheduleId>,
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct DeadLetterFilter {
    /// Only those of this queue.
    pub(super) queue: Option<String>,
    /// Only those of this kind.
    pub(super) name: Option<String>,
}

/// What a job needs to know, changed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct JobPatch {
    /// All of it, at most 1 MiB.
    pub(super) payload: Value,
}

/// A queue.
#[derive(Serialize, ToSchema)]
pub(super) struct QueueView {
    pub(super) name: String,
    /// Whether nothing of it is begun for the time being.
    pub(super) is_paused: bool,
    pub(super) paused_at: Option<DateTime<Utc>>,
    /// How many jobs it has in which state.
    #[schema(value_type = Object)]
    pub(super) jobs: BTreeMap<State, u64>,
}

/// The queues.
#[derive(Serialize, ToSchema)]
pub(super) struct QueuesView {
    pub(super) items: Vec<QueueView>,
}
