use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use sqlx::{Database, Decode, Type, ValueRef as _, error::BoxDynError};
use stylobate_core::{AclId, OverrideId, PermissionId, RoleId, TenantId};
use stylobate_db::{Conn, Sql};
use uuid::Uuid;

use super::{acls, assignments, epochs, overrides};
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
            "SELECT role_id, permission_id, effect, condition FROM role_permissions WHERE role_id IN ",
        );
        sql.list(some.iter().map(|role| role.as_uuid()));
        for grant in conn.q_build(sql).all::<GrantRow>().await? {
            rows.add_grant(grant);
        }
    }
    Ok(rows.policy)
}

/// How many roles one statement names; SQLite takes some thousand parameters.
const ROLES_AT_ONCE: usize = 500;

/// An id of a row. One that cannot be read must not keep the other rows from being read.
#[derive(Clone, Copy)]
struct Id(Option<Uuid>);

/// What a text of a row says, if that can be read. The text itself is kept only where it is what counts.
struct Said<T>(Option<T>);

/// When a rule ends, if ever.
type End = Option<Said<DateTime<Utc>>>;

/// What a row says in text.
trait FromText: Sized {
    fn from_text(text: &str) -> Option<Self>;
}

impl FromText for String {
    fn from_text(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }
}

impl FromText for Effect {
    fn from_text(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl FromText for AssigneeKind {
    fn from_text(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl FromText for Condition {
    fn from_text(text: &str) -> Option<Self> {
        Self::from_json(text).ok()
    }
}

impl FromText for DateTime<Utc> {
    fn from_text(text: &str) -> Option<Self> {
        DateTime::parse_from_rfc3339(text).ok().map(|at| at.to_utc())
    }
}

impl Id {
    fn or_nil(self) -> Uuid {
        self.0.unwrap_or_default()
    }
}

/// The value, if it is one and of the right type.
fn readable<'r, DB: Database, T: Decode<'r, DB> + Type<DB>>(value: DB::ValueRef<'r>) -> Option<T> {
    if value.is_null() || !T::compatible(&value.type_info()) {
        return None;
    }
    T::decode(value).ok()
}

impl<DB: Database> Type<DB> for Id
where
    Uuid: Type<DB>,
{
    fn type_info() -> DB::TypeInfo {
        Uuid::type_info()
    }

    // Decoding looks at the type, for its refusal is about one value and this one about the whole answer.
    fn compatible(_: &DB::TypeInfo) -> bool {
        true
    }
}

impl<'r, DB: Database> Decode<'r, DB> for Id
where
    Uuid: Decode<'r, DB> + Type<DB>,
{
    fn decode(value: DB::ValueRef<'r>) -> Result<Self, BoxDynError> {
        Ok(Self(readable::<DB, Uuid>(value)))
    }
}

impl<DB: Database, T> Type<DB> for Said<T>
where
    str: Type<DB>,
{
    fn type_info() -> DB::TypeInfo {
        <str as Type<DB>>::type_info()
    }

    fn compatible(_: &DB::TypeInfo) -> bool {
        true
    }
}

impl<'r, DB: Database, T: FromText> Decode<'r, DB> for Said<T>
where
    &'r str: Decode<'r, DB> + Type<DB>,
{
    fn decode(value: DB::ValueRef<'r>) -> Result<Self, BoxDynError> {
        Ok(Self(readable::<DB, &'r str>(value).and_then(T::from_text)))
    }
}

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
        match id {
            // An empty key is none that parses, so compiling reports it.
            Id(Some(id)) => rows.policy.permissions.push(PolicyPermission {
                id: id.into(),
                key: key.unwrap_or_default(),
                is_active,
            }),
            Id(None) => rows.problems.push(PolicyProblem::PermissionKey(id.or_nil().into())),
        }
    }
    let roles = match owner {
        Some(tenant) => conn.q("SELECT id, is_active FROM roles WHERE tenant_id = $1").bind(tenant.as_uuid()),
        None => conn.q("SELECT id, is_active FROM roles WHERE tenant_id IS NULL"),
    };
    for (id, is_active) in roles.all::<(Id, bool)>().await? {
        match id {
            Id(Some(id)) => rows.policy.roles.push(PolicyRole { id: id.into(), is_active }),
            Id(None) => {
                let nil = id.or_nil();
                rows.problems.push(PolicyProblem::Grant(nil.into(), nil.into()));
            }
        }
    }
    let links = match owner {
        Some(tenant) => {
            conn.q("SELECT role_id, parent_id FROM role_parents WHERE tenant_id = $1").bind(tenant.as_uuid())
        }
        None => conn.q("SELECT role_id, parent_id FROM role_parents WHERE tenant_id IS NULL"),
    };
    for link in links.all::<(Id, Id)>().await? {
        match link {
            (Id(Some(heir)), Id(Some(parent))) => {
                rows.policy.inheritance.push((heir.into(), parent.into()));
            }
            (heir, parent) => {
                let (heir, parent) = (heir.or_nil().into(), parent.or_nil().into());
                rows.problems.push(PolicyProblem::Inheritance(heir, parent));
            }
        }
    }
    Ok(rows)
}

type GrantRow = (Id, Id, Said<Effect>, Option<Said<Condition>>);

impl Rows {
    fn add_grant(&mut self, (role, permission, Said(effect), condition): GrantRow) {
        let (role_id, permission_id) = (RoleId::from(role.or_nil()), PermissionId::from(permission.or_nil()));
        let (is_named, problem) =
            (role.0.is_some() && permission.0.is_some(), PolicyProblem::Grant(role_id, permission_id));
        if !is_named || effect.is_none() {
            self.problems.push(problem);
        }
        if is_named {
            let (effect, condition) = rule(effect, condition);
            self.policy.grants.push(PolicyGrant {
                role: role_id,
                permission: permission_id,
                effect,
                condition,
            });
        }
    }
}

/// One that says neither `allow` nor `deny` denies, always. A condition that cannot be read is kept as such: it holds for
/// what denies and not for what allows.
fn rule(effect: Option<Effect>, condition: Option<Said<Condition>>) -> (Effect, Option<Condition>) {
    match effect {
        Some(effect) => (effect, condition.map(|Said(said)| said.unwrap_or(Condition::Unreadable))),
        None => (Effect::Deny, None),
    }
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
    for grant in grants {
        rows.add_grant(grant);
    }
    Ok(())
}

/// A text that is no time.
struct Unreadable;

fn read_end(end: End) -> Result<Option<DateTime<Utc>>, Unreadable> {
    match end {
        None => Ok(None),
        Some(Said(end)) => end.map(Some).ok_or(Unreadable),
    }
}

/// Whom a rule names.
fn assignee(Said(kind): &Said<AssigneeKind>, id: Id) -> Option<Assignee> {
    Some(Assignee { kind: (*kind)?, id: id.0? })
}

// Ends are read as text: `to_char` knows no infinity, whose own name is no time either, and the driver adds microseconds to
// a date without looking where that leads.
async fn load_assignments(
    conn: &mut Conn,
    owner: Option<TenantId>,
    rows: &mut Rows,
) -> Result<(), RbacError> {
    let query = match owner {
        Some(tenant) => conn
            .q(Sql::Per {
                pg: r#"SELECT subject_kind, subject_id, role_id,
                              COALESCE(to_char(expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
                                       expires_at::text)
                       FROM role_assignments WHERE tenant_id = $1"#,
                lite: "SELECT subject_kind, subject_id, role_id, expires_at FROM role_assignments WHERE tenant_id = $1",
            })
            .bind(tenant.as_uuid()),
        None => conn.q(Sql::Per {
            pg: r#"SELECT subject_kind, subject_id, role_id,
                          COALESCE(to_char(expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
                                   expires_at::text)
                   FROM role_assignments WHERE tenant_id IS NULL"#,
            lite: "SELECT subject_kind, subject_id, role_id, expires_at FROM role_assignments WHERE tenant_id IS NULL",
        }),
    };
    let found = query.all::<(Said<AssigneeKind>, Id, Id, End)>().await?;
    rows.policy.assignments.reserve(found.len());
    for (kind, id, role, end) in found {
        match (assignee(&kind, id), role, read_end(end)) {
            (Some(assignee), Id(Some(role)), Ok(expires_at)) => {
                let role = role.into();
                rows.policy.assignments.push(PolicyAssignment { assignee, role, expires_at });
            }
            _ => {
                let kind = kind.0.unwrap_or(AssigneeKind::Person);
                let assignee = Assignee { kind, id: id.or_nil() };
                rows.problems.push(PolicyProblem::Assignment(assignee, role.or_nil().into()));
            }
        }
    }
    Ok(())
}

/// Effect and end of a rule for one subject. A rule that cannot be read denies for good if it denied, or may have; one that
/// allowed is left out.
fn ending_rule(id: Id, effect: Option<Effect>, end: End) -> Ending {
    let (rule, is_damaged) = match (effect, read_end(end)) {
        (Some(Effect::Allow), Ok(expires_at)) if id.0.is_some() => (Some((Effect::Allow, expires_at)), false),
        (Some(Effect::Allow), _) => (None, true),
        (Some(Effect::Deny), Ok(expires_at)) => (Some((Effect::Deny, expires_at)), id.0.is_none()),
        (Some(Effect::Deny) | None, expires_at) => {
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
                              COALESCE(to_char(expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
                                       expires_at::text)
                       FROM permission_overrides WHERE tenant_id = $1"#,
                lite: "SELECT id, subject_kind, subject_id, permission_id, effect, condition, expires_at
                       FROM permission_overrides WHERE tenant_id = $1",
            })
            .bind(tenant.as_uuid()),
        None => conn.q(Sql::Per {
            pg: r#"SELECT id, subject_kind, subject_id, permission_id, effect, condition,
                          COALESCE(to_char(expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
                                   expires_at::text)
                   FROM permission_overrides WHERE tenant_id IS NULL"#,
            lite: "SELECT id, subject_kind, subject_id, permission_id, effect, condition, expires_at
                   FROM permission_overrides WHERE tenant_id IS NULL",
        }),
    };
    type Row = (Id, Said<AssigneeKind>, Id, Id, Said<Effect>, Option<Said<Condition>>, End);
    for (row, kind, subject, permission, Said(effect), condition, end) in query.all::<Row>().await? {
        let id = OverrideId::from(row.or_nil());
        let Ending { rule: ending, is_damaged } = ending_rule(row, effect, end);
        let (Some(assignee), Id(Some(permission))) = (assignee(&kind, subject), permission) else {
            rows.problems.push(PolicyProblem::Override(id));
            continue;
        };
        if is_damaged {
            rows.problems.push(PolicyProblem::Override(id));
        }
        let Some((_, expires_at)) = ending else { continue };
        let (effect, condition) = rule(effect, condition);
        let permission = permission.into();
        rows.policy.overrides.push(PolicyOverride {
            id,
            assignee,
            permission,
            effect,
            condition,
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
                              COALESCE(to_char(expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
                                       expires_at::text)
                       FROM acl_entries WHERE tenant_id = $1"#,
                lite: "SELECT id, resource_kind, resource_id, subject_kind, subject_id, permission_id, effect, expires_at
                       FROM acl_entries WHERE tenant_id = $1",
            })
            .bind(tenant.as_uuid()),
        None => conn.q(Sql::Per {
            pg: r#"SELECT id, resource_kind, resource_id, subject_kind, subject_id, permission_id, effect,
                          COALESCE(to_char(expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
                                   expires_at::text)
                   FROM acl_entries WHERE tenant_id IS NULL"#,
            lite: "SELECT id, resource_kind, resource_id, subject_kind, subject_id, permission_id, effect, expires_at
                   FROM acl_entries WHERE tenant_id IS NULL",
        }),
    };
    type Row = (Id, Said<String>, Said<String>, Said<AssigneeKind>, Id, Id, Said<Effect>, End);
    for (row, Said(resource_kind), Said(resource_id), kind, subject, permission, Said(effect), end) in
        query.all::<Row>().await?
    {
        let id = AclId::from(row.or_nil());
        let Ending { rule: ending, is_damaged } = ending_rule(row, effect, end);
        let named = (resource_kind, resource_id, assignee(&kind, subject), permission);
        let (Some(resource_kind), Some(resource_id), Some(assignee), Id(Some(permission))) = named else {
            rows.problems.push(PolicyProblem::Acl(id));
            continue;
        };
        if is_damaged {
            rows.problems.push(PolicyProblem::Acl(id));
        }
        let Some((effect, expires_at)) = ending else { continue };
        let permission = permission.into();
        rows.policy.acls.push(PolicyAcl {
            id,
            resource_kind,
            resource_id,
            assignee,
            permission,
            effect,
            expires_at,
        });
    }
    Ok(())
}
