//! Organisations and memberships on both engines.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

mod default_org;
mod fixture;
mod holding;
mod invitation_lists;
mod invitations;
mod members;
mod org_lists;
mod orgs;
mod removal;
mod schema;
