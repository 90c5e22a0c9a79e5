//! A policy as checks read it: numbers, tables and short lists, none of which ever changes.

mod acls;
mod compile;
mod lineage;
mod names;
mod survey;

use std::ops::{ControlFlow, Range};

use chrono::{DateTime, Utc};
use stylobate_core::{AclId, OverrideId, RoleId, TenantId};
use uuid::Uuid;

use crate::{
    Assignee, AssigneeKind, Condition, Effect, PermissionDef, Reason, Resource,
    bits::Bits,
    index::{Index, Seed, hash_of_assignee, wide},
    key::covers,
};

/// An id that cannot be read is told as the nil one, a kind of subject that cannot be read or is not known as a person. Of a
/// role whose own id cannot be read, it is a `Grant` of two nil ids.
pub use compile::PolicyProblem;
pub(crate) use survey::{NamedPermission, Stance};

use acls::{Acls, Entry, Thing};
use names::Names;

/// Whose policy a snapshot is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// One tenant's: permissions of the platform stay out of reach, whatever its rows say.
    Tenant,
    /// The platform's own: its roles count in every tenant.
    Platform,
}

impl Reach {
    /// That of the policy of `owner`; `None` is the platform.
    pub(crate) fn of(owner: Option<TenantId>) -> Self {
        if owner.is_some() { Self::Tenant } else { Self::Platform }
    }

    /// Permissions of the platform are given by its own policy only.
    pub(crate) fn may_give(self, permission: &PermissionDef) -> bool {
        self == Self::Platform || !permission.is_platform
    }
}

/// What a permission is to a snapshot.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Asked<'a> {
    /// The catalogue knows it, at this place.
    Declared(u32, &'a PermissionDef),
    /// Only rows know it, by this name.
    Own(&'a str),
}

impl<'a> Asked<'a> {
    pub(crate) fn is_covered_by(&self, held: &str) -> bool {
        match self {
            Self::Declared(_, permission) => permission.is_covered_by(held),
            Self::Own(name) => covers(held, name),
        }
    }

    pub(crate) fn name(&self) -> &'a str {
        match self {
            Self::Declared(_, permission) => permission.key,
            Self::Own(name) => name,
        }
    }
}

/// One tenant's policy, or the platform's, compiled for checking. It never changes.
///
/// Permissions are numbered: those of the catalogue by their place in it, then the ones that only rows know, in the order
/// of their names, so that a pattern is a range of them. A role is a set of such numbers with the few rules that need more;
/// what it inherits is in the set. A subject is a short list of roles.
#[derive(Debug)]
pub(crate) struct Snapshot {
    epoch: i64,
    seed: Seed,
    names: Names,
    inactive: Bits,
    patterns: Box<[Pattern]>,
    /// Rules number their condition from 1; 0 is none.
    conditions: Box<[Condition]>,
    roles: Box<[Role]>,
    subjects: Index<Subject>,
    assigned: Box<[Assigned]>,
    /// What few subjects have beside roles; they number it from 1.
    extras: Box<[Extra]>,
    acls: Acls,
    /// The same policy in casbin, which decides in place of the rules here if it is there.
    #[cfg(feature = "casbin")]
    pub(crate) casbin: Option<crate::casbin::Tier>,
}

/// Who inherits from whom in `policy`, without the pairs that are on a cycle.
#[cfg(feature = "casbin")]
pub(crate) fn heirs_and_parents(policy: &crate::Policy) -> Vec<(RoleId, RoleId)> {
    let mut ids: Vec<RoleId> = policy.roles.iter().map(|role| role.id).collect();
    ids.sort_unstable();
    ids.dedup();
    let number = |id: &RoleId| ids.binary_search(id).ok().map(crate::index::narrow);
    let pairs = policy.inheritance.iter().filter_map(|(heir, parent)| Some((number(heir)?, number(parent)?)));
    let (_, parents, _) = lineage::order(crate::index::narrow(ids.len()), pairs.collect());
    let of = |(heir, id): (u32, &RoleId)| {
        let parent = |parent: u32| ids.get(wide(parent)).map(|parent| (*id, *parent));
        parents.of(heir).filter_map(parent).collect::<Vec<_>>()
    };
    (0..).zip(&ids).flat_map(of).collect()
}

/// A granted pattern.
#[derive(Debug)]
struct Pattern {
    /// The places of the catalogue it covers.
    declared: Bits,
    /// The numbers of the names it covers.
    own: Range<u32>,
    /// As written, in the platform's policy: there it also covers names that only a tenant knows.
    text: Option<Box<str>>,
}

/// An active role, with all it inherits. One cache line: with many roles, a check waits for it once.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct Role {
    id: RoleId,
    /// What it always allows, patterns left aside.
    allowed: Bits,
    more: Option<Box<More>>,
}

/// What few roles have.
#[derive(Debug, Default, Clone)]
struct More {
    /// What it always denies, patterns left aside.
    denied: Bits,
    /// Patterns, and what depends on a condition.
    rules: RuleList,
    /// The roles it inherits directly.
    parents: Box<[u32]>,
}

/// A rule in all detail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rule {
    /// Whether `at` numbers a pattern, not a permission. First, for the order.
    is_pattern: bool,
    at: u32,
    effect: Effect,
    condition: u32,
    /// From when on it counts no longer.
    expires: Instant,
    /// The override or entry it is from; nil in roles.
    id: Uuid,
}

/// Rules, those on single permissions first and sorted by them.
#[derive(Debug, Default, Clone)]
struct RuleList(Box<[Rule]>);

/// Microseconds since 1970; the highest is never reached.
type Instant = i64;
const NEVER: Instant = Instant::MAX;

/// Two to a cache line, and none across two.
#[derive(Debug, Clone, Copy)]
#[repr(align(32))]
struct Subject {
    id: Uuid,
    kind: AssigneeKind,
    /// Where its assignments begin; the number of its role, if it has one and for good.
    start: u32,
    /// Where they end; [`ONE`] if it has one role and for good, as most have.
    end: u32,
    extra: u32,
}

const ONE: u32 = u32::MAX;

#[derive(Debug, Clone, Copy)]
struct Assigned {
    role: u32,
    expires: Instant,
}

#[derive(Debug, Default)]
struct Extra {
    /// The places of its groups.
    groups: Box<[u32]>,
    overrides: RuleList,
}

/// About which things a snapshot is asked.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Things<'a> {
    /// About none: no access control list counts.
    None,
    /// About this one.
    One(&'a Resource<'a>),
    /// About each that has a list.
    Every,
}

/// A rule about the subject that names the permission. Whether it applies is for the caller to find out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Match<'a> {
    pub(crate) origin: Origin,
    /// The role, if it is a role's.
    role: Option<&'a Role>,
    /// The kind and id of the resource, if it stands in the list of one.
    pub(crate) resource: Option<(&'a str, &'a str)>,
    /// The group by which the subject has it.
    pub(crate) group: Option<Assignee>,
    pub(crate) effect: Effect,
    pub(crate) condition: Option<&'a Condition>,
    expires: Instant,
}

/// Which row a rule was made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    Role(RoleId),
    Override(OverrideId),
    Acl(AclId),
}

impl Origin {
    /// The reason of a decision that the rule makes in a policy of this reach.
    pub(crate) fn reason(self, effect: Effect, reach: Reach) -> Reason {
        match (effect, self, reach) {
            (Effect::Allow, Self::Role(role_id), Reach::Tenant) => Reason::Role { role_id },
            (Effect::Allow, Self::Role(role_id), Reach::Platform) => Reason::PlatformRole { role_id },
            (Effect::Allow, Self::Override(id), Reach::Tenant) => Reason::Override { id },
            (Effect::Allow, Self::Override(id), Reach::Platform) => Reason::PlatformOverride { id },
            (Effect::Allow, Self::Acl(id), Reach::Tenant) => Reason::Acl { id },
            (Effect::Allow, Self::Acl(id), Reach::Platform) => Reason::PlatformAcl { id },
            (Effect::Deny, Self::Role(role_id), Reach::Tenant) => Reason::DeniedByRole { role_id },
            (Effect::Deny, Self::Role(role_id), Reach::Platform) => Reason::DeniedByPlatformRole { role_id },
            (Effect::Deny, Self::Override(id), Reach::Tenant) => Reason::DeniedByOverride { id },
            (Effect::Deny, Self::Override(id), Reach::Platform) => Reason::DeniedByPlatformOverride { id },
            (Effect::Deny, Self::Acl(id), Reach::Tenant) => Reason::DeniedByAcl { id },
            (Effect::Deny, Self::Acl(id), Reach::Platform) => Reason::DeniedByPlatformAcl { id },
        }
    }
}

impl Match<'_> {
    /// Whether it has expired; the clock is read only if it ever does.
    #[inline]
    pub(crate) fn is_over(&self, now: impl FnOnce() -> DateTime<Utc>) -> bool {
        self.expires != NEVER && self.expires <= now().timestamp_micros()
    }

    pub(crate) fn expires_at(&self) -> Option<DateTime<Utc>> {
        (self.expires != NEVER).then(|| DateTime::from_timestamp_micros(self.expires)).flatten()
    }

    /// The reason of a decision that this rule makes.
    pub(crate) fn reason(&self, reach: Reach) -> Reason {
        self.origin.reason(self.effect, reach)
    }
}

impl Pattern {
    #[inline]
    fn has(&self, place: Option<u32>, asked: Asked<'_>) -> bool {
        place.is_some_and(|place| self.own.contains(&place) || self.declared.has(place))
            || self.text.as_deref().is_some_and(|text| asked.is_covered_by(text))
    }
}

impl RuleList {
    /// Those that name the permission.
    #[inline]
    fn about<'a>(
        &'a self,
        place: Option<u32>,
        patterns: &'a [Pattern],
        asked: Asked<'a>,
    ) -> impl Iterator<Item = &'a Rule> {
        let (placed, patterned) =
            self.0.split_at_checked(self.0.partition_point(|rule| !rule.is_pattern)).unwrap_or_default();
        let first = place.map_or(placed.len(), |place| placed.partition_point(|rule| rule.at < place));
        let placed = placed.get(first..).unwrap_or_default().iter();
        let covers =
            move |rule: &&Rule| patterns.get(wide(rule.at)).is_some_and(|pattern| pattern.has(place, asked));
        placed.take_while(move |rule| Some(rule.at) == place).chain(patterned.iter().filter(covers))
    }
}

impl Role {
    /// Whether it has the rule, its own or inherited.
    fn has(
        &self,
        place: Option<u32>,
        asked: Asked<'_>,
        patterns: &[Pattern],
        (effect, condition): (Effect, u32),
    ) -> bool {
        let set = match effect {
            Effect::Allow => Some(&self.allowed),
            Effect::Deny => self.more.as_ref().map(|more| &more.denied),
        };
        let in_set = condition == 0 && place.zip(set).is_some_and(|(place, set)| set.has(place));
        let mut rules = self.more.iter().flat_map(|more| more.rules.about(place, patterns, asked));
        in_set || rules.any(|rule| (rule.effect, rule.condition) == (effect, condition))
    }
}

impl Snapshot {
    /// The epoch of the rows it was made from.
    pub(crate) fn epoch(&self) -> i64 {
        self.epoch
    }

    pub(crate) fn knows(&self, name: &str) -> bool {
        self.names.number(&self.seed, name).is_some()
    }

    /// Whether some rule here can be about the permission, patterns of the platform left aside.
    #[cfg(feature = "casbin")]
    pub(crate) fn has_place_for(&self, asked: Asked<'_>) -> bool {
        self.place(asked).is_some()
    }

    #[inline]
    fn place(&self, asked: Asked<'_>) -> Option<u32> {
        match asked {
            Asked::Declared(place, _) => Some(place),
            Asked::Own(name) => self.names.number(&self.seed, name),
        }
    }

    #[inline]
    pub(crate) fn is_inactive(&self, asked: Asked<'_>) -> bool {
        !self.inactive.is_empty() && self.place(asked).is_some_and(|place| self.inactive.has(place))
    }

    /// Every subject that some row names.
    pub(crate) fn assignees(&self) -> impl Iterator<Item = Assignee> {
        self.subjects.iter().map(|one| Assignee { kind: one.kind, id: one.id })
    }

    /// Whether anything here names the subject.
    pub(crate) fn names_subject(&self, assignee: Assignee) -> bool {
        self.subject(assignee).is_some()
    }

    #[inline]
    fn subject(&self, assignee: Assignee) -> Option<(u32, &Subject)> {
        let hash = hash_of_assignee(&self.seed, assignee);
        let place = self.subjects.find(hash, |one| one.id == assignee.id && one.kind == assignee.kind)?;
        self.subjects.get(place).map(|one| (place, one))
    }

    fn extra(&self, subject: &Subject) -> Option<&Extra> {
        self.extras.get(wide(subject.extra.checked_sub(1)?))
    }

    fn groups(&self, subject: &Subject) -> impl Iterator<Item = (u32, &Subject)> {
        let groups = self.extra(subject).map_or(&[][..], |extra| &extra.groups);
        groups.iter().filter_map(|&place| Some((place, self.subjects.get(place)?)))
    }

    #[inline]
    fn assigned(&self, subject: &Subject) -> impl Iterator<Item = Assigned> {
        let (one, several) = match subject.end {
            ONE => (Some(Assigned { role: subject.start, expires: NEVER }), None),
            end => (None, self.assigned.get(wide(subject.start)..wide(end))),
        };
        one.into_iter().chain(several.unwrap_or_default().iter().copied())
    }

    /// Whether `assignee` has any active role here.
    pub(crate) fn has_roles(&self, assignee: Assignee, now: impl Fn() -> DateTime<Utc>) -> bool {
        let Some((_, subject)) = self.subject(assignee) else { return false };
        let has = |one: &Subject| {
            let counts = |one: Assigned| one.expires == NEVER || one.expires > now().timestamp_micros();
            self.assigned(one).any(counts)
        };
        has(subject) || self.groups(subject).any(|(_, group)| has(group))
    }

    fn condition(&self, number: u32) -> Option<&Condition> {
        let number = number.checked_sub(1)?;
        Some(self.conditions.get(wide(number)).unwrap_or(&Condition::Unreadable))
    }

    /// Hands every rule that names `assignee` (itself or by a group) and the permission to `meet`, until that breaks: roles,
    /// overrides, access control lists, the subject's own before those of each group.
    #[inline]
    pub(crate) fn visit<'a>(
        &'a self,
        assignee: Assignee,
        asked: Asked<'_>,
        things: Things<'_>,
        mut meet: impl FnMut(Match<'a>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let Some((place, subject)) = self.subject(assignee) else { return ControlFlow::Continue(()) };
        let of = Visit {
            snapshot: self,
            place: self.place(asked),
            asked,
            thing: self.acls.thing(&self.seed, things),
            things,
        };
        of.one(place, subject, None, &mut meet)?;
        if subject.extra != 0 {
            for (place, group) in self.groups(subject) {
                of.one(place, group, Some(Assignee { kind: group.kind, id: group.id }), &mut meet)?;
            }
        }
        ControlFlow::Continue(())
    }
}

/// One question to one snapshot.
struct Visit<'s, 'q> {
    snapshot: &'s Snapshot,
    place: Option<u32>,
    asked: Asked<'q>,
    thing: Option<&'s Thing>,
    things: Things<'q>,
}

impl<'s> Visit<'s, '_> {
    #[inline]
    fn one(
        &self,
        at: u32,
        subject: &Subject,
        group: Option<Assignee>,
        meet: &mut impl FnMut(Match<'s>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let Self { snapshot, place, asked, .. } = *self;
        for assigned in snapshot.assigned(subject) {
            let Some(role) = snapshot.roles.get(wide(assigned.role)) else { continue };
            let found = |effect, condition| Match {
                origin: Origin::Role(role.id),
                role: Some(role),
                resource: None,
                group,
                effect,
                condition: snapshot.condition(condition),
                expires: assigned.expires,
            };
            if let Some(more) = &role.more {
                if place.is_some_and(|place| more.denied.has(place)) {
                    meet(found(Effect::Deny, 0))?;
                }
                for rule in more.rules.about(place, &snapshot.patterns, asked) {
                    meet(found(rule.effect, rule.condition))?;
                }
            }
            if place.is_some_and(|place| role.allowed.has(place)) {
                meet(found(Effect::Allow, 0))?;
            }
        }
        if let Some(extra) = snapshot.extra(subject) {
            for rule in extra.overrides.about(place, &snapshot.patterns, asked) {
                meet(self.found(rule, Origin::Override(OverrideId::from_uuid(rule.id)), None, group))?;
            }
        }
        if let Some(thing) = self.thing {
            let entries = snapshot.acls.entries.get(wide(thing.start)..wide(thing.end)).unwrap_or_default();
            let first = entries.partition_point(|entry| entry.subject < at);
            let own = entries.get(first..).unwrap_or_default().iter();
            for entry in own.take_while(|entry| entry.subject == at) {
                self.entry(entry, group, meet)?;
            }
        } else if let Things::Every = self.things {
            for entry in snapshot.acls.of_subject(at) {
                self.entry(entry, group, meet)?;
            }
        }
        ControlFlow::Continue(())
    }

    fn entry(
        &self,
        entry: &Entry,
        group: Option<Assignee>,
        meet: &mut impl FnMut(Match<'s>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let rule = &entry.rule;
        let is_about = if rule.is_pattern {
            let pattern = self.snapshot.patterns.get(wide(rule.at));
            pattern.is_some_and(|pattern| pattern.has(self.place, self.asked))
        } else {
            self.place == Some(rule.at)
        };
        if is_about {
            let resource = self.snapshot.acls.kind_and_id(entry.thing);
            meet(self.found(rule, Origin::Acl(AclId::from_uuid(rule.id)), Some(resource), group))?;
        }
        ControlFlow::Continue(())
    }

    fn found(
        &self,
        rule: &Rule,
        origin: Origin,
        resource: Option<(&'s str, &'s str)>,
        group: Option<Assignee>,
    ) -> Match<'s> {
        let condition = self.snapshot.condition(rule.condition);
        Match { origin, role: None, resource, group, effect: rule.effect, condition, expires: rule.expires }
    }
}

#[cfg(test)]
mod tests {
    use super::{names::Name, *};

    #[test]
    fn what_a_check_reads_lies_in_whole_cache_lines() {
        assert_eq!((size_of::<Role>(), align_of::<Role>()), (64, 64));
        assert_eq!((size_of::<Option<Subject>>(), align_of::<Subject>()), (32, 32));
        assert_eq!((size_of::<Option<Name>>(), align_of::<Name>()), (32, 32));
    }
}
