#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

mod attach;
mod authentication;
mod csrf_cors;
mod edge;
mod guard;
mod limits;
mod problems;
mod signed_request;
mod spoof;
mod strict;
mod support;
mod tenant_hint;
#[cfg(feature = "sql")]
mod with_auth;
