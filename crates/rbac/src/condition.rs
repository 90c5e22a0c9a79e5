use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use stylobate_core::AuthenticatorAssurance;

use crate::{Assignee, Missing, Resource};

/// When a rule applies: a closed set of comparisons, so that each ends and none runs text.
///
/// As JSON: `{"owner":{}}`, `{"attribute":{"name":"department","equals":"it"}}`,
/// `{"time_window":{"days":[1,2,3,4,5],"from_minute":480,"to_minute":1080,"utc_offset_minutes":60}}`,
/// `{"assurance":{"at_least":"aal2"}}`, `{"all":[…]}`, `{"any":[…]}`.
///
/// What a condition asks about may be unknown (a check without a resource): then a rule that allows does not apply, and a
/// rule that denies does.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", try_from = "Unchecked")]
#[non_exhaustive]
pub enum Condition {
    /// The subject owns the resource.
    Owner {},
    /// An attribute of the resource has exactly this value.
    Attribute {
        /// The attribute's name, 1 to 64 characters of `a-z 0-9 _ - .`.
        name: Box<str>,
        /// The value, at most 256 bytes without control characters.
        equals: Box<str>,
    },
    /// The time of the check lies in a weekly window. A window whose end is not after its begin reaches into the next day.
    TimeWindow {
        /// The days on which the window begins, 1 (Monday) to 7 (ISO 8601); empty means every day.
        days: Vec<u8>,
        /// The first minute of the day that is inside, 0 to 1439.
        from_minute: u16,
        /// The first minute that is outside again, 1 to 1440.
        to_minute: u16,
        /// How far the window's clock is ahead of UTC, -840 to 840 minutes. Fixed: daylight saving time is not followed.
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
    /// It is written as JSON, for lists to show it, and never read.
    Unreadable,
}

/// A condition as JSON says it, before anybody has looked at its limits.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Unchecked {
    Owner {},
    Attribute {
        name: Box<str>,
        equals: Box<str>,
    },
    TimeWindow {
        #[serde(default)]
        days: Vec<u8>,
        from_minute: u16,
        to_minute: u16,
        #[serde(default)]
        utc_offset_minutes: i16,
    },
    Assurance {
        at_least: AuthenticatorAssurance,
    },
    All(Vec<Unchecked>),
    Any(Vec<Unchecked>),
}

impl TryFrom<Unchecked> for Condition {
    type Error = ConditionInvalid;

    fn try_from(unchecked: Unchecked) -> Result<Self, ConditionInvalid> {
        let condition = unchecked.read();
        condition.validate()?;
        Ok(condition)
    }
}

impl Unchecked {
    fn read(self) -> Condition {
        let all = |parts: Vec<Self>| parts.into_iter().map(Self::read).collect();
        match self {
            Self::Owner {} => Condition::Owner {},
            Self::Attribute { name, equals } => Condition::Attribute { name, equals },
            Self::TimeWindow { days, from_minute, to_minute, utc_offset_minutes } => {
                Condition::TimeWindow { days, from_minute, to_minute, utc_offset_minutes }
            }
            Self::Assurance { at_least } => Condition::Assurance { at_least },
            Self::All(parts) => Condition::All(all(parts)),
            Self::Any(parts) => Condition::Any(all(parts)),
        }
    }
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
    #[error(
        "the name of an attribute has 1 to 64 characters of a-z 0-9 _ - . and its value at most 256 bytes without control characters"
    )]
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

    /// Reads a condition as databases and bodies hold it, and validates it; unlike deserializing it, this tells what is
    /// wrong.
    ///
    /// # Errors
    /// [`ConditionInvalid`].
    pub fn from_json(text: &str) -> Result<Self, ConditionInvalid> {
        if text.len() > Self::TEXT_BYTES_MAX {
            return Err(ConditionInvalid::Text);
        }
        let unchecked: Unchecked = serde_json::from_str(text).map_err(|_| ConditionInvalid::Text)?;
        unchecked.try_into()
    }

    /// Whether it keeps to the limits, as one that was deserialized does.
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
                // A filter of a list hands the value to the database, and not every one takes a NUL.
                let is_value = equals.len() <= 256 && !equals.chars().any(char::is_control);
                if is_name && is_value { Ok(()) } else { Err(ConditionInvalid::Attribute) }
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

/// What a condition holds or does not hold of.
pub(crate) struct Circumstances<'a, N> {
    pub(crate) asker: Assignee,
    pub(crate) aal: AuthenticatorAssurance,
    pub(crate) resource: Option<&'a Resource<'a>>,
    /// Asked only when a condition needs the time.
    pub(crate) now: N,
}

impl Condition {
    /// Whether it holds; `None` is unknown. Kleene's logic: what is unknown decides nothing that something known decides.
    pub(crate) fn holds<N: Fn() -> DateTime<Utc>>(&self, of: &Circumstances<'_, N>) -> Option<bool> {
        match self {
            Self::Owner {} => of.resource?.owner.map(|owner| owner == of.asker),
            Self::Attribute { name, equals } => {
                let mut known = None;
                for (_, value) in of.resource?.attributes.iter().filter(|(key, _)| *key == &**name) {
                    known = Some(known == Some(true) || *value == &**equals);
                }
                known
            }
            Self::TimeWindow { days, from_minute, to_minute, utc_offset_minutes } => {
                Some(is_inside(days, *from_minute, *to_minute, *utc_offset_minutes, (of.now)()))
            }
            Self::Assurance { at_least } => Some(of.aal >= *at_least),
            Self::All(parts) => parts.iter().map(|part| part.holds(of)).try_fold_kleene(false),
            Self::Any(parts) => parts.iter().map(|part| part.holds(of)).try_fold_kleene(true),
            Self::Unreadable => None,
        }
    }

    /// The first thing that keeps it from holding.
    pub(crate) fn missing<N: Fn() -> DateTime<Utc>>(&self, of: &Circumstances<'_, N>) -> Missing {
        match self {
            Self::Owner {} => Missing::Owner,
            Self::Attribute { .. } => Missing::Attribute,
            Self::TimeWindow { .. } => Missing::Time,
            Self::Assurance { at_least } => Missing::Assurance { at_least: *at_least },
            Self::All(parts) | Self::Any(parts) => {
                let unmet = parts.iter().find(|part| part.holds(of) != Some(true));
                unmet.map_or(Missing::Permission, |part| part.missing(of))
            }
            Self::Unreadable => Missing::Permission,
        }
    }
}

trait Kleene: Iterator<Item = Option<bool>> + Sized {
    /// `decisive` as soon as one item is that, else unknown if one is, else the opposite.
    fn try_fold_kleene(self, decisive: bool) -> Option<bool> {
        let mut all = Some(!decisive);
        for item in self {
            match item {
                Some(value) if value == decisive => return Some(decisive),
                Some(_) => {}
                None => all = None,
            }
        }
        all
    }
}

impl<I: Iterator<Item = Option<bool>>> Kleene for I {}

pub(crate) fn is_inside(
    days: &[u8],
    from: u16,
    to: u16,
    utc_offset_minutes: i16,
    now: DateTime<Utc>,
) -> bool {
    let local = now.timestamp().div_euclid(60).saturating_add(i64::from(utc_offset_minutes));
    let (day, minute) = (local.div_euclid(MINUTES_A_DAY.into()), local.rem_euclid(MINUTES_A_DAY.into()));
    // 1 January 1970 was a Thursday, ISO 8601's fourth day.
    let begins_on =
        |day: i64| days.is_empty() || days.iter().any(|&one| i64::from(one) == (day + 3).rem_euclid(7) + 1);
    let (from, to) = (i64::from(from), i64::from(to));
    if from < to {
        return (from..to).contains(&minute) && begins_on(day);
    }
    (minute >= from && begins_on(day)) || (minute < to && begins_on(day - 1))
}

const MINUTES_A_DAY: u16 = 24 * 60;

#[cfg(test)]
mod tests {
    use chrono::TimeZone as _;
    use stylobate_core::PersonId;
    use uuid::Uuid;

    use super::*;

    fn person(n: u128) -> Assignee {
        PersonId::from_uuid(Uuid::from_u128(n)).into()
    }

    fn holds(condition: &Condition, resource: Option<&Resource<'_>>) -> Option<bool> {
        let now = || Utc.timestamp_opt(0, 0).unwrap();
        condition.holds(&Circumstances { asker: person(1), aal: AuthenticatorAssurance::Aal2, resource, now })
    }

    #[test]
    fn what_is_not_known_is_neither_true_nor_false() {
        let it = Condition::Attribute { name: "department".into(), equals: "it".into() };
        let plain = Resource::new("document", "7");
        assert_eq!(holds(&Condition::Owner {}, None), None);
        assert_eq!(holds(&Condition::Owner {}, Some(&plain)), None);
        assert_eq!(holds(&Condition::Owner {}, Some(&plain.owned_by(person(1)))), Some(true));
        assert_eq!(holds(&Condition::Owner {}, Some(&plain.owned_by(person(2)))), Some(false));
        assert_eq!(holds(&it, Some(&plain)), None);
        assert_eq!(holds(&it, Some(&plain.with(&[("department", "it")]))), Some(true));
        assert_eq!(holds(&it, Some(&plain.with(&[("department", "IT")]))), Some(false));
        assert_eq!(holds(&it, Some(&plain.with(&[("department", "it"), ("department", "hr")]))), Some(true));

        let strong = Condition::Assurance { at_least: AuthenticatorAssurance::Aal2 };
        let stronger = Condition::Assurance { at_least: AuthenticatorAssurance::Aal3 };
        assert_eq!((holds(&strong, None), holds(&stronger, None)), (Some(true), Some(false)));
        let all = |parts: &[&Condition]| Condition::All(parts.iter().map(|part| (*part).clone()).collect());
        let any = |parts: &[&Condition]| Condition::Any(parts.iter().map(|part| (*part).clone()).collect());
        assert_eq!(holds(&all(&[&it, &strong]), None), None);
        assert_eq!(holds(&all(&[&it, &stronger]), None), Some(false));
        assert_eq!(holds(&any(&[&it, &strong]), None), Some(true));
        assert_eq!(holds(&any(&[&it, &stronger]), None), None);
        assert_eq!((holds(&all(&[]), None), holds(&any(&[]), None)), (Some(true), Some(false)));
        assert_eq!(holds(&Condition::Unreadable, None), None);
    }

    #[test]
    fn a_window_may_reach_into_the_next_day() {
        // Friday, 20 November 2026.
        let at = |day, hour, minute| Utc.with_ymd_and_hms(2026, 11, day, hour, minute, 59).unwrap();
        let work = |now| is_inside(&[1, 2, 3, 4, 5], 480, 1080, 60, now);
        assert!(work(at(20, 7, 0)) && work(at(20, 16, 59)));
        assert!(!work(at(20, 6, 59)) && !work(at(20, 17, 0)) && !work(at(21, 9, 0)));
        let night = |now| is_inside(&[5], 22 * 60, 6 * 60, 0, now);
        assert!(night(at(20, 22, 0)) && night(at(21, 5, 59)));
        assert!(!night(at(20, 5, 0)) && !night(at(21, 6, 0)) && !night(at(21, 22, 0)));
        assert!(is_inside(&[], 0, 1440, -840, at(22, 0, 0)) && is_inside(&[5], 720, 720, 0, at(21, 11, 59)));
        for now in [DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC] {
            assert!(is_inside(&[], 0, 1440, 840, now));
        }
    }

    #[test]
    fn conditions_keep_to_their_limits() {
        let read = Condition::from_json;
        for text in [
            r#"{"owner":{}}"#,
            r#"{"attribute":{"name":"department","equals":"it"}}"#,
            r#"{"time_window":{"days":[1,5],"from_minute":480,"to_minute":1080,"utc_offset_minutes":60}}"#,
            r#"{"time_window":{"from_minute":0,"to_minute":1440}}"#,
            r#"{"assurance":{"at_least":"aal2"}}"#,
            r#"{"any":[{"owner":{}},{"all":[]}]}"#,
        ] {
            assert!(read(text).is_ok(), "{text}");
        }
        let nested = |depth| format!("{}{}", r#"{"all":["#.repeat(depth), "]}".repeat(depth));
        assert!(read(&nested(8)).is_ok());
        assert_eq!(read(&nested(9)), Err(ConditionInvalid::Size));
        // C42: far deeper than any stack.
        assert_eq!(read(&nested(10_000)), Err(ConditionInvalid::Text));
        let wide = |parts| format!(r#"{{"any":[{}]}}"#, vec![r#"{"owner":{}}"#; parts].join(","));
        assert!(read(&wide(63)).is_ok());
        assert_eq!(read(&wide(64)), Err(ConditionInvalid::Size));
        for text in ["", "{}", "null", r#""unreadable""#, r#"{"eval":"1"}"#, r#"{"owner":{},"all":[]}"#] {
            assert_eq!(read(text), Err(ConditionInvalid::Text), "{text}");
        }
        assert_eq!(read(&" ".repeat(1 << 20)), Err(ConditionInvalid::Text));
        let attribute = |name: &str, equals: &str| {
            Condition::Attribute { name: name.into(), equals: equals.into() }.validate()
        };
        assert!(attribute("a.b-c_9", "ünï").is_ok());
        for (name, equals) in
            [("", "x"), ("A", "x"), ("é", "x"), (&*"a".repeat(65), "x"), ("a", &"x".repeat(257))]
        {
            assert_eq!(attribute(name, equals), Err(ConditionInvalid::Attribute), "{name}");
        }
        for equals in ["a\0b", "\n", "a\u{7f}", "\u{85}"] {
            assert_eq!(attribute("a", equals), Err(ConditionInvalid::Attribute), "{equals:?}");
        }
        let window = |days: &[u8], from_minute, to_minute, utc_offset_minutes| {
            Condition::TimeWindow { days: days.into(), from_minute, to_minute, utc_offset_minutes }.validate()
        };
        assert!(window(&[7], 1439, 1, 840).is_ok());
        for (days, from, to, offset) in [
            (&[0][..], 0, 1, 0),
            (&[8], 0, 1, 0),
            (&[1; 8], 0, 1, 0),
            (&[], 1440, 1, 0),
            (&[], 0, 0, 0),
            (&[], 0, 1441, 0),
            (&[], 0, 1, 841),
        ] {
            assert_eq!(window(days, from, to, offset), Err(ConditionInvalid::TimeWindow));
        }
    }

    #[test]
    fn deserializing_keeps_to_the_limits_too() {
        let read = |text: &str| serde_json::from_str::<Condition>(text);
        let window =
            |to: u16| format!(r#"{{"any":[{{"time_window":{{"from_minute":0,"to_minute":{to}}}}}]}}"#);
        assert!(read(&window(1440)).is_ok() && read(&window(1441)).is_err());
        let nested = |depth| format!("{}{}", r#"{"all":["#.repeat(depth), "]}".repeat(depth));
        assert!(read(&nested(8)).is_ok() && read(&nested(9)).is_err());
        for text in
            [r#"{"attribute":{"name":"a","equals":"\u0000"}}"#, r#""unreadable""#, r#"{"owner":{"x":1}}"#]
        {
            assert!(read(text).is_err(), "{text}");
        }
        let condition = read(r#"{"all":[{"owner":{}},{"assurance":{"at_least":"aal2"}}]}"#).unwrap();
        assert_eq!(read(&serde_json::to_string(&condition).unwrap()).unwrap(), condition);
    }
}
