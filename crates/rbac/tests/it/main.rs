//! Tests through the public door.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

#[cfg(feature = "casbin")]
mod casbin;
#[cfg(all(feature = "casbin", feature = "sql"))]
mod casbin_import;
#[cfg(all(feature = "casbin", feature = "sql"))]
mod casbin_rows;
mod docs;
mod engine;
mod oracle;
mod platform_rules;

#[cfg(feature = "sql")]
mod assignments;
#[cfg(feature = "sql")]
mod damage;
mod damage_beside;
#[cfg(feature = "sql")]
mod delegation;
#[cfg(feature = "sql")]
mod delegation_sequences;
#[cfg(feature = "sql")]
mod filter;
#[cfg(feature = "sql")]
mod freshness;
#[cfg(feature = "sql")]
mod grants;
#[cfg(feature = "sql")]
mod groups;
#[cfg(feature = "sql")]
mod isolation;
#[cfg(feature = "sql")]
mod last_administrator;
#[cfg(feature = "sql")]
mod permissions;
#[cfg(feature = "sql")]
mod removal;
#[cfg(feature = "sql")]
mod roles;
#[cfg(feature = "sql")]
mod rules;
#[cfg(feature = "sql")]
mod seed;
#[cfg(feature = "sql")]
mod subjects;
#[cfg(feature = "sql")]
mod world;
