use std::{error::Error as StdError, ops::RangeInclusive, sync::Arc, time::Duration};

use chrono::SubsecRound as _;
use stylobate_core::{BoxFuture, Clock};
use stylobate_db::{ConstraintKind, Scope, Tx};
use tokio::{
    sync::{Semaphore, watch},
    time::Instant,
};
use uuid::Uuid;

use super::{Shared, free_places::FreePlaces, performing::perform};
use crate::{
    JobsError,
    guard::guarded,
    service::WORK,
    store::claim::{Ask, Taken, claim},
};

/// How many jobs one statement claims at most.
const AT_ONCE: usize = 200;
/// A busy worker gathers a quarter of its places, or of [`AT_ONCE`], before it claims again, for at most four times as long as the last
/// claim took, within these: many jobs by one statement are cheaper than one each, and the slower the database, the more so.
const GATHER: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_millis(25);

/// Claims jobs of `queue` and runs at most `concurrency` at once, until it is told to stop.
pub(super) async fn fetch(
    worker: Arc<Shared>,
    queue: String,
    concurrency: usize,
    mut stopped: watch::Receiver<bool>,
) {
    let places = Arc::new(Semaphore::new(concurrency));
    let mut hints = worker.jobs.db.hints(WORK);
    let mut from = Uuid::nil();
    let (mut busy, mut healthy) = (false, true);
    // Whether the round over the lanes that goes on began at the first one and has found nothing.
    let mut idle = false;
    let mut took = Duration::ZERO;
    loop {
        let first = tokio::select! {
            biased;
            _ = stopped.wait_for(|stopped| *stopped) => break,
            place = Arc::clone(&places).acquire_owned() => place,
        };
        let Ok(first) = first else { break };
        let free = Arc::new(FreePlaces::new(&places, first));
        if busy {
            let limit = (4 * took).clamp(*GATHER.start(), *GATHER.end());
            free.gather(concurrency.min(AT_ONCE) / 4, limit).await;
            if *stopped.borrow() {
                break;
            }
        }
        let began = Instant::now();
        let taken = guarded(claim_once(&worker, &queue, &free, from)).await;
        took = began.elapsed();
        match &taken {
            Err(error) if healthy => {
                let error: &dyn StdError = error;
                tracing::warn!(error, queue, "no jobs can be claimed");
            }
            Ok(_) if !healthy => tracing::info!(queue, "jobs are claimed again"),
            _ => {}
        }
        healthy = taken.is_ok();
        let mut rest = true;
        busy = false;
        if let Ok(Taken { jobs, next, at_end }) = taken {
            busy = jobs.len() == free.number();
            idle = jobs.is_empty() && (idle || from.is_nil());
            rest = idle && at_end;
            from = next;
            for job in jobs {
                let Some(place) = free.pop() else { break };
                let (hold, stop) = worker.running.add(job.lease, began);
                let worker = Arc::clone(&worker);
                // Whoever drains the worker waits for it by `running`.
                tokio::spawn(async move {
                    let performed = async {
                        perform(worker, job, hold, stop).await;
                        Ok(())
                    };
                    // Nobody says any more that a job lives whose task panicked: another worker gets it.
                    let _ = guarded(performed).await;
                    drop(place);
                });
            }
        }
        drop(free);
        if !rest {
            continue;
        }
        // Jitter, so that workers that were started together do not look together.
        let jitter = worker.options.poll.mul_f64(0.75 + fastrand::f64() / 4.0);
        tokio::select! {
            biased;
            _ = stopped.wait_for(|stopped| *stopped) => break,
            () = hints.next() => {}
            () = tokio::time::sleep(jitter) => {}
        }
    }
}

async fn claim_once(
    worker: &Shared,
    queue: &str,
    free: &Arc<FreePlaces>,
    from: Uuid,
) -> Result<Taken, JobsError> {
    let claiming = Claiming {
        clock: Arc::clone(&worker.jobs.clock),
        queue: queue.to_owned(),
        worker: worker.options.name.clone(),
        free: Arc::clone(free),
        from,
    };
    let claim = async move |tx: &mut Tx| claiming.claim(tx).await;
    worker.jobs.db.transact(Scope::Platform("claim jobs"), claim).await
}

/// What a claim needs to know.
struct Claiming {
    clock: Arc<dyn Clock>,
    queue: String,
    worker: String,
    free: Arc<FreePlaces>,
    from: Uuid,
}

impl Claiming {
    // Boxed, so that the compiler sees that it can go from thread to thread without knowing for which lifetimes it is asked.
    fn claim<'a>(&'a self, tx: &'a mut Tx) -> BoxFuture<'a, Result<Taken, JobsError>> {
        Box::pin(async move {
            // Some became free while the database let nobody in.
            self.free.fill(AT_ONCE);
            let most = i64::try_from(self.free.number()).unwrap_or(1);
            let ask = Ask { queue: &self.queue, worker: &self.worker, most, from: self.from };
            match claim(tx, ask, self.clock.now().trunc_subsecs(6)).await {
                Ok(taken) => Ok(taken),
                // Another worker has chosen the same place of a key; it is seen as taken the next time.
                Err(stylobate_db::Error::Constraint { kind: ConstraintKind::Unique, .. }) => {
                    Err(JobsError::Db(stylobate_db::Error::Serialization))
                }
                Err(error) => Err(error.into()),
            }
        })
    }
}
