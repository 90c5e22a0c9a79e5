use std::fmt;
use std::sync::Arc;

use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};
use zeroize::Zeroizing;

use super::PasswordError;

/// What a person typed, in Unicode normalisation form C.
///
/// NIST SP 800-63B-4 §3.1.1.2 asks for NFC or NFKC before hashing, since keyboards differ in whether they compose `é`. It is C here
/// because K also merges characters that people tell apart (`²` and `2`), and because RFC 8265 §4.2 chose C for passwords. Nothing
/// else changes: no trimming, no truncation, no folding of case, width or spaces.
///
/// Clones share one copy, which is wiped when the last of them goes. `Debug` prints `[redacted]`; there is no `Display`, no
/// `Serialize` and no `PartialEq`.
#[derive(Clone)]
pub struct Password(Arc<Zeroizing<String>>);

impl Password {
    /// The longest password, in bytes as received: long enough for any sentence, short enough to cost nothing.
    pub const BYTES_MAX: usize = 1024;

    /// Takes what was typed. Any text within the limit is a `Password`, the empty one included: whether it may be *set* is for
    /// [`PasswordPolicy`](crate::PasswordPolicy) to say, so that policies never change what signs in.
    ///
    /// # Errors
    /// [`PasswordError::TooLong`] beyond [`Self::BYTES_MAX`], before the text is looked at.
    pub fn new(typed: impl Into<String> + AsRef<str>) -> Result<Self, PasswordError> {
        if typed.as_ref().len() > Self::BYTES_MAX {
            return Err(PasswordError::TooLong);
        }
        let typed = Zeroizing::new(typed.into());
        if is_nfc_quick(typed.chars()) == IsNormalized::Yes {
            return Ok(Self(Arc::new(typed)));
        }
        // NFC grows UTF-8 by a factor of 3 at most (UAX #15 §12, "Maximum expansion factors"), so that this never reallocates and
        // leaves no unwiped copy behind.
        let mut composed = Zeroizing::new(String::with_capacity(typed.len() * 3));
        composed.extend(typed.nfc());
        Ok(Self(Arc::new(composed)))
    }

    /// The text in its one Unicode form. Whoever calls this must neither store nor print it.
    #[must_use]
    pub fn expose_secret(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password([redacted])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn composed_and_decomposed_text_are_one_password() {
        let composed = Password::new("pr\u{e9}f\u{e8}re les \u{ea}tres").unwrap();
        let decomposed = Password::new("pre\u{301}fe\u{300}re les e\u{302}tres").unwrap();
        assert_eq!(composed.expose_secret(), decomposed.expose_secret());
        let hangul = Password::new("\u{1112}\u{1161}\u{11ab}").unwrap();
        assert_eq!(hangul.expose_secret(), "\u{d55c}");
    }

    // A1: verified exactly as typed.
    #[test]
    fn nothing_but_the_unicode_form_is_changed() {
        for typed in [" spaces around ", "TAB\tand\nline", "Ⅷ² ﬁ Ｗｉｄｅ", "nul\0inside", ""] {
            assert_eq!(Password::new(typed).unwrap().expose_secret(), typed);
        }
    }

    #[test]
    fn the_limit_counts_bytes_as_received() {
        assert!(Password::new("x".repeat(1024)).is_ok());
        assert_eq!(Password::new("x".repeat(1025)).unwrap_err(), PasswordError::TooLong);
        assert_eq!(Password::new("é".repeat(513)).unwrap_err(), PasswordError::TooLong);
    }

    #[test]
    fn the_worst_expansion_fits_the_reserved_space() {
        // U+1D160 (4 bytes) becomes three characters of 4 bytes: the factor 3 of UAX #15.
        let password = Password::new("\u{1d160}".repeat(256)).unwrap();
        assert_eq!(password.expose_secret().len(), 3 * 1024);
        assert_eq!(password.0.capacity(), 3 * 1024);
    }

    #[test]
    fn debug_prints_no_part_of_it() {
        assert_eq!(format!("{:?}", Password::new("hunter2").unwrap()), "Password([redacted])");
    }
}
