#![doc = include_str!("../README.md")]

mod attempt;
mod backoff;
mod error;
mod guard;
mod handle;
mod health;
mod job;
mod kind;
mod life;
mod loss;
mod measures;
#[cfg(test)]
mod model;
mod reaper;
mod record;
mod registry;
mod removal;
mod saga;
mod schedule;
mod schema;
mod service;
mod store;
mod watch;
mod worker;

pub use attempt::{Attempt, CHECKPOINT_MAX, OUTPUT_MAX};
pub use backoff::Backoff;
pub use error::JobsError;
pub use handle::{Handle, Outcome};
pub use health::QueueHealth;
pub use job::{Action, Failed, Failure, Job, Unique};
pub use life::{State, StateInvalid, Step};
pub use reaper::Retention;
pub use record::{
    AttemptError, ERRORS_KEPT, Enqueued, JobQuery, JobRecord, JobSummary, PAYLOAD_MAX, Progress,
};
pub use registry::Registry;
pub use saga::Saga;
pub use schedule::{
    CatchUp, NewSchedule, ON_TIME, Overdue, Overlap, Schedule, ScheduleChange, ScheduleCounts,
    ScheduleHealth, ScheduleQuery, Schedules, Ticked, Ticks, Timing, tick,
};
pub use schema::MIGRATIONS;
pub use service::{Jobs, Request};
pub use stylobate_core::{JobId, ScheduleId};
pub use watch::Watch;
pub use worker::{Worker, WorkerOptions};
