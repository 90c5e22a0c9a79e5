//! A check allocates nothing. A binary of its own: the counter is the allocator of the whole process.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs, reason = "tests")]

use std::sync::Arc;

use chrono::TimeDelta;
use stylobate_core::{
    AclId, Clock as _, GroupId, OverrideId, PermissionId, PersonId, Principal, RoleId, SystemClock, TenantId,
};
use stylobate_rbac::{
    Authorizer, Condition, Effect, Engine, Policy, PolicyAcl, PolicyAssignment, PolicyGrant, PolicyOverride,
    PolicyPermission, PolicyRole, Question, Resource, default_catalogue,
};

#[test]
fn a_check_allocates_nothing() {
    let now = SystemClock.now();
    let (tenant, ada, group) = (TenantId::new(now), PersonId::new(now), GroupId::new(now));
    let keys = ["user.read", "user.update", "own.thing", "role.*", "user.delete:own", "perm.read"];
    let permissions: Vec<PermissionId> = keys.iter().map(|_| PermissionId::new(now)).collect();
    let roles: Vec<RoleId> = (0..3).map(|_| RoleId::new(now)).collect();
    let soon = Some(now + TimeDelta::hours(1));
    let window = Condition::Any(vec![
        Condition::Attribute { name: "department".into(), equals: "it".into() },
        Condition::TimeWindow { days: vec![], from_minute: 0, to_minute: 1440, utc_offset_minutes: 60 },
    ]);
    let policy = Policy {
        epoch: 1,
        permissions: permissions
            .iter()
            .zip(keys)
            .map(|(id, key)| PolicyPermission { id: *id, key: key.into(), is_active: true })
            .collect(),
        roles: roles.iter().map(|id| PolicyRole { id: *id, is_active: true }).collect(),
        inheritance: vec![(roles[0], roles[1])],
        grants: vec![
            PolicyGrant::allow(roles[1], permissions[0]),
            PolicyGrant { condition: Some(window), ..PolicyGrant::allow(roles[0], permissions[2]) },
            PolicyGrant::allow(roles[2], permissions[3]),
            PolicyGrant::allow(roles[2], permissions[4]),
        ],
        assignments: vec![
            PolicyAssignment { expires_at: soon, ..PolicyAssignment::new(ada, roles[0]) },
            PolicyAssignment::new(group, roles[2]),
        ],
        members: vec![(group.into(), ada.into())],
        overrides: vec![PolicyOverride {
            id: OverrideId::new(now),
            assignee: ada.into(),
            permission: permissions[5],
            effect: Effect::Deny,
            condition: None,
            expires_at: soon,
        }],
        acls: vec![PolicyAcl {
            id: AclId::new(now),
            resource_kind: "person".into(),
            resource_id: "7".into(),
            assignee: group.into(),
            permission: permissions[1],
            effect: Effect::Allow,
            expires_at: soon,
        }],
    };
    let engine = Engine::new(Arc::new(default_catalogue()), Arc::new(SystemClock));
    assert_eq!(engine.install(Some(tenant), &policy), []);

    let attributes = [("department", "hr")];
    let thing = Resource::new("person", "7").owned_by(ada).with(&attributes);
    let plain = Principal::person(ada).in_tenant(tenant);
    let narrow = Principal { scopes: Some(vec!["user.*".into()]), ..plain.clone() };
    let ask = || {
        let mut allowed = 0;
        for principal in [&plain, &narrow, &Principal::anonymous(), &Principal::system()] {
            for permission in
                keys.iter().chain(&["people:read", "role.read", "user.delete", "perm.read", "no.such", "ünï"])
            {
                for resource in [None, Some(&thing)] {
                    let decision = engine.decide(Question { principal, permission, resource });
                    allowed += usize::from(decision.is_allowed());
                }
            }
        }
        allowed
    };
    // The first look of a thread at a snapshot registers the thread.
    let allowed = ask();
    assert!(allowed > 20, "{allowed}");
    let counted = allocation_counter::measure(|| assert_eq!(ask(), allowed));
    assert_eq!(counted.count_total, 0, "{counted:?}");
}
