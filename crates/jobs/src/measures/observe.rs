use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, SubsecRound as _, Utc};
use opentelemetry::{KeyValue, metrics::Meter};
use stylobate_db::Scope;
use tokio::time::Instant;

use super::Measures;
use crate::{
    Jobs, JobsError, ON_TIME, State,
    store::{finish::Ended, schedules, upkeep},
};

/// For how long what was seen is told to others: a database that is away must not look like one in which nothing changes.
const BELIEVED: Duration = Duration::from_secs(60);

/// What somebody who looked at the database has seen.
#[derive(Debug)]
pub(super) struct Seen {
    at: Instant,
    counts: BTreeMap<(String, State), u64>,
    /// By queue, for how long its oldest job has been waiting for a worker.
    oldest: BTreeMap<String, f64>,
    overdue: u64,
    longest_overdue: f64,
}

impl Measures {
    fn told<T>(&self, tell: impl FnOnce(&Seen) -> T) -> Option<T> {
        self.seen.lock().as_ref().filter(|seen| seen.at.elapsed() < BELIEVED).map(tell)
    }

    pub(super) fn record(&self, name: &str, ended: Option<&Ended>, time: Duration) {
        let Some(durations) = self.durations.get() else { return };
        let outcome = match ended {
            None => "lost",
            Some(Ended { to: State::Completed, .. }) => "completed",
            Some(Ended { to: State::Discarded, .. }) => "discarded",
            Some(Ended { to: State::Cancelled, .. }) => "cancelled",
            Some(Ended { handed_back: true, .. }) => "released",
            Some(_) => "failed",
        };
        let labels = [KeyValue::new("job", name.to_owned()), KeyValue::new("outcome", outcome)];
        durations.record(time.as_secs_f64(), &labels);
    }
}

impl Jobs {
    /// Has `meter` observe this queue through this handle and its clones. Once per handle; further meters see no durations.
    ///
    /// - histogram `job_attempt_duration_seconds` by `job` and `outcome` (`completed`; `failed`, to be tried again;
    ///   `discarded`; `cancelled`; `released`, handed back; `lost` with its lease): of the attempts of this process's workers.
    ///   Its count is the rate.
    /// - gauge `jobs_in_state` by `queue` and `state`.
    /// - gauge `jobs_oldest_available_seconds` by `queue`: for how long the oldest job whose time has come has been waiting
    ///   for a worker; 0 when there is none.
    /// - gauges `schedules_overdue` and `schedules_overdue_seconds`: how many schedules have a slot that came more than
    ///   [`ON_TIME`](crate::ON_TIME) ago and that no scheduler has decided on, and how old the oldest of these slots is. Anything
    ///   above 0 says that no scheduler does its work.
    ///
    /// The gauges are of all processes together. They tell what [`keep_up`](Self::keep_up) of this handle or a clone saw, at
    /// most ten seconds ago while the database answers, and nothing when that is more than a minute ago.
    pub fn observe(&self, meter: &Meter) {
        let durations = meter
            .f64_histogram("job_attempt_duration_seconds")
            .with_description("How long attempts at jobs took.")
            .with_boundaries(vec![0.005, 0.02, 0.1, 0.5, 1.0, 5.0, 20.0, 60.0, 300.0, 1_800.0, 7_200.0])
            .build();
        let _ = self.measures.durations.set(durations);
        let measures = std::sync::Arc::clone(&self.measures);
        meter
            .u64_observable_gauge("jobs_in_state")
            .with_description("Jobs by queue and state.")
            .with_callback(move |gauge| {
                measures.told(|seen| {
                    for ((queue, state), jobs) in &seen.counts {
                        let labels =
                            [KeyValue::new("queue", queue.clone()), KeyValue::new("state", state.as_str())];
                        gauge.observe(*jobs, &labels);
                    }
                });
            })
            .build();
        let measures = std::sync::Arc::clone(&self.measures);
        meter
            .f64_observable_gauge("jobs_oldest_available_seconds")
            .with_description(
                "For how long the oldest job whose time has come has been waiting for a worker.",
            )
            .with_callback(move |gauge| {
                measures.told(|seen| {
                    for (queue, age) in &seen.oldest {
                        gauge.observe(*age, &[KeyValue::new("queue", queue.clone())]);
                    }
                });
            })
            .build();
        let measures = std::sync::Arc::clone(&self.measures);
        meter
            .u64_observable_gauge("schedules_overdue")
            .with_description(
                "Schedules with a slot that has come and gone and that no scheduler has decided on.",
            )
            .with_callback(move |gauge| {
                measures.told(|seen| gauge.observe(seen.overdue, &[]));
            })
            .build();
        let measures = std::sync::Arc::clone(&self.measures);
        meter
            .f64_observable_gauge("schedules_overdue_seconds")
            .with_description("How long ago the oldest slot came that no scheduler has decided on.")
            .with_callback(move |gauge| {
                measures.told(|seen| gauge.observe(seen.longest_overdue, &[]));
            })
            .build();
    }

    /// Looks at the database for those who observe, if anybody does.
    pub(crate) async fn measure(&self) -> Result<(), JobsError> {
        if self.measures.durations.get().is_none() {
            return Ok(());
        }
        let counts = self.counts().await?;
        let now = self.clock.now().trunc_subsecs(6);
        let age = |time: DateTime<Utc>| (now - time).as_seconds_f64().max(0.0);
        let mut tx = self.db.begin_read(Scope::Platform("measure the queue")).await?;
        let waiting = upkeep::oldest(&mut tx, now).await?;
        let (overdue, first) = schedules::count_overdue(&mut tx, now - ON_TIME).await?;
        tx.rollback().await?;
        // Queues that ever had jobs, so that a series falls to zero and does not end.
        let mut oldest: BTreeMap<String, f64> =
            counts.keys().map(|(queue, _)| (queue.clone(), 0.0)).collect();
        oldest.extend(waiting.into_iter().map(|(queue, run_at)| (queue, age(run_at))));
        let seen =
            Seen { at: Instant::now(), counts, oldest, overdue, longest_overdue: first.map_or(0.0, age) };
        *self.measures.seen.lock() = Some(seen);
        Ok(())
    }
}
