use std::collections::{BTreeSet, HashMap};

use stylobate_core::{RoleId, TenantId};
use stylobate_db::Conn;

use super::{
    acls, assignments,
    columns::{self, End, Id, Said, assignee, read_end},
    epochs, groups, overrides,
};
use crate::{
    Assignee, AssigneeKind, Condition, Effect, Policy, PolicyAcl, PolicyAssignment, PolicyGrant,
    PolicyOverride, PolicyPermission, PolicyProblem, PolicyRole, RbacError, holdings::above,
};

/// The rows of a policy, and those of them that cannot be read. What they allowed is left out; what they denied stays
/// denied, as far as it is known what and to whom.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    pub(crate) policy: Policy,
    pub(crate) problems: Vec<PolicyProblem>,
}

/// Reads the whole policy of `owner`, from a transaction that shows one state.
pub(crate) async fn load(conn: &mut Conn, owner: Option<TenantId>) -> Result<Rows, RbacError> {
    let mut rows = load_frame(conn, owner).await?;
    load_grants(conn, owner, &mut rows).await?;
    let endless = load_assignments(conn, owner, &mut rows).await?;
    load_overrides(conn, owner, &mut rows).await?;
    load_acls(conn, owner, &mut rows).await?;
    load_members(conn, owner, &mut rows).await?;
    rows.keep_denials(endless);
    Ok(rows)
}

/// An assignment of which it cannot be read when it ends.
struct Endless {
    id: Id,
    assignee: Assignee,
    role: RoleId,
}

/// The part of it that says what one subject has, itself and by its groups, and what `roles` give: short, however many rules
/// there are. Rules that no longer count are among them.
pub(crate) async fn load_of(
    conn: &mut Conn,
    owner: Option<TenantId>,
    assignee: Option<Assignee>,
    roles: &[RoleId],
) -> Result<Policy, RbacError> {
    let mut rows = load_frame(conn, owner).await?;
    let mut needed: BTreeSet<RoleId> = roles.iter().copied().collect();
    if let Some(assignee) = assignee {
        load_subject(conn, owner, assignee, &mut rows.policy).await?;
        needed.extend(rows.policy.assignments.iter().map(|held| held.role));
    }
    let needed: BTreeSet<RoleId> =
        needed.into_iter().flat_map(|role| above(&rows.policy, role, false)).collect();
    let needed: Vec<RoleId> = needed.into_iter().collect();
    for some in needed.chunks(ROLES_AT_ONCE) {
        let mut sql = conn.builder(
            "SELECT id, role_id, permission_id, effect, condition FROM role_permissions WHERE role_id IN ",
        );
        sql.list(some.iter().map(|role| role.as_uuid()));
        for grant in conn.q_build(sql).all::<GrantRow>().await? {
            rows.add_grant(grant);
        }
    }
    Ok(rows.policy)
}

/// Which roles one subject has and which rules there are about it, by its groups too, and nothing else of the policy.
pub(crate) async fn held_by(
    conn: &mut Conn,
    owner: Option<TenantId>,
    assignee: Assignee,
) -> Result<Policy, RbacError> {
    let mut policy = Policy::default();
    load_subject(conn, owner, assignee, &mut policy).await?;
    Ok(policy)
}

/// How many roles one statement names; SQLite takes some thousand parameters.
const ROLES_AT_ONCE: usize = 500;

async fn load_subject(
    conn: &mut Conn,
    owner: Option<TenantId>,
    assignee: Assignee,
    policy: &mut Policy,
) -> Result<(), RbacError> {
    let mut held = assignments::of_assignee(conn, owner, assignee).await?;
    let mut rules = overrides::of_assignee(conn, owner, assignee).await?;
    let mut entries = acls::of_assignee(conn, owner, assignee).await?;
    // The platform has no groups.
    if let Some(tenant) = owner {
        let memberships = groups::of_subject(conn, tenant, assignee).await?;
        policy.members = memberships.iter().map(|one| (one.group_id.into(), assignee)).collect();
        if !memberships.is_empty() {
            held.extend(assignments::by_groups(conn, tenant, assignee).await?);
            rules.extend(overrides::by_groups(conn, tenant, assignee).await?);
            entries.extend(acls::by_groups(conn, tenant, assignee).await?);
        }
    }
    policy.assignments = held
        .into_iter()
        .map(|held| PolicyAssignment {
            assignee: held.assignee,
            role: held.role_id,
            expires_at: held.expires_at,
        })
        .collect();
    policy.overrides = rules
        .into_iter()
        .map(|rule| PolicyOverride {
            id: rule.id,
            assignee: rule.assignee,
            permission: rule.permission_id,
            effect: rule.effect,
            condition: rule.condition,
            expires_at: rule.expires_at,
        })
        .collect();
    policy.acls = entries
        .into_iter()
        .map(|entry| PolicyAcl {
            id: entry.id,
            resource_kind: entry.resource_kind,
            resource_id: entry.resource_id,
            assignee: entry.assignee,
            permission: entry.permission_id,
            effect: entry.effect,
            expires_at: entry.expires_at,
        })
        .collect();
    Ok(())
}

/// Says which columns of a row cannot be read.
struct Damage<'a> {
    problems: &'a mut Vec<PolicyProblem>,
    table: &'static str,
    row: Id,
}

impl<'a> Damage<'a> {
    fn of(rows: &'a mut Rows, table: &'static str, row: Id) -> Self {
        let mut damage = Self { problems: &mut rows.problems, table, row };
        damage.unless(row.0.is_some(), "id");
        damage
    }

    fn unless(&mut self, is_readable: bool, column: &'static str) {
        if !is_readable {
            let Self { table, row, .. } = *self;
            self.problems.push(PolicyProblem::Unreadable { table, column, id: row.0 });
        }
    }
}

/// Permissions, roles and which inherits from which.
async fn load_frame(conn: &mut Conn, owner: Option<TenantId>) -> Result<Rows, RbacError> {
    let mut rows = Rows::default();
    rows.policy.epoch = epochs::find(conn, owner).await?;
    let permissions = match owner {
        Some(tenant) => conn
            .q("SELECT id, key, is_active FROM permissions WHERE tenant_id = $1 OR tenant_id IS NULL")
            .bind(tenant.as_uuid()),
        None => conn.q("SELECT id, key, is_active FROM permissions WHERE tenant_id IS NULL"),
    };
    let permissions = permissions.all::<(Id, Said<String>, bool)>().await?;
    rows.policy.permissions.reserve(permissions.len());
    for (id, Said(key), is_active) in permissions {
        Damage::of(&mut rows, "permissions", id);
        if let Id(Some(id)) = id {
            // An empty key is none that parses, so compiling reports it.
            let key = key.unwrap_or_default();
            rows.policy.permissions.push(PolicyPermission { id: id.into(), key, is_active });
        }
    }
    let roles = match owner {
        Some(tenant) => conn.q("SELECT id, is_active FROM roles WHERE tenant_id = $1").bind(tenant.as_uuid()),
        None => conn.q("SELECT id, is_active FROM roles WHERE tenant_id IS NULL"),
    };
    for (id, is_active) in roles.all::<(Id, bool)>().await? {
        Damage::of(&mut rows, "roles", id);
        if let Id(Some(id)) = id {
            rows.policy.roles.push(PolicyRole { id: id.into(), is_active });
        }
    }
    let links = match owner {
        Some(tenant) => {
            conn.q("SELECT role_id, parent_id FROM role_parents WHERE tenant_id = $1").bind(tenant.as_uuid())
        }
        None => conn.q("SELECT role_id, parent_id FROM role_parents WHERE tenant_id IS NULL"),
    };
    for (heir, parent) in links.all::<(Id, Id)>().await? {
        let mut damage = Damage { problems: &mut rows.problems, table: "role_parents", row: heir };
        damage.unless(heir.0.is_some(), "role_id");
        damage.unless(parent.0.is_some(), "parent_id");
        if let (Id(Some(heir)), Id(Some(parent))) = (heir, parent) {
            rows.policy.inheritance.push((heir.into(), parent.into()));
        }
    }
    Ok(rows)
}

impl Rows {
    /// What the roles of these assignments deny stays denied, as by rules about the subject itself.
    fn keep_denials(&mut self, endless: Vec<Endless>) {
        let policy = &mut self.policy;
        let mut denials: HashMap<RoleId, Vec<PolicyGrant>> = HashMap::new();
        for Endless { id, assignee, role } in endless {
            let denied = denials.entry(role).or_insert_with(|| {
                let roles = above(policy, role, true);
                let denies =
                    |grant: &&PolicyGrant| grant.effect == Effect::Deny && roles.contains(&grant.role);
                policy.grants.iter().filter(denies).cloned().collect()
            });
            policy.overrides.extend(denied.iter().map(|grant| PolicyOverride {
                id: id.or_nil().into(),
                assignee,
                permission: grant.permission,
                effect: Effect::Deny,
                condition: grant.condition.clone(),
                expires_at: None,
            }));
        }
    }
}

type GrantRow = (Id, Id, Id, Said<Effect>, Option<Said<Condition>>);

impl Rows {
    fn add_grant(&mut self, (id, role, permission, effect, condition): GrantRow) {
        let mut damage = Damage::of(self, "role_permissions", id);
        damage.unless(role.0.is_some(), "role_id");
        damage.unless(permission.0.is_some(), "permission_id");
        damage.unless(effect.0.is_some(), "effect");
        // A condition that cannot be read is reported when it is compiled.
        if let (Id(Some(role)), Id(Some(permission))) = (role, permission) {
            let (role, permission) = (role.into(), permission.into());
            let (effect, condition) = columns::rule(effect, condition);
            self.policy.grants.push(PolicyGrant { role, permission, effect, condition });
        }
    }
}

async fn load_grants(conn: &mut Conn, owner: Option<TenantId>, rows: &mut Rows) -> Result<(), RbacError> {
    let query = match owner {
        Some(tenant) => conn
            .q("SELECT id, role_id, permission_id, effect, condition FROM role_permissions WHERE tenant_id = $1")
            .bind(tenant.as_uuid()),
        None => conn.q(
            "SELECT id, role_id, permission_id, effect, condition FROM role_permissions WHERE tenant_id IS NULL",
        ),
    };
    let grants = query.all::<GrantRow>().await?;
    rows.policy.grants.reserve(grants.len());
    for grant in grants {
        rows.add_grant(grant);
    }
    Ok(())
}

async fn load_assignments(
    conn: &mut Conn,
    owner: Option<TenantId>,
    rows: &mut Rows,
) -> Result<Vec<Endless>, RbacError> {
    let query = match owner {
        Some(tenant) => conn
            .q("SELECT id, subject_kind, subject_id, role_id, expires_at FROM role_assignments WHERE tenant_id = $1")
            .bind(tenant.as_uuid()),
        None => conn.q(
            "SELECT id, subject_kind, subject_id, role_id, expires_at FROM role_assignments WHERE tenant_id IS NULL",
        ),
    };
    let found = query.all::<(Id, Said<AssigneeKind>, Id, Id, End)>().await?;
    rows.policy.assignments.reserve(found.len());
    let mut endless = Vec::new();
    for (id, kind, subject, role, end) in found {
        let end = read_end(end);
        let mut damage = Damage::of(rows, "role_assignments", id);
        damage.unless(kind.0.is_some(), "subject_kind");
        damage.unless(subject.0.is_some(), "subject_id");
        damage.unless(role.0.is_some(), "role_id");
        damage.unless(end.is_ok(), "expires_at");
        let (Some(assignee), Id(Some(role))) = (assignee(&kind, subject), role) else { continue };
        let role = role.into();
        match end {
            Ok(expires_at) => {
                rows.policy.assignments.push(PolicyAssignment { assignee, role, expires_at });
            }
            Err(_) => endless.push(Endless { id, assignee, role }),
        }
    }
    Ok(endless)
}

async fn load_overrides(conn: &mut Conn, owner: Option<TenantId>, rows: &mut Rows) -> Result<(), RbacError> {
    let query = match owner {
        Some(tenant) => conn
            .q("SELECT id, subject_kind, subject_id, permission_id, effect, condition, expires_at
                FROM permission_overrides WHERE tenant_id = $1")
            .bind(tenant.as_uuid()),
        None => conn.q("SELECT id, subject_kind, subject_id, permission_id, effect, condition, expires_at
             FROM permission_overrides WHERE tenant_id IS NULL"),
    };
    type Row = (Id, Said<AssigneeKind>, Id, Id, Said<Effect>, Option<Said<Condition>>, End);
    for (id, kind, subject, permission, effect, condition, end) in query.all::<Row>().await? {
        let mut damage = Damage::of(rows, "permission_overrides", id);
        damage.unless(kind.0.is_some(), "subject_kind");
        damage.unless(subject.0.is_some(), "subject_id");
        damage.unless(permission.0.is_some(), "permission_id");
        damage.unless(effect.0.is_some(), "effect");
        damage.unless(read_end(end).is_ok(), "expires_at");
        let (effect, condition) = columns::rule(effect, condition);
        // What allows and cannot be named cannot be taken away either.
        let counts = effect == Effect::Deny || (id.0.is_some() && read_end(end).is_ok());
        if let (Some(assignee), Id(Some(permission)), true) = (assignee(&kind, subject), permission, counts) {
            rows.policy.overrides.push(PolicyOverride {
                id: id.or_nil().into(),
                assignee,
                permission: permission.into(),
                effect,
                condition,
                expires_at: columns::end(effect, end),
            });
        }
    }
    Ok(())
}

async fn load_acls(conn: &mut Conn, owner: Option<TenantId>, rows: &mut Rows) -> Result<(), RbacError> {
    let query = match owner {
        Some(tenant) => conn
            .q("SELECT id, resource_kind, resource_id, subject_kind, subject_id, permission_id, effect, expires_at
                FROM acl_entries WHERE tenant_id = $1")
            .bind(tenant.as_uuid()),
        None => conn.q(
            "SELECT id, resource_kind, resource_id, subject_kind, subject_id, permission_id, effect, expires_at
             FROM acl_entries WHERE tenant_id IS NULL",
        ),
    };
    type Row = (Id, Said<String>, Said<String>, Said<AssigneeKind>, Id, Id, Said<Effect>, End);
    for (id, Said(resource_kind), Said(resource_id), kind, subject, permission, effect, end) in
        query.all::<Row>().await?
    {
        let mut damage = Damage::of(rows, "acl_entries", id);
        damage.unless(resource_kind.is_some(), "resource_kind");
        damage.unless(resource_id.is_some(), "resource_id");
        damage.unless(kind.0.is_some(), "subject_kind");
        damage.unless(subject.0.is_some(), "subject_id");
        damage.unless(permission.0.is_some(), "permission_id");
        damage.unless(effect.0.is_some(), "effect");
        damage.unless(read_end(end).is_ok(), "expires_at");
        let (effect, _) = columns::rule(effect, None);
        let counts = effect == Effect::Deny || (id.0.is_some() && read_end(end).is_ok());
        let named = (resource_kind, resource_id, assignee(&kind, subject), permission, counts);
        if let (Some(resource_kind), Some(resource_id), Some(assignee), Id(Some(permission)), true) = named {
            rows.policy.acls.push(PolicyAcl {
                id: id.or_nil().into(),
                resource_kind,
                resource_id,
                assignee,
                permission: permission.into(),
                effect,
                expires_at: columns::end(effect, end),
            });
        }
    }
    Ok(())
}

async fn load_members(conn: &mut Conn, owner: Option<TenantId>, rows: &mut Rows) -> Result<(), RbacError> {
    let Some(tenant) = owner else { return Ok(()) };
    let found = groups::all_members(conn, tenant).await?;
    rows.policy.members.reserve(found.len());
    for (group, kind, subject) in found {
        let mut damage = Damage { problems: &mut rows.problems, table: "group_members", row: group };
        damage.unless(group.0.is_some(), "group_id");
        damage.unless(kind.0.is_some(), "subject_kind");
        damage.unless(subject.0.is_some(), "subject_id");
        if let (Id(Some(group)), Some(member)) = (group, assignee(&kind, subject)) {
            let group = Assignee { kind: AssigneeKind::Group, id: group };
            rows.policy.members.push((group, member));
        }
    }
    Ok(())
}
