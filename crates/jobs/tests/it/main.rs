//! The queue on both engines.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

#[cfg(feature = "metrics")]
mod measures;
mod plan;
mod queue;
mod schedules;
mod ticks;
mod worker;
mod world;
