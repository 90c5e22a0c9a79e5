use std::fmt;

use zeroize::Zeroizing;

/// What a client names one refresh by, so that it can send the same request again: the value of an `Idempotency-Key`
/// header (draft-ietf-httpapi-idempotency-key-header §2.1), with or without its quotation marks.
///
/// Whoever knows it and the presented token gets the answer, so it must be as hard to guess as a token: at least 128
/// random bits. What can be seen of that is checked: 22 to 128 characters of `A-Z a-z 0-9 - _`, which 128 bits need in
/// base64url and a UUID has, and not the same few over and over. Make a new one for every refresh.
///
/// `Debug` prints `[redacted]`.
pub struct IdempotencyKey(Zeroizing<String>);

/// A text is no idempotency key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdempotencyKeyError {
    /// It has fewer characters than 128 random bits need.
    #[error("is shorter than 22 characters")]
    TooShort,
    /// It has more characters than anybody needs.
    #[error("is longer than 128 characters")]
    TooLong,
    /// It has other characters than those of base64url and UUIDs.
    #[error("has characters other than letters, digits, `-` and `_`")]
    Character,
    /// It repeats so few characters that it cannot be random.
    #[error("repeats too few characters to be random")]
    NotRandom,
}

impl IdempotencyKeyError {
    /// The stable code of the situation.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::TooShort => "too_short",
            Self::TooLong => "too_long",
            Self::Character => "invalid_character",
            Self::NotRandom => "not_random",
        }
    }
}

impl IdempotencyKey {
    /// The least characters: 128 bits at 6 bits a character.
    pub const CHARS_MIN: usize = 22;
    /// The most characters.
    pub const CHARS_MAX: usize = 128;
    /// The least different characters. Of 22 random hexadecimal digits, the poorest allowed alphabet, fewer than 6 are
    /// different once in ten million times.
    const DISTINCT_MIN: usize = 6;

    /// Takes the value of the header.
    ///
    /// # Errors
    /// [`IdempotencyKeyError`] says what is wrong.
    pub fn parse(value: &str) -> Result<Self, IdempotencyKeyError> {
        let quoted = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        let text = quoted.unwrap_or(value);
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if !text.bytes().all(is_allowed) {
            return Err(IdempotencyKeyError::Character);
        }
        if text.len() < Self::CHARS_MIN {
            return Err(IdempotencyKeyError::TooShort);
        }
        if text.len() > Self::CHARS_MAX {
            return Err(IdempotencyKeyError::TooLong);
        }
        let distinct = text.bytes().collect::<std::collections::BTreeSet<_>>().len();
        if distinct < Self::DISTINCT_MIN {
            return Err(IdempotencyKeyError::NotRandom);
        }
        Ok(Self(Zeroizing::new(text.to_owned())))
    }

    #[cfg_attr(not(feature = "sql"), expect(dead_code, reason = "only the store seals with it"))]
    pub(super) fn expose(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdempotencyKey([redacted])")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn uuids_and_base64url_of_128_bits_are_keys() {
        for key in [
            "8e03978e-40d5-43dd-bc93-6894a57f9324",
            "\"8e03978e-40d5-43dd-bc93-6894a57f9324\"",
            "8e03978e40d543ddbc936894a57f9324",
            "jgOXjkDVQ928k2iUpX-TJA",
        ] {
            assert!(IdempotencyKey::parse(key).is_ok(), "{key}");
        }
        assert_eq!(
            format!("{:?}", IdempotencyKey::parse("jgOXjkDVQ928k2iUpX-TJA")),
            "Ok(IdempotencyKey([redacted]))"
        );
    }

    #[test]
    fn what_cannot_be_128_random_bits_is_refused() {
        for (key, code) in [
            ("", "too_short"),
            ("jgOXjkDVQ928k2iUpX-TJ", "too_short"),
            ("\"jgOXjkDVQ928k2iUpX-T\"", "too_short"),
            ("aaaaaaaaaaaaaaaaaaaaaaaa", "not_random"),
            ("00000000-0000-0000-0000-000000000000", "not_random"),
            ("jgOXjkDVQ928k2iUpX+TJA==", "invalid_character"),
            ("jgOXjkDVQ928k2iUpX TJAAA", "invalid_character"),
        ] {
            assert_eq!(IdempotencyKey::parse(key).unwrap_err().code(), code, "{key}");
        }
        assert_eq!(IdempotencyKey::parse(&"abcdefgh".repeat(17)).unwrap_err().code(), "too_long");
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>()) {
            let _ = IdempotencyKey::parse(&text);
        }
    }
}
