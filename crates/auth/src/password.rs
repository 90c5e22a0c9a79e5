//! Passwords: how they are typed, judged, hashed and verified.
//!
//! A [`Password`] is what a person typed, in one Unicode form. A [`PasswordPolicy`] says whether it may be *set*; it is not asked
//! at sign-in. A [`PasswordHasher`] turns it into a [`PasswordHash`] (a PHC string) and compares it with one. The rules:
//!
//! 1. Argon2id only (RFC 9106), at least 19,456 KiB and 2 passes ([`HashParams`]), keyed with a secret where there is one
//!    ([`PasswordPeppers`]). Hashes made with other parameters or another secret, and with the feature `legacy-hashes` those of
//!    replaced systems ([`StoredHash`]), verify and report that they want a new hash.
//! 2. A password is compared as typed, after Unicode normalisation form C: no trimming, no truncation, no change of case. More than
//!    1,024 bytes are refused before any other work.
//! 3. A password is at least 15 characters long where it is the only factor, 8 where it is one of several (NIST SP 800-63B-4
//!    §3.1.1.2). Configuration raises these, never lowers them. Common passwords and words of the account are refused, those of a
//!    [`BreachIndex`] or a `BreachRange` (feature `breach-range`) and weak ones (feature `zxcvbn`) on demand; rules about which kinds of characters a password must hold do not
//!    exist.
//! 4. Hashing runs on threads of its own, at most as many at once as there are permits; the others wait, for a bounded time and in
//!    bounded number, and the rest is told to come back ([`PasswordError::Busy`], 503 with `Retry-After`). Addresses take turns, and
//!    one that fills the queue makes room for the others ([`PasswordHasher::for_address`]).
//! 5. An unknown account costs what a known one costs ([`PasswordHasher::verify_dummy`]). Hashes from before a change of parameters and
//!    those of replaced systems cost what they cost then and there, until the next sign-in of their people: where there are such, an
//!    unknown account has to cost what some of them do ([`PasswordHasher::verify_dummy_like`]). `Auth` gives names that nobody has the
//!    costs of stored hashes, each as often as people have it, so that the time of a wrong password tells what a hash costs, and not
//!    whether there is one.
//!
//! ```
//! use stylobate_auth::{ContextWords, Password, PasswordHasher, PasswordPolicy, Verdict};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
//! let hasher = PasswordHasher::default();
//! let password = Password::new("quarry moss lantern")?;
//! let about = ContextWords::new().username("alice").email("alice@example.org").service("Acme");
//! PasswordPolicy::alone().check(&password, &about).expect("it may be set");
//!
//! let stored = hasher.hash(password).await?;
//! let verdict = hasher.verify(Password::new("quarry moss lantern")?, &stored).await?;
//! assert_eq!(verdict, Verdict::Match { needs_rehash: false });
//! # Ok::<(), stylobate_auth::PasswordError>(())
//! # }).unwrap();
//! ```
//!
//! Deployment: memory for hashing is permits × memory cost (by default cores × 19 MiB) and is given back after 30 s without use. A
//! container whose CPU quota is lower than the machine's core count should set the permits itself.

mod breach;
mod common;
mod context;
mod crew;
mod error;
mod hasher;
mod job;
#[cfg(feature = "legacy-hashes")]
mod legacy;
mod memory;
#[cfg(feature = "metrics")]
mod metrics;
mod origin;
mod params;
mod peppers;
mod phc;
mod policy;
mod queue;
mod stored;
#[cfg(feature = "zxcvbn")]
mod strength;
mod typed;

pub use breach::{BreachIndex, BreachIndexBuilt, BreachIndexError};
#[cfg(feature = "breach-range")]
pub use breach::{BreachRange, BreachRangeUnavailable};
pub use context::ContextWords;
pub use error::PasswordError;
pub use hasher::{HasherOptions, HasherStats, PasswordHasher, Verdict};
pub use params::HashParams;
pub use peppers::PasswordPeppers;
pub use phc::PasswordHash;
pub use policy::{PasswordPolicy, PolicyViolation};
#[cfg(feature = "sql")]
pub(crate) use stored::HashWork;
pub use stored::StoredHash;
pub use typed::Password;
