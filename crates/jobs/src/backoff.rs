use std::time::Duration;

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
