//! The queue on both engines.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

mod ends;
mod faults;
mod keys;
mod loops;
#[cfg(feature = "metrics")]
mod measures;
mod plan;
mod queue;
mod saga;
mod schedule_model;
mod schedules;
mod ticks;
mod turns;
mod worker;
mod world;
