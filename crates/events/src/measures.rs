#[cfg(feature = "metrics")]
mod observe;

use chrono::{DateTime, TimeDelta, Utc};

use crate::SubscriberCounts;

/// What a process has seen of the outbox and of its own relays, for whoever measures. Without the feature `metrics`: nothing.
#[derive(Debug, Default)]
pub(crate) struct Measures {
    #[cfg(feature = "metrics")]
    instruments: std::sync::OnceLock<observe::Instruments>,
    #[cfg(feature = "metrics")]
    seen: std::sync::Arc<parking_lot::Mutex<Option<observe::Seen>>>,
}

#[cfg_attr(not(feature = "metrics"), expect(clippy::unused_self, reason = "nobody measures"))]
impl Measures {
    /// Whether anybody measures.
    pub(crate) fn is_observed(&self) -> bool {
        #[cfg(feature = "metrics")]
        return self.instruments.get().is_some();
        #[cfg(not(feature = "metrics"))]
        false
    }

    /// Notes what is owed.
    pub(crate) fn saw(&self, counts: Vec<SubscriberCounts>, now: DateTime<Utc>) {
        #[cfg(feature = "metrics")]
        self.remember(counts, now);
        #[cfg(not(feature = "metrics"))]
        let _ = (counts, now);
    }

    /// Notes that a delivery to `subscriber` came to an end.
    pub(crate) fn delivered(&self, subscriber: &str, outcome: &'static str) {
        #[cfg(feature = "metrics")]
        self.add(subscriber, outcome);
        #[cfg(not(feature = "metrics"))]
        let _ = (subscriber, outcome);
    }

    /// Notes that a relay has read an event that was written so long ago.
    pub(crate) fn picked_up(&self, subscriber: &str, after: TimeDelta) {
        #[cfg(feature = "metrics")]
        self.record(subscriber, after);
        #[cfg(not(feature = "metrics"))]
        let _ = (subscriber, after);
    }
}
