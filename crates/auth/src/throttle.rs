//! Throttling of logins, against guessing.
//!
//! Whoever tries is a *stranger* or comes from a *known device*: one that presents the cookie it got at an earlier
//! sign-in of that account (OWASP, "Slow Down Online Guessing Attacks with Device Cookies"). Each is held to counters
//! of their own, so that strangers cannot lock an owner out:
//!
//! | counter | counts failures of | locks at | for | ends with | is forgotten after |
//! |---|---|---|---|---|---|
//! | pair | one client on one account | every 5th in a row | 15 min, doubling up to a day | its success, a new password, an unlock | 30 quiet days |
//! | account | all strangers on one account | every 20th in a row | the same | a stranger's success, a new password, an unlock | never |
//! | account | the same | the 80th in a row | until an unlock or a new password | the same | never |
//! | address | one client on all accounts | the 100th within 15 min | 15 min | time alone | the window |
//! | device | one known device | every 5th in a row | the device is a stranger for 15 min, doubling up to a day | its success, a new password, an unlock | 30 quiet days |
//! | devices | all known devices of one account | the 20th in a row | all of them are strangers | a success, a new password, an unlock | never |
//!
//! 1. A stranger's try is counted on account, pair and address, and refused while any of them is locked. A try from a
//!    known device is counted on device and devices alone, and no lock but its own touches it.
//! 2. 80 failures of strangers and 20 of devices are the 100 in a row that NIST SP 800-63B-4 §3.2.2 allows. Neither
//!    number depends on a clock. After that only a known device gets in, an administrator's unlock lets strangers try
//!    again, and so does a new password, which makes everything guessed so far worthless.
//! 3. A success from a known device does not excuse strangers: an owner who signs in every morning would otherwise give an
//!    attacker a new day's worth of tries. Nor does any success excuse an address: whoever owns one account could
//!    otherwise guess at others for ever.
//! 4. A session that changes its password counts as a known device, so that an owner who is signed in can always end an
//!    attack on the account by a new password.
//! 5. A client is an address: an IPv4 address, or 64 bits of an IPv6 one (one customer, RFC 6177 §2). Clients whose
//!    address is not known are one client.
//! 6. The account is the person, not the name: every spelling, and username and e-mail address, count together. A name
//!    that nobody has is counted by its keyed digest in the same way, so that being locked out by one's own tries at a name
//!    does not tell whether an account exists. These counters, and these alone, are forgotten after 400 quiet days.
//! 7. Tries during a lock are refused and not counted, so nobody can make a lock longer by knocking at it.
//! 8. The counters decide when a try ends, not when it begins: of many parallel tries only those that come before the
//!    lock learn their result.
//! 9. Clocks may disagree and step back: a lock that ends later than any lock can was made by a clock that was wrong, and
//!    holds nobody.
//!
//! What rule 6 gives away: a lock of one name shows at the other. Whoever fails five times at `ada` from one address, and is
//! then refused at `ada@example.org` without having failed there, knows that both are one account and so that it exists; two
//! names that nobody has never do this. It costs a lock, which is on record, and each further guess at the address counts
//! as a failure of the client, so that one client tests at most a hundred addresses in 15 min. It is not mended, because
//! every way of hiding it takes more: locks by name give whoever knows both twice the tries, and a lock that answers "wrong
//! password" at the other name answers so to the owner with the right one.
//!
//! The numbers 5, 20, 15 min and 100 are settings ([`ThrottleConfig`]); 80, 20 devices' failures and the day are not.
//!
//! Counters live behind [`CounterStore`]: in tables beside everything else (the default), in memory, or in Redis. What
//! cannot be counted is not tried: without its store, sign-in answers 503.

mod config;
#[cfg(feature = "conformance")]
mod conformance;
mod counter;
#[cfg(feature = "sql")]
mod device;
mod key;
mod lock_state;
mod login_throttle;
mod memory;
#[cfg(feature = "redis")]
mod redis;
#[cfg(feature = "sql")]
mod sql;
mod standing;
mod store;

pub use config::ThrottleConfig;
#[cfg(feature = "conformance")]
pub use conformance::counter_conformance;
pub use counter::Counter;
#[cfg(feature = "sql")]
pub use device::DeviceCookie;
pub use key::{AccountKey, AddressKey, CounterKey, CounterKind, DeviceId, LoginTry};
pub use lock_state::LockState;
pub use login_throttle::LoginThrottle;
pub use memory::MemoryCounters;
#[cfg(feature = "redis")]
pub use redis::RedisCounters;
#[cfg(feature = "sql")]
pub use sql::SqlCounters;
#[cfg(feature = "sql")]
pub(crate) use sql::{Failed, clear, count_failure, find_accounts, find_standing, forget, sweep};
pub use standing::{LoginRefused, Standing, TryBy};
pub use store::{CounterChange, CounterStore, CounterStoreError};
