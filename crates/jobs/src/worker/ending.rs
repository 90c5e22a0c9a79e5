use std::{collections::HashSet, error::Error as StdError, sync::Arc, time::Duration};

use chrono::SubsecRound as _;
use stylobate_db::{Scope, TransactError as _, Tx};
use tokio::{sync::mpsc, time::Instant};

use super::{Shared, pulse::Hold};
use crate::{
    JobsError, State,
    guard::guarded,
    record::with_error,
    store::{
        claim::{Claimed, Lease},
        finish::{self, Ended},
    },
};

/// How an attempt ended, on its way to the database.
#[derive(Debug)]
pub(super) struct Ending {
    pub(super) ended: Ended,
    pub(super) job: Claimed,
    /// The job is held until its end is written or given up.
    pub(super) _hold: Hold,
}

/// How many are written by one statement.
const AT_ONCE: usize = 500;
/// How often an end that the database refuses is handed to it by itself.
const ALONE: usize = 2;

/// Writes how attempts ended, as many at once as there are. While the database is away it is tried again for as long as a lease;
/// after that the job is somebody else's.
pub(super) async fn write(worker: Arc<Shared>, mut endings: mpsc::Receiver<Ending>) {
    let mut batch: Vec<Ending> = Vec::with_capacity(AT_ONCE);
    while endings.recv_many(&mut batch, AT_ONCE).await > 0 {
        let all: Vec<Ended> = batch.iter().map(|ending| ending.ended.clone()).collect();
        let began = Instant::now();
        let held = match write_patiently(&worker, all.into(), began).await {
            Ok(held) => held,
            Err(error) if is_outage(&error) => {
                let (error, jobs): (&dyn StdError, _) = (&error, batch.len());
                tracing::error!(error, jobs, "how jobs ended could not be written; they will be run again");
                batch.clear();
                continue;
            }
            // Something about one of them: it must not cost the others what they did.
            Err(_) => write_apart(&worker, &batch, began).await,
        };
        for ending in batch.drain(..) {
            if !held.contains(&ending.ended.lease) {
                tracing::info!(job = %ending.ended.lease.id, "a result is refused: the lease was lost, or the handler ended the job itself");
            }
        }
    }
}

/// Writes each by itself. One that the database refuses is a dead letter that says so: run again, it would be refused again.
async fn write_apart(worker: &Shared, batch: &[Ending], began: Instant) -> HashSet<Lease> {
    let mut held = HashSet::with_capacity(batch.len());
    for Ending { ended, job, .. } in batch {
        let mut written = write_patiently(worker, [ended.clone()].into(), began).await;
        for _ in 1..ALONE {
            if written.as_ref().err().is_some_and(|error| !is_outage(error)) {
                tokio::time::sleep(Duration::from_millis(50)).await;
                written = write_patiently(worker, [ended.clone()].into(), began).await;
            }
        }
        if let Err(error) = &written
            && !is_outage(error)
        {
            tell_refused(job, error);
            written = write_patiently(worker, [refused(worker, job, error)].into(), began).await;
        }
        match written {
            Ok(written) => held.extend(written),
            Err(error) => {
                let error: &dyn StdError = &error;
                tracing::error!(error, job = %job.lease.id, "how a job ended could not be written; it will be run again");
                held.insert(job.lease);
            }
        }
    }
    held
}

fn tell_refused(job: &Claimed, error: &JobsError) {
    let error: &dyn StdError = error;
    tracing::error!(error, job = %job.lease.id, "how a job ended is refused by the database: a dead letter");
}

/// The end of a job whose end cannot be stored.
fn refused(worker: &Shared, job: &Claimed, error: &JobsError) -> Ended {
    let now = worker.jobs.clock.now().trunc_subsecs(6);
    let message = format!("how it ended was refused by the database: {error}");
    let errors = with_error(job.errors.clone(), job.attempt, now, &message);
    Ended {
        lease: job.lease,
        to: State::Discarded,
        run_at: None,
        result: None,
        errors: serde_json::to_string(&errors).ok(),
        handed_back: 0,
        lost: 0,
    }
}

fn is_outage(error: &JobsError) -> bool {
    error.as_db().is_some_and(stylobate_db::Error::is_outage)
}

/// Tries again while the database is away, until a lease after `began`.
async fn write_patiently(
    worker: &Shared,
    all: Arc<[Ended]>,
    began: Instant,
) -> Result<HashSet<Lease>, JobsError> {
    let mut wait = Duration::from_millis(20);
    loop {
        match guarded(write_once(worker, Arc::clone(&all))).await {
            Err(error) if is_outage(&error) && began.elapsed() < worker.options.lease => {
                tracing::debug!(code = error.code(), "how jobs ended could not be written yet");
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(Duration::from_secs(1));
            }
            result => return result,
        }
    }
}

async fn write_once(worker: &Shared, all: Arc<[Ended]>) -> Result<HashSet<Lease>, JobsError> {
    let now = worker.jobs.clock.now().trunc_subsecs(6);
    let write = async move |tx: &mut Tx| Ok::<_, JobsError>(finish::finish(tx, &all, now).await?);
    let held = worker.jobs.db.transact(Scope::Platform("write how jobs ended"), write).await?;
    Ok(held.into_iter().collect())
}
