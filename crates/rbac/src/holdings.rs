//! What somebody holds, as far as handing it out is concerned. Stricter than a check: what is handed out may be used at
//! other times, on other things and by others than the caller, so only what the caller has in all of these cases counts.
//!
//! 1. A rule that allows lets its holder hand out what it covers, for as long as it lasts, on the resource it is about, and
//!    under its own condition or, when it has none, any.
//! 2. Whatever a rule about the caller denies is not the caller's to hand out, be that rule conditional or about one
//!    resource. A platform rule that allows is above the tenant's that deny, as in checks.
//! 3. A pattern is handed out by whoever holds a pattern that covers it, because it also means what is not declared yet.
//! 4. Scopes of the credential narrow all of this.
//! 5. Permissions that only rows know have no holder at first, and patterns of them none at all: whoever holds every
//!    permission that the catalogue declares for the owner's roles is its administrator and hands them out too.
//! 6. To make a rule that denies something, or to take a denial away, is as much as to hand it out: a denial is lifted by
//!    those whom it does not hit, or by the platform. Taking rights away needs no more than the permission to do so.
//!
//! What is to be handed out counts whether it is switched on or not, for it can be switched on. What the caller has does not,
//! except for a single permission, which nobody can use while it is switched off.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use stylobate_core::{PermissionId, RoleId};

use crate::{
    Assignee, Catalogue, Condition, Effect, PermissionDef, Policy,
    key::{covers, is_pattern, is_valid, without_own},
};

/// A right: by itself what is to be handed out, or as part of [`Rules`] what somebody has.
#[derive(Debug, Clone)]
pub(crate) struct Claim {
    key: String,
    condition: Option<Condition>,
    until: Option<DateTime<Utc>>,
    /// Kind and id, when it is about one resource.
    resource: Option<(String, String)>,
}

impl Claim {
    /// What granting `key` gives. A key ending in `:own` or `.own` that the catalogue does not declare is the permission
    /// before it for the owner of the thing.
    pub(crate) fn new(catalogue: &Catalogue, key: &str, condition: Option<Condition>) -> Self {
        let (key, condition) = match of_owner(catalogue, key) {
            None => (key, condition),
            Some(key) => (
                key,
                Some(match condition {
                    None => Condition::Owner {},
                    Some(other) => Condition::All(vec![Condition::Owner {}, other]),
                }),
            ),
        };
        Self { key: key.to_owned(), condition, until: None, resource: None }
    }

    /// The same until `until`.
    pub(crate) fn until(mut self, until: Option<DateTime<Utc>>) -> Self {
        self.until = until;
        self
    }

    /// The same about one resource.
    pub(crate) fn on(mut self, kind: &str, id: &str) -> Self {
        self.resource = Some((kind.to_owned(), id.to_owned()));
        self
    }

    /// Whether it has neither condition nor end and is about everything.
    fn is_absolute(&self) -> bool {
        self.condition.is_none() && self.until.is_none() && self.resource.is_none()
    }

    /// Whether holding `self` is holding `other`, what they cover left aside.
    fn reaches(&self, other: &Self) -> bool {
        let lasts = match (self.until, other.until) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(own), Some(other)) => own >= other,
        };
        lasts
            && (self.condition.is_none() || self.condition == other.condition)
            && (self.resource.is_none() || self.resource == other.resource)
    }
}

/// The permission before `:own`, when the key is not a permission by itself.
pub(crate) fn of_owner<'k>(catalogue: &Catalogue, key: &'k str) -> Option<&'k str> {
    without_own(key).filter(|_| !catalogue.has(key))
}

/// Whether the key is of one permission by itself: switched off, that is denied to everybody. A pattern, an owner's right or
/// a name of several that is switched off only gives and denies nothing.
pub(crate) fn is_single(catalogue: &Catalogue, key: &str) -> bool {
    !is_pattern(key)
        && of_owner(catalogue, key).is_none()
        && catalogue.places(key).is_none_or(|places| places.len() == 1)
}

/// Rights that are handed out together, and what the same hand takes from them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Bundle {
    pub(crate) claims: Vec<Claim>,
    /// Keys and patterns that the bundle itself always denies.
    minus: Vec<String>,
}

impl Bundle {
    /// Exactly these.
    pub(crate) fn of(claims: impl IntoIterator<Item = Claim>) -> Self {
        Self { claims: claims.into_iter().collect(), minus: Vec::new() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.claims.is_empty()
    }

    /// What whoever has `role` until `until` may do by it: its own rules and the inherited ones, switched on or not.
    pub(crate) fn of_role(
        catalogue: &Catalogue,
        policy: &Policy,
        role: RoleId,
        until: Option<DateTime<Utc>>,
    ) -> Self {
        let keys = Keys::new(policy);
        let (all, active) = (above(policy, role, false), above(policy, role, true));
        let mut bundle = Self::default();
        for grant in policy.grants.iter().filter(|grant| all.contains(&grant.role)) {
            let Some(key) = keys.get(grant.permission) else { continue };
            let claim = Claim::new(catalogue, key, grant.condition.clone());
            match grant.effect {
                Effect::Allow => bundle.claims.push(claim.until(until)),
                // A denial that is switched off, or holds sometimes only, takes nothing away for certain.
                Effect::Deny
                    if claim.condition.is_none()
                        && active.contains(&grant.role)
                        && keys.active(grant.permission).is_some() =>
                {
                    bundle.minus.push(claim.key);
                }
                Effect::Deny => {}
            }
        }
        bundle
    }

    /// What `role`, were it gone, would deny no longer to those who have it until `until`; switched on or not, for what
    /// is switched off now can be switched on again.
    pub(crate) fn denied_by_role(
        catalogue: &Catalogue,
        policy: &Policy,
        role: RoleId,
        until: Option<DateTime<Utc>>,
    ) -> Self {
        let keys = Keys::new(policy);
        let all = above(policy, role, false);
        let denials = policy
            .grants
            .iter()
            .filter(|grant| grant.effect == Effect::Deny && all.contains(&grant.role))
            .filter_map(|grant| keys.get(grant.permission));
        Self::of(denials.map(|key| Claim::denied(catalogue, key).until(until)))
    }
}

impl Claim {
    /// What somebody gains for whom `key` is denied no longer. Under no condition: a denial also holds where its condition
    /// is not known to hold.
    pub(crate) fn denied(catalogue: &Catalogue, key: &str) -> Self {
        Self { condition: None, ..Self::new(catalogue, key, None) }
    }
}

/// The keys of a policy's permissions, and whether they count; a damaged one gives nothing.
struct Keys<'a>(HashMap<PermissionId, (&'a str, bool)>);

impl<'a> Keys<'a> {
    fn new(policy: &'a Policy) -> Self {
        let valid = policy.permissions.iter().filter(|row| is_valid(&row.key));
        Self(valid.map(|row| (row.id, (row.key.as_str(), row.is_active))).collect())
    }

    /// The key, switched off or not.
    fn get(&self, id: PermissionId) -> Option<&'a str> {
        self.0.get(&id).map(|(key, _)| *key)
    }

    /// The key, unless it is switched off.
    fn active(&self, id: PermissionId) -> Option<&'a str> {
        self.0.get(&id).filter(|(_, is_active)| *is_active).map(|(key, _)| *key)
    }

    /// The key, if whoever is allowed it has what it means. Switched off, a single permission is used by nobody, so that it
    /// makes no difference; anything that means others gives none of them.
    fn held(&self, catalogue: &Catalogue, id: PermissionId) -> Option<&'a str> {
        self.active(id).or_else(|| self.get(id).filter(|key| is_single(catalogue, key)))
    }

    /// The key of a rule of the caller's: strict with what it allows, and with what it denies.
    fn of_rule(&self, catalogue: &Catalogue, id: PermissionId, effect: Effect) -> Option<&'a str> {
        match effect {
            Effect::Allow => self.held(catalogue, id),
            Effect::Deny => self.get(id),
        }
    }
}

/// `role` and everything it inherits from; with `active_only`, as far as roles are switched on.
pub(crate) fn above(policy: &Policy, role: RoleId, active_only: bool) -> HashSet<RoleId> {
    let there: HashMap<RoleId, bool> = policy.roles.iter().map(|role| (role.id, role.is_active)).collect();
    let counts = |role: RoleId| there.get(&role).is_some_and(|is_active| *is_active || !active_only);
    climb(&policy.inheritance, role, counts)
}

/// `role` and everything that `links` (heir first, then parent) lead to from it, as far as roles count. Ends on cycles too.
pub(crate) fn climb(
    links: &[(RoleId, RoleId)],
    role: RoleId,
    counts: impl Fn(RoleId) -> bool,
) -> HashSet<RoleId> {
    let mut parents: HashMap<RoleId, Vec<RoleId>> = HashMap::new();
    for (heir, parent) in links {
        parents.entry(*heir).or_default().push(*parent);
    }
    let (mut found, mut open) = (HashSet::new(), vec![role]);
    while let Some(role) = open.pop() {
        if counts(role) && found.insert(role) {
            open.extend(parents.get(&role).into_iter().flatten());
        }
    }
    found
}

/// The rules of one policy about one subject that count at a time.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rules {
    allow: RuleSet,
    deny: RuleSet,
}

/// Rules of one effect, found by what they cover.
#[derive(Debug, Clone, Default)]
struct RuleSet {
    exact: HashMap<String, Vec<Claim>>,
    patterns: Vec<Claim>,
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

    /// Those that cover what is asked about.
    fn about<'a>(&'a self, asked: &'a Asked<'_>) -> impl Iterator<Item = &'a Claim> {
        let named = asked.names().filter_map(|name| self.exact.get(name)).flatten();
        named.chain(self.patterns.iter().filter(|claim| asked.is_covered_by(&claim.key)))
    }
}

impl Rules {
    /// Reads them from the rows; `policy` may hold rules about others, which are left out.
    pub(crate) fn of(catalogue: &Catalogue, policy: &Policy, assignee: Assignee, now: DateTime<Utc>) -> Self {
        let keys = Keys::new(policy);
        let counts = |until: &Option<DateTime<Utc>>| until.is_none_or(|until| until > now);
        let mut rules = Self::default();
        for held in &policy.assignments {
            if held.assignee != assignee || !counts(&held.expires_at) {
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
            if rule.assignee == assignee
                && counts(&rule.expires_at)
                && let Some(key) = keys.of_rule(catalogue, rule.permission, rule.effect)
            {
                let claim = Claim::new(catalogue, key, rule.condition.clone()).until(rule.expires_at);
                rules.add(rule.effect, claim);
            }
        }
        for entry in &policy.acls {
            if entry.assignee == assignee
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

/// What a rule may cover.
#[derive(Debug, Clone, Copy)]
enum Asked<'a> {
    /// A permission that the catalogue declares.
    Declared(&'a PermissionDef),
    /// A name that only rows know.
    Own(&'a str),
    /// Every name that a pattern covers, now or later.
    Pattern(&'a str),
}

impl<'a> Asked<'a> {
    fn names(&self) -> impl Iterator<Item = &'a str> {
        let (declared, own) = match *self {
            Self::Declared(permission) => (Some(permission), None),
            Self::Own(name) => (None, Some(name)),
            Self::Pattern(_) => (None, None),
        };
        let declared = declared.into_iter().flat_map(|permission| permission.names());
        declared.map(|name| -> &'a str { name }).chain(own)
    }

    fn is_covered_by(&self, held: &str) -> bool {
        match *self {
            Self::Declared(permission) => permission.is_covered_by(held),
            Self::Own(name) => covers(held, name),
            Self::Pattern(pattern) => covers_pattern(held, pattern),
        }
    }
}

/// What a caller holds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Holdings<'a> {
    pub(crate) catalogue: &'a Catalogue,
    /// The rows whose owner is asked about: for the names that the catalogue does not know.
    pub(crate) policy: &'a Policy,
    /// By rules of the tenant; `None` when the platform's own rows are being changed.
    pub(crate) tenant: Option<&'a Rules>,
    /// By rules of the platform.
    pub(crate) platform: &'a Rules,
    /// What the credential is narrowed to.
    pub(crate) scopes: Option<&'a [String]>,
}

impl Holdings<'_> {
    /// Whether everything in `bundle` is the caller's to hand out.
    pub(crate) fn cover(&self, bundle: &Bundle) -> bool {
        // Rights that are handed out together mostly end together.
        let mut administrator = None;
        bundle.claims.iter().all(|claim| {
            let is_administrator = match administrator {
                Some((until, known)) if until == claim.until => known,
                _ => self.is_administrator(claim),
            };
            administrator = Some((claim.until, is_administrator));
            self.cover_claim(claim, &bundle.minus, is_administrator)
        })
    }

    fn cover_claim(&self, claim: &Claim, minus: &[String], is_administrator: bool) -> bool {
        let is_left = |asked: &Asked<'_>| !minus.iter().any(|key| asked.is_covered_by(key));
        let holds = |asked: Asked<'_>| self.is_in_scope(&asked) && self.decide(&asked, claim);
        // Names that nobody holds at first.
        let holds_own = |asked: Asked<'_>| {
            holds(asked) || (is_administrator && self.is_in_scope(&asked) && !self.is_denied(&asked, minus))
        };
        if !is_pattern(&claim.key) {
            return match self.catalogue.places(&claim.key) {
                Some(places) => places
                    .iter()
                    .filter_map(|place| self.catalogue.at(*place))
                    .filter(|permission| self.may_give(permission))
                    .map(Asked::Declared)
                    .filter(is_left)
                    .all(holds),
                None => Some(Asked::Own(&claim.key)).filter(is_left).is_none_or(holds_own),
            };
        }
        let own = self.policy.permissions.iter().map(|row| row.key.as_str());
        self.declared().filter(|asked| asked.is_covered_by(&claim.key)).filter(is_left).all(holds)
            && own
                .filter(|key| is_valid(key) && !is_pattern(key) && !self.catalogue.has(key))
                .map(Asked::Own)
                .filter(|asked| asked.is_covered_by(&claim.key) && is_left(asked))
                .all(holds_own)
            && Some(Asked::Pattern(&claim.key))
                .filter(is_left)
                .is_none_or(|asked| !self.is_denied(&asked, minus) && holds_own(asked))
    }

    fn may_give(&self, permission: &PermissionDef) -> bool {
        self.tenant.is_none() || !permission.is_platform
    }

    fn declared(&self) -> impl Iterator<Item = Asked<'_>> {
        self.catalogue
            .permissions()
            .iter()
            .filter(|permission| self.may_give(permission))
            .map(Asked::Declared)
    }

    fn is_in_scope(&self, asked: &Asked<'_>) -> bool {
        self.scopes.is_none_or(|scopes| scopes.iter().any(|scope| asked.is_covered_by(scope)))
    }

    /// Whether any rule about the caller denies what is asked about, or of a pattern a part that is not declared yet and
    /// that the bundle does not deny by itself.
    fn is_denied(&self, asked: &Asked<'_>, minus: &[String]) -> bool {
        let touches = |denied: &Claim| match *asked {
            Asked::Pattern(pattern) => {
                (covers_pattern(&denied.key, pattern) || covers_pattern(pattern, &denied.key))
                    && !minus.contains(&denied.key)
            }
            _ => asked.is_covered_by(&denied.key),
        };
        let policies = [Some(self.platform), self.tenant];
        policies.into_iter().flatten().any(|rules| match asked {
            Asked::Pattern(_) => rules.deny.patterns.iter().any(touches),
            _ => rules.deny.about(asked).next().is_some(),
        })
    }

    /// The order of rules in a check: the platform's denials, its permissions, then the tenant's.
    fn decide(&self, asked: &Asked<'_>, claim: &Claim) -> bool {
        let denied = |rules: &Rules| rules.deny.about(asked).next().is_some();
        let allowed = |rules: &Rules| rules.allow.about(asked).any(|held| held.reaches(claim));
        if denied(self.platform) {
            return false;
        }
        allowed(self.platform) || self.tenant.is_some_and(|tenant| !denied(tenant) && allowed(tenant))
    }

    fn is_administrator(&self, claim: &Claim) -> bool {
        // What only some condition or resource gives makes nobody an administrator.
        let whole = Claim { condition: None, resource: None, ..claim.clone() };
        self.declared().all(|asked| self.decide(&asked, &whole))
    }
}

/// Whether every name that `pattern` covers, now or later, is covered by `held`.
fn covers_pattern(held: &str, pattern: &str) -> bool {
    match (held.strip_suffix('*'), pattern.strip_suffix('*')) {
        (Some(held), Some(pattern)) => pattern.starts_with(held),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use stylobate_core::{OverrideId, PersonId};
    use uuid::Uuid;

    use super::*;
    use crate::{
        PolicyAssignment, PolicyGrant, PolicyOverride, PolicyPermission, PolicyRole, default_catalogue,
    };

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_772_366_400, 0).unwrap()
    }

    type Row<'a> = (&'a str, Effect, Option<Condition>, Option<DateTime<Utc>>);

    /// A policy with these rules for one person, by overrides.
    fn policy(rules: &[Row<'_>]) -> (Policy, Assignee) {
        let person = PersonId::from_uuid(Uuid::from_u128(1)).into();
        let mut policy = Policy::default();
        for (place, (key, effect, condition, expires_at)) in (100_u128..).zip(rules) {
            let permission = PermissionId::from_uuid(Uuid::from_u128(place));
            policy.permissions.push(PolicyPermission { id: permission, key: (*key).into(), is_active: true });
            policy.overrides.push(PolicyOverride {
                id: OverrideId::from_uuid(Uuid::from_u128(place)),
                assignee: person,
                permission,
                effect: *effect,
                condition: condition.clone(),
                expires_at: *expires_at,
            });
        }
        (policy, person)
    }

    fn covered(tenant: &[Row<'_>], claim: Claim) -> bool {
        let catalogue = default_catalogue();
        let (policy, person) = policy(tenant);
        let (tenant, platform) = (Rules::of(&catalogue, &policy, person, now()), Rules::default());
        let (tenant, platform) = (Some(&tenant), &platform);
        let holdings = Holdings { catalogue: &catalogue, policy: &policy, tenant, platform, scopes: None };
        holdings.cover(&Bundle::of([claim]))
    }

    fn claim(key: &str) -> Claim {
        Claim::new(&default_catalogue(), key, None)
    }

    #[test]
    fn what_is_held_is_handed_out_and_nothing_else() {
        let reads = [("user.read", Effect::Allow, None, None)];
        assert!(covered(&reads, claim("user.read")) && covered(&reads, claim("people:read")));
        for key in ["user.delete", "user.*", "role.read", "desk.read", "people:write"] {
            assert!(!covered(&reads, claim(key)), "{key}");
        }
        let denied = [
            ("user.*", Effect::Allow, None, None),
            ("user.delete", Effect::Deny, Some(Condition::Owner {}), None),
        ];
        assert!(covered(&denied, claim("user.read")) && !covered(&denied, claim("user.delete")));
        assert!(!covered(&denied, claim("user.*")));
    }

    #[test]
    fn a_pattern_needs_a_pattern() {
        let all_of_desk =
            [("desk.read", Effect::Allow, None, None), ("desk.write", Effect::Allow, None, None)];
        assert!(covered(&all_of_desk, claim("desk.read")) && !covered(&all_of_desk, claim("desk.*")));
        let pattern = [("desk.*", Effect::Allow, None, None)];
        assert!(covered(&pattern, claim("desk.*")) && covered(&pattern, claim("desk.drawer.*")));
        assert!(!covered(&pattern, claim("*")));
        let holed = [("desk.*", Effect::Allow, None, None), ("desk.safe.*", Effect::Deny, None, None)];
        assert!(covered(&holed, claim("desk.drawer.*")) && !covered(&holed, claim("desk.*")));
    }

    #[test]
    fn what_ends_or_is_conditional_is_handed_out_as_such() {
        let (tomorrow, later) = (now() + TimeDelta::days(1), now() + TimeDelta::days(2));
        let ends = [("user.read", Effect::Allow, None, Some(tomorrow))];
        assert!(covered(&ends, claim("user.read").until(Some(tomorrow))));
        for until in [None, Some(later)] {
            assert!(!covered(&ends, claim("user.read").until(until)));
        }
        assert!(!covered(
            &[("user.read", Effect::Allow, None, Some(now()))],
            claim("user.read").until(Some(tomorrow))
        ));
        let own = [("user.read:own", Effect::Allow, None, None)];
        assert!(covered(&own, claim("user.read.own")) && !covered(&own, claim("user.read")));
        let always = [("user.read", Effect::Allow, None, None)];
        assert!(covered(&always, claim("user.read:own")));
        assert!(covered(&always, claim("user.read").on("doc", "1")));
    }

    #[test]
    fn a_role_that_denies_a_part_of_itself_does_not_give_that_part() {
        let catalogue = default_catalogue();
        let id = |n| Uuid::from_u128(n);
        let (role, parent) = (RoleId::from_uuid(id(1)), RoleId::from_uuid(id(2)));
        let (all, delete) = (PermissionId::from_uuid(id(3)), PermissionId::from_uuid(id(4)));
        let person = Assignee::from(PersonId::from_uuid(id(5)));
        let key = |id, key: &str| PolicyPermission { id, key: key.into(), is_active: true };
        let mut policy = Policy {
            permissions: vec![key(all, "user.*"), key(delete, "user.delete")],
            roles: vec![PolicyRole { id: role, is_active: true }, PolicyRole { id: parent, is_active: true }],
            inheritance: vec![(role, parent)],
            grants: vec![
                PolicyGrant::allow(role, all),
                PolicyGrant { effect: Effect::Deny, ..PolicyGrant::allow(parent, delete) },
            ],
            assignments: vec![PolicyAssignment::new(person, role)],
            ..Policy::default()
        };
        let covers = |policy: &Policy, bundle: &Bundle| {
            let (tenant, platform) = (Rules::of(&catalogue, policy, person, now()), Rules::default());
            let (tenant, platform) = (Some(&tenant), &platform);
            Holdings { catalogue: &catalogue, policy, tenant, platform, scopes: None }.cover(bundle)
        };
        assert!(covers(&policy, &Bundle::of_role(&catalogue, &policy, role, None)));
        // Without the parent the same role gives more than its holder has, and taking the parent away would too.
        let without = Policy { inheritance: Vec::new(), ..policy.clone() };
        assert!(!covers(&policy, &Bundle::of_role(&catalogue, &without, role, None)));
        assert!(!covers(&policy, &Bundle::denied_by_role(&catalogue, &policy, parent, None)));
        policy.roles[1].is_active = false;
        let bundle = Bundle::of_role(&catalogue, &policy, role, None);
        assert!(bundle.minus.is_empty());
    }
}
