#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

mod api_key;
#[cfg(feature = "breach-range")]
mod breach_range;
mod key;
mod password;
mod security_events;
mod service;
mod session;
mod signing;
mod throttle;
mod token;
