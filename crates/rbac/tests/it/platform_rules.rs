//! Rules of the platform are told apart from those of a tenant.

use std::sync::Arc;

use stylobate_core::{
    AclId, OverrideId, PermissionId, PersonId, Principal, RoleId, ServiceId, SystemClock, TenantId,
};
use stylobate_rbac::{
    Assignee, Authorizer as _, Effect, Engine, Policy, PolicyAcl, PolicyAssignment, PolicyGrant,
    PolicyOverride, PolicyPermission, PolicyRole, Reason, Resource, default_catalogue,
};
use uuid::Uuid;

const TENANT: TenantId = TenantId::from_uuid(Uuid::from_u128(1));
const ADA: PersonId = PersonId::from_uuid(Uuid::from_u128(2));
const ROBOT: ServiceId = ServiceId::from_uuid(Uuid::from_u128(3));
const READ: PermissionId = PermissionId::from_uuid(Uuid::from_u128(4));
const DOCUMENT: Resource<'static> =
    Resource { kind: "document", id: Some("7"), owner: None, attributes: &[] };

fn engines() -> Vec<Engine> {
    let engine = || Engine::new(Arc::new(default_catalogue()), Arc::new(SystemClock));
    vec![
        engine(),
        #[cfg(feature = "casbin")]
        engine().with_casbin(),
    ]
}

fn policy() -> Policy {
    let permission = PolicyPermission { id: READ, key: "user.read".into(), is_active: true };
    Policy { epoch: 1, permissions: vec![permission], ..Policy::default() }
}

fn override_of(n: u128, effect: Effect) -> PolicyOverride {
    let id = OverrideId::from_uuid(Uuid::from_u128(n));
    PolicyOverride { id, assignee: ADA.into(), permission: READ, effect, condition: None, expires_at: None }
}

fn entry(n: u128, effect: Effect) -> PolicyAcl {
    PolicyAcl {
        id: AclId::from_uuid(Uuid::from_u128(n)),
        resource_kind: "document".into(),
        resource_id: "7".into(),
        assignee: ADA.into(),
        permission: READ,
        effect,
        expires_at: None,
    }
}

#[test]
fn a_reason_says_whose_rule_decided() {
    let ada = Principal::person(ADA).in_tenant(TENANT);
    for engine in engines() {
        let reasons = |rules: &Policy| {
            [(Some(TENANT), None), (None, Some(TENANT))].map(|(owner, other)| {
                engine.install(owner, rules);
                engine.install(other, &policy());
                engine.check_on(&ada, "user.read", &DOCUMENT).reason
            })
        };
        let (id, acl) = (OverrideId::from_uuid(Uuid::from_u128(10)), AclId::from_uuid(Uuid::from_u128(11)));
        for (effect, tenant, platform) in [
            (Effect::Allow, Reason::Override { id }, Reason::PlatformOverride { id }),
            (Effect::Deny, Reason::DeniedByOverride { id }, Reason::DeniedByPlatformOverride { id }),
        ] {
            let rules = Policy { overrides: vec![override_of(10, effect)], ..policy() };
            assert_eq!(reasons(&rules), [tenant, platform]);
        }
        for (effect, tenant, platform) in [
            (Effect::Allow, Reason::Acl { id: acl }, Reason::PlatformAcl { id: acl }),
            (Effect::Deny, Reason::DeniedByAcl { id: acl }, Reason::DeniedByPlatformAcl { id: acl }),
        ] {
            let rules = Policy { acls: vec![entry(11, effect)], ..policy() };
            assert_eq!(reasons(&rules), [tenant, platform]);
        }
    }
}

#[test]
fn what_gives_a_permission_is_told_by_its_owner() {
    for engine in engines() {
        engine.install(Some(TENANT), &Policy { overrides: vec![override_of(10, Effect::Allow)], ..policy() });
        engine.install(None, &Policy { overrides: vec![override_of(20, Effect::Allow)], ..policy() });
        let found = engine.effective(Some(TENANT), ADA.into());
        let ids = |n: u128| vec![OverrideId::from_uuid(Uuid::from_u128(n))];
        assert_eq!((&found[0].override_ids, &found[0].platform_override_ids), (&ids(10), &ids(20)));
    }
}

#[test]
fn a_policy_knows_whom_it_names() {
    let role = RoleId::from_uuid(Uuid::from_u128(5));
    let rules = Policy {
        roles: vec![PolicyRole { id: role, is_active: true }],
        grants: vec![PolicyGrant::allow(role, READ)],
        assignments: vec![PolicyAssignment::new(ROBOT, role)],
        acls: vec![entry(11, Effect::Allow)],
        ..policy()
    };
    for engine in engines() {
        let named = |owner| [ADA.into(), ROBOT.into()].map(|one: Assignee| engine.is_named_in(owner, one));
        assert_eq!(named(Some(TENANT)), [false, false], "a policy that is not loaded names nobody");
        engine.install(Some(TENANT), &rules);
        engine.install(None, &policy());
        assert_eq!((named(Some(TENANT)), named(None)), ([true, true], [false, false]));
    }
}
