//! Single-use tokens: the secret in a link that is mailed, or between two steps of one flow.
//!
//! 1. What a token is for is its type ([`Purpose`]): a link that verifies an address cannot be handed to what sets a password.
//! 2. A token is bound to a tenant, a subject, an e-mail address and a credential epoch, as far as its flow names them. They are
//!    in its row, and in the digest that the row is kept under: a row that is changed by hand fits no token.
//! 3. The text says nothing: `sbl_` (so that scanners for leaked secrets find it) and, in base64url, 16 bytes of id, 32 random ones
//!    and 16 of a tag that is keyed for the purpose. What is not of this installation and purpose is refused without asking the
//!    database.
//! 4. Rows hold a keyed digest. A copy of the database redeems nothing.
//! 5. Redeeming deletes the row, in the transaction that does what the token is for: of many at once one gets it.
//! 6. Forged, used, expired and overtaken tokens are one error ([`AuthError::LinkInvalid`](crate::AuthError::LinkInvalid)).

mod purpose;
mod store;
mod token;

pub use purpose::{
    AccountLink, EmailChange, EmailVerification, Invitation, PasswordReset, PendingLogin, Purpose,
    Registration,
};
pub(crate) use store::{OneTimeRow, delete_of, find, insert, sweep, take};
pub use token::{OneTimeToken, TokenBinding};
