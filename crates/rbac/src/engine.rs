mod answers;
mod list;

use std::{
    cell::Cell,
    collections::HashMap,
    ops::ControlFlow,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
};

use arc_swap::{ArcSwap, ArcSwapOption, Guard};
use chrono::{DateTime, Utc};
use stylobate_core::{Clock, Principal, Subject, TenantId};

use crate::{
    Assignee, Authorizer, Catalogue, Decision, Effect, Missing, Policy, PolicyProblem, Question, Reason,
    condition::Circumstances,
    index::Seed,
    key::is_pattern,
    snapshot::{Asked, Reach, Snapshot, Things},
};

pub use answers::EffectivePermission;

/// How many parts the map of tenants has: a change copies one of them, and the copies stay small.
const SHARDS: usize = 64;

type Shard = HashMap<TenantId, Arc<InUse>, Seed>;

/// A snapshot in use.
#[derive(Debug)]
pub(crate) struct InUse {
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
    platform: ArcSwapOption<InUse>,
    shards: Box<[ArcSwap<Shard>]>,
    shard_capacity: usize,
    tick: AtomicU64,
    #[cfg(feature = "casbin")]
    by_casbin: bool,
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
            #[cfg(feature = "casbin")]
            by_casbin: false,
        }
    }

    /// The same engine with [casbin](https://casbin.org) in the place of its own rules: each policy installed from now on is
    /// also loaded into casbin, which then says whether a rule allows or denies. Everything around stays: scopes, synonyms,
    /// inactive permissions, conditions (handed to casbin as facts), the platform before the tenant; so do lists of what
    /// somebody may do, filters and explanations, which casbin has none of.
    ///
    /// Checks then allocate, take time in proportion to the policy, and wait for each other when a rule has just expired.
    #[cfg(feature = "casbin")]
    #[must_use]
    pub fn with_casbin(mut self) -> Self {
        self.by_casbin = true;
        self
    }

    /// Whether even a small policy takes too long to compile on a thread that others wait for.
    #[cfg(feature = "sql")]
    pub(crate) fn is_slow_to_compile(&self) -> bool {
        #[cfg(feature = "casbin")]
        return self.by_casbin;
        #[cfg(not(feature = "casbin"))]
        false
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
        let reach = Reach::of(tenant);
        #[cfg(feature = "casbin")]
        if self.by_casbin {
            let (mut snapshot, problems) = Snapshot::compile(&self.catalogue, reach, policy);
            snapshot.casbin =
                Some(crate::casbin::Tier::new(&self.catalogue, tenant, policy, self.clock.now()));
            return (snapshot, problems);
        }
        Snapshot::compile(&self.catalogue, reach, policy)
    }

    /// Puts `snapshot` in place, stale from the first moment when `known_epoch` is newer than it.
    pub(crate) fn swap(&self, tenant: Option<TenantId>, snapshot: Snapshot, known_epoch: i64) {
        let entry = Arc::new(InUse {
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

    fn entry<T>(&self, tenant: Option<TenantId>, read: impl FnOnce(&InUse) -> T) -> Option<T> {
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
    #[cfg(any(feature = "sql", test))]
    pub(crate) fn note_epoch(&self, tenant: Option<TenantId>, epoch: i64) {
        let _ = self.entry(tenant, |entry| entry.known_epoch.fetch_max(epoch, Ordering::AcqRel));
    }

    /// The tenants that are loaded.
    #[must_use]
    pub fn tenants(&self) -> Vec<TenantId> {
        self.shards.iter().flat_map(|shard| shard.load().keys().copied().collect::<Vec<_>>()).collect()
    }

    /// Moves the clock of eviction; a check counts as one of the present tick.
    #[cfg(any(feature = "sql", test))]
    pub(crate) fn advance(&self) {
        self.tick.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether the subject of `principal` has an active platform role, or is the platform itself.
    #[must_use]
    pub fn holds_platform_role(&self, principal: &Principal) -> bool {
        let has =
            |assignee| self.entry(None, |entry| entry.snapshot.has_roles(assignee, || self.clock.now()));
        principal.subject == Subject::System
            || Assignee::of(&principal.subject).and_then(has).unwrap_or(false)
    }

    /// What is loaded for `tenant`, to be read while it may be swapped.
    fn loaded(&self, tenant: Option<TenantId>) -> HeldSnapshots {
        let shard = tenant.and_then(|id| self.shards.get(shard_of(id))).map(|shard| shard.load());
        HeldSnapshots { tenant, platform: self.platform.load(), shard }
    }

    fn answer(&self, question: Question<'_>) -> Decision {
        let loaded = self.loaded(question.principal.tenant);
        if let Some(entry) = loaded.tenant_entry() {
            let tick = self.tick.load(Ordering::Relaxed);
            // Written once per tick only, so that threads do not fight over the cache line.
            if entry.used_at.load(Ordering::Relaxed) != tick {
                entry.used_at.store(tick, Ordering::Relaxed);
            }
        }
        Case::new(self, question, loaded.tenant(), loaded.platform()).decide()
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

/// The snapshots that count for one tenant, held while they are read.
struct HeldSnapshots {
    tenant: Option<TenantId>,
    platform: Guard<Option<Arc<InUse>>>,
    shard: Option<Guard<Arc<Shard>>>,
}

impl HeldSnapshots {
    fn platform(&self) -> Option<&Snapshot> {
        self.platform.as_deref().map(|entry| &entry.snapshot)
    }

    fn tenant_entry(&self) -> Option<&InUse> {
        self.shard.as_ref().zip(self.tenant).and_then(|(shard, id)| shard.get(&id)).map(|entry| &**entry)
    }

    fn tenant(&self) -> Option<&Snapshot> {
        self.tenant_entry().map(|entry| &entry.snapshot)
    }
}

/// The present, read from the clock when it is first needed: one decision sees one time.
struct Present<'a> {
    clock: &'a dyn Clock,
    read: Cell<Option<DateTime<Utc>>>,
}

impl Present<'_> {
    fn now(&self) -> DateTime<Utc> {
        let now = self.read.get().unwrap_or_else(|| self.clock.now());
        self.read.set(Some(now));
        now
    }
}

/// One question, with the snapshots that answer it.
struct Case<'a> {
    catalogue: &'a Catalogue,
    question: Question<'a>,
    tenant: Option<&'a Snapshot>,
    platform: Option<&'a Snapshot>,
    present: Present<'a>,
}

/// What the rules of one policy come to.
#[derive(Default)]
struct Ruling {
    denied: Option<Reason>,
    allowed: Option<Reason>,
    /// What an allowing rule that does not apply would need.
    unmet: Option<Missing>,
}

#[cfg(feature = "casbin")]
impl Ruling {
    fn of_casbin<N: Fn() -> DateTime<Utc>>(
        said: crate::casbin::TierAnswer<'_>,
        reach: Reach,
        of: &Circumstances<'_, N>,
    ) -> Self {
        use crate::casbin::TierAnswer;
        match said {
            TierAnswer::Allows(origin) => {
                Self { allowed: Some(origin.reason(Effect::Allow, reach)), ..Self::default() }
            }
            TierAnswer::Denies(origin) => {
                Self { denied: Some(origin.reason(Effect::Deny, reach)), ..Self::default() }
            }
            TierAnswer::Unmet(condition) => Self { unmet: Some(condition.missing(of)), ..Self::default() },
            TierAnswer::Nothing => Self::default(),
            TierAnswer::Failed => Self { denied: Some(Reason::EngineFailure), ..Self::default() },
        }
    }
}

impl<'a> Case<'a> {
    fn new(
        engine: &'a Engine,
        question: Question<'a>,
        tenant: Option<&'a Snapshot>,
        platform: Option<&'a Snapshot>,
    ) -> Self {
        let present = Present { clock: &*engine.clock, read: Cell::new(None) };
        Self { catalogue: &engine.catalogue, question, tenant, platform, present }
    }

    fn decide(&self) -> Decision {
        let name = self.question.permission;
        if self.question.principal.subject == Subject::Anonymous {
            return self.deny(Reason::Anonymous);
        }
        let Some(places) = self.catalogue.places(name) else {
            let known = !is_pattern(name) && self.snapshots().any(|snapshot| snapshot.knows(name));
            return match known {
                true => self.decide_one(Asked::Own(name)),
                false if self.is_tenant_unknown() => self.deny(Reason::TenantUnknown),
                false => self.deny(Reason::UnknownPermission),
            };
        };
        // A synonym of several permissions stands for all of them.
        let mut decision = self.deny(Reason::UnknownPermission);
        for &place in places {
            let Some(permission) = self.catalogue.at(place) else {
                return self.deny(Reason::UnknownPermission);
            };
            decision = self.decide_one(Asked::Declared(place, permission));
            if !decision.is_allowed() {
                break;
            }
        }
        decision
    }

    /// The permissions that the asked name stands for: all of them are needed.
    fn asked(&self) -> Vec<Asked<'a>> {
        asked(self.catalogue, self.question.permission, self.snapshots())
    }

    fn decide_one(&self, asked: Asked<'_>) -> Decision {
        if !self.is_in_scope(asked) {
            return self.deny(Reason::ScopeTooNarrow);
        }
        if self.question.principal.subject == Subject::System {
            return Decision::allow(Reason::System, self.epoch());
        }
        if self.snapshots().any(|snapshot| snapshot.is_inactive(asked)) {
            return self.deny(Reason::PermissionInactive);
        }
        let Some(assignee) = Assignee::of(&self.question.principal.subject) else {
            return self.deny(Reason::NoAssignment);
        };
        let mut unmet = None;
        // A tenant cannot lock out whom the platform allows, nor let in whom it denies.
        for (snapshot, reach) in [(self.platform, Reach::Platform), (self.tenant, Reach::Tenant)] {
            let Some(snapshot) = snapshot else { continue };
            let ruling = self.ruling(snapshot, reach, assignee, asked);
            if let Some(reason) = ruling.denied {
                return self.deny(reason);
            }
            if let Some(reason) = ruling.allowed {
                return Decision::allow(reason, self.epoch());
            }
            unmet = ruling.unmet.or(unmet);
        }
        if self.is_tenant_unknown() {
            return self.deny(Reason::TenantUnknown);
        }
        if let Some(missing) = unmet {
            return Decision::unmet(missing, self.epoch());
        }
        let has_roles = self.snapshots().any(|snapshot| snapshot.has_roles(assignee, || self.present.now()));
        self.deny(if has_roles { Reason::RoleLacksPermission } else { Reason::NoAssignment })
    }

    fn is_in_scope(&self, asked: Asked<'_>) -> bool {
        let scopes = self.question.principal.scopes.as_deref();
        scopes.is_none_or(|scopes| scopes.iter().any(|scope| asked.is_covered_by(scope)))
    }

    fn circumstances(&self, asker: Assignee) -> Circumstances<'_, impl Fn() -> DateTime<Utc>> {
        let Question { principal, resource, .. } = self.question;
        Circumstances { asker, aal: principal.assurance.aal, resource, now: || self.present.now() }
    }

    fn things(&self) -> Things<'a> {
        self.question.resource.map_or(Things::None, Things::One)
    }

    fn ruling(&self, snapshot: &Snapshot, reach: Reach, asker: Assignee, asked: Asked<'_>) -> Ruling {
        let of = self.circumstances(asker);
        #[cfg(feature = "casbin")]
        if let Some(casbin) = &snapshot.casbin {
            // A tenant's patterns do not reach what only the platform's rows know.
            if reach == Reach::Tenant && !snapshot.has_place_for(asked) {
                return Ruling::default();
            }
            let resource = self.question.resource.and_then(|resource| Some((resource.kind, resource.id?)));
            let said = casbin.ask(asker, asked.name(), resource, &of.now, &|condition| condition.holds(&of));
            return Ruling::of_casbin(said, reach, &of);
        }
        let mut ruling = Ruling::default();
        let _ = snapshot.visit(asker, asked, self.things(), |rule| {
            if rule.is_over(&of.now) {
                return ControlFlow::Continue(());
            }
            let holds = rule.condition.map_or(Some(true), |condition| condition.holds(&of));
            match (rule.effect, holds) {
                (Effect::Allow, Some(true)) => {
                    ruling.allowed.get_or_insert_with(|| rule.reason(reach));
                }
                (Effect::Allow, _) => {
                    ruling.unmet = ruling.unmet.or_else(|| rule.condition.map(|one| one.missing(&of)));
                }
                (Effect::Deny, Some(false)) => {}
                (Effect::Deny, _) => {
                    ruling.denied = Some(rule.reason(reach));
                    return ControlFlow::Break(());
                }
            }
            ControlFlow::Continue(())
        });
        ruling
    }

    fn snapshots(&self) -> impl Iterator<Item = &'a Snapshot> + use<'a> {
        self.tenant.into_iter().chain(self.platform)
    }

    fn is_tenant_unknown(&self) -> bool {
        self.question.principal.tenant.is_some() && self.tenant.is_none()
    }

    fn epoch(&self) -> i64 {
        let deciding = if self.question.principal.tenant.is_some() { self.tenant } else { self.platform };
        deciding.map_or(0, Snapshot::epoch)
    }

    fn deny(&self, reason: Reason) -> Decision {
        Decision::deny(reason, self.epoch())
    }
}

/// The permissions that `name` stands for; none when nobody knows it.
fn asked<'a>(
    catalogue: &'a Catalogue,
    name: &'a str,
    mut snapshots: impl Iterator<Item = &'a Snapshot>,
) -> Vec<Asked<'a>> {
    match catalogue.places(name) {
        Some(places) => {
            let declared = |place: &u32| Some(Asked::Declared(*place, catalogue.at(*place)?));
            places.iter().filter_map(declared).collect()
        }
        None if !is_pattern(name) && snapshots.any(|snapshot| snapshot.knows(name)) => vec![Asked::Own(name)],
        None => Vec::new(),
    }
}

fn shard_of(tenant: TenantId) -> usize {
    // The keys are our own ids, whose last bits are random, so nobody can aim at one shard.
    let mixed = u64::try_from(tenant.as_uuid().as_u128() & u128::from(u64::MAX)).unwrap_or_default();
    usize::try_from(mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - SHARDS.trailing_zeros()))
        .unwrap_or_default()
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
    fn a_newer_epoch_makes_a_snapshot_stale_until_it_is_installed() {
        let clock = Arc::new(stylobate_core::SystemClock);
        let engine = Engine::new(Arc::new(crate::default_catalogue()), clock);
        let tenant = Some(TenantId::from_uuid(uuid::Uuid::from_u128(1)));
        engine.install(tenant, &Policy { epoch: 7, ..Policy::default() });
        assert!(engine.is_current(tenant) && !engine.is_current(None));
        engine.note_epoch(tenant, 8);
        assert!(!engine.is_current(tenant));
        assert_eq!(engine.epoch(tenant), Some(7), "the last snapshot serves");
        engine.install(tenant, &Policy { epoch: 8, ..Policy::default() });
        assert!(engine.is_current(tenant));
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
