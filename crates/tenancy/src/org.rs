use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A text that is not the code of an organisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "an organisation code has 1 to 64 letters, digits, `-` and `_` of ASCII and begins with a letter or digit"
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
/// first a letter or digit, so that it also serves in addresses and host names.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct OrgCode(String);

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
}

impl FromStr for OrgCode {
    type Err = OrgCodeInvalid;

    fn from_str(text: &str) -> Result<Self, OrgCodeInvalid> {
        let is_sound = (1..=64).contains(&text.len())
            && text.starts_with(|first: char| first.is_ascii_alphanumeric())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        if is_sound { Ok(Self(text.to_owned())) } else { Err(OrgCodeInvalid) }
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

/// A text that is not the name of an organisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an organisation name has 1 to 200 characters and no control characters")]
pub struct OrgNameInvalid;

impl OrgNameInvalid {
    /// The stable code of the situation.
    #[must_use]
    pub fn code(&self) -> &'static str {
        "invalid_org_name"
    }
}

/// The name of an organisation as people read it: 1 to 200 characters without blanks around them, and no control
/// characters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct OrgName(String);

impl OrgName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for OrgName {
    type Err = OrgNameInvalid;

    fn from_str(text: &str) -> Result<Self, OrgNameInvalid> {
        let text = text.trim();
        let is_sound =
            !text.is_empty() && text.chars().nth(200).is_none() && !text.chars().any(char::is_control);
        if is_sound { Ok(Self(text.to_owned())) } else { Err(OrgNameInvalid) }
    }
}

impl TryFrom<String> for OrgName {
    type Error = OrgNameInvalid;

    fn try_from(text: String) -> Result<Self, OrgNameInvalid> {
        text.parse()
    }
}

impl From<OrgName> for String {
    fn from(name: OrgName) -> Self {
        name.0
    }
}

impl fmt::Display for OrgName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn names_lose_blanks_around_them_and_nothing_else() {
        assert_eq!("  Größe & Söhne \u{3000}".parse::<OrgName>().unwrap().as_str(), "Größe & Söhne");
        let long = "x".repeat(201);
        for text in ["", "  ", "a\0b", "a\nb", long.as_str()] {
            assert_eq!(text.parse::<OrgName>(), Err(OrgNameInvalid), "{text:?}");
        }
        assert!("ü".repeat(200).parse::<OrgName>().is_ok());
    }
}
