use chrono::TimeDelta;
use stylobate_core::{BoxFuture, Health, HealthCheck, HealthStatus};
use stylobate_db::Scope;

use crate::{Jobs, JobsError, State, store};

/// For how long a job that may begin waits before it is asked whether anybody works: as long as a slot may be late.
const PATIENCE: TimeDelta = crate::ON_TIME;

/// Asks whether anybody works: jobs that could have begun a minute ago wait in a queue that goes on, and none of it is running.
/// Not critical: a service serves on without its workers.
#[derive(Clone, Debug)]
pub struct QueueHealth(Jobs);

impl QueueHealth {
    /// A check of `jobs`.
    #[must_use]
    pub fn new(jobs: Jobs) -> Self {
        Self(jobs)
    }
}

impl HealthCheck for QueueHealth {
    fn name(&self) -> &'static str {
        "jobs"
    }

    fn is_critical(&self) -> bool {
        false
    }

    fn check(&self) -> BoxFuture<'_, Health> {
        Box::pin(async {
            // Which ones is for those who may read queues: probes answer anybody.
            let detail = match self.0.abandoned().await {
                Ok(0) => return Health::up(),
                Ok(1) => "jobs of 1 queue wait, and nobody works".to_owned(),
                Ok(queues) => format!("jobs of {queues} queues wait, and nobody works"),
                Err(error) => error.code().to_owned(),
            };
            Health { status: HealthStatus::Degraded, detail: Some(detail) }
        })
    }
}

impl Jobs {
    /// How many queues nobody works on, though they are not paused and jobs of them have been waiting for a while.
    async fn abandoned(&self) -> Result<usize, JobsError> {
        let Some(before) = self.clock.now().checked_sub_signed(PATIENCE) else { return Ok(0) };
        let counts = self.counts().await?;
        let of = |queue: &str, state| counts.get(&(queue.to_owned(), state)).is_some_and(|jobs| *jobs > 0);
        let paused = self.paused().await?;
        let mut queues: Vec<&str> = counts.keys().map(|(queue, _)| queue.as_str()).collect();
        queues.dedup();
        queues.retain(|queue| {
            (of(queue, State::Available) || of(queue, State::Retryable))
                && !of(queue, State::Leased)
                && !paused.iter().any(|(name, _)| name == queue)
        });
        let mut tx = self.db.begin_read(Scope::Platform("look whether anybody works")).await?;
        let mut abandoned = 0;
        for queue in queues {
            abandoned += usize::from(store::upkeep::has_waited(&mut tx, queue, before).await?);
        }
        tx.rollback().await?;
        Ok(abandoned)
    }
}
