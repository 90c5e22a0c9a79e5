//! Columns whose value may be damaged: each costs its own row something, and keeps no other row from being read.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{Database, Decode, Type, ValueRef as _, error::BoxDynError};
use uuid::Uuid;

use crate::{Assignee, AssigneeKind, Condition, Effect};

/// An id. SQLite holds any bytes where one should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Id(pub(crate) Option<Uuid>);

/// What a text says, if that can be read. The text itself is kept only where it is what counts.
#[derive(Debug, Clone)]
pub(crate) struct Said<T>(pub(crate) Option<T>);

/// A time, if it is one that the program can reckon with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Time(pub(crate) Option<DateTime<Utc>>);

impl Time {
    /// The time, or the beginning of all: for what is shown and decides nothing.
    pub(crate) fn or_epoch(self) -> DateTime<Utc> {
        self.0.unwrap_or_default()
    }
}

/// When a rule ends, if ever.
pub(crate) type End = Option<Time>;

/// A text that is no time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unreadable;

impl<T: Default> Said<T> {
    /// The value, or an empty one: for what is shown and decides nothing.
    pub(crate) fn or_empty(self) -> T {
        self.0.unwrap_or_default()
    }
}

impl Id {
    /// The id, or the one that nothing has.
    pub(crate) fn or_nil(self) -> Uuid {
        self.0.unwrap_or_default()
    }
}

/// Whom a rule names, if that can be read.
pub(crate) fn assignee(Said(kind): &Said<AssigneeKind>, id: Id) -> Option<Assignee> {
    Some(Assignee { kind: (*kind)?, id: id.0? })
}

/// Whom a rule names, as it is shown to those who may take it away.
pub(crate) fn shown_assignee(Said(kind): &Said<AssigneeKind>, id: Id) -> Assignee {
    Assignee { kind: kind.unwrap_or(AssigneeKind::Unreadable), id: id.or_nil() }
}

/// What a rule says. One that says neither `allow` nor `deny` denies, always. A condition that cannot be read is kept as such:
/// it holds for what denies and not for what allows.
pub(crate) fn rule(
    Said(effect): Said<Effect>,
    condition: Option<Said<Condition>>,
) -> (Effect, Option<Condition>) {
    match effect {
        Some(effect) => (effect, condition.map(|Said(said)| said.unwrap_or(Condition::Unreadable))),
        None => (Effect::Deny, None),
    }
}

/// When a rule ends, if it says so in a way that can be read.
pub(crate) fn read_end(end: End) -> Result<Option<DateTime<Utc>>, Unreadable> {
    match end {
        None => Ok(None),
        Some(Time(end)) => end.map(Some).ok_or(Unreadable),
    }
}

/// When a rule ends as far as that counts: with an end that cannot be read, what allows is over, and what denies does so for
/// good.
pub(crate) fn end(effect: Effect, end: End) -> Option<DateTime<Utc>> {
    match (read_end(end), effect) {
        (Ok(end), _) => end,
        (Err(Unreadable), Effect::Allow) => Some(DateTime::UNIX_EPOCH),
        (Err(Unreadable), Effect::Deny) => None,
    }
}

/// What a row says in text.
pub(crate) trait FromText: Sized {
    fn from_text(text: &str) -> Option<Self>;
}

impl FromText for String {
    fn from_text(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }
}

impl FromText for Effect {
    fn from_text(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl FromText for AssigneeKind {
    fn from_text(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl FromText for Condition {
    fn from_text(text: &str) -> Option<Self> {
        Self::from_json(text).ok()
    }
}

/// The value, if it is one and of the right type.
fn readable<'r, DB: Database, T: Decode<'r, DB> + Type<DB>>(value: DB::ValueRef<'r>) -> Option<T> {
    if value.is_null() || !T::compatible(&value.type_info()) {
        return None;
    }
    T::decode(value).ok()
}

// `compatible` of these says yes to everything, for a refusal there is about the whole answer, and one in `decode` about one
// value.

impl<DB: Database> Type<DB> for Id
where
    Uuid: Type<DB>,
{
    fn type_info() -> DB::TypeInfo {
        Uuid::type_info()
    }

    fn compatible(_: &DB::TypeInfo) -> bool {
        true
    }
}

impl<'r, DB: Database> Decode<'r, DB> for Id
where
    Uuid: Decode<'r, DB> + Type<DB>,
{
    fn decode(value: DB::ValueRef<'r>) -> Result<Self, BoxDynError> {
        Ok(Self(readable::<DB, Uuid>(value)))
    }
}

impl<DB: Database, T> Type<DB> for Said<T>
where
    str: Type<DB>,
{
    fn type_info() -> DB::TypeInfo {
        <str as Type<DB>>::type_info()
    }

    fn compatible(_: &DB::TypeInfo) -> bool {
        true
    }
}

impl<'r, DB: Database, T: FromText> Decode<'r, DB> for Said<T>
where
    &'r str: Decode<'r, DB> + Type<DB>,
{
    fn decode(value: DB::ValueRef<'r>) -> Result<Self, BoxDynError> {
        Ok(Self(readable::<DB, &'r str>(value).and_then(T::from_text)))
    }
}

impl<DB: Database> Type<DB> for Time
where
    DateTime<Utc>: Type<DB>,
{
    fn type_info() -> DB::TypeInfo {
        <DateTime<Utc>>::type_info()
    }

    fn compatible(_: &DB::TypeInfo) -> bool {
        true
    }
}

impl<'r, DB: Database> Decode<'r, DB> for Time
where
    DateTime<Utc>: Type<DB>,
    &'r str: Decode<'r, DB> + Type<DB>,
    i64: Decode<'r, DB>,
{
    fn decode(value: DB::ValueRef<'r>) -> Result<Self, BoxDynError> {
        let type_info = value.type_info();
        if <&'r str as Type<DB>>::compatible(&type_info) {
            let said =
                readable::<DB, &'r str>(value).and_then(|text| DateTime::parse_from_rfc3339(text).ok());
            return Ok(Self(said.map(|at| at.to_utc())));
        }
        if value.is_null() || !<DateTime<Utc> as Type<DB>>::compatible(&type_info) {
            return Ok(Self(None));
        }
        // The driver adds these to a date without looking where that leads: `infinity` would end the task.
        Ok(Self(i64::decode(value).ok().and_then(from_postgres)))
    }
}

/// PostgreSQL's microseconds since the year 2000. Its infinities are the smallest and the greatest number.
fn from_postgres(micros: i64) -> Option<DateTime<Utc>> {
    let start = DateTime::from_timestamp(946_684_800, 0)?;
    let at = start.checked_add_signed(TimeDelta::microseconds(micros))?;
    // The years that a time has in text, on either engine.
    (0..=9999).contains(&chrono::Datelike::year(&at)).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_beyond_the_calendar_are_none() {
        let at = |text: &str| DateTime::parse_from_rfc3339(text).unwrap().to_utc();
        assert_eq!(from_postgres(0), Some(at("2000-01-01T00:00:00Z")));
        assert_eq!(from_postgres(-1), Some(at("1999-12-31T23:59:59.999999Z")));
        for micros in [i64::MIN, i64::MAX, i64::MIN + 1, 252_455_616_000_000_000] {
            assert_eq!(from_postgres(micros), None, "{micros}");
        }
    }

    #[test]
    fn an_end_that_cannot_be_read_is_over_for_what_allows_and_never_for_what_denies() {
        // A11
        assert_eq!(end(Effect::Allow, Some(Time(None))), Some(DateTime::UNIX_EPOCH));
        assert_eq!(end(Effect::Deny, Some(Time(None))), None);
        let at = DateTime::from_timestamp(1_772_366_400, 0);
        for effect in [Effect::Allow, Effect::Deny] {
            assert_eq!((end(effect, None), end(effect, Some(Time(at)))), (None, at));
        }
    }

    #[test]
    fn a_damaged_rule_is_never_read_as_one_without_condition() {
        // A11: a policy row damaged in the database.
        let nested = "{\"all\":[".repeat(200);
        for text in
            ["", "{}", "null", "{\"eval\":\"1==1\"}", "{\"owner\":", "\u{202e}", "\"unreadable\"", &nested]
        {
            for effect in [Effect::Allow, Effect::Deny] {
                let read = rule(Said(Some(effect)), Some(Said(Condition::from_text(text))));
                assert_eq!(read, (effect, Some(Condition::Unreadable)), "{text:.20}");
            }
        }
        assert_eq!(rule(Said(Effect::from_text("perhaps")), Some(Said(None))), (Effect::Deny, None));
    }
}
