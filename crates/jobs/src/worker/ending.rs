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
/// How often the database must refuse an end by itself until it is believed.
const REFUSALS: usize = 2;

/// Writes how attempts ended, as many at once as there are. What cannot be written is tried again for as long as a lease; after
/// that the job is somebody else's.
pub(super) async fn write(worker: Arc<Shared>, mut endings: mpsc::Receiver<Ending>) {
    let mut batch: Vec<Ending> = Vec::with_capacity(AT_ONCE);
    while endings.recv_many(&mut batch, AT_ONCE).await > 0 {
        let all: Arc<[Ended]> = batch.iter().map(|ending| ending.ended.clone()).collect();
        match write_together(&worker, all).await {
            Ok(held) => batch.drain(..).for_each(|ending| tell_lost(&ending, &held)),
            // Something about one of them, or about one row: it must not cost the others what they did, nor hold up what
            // ends meanwhile.
            Err(error) => {
                let error: &dyn StdError = &error;
                tracing::warn!(error, jobs = batch.len(), "how jobs ended is written one by one");
                for ending in batch.drain(..) {
                    tokio::spawn(write_alone(Arc::clone(&worker), ending));
                }
            }
        }
    }
}

/// While the database is away it is tried again for as long as a lease.
async fn write_together(worker: &Shared, all: Arc<[Ended]>) -> Result<HashSet<Lease>, JobsError> {
    let (began, mut wait) = (Instant::now(), FIRST_WAIT);
    loop {
        match guarded(write_once(worker, Arc::clone(&all))).await {
            Err(JobsError::Db(stylobate_db::Error::Unavailable(_)))
                if began.elapsed() < worker.options.lease =>
            {
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(LONGEST_WAIT);
            }
            result => return result,
        }
    }
}

const FIRST_WAIT: Duration = Duration::from_millis(20);
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// An end that the database refuses for what is in it is a dead letter that says so: run again, it would be refused again.
async fn write_alone(worker: Arc<Shared>, mut ending: Ending) {
    // How many do so at once is for the pool; a permit keeps the others of the worker from waiting for it.
    let _place = worker.alone.acquire().await;
    let (began, mut wait, mut refusals) = (Instant::now(), FIRST_WAIT, 0);
    loop {
        match guarded(write_once(&worker, [ending.ended.clone()].into())).await {
            Ok(held) => return tell_lost(&ending, &held),
            Err(error) if began.elapsed() >= worker.options.lease => {
                let (error, job): (&dyn StdError, _) = (&error, ending.ended.lease.id);
                tracing::error!(error, %job, "how a job ended could not be written; it will be run again");
                return;
            }
            Err(error) if is_refusal(&error) => {
                refusals += 1;
                if refusals == REFUSALS {
                    let (cause, job): (&dyn StdError, _) = (&error, ending.ended.lease.id);
                    tracing::error!(error = cause, %job, "how a job ended is refused by the database: a dead letter");
                    ending.ended = refused(&worker, &ending.job, &error);
                }
            }
            Err(_) => {}
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

fn tell_lost(ending: &Ending, held: &HashSet<Lease>) {
    if !held.contains(&ending.ended.lease) {
        tracing::info!(job = %ending.ended.lease.id, "a result is refused: the lease was lost, or the handler ended the job itself");
    }
}

/// Whether it is about the values themselves, so that trying again cannot help.
fn is_refusal(error: &JobsError) -> bool {
    use stylobate_db::Error;
    matches!(error.as_db(), Some(Error::Value(_) | Error::Constraint { .. } | Error::Refused))
}

/// The end of a job whose end cannot be stored.
fn refused(worker: &Shared, job: &Claimed, error: &JobsError) -> Ended {
    let now = worker.jobs.clock.now().trunc_subsecs(6);
    let message = format!("how it ended was refused by the database: {error}");
    let errors = with_error(job.errors.clone(), job.attempt, now, &message);
    Ended { errors: serde_json::to_string(&errors).ok(), ..Ended::new(job.lease, State::Discarded) }
}

async fn write_once(worker: &Shared, all: Arc<[Ended]>) -> Result<HashSet<Lease>, JobsError> {
    let now = worker.jobs.clock.now().trunc_subsecs(6);
    let write = async move |tx: &mut Tx| Ok::<_, JobsError>(finish::finish(tx, &all, now).await?);
    let held = worker.jobs.db.transact(Scope::Platform("write how jobs ended"), write).await?;
    Ok(held.into_iter().collect())
}
