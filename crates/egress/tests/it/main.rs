//! The client against real servers on loopback, and against everything that pretends not to be loopback.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

mod answers;
mod corpus;
mod tls;
mod world;
