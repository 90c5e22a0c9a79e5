use std::{collections::HashSet, error::Error as StdError, future::Future, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use stylobate_core::ScheduleId;
use stylobate_db::{Scope, Tx};
use tokio::time::Instant;

use super::{
    Overdue, Overlap, Schedule, Schedules, Ticked,
    service::{AHEAD, EDITED, first_slot},
    tick,
    timing::Plan,
};
use crate::{
    JobsError,
    guard::{aside, guarded},
    service::WORK,
    store::{
        jobs::{self, NewJob},
        schedules::{self, Moved},
    },
};

/// How many schedules one transaction moves on.
const AT_ONCE: i64 = 50;
/// How many jobs one transaction asks for, and one look for one schedule: what catches up on many slots must not keep everybody
/// else from writing.
const JOBS_AT_ONCE: usize = 500;
const JOBS_PER_LOOK: usize = 200;
/// How many looks one tick takes at most.
const LOOKS_MAX: usize = 10;
/// How long the loop sleeps at most: what is edited without a hint is known after this.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// And at least, however soon the next slot is.
const REST: Duration = Duration::from_millis(5);
/// How often it looks for schedules that a wrong clock has sent far away.
const REPLAN_EVERY: Duration = Duration::from_secs(60);

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
    /// Asks for the jobs of all schedules that are due, some hundred at a time. Any number of schedulers may look at the same time; each
    /// slot is claimed by one of them, and its job is stored in the transaction that claims it.
    ///
    /// # Errors
    /// The database's own. What could be claimed all the same is done.
    pub async fn tick(&self) -> Result<Ticked, JobsError> {
        let mut complained = HashSet::new();
        let mut ticked = self.look(&mut complained).await?;
        for _ in 1..LOOKS_MAX {
            if !ticked.has_more {
                break;
            }
            let next = self.look(&mut complained).await?;
            let (enqueued, skipped) = (ticked.enqueued + next.enqueued, ticked.skipped + next.skipped);
            ticked = Ticked { enqueued, skipped, ..next };
        }
        Ok(ticked)
    }

    /// Asks for jobs when their time has come, until `shutdown` is done. Any number of processes may do it; one must. Survives
    /// a database that goes away and comes back: slots that were missed meanwhile are caught up on as their schedules say.
    pub async fn run(&self, shutdown: impl Future<Output = ()>) {
        let work = async {
            let mut hints = self.jobs.db.hints(EDITED);
            let (mut complained, mut healthy) = (HashSet::new(), true);
            let mut replanned_at: Option<Instant> = None;
            loop {
                let mut looked = guarded(self.look(&mut complained)).await;
                if replanned_at.is_none_or(|at| at.elapsed() >= REPLAN_EVERY) {
                    replanned_at = Some(Instant::now());
                    if let Err(error) = guarded(self.replan_far()).await {
                        looked = looked.and(Err(error));
                    }
                }
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
                    // Others want to write as well.
                    Ok(Ticked { has_more: true, .. }) => REST,
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

            let this = self.clone();
            // Slots are searched for: a schedule may have thousands behind it.
            let looked_at = aside(move || {
                let decide =
                    |one: Result<Schedule, _>| one.map_err(JobsError::from).map(|one| this.decide(one, now));
                Ok(due.into_iter().map(|((_, id), one)| (id, decide(one))).collect::<Vec<_>>())
            });
            let looked_at = looked_at.await?;
            let mut decided = Vec::with_capacity(looked_at.len());
            for (id, result) in looked_at {
                let problem = match result {
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
        // What is left is decided on by the next look, as the latest of those that were missed.
        let to = ticks.slots.get(JOBS_PER_LOOK).copied().or(ticks.next_run_at);
        let mut jobs = Vec::with_capacity(ticks.slots.len().min(JOBS_PER_LOOK));
        for slot in ticks.slots.into_iter().take(JOBS_PER_LOOK) {
            let Some(new) = self.draft(&schedule, Some(slot))? else { return Ok(None) };
            jobs.push(new);
        }
        Ok(Some(Decided { schedule, from, to, jobs, skipped: ticks.skipped }))
    }

    /// Claims what was decided on, in transactions of bounded length.
    async fn claim(
        &self,
        decided: Vec<Decided>,
        now: DateTime<Utc>,
        ticked: &mut Ticked,
    ) -> Result<(), JobsError> {
        let (mut rest, mut first_error) = (decided.as_slice(), None);
        while !rest.is_empty() {
            let mut jobs = 0;
            let fit = rest.iter().take_while(|one| {
                jobs += one.jobs.len();
                jobs <= JOBS_AT_ONCE
            });
            let (some, others) = rest.split_at(fit.count().max(1));
            rest = others;
            // What some come to must not hold up those after them.
            first_error = first_error.or(self.claim_some(some, now, ticked).await.err());
        }
        first_error.map_or(Ok(()), Err)
    }

    /// Claims `decided` all at once; one by one when that fails, so that one cannot hold up the others.
    async fn claim_some(
        &self,
        decided: &[Decided],
        now: DateTime<Utc>,
        ticked: &mut Ticked,
    ) -> Result<(), JobsError> {
        match self.claim_together(decided).await {
            Ok(claimed) => {
                count(ticked, &claimed, now);
                return Ok(());
            }
            Err(error) if decided.len() == 1 => return Err(error),
            Err(error) => tracing::debug!(code = error.code(), "schedules are claimed one by one"),
        }
        let mut first_error = None;
        for one in decided {
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
        // All jobs of a schedule are of one payload: if they have a unique key, one of them stands for all.
        let first = mine.iter().flat_map(|one| {
            let is_unique = one.jobs.first().is_some_and(|job| job.unique_key.is_some());
            one.jobs.iter().take(if is_unique { 1 } else { usize::MAX }).cloned()
        });
        let first: Vec<NewJob> = first.collect();
        if first.is_empty() {
            return Ok(());
        }
        let new: HashSet<_> = jobs::insert(tx, &first).await?.into_iter().collect();
        tx.hint(WORK);
        for one in mine {
            let mut stored = Vec::with_capacity(one.jobs.len());
            // The job that stands for those after it, and whether the schedule has to be told.
            let mut stand_in = None;
            let last = one.jobs.last().map(|job| job.id);
            for job in std::mem::take(&mut one.jobs) {
                if stand_in.is_some() {
                    continue;
                }
                let is_unique = job.unique_key.is_some();
                if new.contains(&job.id) {
                    stand_in = Some(job.id).filter(|_| is_unique);
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
                stand_in = Some(enqueued.id);
                if enqueued.is_new {
                    stored.push(job);
                }
            }
            if let Some(stand_in) = stand_in
                && last != Some(stand_in)
            {
                schedules::set_last_job(tx, one.schedule.id, stand_in).await?;
            }
            one.jobs = stored;
        }
        Ok(())
    }

    /// Plans anew what waits for a time that its timing can name only to somebody whose clock is wrong by more than a day: such a
    /// clock was put right since. Nobody would notice but for the missing jobs. Slots that have their jobs get no second one.
    pub(super) async fn replan_far(&self) -> Result<usize, JobsError> {
        let now = self.now();
        let (mut place, mut replanned) = (None, 0);
        loop {
            let mut tx =
                self.jobs.db.begin_read(Scope::Platform("look for schedules of a wrong clock")).await?;
            let (far, next) = schedules::far(&mut tx, now + AHEAD, place, AT_ONCE).await?;
            tx.rollback().await?;
            let moves =
                aside(move || Ok(far.iter().filter_map(|one| replan(one, now)).collect::<Vec<_>>())).await?;
            if !moves.is_empty() {
                let told = moves.clone();
                let replan = async move |tx: &mut Tx| {
                    tx.hint(EDITED);
                    Ok::<_, JobsError>(schedules::claim(tx, &moves).await?)
                };
                let moved = self.jobs.db.transact(Scope::Platform("plan schedules anew"), replan).await?;
                replanned += moved.len();
                for one in told.iter().filter(|one| moved.contains(&one.id)) {
                    tracing::warn!(
                        schedule = %one.id, waited_for = %one.from, next_run_at = one.to.map(tracing::field::display),
                        "a schedule waited for a time that only a wrong clock can have set; it is planned anew"
                    );
                }
            }
            place = next;
            if place.is_none() {
                return Ok(replanned);
            }
        }
    }
}

/// Where a schedule that waits for a time beyond what its timing names is to be moved; `None` if it waits for no such time.
fn replan(schedule: &Schedule, now: DateTime<Utc>) -> Option<Moved> {
    let (from, plan) = (schedule.next_run_at?, schedule.timing.plan().ok()?);
    // A time that was named once is not known from any clock.
    if matches!(plan, Plan::Once(_)) || from <= plan.next_after(now + AHEAD)? {
        return None;
    }
    let to = first_slot(schedule, now).ok().flatten()?;
    let (id, version) = (schedule.id, schedule.version);
    Some(Moved { id, version, from, to: Some(to), last_slot: None, last_job: None, skipped: 0 })
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
