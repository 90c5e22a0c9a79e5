use std::fmt;
use std::str::FromStr;
#[cfg(feature = "legacy-hashes")]
use std::sync::Arc;

use super::PasswordError;
use super::PasswordHash;
#[cfg(feature = "legacy-hashes")]
use super::legacy::LegacyHash;

/// What stands in the row of a password: a [`PasswordHash`] of ours or, with the feature `legacy-hashes`, the hash of a replaced system.
///
/// The hashes of others are only verified: [`PasswordHasher::verify_stored`](crate::PasswordHasher::verify_stored) always says of a
/// match that it needs a new hash, so that they are gone after the first sign-in. `Debug` prints the scheme alone; there is no
/// `Display` and no `Serialize`.
#[derive(Clone)]
pub struct StoredHash {
    text: Box<str>,
    pub(super) kind: Kind,
}

#[derive(Clone)]
pub(super) enum Kind {
    Argon2id(PasswordHash),
    #[cfg(feature = "legacy-hashes")]
    Legacy(Arc<LegacyHash>),
}

impl StoredHash {
    /// The text to store. It lets whoever holds it guess the password off-line: keep it out of logs and answers.
    #[must_use]
    pub fn expose_text(&self) -> &str {
        &self.text
    }

    /// What it was made with: `argon2id` for our own, else `bcrypt`, `bcrypt-sha256`, `pbkdf2`, `scrypt` or `argon2`.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        match &self.kind {
            Kind::Argon2id(_) => "argon2id",
            #[cfg(feature = "legacy-hashes")]
            Kind::Legacy(hash) => hash.scheme(),
        }
    }
}

#[cfg(feature = "sql")]
impl StoredHash {
    /// Memory in KiB and passes of a hash of ours.
    pub(crate) fn cost(&self) -> Option<(u32, u32)> {
        match &self.kind {
            Kind::Argon2id(hash) => Some((hash.memory_kib(), hash.passes())),
            #[cfg(feature = "legacy-hashes")]
            Kind::Legacy(_) => None,
        }
    }

    /// The version of the secret that a hash of ours is keyed with.
    pub(crate) fn pepper_version(&self) -> Option<u16> {
        match &self.kind {
            Kind::Argon2id(hash) => hash.pepper_version().map(std::num::NonZeroU16::get),
            #[cfg(feature = "legacy-hashes")]
            Kind::Legacy(_) => None,
        }
    }
}

/// What verifying a hash takes: the same for hashes that take equally long.
#[cfg(feature = "sql")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct HashWork {
    scheme: &'static str,
    numbers: [u32; 4],
}

#[cfg(feature = "sql")]
impl StoredHash {
    /// What verifying it takes.
    pub(crate) fn work(&self) -> HashWork {
        let numbers = match &self.kind {
            Kind::Argon2id(hash) => [hash.memory_kib(), hash.passes(), 0, 0],
            #[cfg(feature = "legacy-hashes")]
            Kind::Legacy(hash) => hash.work(),
        };
        HashWork { scheme: self.scheme(), numbers }
    }
}

impl From<PasswordHash> for StoredHash {
    fn from(hash: PasswordHash) -> Self {
        Self { text: hash.expose_phc().into(), kind: Kind::Argon2id(hash) }
    }
}

impl FromStr for StoredHash {
    type Err = PasswordError;

    /// Parses stored text. What it may cost is judged where it is run, or asked with
    /// [`PasswordHasher::check_stored`](crate::PasswordHasher::check_stored).
    ///
    /// # Errors
    /// [`PasswordError::UnknownHash`] for text of a kind that is not verified here, [`PasswordError::MalformedHash`] for text that is
    /// not as its kind has to be.
    fn from_str(text: &str) -> Result<Self, PasswordError> {
        let kind = match text.parse::<PasswordHash>() {
            Ok(hash) => Kind::Argon2id(hash),
            #[cfg(feature = "legacy-hashes")]
            Err(_) => Kind::Legacy(Arc::new(LegacyHash::parse(text)?)),
            #[cfg(not(feature = "legacy-hashes"))]
            Err(_) if !text.starts_with("$argon2id$") => return Err(PasswordError::UnknownHash),
            #[cfg(not(feature = "legacy-hashes"))]
            Err(error) => return Err(error),
        };
        Ok(Self { text: text.into(), kind })
    }
}

impl fmt::Debug for StoredHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredHash").field("scheme", &self.scheme()).finish_non_exhaustive()
    }
}
