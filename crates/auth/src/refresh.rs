//! Refresh tokens: how a session gets new access tokens without the password.
//!
//! A session has one *family* of refresh tokens, of which exactly one is live. Redeeming it *rotates* the family: the
//! next generation's token becomes the live one (RFC 9700 §4.14.2). What happens to a token depends on the family alone:
//!
//! | presented | family | what happens |
//! |---|---|---|
//! | the live token | before its absolute limit | it rotates; of many at once one wins |
//! | the token before the live one, with the `Idempotency-Key` of its rotation | rotated less than 30 s ago | the same successor is given again |
//! | the token before the live one | rotated less than 10 s ago | refused as in progress, nothing changes |
//! | any other earlier token | live | reuse: the family and its session end |
//! | any token of the family | at its absolute limit or ended | refused |
//! | anything else | | refused, nothing changes |
//!
//! [`Family::judge`] is that table as a function.
//!
//! 1. A token is 256 random bits and names its session and generation; a tag under a platform secret proves that we
//!    made it. So an earlier token is recognised without keeping it, and a forged one is refused without a query and
//!    can end nobody's session.
//! 2. The database holds only the keyed digest of the live token.
//! 3. One conditional UPDATE decides the winner: it replaces the digest while it is still the presented one.
//! 4. The 10 s are for clients that ask twice at once, or ask again after a lost answer; the second must wait for the
//!    first one's token or sign in again. A client that wants the lost answer back names its request by an
//!    [`IdempotencyKey`]: the successor is then kept beside the family, sealed under a key made from the idempotency key
//!    and the presented token. Neither is in the database, so the database alone does not open it.
//! 5. A reuse ends the session, leaves an audit record and the event `session.reuse_detected`, and tells the owner through
//!    the [`MessageSender`](stylobate_core::MessageSender), where the service was given one.

mod family;
mod idempotency;
#[cfg(feature = "sql")]
mod kept;
#[cfg(feature = "sql")]
mod store;
#[cfg(feature = "sql")]
mod token;

pub use family::{Family, Presented, RefreshStep};
pub use idempotency::{IdempotencyKey, IdempotencyKeyError};
#[cfg(feature = "sql")]
pub(crate) use kept::{open, seal};
#[cfg(feature = "sql")]
pub(crate) use store::{FamilyRow, GrantRow, find, insert, redeem};
#[cfg(feature = "sql")]
pub use token::RefreshToken;
