//! Sessions: what a login begins and a logout ends.
//!
//! 1. A session has an absolute limit that nothing extends. One that a cookie carries also ends by idling; one that
//!    refresh tokens carry lives by its absolute limit alone (its family rotates, see [`crate::RefreshStep`]).
//! 2. Every login begins a new session; a session id from before a login is never carried over it. A step-up, a change of
//!    privileges and going on in another tenant begin a new one as well, which takes over the old one's limit and ends it.
//! 3. Ending a session removes its refresh tokens and revokes its access tokens in the same transaction.
//! 4. A person has at most so many sessions at once; the oldest makes room for the next.
//! 5. A cookie carries 256 random bits ([`SessionSecret`]), of which only the digest is stored ([`SessionKey`]). What a
//!    process has read about it is used for at most half a minute, and only while the revocations in memory are fresh
//!    ([`Revocations`](crate::Revocations)), so that a session that ended elsewhere is refused within a second.
//! 6. That a session is in use is written at most once a minute, beside the request.
//!
//! With the feature `postgres` or `sqlite`, [`Auth`](crate::Auth) does all of it. [`CookieSessions`] is for services without
//! SQL: cookie sessions alone, over a [`SessionStore`] in memory or Redis, which it asks at every request.

#[cfg(feature = "sql")]
mod admin;
#[cfg(feature = "conformance")]
mod conformance;
mod cookie_sessions;
#[cfg(feature = "sql")]
mod known;
mod life;
mod limits;
mod secret;
#[cfg(feature = "sql")]
mod store;
mod stores;
#[cfg(feature = "sql")]
mod tenant_end;

#[cfg(feature = "sql")]
pub use admin::{SessionQuery, TenantSession};
#[cfg(feature = "sql")]
pub(crate) use admin::{count_in, find_in, keyset, list_in};
#[cfg(feature = "conformance")]
pub use conformance::session_conformance;
pub use cookie_sessions::{CookieSessionError, CookieSessions, NewCookieSession};
#[cfg(feature = "sql")]
pub(crate) use known::{Known, KnownSessions};
pub use life::{SessionLife, SessionState};
pub use limits::SessionLimits;
pub use secret::{SessionKey, SessionSecret};
#[cfg(feature = "sql")]
pub use store::Session;
#[cfg(feature = "sql")]
pub(crate) use store::{
    EndReason, NewCookie, NewSession, delete_expired, end, end_all, find_by_key, find_latest_tenant,
    find_live, find_live_ids, find_live_ids_in, find_owner, find_tenant, insert, is_alive, leave, list_live,
    methods, touch,
};
#[cfg(feature = "redis")]
pub use stores::RedisSessions;
#[cfg(feature = "sql")]
pub use stores::SqlSessions;
pub use stores::{MemorySessions, SessionRecord, SessionStore, SessionStoreError, StoreFuture};
#[cfg(feature = "sql")]
pub(crate) use tenant_end::end_of_tenant;
