//! Black-box tests of the built control plane, and the rules of the house.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

mod api_keys;
mod audit;
mod auth;
mod bootstrap;
mod checker;
mod cookies;
mod credentials;
mod decisions;
mod email_address;
mod event_chaos;
mod events;
mod exceptions;
mod forced_change;
mod groups;
mod guessing;
mod hidden;
mod hints;
mod house;
mod import;
mod invitations;
mod job_chaos;
mod jobs;
mod keys;
mod live;
mod mail;
mod matrix;
mod members;
mod message_texts;
mod notify;
mod org_deletion;
mod org_invitations;
mod orgs;
mod own_account;
mod password_reset;
mod passwords;
mod platform;
mod policy_epoch;
mod privileges;
mod process;
mod refusals;
mod resource_server;
mod routes;
mod schedule_chaos;
mod schedules;
mod service_accounts;
mod sessions;
mod settings;
mod story;
mod switch_org;
mod tokens;
mod two_organisations;
mod users;
mod walls;
mod webhooks;
