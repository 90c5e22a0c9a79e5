//! A policy as checks read it: numbers, tables and short lists, none of which ever changes.

mod compile;
mod lineage;

use std::ops::{ControlFlow, Range};

use chrono::{DateTime, Utc};
use stylobate_core::{AclId, OverrideId, RoleId};
use uuid::Uuid;

use crate::{
    Assignee, AssigneeKind, Condition, Effect, PermissionDef, Reason, Resource, RuleSource,
    bits::Bits,
    index::{Index, Seed, hash_of_assignee, hash_of_texts, narrow, wide},
    key::covers,
};

pub use compile::PolicyProblem;

/// Whose policy a snapshot is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// One tenant's: permissions of the platform stay out of reach, whatever its rows say.
    Tenant,
    /// The platform's own: its roles count in every tenant.
    Platform,
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
    pub(super) epoch: i64,
    pub(super) seed: Seed,
    pub(super) names: Names,
    pub(super) inactive: Bits,
    pub(super) patterns: Box<[Pattern]>,
    /// Rules number their condition from 1; 0 is none.
    pub(super) conditions: Box<[Condition]>,
    pub(super) roles: Box<[Role]>,
    pub(super) subjects: Index<Subject>,
    pub(super) assigned: Box<[Assigned]>,
    /// What few subjects have beside roles; they number it from 1.
    pub(super) extras: Box<[Extra]>,
    pub(super) acls: Acls,
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
    let number = |id: &RoleId| ids.binary_search(id).ok().map(narrow);
    let pairs = policy.inheritance.iter().filter_map(|(heir, parent)| Some((number(heir)?, number(parent)?)));
    let (_, parents, _) = lineage::order(narrow(ids.len()), pairs.collect());
    let of = |(heir, id): (u32, &RoleId)| {
        let parent = |parent: u32| ids.get(wide(parent)).map(|parent| (*id, *parent));
        parents.of(heir).filter_map(parent).collect::<Vec<_>>()
    };
    (0..).zip(&ids).flat_map(of).collect()
}

/// The permissions that only rows know.
#[derive(Debug)]
pub(super) struct Names {
    /// The number of the first.
    pub(super) first: u32,
    /// All of them, sorted, one after the other.
    pub(super) text: Box<str>,
    /// Where each begins, and at last where the text ends.
    pub(super) starts: Box<[u32]>,
    pub(super) index: Index<Name>,
}

/// A name where its hash points to. Most fit in here, so that telling them apart needs no look at the text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Name {
    pub(super) number: u32,
    pub(super) at: u32,
    pub(super) bytes: u8,
    pub(super) text: [u8; NAME_INLINE],
}

/// Makes an entry 32 bytes: two to a cache line.
const NAME_INLINE: usize = 22;

/// A granted pattern.
#[derive(Debug)]
pub(super) struct Pattern {
    /// The places of the catalogue it covers.
    pub(super) declared: Bits,
    /// The numbers of the names it covers.
    pub(super) own: Range<u32>,
    /// As written, in the platform's policy: there it also covers names that only a tenant knows.
    pub(super) text: Option<Box<str>>,
}

/// An active role, with all it inherits.
#[derive(Debug)]
pub(crate) struct Role {
    pub(super) id: RoleId,
    /// What it always allows, patterns left aside.
    pub(super) allowed: Bits,
    pub(super) more: Option<Box<More>>,
}

/// What few roles have.
#[derive(Debug, Default, Clone)]
pub(super) struct More {
    /// What it always denies, patterns left aside.
    pub(super) denied: Bits,
    /// Patterns, and what depends on a condition.
    pub(super) rules: Rules,
    /// The roles it inherits directly.
    pub(super) parents: Box<[u32]>,
}

/// A rule in all detail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rule {
    /// Whether `at` numbers a pattern, not a permission. First, for the order.
    pub(super) is_pattern: bool,
    pub(super) at: u32,
    pub(super) effect: Effect,
    pub(super) condition: u32,
    /// From when on it counts no longer.
    pub(super) expires: Instant,
    /// The override or entry it is from; nil in roles.
    pub(super) id: Uuid,
}

/// Rules, those on single permissions first and sorted by them.
#[derive(Debug, Default, Clone)]
pub(super) struct Rules(pub(super) Box<[Rule]>);

/// Microseconds since 1970; the highest is never reached.
pub(super) type Instant = i64;
pub(super) const NEVER: Instant = Instant::MAX;

#[derive(Debug, Clone, Copy)]
pub(super) struct Subject {
    pub(super) id: Uuid,
    pub(super) kind: AssigneeKind,
    /// Where its assignments begin; the number of its role, if it has one and for good.
    pub(super) start: u32,
    /// Where they end; [`ONE`] if it has one role and for good, as most have.
    pub(super) end: u32,
    pub(super) extra: u32,
}

pub(super) const ONE: u32 = u32::MAX;

#[derive(Debug, Clone, Copy)]
pub(super) struct Assigned {
    pub(super) role: u32,
    pub(super) expires: Instant,
}

#[derive(Debug, Default)]
pub(super) struct Extra {
    /// The places of its groups.
    pub(super) groups: Box<[u32]>,
    pub(super) overrides: Rules,
}

/// All access control lists.
#[derive(Debug)]
pub(super) struct Acls {
    pub(super) texts: Box<str>,
    pub(super) things: Box<[Thing]>,
    /// The numbers of `things` by kind and id.
    pub(super) index: Index<u32>,
    /// Sorted by thing, then by subject.
    pub(super) entries: Box<[Entry]>,
    /// The entries, sorted by subject.
    pub(super) by_subject: Box<[u32]>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Thing {
    pub(super) at: u32,
    pub(super) kind_bytes: u32,
    pub(super) id_bytes: u32,
    pub(super) start: u32,
    pub(super) end: u32,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) thing: u32,
    pub(super) subject: u32,
    pub(super) rule: Rule,
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
    pub(crate) origin: Origin<'a>,
    /// The group by which the subject has it.
    pub(crate) group: Option<Assignee>,
    pub(crate) effect: Effect,
    pub(crate) condition: Option<&'a Condition>,
    expires: Instant,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Origin<'a> {
    Role(&'a Role),
    Override(OverrideId),
    /// The entry, and the kind and id of its resource.
    Acl(AclId, &'a str, &'a str),
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
        match (self.effect, self.origin, reach) {
            (Effect::Allow, Origin::Role(role), Reach::Tenant) => Reason::Role { role_id: role.id },
            (Effect::Allow, Origin::Role(role), Reach::Platform) => Reason::PlatformRole { role_id: role.id },
            (Effect::Allow, Origin::Override(id), Reach::Tenant) => Reason::Override { id },
            (Effect::Allow, Origin::Override(id), Reach::Platform) => Reason::PlatformOverride { id },
            (Effect::Allow, Origin::Acl(id, ..), _) => Reason::Acl { id },
            (Effect::Deny, Origin::Role(role), Reach::Tenant) => Reason::DeniedByRole { role_id: role.id },
            (Effect::Deny, Origin::Role(role), Reach::Platform) => {
                Reason::DeniedByPlatformRole { role_id: role.id }
            }
            (Effect::Deny, Origin::Override(id), _) => Reason::DeniedByOverride { id },
            (Effect::Deny, Origin::Acl(id, ..), _) => Reason::DeniedByAcl { id },
        }
    }
}

/// What the rules of one policy say about a subject and a permission, whatever the circumstances turn out to be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Stance {
    /// A rule allows without condition.
    pub(crate) allows: bool,
    /// A rule allows under a condition, or one thing.
    pub(crate) may_allow: bool,
    /// A rule denies without condition.
    pub(crate) denies: bool,
    /// A rule denies under a condition, or one thing.
    pub(crate) may_deny: bool,
}

impl Stance {
    /// Whether the policy by itself always allows it.
    pub(crate) fn is_always(self) -> bool {
        self.allows && !self.denies && !self.may_deny
    }

    /// Whether the policy by itself allows it under some circumstances.
    pub(crate) fn is_ever(self) -> bool {
        (self.allows || self.may_allow) && !self.denies
    }

    /// Whether a tenant's policy with this stance and the platform's together allow it under some circumstances.
    pub(crate) fn is_ever_with(self, platform: Self) -> bool {
        !platform.denies && (platform.is_ever() || self.is_ever())
    }

    /// Whether they always do.
    pub(crate) fn is_always_with(self, platform: Self) -> bool {
        !platform.denies && !platform.may_deny && (platform.allows || self.is_always())
    }
}

impl Names {
    pub(super) fn number(&self, seed: &Seed, name: &str) -> Option<u32> {
        if self.index.is_empty() {
            return None;
        }
        let is = |one: &Name| {
            let (at, bytes) = (wide(one.at), usize::from(one.bytes));
            let held = one.text.get(..bytes).or_else(|| self.text.as_bytes().get(at..at + bytes));
            held == Some(name.as_bytes())
        };
        self.index.get(self.index.find(hash_of_texts(seed, [name]), is)?).map(|one| one.number)
    }

    fn len(&self) -> u32 {
        narrow(self.starts.len().saturating_sub(1))
    }

    fn nth(&self, n: u32) -> Option<&str> {
        let (start, end) = (self.starts.get(wide(n))?, self.starts.get(wide(n) + 1)?);
        self.text.get(wide(*start)..wide(*end))
    }

    /// The numbers of the names that a pattern covers: they stand together.
    pub(super) fn covered_by(&self, pattern: &str) -> Range<u32> {
        let prefix = pattern.trim_end_matches('*');
        let before = |is_before: &dyn Fn(&str) -> bool| {
            let (mut low, mut high) = (0, self.len());
            while low < high {
                let middle = low + (high - low) / 2;
                if self.nth(middle).is_some_and(is_before) {
                    low = middle + 1;
                } else {
                    high = middle;
                }
            }
            low
        };
        let start = before(&|name| name < prefix);
        let end = before(&|name| name < prefix || name.starts_with(prefix));
        self.first + start..self.first + end
    }

    pub(super) fn name(&self, number: u32) -> Option<&str> {
        self.nth(number.checked_sub(self.first)?)
    }
}

impl Pattern {
    #[inline]
    fn has(&self, place: Option<u32>, asked: Asked<'_>) -> bool {
        place.is_some_and(|place| self.own.contains(&place) || self.declared.has(place))
            || self.text.as_deref().is_some_and(|text| asked.is_covered_by(text))
    }
}

impl Rules {
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
    pub(crate) fn id(&self) -> RoleId {
        self.id
    }

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

    /// What the rules say about it; `things` are those whose access control lists are looked at.
    pub(crate) fn stance(
        &self,
        assignee: Assignee,
        asked: Asked<'_>,
        things: Things<'_>,
        now: DateTime<Utc>,
    ) -> Stance {
        let mut stance = Stance::default();
        let _ = self.visit(assignee, asked, things, |rule| {
            if !rule.is_over(|| now) {
                let depends = rule.condition.is_some() || matches!(rule.origin, Origin::Acl(..));
                let said = match (rule.effect, depends) {
                    (Effect::Allow, false) => &mut stance.allows,
                    (Effect::Allow, true) => &mut stance.may_allow,
                    (Effect::Deny, false) => &mut stance.denies,
                    (Effect::Deny, true) => &mut stance.may_deny,
                };
                *said = true;
            }
            ControlFlow::Continue(())
        });
        stance
    }

    /// The permissions that some rule about `assignee` allows, access control lists left aside: places of the catalogue, or
    /// names of its own. Not sorted, with repetition, whether or not something else denies them. `beyond` holds names that
    /// patterns of the platform cover too.
    pub(crate) fn allowed<'a>(
        &'a self,
        assignee: Assignee,
        now: DateTime<Utc>,
        beyond: Option<&'a Self>,
        mut found: impl FnMut(Named<'a>),
    ) {
        let Some((_, subject)) = self.subject(assignee) else { return };
        let mut named = |place: u32| match self.names.name(place) {
            Some(name) => found(Named::Own(name)),
            None => found(Named::Declared(place)),
        };
        let mut beyond_too = Vec::new();
        let mut rules = |rules: &'a Rules, named: &mut dyn FnMut(u32)| {
            for rule in rules.0.iter().filter(|rule| rule.effect == Effect::Allow && rule.is_live(now)) {
                if !rule.is_pattern {
                    named(rule.at);
                } else if let Some(pattern) = self.patterns.get(wide(rule.at)) {
                    pattern.declared.iter().chain(pattern.own.clone()).for_each(&mut *named);
                    beyond_too.extend(pattern.text.as_deref());
                }
            }
        };
        for one in std::iter::once(subject).chain(self.groups(subject).map(|(_, group)| group)) {
            for assigned in self.assigned(one) {
                let is_live = assigned.expires == NEVER || assigned.expires > now.timestamp_micros();
                let Some(role) = self.roles.get(wide(assigned.role)).filter(|_| is_live) else { continue };
                role.allowed.iter().for_each(&mut named);
                if let Some(more) = &role.more {
                    rules(&more.rules, &mut named);
                }
            }
            if let Some(extra) = self.extra(one) {
                rules(&extra.overrides, &mut named);
            }
        }
        if let Some(beyond) = beyond {
            for pattern in beyond_too {
                for name in beyond.names.covered_by(pattern).filter_map(|number| beyond.names.name(number)) {
                    found(Named::Own(name));
                }
            }
        }
    }

    /// The active roles that allow the permission, always or under a condition, and do not deny it.
    pub(crate) fn roles_that_allow(&self, asked: Asked<'_>) -> impl Iterator<Item = RoleId> {
        let place = self.place(asked);
        self.roles.iter().filter_map(move |role| {
            let has = |effect| {
                let set = match effect {
                    Effect::Allow => Some(&role.allowed),
                    Effect::Deny => role.more.as_ref().map(|more| &more.denied),
                };
                let mut rules =
                    role.more.iter().flat_map(|more| more.rules.about(place, &self.patterns, asked));
                place.zip(set).is_some_and(|(place, set)| set.has(place))
                    || rules
                        .any(|rule| rule.effect == effect && (effect == Effect::Allow || rule.condition == 0))
            };
            (has(Effect::Allow) && !has(Effect::Deny)).then_some(role.id)
        })
    }

    /// Where the rule of `found` stands, as explanations name it.
    pub(crate) fn source(&self, found: &Match<'_>, asked: Asked<'_>) -> RuleSource {
        let role = match found.origin {
            Origin::Acl(id, ..) => return RuleSource::Acl { id },
            Origin::Override(id) => return RuleSource::Override { id },
            Origin::Role(role) => role,
        };
        let place = self.place(asked);
        let condition =
            found.condition.and_then(|condition| self.conditions.iter().position(|one| one == condition));
        let rule = (found.effect, condition.map_or(0, |position| narrow(position + 1)));
        let mut granted_by = role;
        // Up to the one that has it from nobody else. No cycles: compiling cut them.
        while let Some(parent) = granted_by.more.as_ref().and_then(|more| {
            let mut parents = more.parents.iter().filter_map(|&place| self.roles.get(wide(place)));
            parents.find(|parent| parent.has(place, asked, &self.patterns, rule))
        }) {
            granted_by = parent;
        }
        RuleSource::Role { role_id: role.id, granted_by: granted_by.id }
    }
}

/// A permission that a rule names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Named<'a> {
    /// By its place in the catalogue.
    Declared(u32),
    /// By the name that only rows know.
    Own(&'a str),
}

impl Rule {
    fn is_live(&self, now: DateTime<Utc>) -> bool {
        self.expires == NEVER || self.expires > now.timestamp_micros()
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
                origin: Origin::Role(role),
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
                meet(self.found(rule, Origin::Override(OverrideId::from_uuid(rule.id)), group))?;
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
            let (kind, id) = self.snapshot.acls.kind_and_id(entry.thing);
            meet(self.found(rule, Origin::Acl(AclId::from_uuid(rule.id), kind, id), group))?;
        }
        ControlFlow::Continue(())
    }

    fn found(&self, rule: &Rule, origin: Origin<'s>, group: Option<Assignee>) -> Match<'s> {
        let condition = self.snapshot.condition(rule.condition);
        Match { origin, group, effect: rule.effect, condition, expires: rule.expires }
    }
}

impl Acls {
    #[inline]
    fn thing(&self, seed: &Seed, things: Things<'_>) -> Option<&Thing> {
        let Things::One(Resource { kind, id: Some(id), .. }) = things else { return None };
        if self.index.is_empty() {
            return None;
        }
        let is = |number: &u32| self.kind_and_id(*number) == (*kind, *id);
        let place = self.index.find(hash_of_texts(seed, [kind, id]), is)?;
        self.things.get(wide(*self.index.get(place)?))
    }

    fn kind_and_id(&self, thing: u32) -> (&str, &str) {
        let text = self.things.get(wide(thing)).and_then(|one| {
            let (start, middle) = (wide(one.at), wide(one.at.checked_add(one.kind_bytes)?));
            Some((self.texts.get(start..middle)?, self.texts.get(middle..middle + wide(one.id_bytes))?))
        });
        text.unwrap_or_default()
    }

    fn of_subject(&self, subject: u32) -> impl Iterator<Item = &Entry> {
        let entry = |place: &u32| self.entries.get(wide(*place));
        let first =
            self.by_subject.partition_point(|place| entry(place).is_some_and(|one| one.subject < subject));
        let own = self.by_subject.get(first..).unwrap_or_default().iter();
        own.filter_map(entry).take_while(move |one| one.subject == subject)
    }
}
