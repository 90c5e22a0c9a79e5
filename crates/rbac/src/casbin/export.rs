use std::{
    collections::{HashMap, HashSet},
    fmt::Write as _,
};

use chrono::{DateTime, Utc};
use stylobate_core::{PermissionId, RoleId, TenantId};

use super::{CasbinProblem, CasbinProblemKind, CasbinRules};
use crate::{
    Assignee, AssigneeKind, Catalogue, Condition, Effect, Policy,
    key::{covers, is_pattern, is_valid},
    meaning::{Gives, Meaning, base_of, declared},
    snapshot::{Origin, Reach, heirs_and_parents},
};

/// The rules of native roles as a casbin policy for [`CasbinModel::RBAC_WITH_DOMAINS`](crate::CasbinModel::RBAC_WITH_DOMAINS).
///
/// Permissions are written by their canonical names, so that whoever asks casbin asks by those. What casbin cannot say (a
/// condition, an end) is exported narrower and reported: an allowance is left out, a denial stays without condition or end.
#[derive(Debug, Clone, Default)]
pub struct CasbinExport {
    /// The rules.
    pub rules: CasbinRules,
    /// What is not as it was. The rule is the place, from 1, among all that were to be exported.
    pub problems: Vec<CasbinProblem>,
}

impl CasbinExport {
    /// Exports the policy of `tenant` (or of the platform) as it is at `now`. Roles are named by `role_name`, or by their id where it
    /// has none.
    #[must_use]
    pub fn of(
        policy: &Policy,
        tenant: Option<TenantId>,
        catalogue: &Catalogue,
        now: DateTime<Utc>,
        role_name: &dyn Fn(RoleId) -> Option<String>,
    ) -> Self {
        let domain = domain_text(tenant);
        let lowered = Lowered::of(policy, Reach::of(tenant), catalogue, &|role| {
            role_text(role_name(role).as_deref(), role)
        });
        let mut export = Self::default();
        let mut seen = HashSet::new();
        for (rule, number) in lowered.rules.into_iter().zip(1_usize..) {
            if !is_alive(rule.expires_at, now) {
                continue;
            }
            let mut problem = |kind| export.problems.push(CasbinProblem { rule: number, kind });
            if rule.condition.is_some() {
                problem(CasbinProblemKind::Condition);
            }
            if rule.expires_at.is_some() {
                problem(CasbinProblemKind::Expiry);
            }
            let is_said_in_full = rule.condition.is_none() && rule.expires_at.is_none();
            let values = vec![
                rule.subject,
                domain.clone(),
                rule.object,
                rule.permission,
                rule.effect.as_str().to_owned(),
            ];
            if (is_said_in_full || rule.effect == Effect::Deny) && seen.insert(values.clone()) {
                export.rules.push_policy(values);
            }
        }
        for (link, number) in lowered.links.into_iter().zip(seen.len() + 1..) {
            if !is_alive(link.expires_at, now) {
                continue;
            }
            let values = vec![link.from, link.to, domain.clone()];
            if link.expires_at.is_some() {
                // A role may deny, too; but leaving out what it allows is what keeps the export from giving more later.
                export.problems.push(CasbinProblem { rule: number, kind: CasbinProblemKind::Expiry });
            } else if seen.insert(values.clone()) {
                export.rules.push_role(values);
            }
        }
        export
    }
}

/// `expires_at` is the first instant at which a rule no longer counts.
pub(super) fn is_alive(expires_at: Option<DateTime<Utc>>, now: DateTime<Utc>) -> bool {
    expires_at.is_none_or(|at| now < at)
}

/// A rule about one subject, without roles' ids and synonyms.
#[derive(Debug, Clone)]
pub(super) struct LoweredRule {
    pub(super) subject: String,
    pub(super) object: String,
    pub(super) permission: String,
    pub(super) effect: Effect,
    pub(super) condition: Option<Condition>,
    pub(super) expires_at: Option<DateTime<Utc>>,
    pub(super) origin: Origin,
}

/// That whatever is said of `to` is also said of `from`.
#[derive(Debug, Clone)]
pub(super) struct LoweredLink {
    pub(super) from: String,
    pub(super) to: String,
    pub(super) expires_at: Option<DateTime<Utc>>,
}

/// A policy in casbin's two kinds of rules. Rows that make no sense and inactive roles are left out: the own engine reports
/// them.
#[derive(Debug, Clone, Default)]
pub(super) struct Lowered {
    pub(super) rules: Vec<LoweredRule>,
    pub(super) links: Vec<LoweredLink>,
}

impl Lowered {
    pub(super) fn of(
        policy: &Policy,
        reach: Reach,
        catalogue: &Catalogue,
        role_name: &dyn Fn(RoleId) -> String,
    ) -> Self {
        let permissions = Permissions::of(policy, reach, catalogue);
        let roles: HashMap<RoleId, String> = policy
            .roles
            .iter()
            .filter(|role| role.is_active)
            .map(|role| (role.id, role_name(role.id)))
            .collect();
        let mut lowered = Self::default();
        let mut push = |permission: PermissionId, rule: LoweredRule| {
            for (name, condition) in permissions.given(permission) {
                let condition = both(rule.condition.clone().map(readable), condition.clone());
                lowered.rules.push(LoweredRule { permission: name.clone(), condition, ..rule.clone() });
            }
        };
        for grant in &policy.grants {
            let Some(role) = roles.get(&grant.role) else { continue };
            push(
                grant.permission,
                LoweredRule {
                    subject: role.clone(),
                    object: "*".to_owned(),
                    permission: String::new(),
                    effect: grant.effect,
                    condition: grant.condition.clone(),
                    expires_at: None,
                    origin: Origin::Role(grant.role),
                },
            );
        }
        for one in &policy.overrides {
            push(
                one.permission,
                LoweredRule {
                    subject: assignee_text(one.assignee),
                    object: "*".to_owned(),
                    permission: String::new(),
                    effect: one.effect,
                    condition: one.condition.clone(),
                    expires_at: one.expires_at,
                    origin: Origin::Override(one.id),
                },
            );
        }
        for entry in &policy.acls {
            push(
                entry.permission,
                LoweredRule {
                    subject: assignee_text(entry.assignee),
                    object: object_text(Some((&entry.resource_kind, &entry.resource_id))),
                    permission: String::new(),
                    effect: entry.effect,
                    condition: None,
                    expires_at: entry.expires_at,
                    origin: Origin::Acl(entry.id),
                },
            );
        }
        for assignment in &policy.assignments {
            if let Some(role) = roles.get(&assignment.role) {
                let (from, to) = (assignee_text(assignment.assignee), role.clone());
                lowered.links.push(LoweredLink { from, to, expires_at: assignment.expires_at });
            }
        }
        for (heir, parent) in heirs_and_parents(policy) {
            if let (Some(heir), Some(parent)) = (roles.get(&heir), roles.get(&parent)) {
                lowered.links.push(LoweredLink { from: heir.clone(), to: parent.clone(), expires_at: None });
            }
        }
        for (group, member) in &policy.members {
            // Groups are flat.
            if group.kind == AssigneeKind::Group && member.kind != AssigneeKind::Group {
                let (from, to) = (assignee_text(*member), assignee_text(*group));
                lowered.links.push(LoweredLink { from, to, expires_at: None });
            }
        }
        lowered
    }
}

/// One that breaks the limits counts as one that nobody can read: it lets no rule allow, and every rule deny.
fn readable(condition: Condition) -> Condition {
    if condition.validate().is_ok() { condition } else { Condition::Unreadable }
}

fn both(one: Option<Condition>, other: Option<Condition>) -> Option<Condition> {
    match (one, other) {
        (Some(one), Some(other)) => Some(Condition::All(vec![one, other])),
        (one, other) => one.or(other),
    }
}

/// What each row of a permission stands for: canonical names and patterns of them, some of one's own things only.
struct Permissions(HashMap<PermissionId, (Vec<String>, Option<Condition>)>);

impl Permissions {
    fn of(policy: &Policy, reach: Reach, catalogue: &Catalogue) -> Self {
        let valid = policy.permissions.iter().filter(|row| is_valid(&row.key));
        let own: HashSet<&str> = valid
            .clone()
            .filter(|row| !is_pattern(&row.key))
            .map(|row| base_of(catalogue, &row.key).0)
            .filter(|name| !catalogue.has(name))
            .collect();
        let given = |key: &str| {
            let meaning = Meaning::of(catalogue, reach, key);
            let names = match meaning.gives {
                Gives::Declared(found) => found.into_iter().map(|(_, one)| one.key.to_owned()).collect(),
                Gives::Own(name) => vec![name.to_owned()],
                Gives::Pattern(pattern) => names_of_pattern(catalogue, reach, &own, pattern),
            };
            (names, meaning.of_own.then_some(Condition::Owner {}))
        };
        Self(valid.filter(|row| row.is_active).map(|row| (row.id, given(&row.key))).collect())
    }

    fn given(&self, permission: PermissionId) -> impl Iterator<Item = (&String, &Option<Condition>)> {
        self.0
            .get(&permission)
            .into_iter()
            .flat_map(|(names, condition)| names.iter().map(move |name| (name, condition)))
    }
}

fn names_of_pattern(catalogue: &Catalogue, reach: Reach, own: &HashSet<&str>, pattern: &str) -> Vec<String> {
    let covered = declared(catalogue, reach).map(|(_, one)| one).filter(|one| one.is_covered_by(pattern));
    let covered = covered.map(|one| one.key);
    // A pattern that reaches what only the platform gives is written out name by name.
    let mut all = catalogue.permissions().iter();
    if all.any(|one| !reach.may_give(one) && covers(pattern, one.key)) {
        let own = own.iter().copied().filter(|name| covers(pattern, name));
        return covered.chain(own).map(str::to_owned).collect();
    }
    let by_synonym = covered.filter(|name| !covers(pattern, name));
    std::iter::once(pattern).chain(by_synonym).map(str::to_owned).collect()
}

/// `person:ID`, `service:ID` or `group:ID`.
pub(super) fn assignee_text(assignee: Assignee) -> String {
    format!("{}:{}", assignee.kind.as_str(), assignee.id)
}

/// `role:NAME`, or `role:ID` without one.
pub(super) fn role_text(name: Option<&str>, role: RoleId) -> String {
    match name {
        Some(name) => format!("role:{}", escaped(name)),
        None => format!("role:{role}"),
    }
}

pub(super) fn domain_text(tenant: Option<TenantId>) -> String {
    tenant.map_or_else(|| "platform".to_owned(), |tenant| tenant.to_string())
}

/// `KIND/ID`, or `*` without a resource.
pub(super) fn object_text(resource: Option<(&str, &str)>) -> String {
    match resource {
        Some((kind, id)) => format!("{}/{}", escaped(kind), escaped(id)),
        None => "*".to_owned(),
    }
}

/// The text with every byte but letters, digits, `_` and `-` as `=XX` (as in quoted-printable, RFC 2045 §6.7): no star, slash,
/// point or comma is left that a rule could be misread by.
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-') {
            escaped.push(char::from(byte));
        } else {
            let _ = write!(escaped, "={byte:02X}");
        }
    }
    escaped
}

/// What [`escaped`] was made of.
pub(super) fn unescaped(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        if first == b'=' {
            let (digits, after) = after.split_at_checked(2)?;
            let digits = std::str::from_utf8(digits).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = after;
        } else {
            bytes.push(first);
            rest = after;
        }
    }
    let found = String::from_utf8(bytes).ok()?;
    // One spelling each, or two rules could mean one thing.
    (escaped(&found) == text).then_some(found)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_text_survives_escaping(text in any::<String>()) {
            let escaped = escaped(&text);
            prop_assert!(escaped.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-=".contains(&byte)));
            prop_assert_eq!(unescaped(&escaped), Some(text));
        }
    }

    #[test]
    fn other_spellings_are_no_escapes() {
        for text in ["=", "=4", "=4g", "=41", "=e4", "a b", "=+1", "=FF"] {
            assert_eq!(unescaped(text), None, "{text}");
        }
    }
}
