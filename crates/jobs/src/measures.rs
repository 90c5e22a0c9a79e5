#[cfg(feature = "metrics")]
mod observe;

use std::time::Duration;

use crate::store::finish::Ended;

/// What a process has seen of the queue and of its own work, for whoever measures. Without the feature `metrics`: nothing.
#[derive(Debug, Default)]
pub(crate) struct Measures {
    #[cfg(feature = "metrics")]
    durations: std::sync::OnceLock<opentelemetry::metrics::Histogram<f64>>,
    #[cfg(feature = "metrics")]
    seen: parking_lot::Mutex<Option<observe::Seen>>,
}

impl Measures {
    /// Notes that an attempt at a job of the kind `name`, one that this program knows, took `time`; and what came of it, if the
    /// attempt came to an end.
    #[cfg_attr(not(feature = "metrics"), expect(clippy::unused_self, reason = "nobody measures"))]
    pub(crate) fn attempt(&self, name: &str, ended: Option<&Ended>, time: Duration) {
        #[cfg(feature = "metrics")]
        self.record(name, ended, time);
        #[cfg(not(feature = "metrics"))]
        let _ = (name, ended, time);
    }
}
