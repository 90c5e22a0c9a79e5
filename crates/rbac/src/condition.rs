use serde::{Deserialize, Serialize};
use stylobate_core::AuthenticatorAssurance;

/// When a rule applies: a closed set of comparisons, so that each ends and none runs text.
///
/// As JSON: `{"owner":{}}`, `{"attribute":{"name":"department","equals":"it"}}`,
/// `{"time_window":{"days":[1,2,3,4,5],"from_minute":480,"to_minute":1080,"utc_offset_minutes":60}}`,
/// `{"assurance":{"at_least":"aal2"}}`, `{"all":[…]}`, `{"any":[…]}`.
///
/// What a condition asks about may be unknown (a check without a resource): then a rule that allows does not apply, and a
/// rule that denies does.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Condition {
    /// The subject owns the resource.
    Owner {},
    /// An attribute of the resource has exactly this value.
    Attribute {
        /// The attribute's name, 1 to 64 characters of `a-z 0-9 _ - .`.
        name: Box<str>,
        /// The value, at most 256 bytes.
        equals: Box<str>,
    },
    /// The time of the check lies in a weekly window. A window whose end is not after its begin reaches into the next day.
    TimeWindow {
        /// The days on which the window begins, 1 (Monday) to 7 (ISO 8601); empty means every day.
        #[serde(default)]
        days: Vec<u8>,
        /// The first minute of the day that is inside, 0 to 1439.
        from_minute: u16,
        /// The first minute that is outside again, 1 to 1440.
        to_minute: u16,
        /// How far the window's clock is ahead of UTC, -840 to 840 minutes. Fixed: daylight saving time is not followed.
        #[serde(default)]
        utc_offset_minutes: i16,
    },
    /// The subject proved itself at least this strongly (NIST SP 800-63B-4 §2).
    Assurance {
        /// The lowest level that suffices.
        at_least: AuthenticatorAssurance,
    },
    /// All of these hold; an empty list holds.
    All(Vec<Condition>),
    /// One of these holds; an empty list does not.
    Any(Vec<Condition>),
}
