use std::{
    collections::{BTreeSet, HashSet},
    error::Error as StdError,
    future::Future,
    time::Duration,
};

use chrono::{DateTime, SubsecRound as _, TimeDelta};
use stylobate_db::{Scope, Tx};
use tokio::time::Instant;

use crate::{
    Jobs, JobsError, State, Watch, WorkerOptions,
    guard::guarded,
    service::WORK,
    store::{counts, places, upkeep},
};

/// How long finished jobs are kept.
#[derive(Debug, Clone, Copy)]
pub struct Retention {
    /// Completed ones. Default 7 days.
    pub completed: TimeDelta,
    /// Cancelled ones. Default 30 days.
    pub cancelled: TimeDelta,
    /// Dead letters. Default 90 days.
    pub discarded: TimeDelta,
}

impl Retention {
    /// For ever: somebody else calls [`Jobs::prune`].
    pub const FOREVER: Self =
        Self { completed: TimeDelta::MAX, cancelled: TimeDelta::MAX, discarded: TimeDelta::MAX };
}

impl Default for Retention {
    fn default() -> Self {
        Self { completed: TimeDelta::days(7), cancelled: TimeDelta::days(30), discarded: TimeDelta::days(90) }
    }
}

/// How many rows one transaction of upkeep touches.
const BATCH: i64 = 1_000;
/// How many jobs one transaction takes from silent workers.
const AT_ONCE: usize = 500;
/// How many transactions of one turn remove finished jobs, and how many sum up counts: what takes jobs from dead workers does
/// not wait for a backlog.
const PRUNED_PER_TURN: usize = 6;
const DRAWN_PER_TURN: usize = 10;
/// How often it is done, when nothing is left to be removed.
const PRUNE_EVERY: Duration = Duration::from_secs(60);
/// How often it is looked whether schedules are overdue and, for those who measure, what waits.
const LOOK_EVERY: Duration = Duration::from_secs(10);

impl Jobs {
    /// Takes jobs from workers that have not been heard of for `lease`, keeps the counts short, removes what finished long ago
    /// and says in the log when schedules are overdue, until `shutdown` is done. Any number of processes may do it; one must. It depends on no worker, and on no
    /// clock but the steady one of its own process. A `lease` out of the range of [`WorkerOptions::lease`] counts as the nearest
    /// within.
    pub async fn keep_up(&self, lease: Duration, retention: Retention, shutdown: impl Future<Output = ()>) {
        let lease = lease.clamp(WorkerOptions::LEASES.0, WorkerOptions::LEASES.1);
        let work = async {
            let mut watch = Watch::default();
            let mut overdue = HashSet::new();
            let (mut pruned_at, mut looked_at): (Option<Instant>, Option<Instant>) = (None, None);
            let mut healthy = true;
            loop {
                let mut result = guarded(self.reclaim(&mut watch, lease)).await.map(|_| ());
                result = result.and(guarded(self.release_parked()).await);
                result = result.and(guarded(self.draw_some(DRAWN_PER_TURN)).await);
                if pruned_at.is_none_or(|at| at.elapsed() >= PRUNE_EVERY) {
                    let pruned = guarded(self.prune_some(retention, PRUNED_PER_TURN)).await;
                    if !matches!(pruned, Ok(Pruned { has_more: true, .. })) {
                        pruned_at = Some(Instant::now());
                    }
                    result = result.and(pruned.map(|_| ()));
                }
                if looked_at.is_none_or(|at| at.elapsed() >= LOOK_EVERY) {
                    // Not at the first look: a scheduler that begins with this process catches up first.
                    if looked_at.is_some() {
                        result = result.and(guarded(self.report_overdue(&mut overdue)).await);
                    }
                    #[cfg(feature = "metrics")]
                    {
                        result = result.and(guarded(self.measure()).await);
                    }
                    looked_at = Some(Instant::now());
                }
                if let Err(error) = result.as_ref()
                    && healthy
                {
                    let error: &dyn StdError = error;
                    tracing::warn!(error, "the queue cannot be kept up");
                }
                healthy = result.is_ok();
                tokio::time::sleep((lease / 4).min(Duration::from_secs(1))).await;
            }
        };
        tokio::select! {
            biased;
            () = shutdown => {}
            () = work => {}
        }
    }

    /// Looks once at the leased jobs and takes those whose workers have been silent for `lease` since `watch` first saw it:
    /// they wait for their next attempt, or are dead letters when they have none. Returns how many.
    ///
    /// # Errors
    /// The database's own.
    pub async fn reclaim(&self, watch: &mut Watch, lease: Duration) -> Result<usize, JobsError> {
        let mut tx = self.db.begin_read(Scope::Platform("look whether workers live")).await?;
        let pulses = upkeep::pulses(&mut tx).await?;
        tx.rollback().await?;
        let silent = watch.silent(pulses, lease, Instant::now());
        let mut reclaimed = 0;
        // Many at once: a worker that is gone leaves as many as it ran, and each commit takes time.
        for some in silent.chunks(AT_ONCE) {
            let now = self.clock.now().trunc_subsecs(6);
            let some = some.to_vec();
            let reclaim = async move |tx: &mut Tx| {
                tx.hint(WORK);
                Ok::<_, JobsError>(upkeep::reclaim(tx, &some, now).await?)
            };
            let taken = self.db.transact(Scope::Platform("take jobs from silent workers"), reclaim).await?;
            reclaimed += taken.len();
            for (job, state) in taken {
                tracing::warn!(%job, %state, "a job is taken from a worker that is not heard of");
            }
        }
        Ok(reclaimed)
    }

    /// Lets jobs be claimed again that wait for a place of their key and could have it: what the end of the job before them
    /// did, unless it came while they were put aside.
    async fn release_parked(&self) -> Result<(), JobsError> {
        let mut tx = self.db.begin_read(Scope::Platform("look for parked jobs")).await?;
        let is_any = places::is_any_parked(&mut tx).await?;
        tx.rollback().await?;
        if !is_any {
            return Ok(());
        }
        for queue in self.counts().await?.into_keys().map(|(queue, _)| queue).collect::<BTreeSet<_>>() {
            let release =
                async move |tx: &mut Tx| Ok::<_, JobsError>(places::release_free(tx, &queue).await?);
            self.db.transact(Scope::Platform("release jobs that wait for their key"), release).await?;
        }
        Ok(())
    }

    /// Adds the changes of the counts to their sums.
    ///
    /// # Errors
    /// The database's own.
    pub async fn draw_counts(&self) -> Result<(), JobsError> {
        self.draw_some(usize::MAX).await
    }

    /// The same by at most so many transactions.
    async fn draw_some(&self, most: usize) -> Result<(), JobsError> {
        let draw = async |tx: &mut Tx| Ok::<_, JobsError>(counts::draw(tx, BATCH * 10).await?);
        let full = usize::try_from(BATCH * 10).unwrap_or(usize::MAX);
        for _ in 0..most {
            if self.db.transact(Scope::Platform("sum up the counts of jobs"), draw).await? < full {
                break;
            }
        }
        Ok(())
    }

    /// Removes finished jobs that are kept no longer, a thousand at a time. Returns how many.
    ///
    /// # Errors
    /// The database's own.
    pub async fn prune(&self, retention: Retention) -> Result<u64, JobsError> {
        Ok(self.prune_some(retention, usize::MAX).await?.removed)
    }

    /// The same by at most so many transactions.
    async fn prune_some(&self, retention: Retention, most: usize) -> Result<Pruned, JobsError> {
        let now = self.clock.now().trunc_subsecs(6);
        // Times before 1970 are written in ways that engines do not read.
        let since = |kept| now.checked_sub_signed(kept).map(|before| before.max(DateTime::UNIX_EPOCH));
        let mut left: Vec<_> = [
            (State::Completed, since(retention.completed)),
            (State::Cancelled, since(retention.cancelled)),
            (State::Discarded, since(retention.discarded)),
        ]
        .into_iter()
        .filter_map(|(state, before)| Some((state, before?)))
        .collect();
        let (mut removed, mut batches) = (0, 0);
        // In turns, so that no state waits for another one's backlog.
        while !left.is_empty() {
            for (state, before) in std::mem::take(&mut left) {
                if batches == most {
                    return Ok(Pruned { removed, has_more: true });
                }
                batches += 1;
                let prune = async move |tx: &mut Tx| {
                    Ok::<_, JobsError>(upkeep::prune(tx, state, before, now, BATCH).await?)
                };
                let gone = self.db.transact(Scope::Platform("remove finished jobs"), prune).await?;
                removed += gone;
                if gone >= BATCH.unsigned_abs() {
                    left.push((state, before));
                }
            }
        }
        Ok(Pruned { removed, has_more: false })
    }
}

/// What a part of the pruning came to.
#[derive(Debug, PartialEq, Eq)]
struct Pruned {
    removed: u64,
    /// Whether it was stopped before it had looked at everything.
    has_more: bool,
}

#[cfg(test)]
mod tests {
    use stylobate_core::SystemClock;
    use stylobate_testkit::{TestDb, both_engines};

    use super::*;
    use crate::MIGRATIONS;

    async fn a_backlog_of_finished_jobs_is_removed_in_parts(db: TestDb) {
        const SCOPE: Scope = Scope::Platform("a test of pruning");
        let jobs = Jobs::new((*db).clone(), std::sync::Arc::new(SystemClock));
        let shape = crate::kind::Shape {
            name: "old",
            version: 1,
            queue: "old",
            timeout_ms: 1_000,
            attempts_max: 1,
            key_limit: 1,
            backoff: crate::Backoff::DEFAULT,
        };
        let fill = async |tx: &mut Tx| {
            let draft = || jobs.draft(&shape, crate::kind::Marks::default(), None, "{}".to_owned()).unwrap();
            let new: Vec<_> = (0..2_500).map(|_| draft()).collect();
            crate::store::jobs::insert(tx, &new).await?;
            tx.q("UPDATE jobs SET state = 'cancelled', finished_at = created_at").run().await?;
            Ok::<_, JobsError>(())
        };
        db.transact(SCOPE, fill).await.unwrap();
        let now = TimeDelta::seconds(-60);
        let retention = Retention { completed: now, cancelled: now, discarded: now };
        // Two transactions find that no job has completed and that there are no dead letters.
        let pruned = jobs.prune_some(retention, 4).await.unwrap();
        assert_eq!(pruned, Pruned { removed: 2_000, has_more: true });
        let pruned = jobs.prune_some(retention, 4).await.unwrap();
        assert_eq!(pruned, Pruned { removed: 500, has_more: false });
        // A time before all calendars is none that the database refuses.
        let ages = TimeDelta::days(4_000_000);
        let retention = Retention { completed: ages, cancelled: ages, discarded: ages };
        assert_eq!(jobs.prune(retention).await.unwrap(), 0);
    }
    both_engines!(a_backlog_of_finished_jobs_is_removed_in_parts, &[&MIGRATIONS]);
}
