//! Permission checks without a server or a database. See README.md.

#![expect(clippy::print_stdout, reason = "a program that shows decisions")]

use std::{error::Error, sync::Arc};

use stylobate_core::{
    AuthenticatorAssurance, Clock, PermissionId, PersonId, Principal, RoleId, SystemClock, TenantId,
};
use stylobate_rbac::{
    Authorizer, Condition, Effect, Engine, NamedRoles, Policy, PolicyAssignment, PolicyGrant,
    PolicyPermission, PolicyRole, Question, Resource, default_catalogue,
};

fn main() -> Result<(), Box<dyn Error>> {
    by_names_of_roles()?;
    by_policy();
    Ok(())
}

/// The roles come with the question, from a token for example.
fn by_names_of_roles() -> Result<(), Box<dyn Error>> {
    let mut roles = NamedRoles::new();
    roles.add_role("admin", ["read:*", "write:*", "delete:*"])?;
    roles.add_role("user", ["read:own", "write:own"])?;
    println!("admin, write:users: {}", roles.check_roles(&["admin"], "write:users"));
    println!("user, write:users: {}", roles.check_roles(&["user"], "write:users"));
    println!("user, write:users of its own: {}", roles.check_roles_on(&["user"], "write:users", true));
    Ok(())
}

/// The policy knows who has which role, and every decision says why.
fn by_policy() {
    let now = SystemClock.now();
    let (tenant, ada, grace) = (TenantId::new(now), PersonId::new(now), PersonId::new(now));
    let (reader, editor) = (RoleId::new(now), RoleId::new(now));
    let (read, update, delete) = (PermissionId::new(now), PermissionId::new(now), PermissionId::new(now));
    let permission = |id, key: &str| PolicyPermission { id, key: key.into(), is_active: true };
    let policy = Policy {
        epoch: 1,
        permissions: vec![
            permission(read, "user.read"),
            permission(update, "user.update:own"),
            permission(delete, "user.delete"),
        ],
        roles: [reader, editor].map(|id| PolicyRole { id, is_active: true }).into(),
        // Editors read what readers read.
        inheritance: vec![(editor, reader)],
        grants: vec![
            PolicyGrant::allow(reader, read),
            PolicyGrant::allow(editor, update),
            PolicyGrant {
                role: editor,
                permission: delete,
                effect: Effect::Allow,
                condition: Some(Condition::Assurance { at_least: AuthenticatorAssurance::Aal2 }),
            },
        ],
        assignments: vec![PolicyAssignment::new(ada, editor), PolicyAssignment::new(grace, reader)],
        ..Policy::default()
    };
    let engine = Engine::new(Arc::new(default_catalogue()), Arc::new(SystemClock));
    for problem in engine.install(Some(tenant), &policy) {
        println!("a row that makes no sense: {problem:?}");
    }

    let (own, id) = (ada.to_string(), grace.to_string());
    let (hers, graces) =
        (Resource::new("person", &own).owned_by(ada), Resource::new("person", &id).owned_by(grace));
    for (name, person) in [("ada", ada), ("grace", grace)] {
        let principal = Principal::person(person).in_tenant(tenant);
        for (permission, resource) in [
            ("user.read", None),
            ("user.update", Some(&hers)),
            ("user.update", Some(&graces)),
            ("user.delete", None),
        ] {
            let decision = engine.decide(Question { principal: &principal, permission, resource });
            let missing = decision.missing.map_or("nothing", |missing| missing.code());
            println!(
                "{name}, {permission}: {:?} by {}, missing {missing}",
                decision.outcome,
                decision.reason.code()
            );
        }
    }
}
