use std::{error::Error as StdError, sync::Arc, time::Duration};

use chrono::SubsecRound as _;
use stylobate_db::{Scope, Tx};
use tokio::{sync::mpsc, time::Instant};

use super::Shared;
use crate::{
    JobsError,
    guard::guarded,
    store::finish::{self, Ended},
};

/// How an attempt ended, on its way to the database.
#[derive(Debug)]
pub(super) struct Ending(pub(super) Ended);

/// How many are written by one statement.
const AT_ONCE: usize = 500;

/// Writes how attempts ended, as many at once as there are. What cannot be written is tried again for as long as a lease;
/// after that the job is somebody else's.
pub(super) async fn write(worker: Arc<Shared>, mut ended: mpsc::Receiver<Ending>) {
    let mut batch = Vec::with_capacity(AT_ONCE);
    while ended.recv_many(&mut batch, AT_ONCE).await > 0 {
        let all: Vec<Ended> = batch.drain(..).map(|Ending(ended)| ended).collect();
        let all: Arc<[Ended]> = all.into();
        let (began, mut wait) = (Instant::now(), Duration::from_millis(20));
        let held = loop {
            match guarded(write_once(&worker, Arc::clone(&all))).await {
                Ok(held) => break held,
                Err(error) if began.elapsed() < worker.options.lease => {
                    tracing::debug!(code = error.code(), "how jobs ended could not be written yet");
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(Duration::from_secs(1));
                }
                Err(error) => {
                    let (error, jobs): (&dyn StdError, _) = (&error, all.len());
                    tracing::error!(
                        error,
                        jobs,
                        "how jobs ended could not be written; they will be run again"
                    );
                    break all.iter().map(|one| one.lease).collect();
                }
            }
        };
        for one in all.iter() {
            if !held.contains(&one.lease) {
                tracing::info!(job = %one.lease.id, "a result is refused: the lease was lost, or the handler ended the job itself");
            }
            worker.running.remove(one.lease);
        }
    }
}

async fn write_once(
    worker: &Shared,
    all: Arc<[Ended]>,
) -> Result<std::collections::HashSet<crate::store::claim::Lease>, JobsError> {
    let now = worker.jobs.clock.now().trunc_subsecs(6);
    let write = async move |tx: &mut Tx| Ok::<_, JobsError>(finish::finish(tx, &all, now).await?);
    let held = worker.jobs.db.transact(Scope::Platform("write how jobs ended"), write).await?;
    Ok(held.into_iter().collect())
}
