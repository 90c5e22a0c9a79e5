use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::Budget;

impl Budget {
    /// `most` a day.
    #[must_use]
    pub const fn daily(most: u32) -> Self {
        Self { most, within: Duration::from_secs(86_400) }
    }

    /// What was sent after that counts at `now`: the time slides, so that at no moment there were more than `most` within it.
    pub(crate) fn since(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        let window = TimeDelta::from_std(self.within).unwrap_or(TimeDelta::days(36_500));
        now.checked_sub_signed(window).unwrap_or(DateTime::UNIX_EPOCH)
    }

    /// Whether there is room for one more where `spent` count already.
    pub(crate) fn has_room(&self, spent: i64) -> bool {
        spent < i64::from(self.most)
    }
}

/// How much was sent to an address within the times that count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    /// Of all kinds.
    pub(crate) all: i64,
    /// Of the kind that is asked about.
    pub(crate) of_kind: i64,
}

/// Whether one more may be sent, by the budget over all kinds, where that counts, and by the kind's own.
pub(crate) fn has_room(counted: Counted, over_all: Option<Budget>, of_kind: Option<Budget>) -> bool {
    over_all.is_none_or(|budget| budget.has_room(counted.all))
        && of_kind.is_none_or(|budget| budget.has_room(counted.of_kind))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_772_366_400 + seconds, 0).unwrap()
    }

    /// Which of `asked` are sent, as the service counts.
    fn sent(budget: Budget, asked: &[i64]) -> Vec<i64> {
        let mut sent: Vec<i64> = Vec::new();
        for second in asked {
            let since = budget.since(at(*second));
            let spent = sent.iter().filter(|one| at(**one) > since).count();
            if budget.has_room(i64::try_from(spent).unwrap()) {
                sent.push(*second);
            }
        }
        sent
    }

    #[test]
    fn the_sixth_in_an_hour_waits_for_the_first_to_be_an_hour_old() {
        let hourly = Budget { most: 5, within: Duration::from_secs(3_600) };
        assert_eq!(sent(hourly, &[0, 1, 2, 3, 4, 5, 3_599]), [0, 1, 2, 3, 4]);
        assert_eq!(sent(hourly, &[0, 1, 2, 3, 4, 3_600, 3_600, 3_601]), [0, 1, 2, 3, 4, 3_600, 3_601]);
        assert_eq!(sent(Budget { most: 0, ..hourly }, &[0, 9_999]), Vec::<i64>::new());
    }

    #[test]
    fn a_window_without_end_counts_everything() {
        let for_ever = Budget { most: 1, within: Duration::MAX };
        assert_eq!(sent(for_ever, &[0, 1_000_000_000]), [0]);
    }

    #[test]
    fn both_budgets_count() {
        let (two, five) = (Some(Budget::daily(2)), Some(Budget::daily(5)));
        let room = |all, of_kind| has_room(Counted { all, of_kind }, five, two);
        assert!(room(0, 0) && room(4, 1));
        assert!(!room(5, 0) && !room(4, 2) && !room(5, 2));
        assert!(has_room(Counted { all: 1_000, of_kind: 1 }, None, two));
        assert!(has_room(Counted { all: 1_000, of_kind: 1_000 }, None, None));
    }

    proptest! {
        #[test]
        fn no_window_has_more_than_there_may_be(
            max in 0_u32..6, window in 1_u64..100, mut asked in prop::collection::vec(0_i64..300, 0..120),
        ) {
            asked.sort_unstable();
            let sent = sent(Budget { most: max, within: Duration::from_secs(window) }, &asked);
            let window = i64::try_from(window).unwrap();
            for end in 0..300 {
                let within = sent.iter().filter(|one| **one <= end && **one > end - window).count();
                prop_assert!(within <= usize::try_from(max).unwrap());
            }
            // And nothing is refused without need: whatever was not sent had met a full window.
            for second in &asked {
                let within = sent.iter().filter(|one| **one <= *second && **one > *second - window).count();
                let asked_then = asked.iter().filter(|one| *one == second).count();
                let sent_then = sent.iter().filter(|one| *one == second).count();
                prop_assert!(sent_then == asked_then || within == usize::try_from(max).unwrap());
            }
        }
    }
}
