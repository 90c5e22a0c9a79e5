use std::{collections::HashMap, str::FromStr as _};

use chrono::{DateTime, Utc};
use stylobate_core::{AclId, OverrideId, PermissionId, RoleId, TenantId};
use uuid::Uuid;

use super::{
    CasbinInvalid, CasbinModel, CasbinProblem, CasbinProblemKind, CasbinRules,
    export::{domain_text, unescaped},
};
use crate::{
    Assignee, AssigneeKind, Effect, PermissionKey, Policy, PolicyAcl, PolicyAssignment, PolicyGrant,
    PolicyOverride, PolicyPermission, PolicyRole,
};

/// A casbin policy for [`CasbinModel::RBAC_WITH_DOMAINS`] as native rows of one tenant, with ids that are new.
#[derive(Debug, Clone, Default)]
pub struct CasbinImport {
    /// The rows.
    pub policy: Policy,
    /// The roles by name. One that was written by its id has that id, and its id as name.
    pub role_names: Vec<(RoleId, String)>,
    /// Rules that give nothing, by their place among all rules.
    pub problems: Vec<CasbinProblem>,
}

/// What a subject of a rule is.
#[derive(Clone, Copy)]
enum Subject {
    Assignee(Assignee),
    Role(RoleId),
}

impl CasbinImport {
    /// Takes the rules of `tenant` (or of the platform) over; those of other domains are not looked at.
    ///
    /// # Errors
    /// [`CasbinInvalid::Denial`] for a denial that native rows cannot say.
    pub fn of(
        rules: &CasbinRules,
        tenant: Option<TenantId>,
        now: DateTime<Utc>,
    ) -> Result<Self, CasbinInvalid> {
        let model = CasbinModel::rbac_with_domains()?;
        let (rules, problems) = rules.fitted(&model)?;
        let mut importer =
            Importer { now, roles: HashMap::new(), permissions: HashMap::new(), import: Self::default() };
        importer.import.problems = problems;
        importer.import.policy.epoch = 1;
        let domain = domain_text(tenant);
        for (row, rule) in rules.policies().iter().zip(1_usize..) {
            let [subject, of, object, permission, effect] = row.as_slice() else { continue };
            if *of == domain {
                let effect = Effect::from_str(effect).unwrap_or(Effect::Deny);
                match importer.rule(subject, object, permission, effect) {
                    Some(()) => {}
                    None if effect == Effect::Deny => return Err(CasbinInvalid::Denial { rule }),
                    None => importer.refuse(rule),
                }
            }
        }
        let first_role = rules.policies().len() + 1;
        for (row, rule) in rules.roles().iter().zip(first_role..) {
            let [from, to, of] = row.as_slice() else { continue };
            if *of == domain && importer.link(from, to).is_none() {
                importer.refuse(rule);
            }
        }
        Ok(importer.import)
    }
}

struct Importer {
    now: DateTime<Utc>,
    roles: HashMap<String, RoleId>,
    permissions: HashMap<String, PermissionId>,
    import: CasbinImport,
}

impl Importer {
    fn refuse(&mut self, rule: usize) {
        self.import.problems.push(CasbinProblem { rule, kind: CasbinProblemKind::Meaning });
    }

    fn subject(&mut self, text: &str) -> Option<Subject> {
        let (kind, name) = text.split_once(':')?;
        if kind == "role" {
            let name = unescaped(name)?;
            if name.is_empty() {
                return None;
            }
            return Some(Subject::Role(self.role(name)));
        }
        let kind = AssigneeKind::from_str(kind).ok()?;
        let id = Uuid::from_str(name).ok()?;
        // One spelling each: casbin compares texts.
        (id.to_string() == name).then_some(Subject::Assignee(Assignee { kind, id }))
    }

    fn role(&mut self, name: String) -> RoleId {
        if let Some(id) = self.roles.get(&name) {
            return *id;
        }
        let id = Uuid::from_str(&name).map_or_else(|_| RoleId::new(self.now), RoleId::from);
        self.import.policy.roles.push(PolicyRole { id, is_active: true });
        self.import.role_names.push((id, name.clone()));
        self.roles.insert(name, id);
        id
    }

    fn permission(&mut self, key: &str) -> Option<PermissionId> {
        let key: PermissionKey = key.parse().ok()?;
        if let Some(id) = self.permissions.get(key.as_str()) {
            return Some(*id);
        }
        let id = PermissionId::new(self.now);
        self.import.policy.permissions.push(PolicyPermission {
            id,
            key: key.as_str().to_owned(),
            is_active: true,
        });
        self.permissions.insert(key.into(), id);
        Some(id)
    }

    fn rule(&mut self, subject: &str, object: &str, permission: &str, effect: Effect) -> Option<()> {
        let resource = match object {
            "*" => None,
            _ => {
                let (kind, id) = object.split_once('/')?;
                Some((unescaped(kind)?, unescaped(id)?))
            }
        };
        let subject = self.subject(subject)?;
        let permission = self.permission(permission)?;
        let policy = &mut self.import.policy;
        match (subject, resource) {
            (Subject::Role(role), None) => {
                policy.grants.push(PolicyGrant { effect, ..PolicyGrant::allow(role, permission) });
            }
            // Lists of resources name subjects, not roles.
            (Subject::Role(_), Some(_)) => return None,
            (Subject::Assignee(assignee), None) => policy.overrides.push(PolicyOverride {
                id: OverrideId::new(self.now),
                assignee,
                permission,
                effect,
                condition: None,
                expires_at: None,
            }),
            (Subject::Assignee(assignee), Some((resource_kind, resource_id))) => {
                policy.acls.push(PolicyAcl {
                    id: AclId::new(self.now),
                    resource_kind,
                    resource_id,
                    assignee,
                    permission,
                    effect,
                    expires_at: None,
                })
            }
        }
        Some(())
    }

    fn link(&mut self, from: &str, to: &str) -> Option<()> {
        let (from, to) = (self.subject(from)?, self.subject(to)?);
        let policy = &mut self.import.policy;
        match (from, to) {
            (Subject::Assignee(assignee), Subject::Role(role)) => {
                policy.assignments.push(PolicyAssignment::new(assignee, role));
            }
            (Subject::Role(heir), Subject::Role(parent)) => policy.inheritance.push((heir, parent)),
            (Subject::Assignee(member), Subject::Assignee(group))
                if group.kind == AssigneeKind::Group && member.kind != AssigneeKind::Group =>
            {
                policy.members.push((group, member));
            }
            _ => return None,
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use stylobate_core::{Clock as _, PersonId, SystemClock};

    use super::*;
    use crate::{CasbinExport, default_catalogue};

    #[test]
    fn rows_survive_the_way_through_casbin() {
        let now = SystemClock.now();
        let (tenant, person, group) = (TenantId::new(now), PersonId::new(now), Uuid::from_u128(7));
        let csv = format!(
            "p, role:Night=20shift, {tenant}, *, user.*, allow\np, role:Night=20shift, {tenant}, *, user.delete, deny\n\
             p, person:{person}, {tenant}, *, role.read, allow\np, group:{group}, {tenant}, note/a=2Fb, own.read, allow\n\
             g, person:{person}, role:Night=20shift, {tenant}\ng, role:lead, role:Night=20shift, {tenant}\n\
             g, person:{person}, group:{group}, {tenant}\n"
        );
        let rules = CasbinRules::parse(&csv).unwrap().0;
        let import = CasbinImport::of(&rules, Some(tenant), now).unwrap();
        assert!(import.problems.is_empty(), "{:?}", import.problems);
        assert_eq!(
            import.role_names.iter().map(|(_, name)| name.as_str()).collect::<Vec<_>>(),
            ["Night shift", "lead"]
        );
        assert_eq!(import.policy.acls[0].resource_id, "a/b");
        let names = |id| import.role_names.iter().find(|(role, _)| *role == id).map(|(_, name)| name.clone());
        let catalogue = default_catalogue();
        let export = CasbinExport::of(&import.policy, Some(tenant), &catalogue, now, &names);
        assert!(export.problems.is_empty());
        let mut lines = [rules.to_csv(), export.rules.to_csv()]
            .map(|csv| csv.lines().map(str::to_owned).collect::<std::collections::BTreeSet<_>>());
        // The pattern also reaches what it covers by synonyms only; here nothing.
        assert_eq!(std::mem::take(&mut lines[0]), lines[1]);
    }

    #[test]
    fn what_native_rows_cannot_say_is_reported_and_a_denial_refused() {
        let now = SystemClock.now();
        let rule = |line: &str| CasbinImport::of(&CasbinRules::parse(line).unwrap().0, None, now);
        for line in [
            "p, role:a, platform, note/1, user.read, allow",
            "p, alice, platform, *, user.read, allow",
            "p, role:a, platform, *, GET, allow",
            "p, person:ADA, platform, *, user.read, allow",
            "g, role:a, person:00000000-0000-0000-0000-000000000001, platform",
        ] {
            let import = rule(line).unwrap();
            assert_eq!(import.problems.len(), 1, "{line}");
            assert!(import.policy.grants.is_empty() && import.policy.overrides.is_empty());
        }
        assert_eq!(
            rule("p, alice, platform, *, user.read, deny").map(|_| ()),
            Err(CasbinInvalid::Denial { rule: 1 })
        );
        assert!(
            rule("p, alice, 00000000-0000-0000-0000-000000000001, *, user.read, deny").is_ok(),
            "not asked for"
        );
    }
}
