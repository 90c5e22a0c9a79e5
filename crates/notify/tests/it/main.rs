//! Mails, as they arrive.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

mod corpus;
mod direct;
mod dkim;
mod folder;
mod smtp;
mod smtp_hostile;
mod world;
