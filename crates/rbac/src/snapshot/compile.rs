use std::{
    collections::HashMap,
    hash::{BuildHasher as _, Hasher as _},
    num::NonZeroU8,
};

use chrono::{DateTime, Utc};
use serde::Serialize;
use stylobate_core::{AclId, OverrideId, PermissionId, RoleId};
use uuid::Uuid;

use super::{
    Assigned, Extra, Instant, More, NEVER, ONE, Pattern, Reach, Role, Rule, RuleList, Snapshot, Subject,
    acls::{Acls, Entry, Thing},
    lineage,
    names::{NAME_INLINE, Name, Names},
};
use crate::{
    Assignee, Catalogue, Condition, Effect, Policy, PolicyAcl,
    bits::Bits,
    index::{Index, Seed, hash_of_assignee, hash_of_texts, narrow, wide},
    key::{is_pattern, is_valid},
    meaning::{Gives, Meaning, base_of, declared},
};

/// How many rules all roles of a policy may inherit together: 64 MiB of numbers. A hierarchy in which every role inherits
/// thousands of others multiplies a policy far beyond the memory that its rows take.
const INHERITED_MAX: usize = 16 << 20;

/// A row that could not be compiled. It gives nothing; everything else works.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "code", content = "of", rename_all = "snake_case")]
#[non_exhaustive]
pub enum PolicyProblem {
    /// The key of a permission does not parse.
    PermissionKey(PermissionId),
    /// A grant names a role or permission that is not there.
    Grant(RoleId, PermissionId),
    /// The condition of a grant cannot be read or breaks the limits: an allowing one gives nothing, a denying one always
    /// denies.
    GrantCondition(RoleId, PermissionId),
    /// An heir and a parent of which one is not there, or which are on a cycle: nothing passes between them.
    Inheritance(RoleId, RoleId),
    /// A role that inherits more than can be compiled. It denies everything, for its denials are not known either.
    RoleTooLarge(RoleId),
    /// An assignment names a role that is not there.
    Assignment(Assignee, RoleId),
    /// An override names a permission that is not there.
    Override(OverrideId),
    /// The condition of an override cannot be read or breaks the limits; see [`GrantCondition`](Self::GrantCondition).
    OverrideCondition(OverrideId),
    /// An entry of an access control list names a permission that is not there.
    Acl(AclId),
    /// A column of a row cannot be read. Where the row allows it gives nothing; where it denies, or may, it does so always and for
    /// good, as far as it is known what and to whom.
    Unreadable {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// The id of the row, unless that is what cannot be read; of `role_parents` the role that inherits.
        id: Option<Uuid>,
    },
}

/// What granting a permission gives.
#[derive(Debug, Clone)]
struct Given {
    what: What,
    /// Of one's own things only.
    of_own: bool,
    is_single: bool,
}

#[derive(Debug, Clone)]
enum What {
    /// It is switched off, damaged, or out of reach.
    Nothing,
    One(u32),
    Several(Box<[u32]>),
    Pattern(u32),
}

/// The rules of a role or subject while they are put together.
#[derive(Debug, Default)]
struct Draft {
    allowed: Vec<u32>,
    denied: Vec<u32>,
    rules: Vec<Rule>,
}

struct Compiler<'a> {
    catalogue: &'a Catalogue,
    reach: Reach,
    seed: Seed,
    names: Names,
    patterns: Vec<Pattern>,
    conditions: Conditions,
    problems: Vec<PolicyProblem>,
}

impl Snapshot {
    /// Compiles the rows of `policy`. Rows that make no sense are reported and give nothing.
    pub(crate) fn compile(
        catalogue: &Catalogue,
        reach: Reach,
        policy: &Policy,
    ) -> (Self, Vec<PolicyProblem>) {
        let seed = Seed::default();
        let names = names(catalogue, &seed, policy);
        let (patterns, conditions, problems) = (Vec::new(), Conditions::default(), Vec::new());
        Compiler { catalogue, reach, seed, names, patterns, conditions, problems }.run(policy)
    }
}

/// The names that rows know and the catalogue does not.
fn names(catalogue: &Catalogue, seed: &Seed, policy: &Policy) -> Names {
    let mut known: Vec<&str> = policy
        .permissions
        .iter()
        .filter(|row| is_valid(&row.key) && !is_pattern(&row.key))
        .map(|row| base_of(catalogue, &row.key).0)
        .filter(|name| !catalogue.has(name))
        .collect();
    known.sort_unstable();
    known.dedup();
    let first = catalogue.len();
    // Far beyond any policy that fits into memory otherwise; what is beyond the numbers is not known.
    let mut bytes = 0_u32;
    let fits = |name: &&&str| {
        bytes = bytes.saturating_add(narrow(name.len()));
        bytes < u32::MAX
    };
    let count = known.iter().take_while(fits).count().min(wide(u32::MAX - first));
    known.truncate(count);
    let mut text = String::with_capacity(known.iter().map(|name| name.len()).sum());
    let (mut starts, mut entries) = (Vec::with_capacity(count + 1), Vec::with_capacity(count));
    for (name, number) in known.iter().zip(first..) {
        let at = narrow(text.len());
        starts.push(at);
        let mut inline = [0; NAME_INLINE];
        inline.iter_mut().zip(name.bytes()).for_each(|(slot, byte)| *slot = byte);
        // A key has 1 to 128 bytes.
        let bytes = u8::try_from(name.len()).ok().and_then(NonZeroU8::new).unwrap_or(NonZeroU8::MAX);
        entries.push(Name { number, at, bytes, text: inline });
        text.push_str(name);
    }
    starts.push(narrow(text.len()));
    let name_of = |one: &Name| known.get(wide(one.number - first)).copied().unwrap_or_default();
    let index = Index::new(entries, |one| hash_of_texts(seed, [name_of(one)]));
    Names { first, text: text.into_boxed_str(), starts: starts.into_boxed_slice(), index }
}

impl Compiler<'_> {
    fn run(mut self, policy: &Policy) -> (Snapshot, Vec<PolicyProblem>) {
        let mut inactive = Vec::new();
        let mut given = Vec::with_capacity(policy.permissions.len());
        for row in &policy.permissions {
            let mut meant = if is_valid(&row.key) {
                self.given_by(&row.key)
            } else {
                self.problems.push(PolicyProblem::PermissionKey(row.id));
                Given { what: What::Nothing, of_own: false, is_single: false }
            };
            if !row.is_active {
                if let Given { what: What::One(place), is_single: true, .. } = meant {
                    inactive.push(place);
                }
                meant.what = What::Nothing;
            }
            given.push((row.id, meant));
        }
        let hash = |id: Uuid| hash_of_id(&self.seed, id);
        let given = Index::new(given, |(id, _)| hash(id.as_uuid()));
        let find = |seed: &Seed, id: PermissionId| {
            given
                .find(hash_of_id(seed, id.as_uuid()), |(one, _)| *one == id)
                .and_then(|place| given.get(place))
        };

        let mut ids: Vec<(RoleId, bool)> =
            policy.roles.iter().map(|role| (role.id, role.is_active)).collect();
        ids.sort_unstable();
        ids.dedup_by_key(|(id, _)| *id);
        let numbered = ids.iter().map(|(id, _)| *id).zip(0_u32..).collect();
        let numbers: Index<(RoleId, u32)> = Index::new(numbered, |(id, _)| hash(id.as_uuid()));
        let number = |seed: &Seed, id: RoleId| {
            let place = numbers.find(hash_of_id(seed, id.as_uuid()), |(one, _)| *one == id)?;
            numbers.get(place).map(|(_, number)| *number)
        };

        let mut grants = Vec::with_capacity(policy.grants.len());
        for row in &policy.grants {
            let (Some(role), Some((_, meant))) =
                (number(&self.seed, row.role), find(&self.seed, row.permission))
            else {
                self.problems.push(PolicyProblem::Grant(row.role, row.permission));
                continue;
            };
            let problem = PolicyProblem::GrantCondition(row.role, row.permission);
            let condition = self.condition(row.condition.as_ref(), problem);
            grants.push((role, row.effect, condition, meant));
        }
        grants.sort_unstable_by_key(|(role, ..)| *role);
        let mut pairs = Vec::with_capacity(policy.inheritance.len());
        for &(heir, parent) in &policy.inheritance {
            match (number(&self.seed, heir), number(&self.seed, parent)) {
                (Some(heir), Some(parent)) => pairs.push((heir, parent)),
                _ => self.problems.push(PolicyProblem::Inheritance(heir, parent)),
            }
        }
        let roles = self.roles(&ids, &grants, pairs);
        drop(grants);

        let mut drafts: HashMap<Assignee, Draft, Seed> = HashMap::default();
        for row in &policy.overrides {
            let Some((_, meant)) = find(&self.seed, row.permission) else {
                self.problems.push(PolicyProblem::Override(row.id));
                continue;
            };
            let condition = self.condition(row.condition.as_ref(), PolicyProblem::OverrideCondition(row.id));
            let condition = self.conditions.of_own(condition, meant.of_own);
            let rule = rule(row.effect, condition, row.expires_at, row.id.as_uuid());
            each_rule(&meant.what, rule, |rule| drafts.entry(row.assignee).or_default().rules.push(rule));
        }
        let acls: Vec<(&PolicyAcl, &Given)> = policy
            .acls
            .iter()
            .filter_map(|row| {
                let found = find(&self.seed, row.permission);
                if found.is_none() {
                    self.problems.push(PolicyProblem::Acl(row.id));
                }
                Some((row, &found?.1))
            })
            .collect();

        let (mut subjects, assigned) = self.subjects(policy, |seed, id| number(seed, id), &ids);
        let extras = self.extras(policy, &mut subjects, drafts);
        let acls = self.acls(acls, &subjects);
        let snapshot = Snapshot {
            epoch: policy.epoch,
            names: self.names,
            inactive: Bits::new(inactive),
            patterns: self.patterns.into_boxed_slice(),
            conditions: self.conditions.list.into_boxed_slice(),
            roles,
            subjects,
            assigned,
            extras,
            acls,
            seed: self.seed,
            #[cfg(feature = "casbin")]
            casbin: None,
        };
        (snapshot, self.problems)
    }

    fn given_by(&mut self, key: &str) -> Given {
        let meaning = Meaning::of(self.catalogue, self.reach, key);
        let what = match meaning.gives {
            Gives::Pattern(key) => {
                let covered = declared(self.catalogue, self.reach).filter(|(_, one)| one.is_covered_by(key));
                let pattern = Pattern {
                    declared: Bits::new(covered.map(|(place, _)| place).collect()),
                    own: self.names.covered_by(key),
                    text: (self.reach == Reach::Platform).then(|| key.into()),
                };
                self.patterns.push(pattern);
                What::Pattern(narrow(self.patterns.len() - 1))
            }
            Gives::Declared(found) => match *found {
                [] => What::Nothing,
                [(place, _)] => What::One(place),
                _ => What::Several(found.into_iter().map(|(place, _)| place).collect()),
            },
            Gives::Own(name) => self.names.number(&self.seed, name).map_or(What::Nothing, What::One),
        };
        Given { what, of_own: meaning.of_own, is_single: meaning.is_single }
    }

    fn condition(&mut self, condition: Option<&Condition>, problem: PolicyProblem) -> u32 {
        match condition {
            None => 0,
            Some(condition) if condition.validate().is_ok() => self.conditions.number(condition),
            Some(_) => {
                self.problems.push(problem);
                self.conditions.number(&Condition::Unreadable)
            }
        }
    }

    /// The roles by their numbers; those that are switched off are empty, and nobody is assigned them.
    fn roles(
        &mut self,
        ids: &[(RoleId, bool)],
        grants: &[(u32, Effect, u32, &Given)],
        pairs: Vec<(u32, u32)>,
    ) -> Box<[Role]> {
        let count = narrow(ids.len());
        let (order, parents, cut) = lineage::order(count, pairs);
        let id = |number: u32| ids.get(wide(number)).map_or(RoleId::from_uuid(Uuid::nil()), |(id, _)| *id);
        self.problems
            .extend(cut.into_iter().map(|(heir, parent)| PolicyProblem::Inheritance(id(heir), id(parent))));
        let mut roles: Vec<Role> =
            ids.iter().map(|(id, _)| Role { id: *id, allowed: Bits::empty(), more: None }).collect();
        let mut inherited = 0_usize;
        for number in order {
            if !ids.get(wide(number)).is_some_and(|(_, is_active)| *is_active) {
                continue;
            }
            let mut draft = Draft::default();
            let first = grants.partition_point(|(role, ..)| *role < number);
            let own = grants.get(first..).unwrap_or_default().iter().take_while(|(role, ..)| *role == number);
            for (_, effect, condition, meant) in own {
                let condition = self.conditions.of_own(*condition, meant.of_own);
                let rule = rule(*effect, condition, None, Uuid::nil());
                each_rule(&meant.what, rule, |rule| draft.add(rule));
            }
            let parents: Box<[u32]> = parents
                .of(number)
                .filter(|&parent| ids.get(wide(parent)).is_some_and(|(_, on)| *on))
                .collect();
            let mut is_too_large = false;
            for parent in parents.iter().filter_map(|&parent| roles.get(wide(parent))) {
                inherited = inherited.saturating_add(parent.size());
                // Its denials are unknown, so nothing of it may count as allowed.
                is_too_large |= inherited > INHERITED_MAX;
                if is_too_large {
                    break;
                }
                draft.inherit(parent);
            }
            if is_too_large {
                self.problems.push(PolicyProblem::RoleTooLarge(id(number)));
                let Given { what, .. } = self.given_by("*");
                draft = Draft::default();
                each_rule(&what, rule(Effect::Deny, 0, None, Uuid::nil()), |rule| draft.add(rule));
            }
            if let Some(role) = roles.get_mut(wide(number)) {
                (role.allowed, role.more) = draft.finish(parents);
            }
        }
        roles.into_boxed_slice()
    }

    fn subjects(
        &mut self,
        policy: &Policy,
        number: impl Fn(&Seed, RoleId) -> Option<u32>,
        ids: &[(RoleId, bool)],
    ) -> (Index<Subject>, Box<[Assigned]>) {
        let mut named: Vec<Assignee> = policy.assignments.iter().map(|row| row.assignee).collect();
        named.extend(policy.overrides.iter().map(|row| row.assignee));
        named.extend(policy.acls.iter().map(|row| row.assignee));
        named.extend(policy.members.iter().flat_map(|(group, member)| [*group, *member]));
        named.sort_unstable();
        named.dedup();
        let named =
            named.into_iter().map(|one| Subject { id: one.id, kind: one.kind, start: 0, end: 0, extra: 0 });
        let mut subjects = Index::new(named.collect(), |one| {
            hash_of_assignee(&self.seed, Assignee { kind: one.kind, id: one.id })
        });

        let mut rows: Vec<(u32, u32, Instant)> = Vec::with_capacity(policy.assignments.len());
        for row in &policy.assignments {
            match number(&self.seed, row.role) {
                None => self.problems.push(PolicyProblem::Assignment(row.assignee, row.role)),
                Some(role) => {
                    let is_active = ids.get(wide(role)).is_some_and(|(_, is_active)| *is_active);
                    if let Some(subject) = place(&self.seed, &subjects, row.assignee).filter(|_| is_active) {
                        rows.push((subject, role, instant(row.expires_at)));
                    }
                }
            }
        }
        rows.sort_unstable_by_key(|&(subject, role, expires)| (subject, role, std::cmp::Reverse(expires)));
        // Of two rows about the same role, the one that counts longer.
        rows.dedup_by_key(|(subject, role, _)| (*subject, *role));
        let mut assigned = Vec::new();
        for of_one in rows.chunk_by(|(one, ..), (other, ..)| one == other) {
            let Some(&(subject, role, expires)) = of_one.first() else { continue };
            let Some(subject) = subjects.get_mut(subject) else { continue };
            if let ([_], NEVER) = (of_one, expires) {
                (subject.start, subject.end) = (role, ONE);
                continue;
            }
            subject.start = narrow(assigned.len());
            assigned.extend(of_one.iter().map(|&(_, role, expires)| Assigned { role, expires }));
            subject.end = narrow(assigned.len());
        }
        let assigned = assigned.into_boxed_slice();
        (subjects, assigned)
    }

    fn extras(
        &self,
        policy: &Policy,
        subjects: &mut Index<Subject>,
        drafts: HashMap<Assignee, Draft, Seed>,
    ) -> Box<[Extra]> {
        let place = |subjects: &Index<Subject>, one| place(&self.seed, subjects, one);
        let mut members: Vec<(u32, u32)> = policy
            .members
            .iter()
            .filter_map(|(group, member)| Some((place(subjects, *member)?, place(subjects, *group)?)))
            .collect();
        members.sort_unstable();
        members.dedup();
        let mut extras: Vec<Extra> = Vec::new();
        for of_one in members.chunk_by(|(one, _), (other, _)| one == other) {
            let Some((member, _)) = of_one.first() else { continue };
            let mut groups: Vec<u32> = of_one.iter().map(|(_, group)| *group).collect();
            // By id: places differ from process to process, and all are to name the same rule.
            groups.sort_unstable_by_key(|&group| subjects.get(group).map(|one| (one.kind, one.id)));
            if let Some(subject) = subjects.get_mut(*member) {
                extras.push(Extra { groups: groups.into_boxed_slice(), ..Extra::default() });
                subject.extra = narrow(extras.len());
            }
        }
        for (assignee, draft) in drafts {
            let subject = place(subjects, assignee).and_then(|place| subjects.get_mut(place));
            let Some(subject) = subject else { continue };
            if subject.extra == 0 {
                extras.push(Extra::default());
                subject.extra = narrow(extras.len());
            }
            if let Some(extra) = subject.extra.checked_sub(1).and_then(|place| extras.get_mut(wide(place))) {
                extra.overrides = RuleList::new(draft.rules);
            }
        }
        extras.into_boxed_slice()
    }

    fn acls(&mut self, mut rows: Vec<(&PolicyAcl, &Given)>, subjects: &Index<Subject>) -> Acls {
        rows.sort_unstable_by(|(one, _), (other, _)| {
            (&one.resource_kind, &one.resource_id).cmp(&(&other.resource_kind, &other.resource_id))
        });
        let (mut texts, mut things, mut entries) =
            (String::new(), Vec::new(), Vec::<Entry>::with_capacity(rows.len()));
        let is_same = |(one, _): &(&PolicyAcl, _), (other, _): &(&PolicyAcl, _)| {
            (&one.resource_kind, &one.resource_id) == (&other.resource_kind, &other.resource_id)
        };
        for of_one in rows.chunk_by(is_same) {
            let Some((PolicyAcl { resource_kind: kind, resource_id: id, .. }, _)) = of_one.first() else {
                continue;
            };
            if texts.len() + kind.len() + id.len() >= wide(u32::MAX) {
                self.problems.extend(of_one.iter().map(|(row, _)| PolicyProblem::Acl(row.id)));
                continue;
            }
            let (thing, start) = (narrow(things.len()), entries.len());
            let at = narrow(texts.len());
            texts.push_str(kind);
            texts.push_str(id);
            for (row, meant) in of_one {
                let Some(subject) = place(&self.seed, subjects, row.assignee) else { continue };
                let condition = self.conditions.of_own(0, meant.of_own);
                let rule = rule(row.effect, condition, row.expires_at, row.id.as_uuid());
                each_rule(&meant.what, rule, |rule| entries.push(Entry { thing, subject, rule }));
            }
            let end = entries.len();
            if let Some(own) = entries.get_mut(start..) {
                own.sort_unstable_by_key(|entry| (entry.subject, entry.rule));
            }
            let (kind_bytes, id_bytes) = (narrow(kind.len()), narrow(id.len()));
            things.push(Thing { at, kind_bytes, id_bytes, start: narrow(start), end: narrow(end) });
        }
        let texts = texts.into_boxed_str();
        let text =
            |start: u32, bytes: u32| texts.get(wide(start)..wide(start) + wide(bytes)).unwrap_or_default();
        let index = Index::new((0..narrow(things.len())).collect(), |&number| {
            things.get(wide(number)).map_or(0, |one: &Thing| {
                let (kind, id) = (text(one.at, one.kind_bytes), text(one.at + one.kind_bytes, one.id_bytes));
                hash_of_texts(&self.seed, [kind, id])
            })
        });
        let mut by_subject: Vec<u32> = (0..narrow(entries.len())).collect();
        by_subject.sort_by_key(|&place| entries.get(wide(place)).map(|entry| entry.subject));
        let (things, entries) = (things.into_boxed_slice(), entries.into_boxed_slice());
        Acls { texts, things, index, entries, by_subject: by_subject.into_boxed_slice() }
    }
}

/// Conditions, each once.
#[derive(Debug, Default)]
struct Conditions {
    list: Vec<Condition>,
    numbers: HashMap<Condition, u32, Seed>,
}

impl Conditions {
    fn number(&mut self, condition: &Condition) -> u32 {
        if let Some(number) = self.numbers.get(condition) {
            return *number;
        }
        self.list.push(condition.clone());
        let number = narrow(self.list.len());
        self.numbers.insert(condition.clone(), number);
        number
    }

    /// The same condition, and owning the thing besides.
    fn of_own(&mut self, number: u32, of_own: bool) -> u32 {
        if !of_own {
            return number;
        }
        let owner = Condition::Owner {};
        match number.checked_sub(1).and_then(|place| self.list.get(wide(place))) {
            None => self.number(&owner),
            Some(condition) => {
                let both = Condition::All(vec![owner, condition.clone()]);
                self.number(&both)
            }
        }
    }
}

fn rule(effect: Effect, condition: u32, expires_at: Option<DateTime<Utc>>, id: Uuid) -> Rule {
    Rule { is_pattern: false, at: 0, effect, condition, expires: instant(expires_at), id }
}

/// `rule` about each permission that is meant.
fn each_rule(what: &What, rule: Rule, mut take: impl FnMut(Rule)) {
    match what {
        What::Nothing => {}
        What::One(at) => take(Rule { at: *at, ..rule }),
        What::Several(places) => places.iter().for_each(|&at| take(Rule { at, ..rule })),
        What::Pattern(at) => take(Rule { is_pattern: true, at: *at, ..rule }),
    }
}

impl Draft {
    fn add(&mut self, rule: Rule) {
        match rule {
            Rule { is_pattern: false, condition: 0, effect: Effect::Allow, at, .. } => self.allowed.push(at),
            Rule { is_pattern: false, condition: 0, effect: Effect::Deny, at, .. } => self.denied.push(at),
            _ => self.rules.push(rule),
        }
    }

    fn inherit(&mut self, parent: &Role) {
        self.allowed.extend(parent.allowed.iter());
        if let Some(more) = &parent.more {
            self.denied.extend(more.denied.iter());
            self.rules.extend_from_slice(&more.rules.0);
        }
    }

    fn finish(self, parents: Box<[u32]>) -> (Bits, Option<Box<More>>) {
        let has_more = !self.denied.is_empty() || !self.rules.is_empty() || !parents.is_empty();
        let more = has_more.then(|| More {
            denied: Bits::new(self.denied),
            rules: RuleList::new(self.rules),
            parents,
        });
        (Bits::new(self.allowed), more.map(Box::new))
    }
}

impl RuleList {
    fn new(mut rules: Vec<Rule>) -> Self {
        rules.sort_unstable();
        rules.dedup();
        Self(rules.into_boxed_slice())
    }
}

impl Role {
    /// What inheriting it costs.
    fn size(&self) -> usize {
        let more = self.more.as_ref().map_or(0, |more| more.denied.cost() + more.rules.0.len() * 8);
        self.allowed.cost() + more + 1
    }
}

fn place(seed: &Seed, subjects: &Index<Subject>, assignee: Assignee) -> Option<u32> {
    subjects.find(hash_of_assignee(seed, assignee), |one| one.id == assignee.id && one.kind == assignee.kind)
}

fn hash_of_id(seed: &Seed, id: Uuid) -> u64 {
    let mut hasher = seed.build_hasher();
    hasher.write_u128(id.as_u128());
    hasher.finish()
}

fn instant(at: Option<DateTime<Utc>>) -> Instant {
    at.map_or(NEVER, |at| at.timestamp_micros())
}
