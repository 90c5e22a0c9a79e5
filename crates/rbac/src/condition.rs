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
    /// A condition in a row that cannot be read: never known, so an allowing rule does not apply and a denying one does.
    /// It is written as JSON, never read.
    #[serde(skip_deserializing)]
    Unreadable,
}

/// Why a text or value is no condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConditionInvalid {
    /// The text is not the JSON of a condition, or is too long.
    #[error("not a condition")]
    Text,
    /// It is nested more than 8 deep or has more than 64 parts.
    #[error("a condition has at most 64 parts, nested at most 8 deep")]
    Size,
    /// The name or value of an attribute breaks its limits.
    #[error("an attribute's name has 1 to 64 characters of a-z 0-9 _ - . and its value at most 256 bytes")]
    Attribute,
    /// A day, minute or offset is out of range.
    #[error("a day, minute or offset of the time window is out of range")]
    TimeWindow,
}

impl Condition {
    /// How deep conditions may be nested; one that is not nested is 1 deep.
    pub const DEPTH_MAX: usize = 8;
    /// How many parts one may have, itself counted.
    pub const PARTS_MAX: usize = 64;
    /// The longest text that is read: the largest valid condition takes less.
    pub const TEXT_BYTES_MAX: usize = 64 * 1024;

    /// Reads a condition as databases and bodies hold it, and validates it.
    ///
    /// # Errors
    /// [`ConditionInvalid`].
    pub fn from_json(text: &str) -> Result<Self, ConditionInvalid> {
        if text.len() > Self::TEXT_BYTES_MAX {
            return Err(ConditionInvalid::Text);
        }
        let condition: Self = serde_json::from_str(text).map_err(|_| ConditionInvalid::Text)?;
        condition.validate()?;
        Ok(condition)
    }

    /// Whether it keeps to the limits. Deserializing does not ask: whoever takes conditions in calls this.
    ///
    /// # Errors
    /// [`ConditionInvalid`].
    pub fn validate(&self) -> Result<(), ConditionInvalid> {
        let mut parts = 0;
        self.validate_at(1, &mut parts)
    }

    fn validate_at(&self, depth: usize, parts: &mut usize) -> Result<(), ConditionInvalid> {
        *parts += 1;
        if depth > Self::DEPTH_MAX || *parts > Self::PARTS_MAX {
            return Err(ConditionInvalid::Size);
        }
        match self {
            Self::Owner {} | Self::Assurance { .. } => Ok(()),
            Self::Unreadable => Err(ConditionInvalid::Text),
            Self::Attribute { name, equals } => {
                let is_name = (1..=64).contains(&name.len())
                    && name
                        .bytes()
                        .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'.'));
                if is_name && equals.len() <= 256 { Ok(()) } else { Err(ConditionInvalid::Attribute) }
            }
            Self::TimeWindow { days, from_minute, to_minute, utc_offset_minutes } => {
                let is_window = days.len() <= 7
                    && days.iter().all(|day| (1..=7).contains(day))
                    && *from_minute < MINUTES_A_DAY
                    && (1..=MINUTES_A_DAY).contains(to_minute)
                    && (-840..=840).contains(utc_offset_minutes);
                if is_window { Ok(()) } else { Err(ConditionInvalid::TimeWindow) }
            }
            Self::All(parts_of) | Self::Any(parts_of) => {
                parts_of.iter().try_for_each(|part| part.validate_at(depth + 1, parts))
            }
        }
    }
}

const MINUTES_A_DAY: u16 = 24 * 60;
