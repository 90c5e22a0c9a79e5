use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};

use super::{
    above,
    claim::{Bundle, Claim},
    cover::Part,
    rows::Keys,
};
use crate::{Assignee, Catalogue, Effect, Policy, key::is_pattern};

/// The rules of one policy about one subject, itself or by its groups, that count at a time.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rules {
    pub(super) allow: RuleSet,
    pub(super) deny: RuleSet,
}

/// Rules of one effect, found by what they cover.
#[derive(Debug, Clone, Default)]
pub(super) struct RuleSet {
    exact: HashMap<String, Vec<Claim>>,
    pub(super) patterns: Vec<Claim>,
}

impl RuleSet {
    fn add(&mut self, claim: Claim) {
        if is_pattern(&claim.key) {
            self.patterns.push(claim);
        } else {
            self.exact.entry(claim.key.clone()).or_default().push(claim);
        }
    }

    fn iter(&self) -> impl Iterator<Item = &Claim> {
        self.exact.values().flatten().chain(&self.patterns)
    }

    fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.patterns.is_empty()
    }

    /// Those that cover it.
    pub(super) fn about<'a>(&'a self, part: &'a Part<'_>) -> impl Iterator<Item = &'a Claim> {
        let named = part.names().filter_map(|name| self.exact.get(name)).flatten();
        named.chain(self.patterns.iter().filter(|claim| part.is_covered_by(&claim.key)))
    }
}

impl Rules {
    /// Reads them from the rows; `policy` may hold rules about others, which are left out.
    pub(crate) fn of(catalogue: &Catalogue, policy: &Policy, assignee: Assignee, now: DateTime<Utc>) -> Self {
        let keys = Keys::new(policy);
        let counts = |until: &Option<DateTime<Utc>>| until.is_none_or(|until| until > now);
        let groups = policy.members.iter().filter(|(_, member)| *member == assignee).map(|(group, _)| *group);
        let named: HashSet<Assignee> = groups.chain([assignee]).collect();
        let mut rules = Self::default();
        for held in &policy.assignments {
            if !named.contains(&held.assignee) || !counts(&held.expires_at) {
                continue;
            }
            let roles = above(policy, held.role, true);
            for grant in policy.grants.iter().filter(|grant| roles.contains(&grant.role)) {
                let Some(key) = keys.of_rule(catalogue, grant.permission, grant.effect) else { continue };
                let claim = Claim::new(catalogue, key, grant.condition.clone()).until(held.expires_at);
                rules.add(grant.effect, claim);
            }
        }
        for rule in &policy.overrides {
            if named.contains(&rule.assignee)
                && counts(&rule.expires_at)
                && let Some(key) = keys.of_rule(catalogue, rule.permission, rule.effect)
            {
                let claim = Claim::new(catalogue, key, rule.condition.clone()).until(rule.expires_at);
                rules.add(rule.effect, claim);
            }
        }
        for entry in &policy.acls {
            if named.contains(&entry.assignee)
                && counts(&entry.expires_at)
                && let Some(key) = keys.of_rule(catalogue, entry.permission, entry.effect)
            {
                let claim = Claim::new(catalogue, key, None).until(entry.expires_at);
                rules.add(entry.effect, claim.on(&entry.resource_kind, &entry.resource_id));
            }
        }
        rules
    }

    /// Rules that allow exactly `keys`, for ever.
    pub(crate) fn allowing(catalogue: &Catalogue, keys: impl IntoIterator<Item = String>) -> Self {
        let mut rules = Self::default();
        for key in keys {
            rules.allow.add(Claim::new(catalogue, &key, None));
        }
        rules
    }

    /// Everything they allow, for a caller that would act as the subject.
    pub(crate) fn allowed(&self) -> Bundle {
        // What they deny for good is not theirs to use either.
        let minus =
            self.deny.iter().filter(|claim| claim.is_absolute()).map(|claim| claim.key.clone()).collect();
        Bundle { claims: self.allow.iter().cloned().collect(), minus }
    }

    /// Whether they allow everything for good and deny nothing.
    pub(crate) fn allow_everything(&self) -> bool {
        self.deny.is_empty()
            && self.allow.patterns.iter().any(|claim| claim.key == "*" && claim.is_absolute())
    }

    fn add(&mut self, effect: Effect, claim: Claim) {
        match effect {
            Effect::Allow => self.allow.add(claim),
            Effect::Deny => self.deny.add(claim),
        }
    }
}
