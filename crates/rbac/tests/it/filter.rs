use std::sync::Arc;

use stylobate_core::{
    AclId, AuthenticatorAssurance, OverrideId, PermissionId, PersonId, Principal, RoleId, TenantId,
};
use stylobate_db::Scope;
use stylobate_rbac::{
    AssigneeKind, Authorizer, Condition, Effect, Engine, FilterColumn, FilterColumns, ListFilter, MIGRATIONS,
    Policy, PolicyAcl, PolicyAssignment, PolicyGrant, PolicyOverride, PolicyPermission, PolicyRole, Resource,
    default_catalogue,
};
use stylobate_testkit::{ManualClock, TestDb, both_engines};
use uuid::Uuid;

const TENANT: TenantId = TenantId::from_uuid(Uuid::from_u128(1));
const ADA: PersonId = PersonId::from_uuid(Uuid::from_u128(3));
const ROLE: RoleId = RoleId::from_uuid(Uuid::from_u128(4));
const READ: PermissionId = PermissionId::from_uuid(Uuid::from_u128(5));

/// A document of a list: its id, its owner, its department.
type Document = (Uuid, Option<Uuid>, Option<&'static str>);

/// Every kind of owner and department, each known and not.
fn documents() -> Vec<Document> {
    let owners = [None, Some(ADA.as_uuid()), Some(Uuid::from_u128(99))];
    let departments = [None, Some("it"), Some("hr' OR 1 = 1 --")];
    let all = owners.iter().flat_map(|owner| departments.map(|department| (*owner, department)));
    all.zip(1_000_u128..).map(|((owner, department), n)| (Uuid::from_u128(n), owner, department)).collect()
}

fn department(equals: &str) -> Condition {
    Condition::Attribute { name: "department".into(), equals: equals.into() }
}

fn policy(allow: Option<Condition>, deny: Option<Condition>, acls: &[(u128, Effect)]) -> Policy {
    Policy {
        epoch: 1,
        permissions: vec![PolicyPermission { id: READ, key: "user.read".into(), is_active: true }],
        roles: vec![PolicyRole { id: ROLE, is_active: true }],
        grants: vec![PolicyGrant { condition: allow, ..PolicyGrant::allow(ROLE, READ) }],
        assignments: vec![PolicyAssignment::new(ADA, ROLE)],
        overrides: deny
            .map(|condition| PolicyOverride {
                id: OverrideId::from_uuid(Uuid::nil()),
                assignee: ADA.into(),
                permission: READ,
                effect: Effect::Deny,
                condition: Some(condition),
                expires_at: None,
            })
            .into_iter()
            .collect(),
        acls: acls
            .iter()
            .map(|(n, effect)| PolicyAcl {
                id: AclId::from_uuid(Uuid::from_u128(*n)),
                resource_kind: "document".into(),
                resource_id: Uuid::from_u128(*n).to_string(),
                assignee: ADA.into(),
                permission: READ,
                effect: *effect,
                expires_at: None,
            })
            .collect(),
        ..Policy::default()
    }
}

both_engines!(a_filter_in_sql_shows_what_checks_allow, &[&MIGRATIONS]);

async fn a_filter_in_sql_shows_what_checks_allow(db: TestDb) {
    // A12: a list shows no row that a check of the row refuses.
    let owner = || Some(Condition::Owner {});
    let strong = Condition::Assurance { at_least: AuthenticatorAssurance::Aal2 };
    let either = Condition::Any(vec![Condition::Owner {}, department("hr' OR 1 = 1 --")]);
    let allow_3 = [(1_000, Effect::Allow), (1_004, Effect::Allow), (9_999, Effect::Allow)];
    let deny_1 = [(1_001, Effect::Deny), (1_005, Effect::Allow)];
    let policies = [
        policy(None, None, &[]),
        policy(owner(), None, &[]),
        policy(owner(), None, &allow_3),
        policy(None, None, &deny_1),
        policy(None, owner(), &[]),
        policy(None, Some(department("it")), &deny_1),
        policy(Some(either.clone()), None, &[]),
        policy(Some(either), Some(Condition::All(vec![department("it"), Condition::Owner {}])), &allow_3),
        policy(Some(strong), None, &allow_3),
        policy(None, Some(Condition::Unreadable), &[]),
        policy(owner(), Some(Condition::Attribute { name: "secret".into(), equals: "yes".into() }), &[]),
    ];
    let engine = Engine::new(Arc::new(default_catalogue()), Arc::new(ManualClock::new()));
    let ada = Principal::person(ADA).in_tenant(TENANT);
    let columns = FilterColumns {
        kind: "document",
        id: Some(FilterColumn::Uuid("d.id")),
        owner: Some((AssigneeKind::Person, "d.owner")),
        attributes: &[("department", "d.department")],
    };
    let bare = FilterColumns { kind: "document", id: None, owner: None, attributes: &[] };
    for (n, rows) in policies.iter().enumerate() {
        engine.install(Some(TENANT), rows);
        let filter = engine.list_filter(&ada, "user.read");
        let mut allowed = documents();
        allowed.retain(|(id, owner, department)| {
            let id = id.to_string();
            let attributes: Vec<(&str, &str)> = department.map(|it| ("department", it)).into_iter().collect();
            let mut document = Resource::new("document", &id).with(&attributes);
            document.owner = owner.map(|id| PersonId::from_uuid(id).into());
            engine.check_on(&ada, "user.read", &document).is_allowed()
        });
        let allowed: Vec<Uuid> = allowed.into_iter().map(|(id, ..)| id).collect();
        assert_eq!(shown(&db, &filter, &columns).await, allowed, "policy {n}: {filter:?}");
        // A listing that lacks columns shows less, never more.
        let less = shown(&db, &filter, &bare).await;
        assert!(less.iter().all(|id| allowed.contains(id)), "policy {n}: {less:?}");
    }
}

async fn shown(db: &TestDb, filter: &ListFilter, columns: &FilterColumns<'_>) -> Vec<Uuid> {
    let mut tx = db.begin_read(Scope::Platform("a list for a test")).await.unwrap();
    let mut sql = tx.builder("WITH d (id, owner, department) AS (VALUES ");
    for (n, (id, owner, department)) in documents().into_iter().enumerate() {
        sql.push(if n == 0 { "(" } else { ", (" });
        sql.value(id).push(", ").value(owner).push(", ").value(department.map(str::to_owned)).push(")");
    }
    sql.push(") SELECT d.id FROM d WHERE ");
    filter.push(&mut sql, columns);
    sql.push(" ORDER BY d.id");
    let rows = tx.q_build(sql).all::<(Uuid,)>().await.unwrap();
    tx.rollback().await.unwrap();
    rows.into_iter().map(|(id,)| id).collect()
}
