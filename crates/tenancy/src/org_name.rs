use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use stylobate_core::is_invisible;

/// A text that is not the name of an organisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an organisation name has 1 to 200 characters, all of which can be seen")]
pub struct OrgNameInvalid;

impl OrgNameInvalid {
    /// The stable code of the situation.
    #[must_use]
    pub fn code(&self) -> &'static str {
        "invalid_org_name"
    }
}

/// The name of an organisation as people read it: 1 to 200 characters without blanks around them, and none that cannot be
/// seen, so that no two names are read as one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct OrgName(String);

impl OrgName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as a row holds it. Rows from before invisible characters were refused stay readable.
    #[cfg(feature = "sql")]
    pub(crate) fn from_stored(text: String) -> Option<Self> {
        has_length(&text).then_some(Self(text))
    }
}

fn has_length(text: &str) -> bool {
    !text.is_empty() && text.chars().nth(200).is_none()
}

impl FromStr for OrgName {
    type Err = OrgNameInvalid;

    fn from_str(text: &str) -> Result<Self, OrgNameInvalid> {
        let text = text.trim();
        if has_length(text) && !text.chars().any(is_invisible) {
            Ok(Self(text.to_owned()))
        } else {
            Err(OrgNameInvalid)
        }
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
    fn names_lose_blanks_around_them_and_nothing_else() {
        assert_eq!("  Größe & Söhne \u{3000}".parse::<OrgName>().unwrap().as_str(), "Größe & Söhne");
        let long = "x".repeat(201);
        for text in ["", "  ", "a\0b", "a\nb", long.as_str()] {
            assert_eq!(text.parse::<OrgName>(), Err(OrgNameInvalid), "{text:?}");
        }
        assert!("ü".repeat(200).parse::<OrgName>().is_ok());
    }

    #[test]
    fn names_that_are_read_as_another_are_refused() {
        for text in ["Ac\u{200b}me", "Acme\u{ad}", "\u{202e}emcA", "Acme\u{2028}Ltd", "\u{feff}Acme"] {
            assert_eq!(text.parse::<OrgName>(), Err(OrgNameInvalid), "{text:?}");
        }
    }
}
