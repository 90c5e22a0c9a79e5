use std::time::Duration;

use tokio::time::Instant;

/// How often an issuer is asked because of a token: what strangers write into tokens must not become load elsewhere.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Budget {
    /// The last two fetches, the latest first.
    spent: [Option<Instant>; 2],
}

impl Budget {
    /// Two fetches in this time.
    const WINDOW: Duration = Duration::from_secs(60);
    /// Between two fetches.
    const INTERVAL: Duration = Duration::from_secs(5);

    pub(super) fn allows(&self, now: Instant) -> bool {
        let is_over = |spent: Option<Instant>, span| spent.is_none_or(|at| now.duration_since(at) >= span);
        is_over(self.spent[0], Self::INTERVAL) && is_over(self.spent[1], Self::WINDOW)
    }

    pub(super) fn spend(&mut self, now: Instant) {
        self.spent = [Some(now), self.spent[0]];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_in_a_minute_and_five_seconds_between() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut budget = Budget::default();
        assert!(budget.allows(at(0)));
        budget.spend(at(0));
        assert!(!budget.allows(at(0)) && !budget.allows(at(4)));
        assert!(budget.allows(at(5)));
        budget.spend(at(5));
        assert!(!budget.allows(at(10)) && !budget.allows(at(59)));
        assert!(budget.allows(at(60)));
        budget.spend(at(60));
        assert!(!budget.allows(at(64)) && budget.allows(at(65)));
    }

    #[test]
    fn no_minute_sees_more_than_two() {
        let start = Instant::now();
        let mut budget = Budget::default();
        let mut fetches = Vec::new();
        for tenths in 0..6_000 {
            let now = start + Duration::from_millis(tenths * 100);
            if budget.allows(now) {
                budget.spend(now);
                fetches.push(now);
            }
        }
        for window in fetches.windows(3) {
            assert!(window[2].duration_since(window[0]) >= Budget::WINDOW);
        }
        assert_eq!(fetches.len(), 20, "two in each of ten minutes");
    }
}
