//! Revocation: making access tokens stop before they expire.
//!
//! 1. A revocation names a *session* (all its tokens are over) or a *subject* with a credential epoch (its tokens of
//!    earlier epochs are over). It is a row, written in the transaction that ends the session or raises the epoch, and
//!    kept until the last token it concerns has run out.
//! 2. Each process holds the live ones in memory. Its own are there when the transaction has committed; those of other
//!    processes arrive with the next read of the latest rows, at least twice a second.
//! 3. Checking a token asks memory alone. When the last successful read is older than [`Revocations::STALE_AFTER`],
//!    memory is not trusted any more: the caller reads the session row, and when that fails refuses to decide.
//! 4. What processes remember of an API key or a service account has a version. A change of either is told in the same way: what
//!    is remembered of an earlier version is read again, and the row decides.
//! 5. The end of a *tenant* is one row, however much was issued for it. Everything of it ends at rest in the same transaction:
//!    sessions, API keys, service accounts. While the row lives, as long as any token that was issued before, memory decides
//!    nothing for that tenant: the row of the session, key or account does. No clock is asked when something was issued, so what
//!    begins in the moment in which the tenant is back works at once, and nothing from before does.
//!
//! Deployment: rows are found by the time their writer put on them, in a window of 30 s. Clocks of the processes may
//! disagree by as much, minus the longest transaction.

mod live;
#[cfg(feature = "sql")]
mod store;

pub use live::{Revocation, Revocations};
#[cfg(feature = "sql")]
pub(crate) use store::{Row, find_all_live, find_since, insert, sweep};
