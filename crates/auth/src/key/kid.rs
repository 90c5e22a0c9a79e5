use std::{borrow::Borrow, fmt, str::FromStr, sync::Arc};

use stylobate_core::KeyId;

use super::KeyError;

/// The name of a key in the header of a token (`kid`, RFC 7515 §4.1.4): 1 to 64 characters of `A-Z a-z 0-9 . _ -`.
///
/// The narrow alphabet is a courtesy to logs and operators; safety rests on the name being looked up in a map and
/// nowhere else.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kid(Arc<str>);

impl Kid {
    /// The longest name.
    pub const CHARS_MAX: usize = 64;

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name, without a copy of its text.
    pub(crate) fn shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }

    /// Names a key by its thumbprint (RFC 7638), cut to 22 characters: 128 bits are plenty to tell keys apart.
    pub(super) fn from_thumbprint(thumbprint: &[u8; 32]) -> Self {
        use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};

        let mut name = BASE64_URL_SAFE_NO_PAD.encode(thumbprint);
        name.truncate(22);
        Self(name.into())
    }
}

impl FromStr for Kid {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let is_sound = (1..=Self::CHARS_MAX).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'));
        if is_sound { Ok(Self(text.into())) } else { Err(KeyError::KidInvalid) }
    }
}

impl From<KeyId> for Kid {
    fn from(id: KeyId) -> Self {
        Self(id.to_string().into())
    }
}

impl Borrow<str> for Kid {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Kid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Kid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kid({})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_odd_characters_or_lengths_are_refused() {
        let long = "a".repeat(65);
        for text in ["", "../../etc/passwd", "a b", "a'--", "a\0b", "k\u{e9}y", "a/b", long.as_str()] {
            assert!(text.parse::<Kid>().is_err(), "{text:?}"); // C5
        }
        assert_eq!("2026-11.key_1".parse::<Kid>().unwrap().as_str(), "2026-11.key_1");
    }
}
