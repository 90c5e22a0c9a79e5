mod follow;
mod loads;

use std::{
    error::Error as StdError,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use parking_lot::Mutex;
use stylobate_core::TenantId;
use stylobate_db::Scope;
use tokio::time::Instant;

use self::loads::{Loads, NotLoaded, Patience, WAIT_MAX};
use super::{Rbac, problems::Problems};
use crate::{
    Engine, Policy, PolicyUnavailable, RbacError,
    store::{
        epochs::{self, Mark},
        policy,
    },
};

/// How long a demand for a newer policy may take.
const DEMAND_WAIT: Duration = Duration::from_secs(2);
/// From this many rows on, compiling would hold up the other tasks of its thread for more than a few milliseconds.
const COMPILE_INLINE_MAX: usize = 10_000;

/// What a process knows about the age of its snapshots.
#[derive(Debug)]
pub(super) struct Freshness {
    loads: Loads,
    /// How many loads have begun.
    loads_begun: AtomicU64,
    looked: Mutex<Looked>,
    pub(super) problems: Problems,
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

/// The last look at what other processes changed.
#[derive(Debug)]
struct Looked {
    at: Instant,
    /// Up to where it saw everything.
    mark: Option<Mark>,
    compared_all_at: Option<Instant>,
}

impl Freshness {
    pub(super) fn new() -> Self {
        Self {
            loads: Loads::default(),
            loads_begun: AtomicU64::new(0),
            looked: Mutex::new(Looked { at: Instant::now(), mark: None, compared_all_at: None }),
            problems: Problems::default(),
        }
    }

    /// Marks the snapshot of `owner` stale if it is older than `epoch`.
    pub(super) fn note(&self, engine: &Engine, owner: Option<TenantId>, epoch: i64) {
        self.loads.note(owner, epoch);
        engine.note_epoch(owner, epoch);
    }
}

impl Rbac {
    /// Makes sure that checks for `tenant` see the newest policy this process knows of. Returns at once when they do;
    /// otherwise reads it, once however many ask. Where an older policy could answer, it waits two seconds at most, and
    /// not at all after a load that failed: that one is tried again once a second.
    ///
    /// # Errors
    /// [`PolicyUnavailable`] when there is no policy at all and none can be read. An older one keeps serving.
    pub async fn ensure(&self, tenant: Option<TenantId>) -> Result<(), PolicyUnavailable> {
        let all = self.ensure_all(tenant);
        if self.serves(None) && (tenant.is_none() || self.serves(tenant)) {
            // The loads go on: they are tasks of their own.
            return tokio::time::timeout(WAIT_MAX, all).await.unwrap_or(Ok(()));
        }
        all.await
    }

    /// Whether there is a policy of `owner`, be it an old one.
    fn serves(&self, owner: Option<TenantId>) -> bool {
        self.engine.epoch(owner).is_some()
    }

    async fn ensure_all(&self, tenant: Option<TenantId>) -> Result<(), PolicyUnavailable> {
        self.ensure_one(None).await?;
        if tenant.is_some() {
            self.ensure_one(tenant).await?;
            // A tenant's load also learns how new the platform's policy is.
            self.ensure_one(None).await?;
        }
        Ok(())
    }

    async fn ensure_one(&self, owner: Option<TenantId>) -> Result<(), PolicyUnavailable> {
        if self.engine.is_current(owner) {
            return Ok(());
        }
        let serves = self.serves(owner);
        match self.freshness.loads.failure(owner) {
            Some(failed) if serves => {
                if failed.is_due() {
                    self.begin_load(owner);
                }
                return Ok(());
            }
            Some(failed) if !failed.is_due() => return Err(PolicyUnavailable(Box::new(failed))),
            _ => {}
        }
        let patience = if serves { Patience::Short } else { Patience::Long };
        let loaded = self.load_newer(owner, patience).await;
        match loaded {
            Err(error) if !self.serves(owner) => Err(PolicyUnavailable(Box::new(error))),
            _ => Ok(()),
        }
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
            // What is newer counts too, if it can be had soon.
            return self.ensure(tenant).await;
        }
        let met = tokio::time::timeout(DEMAND_WAIT, self.meet_demand(tenant)).await;
        // What is older than the newest, but not than the demand, answers it.
        if self.has_reached(tenant, at_least) {
            return Ok(());
        }
        match met {
            Ok(Ok(())) => {
                let newest = self.engine.epoch(tenant).unwrap_or_default();
                Err(PolicyUnavailable(Box::new(Behind { demanded: at_least, newest })))
            }
            Ok(Err(error)) => Err(error),
            Err(_) => Err(PolicyUnavailable(Box::new(TooSlow))),
        }
    }

    async fn meet_demand(&self, tenant: Option<TenantId>) -> Result<(), PolicyUnavailable> {
        let in_database = async {
            let mut reader = self.db.read().await?;
            let platform = epochs::find(&mut reader, None).await?;
            Ok::<_, RbacError>([(None, platform), (tenant, epochs::find(&mut reader, tenant).await?)])
        };
        for (owner, epoch) in in_database.await.map_err(|error| PolicyUnavailable(Box::new(error)))? {
            self.freshness.note(&self.engine, owner, epoch);
        }
        for owner in [None, tenant, None] {
            let failed = self.freshness.loads.failure(owner).filter(|failed| !failed.is_due());
            let loaded = match failed {
                Some(failed) if !self.engine.is_current(owner) => Err(NotLoaded::from(failed)),
                _ => self.load_newer(owner, Patience::Long).await,
            };
            loaded.map_err(|error| PolicyUnavailable(Box::new(error)))?;
        }
        Ok(())
    }

    /// Whether what serves is no older than `at_least`, and of the platform the newest this process knows of.
    pub(super) fn has_reached(&self, tenant: Option<TenantId>, at_least: i64) -> bool {
        self.engine.is_current(None) && self.engine.epoch(tenant).is_some_and(|epoch| epoch >= at_least)
    }

    pub(super) fn is_current(&self, tenant: Option<TenantId>) -> bool {
        self.engine.is_current(None) && (tenant.is_none() || self.engine.is_current(tenant))
    }

    /// After a change of this process: what it did counts here when the call returns. A snapshot nobody asked for stays
    /// unloaded.
    pub(super) async fn settle(&self, owner: Option<TenantId>) {
        // A load under way may have read from before the change, so it counts as one that somebody asked for.
        if !self.serves(owner) && !self.freshness.loads.is_running(owner) {
            return;
        }
        for owner in [owner, None] {
            if let Err(error) = self.load_newer(owner, Patience::Long).await {
                let error: &dyn StdError = &error;
                tracing::warn!(error, "the access policy could not be loaded after a change");
            }
        }
    }

    /// Reads the policy of `owner` and puts it in place. Called by [`loads`] alone.
    async fn load(&self, owner: Option<TenantId>) -> Result<(), RbacError> {
        self.freshness.loads_begun.fetch_add(1, Ordering::Relaxed);
        let scope = owner.map_or(Scope::Platform("load the platform's access policy"), Scope::Tenant);
        let mut tx = self.db.begin_read(scope).await?;
        let policy::Rows { policy: rows, problems: mut unread } = policy::load(&mut tx, owner).await?;
        if owner.is_some() {
            // Of the same moment as the rows: whoever has seen this epoch of the tenant is never answered by an older
            // policy of the platform than its changes were made under.
            let platform = epochs::find(&mut tx, None).await?;
            self.freshness.note(&self.engine, None, platform);
        }
        tx.rollback().await?;

        let size = rows.permissions.len()
            + rows.roles.len()
            + rows.grants.len()
            + rows.assignments.len()
            + rows.overrides.len()
            + rows.acls.len()
            + rows.members.len();
        let (snapshot, problems) = if size > COMPILE_INLINE_MAX || self.engine.is_slow_to_compile() {
            let engine = self.engine.clone();
            let compiled = tokio::task::spawn_blocking(move || engine.compile(owner, &rows)).await;
            compiled.map_err(|error| stylobate_db::Error::Engine(Box::new(error)))?
        } else {
            self.engine.compile(owner, &rows)
        };
        // Under the lock that notes are taken under: a change that committed during the load makes the snapshot stale before
        // anybody can ask it.
        self.freshness.loads.with_noted(owner, |noted| {
            let known = noted.max(snapshot.epoch());
            self.engine.swap(owner, snapshot, known);
        });
        unread.extend(problems);
        self.freshness.problems.replace(&self.engine, owner, unread);
        Ok(())
    }

    /// How often a policy was read since the start.
    #[must_use]
    pub fn loads(&self) -> u64 {
        self.freshness.loads_begun.load(Ordering::Relaxed)
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
}
