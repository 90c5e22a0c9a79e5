use std::{error::Error as StdError, ops::RangeInclusive, sync::Arc, time::Duration};

use chrono::SubsecRound as _;
use stylobate_db::{ConstraintKind, Scope, Tx};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::Instant,
};
use uuid::Uuid;

use super::{Shared, performing::perform};
use crate::{
    JobsError,
    guard::guarded,
    service::WORK,
    store::claim::{Ask, Taken, claim},
};

/// How many jobs one statement claims at most.
const AT_ONCE: usize = 200;
/// How long a busy worker gathers free places before it claims again: as long as the last claim took, within these. Many jobs by one
/// statement are cheaper than one each, and the slower the database, the more so.
const GATHER: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_millis(5);

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
        if busy && places.available_permits() + 1 < concurrency.min(AT_ONCE) / 2 {
            tokio::time::sleep(took.clamp(*GATHER.start(), *GATHER.end())).await;
        }
        let mut free = vec![first];
        while free.len() < AT_ONCE
            && let Ok(place) = Arc::clone(&places).try_acquire_owned()
        {
            free.push(place);
        }
        let began = Instant::now();
        let wanted = free.len();
        let taken = guarded(claim_once(&worker, &queue, wanted, from)).await;
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
            busy = jobs.len() == wanted;
            idle = jobs.is_empty() && (idle || from.is_nil());
            rest = idle && at_end;
            from = next;
            let mut places: Vec<OwnedSemaphorePermit> = std::mem::take(&mut free);
            for job in jobs {
                let Some(place) = places.pop() else { break };
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

async fn claim_once(worker: &Shared, queue: &str, wanted: usize, from: Uuid) -> Result<Taken, JobsError> {
    let (queue, name) = (queue.to_owned(), worker.options.name.clone());
    let now = worker.jobs.clock.now().trunc_subsecs(6);
    let claim = async move |tx: &mut Tx| {
        let most = i64::try_from(wanted).unwrap_or(1);
        match claim(tx, Ask { queue: &queue, worker: &name, most, from }, now).await {
            Ok(taken) => Ok(taken),
            // Another worker has chosen the same place of a key; it is seen as taken the next time.
            Err(stylobate_db::Error::Constraint { kind: ConstraintKind::Unique, .. }) => {
                Err(JobsError::Db(stylobate_db::Error::Serialization))
            }
            Err(error) => Err(error.into()),
        }
    };
    worker.jobs.db.transact(Scope::Platform("claim jobs"), claim).await
}
