//! People: who exists on the platform, under which names.
//!
//! 1. A person has an e-mail address and may have a username. Both are compared in folded form, so `Ada@Example.org`
//!    and `ada@example.org` are one address; what was typed is kept for display.
//! 2. Only addresses contain an at sign, so one login field names at most one person.
//! 3. Every change counts `version` up; an update names the version it was made from and is refused when it is not the
//!    present one.
//! 4. Whatever voids credentials counts `credential_epoch` up; access tokens carry the epoch they were issued in.

mod identifier;
#[cfg(feature = "sql")]
mod lookup;
#[cfg(feature = "sql")]
mod store;

#[cfg(feature = "sql")]
pub(crate) use identifier::fold;
pub use identifier::{Email, IdentifierError, Username};
#[cfg(feature = "sql")]
pub use lookup::Identifier;
#[cfg(feature = "sql")]
pub use store::{NewPerson, People, PeopleError, Person, PersonChange, PersonStatus};
#[cfg(feature = "sql")]
pub(crate) use store::{find, find_for_login, is_empty, lock, mark_email_verified, raise_epoch, void_links};
