use std::{collections::HashMap, error::Error as StdError, sync::Arc, time::Duration};

use parking_lot::Mutex;
use stylobate_db::{Scope, Tx};
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};
use uuid::Uuid;

use super::{Shared, WorkerOptions};
use crate::{
    JobsError,
    attempt::Stop,
    guard::guarded,
    store::{claim::Lease, upkeep},
};

/// The jobs that a worker has, from the claim until their end is written.
#[derive(Debug, Default)]
pub(super) struct Running {
    jobs: Mutex<HashMap<Lease, Entry>>,
    /// Told when one goes.
    gone: Notify,
}

#[derive(Debug)]
struct Entry {
    stop: watch::Sender<Stop>,
    /// When a sign of life that the database has taken was begun, by this process's own steady clock.
    beaten_at: Instant,
}

/// Keeps a job among those that run. When it is dropped, also by a panic, the worker stops saying that the job lives.
#[derive(Debug)]
pub(super) struct Hold {
    running: Arc<Running>,
    lease: Lease,
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.running.jobs.lock().remove(&self.lease);
        self.running.gone.notify_waiters();
    }
}

impl Running {
    /// Adds a job claimed by a statement that began at `claimed_at`. The second of what it returns tells the handler to stop.
    pub(super) fn add(self: &Arc<Self>, lease: Lease, claimed_at: Instant) -> (Hold, watch::Receiver<Stop>) {
        let (stop, stopped) = watch::channel(Stop::No);
        self.jobs.lock().insert(lease, Entry { stop, beaten_at: claimed_at });
        (Hold { running: Arc::clone(self), lease }, stopped)
    }

    fn leases(&self) -> Vec<Lease> {
        self.jobs.lock().keys().copied().collect()
    }

    fn is_empty(&self) -> bool {
        self.jobs.lock().is_empty()
    }

    pub(super) fn stop_all(&self, reason: Stop) {
        for entry in self.jobs.lock().values() {
            tell(entry, reason);
        }
    }

    /// Waits until nothing runs, at most `time`; tells whether that came.
    async fn wait_empty(&self, time: Duration) -> bool {
        let until = Instant::now() + time;
        loop {
            let gone = self.gone.notified();
            if self.is_empty() {
                return true;
            }
            if tokio::time::timeout_at(until, gone).await.is_err() {
                return self.is_empty();
            }
        }
    }

    /// Lets jobs run until `deadline`, then has them stop.
    pub(super) async fn drain(&self, options: &WorkerOptions, deadline: Instant) {
        if self.wait_empty(deadline.saturating_duration_since(Instant::now())).await {
            return;
        }
        self.stop_all(Stop::Shutdown);
        // Handlers are dropped when the grace is over; what is left after that is writing it down.
        if !self.wait_empty(options.cancel_grace + Duration::from_secs(5)).await {
            let left = self.jobs.lock().len();
            tracing::warn!(
                left,
                "jobs could not be handed back; others take them over when their leases are over"
            );
        }
    }
}

/// A reason to stop stands, except that a lost lease tops all others.
fn tell(entry: &Entry, reason: Stop) {
    entry.stop.send_if_modified(|stop| {
        let changes = *stop == Stop::No || (reason == Stop::LeaseLost && *stop != Stop::LeaseLost);
        if changes {
            *stop = reason;
        }
        changes
    });
}

/// Says that the worker lives, and passes on to handlers that they should stop.
pub(super) async fn keep(worker: Arc<Shared>) {
    let tick = worker.options.beat_every().min(Duration::from_secs(1));
    // A lease is also over while the database does not answer.
    let give_up = async {
        loop {
            tokio::time::sleep(tick).await;
            let given_up = async {
                give_up_lost(&worker);
                Ok(())
            };
            // It has been said.
            let _ = guarded(given_up).await;
        }
    };
    tokio::join!(give_up, say(&worker, tick));
}

async fn say(worker: &Shared, tick: Duration) {
    let mut beat_at = Instant::now();
    let mut healthy = true;
    loop {
        tokio::time::sleep(tick).await;
        if worker.running.is_empty() {
            beat_at = Instant::now();
            continue;
        }
        let due = beat_at.elapsed() >= worker.options.beat_every();
        let result =
            if due { guarded(beat(worker)).await } else { guarded(look_for_cancelled(worker)).await };
        match &result {
            Ok(()) => {
                if due {
                    beat_at = Instant::now();
                }
                if !healthy {
                    tracing::info!("the queue answers again");
                }
            }
            Err(error) if healthy => {
                let error: &dyn StdError = error;
                tracing::warn!(
                    error,
                    "the queue does not answer; running jobs go on until their leases are over"
                );
            }
            Err(_) => {}
        }
        healthy = result.is_ok();
    }
}

/// Stops what may have been taken over: nothing that proves life has been written for as long as the lease is.
fn give_up_lost(worker: &Shared) {
    for (lease, entry) in worker.running.jobs.lock().iter() {
        if entry.beaten_at.elapsed() >= worker.options.lease && *entry.stop.borrow() != Stop::LeaseLost {
            tracing::warn!(job = %lease.id, "the lease of a job is over; its handler is stopped");
            tell(entry, Stop::LeaseLost);
        }
    }
}

async fn beat(worker: &Shared) -> Result<(), JobsError> {
    let leases = worker.running.leases();
    let began = Instant::now();
    let asked = leases.clone();
    let beat = async move |tx: &mut Tx| Ok::<_, JobsError>(upkeep::beat(tx, &asked).await?);
    let held = worker.jobs.db.transact(Scope::Platform("prolong the leases of running jobs"), beat).await?;
    let held: HashMap<Uuid, _> = held.into_iter().map(|held| (held.id, held)).collect();
    let mut running = worker.running.jobs.lock();
    for lease in leases {
        let Some(entry) = running.get_mut(&lease) else { continue };
        match held.get(&lease.id.as_uuid()) {
            Some(held) => {
                if held.is_beaten {
                    entry.beaten_at = began;
                }
                if held.is_cancelled {
                    tell(entry, Stop::Cancelled);
                }
            }
            // Taken over, or ended by the handler itself (`complete_in`): either way there is nothing left to write.
            None => tell(entry, Stop::LeaseLost),
        }
    }
    Ok(())
}

async fn look_for_cancelled(worker: &Shared) -> Result<(), JobsError> {
    let mut tx = worker.jobs.db.begin_read(Scope::Platform("look for jobs that are called off")).await?;
    let called_off = upkeep::called_off(&mut tx).await?;
    tx.rollback().await?;
    let running = worker.running.jobs.lock();
    for (lease, entry) in running.iter() {
        if called_off.contains(&lease.id) {
            tell(entry, Stop::Cancelled);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nobody_says_that_a_job_lives_whose_task_panicked() {
        let running = Arc::new(Running::default());
        let lease = Lease { id: Uuid::nil().into(), token: Uuid::nil() };
        let (hold, _stop) = running.add(lease, Instant::now());
        assert_eq!(running.leases(), [lease]);
        let task = tokio::spawn(async move {
            let _hold = hold;
            panic!("a bug in the worker");
        });
        assert!(task.await.unwrap_err().is_panic());
        assert!(running.wait_empty(Duration::ZERO).await);
    }
}
