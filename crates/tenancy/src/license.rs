use serde::{Deserialize, Serialize};

/// What has become of the licence that an organisation bought. It is on record for the operator; whether anybody may act in
/// the organisation is said elsewhere.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LicenseStatus {
    /// It counts.
    #[default]
    Active,
    /// It is held back, for example until it is paid for.
    Suspended,
    /// Its time has passed.
    Expired,
}

impl LicenseStatus {
    /// The status as rows and bodies spell it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Expired => "expired",
        }
    }

    /// The status that is spelt `word`.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Active, Self::Suspended, Self::Expired].into_iter().find(|status| status.as_str() == word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_spelt_alike_everywhere() {
        for status in [LicenseStatus::Active, LicenseStatus::Suspended, LicenseStatus::Expired] {
            assert_eq!(LicenseStatus::from_word(status.as_str()), Some(status));
            assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
        }
        assert_eq!(LicenseStatus::from_word("Active"), None);
    }
}
