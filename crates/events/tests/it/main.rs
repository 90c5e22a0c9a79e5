//! The outbox, its subscribers and webhooks on both engines and a real broker.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

mod emission;
mod holds;
mod leases;
mod lists;
#[cfg(feature = "metrics")]
mod measures;
mod model;
mod rabbitmq;
mod relaying;
mod upkeep;
mod webhooks;
mod world;
