//! What the program knows about subjects: who is a member, and who can sign in.

use std::{sync::Arc, time::Duration};

use stylobate_core::{BoxFuture, Clock as _, PersonId, Principal, RequestContext, TenantId};
use stylobate_db::{Engine, Error, Migration, Scope, Tx};
use stylobate_rbac::{
    Assignee, AssignmentQuery, Effect, MIGRATIONS, NewAclEntry, NewOverride, Rbac, RbacError,
    SubjectDirectory, Written,
};
use stylobate_testkit::{MigrationSet, TestDb, both_engines};
use tokio::sync::Barrier;

use crate::world::World;

static PEOPLE: MigrationSet = MigrationSet {
    name: "people",
    append_only: &[],
    migrations: &[Migration {
        name: "20261121000001_people",
        postgres: (
            "CREATE TABLE people (id uuid PRIMARY KEY, tenant_id uuid, is_active boolean NOT NULL)",
            "DROP TABLE people",
        ),
        sqlite: (
            "CREATE TABLE people (id BLOB PRIMARY KEY, tenant_id BLOB, is_active INTEGER NOT NULL) STRICT",
            "DROP TABLE people",
        ),
    }],
};

pub(crate) const SETS: &[&MigrationSet] = &[&MIGRATIONS, &PEOPLE];

/// People in a table, as a program keeps them. Who is not in it is a stranger.
#[derive(Debug)]
struct Directory;

impl SubjectDirectory for Directory {
    fn is_member<'a>(
        &'a self,
        tx: &'a mut Tx,
        tenant: TenantId,
        subject: Assignee,
    ) -> BoxFuture<'a, Result<bool, Error>> {
        Box::pin(async move {
            let query = tx.q("SELECT count(*) FROM people WHERE id = $1 AND tenant_id = $2");
            Ok(query.bind(subject.id).bind(tenant.as_uuid()).scalar::<i64>().await? == 1)
        })
    }

    fn can_sign_in<'a>(&'a self, tx: &'a mut Tx, subject: Assignee) -> BoxFuture<'a, Result<bool, Error>> {
        Box::pin(async move {
            let query = tx.q("SELECT count(*) FROM people WHERE id = $1 AND is_active = $2");
            Ok(query.bind(subject.id).bind(true).scalar::<i64>().await? == 1)
        })
    }

    fn has_tenant<'a>(&'a self, tx: &'a mut Tx, subject: Assignee) -> BoxFuture<'a, Result<bool, Error>> {
        Box::pin(async move {
            let query = tx.q("SELECT count(*) FROM people WHERE id = $1 AND tenant_id IS NOT NULL");
            Ok(query.bind(subject.id).scalar::<i64>().await? == 1)
        })
    }
}

/// A world that knows its people.
pub(crate) async fn world(db: TestDb) -> (World, Rbac) {
    let world = World::new(db).await;
    let rbac = world.rbac.clone().with_directory(Arc::new(Directory));
    (world, rbac)
}

/// A member of the first tenant who can sign in.
pub(crate) async fn member(world: &World) -> PersonId {
    let person = world.person();
    let mut tx = world.db.begin(Scope::Platform("test")).await.unwrap();
    let insert = tx.q("INSERT INTO people (id, tenant_id, is_active) VALUES ($1, $2, $3)");
    insert.bind(person.as_uuid()).bind(world.a.as_uuid()).bind(true).run().await.unwrap();
    tx.commit().await.unwrap();
    person
}

async fn super_administrator(world: &World) -> PersonId {
    let (person, role) = (member(world).await, world.super_admin_role().await);
    world.rbac.assign(&RequestContext::system("test"), person, role).await.unwrap();
    person
}

const LAST: Result<(), &str> = Err("last_super_administrator");

/// What a program does to disable an account.
async fn disable(rbac: &Rbac, tx: &mut Tx, person: PersonId) -> Result<(), RbacError> {
    rbac.require_another_super_administrator(tx, person).await?;
    tx.q("UPDATE people SET is_active = $1 WHERE id = $2").bind(false).bind(person.as_uuid()).run().await?;
    Ok(())
}

/// What a program does to end a membership.
async fn leave(rbac: &Rbac, tx: &mut Tx, tenant: TenantId, person: PersonId) -> Result<(), RbacError> {
    rbac.remove_subject(tx, &RequestContext::system("leave"), tenant, person).await?;
    tx.q("DELETE FROM people WHERE id = $1").bind(person.as_uuid()).run().await?;
    Ok(())
}

pub(crate) fn code<T>(answer: Result<Written<T>, RbacError>) -> Result<(), &'static str> {
    answer.map(drop).map_err(|error| error.code())
}

both_engines!(rules_are_made_for_members_only, SETS);
async fn rules_are_made_for_members_only(db: TestDb) {
    let (world, rbac) = world(db).await;
    let (context, known, stranger) = (world.in_a(), member(&world).await, world.person());
    let (role, other) =
        (world.role_with("reader", "user.read").await.id, world.role_with("other", "user.read").await.id);
    let read = world.permission("user.read").await;
    let own = rbac.assign(&context, known, role).await.unwrap().value;
    let rule = |person| NewOverride::new(person, read, Effect::Allow);
    let entry = |person| NewAclEntry::new(("doc", "1"), person, read, Effect::Deny);
    rbac.set_override(&context, rule(known)).await.unwrap();
    rbac.set_acl_entry(&context, entry(known)).await.unwrap();

    let refused = [
        rbac.assign(&context, stranger, role).await.map(drop),
        rbac.set_override(&context, rule(stranger)).await.map(drop),
        rbac.set_acl_entry(&context, entry(stranger)).await.map(drop),
        rbac.replace_assignment(&context, own.id, Some(stranger.into()), None).await.map(drop),
    ];
    for answer in refused {
        assert!(matches!(answer, Err(RbacError::NotFound { entity: "subject" })), "{answer:?}");
    }
    rbac.replace_assignment(&context, own.id, None, Some(other)).await.unwrap();
    // Who is no member any more keeps what they have until it ends; it is ended sooner, and not renewed.
    let gone = member(&world).await;
    let hours = |hours| Some(world.clock.now() + chrono::TimeDelta::hours(hours));
    let held = rbac.assign_until(&context, gone, role, hours(2)).await.unwrap().value.id;
    let mut tx = world.db.begin(Scope::Platform("test")).await.unwrap();
    assert_eq!(tx.q("DELETE FROM people WHERE id = $1").bind(gone.as_uuid()).run().await.unwrap(), 1);
    tx.commit().await.unwrap();
    rbac.update_assignment(&context, held, hours(1)).await.unwrap();
    assert_eq!(code(rbac.update_assignment(&context, held, hours(2)).await), Err("not_found"));
    // Somebody of the platform gives its roles to members of the tenant they act in; the platform itself to anybody.
    let root = world.person_in(super_administrator(&world).await, world.a);
    let platform = world.super_admin_role().await;
    assert_eq!(code(rbac.assign(&root, stranger, platform).await), Err("not_found"));
    rbac.assign(&root, known, platform).await.unwrap();
    rbac.assign(&RequestContext::system("test"), stranger, platform).await.unwrap();
}

/// Returns when a transaction waits for a lock of another. SQLite does not tell: there one writer at a time waits in the
/// pool.
async fn somebody_waits(db: &TestDb) {
    if db.engine() == Engine::Sqlite {
        return tokio::task::yield_now().await;
    }
    let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND pid IN
                   (SELECT pid FROM pg_stat_activity WHERE datname = current_database())";
    let seen = async {
        while db.read().await.unwrap().q(waiting).scalar::<i64>().await.unwrap() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), seen).await.expect("somebody who waits");
}

both_engines!(who_leaves_at_the_same_time_gets_no_rule, SETS);
async fn who_leaves_at_the_same_time_gets_no_rule(db: TestDb) {
    let (world, rbac) = world(db).await;
    let role = world.role_with("reader", "user.read").await.id;
    let read = world.permission("user.read").await;
    // They have left, and the transaction has not ended: who gives them something has to wait for it.
    for kind in 0..3 {
        let person = member(&world).await;
        let mut tx = world.db.begin(Scope::Tenant(world.a)).await.unwrap();
        leave(&rbac, &mut tx, world.a, person).await.unwrap();
        let (giving, context) = (rbac.clone(), world.in_a());
        let given = tokio::spawn(async move {
            match kind {
                0 => code(giving.assign(&context, person, role).await),
                1 => code(giving.set_override(&context, NewOverride::new(person, read, Effect::Deny)).await),
                _ => {
                    let entry = NewAclEntry::new(("doc", "1"), person, read, Effect::Deny);
                    code(giving.set_acl_entry(&context, entry).await)
                }
            }
        });
        somebody_waits(&world.db).await;
        assert!(!given.is_finished());
        tx.commit().await.unwrap();
        assert_eq!(given.await.unwrap(), Err("not_found"), "{kind}");
    }
    // Whoever is first, nothing is left of who has gone.
    for _ in 0..10 {
        let (person, barrier) = (member(&world).await, Arc::new(Barrier::new(2)));
        let (leaving, db, tenant, start) = (rbac.clone(), world.db.clone(), world.a, Arc::clone(&barrier));
        let gone = tokio::spawn(async move {
            start.wait().await;
            let work = async move |tx: &mut Tx| leave(&leaving, tx, tenant, person).await;
            db.transact(Scope::Tenant(tenant), work).await
        });
        barrier.wait().await;
        let given = code(rbac.assign(&world.in_a(), person, role).await);
        gone.await.unwrap().unwrap();
        assert!(matches!(given, Ok(()) | Err("not_found")), "{given:?}");
        let query = AssignmentQuery { assignee: Some(person.into()), ..AssignmentQuery::default() };
        assert!(rbac.list_assignments(&world.in_a(), &query).await.unwrap().items.is_empty());
    }
}

/// What a program does that disables an account, and the code by which that is refused.
async fn put_out(world: &World, rbac: &Rbac, person: PersonId) -> Result<(), &'static str> {
    let disabling = rbac.clone();
    let work = async move |tx: &mut Tx| disable(&disabling, tx, person).await;
    world.db.transact(Scope::Platform("test"), work).await.map_err(|error| error.code())
}

both_engines!(the_last_super_administrator_who_can_sign_in_stays, SETS);
async fn the_last_super_administrator_who_can_sign_in_stays(db: TestDb) {
    // A11
    let (world, rbac) = world(db).await;
    let (ada, bob) = (super_administrator(&world).await, super_administrator(&world).await);
    let role = world.super_admin_role().await;
    let root = RequestContext::new(Principal::person(ada));
    let put_out = async |person| put_out(&world, &rbac, person).await;
    // Nobody but super administrators is asked about.
    assert_eq!(put_out(member(&world).await).await, Ok(()));
    assert_eq!(put_out(bob).await, Ok(()));
    assert_eq!(put_out(bob).await, Ok(()), "of no help any more, and so not the last one");
    assert_eq!(put_out(ada).await, Err("last_super_administrator"));
    assert_eq!(code(rbac.unassign(&root, ada, role).await), Err("last_super_administrator"));
    // Who is denied something cannot stand in either.
    let carol = super_administrator(&world).await;
    let delete = world.permission("user.delete").await;
    let denied = rbac.set_override(&root, NewOverride::new(carol, delete, Effect::Deny)).await.unwrap().value;
    assert_eq!(put_out(ada).await, Err("last_super_administrator"));
    rbac.remove_override(&root, denied.id).await.unwrap();
    assert_eq!(put_out(ada).await, Ok(()));
    let carol = RequestContext::new(Principal::person(carol));
    rbac.unassign(&carol, ada, role).await.unwrap();
}

both_engines!(the_last_super_administrator_has_a_tenant_to_sign_in_to, SETS);
async fn the_last_super_administrator_has_a_tenant_to_sign_in_to(db: TestDb) {
    // A11
    let (world, rbac) = world(db).await;
    let (ada, bob) = (super_administrator(&world).await, super_administrator(&world).await);
    let role = world.super_admin_role().await;
    let root = RequestContext::new(Principal::person(ada));
    let put_out = async |person| put_out(&world, &rbac, person).await;
    // What a program does to suspend a membership, or to close the tenant of several.
    let without_tenant = async |people: &[PersonId]| {
        let (asking, people) = (rbac.clone(), people.to_vec());
        let work = async move |tx: &mut Tx| {
            let had = asking.has_super_administrator(tx).await?;
            for person in &people {
                let out = tx.q("UPDATE people SET tenant_id = NULL WHERE id = $1");
                out.bind(person.as_uuid()).run().await?;
            }
            asking.require_super_administrator_kept(tx, had).await
        };
        world.db.transact(Scope::Platform("test"), work).await.map_err(|error| error.code())
    };
    assert_eq!(without_tenant(&[ada, bob]).await, LAST);
    assert_eq!(without_tenant(&[bob]).await, Ok(()));
    // Who can sign in to no tenant does not stand in for anybody.
    assert_eq!(put_out(ada).await, LAST);
    assert_eq!(code(rbac.unassign(&root, ada, role).await), LAST);
    assert_eq!(without_tenant(&[ada]).await, LAST);
    // Nor is anything lost with them.
    assert_eq!(put_out(bob).await, Ok(()));
    rbac.unassign(&root, bob, role).await.unwrap();
    // Who is disabled stands in no more than who has no tenant.
    let carol = super_administrator(&world).await;
    assert_eq!(put_out(carol).await, Ok(()));
    assert_eq!(without_tenant(&[ada]).await, LAST);
}

both_engines!(of_two_super_administrators_who_take_each_other_away_one_stays, SETS);
async fn of_two_super_administrators_who_take_each_other_away_one_stays(db: TestDb) {
    // A11: one is disabled while the other loses the role.
    let (world, rbac) = world(db).await;
    let role = world.super_admin_role().await;
    let system = RequestContext::system("test");
    let (ada, bob) = (super_administrator(&world).await, super_administrator(&world).await);
    // One is disabled, and the transaction has not ended: the other has to wait for it.
    let mut tx = world.db.begin(Scope::Platform("test")).await.unwrap();
    disable(&rbac, &mut tx, bob).await.unwrap();
    let (taking, context) = (rbac.clone(), system.clone());
    let taken = tokio::spawn(async move { code(taking.unassign(&context, ada, role).await) });
    somebody_waits(&world.db).await;
    assert!(!taken.is_finished());
    tx.commit().await.unwrap();
    assert_eq!(taken.await.unwrap(), Err("last_super_administrator"));
    rbac.unassign(&system, bob, role).await.unwrap();

    let mut last = ada;
    for _ in 0..10 {
        let (other, barrier) = (super_administrator(&world).await, Arc::new(Barrier::new(2)));
        let (disabling, db, start) = (rbac.clone(), world.db.clone(), Arc::clone(&barrier));
        let disabled = tokio::spawn(async move {
            start.wait().await;
            let work = async move |tx: &mut Tx| disable(&disabling, tx, other).await;
            db.transact(Scope::Platform("test"), work).await.map_err(|error| error.code())
        });
        barrier.wait().await;
        let taken = code(rbac.unassign(&system, last, role).await);
        let disabled = disabled.await.unwrap();
        let refused = Err("last_super_administrator");
        assert!((taken, disabled) == (Ok(()), refused) || (taken, disabled) == (refused, Ok(())));
        if taken.is_ok() {
            last = other;
        } else {
            rbac.unassign(&system, other, role).await.unwrap();
        }
    }
}
