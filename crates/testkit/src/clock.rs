use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;
use stylobate_core::Clock;

/// A clock that stands still until a test moves it.
#[derive(Debug)]
pub struct ManualClock(Mutex<DateTime<Utc>>);

impl ManualClock {
    /// A clock that stands at noon UTC on 1 March 2026.
    #[must_use]
    pub fn new() -> Self {
        Self::at(DateTime::from_timestamp(1_772_366_400, 0).expect("a valid time"))
    }

    /// A clock that stands at `now`.
    #[must_use]
    pub fn at(now: DateTime<Utc>) -> Self {
        Self(Mutex::new(now))
    }

    /// Moves the clock by `delta`, backwards when it is negative.
    pub fn advance(&self, delta: TimeDelta) {
        *self.0.lock() += delta;
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for ManualClock {
    fn now(&self) -> DateTime<Utc> {
        *self.0.lock()
    }
}
