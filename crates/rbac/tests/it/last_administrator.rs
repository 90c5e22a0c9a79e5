//! A tenant keeps one administrator who can act, whatever takes the role from somebody.

use std::sync::Arc;

use chrono::TimeDelta;
use stylobate_core::{Clock as _, PersonId, RequestContext, RoleId, ServiceId};
use stylobate_db::{Scope, Tx};
use stylobate_rbac::{AssignmentQuery, NewGroup, Rbac, RbacError, RoleQuery, RoleUpdate};
use stylobate_testkit::{TestDb, both_engines};
use tokio::sync::Barrier;

use crate::{
    subjects::{SETS, code, member, world},
    world::World,
};

const LAST: Result<(), &str> = Err("last_administrator");

async fn admin_role(world: &World) -> RoleId {
    let roles = world.rbac.list_roles(&world.in_a(), &RoleQuery::default()).await.unwrap().items;
    roles.iter().find(|role| role.name == "admin").unwrap().id
}

/// A member of the first tenant who can sign in and administers it. The one that the world begins with is no member.
async fn administrator(world: &World) -> PersonId {
    let person = member(world).await;
    world.rbac.assign(&world.in_a(), person, admin_role(world).await).await.unwrap();
    person
}

/// What a program does to somebody without asking anybody.
async fn set(world: &World, sql: &'static str, person: PersonId) {
    let mut tx = world.db.begin(Scope::Platform("test")).await.unwrap();
    assert_eq!(tx.q(sql).bind(false).bind(person.as_uuid()).run().await.unwrap(), 1);
    tx.commit().await.unwrap();
}

const DISABLE: &str = "UPDATE people SET is_active = $1 WHERE id = $2";

async fn ask(world: &World, rbac: &Rbac, person: PersonId) -> Result<(), &'static str> {
    let ask = async |tx: &mut Tx| rbac.require_another_administrator(tx, world.a, person).await;
    world.db.transact(Scope::Tenant(world.a), ask).await.map_err(|error| error.code())
}

both_engines!(nothing_takes_the_last_administrator_from_a_tenant, SETS);
async fn nothing_takes_the_last_administrator_from_a_tenant(db: TestDb) {
    // A11
    let (world, rbac) = world(db).await;
    let (context, role, ada) = (world.in_a(), admin_role(&world).await, administrator(&world).await);
    let query = AssignmentQuery { assignee: Some(ada.into()), ..AssignmentQuery::default() };
    let held = rbac.list_assignments(&context, &query).await.unwrap().items[0].id;
    let soon = Some(world.clock.now() + TimeDelta::days(1));
    let weak = world.role_with("weak", "user.read").await.id;
    let (bob, service) = (member(&world).await, ServiceId::from_uuid(uuid::Uuid::from_u128(7)));
    let root = world.person_in(world.super_admin().await, world.a);
    let off = RoleUpdate { is_active: Some(false), ..RoleUpdate::default() };
    let refused = [
        code(rbac.unassign(&context, ada, role).await),
        code(rbac.unassign(&root, ada, role).await),
        code(rbac.delete_assignment(&context, held).await),
        code(rbac.update_assignment(&context, held, soon).await),
        code(rbac.replace_assignment(&context, held, None, Some(weak)).await),
        code(rbac.update_role(&root, role, off).await),
    ];
    assert_eq!(refused, [LAST; 6]);
    let leave = async |tx: &mut Tx| rbac.remove_subject(tx, &context, world.a, ada).await;
    let refused = world.db.transact(Scope::Tenant(world.a), leave).await;
    assert!(matches!(refused, Err(RbacError::LastAdministrator)), "{refused:?}");
    let system = RequestContext::system("test");
    for tenants in [&[world.a][..], &[]] {
        let delete = async |tx: &mut Tx| rbac.remove_subject_everywhere(tx, &system, ada, tenants).await;
        let refused = world.db.transact(Scope::Platform("test"), delete).await;
        assert!(matches!(refused, Err(RbacError::LastAdministrator)), "{refused:?}");
    }
    assert_eq!(ask(&world, &rbac, ada).await, LAST);
    // Nobody else is asked about.
    assert_eq!(ask(&world, &rbac, bob).await, Ok(()));
    assert_eq!(code(rbac.update_assignment(&context, held, None).await), Ok(()));

    // Who cannot stand in: whoever cannot sign in, is no member, has the role for a time, or is no person.
    let (carl, dora) = (administrator(&world).await, administrator(&world).await);
    set(&world, DISABLE, carl).await;
    set(&world, "DELETE FROM people WHERE is_active <> $1 AND id = $2", dora).await;
    rbac.assign_until(&context, bob, role, soon).await.unwrap();
    world.rbac.assign(&context, service, role).await.unwrap();
    assert_eq!((code(rbac.unassign(&context, ada, role).await), ask(&world, &rbac, ada).await), (LAST, LAST));
    // They are of no help, and so not the last ones either.
    for person in [carl, dora] {
        assert_eq!(ask(&world, &rbac, person).await, Ok(()));
        assert_eq!(code(rbac.unassign(&context, person, role).await), Ok(()));
    }
    // Another who can act; then the role is handed over, in one step or several.
    let emil = administrator(&world).await;
    assert_eq!((ask(&world, &rbac, ada).await, ask(&world, &rbac, emil).await), (Ok(()), Ok(())));
    assert_eq!(code(rbac.unassign(&context, ada, role).await), Ok(()));
    let query = AssignmentQuery { assignee: Some(emil.into()), ..AssignmentQuery::default() };
    let held = rbac.list_assignments(&context, &query).await.unwrap().items[0].id;
    for (successor, answer) in [(world.person(), Err("not_found")), (carl, LAST)] {
        let replaced = rbac.replace_assignment(&context, held, Some(successor.into()), None).await;
        assert_eq!(code(replaced), answer);
    }
    let fred = member(&world).await;
    assert_eq!(code(rbac.replace_assignment(&context, held, Some(fred.into()), None).await), Ok(()));
    assert_eq!(ask(&world, &rbac, fred).await, LAST);
    set(&world, DISABLE, fred).await;
    assert_eq!(ask(&world, &rbac, fred).await, Ok(()), "nobody is left who could act");
    assert_eq!(code(rbac.unassign(&context, fred, role).await), Ok(()));
}

both_engines!(the_last_administrator_by_a_group_stays_one, SETS);
async fn the_last_administrator_by_a_group_stays_one(db: TestDb) {
    // A11
    let (world, rbac) = world(db).await;
    let (context, role, ada) = (world.in_a(), admin_role(&world).await, member(&world).await);
    let chiefs = rbac.create_group(&context, NewGroup::new("chiefs")).await.unwrap().value.id;
    let empty = rbac.create_group(&context, NewGroup::new("empty")).await.unwrap().value.id;
    let brief = rbac.create_group(&context, NewGroup::new("brief")).await.unwrap().value.id;
    for group in [chiefs, empty] {
        rbac.assign(&context, group, role).await.unwrap();
    }
    let soon = Some(world.clock.now() + TimeDelta::days(1));
    rbac.assign_until(&context, brief, role, soon).await.unwrap();
    rbac.add_to_group(&context, brief, ada).await.unwrap();
    assert_eq!(ask(&world, &rbac, ada).await, Ok(()), "not for good");
    rbac.add_to_group(&context, chiefs, ada).await.unwrap();
    let refused = [
        code(rbac.remove_from_group(&context, chiefs, ada).await),
        code(rbac.delete_group(&context, chiefs).await),
        code(rbac.unassign(&context, chiefs, role).await),
        ask(&world, &rbac, ada).await,
    ];
    assert_eq!(refused, [LAST; 4]);
    let leave = async |tx: &mut Tx| rbac.remove_subject(tx, &context, world.a, ada).await;
    let refused = world.db.transact(Scope::Tenant(world.a), leave).await;
    assert!(matches!(refused, Err(RbacError::LastAdministrator)), "{refused:?}");
    let without = async |tx: &mut Tx| rbac.require_another_administrator(tx, world.a, chiefs).await;
    let refused = world.db.transact(Scope::Tenant(world.a), without).await;
    assert!(matches!(refused, Err(RbacError::LastAdministrator)), "{refused:?}");
    // Groups without anybody in them, or for a time, count for nothing.
    rbac.delete_group(&context, empty).await.unwrap();
    rbac.remove_from_group(&context, brief, ada).await.unwrap();

    // Whoever has it twice may lose one of them.
    rbac.assign(&context, ada, role).await.unwrap();
    rbac.unassign(&context, ada, role).await.unwrap();
    rbac.assign(&context, ada, role).await.unwrap();
    rbac.delete_group(&context, chiefs).await.unwrap();
    assert_eq!(ask(&world, &rbac, ada).await, LAST);
}

both_engines!(a_tenant_that_is_not_to_go_on_loses_its_last_administrator, SETS);
async fn a_tenant_that_is_not_to_go_on_loses_its_last_administrator(db: TestDb) {
    let (world, rbac) = world(db).await;
    let (context, role, ada) = (world.in_a(), admin_role(&world).await, administrator(&world).await);
    let leave = async |tx: &mut Tx| rbac.remove_subject_even_last(tx, &context, world.a, ada).await;
    assert_eq!(world.db.transact(Scope::Tenant(world.a), leave).await.unwrap(), 1);
    // Where nobody administers, nothing is refused.
    let first = context.principal.person_id().unwrap();
    assert_eq!(ask(&world, &rbac, first).await, Ok(()));
    let system = RequestContext::system("test");
    let delete = async |tx: &mut Tx| rbac.remove_subject_everywhere(tx, &system, ada, &[world.a]).await;
    world.db.transact(Scope::Platform("test"), delete).await.unwrap();
    rbac.unassign(&context, first, role).await.unwrap();
}

both_engines!(of_two_administrators_who_take_each_other_away_one_stays, SETS);
async fn of_two_administrators_who_take_each_other_away_one_stays(db: TestDb) {
    // A11
    let (world, rbac) = world(db).await;
    let (role, mut last) = (admin_role(&world).await, administrator(&world).await);
    for _ in 0..10 {
        let (other, barrier) = (administrator(&world).await, Arc::new(Barrier::new(2)));
        let (leaving, db, tenant, start) = (rbac.clone(), world.db.clone(), world.a, Arc::clone(&barrier));
        let left = tokio::spawn(async move {
            start.wait().await;
            let leave = async move |tx: &mut Tx| -> Result<(), RbacError> {
                leaving.remove_subject(tx, &RequestContext::system("leave"), tenant, other).await?;
                let gone = tx.q("DELETE FROM people WHERE id = $1").bind(other.as_uuid());
                gone.run().await?;
                Ok(())
            };
            db.transact(Scope::Tenant(tenant), leave).await.map_err(|error| error.code())
        });
        barrier.wait().await;
        let taken = code(rbac.unassign(&world.in_a(), last, role).await);
        let left = left.await.unwrap();
        assert!((taken, left) == (Ok(()), LAST) || (taken, left) == (LAST, Ok(())), "{taken:?} {left:?}");
        if taken.is_ok() {
            last = other;
        }
    }
}
