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
mod queue;
mod saga;
mod turns;
mod worker;
mod world;
