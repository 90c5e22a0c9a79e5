//! Audit rows written in the same transaction as the change they describe.
//!
//! An *actor* did an *action* to a *target*, at *occurred_at*, with an *outcome*: that is an audit event
//! ([`AuditEvent`](stylobate_core::AuditEvent)), and stored it is an [`AuditRecord`]. The *changes* of a record are the
//! fields that differ between the target's states before and after ([`diff`]); the values of sensitive fields are
//! replaced by `***` first ([`Redaction`]).
//!
//! With the feature `postgres` or `sqlite`:
//! 1. `Writer` takes part in every unit of work of a `stylobate_db::Db` and writes what was buffered with `tx.audit(…)`
//!    just before the commit. The record is there if and only if the change is.
//! 2. `Sink` stores facts that come without a change, such as a refused login, in a transaction of their own.
//! 3. `AuditLog` lists, finds and exports the records of the caller's tenant. Who acts there for the platform
//!    ([`RequestContext::is_for_platform`](stylobate_core::RequestContext)) is shown as `platform`; who it was is kept in the row, and
//!    shown to whoever reads the trail for the platform.
//!
//! ```
//! use serde_json::json;
//! use stylobate_audit::{Redaction, diff, inert_cell};
//!
//! let before = json!({ "name": "auditor", "api_key": "old", "note": "same" });
//! let after = json!({ "name": "reader", "api_key": "new", "note": "same" });
//! assert_eq!(
//!     diff(Some(before), Some(after), &Redaction::default()),
//!     Some(json!({
//!         "name": { "before": "auditor", "after": "reader" },
//!         "api_key": { "before": "***", "after": "***" },
//!     }))
//! );
//! assert_eq!(inert_cell("=1+1"), "'=1+1");
//! ```
//!
//! Deployment: triggers refuse UPDATE and DELETE on the table on both engines, also to its owner. An owner can still
//! drop a trigger, so on PostgreSQL let the server connect as a role that does not own the tables
//! (`stylobate_db::Db::grant` gives such a role SELECT and INSERT on this one, nothing more).

#[cfg(feature = "sql")]
mod bounds;
mod diff;
#[cfg(feature = "sql")]
mod error;
#[cfg(feature = "sql")]
mod filter;
#[cfg(feature = "sql")]
mod log;
mod record;
#[cfg(feature = "sql")]
mod schema;
#[cfg(feature = "sql")]
mod sink;
mod spreadsheet;
#[cfg(feature = "sql")]
mod store;
#[cfg(feature = "sql")]
mod writer;

pub use diff::diff;
pub use record::AuditRecord;
pub use spreadsheet::{csv_header, csv_rows, inert_cell};
pub use stylobate_core::Redaction;

#[cfg(feature = "sql")]
pub use {
    error::Error,
    filter::{ExportLimit, Filter},
    log::AuditLog,
    schema::MIGRATIONS,
    sink::Sink,
    writer::Writer,
};

#[cfg(all(doctest, feature = "sqlite"))]
#[doc = include_str!("../README.md")]
struct Readme;
