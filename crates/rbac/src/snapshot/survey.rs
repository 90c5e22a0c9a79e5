//! What delegation and administrators ask of a policy: not one decision, but what its rules amount to.

use std::ops::ControlFlow;

use chrono::{DateTime, Utc};
use stylobate_core::RoleId;

use super::{Match, NEVER, Origin, Rule, RuleList, Snapshot, Things};
use crate::{
    Assignee, Effect, RuleSource,
    index::{narrow, wide},
    snapshot::Asked,
};

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

/// A permission that a rule names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum NamedPermission<'a> {
    /// By its place in the catalogue.
    Declared(u32),
    /// By the name that only rows know.
    Own(&'a str),
}

impl Snapshot {
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
                let depends = rule.condition.is_some() || rule.resource.is_some();
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
        mut found: impl FnMut(NamedPermission<'a>),
    ) {
        let Some((_, subject)) = self.subject(assignee) else { return };
        let mut named = |place: u32| match self.names.name(place) {
            Some(name) => found(NamedPermission::Own(name)),
            None => found(NamedPermission::Declared(place)),
        };
        let mut beyond_too = Vec::new();
        let mut rules = |rules: &'a RuleList, named: &mut dyn FnMut(u32)| {
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
                    found(NamedPermission::Own(name));
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
        let role_id = match found.origin {
            Origin::Acl(id) => return RuleSource::Acl { id },
            Origin::Override(id) => return RuleSource::Override { id },
            Origin::Role(id) => id,
        };
        let place = self.place(asked);
        let condition =
            found.condition.and_then(|condition| self.conditions.iter().position(|one| one == condition));
        let rule = (found.effect, condition.map_or(0, |position| narrow(position + 1)));
        let mut granted_by = found.role;
        // Up to the one that has it from nobody else. No cycles: compiling cut them.
        while let Some(parent) = granted_by.and_then(|role| role.more.as_ref()).and_then(|more| {
            let mut parents = more.parents.iter().filter_map(|&place| self.roles.get(wide(place)));
            parents.find(|parent| parent.has(place, asked, &self.patterns, rule))
        }) {
            granted_by = Some(parent);
        }
        RuleSource::Role { role_id, granted_by: granted_by.map_or(role_id, |role| role.id) }
    }
}

impl Rule {
    fn is_live(&self, now: DateTime<Utc>) -> bool {
        self.expires == NEVER || self.expires > now.timestamp_micros()
    }
}
