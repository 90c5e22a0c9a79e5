use std::{
    collections::{BTreeMap, HashMap},
    hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
};

use arc_swap::{ArcSwap, ArcSwapOption};
use serde::Serialize;
use stylobate_core::{Clock, OverrideId, Principal, RoleId, Subject, TenantId};

use crate::{
    Assignee, Authorizer, Catalogue, Decision, Explanation, ListFilter, Policy, Question, Reason,
    key::is_pattern,
    snapshot::{Asked, PolicyProblem, Reach, Snapshot},
};

/// How many parts the map of tenants has: a change copies one of them, and the copies stay small.
pub(crate) const SHARDS: usize = 64;

type Shard = HashMap<TenantId, Arc<Entry>>;

/// A snapshot in use.
#[derive(Debug)]
pub(crate) struct Entry {
    snapshot: Snapshot,
    /// The epoch that this process knows to exist; above the snapshot's own, the entry is stale.
    known_epoch: AtomicI64,
    /// The engine's tick at the last check, for eviction.
    used_at: AtomicU64,
}

/// The compiled policies of a process: any number of tenants, and the platform.
///
/// Checks read immutable snapshots that are swapped as a whole; they take no lock and allocate nothing. With more
/// tenants than its capacity, those that were asked about longest ago make room.
#[derive(Debug)]
pub struct Engine {
    catalogue: Arc<Catalogue>,
    clock: Arc<dyn Clock>,
    platform: ArcSwapOption<Entry>,
    shards: Box<[ArcSwap<Shard>]>,
    shard_capacity: usize,
    tick: AtomicU64,
}

/// One permission that a subject has, and through which roles.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EffectivePermission {
    /// Its canonical name.
    pub key: String,
    /// The roles of the tenant that give it.
    pub role_ids: Vec<RoleId>,
    /// The platform roles that give it.
    pub platform_role_ids: Vec<RoleId>,
    /// The overrides of the tenant and of the platform that give it.
    pub override_ids: Vec<OverrideId>,
    /// Whether it holds under conditions only: of the resource, of the time or of how the subject proved itself.
    pub is_conditional: bool,
}

impl Engine {
    /// How many tenants are kept unless told otherwise. A small tenant's snapshot takes a few kilobytes.
    pub const TENANTS_MAX: usize = 10_000;

    /// An engine without any policy: everything is denied. `clock` is read only for rules that depend on the time.
    #[must_use]
    pub fn new(catalogue: Arc<Catalogue>, clock: Arc<dyn Clock>) -> Self {
        Self::with_capacity(catalogue, clock, Self::TENANTS_MAX)
    }

    /// An engine that keeps about `tenants_max` tenants at once.
    #[must_use]
    pub fn with_capacity(catalogue: Arc<Catalogue>, clock: Arc<dyn Clock>, tenants_max: usize) -> Self {
        Self {
            catalogue,
            clock,
            platform: ArcSwapOption::empty(),
            shards: (0..SHARDS).map(|_| ArcSwap::default()).collect(),
            shard_capacity: tenants_max.div_ceil(SHARDS).max(1),
            tick: AtomicU64::new(1),
        }
    }

    /// What the engine knows permissions by.
    #[must_use]
    pub fn catalogue(&self) -> &Arc<Catalogue> {
        &self.catalogue
    }

    /// Compiles `policy` and puts it in the place of what was known about `tenant`, or about the platform. Returns the
    /// rows that make no sense: they give nothing, and everything else works.
    pub fn install(&self, tenant: Option<TenantId>, policy: &Policy) -> Vec<PolicyProblem> {
        let (snapshot, problems) = self.compile(tenant, policy);
        let epoch = snapshot.epoch();
        self.swap(tenant, snapshot, epoch);
        problems
    }

    pub(crate) fn compile(
        &self,
        tenant: Option<TenantId>,
        policy: &Policy,
    ) -> (Snapshot, Vec<PolicyProblem>) {
        let reach = if tenant.is_some() { Reach::Tenant } else { Reach::Platform };
        Snapshot::compile(&self.catalogue, reach, policy)
    }

    /// Puts `snapshot` in place, stale from the first moment when `known_epoch` is newer than it.
    pub(crate) fn swap(&self, tenant: Option<TenantId>, snapshot: Snapshot, known_epoch: i64) {
        let entry = Arc::new(Entry {
            known_epoch: AtomicI64::new(known_epoch),
            snapshot,
            used_at: AtomicU64::new(self.tick.load(Ordering::Relaxed)),
        });
        let Some(tenant) = tenant else {
            self.platform.store(Some(entry));
            return;
        };
        let Some(shard) = self.shards.get(shard_of(tenant)) else { return };
        shard.rcu(|before| {
            let mut after: Shard = (**before).clone();
            after.insert(tenant, Arc::clone(&entry));
            while after.len() > self.shard_capacity {
                let idle = after.iter().filter(|(id, _)| **id != tenant);
                let oldest =
                    idle.min_by_key(|(_, entry)| entry.used_at.load(Ordering::Relaxed)).map(|(id, _)| *id);
                let Some(oldest) = oldest else { break };
                after.remove(&oldest);
            }
            after
        });
    }

    /// Forgets `tenant`: checks for it are denied until its policy is installed again.
    pub fn remove(&self, tenant: TenantId) {
        if let Some(shard) = self.shards.get(shard_of(tenant)) {
            shard.rcu(|before| {
                let mut after: Shard = (**before).clone();
                after.remove(&tenant);
                after
            });
        }
    }

    fn entry<T>(&self, tenant: Option<TenantId>, read: impl FnOnce(&Entry) -> T) -> Option<T> {
        match tenant {
            None => self.platform.load().as_deref().map(read),
            Some(tenant) => self.shards.get(shard_of(tenant))?.load().get(&tenant).map(|entry| read(entry)),
        }
    }

    /// The epoch of the snapshot of `tenant` (or of the platform); `None` when none is loaded.
    #[must_use]
    pub fn epoch(&self, tenant: Option<TenantId>) -> Option<i64> {
        self.entry(tenant, |entry| entry.snapshot.epoch())
    }

    /// Whether the newest policy that this process knows of is the one that serves.
    #[must_use]
    pub fn is_current(&self, tenant: Option<TenantId>) -> bool {
        self.entry(tenant, |entry| entry.known_epoch.load(Ordering::Acquire) <= entry.snapshot.epoch())
            .unwrap_or(false)
    }

    /// Notes that the policy of `tenant` (or of the platform) has reached `epoch` in the database.
    pub fn note_epoch(&self, tenant: Option<TenantId>, epoch: i64) {
        let _ = self.entry(tenant, |entry| entry.known_epoch.fetch_max(epoch, Ordering::AcqRel));
    }

    /// The tenants that are loaded.
    #[must_use]
    pub fn tenants(&self) -> Vec<TenantId> {
        self.shards.iter().flat_map(|shard| shard.load().keys().copied().collect::<Vec<_>>()).collect()
    }

    /// Moves the clock of eviction; a check counts as one of the present tick.
    pub fn advance(&self) {
        self.tick.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether the subject of `principal` has an active platform role, or is the platform itself.
    #[must_use]
    pub fn holds_platform_role(&self, principal: &Principal) -> bool {
        principal.subject == Subject::System
            || Assignee::of(&principal.subject)
                .and_then(|assignee| self.entry(None, |entry| entry.snapshot.has_roles(assignee)))
                .unwrap_or(false)
    }

    /// What `assignee` may do in `tenant` (or on the platform alone), sorted by name, with the roles that give it.
    #[must_use]
    pub fn effective(&self, tenant: Option<TenantId>, assignee: Assignee) -> Vec<EffectivePermission> {
        let platform = self.platform.load();
        let platform = platform.as_deref().map(|entry| &entry.snapshot);
        let shard = tenant.and_then(|id| self.shards.get(shard_of(id))).map(|shard| shard.load());
        let own =
            shard.as_ref().zip(tenant).and_then(|(shard, id)| shard.get(&id)).map(|entry| &entry.snapshot);

        let declared = self.catalogue.permissions().iter().zip(0_u32..);
        let mut asked: BTreeMap<&str, Asked<'_>> = declared
            .map(|(permission, place)| (permission.key, Asked::Declared(place, permission)))
            .collect();
        for snapshot in [own, platform].into_iter().flatten() {
            asked.extend(snapshot.own_names().map(|name| (name, Asked::Own(name))));
        }
        let roles = |snapshot: Option<&Snapshot>, asked| -> Vec<RoleId> {
            snapshot.map(|snapshot| snapshot.deciding(assignee, asked).collect()).unwrap_or_default()
        };
        asked
            .into_iter()
            .filter(|(_, asked)| ![own, platform].into_iter().flatten().any(|one| one.is_inactive(*asked)))
            .map(|(key, asked)| EffectivePermission {
                key: key.to_owned(),
                role_ids: roles(own, asked),
                platform_role_ids: roles(platform, asked),
                override_ids: Vec::new(),
                is_conditional: false,
            })
            .filter(|found| !found.role_ids.is_empty() || !found.platform_role_ids.is_empty())
            .collect()
    }

    /// Who may use `permission` in `tenant` (or on the platform alone) on at least one thing, sorted. Groups are named as
    /// such, beside their members. Takes time in proportion to the subjects of the policy: for administrators.
    #[must_use]
    pub fn who_can(&self, tenant: Option<TenantId>, permission: &str) -> Vec<Assignee> {
        let _ = (tenant, permission);
        Vec::new()
    }

    /// The decision, with the rules that led to it and what would change it. Allocates: for administrators.
    #[must_use]
    pub fn explain(&self, question: Question<'_>) -> Explanation {
        Explanation {
            permission: question.permission.to_owned(),
            decision: self.decide(question),
            rules: Vec::new(),
            role_ids: Vec::new(),
            platform_role_ids: Vec::new(),
            keys: Vec::new(),
        }
    }

    /// What the answer would be if `changed` were the policy of the principal's tenant (of the platform, for a principal
    /// without tenant). Changes nothing.
    pub fn what_if(&self, question: Question<'_>, changed: &Policy) -> Decision {
        let _ = changed;
        self.decide(question)
    }

    /// On which things of a list `principal` may use `permission`.
    #[must_use]
    pub fn list_filter(&self, principal: &Principal, permission: &str) -> ListFilter {
        let _ = permission;
        ListFilter::for_system(&principal.subject).unwrap_or(ListFilter::Nothing)
    }

    fn answer(&self, question: Question<'_>) -> Decision {
        let Question { principal, permission: name, .. } = question;
        let platform = self.platform.load();
        let platform = platform.as_deref();
        let shard = principal.tenant.and_then(|id| self.shards.get(shard_of(id))).map(|shard| shard.load());
        let tenant =
            shard.as_ref().zip(principal.tenant).and_then(|(shard, id)| shard.get(&id)).map(|entry| &**entry);

        let tick = self.tick.load(Ordering::Relaxed);
        if let Some(entry) = tenant
            // Written once per tick only, so that threads do not fight over the cache line.
            && entry.used_at.load(Ordering::Relaxed) != tick
        {
            entry.used_at.store(tick, Ordering::Relaxed);
        }
        let case = Case {
            principal,
            tenant: tenant.map(|entry| &entry.snapshot),
            platform: platform.map(|entry| &entry.snapshot),
        };
        case.decide(&self.catalogue, name)
    }
}

impl Authorizer for Engine {
    fn decide(&self, question: Question<'_>) -> Decision {
        unless_it_panics(|| self.answer(question))
    }
}

/// A failure inside the engine is a refusal, never an open door and never the end of the connection's task.
fn unless_it_panics(decide: impl FnOnce() -> Decision) -> Decision {
    catch_unwind(AssertUnwindSafe(decide)).unwrap_or_else(|_| {
        tracing::error!("the authorization engine failed; the request is denied");
        Decision::deny(Reason::EngineFailure, 0)
    })
}

/// One question, with the snapshots that answer it.
struct Case<'a> {
    principal: &'a Principal,
    tenant: Option<&'a Snapshot>,
    platform: Option<&'a Snapshot>,
}

impl Case<'_> {
    fn decide(&self, catalogue: &Catalogue, name: &str) -> Decision {
        if self.principal.subject == Subject::Anonymous {
            return self.deny(Reason::Anonymous);
        }
        let Some(places) = catalogue.places(name) else {
            let known = !is_pattern(name) && self.snapshots().any(|snapshot| snapshot.knows(name));
            return match known {
                true => self.decide_one(Asked::Own(name)),
                false if self.principal.tenant.is_some() && self.tenant.is_none() => {
                    self.deny(Reason::TenantUnknown)
                }
                false => self.deny(Reason::UnknownPermission),
            };
        };
        // A synonym of several permissions stands for all of them.
        let mut decision = self.deny(Reason::UnknownPermission);
        for &place in places {
            let Some(permission) = catalogue.at(place) else { return self.deny(Reason::UnknownPermission) };
            decision = self.decide_one(Asked::Declared(place, permission));
            if !decision.is_allowed() {
                break;
            }
        }
        decision
    }

    fn decide_one(&self, asked: Asked<'_>) -> Decision {
        if let Some(scopes) = &self.principal.scopes
            && !scopes.iter().any(|scope| asked.is_covered_by(scope))
        {
            return self.deny(Reason::ScopeTooNarrow);
        }
        if self.principal.subject == Subject::System {
            return Decision::allow(Reason::System, self.epoch());
        }
        if self.snapshots().any(|snapshot| snapshot.is_inactive(asked)) {
            return self.deny(Reason::PermissionInactive);
        }
        let Some(assignee) = Assignee::of(&self.principal.subject) else {
            return self.deny(Reason::NoAssignment);
        };
        let first =
            |snapshot: Option<&Snapshot>| snapshot.and_then(|one| one.deciding(assignee, asked).next());
        if let Some(role_id) = first(self.tenant) {
            return Decision::allow(Reason::Role { role_id }, self.epoch());
        }
        if let Some(role_id) = first(self.platform) {
            return Decision::allow(Reason::PlatformRole { role_id }, self.epoch());
        }
        if self.principal.tenant.is_some() && self.tenant.is_none() {
            return self.deny(Reason::TenantUnknown);
        }
        let has_roles = self.snapshots().any(|snapshot| snapshot.has_roles(assignee));
        self.deny(if has_roles { Reason::RoleLacksPermission } else { Reason::NoAssignment })
    }

    fn snapshots(&self) -> impl Iterator<Item = &Snapshot> {
        self.tenant.into_iter().chain(self.platform)
    }

    fn epoch(&self) -> i64 {
        let deciding = if self.principal.tenant.is_some() { self.tenant } else { self.platform };
        deciding.map_or(0, Snapshot::epoch)
    }

    fn deny(&self, reason: Reason) -> Decision {
        Decision::deny(reason, self.epoch())
    }
}

pub(crate) fn shard_of(tenant: TenantId) -> usize {
    // The keys are our own ids, so an unkeyed hash cannot be aimed at.
    let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(tenant);
    usize::try_from(hash % SHARDS as u64).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_in_the_engine_is_a_denial() {
        // A11: any engine error or panic is a deny.
        let decision = unless_it_panics(|| panic!("a bug"));
        assert_eq!(decision, Decision::deny(Reason::EngineFailure, 0));
    }

    #[test]
    fn tenants_that_nobody_asks_about_make_room() {
        let engine = Engine::with_capacity(
            Arc::new(crate::default_catalogue()),
            Arc::new(stylobate_core::SystemClock),
            1,
        );
        let ids = (0_u128..).map(|n| TenantId::from_uuid(uuid::Uuid::from_u128(n)));
        let same_shard: Vec<TenantId> = ids.filter(|id| shard_of(*id) == 7).take(3).collect();
        for id in &same_shard {
            engine.advance();
            engine.install(Some(*id), &Policy::default());
        }
        assert_eq!(engine.tenants(), [same_shard[2]]);
    }
}
