//! One handle for PostgreSQL and SQLite.
//!
//! A *unit of work* ([`Tx`]) is a transaction plus the audit and domain events that belong to it: they commit together
//! or not at all, although the crates that take part do not know each other. A *scope* ([`Scope`]) says on whose rows it
//! works. A *participant* ([`Participant`]) turns buffered events into rows inside the transaction, just before it
//! commits. A *hint* ([`Hints`]) wakes whoever looks for changes once in a while.
//!
//! ```no_run
//! use stylobate_db::{Db, DbOptions, Error, Scope};
//!
//! # async fn example() -> Result<(), Error> {
//! let db = Db::builder("sqlite://app.db", DbOptions::default()).without_audit().without_events().connect().await?;
//! let rows = db
//!     .transact(Scope::Platform("example"), async |tx| {
//!         tx.q("UPDATE notes SET seen = $1 WHERE id = $2").bind(true).bind(7_i64).run().await
//!     })
//!     .await?;
//! # Ok(())
//! # }
//! ```
//!
//! Rules for the SQL that goes through here:
//! 1. One text serves both engines, with `$1` parameters; where they truly differ, [`Sql::Per`] holds both side by side.
//! 2. Columns are listed by name. `SELECT *` after a migration answers wrongly on a cached statement.
//! 3. Every value is bound; [`SqlBuilder`] takes text only as `&'static str`.
//! 4. Times are bound as `DateTime<Utc>` from a `Clock`, ids as `Uuid`, integers as `i64`.
//! 5. A query on a tenant's table says `WHERE tenant_id = $n`. Row-level security on PostgreSQL is the second wall.
//! 6. Nobody begins a transaction while holding one: on SQLite the second waits for the first until it times out.
//! 7. A unique constraint or index is called `<table>_<columns joined by _>_key`, so that both engines report one name.

#![cfg_attr(
    not(any(feature = "postgres", feature = "sqlite")),
    allow(
        unused,
        clippy::never_loop,
        clippy::unused_async,
        reason = "without an engine there is nothing to talk to"
    )
)]

mod bind;
mod builder;
mod conn;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
#[cfg_attr(not(feature = "sqlite"), allow(dead_code, reason = "PostgreSQL has a time-out of its own"))]
mod deadline;
mod error;
mod handle;
mod health;
mod hint;
mod keyset;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod link;
mod message_outbox;
mod migrate;
mod options;
mod participant;
#[cfg(feature = "postgres")]
mod postgres;
mod query;
mod schema;
mod scope;
mod sql;
#[cfg(feature = "sqlite")]
mod sqlite;
mod tx;

pub use bind::{Bind, Record};
pub use builder::DbBuilder;
pub use conn::{Conn, Reader};
pub use error::{ConstraintKind, Error, TransactError};
pub use handle::{Db, Engine, PoolStats};
pub use health::DatabaseHealth;
pub use hint::Hints;
pub use keyset::{Keyset, KeysetKey};
pub use message_outbox::MessageOutbox;
pub use migrate::{
    Migration, MigrationSet, MigrationState, migrate, migrate_to, migration_states,
    migration_states_of_nothing,
};
pub use options::DbOptions;
pub use participant::{Participant, Pending, Takes};
pub use query::Query;
pub use schema::MIGRATIONS;
pub use scope::Scope;
pub use sql::{Sql, SqlBuilder};
pub use tx::{AuditMark, Tx};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
