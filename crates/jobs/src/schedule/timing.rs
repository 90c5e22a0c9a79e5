use std::str::FromStr as _;

use chrono::{DateTime, SubsecRound as _, TimeDelta, Utc};
use chrono_tz::Tz;
use croner::{
    Cron,
    parser::{CronParser, Year},
};
use serde::{Deserialize, Serialize};

use crate::JobsError;

/// When a schedule asks for its job: at its *slots*.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Timing {
    /// At the times that a cron text names on the clocks of a time zone.
    ///
    /// Where clocks are put on or back, a text that names one time of the day (`30 2 * * *`) has one slot on each of its days:
    /// the first moment after the gap if the time does not exist, the first of the two if it comes twice. Any other text
    /// (`*/5 * * * *`, `0 1,2 * * *`) has a slot whenever the clocks show what it names: none in the gap, two where the hour
    /// comes twice.
    Cron {
        /// Five fields (minute, hour, day of the month, month, day of the week) or six (second before them), or `@hourly`,
        /// `@daily`, `@weekly`, `@monthly`, `@yearly`. Lists, ranges, steps, names, `L`, `W`, `#`, and `+` before the day of the
        /// week when both days must match. 1 to 200 characters.
        expression: String,
        /// A name of the IANA time zone database, `Europe/Berlin`; `UTC` unless told otherwise.
        #[serde(default = "utc")]
        time_zone: String,
    },
    /// Every so often, counted from when the schedule was made, last enabled, or its timing last changed.
    Interval {
        /// 1 to 31,622,400 (a year).
        seconds: u32,
    },
    /// Once.
    Once {
        /// When; from 1970 on and before the year 5000.
        at: DateTime<Utc>,
    },
    /// What is stored is none of these: the row is damaged. Nobody can ask for it.
    #[serde(skip_deserializing)]
    Unreadable {
        /// What is stored.
        text: String,
    },
}

fn utc() -> String {
    "UTC".to_owned()
}

/// What is done about slots that were missed: more than [`ON_TIME`] late, because no scheduler was running.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CatchUp {
    /// Nothing.
    Skip,
    /// One run for all of them: that of the latest, unless a slot that is not missed runs anyway.
    #[default]
    One,
    /// All run, one after the other is asked for.
    All {
        /// The latest so many of them. 1 to 1,000.
        most: u16,
    },
}

/// What is done about a slot while a job of the same schedule has not finished.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// It runs beside the others.
    #[default]
    Allow,
    /// It is left out. Does not hold for what is asked for by hand.
    Skip,
}

/// How late a slot may be and still not be missed: 60 s, as no scheduler looks more often than it must, and restarting one takes
/// a while.
pub const ON_TIME: TimeDelta = TimeDelta::seconds(60);

/// What one look at a schedule comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticks {
    /// The slots that run now, oldest first.
    pub slots: Vec<DateTime<Utc>>,
    /// How many slots are left out.
    pub skipped: usize,
    /// The first slot after all of these; `None` when there is none. When it is not in the future, there were more slots than one
    /// look goes through: look again.
    pub next_run_at: Option<DateTime<Utc>>,
}

/// How many slots one look goes through.
const LOOKED_AT: usize = 5_000;
/// How many of these the next look sees again when they were too many: all that can still run. Slots are a second apart at
/// least, so 1,000 missed ones and 61 that are on time.
const KEPT: usize = 1_100;

/// Decides which slots of `timing` run `now`, when `next_run_at` is the first that has not been decided on.
///
/// Has no effect and knows no clock: the same arguments give the same answer. A `now` before `next_run_at`, as after a clock
/// was put back, gives no slots.
///
/// # Errors
/// [`JobsError::Invalid`] when `timing` is.
pub fn tick(
    timing: &Timing,
    catch_up: CatchUp,
    next_run_at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<Ticks, JobsError> {
    let plan = timing.plan()?;
    let mut slots = Vec::new();
    let mut next = Some(next_run_at);
    while let Some(slot) = next.filter(|slot| *slot <= now) {
        if slots.len() == LOOKED_AT {
            let again = slots.get(LOOKED_AT - KEPT).copied();
            return Ok(Ticks { slots: Vec::new(), skipped: LOOKED_AT - KEPT, next_run_at: again });
        }
        slots.push(slot);
        next = plan.next_after(slot);
    }
    let missed = slots.partition_point(|slot| now.signed_duration_since(*slot) > ON_TIME);
    let caught_up = match catch_up {
        CatchUp::Skip => 0,
        CatchUp::One => usize::from(missed > 0 && missed == slots.len()),
        CatchUp::All { most } => usize::from(most).min(missed),
    };
    slots.drain(..missed - caught_up);
    Ok(Ticks { slots, skipped: missed - caught_up, next_run_at: next })
}

/// A timing that has been read.
pub(crate) enum Plan {
    Cron(Box<Cron>, Tz),
    Interval(TimeDelta),
    Once(DateTime<Utc>),
}

impl Timing {
    /// `expression` on the clocks of `time_zone`.
    #[must_use]
    pub fn cron(expression: impl Into<String>, time_zone: impl Into<String>) -> Self {
        Self::Cron { expression: expression.into(), time_zone: time_zone.into() }
    }

    /// The first `most` slots after `time`.
    ///
    /// # Errors
    /// [`JobsError::Invalid`] with the field `expression`, `time_zone`, `interval_seconds` or `at`.
    pub fn upcoming(&self, time: DateTime<Utc>, most: usize) -> Result<Vec<DateTime<Utc>>, JobsError> {
        let plan = self.plan()?;
        let slots = std::iter::successors(plan.next_after(time), |slot| plan.next_after(*slot));
        Ok(slots.take(most).collect())
    }

    /// Reads it.
    pub(crate) fn plan(&self) -> Result<Plan, JobsError> {
        match self {
            Self::Cron { expression, time_zone } => {
                if expression.chars().count() > 200 {
                    return Err(invalid("expression", "has more than 200 characters"));
                }
                let cron = cron(expression).map_err(|problem| invalid("expression", problem))?;
                let zone = Tz::from_str(time_zone)
                    .map_err(|_| invalid("time_zone", "is no name of a time zone, as `Europe/Berlin` is"))?;
                Ok(Plan::Cron(Box::new(cron), zone))
            }
            Self::Interval { seconds } if (1..=31_622_400).contains(seconds) => {
                Ok(Plan::Interval(TimeDelta::seconds(i64::from(*seconds))))
            }
            Self::Interval { .. } => Err(invalid("interval_seconds", "is 1 to 31622400")),
            Self::Once { at } => {
                use chrono::Datelike as _;
                if !(1970..5000).contains(&at.year()) {
                    return Err(invalid("at", "is from 1970 on and before the year 5000"));
                }
                Ok(Plan::Once(at.trunc_subsecs(6)))
            }
            Self::Unreadable { .. } => Err(invalid("timing", "cannot be read")),
        }
    }

    /// The field that says when the slots are.
    pub(crate) fn field(&self) -> &'static str {
        match self {
            Self::Cron { .. } => "expression",
            Self::Interval { .. } => "interval_seconds",
            Self::Once { .. } => "at",
            Self::Unreadable { .. } => "timing",
        }
    }
}

/// For how many years slots are looked for. No text that has slots pauses for longer than forty: from one 29 February on a Monday
/// to the next, where 2100 is between them.
const YEARS: i32 = 41;
/// What the parser calls a year that is named.
const NAMED: u8 = 1;

/// Reads a cron text, of no year: whoever looks for slots says in which.
fn cron(expression: &str) -> Result<Cron, String> {
    let expression = expression.trim();
    let text = match expression.to_ascii_lowercase().as_str() {
        "@yearly" | "@annually" => "0 0 1 1 *",
        "@monthly" => "0 0 1 * *",
        "@weekly" => "0 0 * * 0",
        "@daily" => "0 0 * * *",
        "@hourly" => "0 * * * *",
        _ => expression,
    };
    let fields: Vec<&str> = text.split_whitespace().collect();
    if !(5..=6).contains(&fields.len()) {
        return Err("is no cron text: it has 5 or 6 fields".to_owned());
    }
    // The parser leaves empty items out, and what is left may name no time at all.
    if fields.iter().any(|field| field.split(',').any(str::is_empty)) {
        return Err("is no cron text: a list has an empty item".to_owned());
    }
    let seconds = if fields.len() == 5 { "0 " } else { "" };
    let parser = CronParser::builder().year(Year::Required).build();
    let cron = parser.parse(&format!("{seconds}{} 1", fields.join(" ")));
    let mut cron = cron.map_err(|error| format!("is no cron text: {error}"))?;
    let names_nothing =
        [&cron.pattern.seconds, &cron.pattern.minutes, &cron.pattern.hours, &cron.pattern.months]
            .into_iter()
            .any(|field| field.values().is_empty());
    if names_nothing {
        return Err("is no cron text: a field names no time".to_owned());
    }
    cron.pattern.years.unset_bit(1, NAMED).map_err(|error| format!("is no cron text: {error}"))?;
    Ok(cron)
}

/// The first time after `time` that `cron` names, if it names one in the next [`YEARS`].
fn search(cron: &Cron, time: &DateTime<Tz>) -> Option<DateTime<Utc>> {
    use chrono::Datelike as _;
    let mut bounded = cron.clone();
    for year in time.year()..=time.year().saturating_add(YEARS) {
        // Years that the search does not reach anyway cannot be set.
        let _ = bounded.pattern.years.set_bit(u16::try_from(year).ok()?, NAMED);
    }
    // Whole seconds: the search steps off the second it begins in.
    Some(bounded.find_next_occurrence(time, false).ok()?.with_timezone(&Utc))
}

/// From how far beyond a time the slots after it are looked for; more than the first only if that finds none.
const LEAPS: [TimeDelta; 3] = [TimeDelta::zero(), TimeDelta::hours(23), TimeDelta::hours(47)];

impl CatchUp {
    pub(crate) fn check(self) -> Result<(), JobsError> {
        match self {
            Self::All { most: 0 | 1_001.. } => Err(invalid("catch_up", "is at most 1 to 1000 slots")),
            Self::Skip | Self::One | Self::All { .. } => Ok(()),
        }
    }
}

impl Plan {
    /// The first slot after `time`.
    pub(crate) fn next_after(&self, time: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self {
            Self::Cron(cron, zone) => {
                // Where a time zone has left out a whole day, the search ends as if no day were left: it is begun anew from
                // beyond, so that a schedule does not end there.
                LEAPS.into_iter().find_map(|leap| {
                    let from = time.checked_add_signed(leap)?.trunc_subsecs(0).with_timezone(zone);
                    search(cron, &from).filter(|next| *next > time)
                })
            }
            Self::Interval(step) => time.checked_add_signed(*step),
            Self::Once(at) => (*at > time).then_some(*at),
        }
    }
}

fn invalid(field: &'static str, problem: impl Into<String>) -> JobsError {
    JobsError::Invalid { field, problem: problem.into() }
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
