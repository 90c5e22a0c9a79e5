//! Drives the built control plane from outside: as an operator who starts, kills and restarts the program, and as callers
//! of its HTTP interface.
//!
//! A *place* ([`Place`]) is where one installation keeps everything: a folder, and on PostgreSQL a database of its own
//! with an owner and a plain role. A [`Server`] is one running `control-plane serve` on a place, a [`Client`] a caller
//! with or without a token, an [`Answer`] what came back. [`TestApp`] puts them together with an administrator.
//! [`Load`] writes until it is stopped and keeps a [`Ledger`] of what was acknowledged.
//!
//! [`job_chaos`], [`schedule_chaos`] and [`event_chaos`] stand apart: they know queue and outbox from inside, kill worker processes of
//! their own, and let schedulers disagree about the time. A [`BrokerHost`] is a place of one's own on RabbitMQ.
//!
//! [`matrix`] asks every route with ids of another organisation, and [`tenancy_chaos`] does so at random.
//!
//! The program is found through `STYLOBATE_BIN_CONTROL_PLANE`, else beside the test's own executable; PostgreSQL through
//! `STYLOBATE_TEST_POSTGRES_URL`, RabbitMQ through `STYLOBATE_TEST_AMQP_URL` and `STYLOBATE_TEST_AMQP_API_URL`, mail servers through
//! `STYLOBATE_TEST_SMTP_…`. All are set by `cargo xtask test`. A test without them fails; it never skips.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "all of it serves tests, which fail by panicking"
)]

mod answer;
mod app;
mod broker_host;
mod client;
mod engine;
pub mod event_chaos;
pub mod job_chaos;
mod ledger;
mod load;
mod mail_server;
pub mod matrix;
mod patience;
mod place;
mod program;
mod proxy;
mod receiver;
mod refresh_race;
pub mod schedule_chaos;
mod server;
mod strike;
pub mod tenancy_chaos;
mod wire;

pub use answer::{Answer, csv_rows, text};
pub use app::{Person, TestApp, TestAppBuilder};
pub use broker_host::BrokerHost;
pub use client::{Client, form};
pub use engine::Engine;
pub use ledger::{Ledger, Verdict};
pub use load::Load;
pub use mail_server::{MailServer, ReceivedMail};
pub use patience::{PATIENCE, eventually};
pub use place::{OWNERS, Place, Row};
pub use program::{Program, Run};
pub use proxy::Proxy;
pub use receiver::{Received, Receiver};
pub use refresh_race::{RaceOutcome, refresh_race};
pub use server::Server;

/// An id that nothing has.
pub const NOBODY: &str = "0191e000-0000-7000-8000-000000000001";

/// The password of everybody whom tests create: long, and neither common nor made of context words.
pub const PASSWORD: &str = "violet kayak under 37 bridges";
