use std::fmt;

use unicode_normalization::UnicodeNormalization as _;

/// A text that is no username or no e-mail address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdentifierError {
    /// There is nothing.
    #[error("is empty")]
    Empty,
    /// It is longer than the kind allows.
    #[error("is longer than {max} bytes")]
    TooLong {
        /// The most bytes, in folded form as well.
        max: usize,
    },
    /// It contains blanks. They are refused and not cut off: two spellings of one name are how counters get bypassed.
    #[error("contains blanks")]
    Blank,
    /// It contains a control character, or one that cannot be seen.
    #[error("contains a control or invisible character")]
    Invisible,
    /// A username contains an at sign.
    #[error("contains an at sign, which only e-mail addresses do")]
    AtSign,
    /// It is not of the form `local@domain`.
    #[error("is no e-mail address")]
    NotAnAddress,
}

impl IdentifierError {
    /// The stable code of the situation.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Empty => "identifier_empty",
            Self::TooLong { .. } => "identifier_too_long",
            Self::Blank => "identifier_blank",
            Self::Invisible => "identifier_invisible_character",
            Self::AtSign => "username_at_sign",
            Self::NotAnAddress => "email_invalid",
        }
    }
}

/// The form in which names are compared: NFKC, lower case, NFKC again because lowering can undo it.
///
/// RFC 8265 §3.3 (UsernameCaseMapped) folds width, case and composition; NFKC merges the other compatibility forms too,
/// so that no two names of different people look alike for that reason.
pub(crate) fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let lowered: String = text.nfkc().flat_map(char::to_lowercase).collect();
    lowered.nfkc().collect()
}

/// Characters without a look of their own: soft hyphen, zero-width ones, direction marks, the byte order mark. Two
/// names that differ in them alone would be read as one.
pub(crate) fn is_invisible(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{00AD}' | '\u{034F}' | '\u{061C}' | '\u{115F}' | '\u{1160}' | '\u{17B4}' | '\u{17B5}' | '\u{180B}'..='\u{180F}'
                | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{3164}'
                | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}' | '\u{FFA0}' | '\u{FFF0}'..='\u{FFFB}' | '\u{E0000}'..='\u{E0FFF}'
        )
}

/// What usernames and addresses have in common. Checked on what was typed and on its folded form, because folding turns
/// some characters into blanks and at signs.
fn check(text: &str, max: usize) -> Result<(), IdentifierError> {
    if text.is_empty() {
        return Err(IdentifierError::Empty);
    }
    if text.len() > max {
        return Err(IdentifierError::TooLong { max });
    }
    if text.chars().any(char::is_whitespace) {
        return Err(IdentifierError::Blank);
    }
    if text.chars().any(is_invisible) {
        return Err(IdentifierError::Invisible);
    }
    Ok(())
}

/// The name somebody signs in with: 1 to 64 bytes without blanks, invisible characters or an at sign.
#[derive(Clone, PartialEq, Eq)]
pub struct Username {
    typed: String,
    key: String,
}

impl Username {
    /// The longest username, in bytes: names this long still fit a line and an index.
    pub const BYTES_MAX: usize = 64;

    /// Reads a username.
    ///
    /// # Errors
    /// Why it is none.
    pub fn parse(text: &str) -> Result<Self, IdentifierError> {
        check(text, Self::BYTES_MAX)?;
        let key = fold(text);
        check(&key, Self::BYTES_MAX)?;
        if key.contains('@') {
            return Err(IdentifierError::AtSign);
        }
        Ok(Self { typed: text.to_owned(), key })
    }

    /// As it was typed.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.typed
    }

    /// As it is compared.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }
}

/// An e-mail address: `local@domain`, at most 254 bytes (RFC 5321 §4.5.3.1.3 leaves that many without the brackets).
///
/// The whole address is folded, also the part before the at sign, which by RFC 5321 §2.4 may be case sensitive: no
/// provider that people use makes a difference, and two accounts that differ by case alone are one person's mistake or
/// another's attack.
#[derive(Clone, PartialEq, Eq)]
pub struct Email {
    typed: String,
    key: String,
}

impl Email {
    /// The longest address, in bytes.
    pub const BYTES_MAX: usize = 254;
    /// The longest part before the at sign (RFC 5321 §4.5.3.1.1).
    const LOCAL_BYTES_MAX: usize = 64;

    /// Reads an address. Whether mail arrives there only sending tells.
    ///
    /// # Errors
    /// Why it is none.
    pub fn parse(text: &str) -> Result<Self, IdentifierError> {
        check(text, Self::BYTES_MAX)?;
        let key = fold(text);
        check(&key, Self::BYTES_MAX)?;
        for form in [text, &key] {
            let (local, domain) = form.rsplit_once('@').ok_or(IdentifierError::NotAnAddress)?;
            let local_is_sound = !local.is_empty()
                && local.len() <= Self::LOCAL_BYTES_MAX
                && local.split('.').all(|atom| !atom.is_empty() && atom.chars().all(is_atom));
            let domain_is_sound = domain.split('.').all(|label| {
                (1..=63).contains(&label.len())
                    && !label.starts_with('-')
                    && !label.ends_with('-')
                    && label
                        .chars()
                        .all(|c| c == '-' || c.is_alphanumeric() || (!c.is_ascii() && !is_invisible(c)))
            });
            if !local_is_sound || !domain_is_sound {
                return Err(IdentifierError::NotAnAddress);
            }
        }
        Ok(Self { typed: text.to_owned(), key })
    }

    /// As it was typed.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.typed
    }

    /// As it is compared.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }
}

/// `atext` of RFC 5322 §3.2.3 with the letters of RFC 6532; quoted local parts are not supported.
fn is_atom(character: char) -> bool {
    if character.is_ascii() {
        character.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(character)
    } else {
        true
    }
}

macro_rules! shown_as_typed {
    ($($type:ident),*) => {$(
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.typed)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($type), "({:?})"), self.typed)
            }
        }

        impl std::str::FromStr for $type {
            type Err = IdentifierError;

            fn from_str(text: &str) -> Result<Self, IdentifierError> {
                Self::parse(text)
            }
        }
    )*};
}

shown_as_typed!(Username, Email);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn case_width_and_composition_do_not_make_another_name() {
        // C11
        for alias in ["Ada", "ADA", "ａｄａ", "ᴬda"] {
            assert_eq!(Username::parse(alias).unwrap().key(), "ada", "{alias}");
        }
        assert_eq!(Username::parse("rene\u{301}").unwrap().key(), Username::parse("RENÉ").unwrap().key());
        assert_eq!(Email::parse("Ada@Example.ORG").unwrap().key(), "ada@example.org");
        assert_eq!(Email::parse("ada＠example.org"), Err(IdentifierError::NotAnAddress));
    }

    #[test]
    fn names_that_could_be_taken_for_others_are_refused() {
        assert_eq!(Username::parse(""), Err(IdentifierError::Empty));
        assert_eq!(Username::parse(" ada"), Err(IdentifierError::Blank));
        assert_eq!(Username::parse("ada\u{a0}"), Err(IdentifierError::Blank));
        assert_eq!(Username::parse("a\u{200b}da"), Err(IdentifierError::Invisible));
        assert_eq!(Username::parse("a\0da"), Err(IdentifierError::Invisible));
        assert_eq!(Username::parse("ada@x"), Err(IdentifierError::AtSign));
        assert_eq!(Username::parse("ada＠x"), Err(IdentifierError::AtSign));
        assert_eq!(Username::parse(&"a".repeat(65)), Err(IdentifierError::TooLong { max: 64 }));
        // 30 bytes that fold to 330.
        assert!(Username::parse(&"\u{fdfa}".repeat(10)).is_err());
    }

    #[test]
    fn only_local_at_domain_is_an_address() {
        for sound in ["a@b", "ada.l+tag@mail.example.org", "rené@exämple.de", "o'neil@x-y.example"] {
            assert!(Email::parse(sound).is_ok(), "{sound}");
        }
        let long_local = format!("{}@example.org", "a".repeat(65));
        for unsound in [
            "ada",
            "@b",
            "a@",
            "a@@b",
            ".a@b",
            "a..b@c",
            "a@-b",
            "a@b..c",
            "<a>@b",
            "a@b>",
            long_local.as_str(),
        ] {
            assert_eq!(Email::parse(unsound), Err(IdentifierError::NotAnAddress), "{unsound}");
        }
    }

    proptest! {
        #[test]
        fn folding_is_stable(text in "\\PC{0,24}") {
            let once = fold(&text);
            // A key that folds to another key would make two people of one name.
            if Username::parse(&text).is_ok() {
                prop_assert_eq!(fold(&once), once);
            }
        }
    }
}
