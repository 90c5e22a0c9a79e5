//! Refresh tokens: how a session gets new access tokens without the password.
//!
//! A session has one *family* of refresh tokens, of which exactly one is live. Redeeming it *rotates* the family: the
//! next generation's token becomes the live one (RFC 9700 §4.14.2). What happens to a token depends on the family alone:
//!
//! | presented | family | what happens |
//! |---|---|---|
//! | the live token | before its absolute limit | it rotates; of many at once one wins |
//! | the token before the live one | rotated less than 10 s ago | refused as in progress, nothing changes |
//! | any other earlier token | live | reuse: the family and its session end |
//! | any token of the family | at its absolute limit or ended | refused |
//! | anything else | | refused, nothing changes |
//!
//! 1. A token is 256 random bits and names its session and generation; a tag under a platform secret proves that we
//!    made it. So an earlier token is recognised without keeping it, and a forged one is refused without a query and
//!    can end nobody's session.
//! 2. The database holds only the keyed digest of the live token.
//! 3. One conditional UPDATE decides the winner: it replaces the digest while it is still the presented one.
//! 4. The 10 s are for clients that ask twice at once, or ask again after a lost answer; the second must wait for the
//!    first one's token or sign in again.

mod family;
#[cfg(feature = "sql")]
mod store;
#[cfg(feature = "sql")]
mod token;

pub use family::{Family, Presented, RefreshStep};
#[cfg(feature = "sql")]
pub(crate) use store::{FamilyRow, Redeemed, find, insert, redeem};
#[cfg(feature = "sql")]
pub use token::RefreshToken;
