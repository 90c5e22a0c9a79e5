use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use stylobate_core::{RoleId, TenantId};
use stylobate_db::{Conn, Sql};
use uuid::Uuid;

use super::{acls, assignments, epochs, overrides, parents};
use crate::{
    Assignee, AssigneeKind, Effect, Policy, PolicyAcl, PolicyAssignment, PolicyGrant, PolicyOverride,
    PolicyPermission, PolicyProblem, PolicyRole, RbacError, holdings::above, model::stored_rule,
};

/// The rows of a policy, and those of them that cannot be read. What they allowed is left out; what they denied stays
/// denied.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    pub(crate) policy: Policy,
    pub(crate) problems: Vec<PolicyProblem>,
}

/// Reads the whole policy of `owner`, from a transaction that shows one state.
pub(crate) async fn load(conn: &mut Conn, owner: Option<TenantId>) -> Result<Rows, RbacError> {
    let mut rows = Rows { policy: load_frame(conn, owner).await?, problems: Vec::new() };
    load_grants(conn, owner, &mut rows).await?;
    load_assignments(conn, owner, &mut rows).await?;
    load_overrides(conn, owner, &mut rows).await?;
    load_acls(conn, owner, &mut rows).await?;
    Ok(rows)
}

/// The part of it that says what one subject has, and what `roles` give: short, however many rules there are. Rules that no
/// longer count are among them.
pub(crate) async fn load_of(
    conn: &mut Conn,
    owner: Option<TenantId>,
    assignee: Option<Assignee>,
    roles: &[RoleId],
) -> Result<Policy, RbacError> {
    let mut policy = load_frame(conn, owner).await?;
    let mut needed: BTreeSet<RoleId> = roles.iter().copied().collect();
    if let Some(assignee) = assignee {
        load_subject(conn, owner, assignee, &mut policy).await?;
        needed.extend(policy.assignments.iter().map(|held| held.role));
    }
    let needed: BTreeSet<RoleId> = needed.into_iter().flat_map(|role| above(&policy, role, false)).collect();
    let needed: Vec<RoleId> = needed.into_iter().collect();
    for some in needed.chunks(ROLES_AT_ONCE) {
        let mut sql = conn.builder(
            "SELECT role_id, permission_id, effect, condition FROM role_permissions WHERE role_id IN ",
        );
        sql.list(some.iter().map(|role| role.as_uuid()));
        for (role, permission, effect, condition) in conn.q_build(sql).all::<GrantRow>().await? {
            let (effect, condition) = stored_rule(&effect, condition.as_deref());
            let (role, permission) = (role.into(), permission.into());
            policy.grants.push(PolicyGrant { role, permission, effect, condition });
        }
    }
    Ok(policy)
}

/// How many roles one statement names; SQLite takes some thousand parameters.
const ROLES_AT_ONCE: usize = 500;

type GrantRow = (Uuid, Uuid, String, Option<String>);

async fn load_subject(
    conn: &mut Conn,
    owner: Option<TenantId>,
    assignee: Assignee,
    policy: &mut Policy,
) -> Result<(), RbacError> {
    let held = assignments::of_assignee(conn, owner, assignee).await?;
    policy.assignments = held
        .into_iter()
        .map(|held| PolicyAssignment { assignee, role: held.role_id, expires_at: held.expires_at })
        .collect();
    let rules = overrides::of_assignee(conn, owner, assignee).await?;
    policy.overrides = rules
        .into_iter()
        .map(|rule| PolicyOverride {
            id: rule.id,
            assignee,
            permission: rule.permission_id,
            effect: rule.effect,
            condition: rule.condition,
            expires_at: rule.expires_at,
        })
        .collect();
    let entries = acls::of_assignee(conn, owner, assignee).await?;
    policy.acls = entries
        .into_iter()
        .map(|entry| PolicyAcl {
            id: entry.id,
            resource_kind: entry.resource_kind,
            resource_id: entry.resource_id,
            assignee,
            permission: entry.permission_id,
            effect: entry.effect,
            expires_at: entry.expires_at,
        })
        .collect();
    Ok(())
}

/// Permissions, roles and which inherits from which.
async fn load_frame(conn: &mut Conn, owner: Option<TenantId>) -> Result<Policy, RbacError> {
    let epoch = epochs::find(conn, owner).await?;
    let permissions = match owner {
        Some(tenant) => conn
            .q("SELECT id, key, is_active FROM permissions WHERE tenant_id = $1 OR tenant_id IS NULL")
            .bind(tenant.as_uuid()),
        None => conn.q("SELECT id, key, is_active FROM permissions WHERE tenant_id IS NULL"),
    };
    let permissions = permissions.all::<(Uuid, String, bool)>().await?;
    let roles = match owner {
        Some(tenant) => conn.q("SELECT id, is_active FROM roles WHERE tenant_id = $1").bind(tenant.as_uuid()),
        None => conn.q("SELECT id, is_active FROM roles WHERE tenant_id IS NULL"),
    };
    let roles = roles.all::<(Uuid, bool)>().await?;
    Ok(Policy {
        epoch,
        permissions: permissions
            .into_iter()
            .map(|(id, key, is_active)| PolicyPermission { id: id.into(), key, is_active })
            .collect(),
        roles: roles.into_iter().map(|(id, is_active)| PolicyRole { id: id.into(), is_active }).collect(),
        inheritance: parents::of_owner(conn, owner).await?,
        ..Policy::default()
    })
}

async fn load_grants(conn: &mut Conn, owner: Option<TenantId>, rows: &mut Rows) -> Result<(), RbacError> {
    let query = match owner {
        Some(tenant) => conn
            .q("SELECT role_id, permission_id, effect, condition FROM role_permissions WHERE tenant_id = $1")
            .bind(tenant.as_uuid()),
        None => conn.q(
            "SELECT role_id, permission_id, effect, condition FROM role_permissions WHERE tenant_id IS NULL",
        ),
    };
    let grants = query.all::<GrantRow>().await?;
    rows.policy.grants.reserve(grants.len());
    for (role, permission, effect, condition) in grants {
        let (role, permission) = (role.into(), permission.into());
        if effect.parse::<Effect>().is_err() {
            rows.problems.push(PolicyProblem::Grant(role, permission));
        }
        let (effect, condition) = stored_rule(&effect, condition.as_deref());
        rows.policy.grants.push(PolicyGrant { role, permission, effect, condition });
    }
    Ok(())
}

/// An end as text, which a damaged row cannot keep from being read.
struct Expiry(Option<String>);

/// A text that is no time.
struct Unreadable;

impl Expiry {
    fn read(self) -> Result<Option<DateTime<Utc>>, Unreadable> {
        let Self(text) = self;
        let read = |text: String| DateTime::parse_from_rfc3339(&text).map(|at| at.to_utc());
        text.map(read).transpose().map_err(|_| Unreadable)
    }
}

async fn load_assignments(
    conn: &mut Conn,
    owner: Option<TenantId>,
    rows: &mut Rows,
) -> Result<(), RbacError> {
    let query = match owner {
        Some(tenant) => conn
            .q(Sql::Per {
                pg: r#"SELECT subject_kind, subject_id, role_id,
                              to_char(expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
                       FROM role_assignments WHERE tenant_id = $1"#,
                lite: "SELECT subject_kind, subject_id, role_id, expires_at FROM role_assignments WHERE tenant_id = $1",
            })
            .bind(tenant.as_uuid()),
        None => conn.q(Sql::Per {
            pg: r#"SELECT subject_kind, subject_id, role_id,
                          to_char(expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
                   FROM role_assignments WHERE tenant_id IS NULL"#,
            lite: "SELECT subject_kind, subject_id, role_id, expires_at FROM role_assignments WHERE tenant_id IS NULL",
        }),
    };
    let found = query.all::<(String, Uuid, Uuid, Option<String>)>().await?;
    rows.policy.assignments.reserve(found.len());
    for (kind, id, role, expires_at) in found {
        // Kinds that this version does not know give nothing.
        let Ok(kind) = kind.parse::<AssigneeKind>() else { continue };
        let (assignee, role) = (Assignee { kind, id }, role.into());
        match Expiry(expires_at).read() {
            Ok(expires_at) => {
                rows.policy.assignments.push(PolicyAssignment { assignee, role, expires_at });
            }
            Err(Unreadable) => rows.problems.push(PolicyProblem::Assignment(assignee, role)),
        }
    }
    Ok(())
}

/// Effect and end of a rule for one subject. A rule that cannot be read denies for good if it denied, or may have; one that
/// allowed is left out.
fn ending_rule(effect: &str, expires_at: Option<String>) -> Ending {
    let (rule, is_damaged) = match (effect.parse::<Effect>(), Expiry(expires_at).read()) {
        (Ok(effect), Ok(expires_at)) => (Some((effect, expires_at)), false),
        (Ok(Effect::Allow), Err(Unreadable)) => (None, true),
        (Ok(Effect::Deny) | Err(_), expires_at) => {
            (Some((Effect::Deny, expires_at.unwrap_or_default())), true)
        }
    };
    Ending { rule, is_damaged }
}

struct Ending {
    rule: Option<(Effect, Option<DateTime<Utc>>)>,
    is_damaged: bool,
}

async fn load_overrides(conn: &mut Conn, owner: Option<TenantId>, rows: &mut Rows) -> Result<(), RbacError> {
    let query = match owner {
        Some(tenant) => conn
            .q(Sql::Per {
                pg: r#"SELECT id, subject_kind, subject_id, permission_id, effect, condition,
                              to_char(expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
                       FROM permission_overrides WHERE tenant_id = $1"#,
                lite: "SELECT id, subject_kind, subject_id, permission_id, effect, condition, expires_at
                       FROM permission_overrides WHERE tenant_id = $1",
            })
            .bind(tenant.as_uuid()),
        None => conn.q(Sql::Per {
            pg: r#"SELECT id, subject_kind, subject_id, permission_id, effect, condition,
                          to_char(expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
                   FROM permission_overrides WHERE tenant_id IS NULL"#,
            lite: "SELECT id, subject_kind, subject_id, permission_id, effect, condition, expires_at
                   FROM permission_overrides WHERE tenant_id IS NULL",
        }),
    };
    type Row = (Uuid, String, Uuid, Uuid, String, Option<String>, Option<String>);
    for (id, kind, subject, permission, effect, condition, expires_at) in query.all::<Row>().await? {
        let Ok(kind) = kind.parse::<AssigneeKind>() else { continue };
        let Ending { rule, is_damaged } = ending_rule(&effect, expires_at);
        if is_damaged {
            rows.problems.push(PolicyProblem::Override(id.into()));
        }
        let Some((effect, expires_at)) = rule else { continue };
        rows.policy.overrides.push(PolicyOverride {
            id: id.into(),
            assignee: Assignee { kind, id: subject },
            permission: permission.into(),
            effect,
            condition: stored_rule(effect.as_str(), condition.as_deref()).1,
            expires_at,
        });
    }
    Ok(())
}

async fn load_acls(conn: &mut Conn, owner: Option<TenantId>, rows: &mut Rows) -> Result<(), RbacError> {
    let query = match owner {
        Some(tenant) => conn
            .q(Sql::Per {
                pg: r#"SELECT id, resource_kind, resource_id, subject_kind, subject_id, permission_id, effect,
                              to_char(expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
                       FROM acl_entries WHERE tenant_id = $1"#,
                lite: "SELECT id, resource_kind, resource_id, subject_kind, subject_id, permission_id, effect, expires_at
                       FROM acl_entries WHERE tenant_id = $1",
            })
            .bind(tenant.as_uuid()),
        None => conn.q(Sql::Per {
            pg: r#"SELECT id, resource_kind, resource_id, subject_kind, subject_id, permission_id, effect,
                          to_char(expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
                   FROM acl_entries WHERE tenant_id IS NULL"#,
            lite: "SELECT id, resource_kind, resource_id, subject_kind, subject_id, permission_id, effect, expires_at
                   FROM acl_entries WHERE tenant_id IS NULL",
        }),
    };
    type Row = (Uuid, String, String, String, Uuid, Uuid, String, Option<String>);
    for (id, resource_kind, resource_id, kind, subject, permission, effect, expires_at) in
        query.all::<Row>().await?
    {
        let Ok(kind) = kind.parse::<AssigneeKind>() else { continue };
        let Ending { rule, is_damaged } = ending_rule(&effect, expires_at);
        if is_damaged {
            rows.problems.push(PolicyProblem::Acl(id.into()));
        }
        let Some((effect, expires_at)) = rule else { continue };
        rows.policy.acls.push(PolicyAcl {
            id: id.into(),
            resource_kind,
            resource_id,
            assignee: Assignee { kind, id: subject },
            permission: permission.into(),
            effect,
            expires_at,
        });
    }
    Ok(())
}
