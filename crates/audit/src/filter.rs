use chrono::{DateTime, Datelike as _, Utc};
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
    /// Refuses texts that no stored value can equal and PostgreSQL would refuse to compare, and times outside the years
    /// 1 to 9999: PostgreSQL has no room for all of them, and SQLite compares times as texts of four-digit years.
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
        for (field, time) in [("started_after", self.started_after), ("started_before", self.started_before)]
        {
            if time.is_some_and(|time| !(1..=9999).contains(&time.year())) {
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
    use chrono::TimeZone as _;

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
    fn times_outside_four_digit_years_are_refused() {
        let year = |year| Utc.with_ymd_and_hms(year, 6, 1, 0, 0, 0).single();
        for wrong in [-262_000, -1, 0, 10_000, 262_000] {
            let after = Filter { started_after: year(wrong), ..Filter::default() };
            assert!(
                matches!(after.validate(), Err(Error::FilterInvalid { field: "started_after" })),
                "{wrong}"
            );
            let before = Filter { started_before: year(wrong), ..Filter::default() };
            assert!(
                matches!(before.validate(), Err(Error::FilterInvalid { field: "started_before" })),
                "{wrong}"
            );
        }
        let all = Filter { started_after: year(1), started_before: year(9999), ..Filter::default() };
        assert!(all.validate().is_ok());
    }

    #[test]
    fn export_limits_outside_the_range_are_refused() {
        assert_eq!(ExportLimit::new(0), None);
        assert_eq!(ExportLimit::new(1_000_001), None);
        assert_eq!(ExportLimit::default().get(), 100_000);
        assert_eq!(ExportLimit::new(1_000_000).map(ExportLimit::get), Some(1_000_000));
    }
}
