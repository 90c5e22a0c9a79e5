//! Black-box tests of the built control plane, and the rules of the house.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

mod audit;
mod auth;
mod checker;
mod house;
mod keys;
mod platform;
mod privileges;
mod process;
mod refusals;
mod resource_server;
mod routes;
mod settings;
mod story;
