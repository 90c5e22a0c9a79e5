use std::fmt;

use stylobate_core::is_invisible;
use unicode_normalization::UnicodeNormalization as _;
use url::Host;

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
    /// The part before the at sign has letters beyond ASCII. Few servers take mail for them (RFC 6531), and an account that no mail
    /// reaches cannot prove its address or get a new password.
    #[error("has letters before the at sign that few mail servers take")]
    LocalPartNotAscii,
    /// The part behind the at sign is no name of a host, or has characters that none may have (UTS 46).
    #[error("has something else than a domain behind the at sign")]
    NoDomain,
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
            Self::LocalPartNotAscii => "email_local_part_not_ascii",
            Self::NoDomain => "email_domain_invalid",
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
/// Two addresses that one mailbox has are one key:
///
/// - The part before the at sign is ASCII and compared in lower case, although by RFC 5321 §2.4 it may be case sensitive: no provider
///   that people use makes a difference, and two accounts that differ by case alone are one person's mistake or another's attack.
/// - The domain is compared as mail servers look it up, in its ASCII form (IDNA by UTS 46): `bücher.example` and
///   `xn--bcher-kva.example` are one.
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
        let (local, domain) = text.rsplit_once('@').ok_or(IdentifierError::NotAnAddress)?;
        if local.is_empty() || domain.is_empty() {
            return Err(IdentifierError::NotAnAddress);
        }
        if !local.is_ascii() {
            return Err(IdentifierError::LocalPartNotAscii);
        }
        let is_sound = |atom: &str| !atom.is_empty() && atom.bytes().all(is_atom);
        if local.len() > Self::LOCAL_BYTES_MAX || !local.split('.').all(is_sound) {
            return Err(IdentifierError::NotAnAddress);
        }
        let domain = ascii_domain(domain).ok_or(IdentifierError::NoDomain)?;
        let key = format!("{}@{domain}", local.to_ascii_lowercase());
        check(&key, Self::BYTES_MAX)?;
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

/// `atext` of RFC 5322 §3.2.3; quoted local parts are not supported.
fn is_atom(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte)
}

/// A domain as mail servers look it up. It is the rule by which mail is sent; that both stay one is held by a test of the platform.
fn ascii_domain(text: &str) -> Option<String> {
    // The parser for URLs would decode these, and take what follows a full stop of another script for a label.
    if text.contains('%') || text.ends_with('.') {
        return None;
    }
    let Ok(Host::Domain(domain)) = Host::parse(text) else { return None };
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    domain.split('.').all(is_label).then_some(domain)
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
    fn spellings_of_one_mailbox_are_one_address() {
        // C11: UTS 46 maps these to one domain, or to nothing.
        let key = Email::parse("a@xn--bcher-kva.example").unwrap().key().to_owned();
        for alias in [
            "a@bücher.example",
            "A@BÜCHER.Example",
            "a@bu\u{308}cher.example",
            "a@bücher\u{3002}example",
            "a@bücher\u{ff0e}example",
            "a@b\u{1bca0}ücher.example",
            "a@XN--bcher-KVA.example",
        ] {
            assert_eq!(Email::parse(alias).unwrap().key(), key, "{alias:?}");
        }
        assert_eq!(key, "a@xn--bcher-kva.example");
        assert_ne!(Email::parse("a@straße.example").unwrap().key(), "a@strasse.example");
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
        for sound in ["a@b", "ada.l+tag@mail.example.org", "rene@exämple.de", "o'neil@x-y.example"] {
            assert!(Email::parse(sound).is_ok(), "{sound}");
        }
        for unmailable in
            ["rené@example.org", "jürgen@example.org", "ａda@example.org", "\u{17f}ara@example.org"]
        {
            assert_eq!(Email::parse(unmailable), Err(IdentifierError::LocalPartNotAscii), "{unmailable}");
        }
        for nowhere in [
            "a@-b",
            "a@b..c",
            "a@b>",
            "a@b_c",
            "a@b%2Ec",
            "a@b.",
            "a@b\u{3002}",
            "a@127.0.0.1",
            "a@0x7f.1",
            "a@xn--a",
        ] {
            assert_eq!(Email::parse(nowhere), Err(IdentifierError::NoDomain), "{nowhere}");
        }
        let long_local = format!("{}@example.org", "a".repeat(65));
        for unsound in ["ada", "@b", "a@", "a@@b", ".a@b", "a..b@c", "<a>@b", long_local.as_str()] {
            assert_eq!(Email::parse(unsound), Err(IdentifierError::NotAnAddress), "{unsound}");
        }
    }

    proptest! {
        #[test]
        fn a_key_is_an_address_with_itself_as_key(text in "[a-zA-Z.+]{1,6}@\\PC{1,12}|[a-z]{1,4}@[a-zü\u{3002}ß.-]{1,12}") {
            if let Ok(email) = Email::parse(&text) {
                prop_assert!(email.key().is_ascii());
                let again = Email::parse(email.key()).unwrap();
                prop_assert_eq!(again.key(), email.key());
            }
        }

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
