use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

/// How long cookie sessions live, and how many a person has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionLimits {
    /// Without a request for this long a session ends; default 1 hour (NIST SP 800-63B-4 §2.2.3).
    pub idle: Duration,
    /// A session ends this long after its sign-in, however much it is used; default 24 hours.
    pub absolute: Duration,
    /// How many sessions a person has at once; the oldest makes room for the next. Default 20.
    pub sessions_max: u32,
}

impl Default for SessionLimits {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(60 * 60),
            absolute: Duration::from_secs(24 * 60 * 60),
            sessions_max: 20,
        }
    }
}

impl SessionLimits {
    /// How often it is written that a session is in use: once a minute, or more often where sessions idle out within
    /// minutes. A session may so end by idling up to this much early, never late.
    #[must_use]
    pub fn touch_every(&self) -> Duration {
        Duration::from_secs(60).min(self.idle / 4)
    }

    pub(crate) fn idle_end(&self, seen_at: DateTime<Utc>) -> DateTime<Utc> {
        after(seen_at, self.idle)
    }

    pub(crate) fn absolute_end(&self, begun_at: DateTime<Utc>) -> DateTime<Utc> {
        after(begun_at, self.absolute)
    }
}

fn after(at: DateTime<Utc>, duration: Duration) -> DateTime<Utc> {
    TimeDelta::from_std(duration)
        .ok()
        .and_then(|delta| at.checked_add_signed(delta))
        .unwrap_or(DateTime::<Utc>::MAX_UTC)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn use_is_written_once_a_minute_and_always_before_a_session_idles_out() {
        assert_eq!(SessionLimits::default().touch_every(), Duration::from_secs(60));
        let short = SessionLimits { idle: Duration::from_secs(60), ..SessionLimits::default() };
        assert_eq!(short.touch_every(), Duration::from_secs(15));
    }
}
