use std::{collections::HashSet, error::Error as StdError, future::Future, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use stylobate_core::ScheduleId;
use stylobate_db::{Scope, Tx};

use super::{Overdue, Overlap, Schedule, Schedules, Ticked, service::EDITED, tick};
use crate::{
    JobsError,
    service::WORK,
    store::{
        jobs::{self, NewJob},
        schedules::{self, Moved},
    },
};

/// How many schedules one transaction moves on.
const AT_ONCE: i64 = 50;
/// How long the loop sleeps at most: what is edited without a hint is known after this.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// And at least, however soon the next slot is.
const REST: Duration = Duration::from_millis(5);

/// What has been decided about a schedule that is due.
#[derive(Debug, Clone)]
struct Decided {
    schedule: Schedule,
    from: DateTime<Utc>,
    to: Option<DateTime<Utc>>,
    /// The jobs of the slots that run, oldest first.
    jobs: Vec<NewJob>,
    skipped: usize,
}

impl Schedules {
    /// Looks once: asks for the jobs of all schedules that are due. Any number of schedulers may look at the same time; each
    /// slot is claimed by one of them, and its job is stored in the transaction that claims it.
    ///
    /// # Errors
    /// The database's own. What could be claimed all the same is done.
    pub async fn tick(&self) -> Result<Ticked, JobsError> {
        self.look(&mut HashSet::new()).await
    }

    /// Asks for jobs when their time has come, until `shutdown` is done. Any number of processes may do it; one must. Survives
    /// a database that goes away and comes back: slots that were missed meanwhile are caught up on as their schedules say.
    pub async fn run(&self, shutdown: impl Future<Output = ()>) {
        let work = async {
            let mut hints = self.jobs.db.hints(EDITED);
            let (mut complained, mut healthy) = (HashSet::new(), true);
            loop {
                let looked = self.look(&mut complained).await;
                match &looked {
                    Err(error) if healthy => {
                        let error: &dyn StdError = error;
                        tracing::warn!(error, "no schedule can be served");
                    }
                    Ok(_) if !healthy => tracing::info!("schedules are served again"),
                    _ => {}
                }
                healthy = looked.is_ok();
                let wait = match looked {
                    Ok(Ticked { has_more: true, .. }) => continue,
                    Ok(Ticked { next_run_at: Some(next), .. }) => {
                        (next - self.now()).to_std().unwrap_or_default().clamp(REST, LOOK_EVERY)
                    }
                    Ok(_) | Err(_) => LOOK_EVERY,
                };
                tokio::select! {
                    () = hints.next() => {}
                    () = tokio::time::sleep(wait) => {}
                }
            }
        };
        tokio::select! {
            biased;
            () = shutdown => {}
            () = work => {}
        }
    }

    /// Schedules whose slot has come and gone `by` ago, and nobody has decided on it: no scheduler runs, none knows the kind of
    /// job, or none can reach the database. At most a thousand, the longest overdue first. `by` is at least a few seconds for
    /// the answer to mean something, for no slot is claimed the moment it comes; [`ON_TIME`](crate::ON_TIME) is what the log, the
    /// metrics and the health check go by.
    ///
    /// # Errors
    /// The database's own.
    pub async fn overdue(&self, by: TimeDelta) -> Result<Vec<Overdue>, JobsError> {
        self.jobs.overdue(by).await
    }

    /// As [`tick`](Self::tick), but complains once only about each schedule that it cannot serve.
    async fn look(&self, complained: &mut HashSet<ScheduleId>) -> Result<Ticked, JobsError> {
        let now = self.now();
        let mut ticked = Ticked::default();
        let (mut place, mut first_error) = (None, None);
        loop {
            let mut tx = self.jobs.db.begin_read(Scope::Platform("look for due schedules")).await?;
            let due = schedules::due(&mut tx, now, place, AT_ONCE).await?;
            let is_last = due.len() < usize::try_from(AT_ONCE).unwrap_or_default();
            if is_last {
                ticked.next_run_at = schedules::next_due(&mut tx, now).await?;
            }
            tx.rollback().await?;
            place = due.last().map(|(place, _)| *place);

            let mut decided = Vec::with_capacity(due.len());
            for ((_, id), schedule) in due {
                let problem = match schedule.map_err(JobsError::from).map(|one| self.decide(one, now)) {
                    Ok(Ok(Some(one))) => {
                        decided.push(one);
                        continue;
                    }
                    Ok(Ok(None)) => None,
                    Ok(Err(error)) | Err(error) => Some(error),
                };
                ticked.unserved += 1;
                if complained.insert(id.into()) {
                    let error = problem.as_ref().map(|error| error as &dyn StdError);
                    tracing::error!(
                        schedule = %id, error,
                        "a due schedule cannot be served: damaged, or of a kind of job that this program does not know"
                    );
                }
            }
            // What some schedules come to must not hold up those after them.
            let claimed = self.claim(decided, now, &mut ticked).await;
            first_error = first_error.or(claimed.err());
            if is_last {
                return first_error.map_or(Ok(ticked), Err);
            }
        }
    }

    /// Decides about a schedule that is due; `None` when its kind of job is not known here.
    fn decide(&self, schedule: Schedule, now: DateTime<Utc>) -> Result<Option<Decided>, JobsError> {
        let Some(from) = schedule.next_run_at else { return Ok(None) };
        let ticks = tick(&schedule.timing, schedule.catch_up, from, now)?;
        let mut jobs = Vec::with_capacity(ticks.slots.len());
        for slot in ticks.slots {
            let Some(new) = self.draft(&schedule, Some(slot))? else { return Ok(None) };
            jobs.push(new);
        }
        Ok(Some(Decided { schedule, from, to: ticks.next_run_at, jobs, skipped: ticks.skipped }))
    }

    /// Claims what was decided on, all at once; one by one when that fails, so that one cannot hold up the others.
    async fn claim(
        &self,
        decided: Vec<Decided>,
        now: DateTime<Utc>,
        ticked: &mut Ticked,
    ) -> Result<(), JobsError> {
        if decided.is_empty() {
            return Ok(());
        }
        match self.claim_together(&decided).await {
            Ok(claimed) => {
                count(ticked, &claimed, now);
                return Ok(());
            }
            Err(error) if decided.len() == 1 => return Err(error),
            Err(error) => tracing::debug!(code = error.code(), "schedules are claimed one by one"),
        }
        let mut first_error = None;
        for one in &decided {
            match self.claim_together(std::slice::from_ref(one)).await {
                Ok(claimed) => count(ticked, &claimed, now),
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        first_error.map_or(Ok(()), Err)
    }

    /// Claims the slots of `decided` and stores their jobs, in one transaction. Returns what this scheduler has got.
    async fn claim_together(&self, decided: &[Decided]) -> Result<Vec<Decided>, JobsError> {
        // In the order of ids, which two schedulers that move the same schedules mostly keep to; where the statement has another
        // order and they wait for each other, the database ends one of them, and it looks again.
        let mut sorted = decided.to_vec();
        sorted.sort_by_key(|one| one.schedule.id);
        let this = self.clone();
        let claim = async move |tx: &mut Tx| {
            let mut mine = sorted.clone();
            leave_out_overlaps(tx, &mut mine).await?;
            let moves: Vec<Moved> = mine.iter().map(moved).collect();
            let claimed = schedules::claim(tx, &moves).await?;
            mine.retain(|one| claimed.contains(&one.schedule.id));
            this.store_jobs(tx, &mut mine).await?;
            Ok::<_, JobsError>(mine)
        };
        self.jobs.db.transact(Scope::Platform("claim the slots of schedules"), claim).await
    }

    async fn store_jobs(&self, tx: &mut Tx, mine: &mut [Decided]) -> Result<(), JobsError> {
        let all: Vec<NewJob> = mine.iter().flat_map(|one| one.jobs.iter().cloned()).collect();
        if all.is_empty() {
            return Ok(());
        }
        let new: HashSet<_> = jobs::insert(tx, &all).await?.into_iter().collect();
        tx.hint(WORK);
        if new.len() == all.len() {
            return Ok(());
        }
        for one in mine {
            let mut stored = Vec::with_capacity(one.jobs.len());
            for job in std::mem::take(&mut one.jobs) {
                if new.contains(&job.id) {
                    stored.push(job);
                    continue;
                }
                let Some((schedule, Some(slot))) = job.schedule else { continue };
                if jobs::has_slot(tx, schedule, slot).await? {
                    tracing::warn!(%schedule, %slot, "a slot has its job already; no second one is asked for");
                    continue;
                }
                // The same as another job by its unique key: that one stands for it.
                let enqueued = self.jobs.store(tx, job.clone()).await?;
                schedules::set_last_job(tx, schedule, enqueued.id).await?;
                if enqueued.is_new {
                    stored.push(job);
                }
            }
            one.jobs = stored;
        }
        Ok(())
    }
}

/// Keeps, of a schedule whose jobs must not run beside each other, the first slot's if no earlier job is unfinished.
async fn leave_out_overlaps(tx: &mut Tx, decided: &mut [Decided]) -> Result<(), JobsError> {
    let careful = decided.iter().filter(|one| one.schedule.overlap == Overlap::Skip && !one.jobs.is_empty());
    let careful: Vec<_> = careful.map(|one| one.schedule.id.as_uuid()).collect();
    let unfinished = schedules::unfinished(tx, &careful).await?;
    for one in decided.iter_mut().filter(|one| one.schedule.overlap == Overlap::Skip) {
        let most = usize::from(!unfinished.contains(&one.schedule.id));
        one.skipped += one.jobs.len().saturating_sub(most);
        one.jobs.truncate(most);
    }
    Ok(())
}

fn moved(one: &Decided) -> Moved {
    let last = one.jobs.last();
    Moved {
        id: one.schedule.id,
        version: one.schedule.version,
        from: one.from,
        to: one.to,
        last_slot: last.and_then(|job| job.schedule?.1),
        last_job: last.map(|job| job.id),
        skipped: i64::try_from(one.skipped).unwrap_or(i64::MAX),
    }
}

fn count(ticked: &mut Ticked, claimed: &[Decided], now: DateTime<Utc>) {
    for one in claimed {
        ticked.enqueued += one.jobs.len();
        ticked.skipped += one.skipped as u64;
        ticked.has_more |= one.to.is_some_and(|to| to <= now);
        // Its next slot may come before that of those that were not due.
        if let Some(next) = one.to.filter(|to| *to > now) {
            ticked.next_run_at = Some(ticked.next_run_at.map_or(next, |other| other.min(next)));
        }
        for job in &one.jobs {
            tracing::debug!(schedule = %one.schedule.id, name = one.schedule.name, job = %job.id, "a schedule asked for its job");
        }
    }
}
