use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

/// How many logins may fail, and what follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThrottleConfig {
    /// Failed tries in a row until an account is locked; 1 to 20, default 5.
    pub account_failures_max: u32,
    /// How long the first lock of an account lasts; 1 minute to 1 day, default 15 minutes.
    pub lockout: Duration,
    /// Failed tries of one address within the window; 1 to 10,000, default 100: an office behind one address, not a
    /// list of passwords.
    pub address_failures_max: u32,
    /// The window, and the lock that follows; 1 minute to 1 day, default 15 minutes.
    pub address_window: Duration,
}

impl Default for ThrottleConfig {
    fn default() -> Self {
        let quarter_hour = Duration::from_secs(15 * 60);
        Self {
            account_failures_max: 5,
            lockout: quarter_hour,
            address_failures_max: 100,
            address_window: quarter_hour,
        }
    }
}

/// Failures in a row after which the account waits for an administrator (NIST SP 800-63B-4 §3.2.2).
const FAILURES_IN_A_ROW_MAX: u32 = 100;
/// How long that lock lasts, and how long an account has to be quiet until its failures are forgotten.
const FORGET_AFTER: TimeDelta = TimeDelta::days(30);
/// The longest lock before that.
const LOCK_MAX: TimeDelta = TimeDelta::days(1);

/// The failed logins of one account or address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counter {
    /// Failures: of an account in a row, of an address within the window.
    pub failures: u32,
    /// When the first of them was.
    pub window_started_at: DateTime<Utc>,
    /// Until when tries are refused.
    pub locked_until: Option<DateTime<Utc>>,
    /// When nothing of this matters any more.
    pub expires_at: DateTime<Utc>,
}

impl Counter {
    /// No failures yet.
    #[must_use]
    pub fn new(now: DateTime<Utc>) -> Self {
        Self { failures: 0, window_started_at: now, locked_until: None, expires_at: now }
    }

    /// For how long tries are still refused, if they are.
    #[must_use]
    pub fn lock_left(&self, now: DateTime<Utc>) -> Option<Duration> {
        let left = self.locked_until?.signed_duration_since(now);
        left.to_std().ok().filter(|left| !left.is_zero())
    }

    /// The counter after a failed try on an account. A locked one stays as it is.
    #[must_use]
    pub fn account_failed(self, config: &ThrottleConfig, now: DateTime<Utc>) -> Self {
        if self.lock_left(now).is_some() {
            return self;
        }
        let before = if self.expires_at <= now { Self::new(now) } else { self };
        let failures = before.failures.saturating_add(1);
        let lock = if failures >= FAILURES_IN_A_ROW_MAX {
            Some(FORGET_AFTER)
        } else if failures.is_multiple_of(config.account_failures_max.max(1)) {
            let rounds = failures / config.account_failures_max.max(1);
            // Doubling 11 times passes a day even from a minute; more would overflow to no purpose.
            let doubled = delta(config.lockout).checked_mul(1 << (rounds - 1).min(11));
            Some(doubled.unwrap_or(LOCK_MAX).min(LOCK_MAX.max(delta(config.lockout))))
        } else {
            None
        };
        let locked_until = lock.map(|lock| now + lock);
        let expires_at = locked_until.unwrap_or(now) + FORGET_AFTER;
        Self { failures, window_started_at: before.window_started_at, locked_until, expires_at }
    }

    /// The counter after a failed try from an address. A locked one stays as it is.
    #[must_use]
    pub fn address_failed(self, config: &ThrottleConfig, now: DateTime<Utc>) -> Self {
        if self.lock_left(now).is_some() {
            return self;
        }
        let window = delta(config.address_window);
        let is_over = self.failures == 0
            || self.locked_until.is_some()
            || now.signed_duration_since(self.window_started_at) >= window;
        let before = if is_over { Self::new(now) } else { self };
        let failures = before.failures.saturating_add(1);
        let locked_until = (failures >= config.address_failures_max.max(1)).then(|| now + window);
        let expires_at = locked_until.unwrap_or(before.window_started_at + window);
        Self { failures, window_started_at: before.window_started_at, locked_until, expires_at }
    }
}

/// Configured durations are bounded by a day.
fn delta(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or(LOCK_MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_772_366_400 + seconds, 0).unwrap()
    }

    /// Fails as often as it can until `tries` were counted, waiting out each lock; returns all locks in minutes.
    fn locks(config: &ThrottleConfig, tries: u32) -> Vec<i64> {
        let mut counter = Counter::new(at(0));
        let (mut now, mut locks) = (at(0), Vec::new());
        while counter.failures < tries {
            counter = counter.account_failed(config, now);
            if let Some(left) = counter.lock_left(now) {
                locks.push(i64::try_from(left.as_secs()).unwrap() / 60);
                now += delta(left);
            }
        }
        locks
    }

    #[test]
    fn the_fifth_failure_locks_and_each_round_lasts_twice_as_long() {
        // A4
        let config = ThrottleConfig::default();
        assert_eq!(locks(&config, 4), Vec::<i64>::new());
        assert_eq!(locks(&config, 45), [15, 30, 60, 120, 240, 480, 960, 1440, 1440]);
    }

    #[test]
    fn a_hundred_failures_in_a_row_lock_for_thirty_days() {
        // A4
        let all = locks(&ThrottleConfig::default(), 100);
        assert_eq!(all.last(), Some(&(30 * 24 * 60)));
        let odd = ThrottleConfig { account_failures_max: 7, ..ThrottleConfig::default() };
        assert_eq!(locks(&odd, 100).last(), Some(&(30 * 24 * 60)));
    }

    #[test]
    fn tries_during_a_lock_do_not_make_it_longer() {
        let config =
            ThrottleConfig { account_failures_max: 1, address_failures_max: 1, ..ThrottleConfig::default() };
        let locked = Counter::new(at(0)).account_failed(&config, at(0));
        assert_eq!(locked.account_failed(&config, at(60)), locked);
        let locked = Counter::new(at(0)).address_failed(&config, at(0));
        assert_eq!(locked.address_failed(&config, at(60)), locked);
    }

    #[test]
    fn thirty_quiet_days_forget_failures() {
        let config = ThrottleConfig::default();
        let mut counter = Counter::new(at(0));
        for _ in 0..4 {
            counter = counter.account_failed(&config, at(0));
        }
        let later = at(30 * 86_400);
        assert_eq!(counter.account_failed(&config, later - TimeDelta::seconds(1)).failures, 5);
        assert_eq!(counter.account_failed(&config, later).failures, 1);
    }

    #[test]
    fn an_address_is_locked_at_its_limit_and_free_again_after_the_window() {
        let config = ThrottleConfig { address_failures_max: 3, ..ThrottleConfig::default() };
        let mut counter = Counter::new(at(0));
        for second in 0..3 {
            assert_eq!(counter.lock_left(at(second)), None);
            counter = counter.address_failed(&config, at(second));
        }
        assert_eq!(counter.lock_left(at(2)), Some(config.address_window));
        let free = at(2) + delta(config.address_window);
        assert_eq!(counter.lock_left(free), None);
        assert_eq!(counter.address_failed(&config, free).failures, 1);
    }

    proptest! {
        /// Whatever an attacker's timing, an account never takes more than 100 tries in a row, nor more than the
        /// limit between two locks.
        #[test]
        fn no_timing_gets_more_tries(waits in prop::collection::vec(0_i64..7_200, 1..400), limit in 1_u32..=20) {
            let config = ThrottleConfig { account_failures_max: limit, ..ThrottleConfig::default() };
            let (mut counter, mut now) = (Counter::new(at(0)), at(0));
            let (mut counted, mut since_lock) = (0, 0);
            for wait in waits {
                now += TimeDelta::seconds(wait);
                if counter.lock_left(now).is_some() {
                    continue;
                }
                counter = counter.account_failed(&config, now);
                counted += 1;
                since_lock += 1;
                prop_assert!(since_lock <= limit);
                if counter.lock_left(now).is_some() {
                    since_lock = 0;
                }
            }
            prop_assert!(counted <= 100);
        }

        #[test]
        fn an_address_never_fails_more_than_its_limit_in_a_window(
            waits in prop::collection::vec(0_i64..120, 1..300), limit in 1_u32..50,
        ) {
            let config = ThrottleConfig { address_failures_max: limit, ..ThrottleConfig::default() };
            let (mut counter, mut now, mut times) = (Counter::new(at(0)), at(0), Vec::new());
            for wait in waits {
                now += TimeDelta::seconds(wait);
                if counter.lock_left(now).is_none() {
                    counter = counter.address_failed(&config, now);
                    times.push(now);
                }
            }
            // A fixed window lets through at most two windows' worth around its edge.
            for start in &times {
                let within = times.iter().filter(|t| **t >= *start && **t - *start < delta(config.address_window)).count();
                prop_assert!(within <= 2 * limit as usize);
            }
        }
    }
}
