//! Sessions: what a login begins and a logout ends.
//!
//! 1. A session has an absolute limit that nothing extends. One that a cookie carries also ends by idling; one that
//!    refresh tokens carry lives by its absolute limit alone (its family rotates, see [`crate::RefreshStep`]).
//! 2. Every login begins a new session; a session id from before a login is never carried over it.
//! 3. Ending a session removes its refresh tokens and revokes its access tokens in the same transaction.
//! 4. A person has at most so many sessions at once; the oldest makes room for the next.

#[cfg(feature = "sql")]
mod admin;
mod life;
#[cfg(feature = "sql")]
mod store;

#[cfg(feature = "sql")]
pub use admin::{SessionQuery, SessionRecord};
#[cfg(feature = "sql")]
pub(crate) use admin::{count_in, find_in, keyset, list_in};
pub use life::{SessionLife, SessionState};
#[cfg(feature = "sql")]
pub use store::Session;
#[cfg(feature = "sql")]
pub(crate) use store::{
    EndReason, NewSession, delete_expired, end, end_all, find_latest_tenant, find_live_ids, find_live_ids_in,
    find_owner, find_tenant, insert, is_alive, list_live, methods, move_to_epoch,
};
