use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::{AccountKey, CounterKey, ThrottleConfig};

/// Failures of strangers on one account in a row, after which none of them tries again until somebody lets them.
pub(super) const STRANGERS_MAX: u32 = 80;
/// Failures of all known devices of an account in a row, after which none of them is known. Together 100 in a row
/// (NIST SP 800-63B-4 §3.2.2).
pub(super) const DEVICES_MAX: u32 = 20;
/// The longest lock that ends by itself.
pub(super) const LOCK_MAX: TimeDelta = TimeDelta::days(1);
/// How long a client or device has to be quiet until its failures are forgotten.
const FORGET_AFTER: TimeDelta = TimeDelta::days(30);
/// The same for names that nobody has: their counters guard nothing but the secret of who exists.
const FORGET_NOBODY_AFTER: TimeDelta = TimeDelta::days(400);
/// 9999-12-31T23:59:59Z: the last second that every store writes with four digits of year.
const NEVER: DateTime<Utc> = match DateTime::from_timestamp(253_402_300_799, 0) {
    Some(time) => time,
    None => DateTime::<Utc>::MAX_UTC,
};

/// The failed logins of one account, client, address or device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counter {
    /// Failures: in a row, of an address within the window.
    pub failures: u32,
    /// When the first of them was.
    pub window_started_at: DateTime<Utc>,
    /// Until when its tries are refused, when a lock ends by itself.
    pub locked_until: Option<DateTime<Utc>>,
    /// When nothing of this matters any more; 9999-12-31T23:59:59Z when it always does.
    pub expires_at: DateTime<Utc>,
}

impl Counter {
    /// No failures yet.
    #[must_use]
    pub fn new(now: DateTime<Utc>) -> Self {
        Self { failures: 0, window_started_at: now, locked_until: None, expires_at: now }
    }

    /// For how long tries are still refused, if they are, by a lock that ends by itself.
    #[must_use]
    pub fn lock_left(&self, now: DateTime<Utc>) -> Option<Duration> {
        let left = self.locked_until?.signed_duration_since(now);
        // Twice the longest: processes may disagree about the time, and no lock ends because they do.
        left.to_std().ok().filter(|time| !time.is_zero() && left <= LOCK_MAX * 2)
    }

    /// Whether it does not matter any more.
    #[must_use]
    pub fn is_forgotten(&self, now: DateTime<Utc>) -> bool {
        self.expires_at <= now && self.expires_at != NEVER
    }

    /// The counter of `key` after one more failure that was not refused.
    pub(super) fn failed(self, key: &CounterKey, config: &ThrottleConfig, now: DateTime<Utc>) -> Self {
        let before = if self.is_forgotten(now) { Self::new(now) } else { self };
        match key {
            CounterKey::Address(_) => before.failed_within_window(config, now),
            CounterKey::Devices(_) => Self {
                failures: before.failures.saturating_add(1),
                locked_until: None,
                expires_at: NEVER,
                ..before
            },
            CounterKey::Account(account) => {
                let limit = config.strangers_failures_max.min(STRANGERS_MAX);
                let after = before.failed_in_a_row(limit, config.lockout, now);
                let expires_at = match account {
                    AccountKey::Person(_) => NEVER,
                    AccountKey::Nobody(_) => later(after.locked_until.unwrap_or(now), FORGET_NOBODY_AFTER),
                };
                Self { expires_at, ..after }
            }
            CounterKey::Pair(..) | CounterKey::Device(..) => {
                let after = before.failed_in_a_row(config.account_failures_max, config.lockout, now);
                Self { expires_at: later(after.locked_until.unwrap_or(now), FORGET_AFTER), ..after }
            }
        }
    }

    /// Locks at every multiple of `limit`, for `lockout`, doubling up to a day.
    fn failed_in_a_row(self, limit: u32, lockout: Duration, now: DateTime<Utc>) -> Self {
        let limit = limit.max(1);
        let failures = self.failures.saturating_add(1);
        let locked_until = failures.is_multiple_of(limit).then(|| {
            // Doubling 11 times passes a day even from a minute; more would overflow to no purpose.
            let doublings = (failures / limit).saturating_sub(1).min(11);
            let doubled = delta(lockout).checked_mul(1 << doublings).unwrap_or(LOCK_MAX);
            later(now, doubled.min(LOCK_MAX))
        });
        Self { failures, locked_until, ..self }
    }

    fn failed_within_window(self, config: &ThrottleConfig, now: DateTime<Utc>) -> Self {
        let window = delta(config.address_window);
        let since = now.signed_duration_since(self.window_started_at);
        // A window that begins in the future, by more than clocks disagree, was begun by a clock that was wrong.
        let is_over =
            self.failures == 0 || self.locked_until.is_some() || since >= window || since <= -window;
        let before = if is_over { Self::new(now) } else { self };
        let failures = before.failures.saturating_add(1);
        let locked_until = (failures >= config.address_failures_max.max(1)).then(|| later(now, window));
        let expires_at = locked_until.unwrap_or_else(|| later(before.window_started_at, window));
        Self { failures, window_started_at: before.window_started_at, locked_until, expires_at }
    }
}

/// Never past the end of time.
fn later(time: DateTime<Utc>, by: TimeDelta) -> DateTime<Utc> {
    time.checked_add_signed(by).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

/// Configured durations are bounded by a day.
fn delta(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or(LOCK_MAX).min(LOCK_MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::throttle::{AddressKey, DeviceId};

    const ACCOUNT: AccountKey = AccountKey::Nobody([7; 32]);
    const ADDRESS: AddressKey = AddressKey::V4([192, 0, 2, 1]);

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_772_366_400 + seconds, 0).unwrap()
    }

    fn person() -> AccountKey {
        AccountKey::Person(stylobate_core::PersonId::new(at(0)))
    }

    /// Fails as often as it can until `tries` were counted, waiting out each lock; returns all locks in minutes.
    fn locks(key: &CounterKey, config: &ThrottleConfig, tries: u32) -> Vec<i64> {
        let mut counter = Counter::new(at(0));
        let (mut now, mut locks) = (at(0), Vec::new());
        while counter.failures < tries {
            counter = counter.failed(key, config, now);
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
        for key in
            [CounterKey::Pair(ACCOUNT, ADDRESS), CounterKey::Device(ACCOUNT, DeviceId::from_bytes([1; 16]))]
        {
            assert_eq!(locks(&key, &config, 4), Vec::<i64>::new());
            assert_eq!(locks(&key, &config, 45), [15, 30, 60, 120, 240, 480, 960, 1440, 1440]);
        }
    }

    #[test]
    fn strangers_together_have_four_times_as_many_until_a_lock() {
        let config = ThrottleConfig::default();
        assert_eq!(locks(&CounterKey::Account(person()), &config, 80), [15, 30, 60, 120]);
    }

    #[test]
    fn thirty_quiet_days_forget_a_clients_failures_and_nothing_forgets_those_of_an_account() {
        let config = ThrottleConfig::default();
        let after_four = |key: &CounterKey| {
            (0..4).fold(Counter::new(at(0)), |counter, _| counter.failed(key, &config, at(0)))
        };
        let pair = CounterKey::Pair(person(), ADDRESS);
        let (quiet, just_before) = (at(30 * 86_400), at(30 * 86_400 - 1));
        assert_eq!(after_four(&pair).failed(&pair, &config, just_before).failures, 5);
        assert_eq!(after_four(&pair).failed(&pair, &config, quiet).failures, 1);
        let century = at(100 * 365 * 86_400);
        for key in [CounterKey::Account(person()), CounterKey::Devices(person())] {
            assert_eq!(after_four(&key).failed(&key, &config, century).failures, 5, "{key:?}");
        }
        let nobody = CounterKey::Account(ACCOUNT);
        assert_eq!(after_four(&nobody).failed(&nobody, &config, at(400 * 86_400 - 1)).failures, 5);
        assert_eq!(after_four(&nobody).failed(&nobody, &config, at(400 * 86_400)).failures, 1);
    }

    #[test]
    fn an_address_is_locked_at_its_limit_and_free_again_after_the_window() {
        let config = ThrottleConfig { address_failures_max: 3, ..ThrottleConfig::default() };
        let key = CounterKey::Address(ADDRESS);
        let mut counter = Counter::new(at(0));
        for second in 0..3 {
            assert_eq!(counter.lock_left(at(second)), None);
            counter = counter.failed(&key, &config, at(second));
        }
        assert_eq!(counter.lock_left(at(2)), Some(config.address_window));
        let free = at(2) + delta(config.address_window);
        assert_eq!(counter.lock_left(free), None);
        assert_eq!(counter.failed(&key, &config, free).failures, 1);
    }

    #[test]
    fn a_lock_of_a_clock_that_was_wrong_holds_nobody() {
        let config = ThrottleConfig { account_failures_max: 1, ..ThrottleConfig::default() };
        let wrong = at(50 * 365 * 86_400);
        let locked = Counter::new(wrong).failed(&CounterKey::Pair(ACCOUNT, ADDRESS), &config, wrong);
        assert!(locked.lock_left(wrong).is_some());
        assert_eq!(locked.lock_left(at(0)), None);
        // A disagreement of seconds, or of a time zone, is no way around a lock.
        for seconds in [1, 3_600, 86_000] {
            assert!(locked.lock_left(wrong - TimeDelta::seconds(seconds)).is_some(), "{seconds}");
        }
    }

    proptest! {
        #[test]
        fn an_address_never_fails_more_than_its_limit_in_a_window(
            waits in prop::collection::vec(0_i64..120, 1..300), limit in 1_u32..50,
        ) {
            let config = ThrottleConfig { address_failures_max: limit, ..ThrottleConfig::default() };
            let key = CounterKey::Address(ADDRESS);
            let (mut counter, mut now, mut times) = (Counter::new(at(0)), at(0), Vec::new());
            for wait in waits {
                now += TimeDelta::seconds(wait);
                if counter.lock_left(now).is_none() {
                    counter = counter.failed(&key, &config, now);
                    times.push(now);
                }
            }
            // A fixed window lets through at most two windows' worth around its edge.
            for start in &times {
                let within = times.iter().filter(|t| **t >= *start && **t - *start < delta(config.address_window)).count();
                prop_assert!(within <= 2 * limit as usize);
            }
        }

        /// Whatever a store hands back and whatever the time is said to be, a failure counts and a lock ends.
        #[test]
        fn nothing_overflows_and_every_lock_ends(
            failures in any::<u32>(),
            times in prop::array::uniform4(-8_000_000_000_000_i64..8_000_000_000_000),
            lockout in 0_u64..=u64::MAX / 2,
            limits in prop::array::uniform3(any::<u32>()),
            kind in 0_usize..5,
        ) {
            let [now, started, locked, expires] =
                times.map(|seconds| DateTime::from_timestamp(seconds, 0).unwrap());
            let config = ThrottleConfig {
                account_failures_max: limits[0],
                strangers_failures_max: limits[1],
                lockout: Duration::from_secs(lockout),
                address_failures_max: limits[2],
                address_window: Duration::from_secs(lockout),
            };
            let key = [
                CounterKey::Device(ACCOUNT, DeviceId::from_bytes([1; 16])),
                CounterKey::Devices(person()),
                CounterKey::Account(person()),
                CounterKey::Pair(ACCOUNT, ADDRESS),
                CounterKey::Address(ADDRESS),
            ][kind];
            let before =
                Counter { failures, window_started_at: started, locked_until: Some(locked), expires_at: expires };
            let after = before.failed(&key, &config, now);
            prop_assert!(after.failures > 0);
            if let Some(left) = after.lock_left(now) {
                prop_assert!(left <= LOCK_MAX.to_std().unwrap());
                prop_assert_eq!(after.lock_left(later(now, delta(left))), None);
            }
            prop_assert!(before.lock_left(now).is_none_or(|left| left <= (LOCK_MAX * 2).to_std().unwrap()));
        }
    }
}
