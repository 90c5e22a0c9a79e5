use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use unicode_normalization::{UnicodeNormalization as _, char::is_combining_mark};

use crate::OrgName;

/// A text that is not the code of an organisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "an organisation code has 1 to 64 letters, digits, `-` and `_` of ASCII, begins with a letter or digit and does not look like an id"
)]
pub struct OrgCodeInvalid;

impl OrgCodeInvalid {
    /// The stable code of the situation.
    #[must_use]
    pub fn code(&self) -> &'static str {
        "invalid_org_code"
    }
}

/// The short name an organisation is chosen by at sign-in: `acme`, `ACME-2`.
///
/// It keeps the case it was written in and is compared without it. 1 to 64 letters, digits, `-` and `_` of ASCII, the
/// first a letter or digit, so that it also serves in addresses and host names. Nothing that looks like a UUID, with
/// dashes or without: where an organisation is named by id or by code, one could pass for another.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct OrgCode(String);

/// As many bytes a code has at most: one label of a host name has 63, and some systems count one more.
const LENGTH_MAX: usize = 64;

impl OrgCode {
    /// The code as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The code as it is compared: in lower case.
    #[must_use]
    pub fn folded(&self) -> String {
        self.0.to_ascii_lowercase()
    }

    /// A code made of `name`: its letters and digits of ASCII in lower case, accents taken off, with one `-` for whatever
    /// stands between them; `org` when nothing is left. Another organisation may have it: see
    /// [`with_suffix`](Self::with_suffix).
    #[must_use]
    pub fn from_name(name: &OrgName) -> Self {
        let mut slug = String::new();
        for character in name.as_str().nfkd().filter(|character| !is_combining_mark(*character)) {
            if character.is_ascii_alphanumeric() {
                slug.push(character.to_ascii_lowercase());
            } else if !slug.is_empty() && !slug.ends_with('-') {
                slug.push('-');
            }
        }
        slug.truncate(LENGTH_MAX);
        let slug = slug.trim_end_matches('-');
        match slug {
            "" => Self("org".to_owned()),
            slug if looks_like_id(slug) => Self(format!("org-{slug}")),
            slug => Self(slug.to_owned()),
        }
    }

    /// The code with `-n` behind it, and as much of it as there is room for.
    #[must_use]
    pub fn with_suffix(&self, n: u32) -> Self {
        let suffix = n.to_string();
        let base: String = self.0.chars().take(LENGTH_MAX - 1 - suffix.len()).collect();
        let base = base.trim_end_matches(['-', '_']);
        let code = format!("{base}-{suffix}");
        // An underscore is in no id.
        if looks_like_id(&code) { Self(format!("{base}_{suffix}")) } else { Self(code) }
    }

    /// The code as a row holds it. Rows from before codes were kept apart from ids stay readable.
    #[cfg(feature = "sql")]
    pub(crate) fn from_stored(text: String) -> Option<Self> {
        has_form(&text).then_some(Self(text))
    }
}

fn has_form(text: &str) -> bool {
    (1..=LENGTH_MAX).contains(&text.len())
        && text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// Whether it is the 32 digits of a UUID, wherever dashes stand between them.
fn looks_like_id(text: &str) -> bool {
    let digits = text.bytes().filter(|byte| *byte != b'-');
    digits.clone().count() == 32 && digits.clone().all(|byte| byte.is_ascii_hexdigit())
}

impl FromStr for OrgCode {
    type Err = OrgCodeInvalid;

    fn from_str(text: &str) -> Result<Self, OrgCodeInvalid> {
        if has_form(text) && !looks_like_id(text) { Ok(Self(text.to_owned())) } else { Err(OrgCodeInvalid) }
    }
}

impl TryFrom<String> for OrgCode {
    type Error = OrgCodeInvalid;

    fn try_from(text: String) -> Result<Self, OrgCodeInvalid> {
        text.parse()
    }
}

impl From<OrgCode> for String {
    fn from(code: OrgCode) -> Self {
        code.0
    }
}

impl fmt::Display for OrgCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl PartialEq for OrgCode {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for OrgCode {}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> OrgCode {
        text.parse().unwrap()
    }

    #[test]
    fn codes_keep_their_case_and_are_compared_without_it() {
        let code: OrgCode = "ACME-2_x".parse().unwrap();
        assert_eq!((code.as_str(), code.folded().as_str()), ("ACME-2_x", "acme-2_x"));
        assert_eq!(Ok(code), "acme-2_X".parse());
    }

    #[test]
    fn texts_that_are_no_codes_are_refused() {
        let long = "x".repeat(65);
        for text in ["", " ", "-a", "_a", "a b", "a.b", "ä", "a\0", "a\n", "ＡＣＭＥ", long.as_str()] {
            assert_eq!(text.parse::<OrgCode>(), Err(OrgCodeInvalid), "{text:?}");
        }
        assert!("x".repeat(64).parse::<OrgCode>().is_ok());
        assert!(serde_json::from_str::<OrgCode>("\"a b\"").is_err());
    }

    #[test]
    fn what_looks_like_an_id_is_no_code() {
        for text in [
            "0192d3a0-0000-7000-8000-000000000001",
            "0192D3A0-0000-7000-8000-00000000000F",
            "0192d3a0000070008000000000000001",
            "0192d3a000007000-8000000000000001",
        ] {
            assert_eq!(text.parse::<OrgCode>(), Err(OrgCodeInvalid), "{text:?}");
        }
        for text in ["0192d3a0-0000-7000-8000-00000000000", "0192d3a0-0000-7000-8000-00000000000g", "2026"] {
            assert!(text.parse::<OrgCode>().is_ok(), "{text:?}");
        }
    }

    #[test]
    fn a_code_is_made_of_the_letters_and_digits_of_a_name() {
        let long = "x".repeat(63) + " yz";
        for (name, made) in [
            ("Acme Ltd", "acme-ltd"),
            ("  Société Générale! ", "societe-generale"),
            ("(Ａｃｍｅ) & Söhne 2", "acme-sohne-2"),
            ("株式会社", "org"),
            ("--", "org"),
            ("0192d3a0-0000-7000-8000-000000000001", "org-0192d3a0-0000-7000-8000-000000000001"),
            (long.as_str(), &long[..63]),
        ] {
            let made_of = OrgCode::from_name(&name.parse().unwrap());
            assert_eq!(made_of.as_str(), made, "{name:?}");
            assert!(made_of.as_str().parse::<OrgCode>().is_ok(), "{name:?}");
        }
    }

    #[test]
    fn a_suffix_leaves_a_code_a_code() {
        let (long, digits) = ("x".repeat(64), "0".repeat(31));
        for (base, n, with) in [
            ("acme", 2, "acme-2".to_owned()),
            ("acme-", 10, "acme-10".to_owned()),
            (&long, u32::MAX, format!("{}-4294967295", "x".repeat(53))),
            (&digits, 7, format!("{digits}_7")),
        ] {
            let suffixed = code(base).with_suffix(n);
            assert_eq!(suffixed.as_str(), with);
            assert!(suffixed.as_str().parse::<OrgCode>().is_ok());
        }
    }
}
