use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use stylobate_core::{ActorKind, Outcome, RequestId};

use crate::{Error, bounds::NAME_CHARS_MAX};

/// Which entries to list or export; what is `None` does not narrow. Texts are compared exactly.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Filter {
    /// The actor's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor_id: Option<String>,
    /// The kind of actor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor_type: Option<ActorKind>,
    /// What was done, whole: `role.create`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// The kind of thing it was done to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entity_type: Option<String>,
    /// The thing's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entity_id: Option<String>,
    /// The request that caused it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<RequestId>,
    /// Only successes, or only what did not succeed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_success: Option<bool>,
    /// How it went.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// Not before this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_after: Option<DateTime<Utc>>,
    /// Before this time; the time itself is left out, so that adjoining ranges share no entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_before: Option<DateTime<Utc>>,
}

impl Filter {
    /// Refuses texts that no stored value can equal and PostgreSQL would refuse to compare.
    pub(crate) fn validate(&self) -> Result<(), Error> {
        for (field, text) in [
            ("actor_id", &self.actor_id),
            ("action", &self.action),
            ("entity_type", &self.entity_type),
            ("entity_id", &self.entity_id),
        ] {
            if let Some(text) = text
                && (text.contains('\0') || text.chars().nth(NAME_CHARS_MAX).is_some())
            {
                return Err(Error::FilterInvalid { field });
            }
        }
        Ok(())
    }
}

/// How many rows an export may have: 1 to 1,000,000, 100,000 unless asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExportLimit(u32);

impl ExportLimit {
    /// The largest export: about what spreadsheets open (1,048,576 lines).
    pub const MAX: u32 = 1_000_000;

    /// A limit of `rows`, or `None` outside 1 to [`MAX`](Self::MAX).
    #[must_use]
    pub fn new(rows: u32) -> Option<Self> {
        (1..=Self::MAX).contains(&rows).then_some(Self(rows))
    }

    /// The number of rows.
    #[must_use]
    pub fn get(self) -> u32 {
        self.0
    }
}

impl Default for ExportLimit {
    fn default() -> Self {
        Self(100_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_no_row_can_match_are_refused() {
        for text in ["a\0b".to_owned(), "x".repeat(NAME_CHARS_MAX + 1)] {
            let filter = Filter { entity_id: Some(text), ..Filter::default() };
            assert!(matches!(filter.validate(), Err(Error::FilterInvalid { field: "entity_id" })));
        }
        let filter = Filter { action: Some("x".repeat(NAME_CHARS_MAX)), ..Filter::default() };
        assert!(filter.validate().is_ok());
    }

    #[test]
    fn export_limits_outside_the_range_are_refused() {
        assert_eq!(ExportLimit::new(0), None);
        assert_eq!(ExportLimit::new(1_000_001), None);
        assert_eq!(ExportLimit::default().get(), 100_000);
        assert_eq!(ExportLimit::new(1_000_000).map(ExportLimit::get), Some(1_000_000));
    }
}
