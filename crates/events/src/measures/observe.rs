use std::{sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use opentelemetry::{
    KeyValue,
    metrics::{Counter, Histogram, Meter},
};
use tokio::time::Instant;

use super::Measures;
use crate::SubscriberCounts;

/// For how long what was seen is told to others: a database that is away must not look like one in which nothing changes.
const BELIEVED: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct Instruments {
    delivered: Counter<u64>,
    pickup: Histogram<f64>,
}

/// What somebody who looked at the database has seen.
#[derive(Debug)]
pub(super) struct Seen {
    at: Instant,
    now: DateTime<Utc>,
    counts: Vec<SubscriberCounts>,
}

/// Tells of a subscriber, value by value, with the state it is of.
type Tell = fn(&SubscriberCounts, DateTime<Utc>, &mut dyn FnMut(f64, Option<&'static str>));

impl Measures {
    pub(super) fn remember(&self, counts: Vec<SubscriberCounts>, now: DateTime<Utc>) {
        *self.seen.lock() = Some(Seen { at: Instant::now(), now, counts });
    }

    pub(super) fn add(&self, subscriber: &str, outcome: &'static str) {
        let Some(instruments) = self.instruments.get() else { return };
        let labels = [KeyValue::new("subscriber", subscriber.to_owned()), KeyValue::new("outcome", outcome)];
        instruments.delivered.add(1, &labels);
    }

    pub(super) fn record(&self, subscriber: &str, after: TimeDelta) {
        let Some(instruments) = self.instruments.get() else { return };
        let labels = [KeyValue::new("subscriber", subscriber.to_owned())];
        instruments.pickup.record(after.as_seconds_f64().max(0.0), &labels);
    }

    pub(crate) fn observe(&self, meter: &Meter) {
        let delivered = meter
            .u64_counter("events_delivered")
            .with_description("Deliveries of events that came to an end.")
            .build();
        let pickup = meter
            .f64_histogram("events_pickup_seconds")
            .with_description("From when events were written to when a relay read them.")
            .with_boundaries(vec![0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0, 60.0, 3_600.0])
            .build();
        if self.instruments.set(Instruments { delivered, pickup }).is_err() {
            return;
        }
        let told = |tell: Tell| {
            let seen = Arc::clone(&self.seen);
            move |gauge: &dyn opentelemetry::metrics::AsyncInstrument<f64>| {
                let seen = seen.lock();
                let Some(seen) = seen.as_ref().filter(|seen| seen.at.elapsed() < BELIEVED) else { return };
                for one in &seen.counts {
                    tell(one, seen.now, &mut |value, state| {
                        let mut labels = vec![KeyValue::new("subscriber", one.name.clone())];
                        labels.extend(state.map(|state| KeyValue::new("state", state)));
                        gauge.observe(value, &labels);
                    });
                }
            }
        };
        meter
            .f64_observable_gauge("events_owed")
            .with_description("Events that are owed to subscribers.")
            .with_callback(told(|one, _, tell| {
                tell(number(one.owed), Some("ready"));
                tell(number(one.held), Some("held"));
            }))
            .build();
        meter
            .f64_observable_gauge("events_oldest_owed_seconds")
            .with_description("How long ago the oldest event was written that a subscriber is owed.")
            .with_callback(told(|one, now, tell| {
                tell(one.oldest_at.map_or(0.0, |at| (now - at).as_seconds_f64().max(0.0)), None);
            }))
            .build();
        meter
            .f64_observable_gauge("events_dead_letters")
            .with_description("Deliveries that were given up.")
            .with_callback(told(|one, _, tell| tell(number(one.dead), None)))
            .build();
    }
}

#[expect(clippy::cast_precision_loss, reason = "exact up to 2^53")]
fn number(count: u64) -> f64 {
    count as f64
}
