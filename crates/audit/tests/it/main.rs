//! The audit trail on both engines.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

mod append_only;
mod export;
mod fixture;
mod list;
mod unit_of_work;
