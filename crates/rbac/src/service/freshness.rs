use std::{collections::HashMap, error::Error as StdError, future::Future, pin::pin, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;
use stylobate_core::TenantId;
use stylobate_db::Scope;
use tokio::{sync::Notify, time::Instant};

use super::Rbac;
use crate::{
    Engine, PolicyUnavailable, RbacError,
    engine::{SHARDS, shard_of},
    store::{epochs, policy},
};

/// How often other processes' changes are looked for: leaves 600 ms of the promised second for looking and loading.
const FOLLOW_EVERY: Duration = Duration::from_millis(400);
/// How far back each look goes beyond the last good one: the longest transaction, and how far clocks may differ.
const OVERLAP: TimeDelta = TimeDelta::seconds(60);
/// How often all epochs are compared, whatever their time says.
const COMPARE_ALL_EVERY: Duration = Duration::from_secs(60);
/// From this many rows on, compiling would hold up the other tasks of its thread for more than a few milliseconds.
const COMPILE_INLINE_MAX: usize = 10_000;

/// What a process knows about the age of its snapshots.
#[derive(Debug)]
pub(super) struct Freshness {
    /// One load at a time per part of the tenants, and one for the platform: nobody loads twice what another is loading.
    gates: Vec<tokio::sync::Mutex<()>>,
    /// The policies being loaded now, with the highest epoch that was noted meanwhile.
    loading: Mutex<HashMap<Option<TenantId>, i64>>,
    looked: Mutex<Looked>,
    wake: Notify,
}

#[derive(Debug)]
struct Looked {
    at: Instant,
    clock: DateTime<Utc>,
    compared_all_at: Option<Instant>,
}

impl Freshness {
    pub(super) fn new(now: DateTime<Utc>) -> Self {
        Self {
            gates: (0..=SHARDS).map(|_| tokio::sync::Mutex::new(())).collect(),
            loading: Mutex::new(HashMap::new()),
            looked: Mutex::new(Looked { at: Instant::now(), clock: now, compared_all_at: None }),
            wake: Notify::new(),
        }
    }

    /// Marks the snapshot of `owner` stale if it is older than `epoch`.
    pub(super) fn note(&self, engine: &Engine, owner: Option<TenantId>, epoch: i64) {
        if let Some(noted) = self.loading.lock().get_mut(&owner) {
            *noted = (*noted).max(epoch);
        }
        engine.note_epoch(owner, epoch);
        self.wake.notify_one();
    }

    fn gate(&self, owner: Option<TenantId>) -> Option<&tokio::sync::Mutex<()>> {
        self.gates.get(owner.map_or(SHARDS, shard_of))
    }
}

/// Takes a policy off the list of those being loaded, also when the load is cancelled.
struct Loading<'a>(&'a Rbac, Option<TenantId>);

impl Drop for Loading<'_> {
    fn drop(&mut self) {
        let Self(rbac, owner) = self;
        // A change that committed during the load may be missing from it.
        if let Some(noted) = rbac.freshness.loading.lock().remove(owner) {
            rbac.engine.note_epoch(*owner, noted);
        }
    }
}

impl Rbac {
    /// Makes sure that checks for `tenant` see the newest policy this process knows of. Returns at once when they do;
    /// otherwise reads it, once however many ask.
    ///
    /// # Errors
    /// [`PolicyUnavailable`] when there is no policy at all and none can be read. An older one keeps serving.
    pub async fn ensure(&self, tenant: Option<TenantId>) -> Result<(), PolicyUnavailable> {
        self.ensure_one(None).await?;
        if tenant.is_some() {
            self.ensure_one(tenant).await?;
        }
        Ok(())
    }

    async fn ensure_one(&self, owner: Option<TenantId>) -> Result<(), PolicyUnavailable> {
        if self.engine.is_current(owner) {
            return Ok(());
        }
        let Err(error) = self.load(owner, |engine| engine.is_current(owner)).await else { return Ok(()) };
        if self.engine.epoch(owner).is_none() {
            return Err(PolicyUnavailable(Box::new(error)));
        }
        let error: &dyn StdError = &error;
        tracing::warn!(error, "an older access policy keeps serving");
        Ok(())
    }

    /// After a change of this process: what it did counts here when the call returns. A snapshot nobody asked for stays
    /// unloaded.
    pub(super) async fn settle(&self, owner: Option<TenantId>) {
        // A load under way may have read from before the change, so it counts as one that somebody asked for.
        let wanted = self.engine.epoch(owner).is_some() || self.freshness.loading.lock().contains_key(&owner);
        if wanted && let Err(error) = self.ensure_one(owner).await {
            let error: &dyn StdError = &error;
            tracing::warn!(error, "the access policy could not be loaded after a change");
        }
    }

    async fn load(
        &self,
        owner: Option<TenantId>,
        is_done: impl Fn(&Engine) -> bool,
    ) -> Result<(), RbacError> {
        let Some(gate) = self.freshness.gate(owner) else { return Ok(()) };
        let _gate = gate.lock().await;
        if is_done(&self.engine) {
            return Ok(());
        }
        self.freshness.loading.lock().insert(owner, 0);
        let _loading = Loading(self, owner);
        let scope = owner.map_or(Scope::Platform("load the platform's access policy"), Scope::Tenant);
        let mut tx = self.db.begin_read(scope).await?;
        let rows = policy::load(&mut tx, owner).await?;
        tx.rollback().await?;

        let size = rows.permissions.len() + rows.roles.len() + rows.grants.len() + rows.assignments.len();
        let (snapshot, problems) = if size > COMPILE_INLINE_MAX {
            let engine = self.engine.clone();
            let compiled = tokio::task::spawn_blocking(move || engine.compile(owner, &rows)).await;
            compiled.map_err(|error| stylobate_db::Error::Engine(Box::new(error)))?
        } else {
            self.engine.compile(owner, &rows)
        };
        {
            // Under the lock that notes are taken under: a change that committed during the load makes the snapshot stale
            // before anybody can ask it.
            let loading = self.freshness.loading.lock();
            let noted = loading.get(&owner).copied().unwrap_or_default();
            let known = noted.max(snapshot.epoch());
            self.engine.swap(owner, snapshot, known);
        }
        if let Some(first) = problems.first() {
            let (tenant, count) = (owner.map(|id| id.to_string()), problems.len());
            tracing::warn!(tenant, count, ?first, "rows of the access policy make no sense and give nothing");
        }
        Ok(())
    }

    /// Follows the changes of other processes until `shutdown` is done: looks for them every 400 ms, and at once when
    /// this process has made one. Run it in the background of every process that checks.
    pub async fn run(&self, shutdown: impl Future<Output = ()>) {
        let mut shutdown = pin!(shutdown);
        let mut healthy = true;
        loop {
            tokio::select! {
                biased;
                () = &mut shutdown => return,
                () = self.freshness.wake.notified() => {}
                () = tokio::time::sleep(FOLLOW_EVERY) => {}
            }
            // A look that hangs must not hold up the shutdown.
            let looked = tokio::select! {
                biased;
                () = &mut shutdown => return,
                looked = self.follow() => looked,
            };
            // Said once per outage, not once per look.
            match &looked {
                Err(error) if healthy => {
                    let error: &dyn StdError = error;
                    tracing::warn!(
                        error,
                        "changes of access policies cannot be followed; the last ones keep serving"
                    );
                }
                Ok(()) if !healthy => tracing::info!("changes of access policies are followed again"),
                _ => {}
            }
            healthy = looked.is_ok();
        }
    }

    /// Looks once for changes of other processes and loads what changed. [`run`](Self::run) does this for ever.
    ///
    /// # Errors
    /// The database's own, also when only one of several policies could not be loaded.
    pub async fn follow(&self) -> Result<(), RbacError> {
        let (started, clock) = (Instant::now(), self.now());
        let (since, compare_all) = {
            let looked = self.freshness.looked.lock();
            let due = looked.compared_all_at.is_none_or(|at| at.elapsed() >= COMPARE_ALL_EVERY);
            (looked.clock - OVERLAP, due)
        };
        self.engine.advance();
        let mut changed = Vec::new();
        let is_news = |(owner, epoch): &epochs::OwnerEpoch| {
            self.engine.epoch(*owner).is_some_and(|loaded| loaded != *epoch)
        };
        {
            let mut reader = self.db.read().await?;
            if compare_all {
                let mut page = epochs::page(&mut reader, None).await?;
                while let Some(last) = page.last().copied() {
                    changed.extend(page.into_iter().filter(is_news));
                    page = epochs::page(&mut reader, Some(last)).await?;
                }
            } else {
                changed.extend(epochs::changed(&mut reader, since).await?.into_iter().filter(is_news));
            }
        }
        // Marked first, so that guards ask for the new policy even while others are being loaded.
        for &(owner, epoch) in &changed {
            self.engine.note_epoch(owner, epoch);
        }
        let mut result = Ok(());
        for (owner, epoch) in changed {
            if let Err(error) = self.load(owner, |engine| engine.epoch(owner) == Some(epoch)).await {
                result = Err(error);
            }
        }
        if result.is_ok() {
            let mut looked = self.freshness.looked.lock();
            (looked.at, looked.clock) = (started, clock);
            if compare_all {
                looked.compared_all_at = Some(started);
            }
        }
        result
    }

    /// How long ago the snapshots were last known to be those of the database. Below one second while
    /// [`run`](Self::run) works and the database answers.
    #[must_use]
    pub fn staleness(&self) -> Duration {
        self.freshness.looked.lock().at.elapsed()
    }
}
