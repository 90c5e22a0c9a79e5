//! What this program has done again and again without anybody asking for it.

use std::error::Error as StdError;

use stylobate::{
    Platform,
    core::RequestContext,
    jobs::{Job, JobsError, NewSchedule, Overlap, ScheduleQuery, Schedules, Timing},
};

use super::kinds::{CheckKeys, PruneJobs, SweepAuth};

/// Makes those standing schedules that are missing: of whose kind the platform has none. What administrators changed about one
/// stays as it is, also its name; one that they removed comes back with the next start, one that they disabled stays so. What is
/// damaged in the table of schedules is no reason not to start: the log says so.
pub(crate) async fn make_standing(platform: &Platform) -> Result<(), JobsError> {
    let (context, schedules) = (RequestContext::system("start"), platform.schedules());
    for new in standing()? {
        let name = new.name.clone();
        match make(schedules, &context, new).await {
            Ok(false) => {}
            Ok(true) => tracing::info!(name, "a standing schedule is made"),
            // Another process was quicker, or an administrator calls something else so.
            Err(JobsError::NameTaken) => {
                tracing::warn!(name, "a standing schedule is not made: the name is taken");
            }
            // Nothing else of the program would work.
            Err(JobsError::Db(error)) if error.is_outage() => return Err(error.into()),
            Err(error) => {
                let error: &dyn StdError = &error;
                tracing::error!(name, error, "a standing schedule is not made");
            }
        }
    }
    Ok(())
}

/// Makes a schedule unless the platform has one of its kind; tells whether it did.
async fn make(schedules: &Schedules, context: &RequestContext, new: NewSchedule) -> Result<bool, JobsError> {
    let query = ScheduleQuery { job: Some(new.job.clone()), ..ScheduleQuery::default() };
    if schedules.list(context, &query).await?.items.iter().any(|one| one.tenant_id.is_none()) {
        return Ok(false);
    }
    schedules.create(context, new).await?;
    Ok(true)
}

fn standing() -> Result<[NewSchedule; 3], JobsError> {
    Ok([
        // As often as each process does it that runs no jobs.
        alone("Clean-up of sessions and tokens", &SweepAuth {}, every(60))?,
        alone("Removal of finished jobs", &PruneJobs::default(), every(600))?,
        alone("Check of the signing key", &CheckKeys::default(), Timing::cron("17 3 * * *", "UTC"))?,
    ])
}

fn every(seconds: u32) -> Timing {
    Timing::Interval { seconds }
}

/// One whose job does everything there is to do: a second one beside it has nothing left.
fn alone<J: Job>(name: &str, job: &J, timing: Timing) -> Result<NewSchedule, JobsError> {
    Ok(NewSchedule { overlap: Overlap::Skip, ..NewSchedule::of(name, job, timing)? })
}
