use super::{
    claim::{Bundle, Claim},
    rules::Rules,
};
use crate::{
    Catalogue, PermissionDef, Policy,
    key::{covers, is_pattern, is_valid},
    meaning::{Gives, Meaning, declared},
    snapshot::Reach,
};

/// A part of what a claim is about.
#[derive(Debug, Clone, Copy)]
pub(super) enum Part<'a> {
    /// A permission that the catalogue declares.
    Declared(&'a PermissionDef),
    /// A name that only rows know.
    Own(&'a str),
    /// Every name that a pattern covers, now or later.
    Pattern(&'a str),
}

impl<'a> Part<'a> {
    pub(super) fn names(&self) -> impl Iterator<Item = &'a str> {
        let (declared, own) = match *self {
            Self::Declared(permission) => (Some(permission), None),
            Self::Own(name) => (None, Some(name)),
            Self::Pattern(_) => (None, None),
        };
        let declared = declared.into_iter().flat_map(|permission| permission.names());
        declared.map(|name| -> &'a str { name }).chain(own)
    }

    pub(super) fn is_covered_by(&self, held: &str) -> bool {
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
        let is_left = |part: &Part<'_>| !minus.iter().any(|key| part.is_covered_by(key));
        let holds = |part: Part<'_>| self.is_in_scope(&part) && self.decide(&part, claim);
        // Names that nobody holds at first.
        let holds_own = |part: Part<'_>| {
            holds(part) || (is_administrator && self.is_in_scope(&part) && !self.is_denied(&part, minus))
        };
        let pattern = match Meaning::of(self.catalogue, self.reach(), &claim.key).gives {
            Gives::Declared(found) => {
                return found.into_iter().map(|(_, one)| Part::Declared(one)).filter(is_left).all(holds);
            }
            Gives::Own(name) => return Some(Part::Own(name)).filter(is_left).is_none_or(holds_own),
            Gives::Pattern(pattern) => pattern,
        };
        let own = self.policy.permissions.iter().map(|row| row.key.as_str());
        self.declared().filter(|part| part.is_covered_by(pattern)).filter(is_left).all(holds)
            && own
                .filter(|key| is_valid(key) && !is_pattern(key) && !self.catalogue.has(key))
                .map(Part::Own)
                .filter(|part| part.is_covered_by(pattern) && is_left(part))
                .all(holds_own)
            && Some(Part::Pattern(pattern))
                .filter(is_left)
                .is_none_or(|part| !self.is_denied(&part, minus) && holds_own(part))
    }

    fn reach(&self) -> Reach {
        if self.tenant.is_some() { Reach::Tenant } else { Reach::Platform }
    }

    fn declared(&self) -> impl Iterator<Item = Part<'_>> {
        declared(self.catalogue, self.reach()).map(|(_, permission)| Part::Declared(permission))
    }

    fn is_in_scope(&self, part: &Part<'_>) -> bool {
        self.scopes.is_none_or(|scopes| scopes.iter().any(|scope| part.is_covered_by(scope)))
    }

    /// Whether any rule about the caller denies what is asked about, or of a pattern a part that is not declared yet and
    /// that the bundle does not deny by itself.
    fn is_denied(&self, part: &Part<'_>, minus: &[String]) -> bool {
        let touches = |denied: &Claim| match *part {
            Part::Pattern(pattern) => {
                (covers_pattern(&denied.key, pattern) || covers_pattern(pattern, &denied.key))
                    && !minus.contains(&denied.key)
            }
            _ => part.is_covered_by(&denied.key),
        };
        let policies = [Some(self.platform), self.tenant];
        policies.into_iter().flatten().any(|rules| match part {
            Part::Pattern(_) => rules.deny.patterns.iter().any(touches),
            _ => rules.deny.about(part).next().is_some(),
        })
    }

    /// The order of rules in a check: the platform's denials, its permissions, then the tenant's.
    fn decide(&self, part: &Part<'_>, claim: &Claim) -> bool {
        let denied = |rules: &Rules| rules.deny.about(part).next().is_some();
        let allowed = |rules: &Rules| rules.allow.about(part).any(|held| held.reaches(claim));
        if denied(self.platform) {
            return false;
        }
        allowed(self.platform) || self.tenant.is_some_and(|tenant| !denied(tenant) && allowed(tenant))
    }

    fn is_administrator(&self, claim: &Claim) -> bool {
        // What only some condition or resource gives makes nobody an administrator.
        let whole = Claim { condition: None, resource: None, ..claim.clone() };
        self.declared().all(|part| self.decide(&part, &whole))
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
    use chrono::{DateTime, TimeDelta, Utc};
    use stylobate_core::{OverrideId, PermissionId, PersonId, RoleId};
    use uuid::Uuid;

    use super::{super::RoleRows, *};
    use crate::{
        Assignee, Condition, Effect, PolicyAssignment, PolicyGrant, PolicyOverride, PolicyPermission,
        PolicyRole, default_catalogue,
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
        assert!(covers(&policy, &Bundle::of_role(&catalogue, &RoleRows::new(&policy), role, None)));
        // Without the parent the same role gives more than its holder has, and taking the parent away would too.
        let without = Policy { inheritance: Vec::new(), ..policy.clone() };
        assert!(!covers(&policy, &Bundle::of_role(&catalogue, &RoleRows::new(&without), role, None)));
        assert!(!covers(&policy, &Bundle::denied_by_role(&catalogue, &RoleRows::new(&policy), parent, None)));
        policy.roles[1].is_active = false;
        let bundle = Bundle::of_role(&catalogue, &RoleRows::new(&policy), role, None);
        assert!(bundle.minus.is_empty());
    }
}
