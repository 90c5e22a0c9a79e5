//! Loads of policies: one at a time for each, however many ask, and none that somebody's impatience ends.

use std::{collections::HashMap, error::Error as StdError, sync::Arc, time::Duration};

use parking_lot::Mutex;
use stylobate_core::TenantId;
use tokio::{sync::watch, time::Instant};

use super::super::Rbac;
use crate::{Engine, RbacError};

/// How long whoever asks waits for a load while an older policy could answer.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(2);
/// How soon after a load that failed a request may begin the next one.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// From how many policies on those are forgotten whose loads failed longer ago than that.
const FAILED_MAX: usize = 1_000;

/// The policies that are being loaded, and those that could not be.
#[derive(Debug, Default)]
pub(super) struct Loads(Mutex<HashMap<Option<TenantId>, State>>);

#[derive(Debug, Default)]
struct State {
    running: Option<Running>,
    failed: Option<Failed>,
}

#[derive(Debug)]
struct Running {
    load: Load,
    /// The highest epoch that was noted meanwhile.
    noted: i64,
}

/// A load under way.
#[derive(Debug, Clone)]
struct Load {
    began: Instant,
    ended: watch::Receiver<()>,
}

/// How the last load of a policy failed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the access policy could not be loaded")]
pub(super) struct Failed {
    source: Arc<RbacError>,
    retry_at: Instant,
}

/// Why what was asked for is not loaded.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotLoaded {
    #[error(transparent)]
    Failed(#[from] Failed),
    #[error("the access policy takes long to load")]
    Slow,
}

/// The task of a load ended before the load.
#[derive(Debug, thiserror::Error)]
#[error("the load was given up")]
struct GivenUp;

/// How long to wait for a load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Patience {
    /// As a request that an older policy could answer.
    Short,
    /// As long as the database takes.
    Long,
}

impl Failed {
    /// Whether it is time to try again.
    pub(super) fn is_due(&self) -> bool {
        self.retry_at <= Instant::now()
    }
}

impl Loads {
    /// Notes that the policy of `owner` has reached `epoch`: a load under way may have read from before that.
    pub(super) fn note(&self, owner: Option<TenantId>, epoch: i64) {
        if let Some(running) = self.0.lock().get_mut(&owner).and_then(|state| state.running.as_mut()) {
            running.noted = running.noted.max(epoch);
        }
    }

    pub(super) fn is_running(&self, owner: Option<TenantId>) -> bool {
        self.0.lock().get(&owner).is_some_and(|state| state.running.is_some())
    }

    /// How the last load failed, if it did.
    pub(super) fn failure(&self, owner: Option<TenantId>) -> Option<Failed> {
        self.0.lock().get(&owner)?.failed.clone()
    }

    /// Hands the highest epoch of `owner` that was noted since its load began to `put`, before the next note.
    pub(super) fn with_noted(&self, owner: Option<TenantId>, put: impl FnOnce(i64)) {
        let states = self.0.lock();
        let running = states.get(&owner).and_then(|state| state.running.as_ref());
        put(running.map_or(0, |running| running.noted));
    }
}

impl Load {
    /// Whether it ended in time.
    async fn wait(mut self, patience: Patience) -> bool {
        // An error is the sender's end, which is what is waited for.
        let most = match patience {
            Patience::Short => WAIT_MAX,
            Patience::Long => {
                let _ = self.ended.changed().await;
                return true;
            }
        };
        tokio::time::timeout_at(self.began + most, self.ended.changed()).await.is_ok()
    }
}

/// Ends a load, also one whose task is dropped.
struct Ending {
    rbac: Rbac,
    owner: Option<TenantId>,
    outcome: Result<(), RbacError>,
    /// Wakes who waits, when it is dropped: after the rest.
    _ended: watch::Sender<()>,
}

impl Drop for Ending {
    fn drop(&mut self) {
        let outcome = std::mem::replace(&mut self.outcome, Ok(()));
        let engine: &Engine = &self.rbac.engine;
        let mut states = self.rbac.freshness.loads.0.lock();
        let state = states.entry(self.owner).or_default();
        if let Some(running) = state.running.take() {
            // A change that committed during the load may be missing from it.
            engine.note_epoch(self.owner, running.noted);
        }
        let Err(error) = outcome else {
            states.remove(&self.owner);
            return;
        };
        if state.failed.is_none() {
            // Said once per outage, not once per try.
            let (tenant, error): (_, &dyn StdError) = (self.owner.map(|id| id.to_string()), &error);
            tracing::warn!(
                tenant,
                error,
                "an access policy could not be loaded; an older one serves, where there is one"
            );
        }
        state.failed = Some(Failed { source: Arc::new(error), retry_at: Instant::now() + RETRY_AFTER });
        if states.len() > FAILED_MAX {
            let is_kept = |state: &State| {
                state.running.is_some() || state.failed.as_ref().is_some_and(|failed| !failed.is_due())
            };
            states.retain(|_, state| is_kept(state));
        }
    }
}

impl Rbac {
    /// Begins to load the policy of `owner`, unless that is under way.
    pub(super) fn begin_load(&self, owner: Option<TenantId>) {
        self.join_load(owner);
    }

    /// The load of the policy of `owner` that is under way, or a new one; tells whether it is new.
    fn join_load(&self, owner: Option<TenantId>) -> (Load, bool) {
        let (sender, ended) = watch::channel(());
        let load = Load { began: Instant::now(), ended };
        {
            let mut states = self.freshness.loads.0.lock();
            let state = states.entry(owner).or_default();
            if let Some(running) = &state.running {
                return (running.load.clone(), false);
            }
            state.running = Some(Running { load: load.clone(), noted: 0 });
        }
        let outcome = Err(stylobate_db::Error::Engine(Box::new(GivenUp)).into());
        let mut ending = Ending { rbac: self.clone(), owner, outcome, _ended: sender };
        // A task of its own: a request that is given up must not end a load that others wait for.
        tokio::spawn(async move {
            ending.outcome = ending.rbac.load(owner).await;
            drop(ending);
        });
        (load, true)
    }

    /// Loads the policy of `owner`, unless what serves is the newest that this process knows of.
    pub(super) async fn load_newer(
        &self,
        owner: Option<TenantId>,
        patience: Patience,
    ) -> Result<(), NotLoaded> {
        self.load_unless(owner, patience, || self.engine.is_current(owner)).await
    }

    /// Loads the policy of `owner`, unless what serves is of `epoch`, be that a smaller one: the database may be a backup.
    pub(super) async fn load_epoch(
        &self,
        owner: Option<TenantId>,
        epoch: i64,
        patience: Patience,
    ) -> Result<(), NotLoaded> {
        if let Some(failed) = self.freshness.loads.failure(owner).filter(|failed| !failed.is_due()) {
            return Err(failed.into());
        }
        self.load_unless(owner, patience, || self.engine.epoch(owner) == Some(epoch)).await
    }

    async fn load_unless(
        &self,
        owner: Option<TenantId>,
        patience: Patience,
        is_there: impl Fn() -> bool,
    ) -> Result<(), NotLoaded> {
        while !is_there() {
            let (load, is_new) = self.join_load(owner);
            if !load.wait(patience).await {
                return Err(NotLoaded::Slow);
            }
            if let Some(failed) = self.freshness.loads.failure(owner) {
                return Err(failed.into());
            }
            // A load that was under way may have read from before what is wanted; one that began here has not.
            if is_new {
                break;
            }
        }
        Ok(())
    }
}
