//! What becomes of messages, on both engines, with real receivers.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

mod accepting;
mod channels;
mod chats;
mod delivering;
mod gateway;
mod inbox;
mod isolation;
mod live;
#[cfg(feature = "metrics")]
mod measures;
mod planning;
mod receiver;
mod running;
mod templates;
mod upkeep;
mod world;
