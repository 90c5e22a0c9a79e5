use stylobate_core::{BoxFuture, Health, HealthCheck, HealthStatus};

use super::{ON_TIME, Schedules};

/// Asks whether schedules are overdue: the dead man's switch of an installation whose schedulers are gone. Not critical: a
/// service serves on without its schedules.
#[derive(Clone, Debug)]
pub struct ScheduleHealth(Schedules);

impl ScheduleHealth {
    /// A check of `schedules`.
    #[must_use]
    pub fn new(schedules: Schedules) -> Self {
        Self(schedules)
    }
}

impl HealthCheck for ScheduleHealth {
    fn name(&self) -> &'static str {
        "schedules"
    }

    fn is_critical(&self) -> bool {
        false
    }

    fn check(&self) -> BoxFuture<'_, Health> {
        Box::pin(async {
            // Which ones is for those who may read schedules: probes answer anybody.
            let detail = match self.0.overdue(ON_TIME).await {
                Ok(overdue) if overdue.is_empty() => return Health::up(),
                Ok(overdue) => format!("{} overdue", overdue.len()),
                Err(error) => error.code().to_owned(),
            };
            Health { status: HealthStatus::Degraded, detail: Some(detail) }
        })
    }
}
