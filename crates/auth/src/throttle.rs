//! Throttling of logins, against guessing.
//!
//! 1. *Account*: after [`ThrottleConfig::account_failures_max`] failed tries in a row the account is locked, at first
//!    for [`ThrottleConfig::lockout`], and twice as long after each further round, up to a day. The hundredth failure
//!    in a row (NIST SP 800-63B-4 §3.2.2) locks it for 30 days, which an administrator or a new password ends. A
//!    successful login starts over, and so do 30 days without a failure.
//! 2. *Address*: an address (an IPv6 network of 64 bits) may fail [`ThrottleConfig::address_failures_max`] times within
//!    [`ThrottleConfig::address_window`], whomever it tries. A success does not excuse it: whoever owns one account
//!    could otherwise guess at others for ever.
//! 3. The account is the person, not the name: every spelling, and username and e-mail address, count together. A name
//!    that nobody has is counted by its keyed digest in the same way, so that being locked out does not tell whether an
//!    account exists.
//! 4. Tries during a lock are refused and not counted, so nobody can make a lock longer by knocking at it.
//! 5. The counter decides when the try ends, not when it begins: of many parallel tries only those that come before the
//!    lock learn their result.

mod counter;
#[cfg(feature = "sql")]
mod locks;
#[cfg(feature = "sql")]
mod store;

pub use counter::{Counter, ThrottleConfig};
#[cfg(feature = "sql")]
pub(crate) use locks::{AccountLock, find_account_locks};
#[cfg(feature = "sql")]
pub(crate) use store::{CounterKey, Standing, clear, fail, find_standing, sweep};
