use std::{sync::Arc, time::Duration};

use chrono::TimeDelta;
use opentelemetry::{
    KeyValue,
    metrics::{AsyncInstrument, Counter, Histogram, Meter},
};
use stylobate_db::Scope;
use tokio::time::Instant;

use super::Measures;
use crate::{DeliveryState, Medium, Notifier, NotifierError, store::due};

/// For how long what was seen is told to others: a database that is away must not look like one in which nothing changes.
const BELIEVED: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct Instruments {
    deliveries: Counter<u64>,
    seconds: Histogram<f64>,
}

/// What somebody who looked at the database has seen.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    at: Instant,
    pending: i64,
    overdue_seconds: f64,
}

impl Measures {
    pub(super) fn record(&self, medium: Medium, left: DeliveryState, age: TimeDelta) {
        let Some(instruments) = self.instruments.get() else { return };
        let outcome = match left {
            DeliveryState::Pending => "retried",
            ended => ended.as_str(),
        };
        let medium = KeyValue::new("medium", medium.as_str());
        if left == DeliveryState::Sent {
            instruments.seconds.record(age.as_seconds_f64().max(0.0), std::slice::from_ref(&medium));
        }
        instruments.deliveries.add(1, &[medium, KeyValue::new("outcome", outcome)]);
    }
}

impl Notifier {
    /// Has `meter` observe what is delivered and pending through this handle and its clones. Once per handle.
    ///
    /// - counter `notify_deliveries` by `medium` and `outcome` (`sent`, `failed`, `dropped`; `retried`, to be tried again): of this
    ///   process.
    /// - histogram `notify_delivery_seconds` by `medium`: from when a message was accepted to when the other side took it, quiet
    ///   hours and retries included, by the clocks of both processes.
    /// - gauge `notify_pending`: deliveries that are not finished; counting ends at 10,000.
    /// - gauge `notify_overdue_seconds`: how long ago the delivery came due that has been due for longest; 0 when there is none.
    ///
    /// The gauges are of all processes together. They tell what [`measure`](Self::measure) saw, and nothing when that is more than
    /// a minute ago.
    pub fn observe(&self, meter: &Meter) {
        let deliveries = meter
            .u64_counter("notify_deliveries")
            .with_description("Attempts at deliveries of messages, and deliveries that ended without one.")
            .build();
        let seconds = meter
            .f64_histogram("notify_delivery_seconds")
            .with_description("From when messages were accepted to when they were sent.")
            .with_boundaries(vec![
                0.05, 0.2, 1.0, 5.0, 30.0, 60.0, 300.0, 1_800.0, 3_600.0, 14_400.0, 86_400.0,
            ])
            .build();
        let measures = &self.inner.measures;
        if measures.instruments.set(Instruments { deliveries, seconds }).is_err() {
            return;
        }
        let told = |tell: fn(Seen) -> f64| {
            let seen = Arc::clone(&measures.seen);
            move |gauge: &dyn AsyncInstrument<f64>| {
                if let Some(seen) = seen.lock().filter(|seen| seen.at.elapsed() < BELIEVED) {
                    gauge.observe(tell(seen), &[]);
                }
            }
        };
        #[expect(clippy::cast_precision_loss, reason = "counting ends long before")]
        let pending = told(|seen| seen.pending as f64);
        meter
            .f64_observable_gauge("notify_pending")
            .with_description("Deliveries of messages that are not finished, up to 10,000.")
            .with_callback(pending)
            .build();
        meter
            .f64_observable_gauge("notify_overdue_seconds")
            .with_description("How long ago the delivery came due that has been due for longest.")
            .with_callback(told(|seen| seen.overdue_seconds))
            .build();
    }

    /// Looks at what is pending for those who [`observe`](Self::observe), if anybody does: to be called every ten seconds or so.
    /// [`run`](Self::run) does.
    ///
    /// # Errors
    /// The database's own.
    pub async fn measure(&self) -> Result<(), NotifierError> {
        let measures = &self.inner.measures;
        if measures.instruments.get().is_none() {
            return Ok(());
        }
        let now = self.now();
        let mut tx = self.inner.db.begin_read(Scope::Platform("measure deliveries")).await?;
        let (pending, first) = due::pending(&mut tx).await?;
        tx.rollback().await?;
        let overdue_seconds = first.map_or(0.0, |first| (now - first).as_seconds_f64().max(0.0));
        *measures.seen.lock() = Some(Seen { at: Instant::now(), pending, overdue_seconds });
        Ok(())
    }
}
