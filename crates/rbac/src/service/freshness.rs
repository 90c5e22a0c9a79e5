use std::{collections::HashMap, error::Error as StdError, future::Future, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;
use stylobate_core::{RequestContext, TenantId};
use stylobate_db::Scope;
use tokio::{sync::Notify, time::Instant};

use super::{Rbac, problems::Problems};
use crate::{
    Engine, Policy, PolicyUnavailable, RbacError,
    engine::{SHARDS, shard_of},
    store::{epochs, policy},
};

/// How often other processes' changes are looked for: leaves 600 ms of the promised second for looking and loading.
const FOLLOW_EVERY: Duration = Duration::from_millis(400);
/// How often expired rules are removed, and how long they are kept for administrators to see what somebody has lost.
const SWEEP_EVERY: Duration = Duration::from_secs(60 * 60);
const KEPT: TimeDelta = TimeDelta::days(30);
/// How far back each look goes beyond the last good one: the longest transaction, and how far clocks may differ.
const OVERLAP: TimeDelta = TimeDelta::seconds(60);
/// How often all epochs are compared, whatever their time says.
const COMPARE_ALL_EVERY: Duration = Duration::from_secs(60);
/// How long a demand for a newer policy may take.
const DEMAND_WAIT: Duration = Duration::from_secs(2);
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
    pub(super) problems: Problems,
    wake: Notify,
}

/// No policy is as new as was demanded.
#[derive(Debug, thiserror::Error)]
#[error("epoch {demanded} of the access policy was demanded, the newest is {newest}")]
struct Behind {
    demanded: i64,
    newest: i64,
}

/// The demand was not answered in time.
#[derive(Debug, thiserror::Error)]
#[error("the access policy could not be brought up to date in time")]
struct TooSlow;

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
            problems: Problems::default(),
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
        let Err(error) = self.bring_up_to_date(owner).await else { return Ok(()) };
        if self.engine.epoch(owner).is_none() {
            return Err(PolicyUnavailable(Box::new(error)));
        }
        let error: &dyn StdError = &error;
        tracing::warn!(error, "an older access policy keeps serving");
        Ok(())
    }

    async fn bring_up_to_date(&self, owner: Option<TenantId>) -> Result<(), RbacError> {
        if self.engine.is_current(owner) {
            return Ok(());
        }
        self.load(owner, |engine| engine.is_current(owner)).await?;
        // A tenant's load also learns how new the platform's policy is.
        if owner.is_some() && !self.engine.is_current(None) {
            self.load(None, |engine| engine.is_current(None)).await?;
        }
        Ok(())
    }

    /// Makes sure that checks for `tenant` see a policy in which its change of epoch `at_least` counts, and every change of
    /// the platform's policy that the same caller made before. Reads the epochs once when this process has heard of no such
    /// change.
    ///
    /// # Errors
    /// [`PolicyUnavailable`] when that policy cannot be read within two seconds, or there is no such epoch (yet): an epoch is
    /// handed out when its change has committed.
    pub async fn ensure_at_least(
        &self,
        tenant: Option<TenantId>,
        at_least: i64,
    ) -> Result<(), PolicyUnavailable> {
        if self.has_reached(tenant, at_least) {
            return Ok(());
        }
        let demand = async {
            let in_database = {
                let mut reader = self.db.read().await?;
                [
                    (None, epochs::find(&mut reader, None).await?),
                    (tenant, epochs::find(&mut reader, tenant).await?),
                ]
            };
            for (owner, epoch) in in_database {
                self.engine.note_epoch(owner, epoch);
            }
            self.bring_up_to_date(None).await?;
            self.bring_up_to_date(tenant).await
        };
        let unavailable = |error: Box<dyn StdError + Send + Sync>| Err(PolicyUnavailable(error));
        match tokio::time::timeout(DEMAND_WAIT, demand).await {
            Ok(Ok(())) if self.has_reached(tenant, at_least) => Ok(()),
            Ok(Ok(())) => {
                let newest = self.engine.epoch(tenant).unwrap_or_default();
                unavailable(Box::new(Behind { demanded: at_least, newest }))
            }
            Ok(Err(error)) => unavailable(Box::new(error)),
            Err(_) => unavailable(Box::new(TooSlow)),
        }
    }

    /// Whether what serves is the newest this process knows of, and no older than `at_least`.
    pub(super) fn has_reached(&self, tenant: Option<TenantId>, at_least: i64) -> bool {
        self.is_current(tenant) && self.engine.epoch(tenant).is_some_and(|epoch| epoch >= at_least)
    }

    pub(super) fn is_current(&self, tenant: Option<TenantId>) -> bool {
        self.engine.is_current(None) && (tenant.is_none() || self.engine.is_current(tenant))
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
        let policy::Rows { policy: rows, problems: mut unread } = policy::load(&mut tx, owner).await?;
        if owner.is_some() {
            // Of the same moment as the rows: whoever has seen this epoch of the tenant is never answered by an older
            // policy of the platform than its changes were made under.
            let platform = epochs::find(&mut tx, None).await?;
            self.engine.note_epoch(None, platform);
        }
        tx.rollback().await?;

        let size = rows.permissions.len()
            + rows.roles.len()
            + rows.grants.len()
            + rows.assignments.len()
            + rows.overrides.len()
            + rows.acls.len();
        let (snapshot, problems) = if size > COMPILE_INLINE_MAX || self.engine.is_slow_to_compile() {
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
        unread.extend(problems);
        self.freshness.problems.replace(&self.engine, owner, unread);
        Ok(())
    }

    /// Follows the changes of other processes until `shutdown` is done: looks for them every 400 ms, and at once when
    /// this process has made one; and removes what expired more than 30 days ago, once an hour. Run it in the background of
    /// every process that checks.
    pub async fn run(&self, shutdown: impl Future<Output = ()>) {
        // Neither a look that hangs nor a long sweep may hold up the other, or the shutdown.
        tokio::select! {
            biased;
            () = shutdown => {}
            () = self.follow_for_ever() => {}
            () = self.sweep_for_ever() => {}
        }
    }

    async fn sweep_for_ever(&self) {
        let context = RequestContext::system("rbac-sweep");
        loop {
            tokio::time::sleep(SWEEP_EVERY).await;
            if let Err(error) = self.sweep_expired(&context, KEPT).await {
                let error: &dyn StdError = &error;
                tracing::warn!(error, "expired access rules could not be removed; the next hour tries again");
            }
        }
    }

    async fn follow_for_ever(&self) {
        let mut healthy = true;
        loop {
            tokio::select! {
                () = self.freshness.wake.notified() => {}
                () = tokio::time::sleep(FOLLOW_EVERY) => {}
            }
            let looked = self.follow().await;
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

    /// The rows of a policy as they are in the database now, for `what_if` and exports. Those that cannot be read are left out
    /// where they allow.
    ///
    /// # Errors
    /// The database's own.
    pub async fn policy(&self, owner: Option<TenantId>) -> Result<Policy, RbacError> {
        let scope = owner.map_or(Scope::Platform("read the platform's access policy"), Scope::Tenant);
        let mut tx = self.db.begin_read(scope).await?;
        let rows = policy::load(&mut tx, owner).await?;
        tx.rollback().await?;
        Ok(rows.policy)
    }

    /// How long ago the snapshots were last known to be those of the database. Below one second while
    /// [`run`](Self::run) works and the database answers.
    #[must_use]
    pub fn staleness(&self) -> Duration {
        self.freshness.looked.lock().at.elapsed()
    }
}
