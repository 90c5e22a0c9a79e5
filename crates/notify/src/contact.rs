use std::fmt;

use stylobate_core::{BoxFuture, PersonId};

/// How a person can be reached.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Contact {
    /// What they are called; may be empty.
    pub name: String,
    /// Their e-mail address.
    pub email: Option<String>,
    /// They have shown that the address is theirs.
    pub is_email_verified: bool,
    /// Their phone number (E.164).
    pub phone: Option<String>,
    /// They have shown that the number is theirs.
    pub is_phone_verified: bool,
    /// What they read best (BCP 47).
    pub locale: Option<String>,
    /// Where their clock stands, by its IANA name: `Europe/Vienna`.
    pub time_zone: Option<String>,
}

impl fmt::Debug for Contact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Contact").field("locale", &self.locale).finish_non_exhaustive()
    }
}

/// Knows how people can be reached.
pub trait Directory: Send + Sync {
    /// The contact of `person`; `None` when there is no such person, or they are gone.
    ///
    /// # Errors
    /// [`DirectoryError`] when nobody could be asked.
    fn contact(&self, person: PersonId) -> BoxFuture<'_, Result<Option<Contact>, DirectoryError>>;
}

/// Nobody could be asked for a contact.
#[derive(Debug, thiserror::Error)]
#[error("the contact could not be looked up")]
pub struct DirectoryError(#[source] pub Box<dyn std::error::Error + Send + Sync>);
