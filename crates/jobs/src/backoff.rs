use std::time::Duration;

use chrono::{DateTime, Datelike as _, TimeDelta, Utc};

/// How long a job waits after a failed attempt: `base`, twice that, four times that …, at most `max`, each between three
/// quarters and five quarters of it so that jobs that failed together do not come back together. What is out of its range counts
/// as the nearest that is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The wait after the first failed attempt, about. 1 ms to 1 day.
    pub base: Duration,
    /// The longest wait, about. `base` to 30 days.
    pub max: Duration,
}

impl Default for Backoff {
    /// From 5 s to 1 hour: ten attempts span about two hours.
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl Backoff {
    /// From 5 s to 1 hour.
    pub const DEFAULT: Self = Self { base: Duration::from_secs(5), max: Duration::from_secs(3_600) };

    /// The wait after `attempt` (from 1) failed; `jitter` is a random number.
    #[must_use]
    pub fn wait(&self, attempt: u32, jitter: u64) -> Duration {
        let base = self.base.clamp(Duration::from_millis(1), Duration::from_secs(86_400));
        let max = self.max.clamp(base, Duration::from_secs(30 * 86_400));
        let doublings = attempt.saturating_sub(1).min(32);
        let whole = base.saturating_mul(1_u32.checked_shl(doublings).unwrap_or(u32::MAX)).min(max);
        let millis = u64::try_from(whole.as_millis()).unwrap_or(u64::MAX / 4).max(1);
        let spread = (millis / 2).max(1);
        Duration::from_millis(millis - millis / 4 + jitter % spread)
    }
}

/// The year that no job waits for: later ones are written in ways that engines do not order or do not read.
const YEAR_AFTER: i32 = 5_000;

/// Whether jobs can be asked for at `time`: from 1970 on and before the year 5000, as the slots of schedules.
pub(crate) fn is_time(time: DateTime<Utc>) -> bool {
    (1970..YEAR_AFTER).contains(&time.year())
}

/// When `wait` is over; before the year 5000 however long it is.
pub(crate) fn time_after(now: DateTime<Utc>, wait: TimeDelta) -> DateTime<Utc> {
    // 4999-12-31T23:59:59Z.
    let last = DateTime::from_timestamp(95_617_583_999, 0).unwrap_or(now);
    now.checked_add_signed(wait).unwrap_or(last).min(last)
}

/// The same with a wait of a handler or caller, which may be any.
pub(crate) fn time_after_std(now: DateTime<Utc>, wait: Duration) -> DateTime<Utc> {
    time_after(now, TimeDelta::from_std(wait).unwrap_or(TimeDelta::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn waits_stay_within_a_quarter_of_what_they_double_to(attempt in 1_u32..100, jitter: u64) {
            let backoff = Backoff::default();
            let whole = Duration::from_secs(5).saturating_mul(1 << (attempt - 1).min(20)).min(backoff.max);
            let wait = backoff.wait(attempt, jitter);
            prop_assert!(wait >= whole * 3 / 4 && wait <= whole * 5 / 4, "{wait:?} of {whole:?}");
        }
    }

    #[test]
    fn no_wait_leads_beyond_the_calendar() {
        let now = DateTime::UNIX_EPOCH;
        assert_eq!(time_after_std(now, Duration::from_secs(7)), now + TimeDelta::seconds(7));
        for endless in [Duration::from_secs(1_000_000_000_000), Duration::MAX] {
            assert_eq!(time_after_std(now, endless).to_rfc3339(), "4999-12-31T23:59:59+00:00");
        }
        assert!(is_time(time_after(now, TimeDelta::MAX)) && !is_time(DateTime::<Utc>::MAX_UTC));
    }

    #[test]
    fn what_is_out_of_range_counts_as_the_nearest_within() {
        let days = |days: u64| Duration::from_secs(days * 86_400);
        let none = Backoff { base: Duration::ZERO, max: Duration::ZERO };
        assert_eq!(none.wait(u32::MAX, u64::MAX), Duration::from_millis(1));
        let huge = Backoff { base: Duration::MAX, max: Duration::MAX };
        assert!(huge.wait(1, u64::MAX) <= days(1) * 5 / 4);
        assert!(huge.wait(u32::MAX, u64::MAX) <= days(30) * 5 / 4);
        let upside_down = Backoff { base: days(1), max: Duration::ZERO };
        assert!(upside_down.wait(9, 0) >= days(1) * 3 / 4);
    }
}
