#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

#[cfg(feature = "notify")]
mod account_messages;
#[cfg(feature = "notify")]
mod addresses;
mod configuration;
mod documents;
#[cfg(all(feature = "notify", feature = "sqlite"))]
mod mail;
#[cfg(all(feature = "notify", feature = "sqlite"))]
mod messages;
#[cfg(feature = "server")]
mod server;
#[cfg(feature = "sqlite")]
mod start;
