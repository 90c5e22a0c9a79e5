use std::collections::HashSet;

use chrono::TimeDelta;
use stylobate_core::ScheduleId;
use stylobate_db::Scope;

use super::{ON_TIME, Overdue};
use crate::{Jobs, JobsError, store::schedules};

impl Jobs {
    /// See [`Schedules::overdue`](crate::Schedules::overdue).
    pub(crate) async fn overdue(&self, by: TimeDelta) -> Result<Vec<Overdue>, JobsError> {
        let Some(before) = self.clock.now().checked_sub_signed(by) else { return Ok(Vec::new()) };
        let mut tx = self.db.begin_read(Scope::Platform("look for overdue schedules")).await?;
        let overdue = schedules::overdue(&mut tx, before).await?;
        tx.rollback().await?;
        Ok(overdue)
    }

    /// Says in the log which schedules no scheduler serves, once each; `known` are those of which it has been said. It is those
    /// who keep the queue up that look, so that it is said also where no scheduler runs.
    pub(crate) async fn report_overdue(&self, known: &mut HashSet<ScheduleId>) -> Result<(), JobsError> {
        let overdue = self.overdue(ON_TIME).await?;
        for one in overdue.iter().filter(|one| !known.contains(&one.id)) {
            tracing::error!(
                schedule = %one.id, name = one.name, job = one.job, slot = %one.next_run_at,
                "a schedule is overdue: no scheduler runs, or none knows its kind of job"
            );
        }
        if overdue.is_empty() && !known.is_empty() {
            tracing::info!("no schedule is overdue any more");
        }
        *known = overdue.into_iter().map(|one| one.id).collect();
        Ok(())
    }
}
