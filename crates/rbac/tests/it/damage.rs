//! Rows that somebody has damaged in the database: each costs its own rule and nothing else.

use chrono::DateTime;
use stylobate_core::{PermissionId, Principal, RequestContext};
use stylobate_db::{ConstraintKind, Error, Scope, Sql};
use stylobate_rbac::{
    AclQuery, AssigneeKind, AssignmentQuery, Authorizer as _, Condition, Effect, GrantRule, NewAclEntry,
    NewOverride, OverrideQuery, PermissionQuery, PolicyProblem, Resource, RolePermissionQuery, RoleQuery,
};
use stylobate_testkit::{TestDb, both_engines};

use crate::world::{SETS, World, lift_end_checks, may, rbac};

fn unreadable(table: &'static str, column: &'static str, id: uuid::Uuid) -> PolicyProblem {
    PolicyProblem::Unreadable { table, column, id: Some(id) }
}

async fn damaged_rules_are_reported_and_deny(db: TestDb) {
    // A11: rows that were changed behind the program's back.
    let world = World::new(db).await;
    let (context, person) = (world.in_a(), world.person());
    let keys = ["user.read", "user.update", "user.delete", "role.read"];
    let role = world.role_with("worker", keys[0]).await.id;
    for key in &keys[1..] {
        world.rbac.attach(&context, role, world.permission(key).await).await.unwrap();
    }
    world.rbac.assign(&context, person, role).await.unwrap();
    let denied = NewOverride::new(person, world.permission("role.read").await, Effect::Deny);
    let mut denied = denied;
    denied.condition = Some(Condition::Attribute { name: "a".into(), equals: "b".into() });
    let denied = world.rbac.set_override(&context, denied).await.unwrap().value;
    world.rbac.ensure(Some(world.a)).await.unwrap();
    assert!(world.rbac.problems(Some(world.a)).is_empty());

    let mut tx = world.db.begin(Scope::Tenant(world.a)).await.unwrap();
    let update = world.permission("user.update").await;
    let damage = "UPDATE role_permissions SET condition = '{\"eval\":\"1==1\"}' WHERE permission_id = $1 AND role_id = $2";
    assert_eq!(tx.q(damage).bind(update.as_uuid()).bind(role.as_uuid()).run().await.unwrap(), 1);
    let damage = "UPDATE permission_overrides SET condition = '{' WHERE id = $1";
    assert_eq!(tx.q(damage).bind(denied.id.as_uuid()).run().await.unwrap(), 1);
    tx.commit().await.unwrap();
    let other = rbac(stylobate_db::Db::clone(&world.db), &world.clock);
    other.ensure(Some(world.a)).await.unwrap();
    let principal = Principal::person(person).in_tenant(world.a);
    let code = |name: &str| other.check(&principal, name).reason.code();
    assert_eq!([code("user.read"), code("user.delete")], ["role", "role"], "the rest works");
    assert_ne!(code("user.update"), "role");
    assert_eq!(code("role.read"), "denied_by_override");
    let problems = other.problems(Some(world.a));
    assert!(problems.contains(&PolicyProblem::GrantCondition(role, update)), "{problems:?}");
    assert!(problems.contains(&PolicyProblem::OverrideCondition(denied.id)), "{problems:?}");
    // What is damaged can be looked at and taken away.
    world.rbac.detach(&context, role, update).await.unwrap();
    world.rbac.remove_override(&context, denied.id).await.unwrap();
}
both_engines!(damaged_rules_are_reported_and_deny, SETS);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_time_that_cannot_be_read_is_over_for_what_allows() {
    // A11: only SQLite can hold such a row.
    let world = World::new(TestDb::sqlite(SETS).await).await;
    let (context, person) = (world.in_a(), world.person());
    let (reader, writer) =
        (world.role_with("reader", "user.read").await.id, world.role_with("writer", "user.update").await.id);
    let held = world.rbac.assign(&context, person, reader).await.unwrap().value;
    world.rbac.assign(&context, person, writer).await.unwrap();
    let delete = world.permission("user.delete").await;
    let denied =
        world.rbac.set_override(&context, NewOverride::new(person, delete, Effect::Deny)).await.unwrap();
    let mut tx = world.db.begin(Scope::Tenant(world.a)).await.unwrap();
    let damage = "UPDATE role_assignments SET expires_at = 'tomorrow' WHERE role_id = $1";
    assert_eq!(tx.q(damage).bind(reader.as_uuid()).run().await.unwrap(), 1);
    assert_eq!(tx.q("UPDATE permission_overrides SET expires_at = ''").run().await.unwrap(), 1);
    tx.commit().await.unwrap();
    world.rbac.ensure(Some(world.a)).await.unwrap();
    assert!(may(&world, person, "user.update") && !may(&world, person, "user.read"));
    let decision = world.rbac.check(&Principal::person(person).in_tenant(world.a), "user.delete");
    assert_eq!(decision.reason.code(), "denied_by_override");
    let problems = world.rbac.problems(Some(world.a));
    assert_eq!(
        problems,
        [
            unreadable("role_assignments", "expires_at", held.id.as_uuid()),
            unreadable("permission_overrides", "expires_at", denied.value.id.as_uuid())
        ]
    );
}

async fn an_end_that_is_no_time_is_reported(db: TestDb) {
    // A11: PostgreSQL holds ends that no clock reaches or that were never, SQLite any text, UTF-8 or not.
    let world = World::new(db).await;
    let (context, person) = (world.in_a(), world.person());
    let (mut roles, mut held) = (Vec::new(), Vec::new());
    for key in ["user.read", "user.update", "role.read"] {
        let role = world.role_with(key, key).await.id;
        held.push(world.rbac.assign(&context, person, role).await.unwrap().value.id);
        roles.push(role);
    }
    let mut rules = Vec::new();
    for (key, effect) in [("user.delete", Effect::Allow), ("role.read", Effect::Deny)] {
        let rule = NewOverride::new(person, world.permission(key).await, effect);
        rules.push(world.rbac.set_override(&context, rule).await.unwrap().value.id);
    }
    let entry =
        NewAclEntry::new(("document", "7"), person, world.permission("user.read").await, Effect::Deny);
    let entry = world.rbac.set_acl_entry(&context, entry).await.unwrap().value.id;
    lift_end_checks(&world.db).await;
    let mut tx = world.db.begin(Scope::Tenant(world.a)).await.unwrap();
    let damages = [
        Sql::Per {
            pg: "UPDATE role_assignments SET expires_at = '-infinity' WHERE role_id = $1",
            lite: "UPDATE role_assignments SET expires_at = 'tomorrow' WHERE role_id = $1",
        },
        Sql::Per {
            pg: "UPDATE role_assignments SET expires_at = 'infinity' WHERE role_id = $1",
            lite: "UPDATE role_assignments SET expires_at = CAST(x'ff32' AS TEXT) WHERE role_id = $1",
        },
    ];
    for (damage, role) in damages.into_iter().zip(&roles) {
        assert_eq!(tx.q(damage).bind(role.as_uuid()).run().await.unwrap(), 1);
    }
    for (damage, rows) in [
        (
            Sql::Per {
                pg: "UPDATE permission_overrides SET expires_at = '-infinity'",
                lite: "UPDATE permission_overrides SET expires_at = CAST(x'ff' AS TEXT)",
            },
            2,
        ),
        (
            Sql::Per {
                pg: "UPDATE acl_entries SET expires_at = 'infinity'",
                lite: "UPDATE acl_entries SET expires_at = '9999'",
            },
            1,
        ),
    ] {
        assert_eq!(tx.q(damage).run().await.unwrap(), rows);
    }
    tx.commit().await.unwrap();
    let other = rbac(stylobate_db::Db::clone(&world.db), &world.clock);
    other.ensure(Some(world.a)).await.unwrap();
    let principal = Principal::person(person).in_tenant(world.a);
    for key in ["user.read", "user.update", "user.delete"] {
        assert!(!other.check(&principal, key).is_allowed(), "{key}");
    }
    assert_eq!(other.check(&principal, "role.read").reason.code(), "denied_by_override");
    let on = other.check_on(&principal, "user.read", &Resource::new("document", "7"));
    assert_eq!(on.reason.code(), "denied_by_acl");
    let problems = other.problems(Some(world.a));
    assert_eq!(problems.len(), 5, "{problems:?}");
    for problem in [
        unreadable("role_assignments", "expires_at", held[0].as_uuid()),
        unreadable("role_assignments", "expires_at", held[1].as_uuid()),
        unreadable("permission_overrides", "expires_at", rules[0].as_uuid()),
        unreadable("permission_overrides", "expires_at", rules[1].as_uuid()),
        unreadable("acl_entries", "expires_at", entry.as_uuid()),
    ] {
        assert!(problems.contains(&problem), "{problem:?} is not in {problems:?}");
    }
}
both_engines!(an_end_that_is_no_time_is_reported, SETS);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kind_of_subject_that_is_not_known_is_reported() {
    // A11: written by a later version, or past the constraint, which on PostgreSQL only the owner of the tables can lift.
    let world = World::new(TestDb::sqlite(SETS).await).await;
    let (context, person) = (world.in_a(), world.person());
    let role = world.role_with("reader", "user.read").await.id;
    let (read, update) = (world.permission("user.read").await, world.permission("user.update").await);
    let held = world.rbac.assign(&context, person, role).await.unwrap().value.id;
    let rule = NewOverride::new(person, update, Effect::Allow);
    let rule = world.rbac.set_override(&context, rule).await.unwrap().value.id;
    let entry = NewAclEntry::new(("document", "7"), person, read, Effect::Deny);
    let entry = world.rbac.set_acl_entry(&context, entry).await.unwrap().value.id;
    let stays = world.person();
    world.rbac.assign(&context, stays, role).await.unwrap();
    let mut tx = world.db.begin(Scope::Tenant(world.a)).await.unwrap();
    tx.q("PRAGMA ignore_check_constraints = ON").run().await.unwrap();
    for damage in [
        "UPDATE role_assignments SET subject_kind = 'robot' WHERE subject_id = $1",
        "UPDATE permission_overrides SET subject_kind = 'robot' WHERE subject_id = $1",
        "UPDATE acl_entries SET subject_kind = 'robot' WHERE subject_id = $1",
    ] {
        assert_eq!(tx.q(damage).bind(person.as_uuid()).run().await.unwrap(), 1);
    }
    tx.commit().await.unwrap();
    world.rbac.ensure(Some(world.a)).await.unwrap();
    let other = rbac(stylobate_db::Db::clone(&world.db), &world.clock);
    other.ensure(Some(world.a)).await.unwrap();
    let principal = |person| Principal::person(person).in_tenant(world.a);
    assert!(other.check(&principal(stays), "user.read").is_allowed());
    for key in ["user.read", "user.update"] {
        assert!(!other.check(&principal(person), key).is_allowed(), "{key}");
    }
    assert_eq!(
        other.problems(Some(world.a)),
        [
            unreadable("role_assignments", "subject_kind", held.as_uuid()),
            unreadable("permission_overrides", "subject_kind", rule.as_uuid()),
            unreadable("acl_entries", "subject_kind", entry.as_uuid())
        ]
    );

    // They are listed, and can be taken away.
    let assignments = world.rbac.list_assignments(&context, &AssignmentQuery::default()).await.unwrap().items;
    let found = assignments.iter().find(|one| one.id == held).unwrap();
    assert_eq!((found.assignee.kind, found.assignee.id), (AssigneeKind::Unreadable, person.as_uuid()));
    let overrides = world.rbac.overrides(&context, &OverrideQuery::default()).await.unwrap().items;
    assert_eq!((overrides[0].id, overrides[0].assignee.kind), (rule, AssigneeKind::Unreadable));
    let entries = world.rbac.acl_entries(&context, &AclQuery::default()).await.unwrap().items;
    assert_eq!((entries[0].id, entries[0].assignee.kind), (entry, AssigneeKind::Unreadable));
    world.rbac.delete_assignment(&context, held).await.unwrap();
    world.rbac.remove_override(&context, rule).await.unwrap();
    world.rbac.remove_acl_entry(&context, entry).await.unwrap();
    assert!(world.rbac.problems(Some(world.a)).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_cannot_be_read_give_nothing_and_the_rest_works() {
    // A11: ids that are none and texts that are not UTF-8. Only SQLite can hold such rows.
    let world = World::new(TestDb::sqlite(SETS).await).await;
    let (context, person, hurt) = (world.in_a(), world.person(), world.person());
    let keys = ["user.read", "user.update", "user.delete", "role.read", "role.create", "role.delete"];
    let role = world.role_with("worker", keys[0]).await.id;
    for key in &keys[1..] {
        world.rbac.attach(&context, role, world.permission(key).await).await.unwrap();
    }
    world.rbac.assign(&context, person, role).await.unwrap();
    let (heir, lost, passed) = (
        world.role("heir").await.id,
        world.role("lost").await.id,
        world.role_with("passed", "own.c").await.id,
    );
    world.rbac.add_parent(&context, heir, lost).await.unwrap();
    world.rbac.add_parent(&context, heir, passed).await.unwrap();
    let own_a = world.rbac.attach(&context, lost, world.permission("own.a").await).await.unwrap().value.id;
    world.rbac.assign(&context, hurt, heir).await.unwrap();
    let of_lost = world.rbac.assign(&context, hurt, lost).await.unwrap().value.id;
    let guest = world.role("guest").await.id;
    let of_guest = world.rbac.assign(&context, hurt, guest).await.unwrap().value.id;
    let (own_b, own_d) = (world.permission("own.b").await, world.permission("own.d").await);
    world.rbac.attach(&context, role, own_d).await.unwrap();
    let ids: Vec<PermissionId> = {
        let mut ids = Vec::new();
        for key in keys {
            ids.push(world.permission(key).await);
        }
        ids
    };
    let mut rules = Vec::new();
    for (at, effect) in [(0, Effect::Allow), (1, Effect::Deny), (2, Effect::Deny), (3, Effect::Deny)] {
        let mut rule = NewOverride::new(person, ids[at], effect);
        rule.condition = (at == 1).then_some(Condition::Owner {});
        rules.push(world.rbac.set_override(&context, rule).await.unwrap().value.id);
    }
    let mut entries = Vec::new();
    for id in ["1", "2", "3", "4"] {
        let entry = NewAclEntry::new(("document", id), person, ids[0], Effect::Deny);
        entries.push(world.rbac.set_acl_entry(&context, entry).await.unwrap().value.id);
    }

    let mut tx = world.db.begin(Scope::Tenant(world.a)).await.unwrap();
    tx.q("PRAGMA defer_foreign_keys = ON").run().await.unwrap();
    let damages = [
        // A role with all that names it; an assignment to nobody.
        ("UPDATE roles SET id = x'616263' WHERE id = $1", lost.as_uuid()),
        ("UPDATE role_permissions SET role_id = x'616263' WHERE role_id = $1", lost.as_uuid()),
        ("UPDATE role_parents SET parent_id = x'616263' WHERE parent_id = $1", lost.as_uuid()),
        ("UPDATE role_assignments SET role_id = x'616263' WHERE role_id = $1", lost.as_uuid()),
        ("UPDATE role_assignments SET subject_id = x'' WHERE role_id = $1", guest.as_uuid()),
        // A permission's id and another's key.
        ("UPDATE permissions SET id = x'00' WHERE id = $1", own_b.as_uuid()),
        ("UPDATE permissions SET key = CAST(x'6f776e2e64ff' AS TEXT) WHERE id = $1", own_d.as_uuid()),
        // An allowing grant and a denying override with conditions that are no text; rules about nobody, or without an id.
        (
            "UPDATE role_permissions SET condition = CAST(x'ff' AS TEXT) WHERE permission_id = $1 AND effect = 'allow'
             AND role_id IN (SELECT id FROM roles WHERE name = 'worker')",
            ids[4].as_uuid(),
        ),
        ("UPDATE permission_overrides SET id = x'30' WHERE id = $1", rules[0].as_uuid()),
        ("UPDATE permission_overrides SET condition = CAST(x'ff' AS TEXT) WHERE id = $1", rules[1].as_uuid()),
        ("UPDATE permission_overrides SET subject_id = x'616263' WHERE id = $1", rules[2].as_uuid()),
        ("UPDATE permission_overrides SET id = x'31' WHERE id = $1", rules[3].as_uuid()),
        ("UPDATE acl_entries SET resource_id = CAST(x'ff' AS TEXT) WHERE id = $1", entries[0].as_uuid()),
        ("UPDATE acl_entries SET resource_kind = CAST(x'ff' AS TEXT) WHERE id = $1", entries[1].as_uuid()),
        ("UPDATE acl_entries SET subject_id = x'616263' WHERE id = $1", entries[2].as_uuid()),
        ("UPDATE acl_entries SET id = x'' WHERE id = $1", entries[3].as_uuid()),
    ];
    for (damage, id) in damages {
        assert_eq!(tx.q(damage).bind(id).run().await.unwrap(), 1, "{damage}");
    }
    tx.commit().await.unwrap();
    let other = rbac(stylobate_db::Db::clone(&world.db), &world.clock);
    other.ensure(Some(world.a)).await.unwrap();

    let principal = Principal::person(person).in_tenant(world.a);
    let code = |name: &str| other.check(&principal, name).reason.code();
    // Of two rules about the person that cannot be read the allowing one is left out, and a grant allows all the same.
    assert_eq!([code("user.read"), code("user.delete"), code("role.delete")], ["role", "role", "role"]);
    assert_eq!([code("user.update"), code("role.read")], ["denied_by_override"; 2]);
    assert_ne!(code("role.create"), "role");
    assert_eq!(code("own.d"), "unknown_permission");
    let on = |id: &str| other.check_on(&principal, "user.read", &Resource::new("document", id)).reason.code();
    assert_eq!([on("1"), on("2"), on("3"), on("4")], ["role", "role", "role", "denied_by_acl"]);
    let hurt_principal = Principal::person(hurt).in_tenant(world.a);
    assert!(other.check(&hurt_principal, "own.c").is_allowed(), "what is readable is inherited");
    assert!(!other.check(&hurt_principal, "own.a").is_allowed());

    let nameless = |table| PolicyProblem::Unreadable { table, column: "id", id: None };
    let problems = other.problems(Some(world.a));
    for problem in [
        nameless("roles"),
        unreadable("role_permissions", "role_id", own_a.as_uuid()),
        unreadable("role_parents", "parent_id", heir.as_uuid()),
        unreadable("role_assignments", "role_id", of_lost.as_uuid()),
        unreadable("role_assignments", "subject_id", of_guest.as_uuid()),
        nameless("permissions"),
        PolicyProblem::PermissionKey(own_d),
        PolicyProblem::GrantCondition(role, ids[4]),
        nameless("permission_overrides"),
        PolicyProblem::OverrideCondition(rules[1]),
        unreadable("permission_overrides", "subject_id", rules[2].as_uuid()),
        unreadable("acl_entries", "resource_id", entries[0].as_uuid()),
        unreadable("acl_entries", "resource_kind", entries[1].as_uuid()),
        unreadable("acl_entries", "subject_id", entries[2].as_uuid()),
        nameless("acl_entries"),
    ] {
        assert!(problems.contains(&problem), "{problem:?} is not in {problems:?}");
    }
    // Two of the overrides have no id that could tell them apart.
    assert_eq!(problems.len(), 16, "{problems:?}");

    // Nothing of it stops a list, or keeps the person from being removed.
    world.rbac.list_assignments(&context, &AssignmentQuery::default()).await.unwrap();
    world.rbac.overrides(&context, &OverrideQuery::default()).await.unwrap();
    world.rbac.list_role_permissions(&context, &RolePermissionQuery::default()).await.unwrap();
    let roles = world.rbac.list_roles(&context, &RoleQuery::default()).await.unwrap().items;
    assert!(roles.iter().any(|one| one.id == role) && !roles.iter().any(|one| one.name == "lost"));
    let query = PermissionQuery { search: Some("own.".into()), ..PermissionQuery::default() };
    let permissions = world.rbac.list_permissions(&context, &query).await.unwrap().items;
    assert!(permissions.iter().all(|one| one.id != own_b), "one has no id");
    world.rbac.parents_of(&context, heir).await.unwrap();
    world.rbac.add_parent(&context, heir, guest).await.unwrap();
    world.rbac.seed(&RequestContext::system("test"), Some(world.a)).await.unwrap();
    let listed = world.rbac.acl_entries(&context, &AclQuery::default()).await.unwrap().items;
    assert_eq!(listed.len(), 3, "one has no id");
    for id in &entries[..3] {
        world.rbac.remove_acl_entry(&context, *id).await.unwrap();
    }
    let removed = world
        .db
        .transact(Scope::Tenant(world.a), async |tx| {
            world.rbac.remove_subject(tx, &context, world.a, person).await
        })
        .await;
    assert_eq!(removed.unwrap(), 1);
    world.rbac.ensure(Some(world.a)).await.unwrap();
    assert_eq!(world.rbac.check(&principal, "role.read").reason.code(), "no_assignment");
}

async fn rules_with_a_damaged_end_are_listed_and_can_be_taken_away(db: TestDb) {
    // A11
    let world = World::new(db).await;
    let (context, person) = (world.in_a(), world.person());
    let role = world.role_with("reader", "user.read").await.id;
    lift_end_checks(&world.db).await;
    let damage = async || {
        let mut tx = world.db.begin(Scope::Tenant(world.a)).await.unwrap();
        for damage in [
            Sql::Per {
                pg: "UPDATE role_assignments SET expires_at = 'infinity' WHERE subject_id = $1",
                lite: "UPDATE role_assignments SET expires_at = 'tomorrow' WHERE subject_id = $1",
            },
            Sql::Per {
                pg: "UPDATE permission_overrides SET expires_at = '-infinity' WHERE subject_id = $1",
                lite: "UPDATE permission_overrides SET expires_at = CAST(x'ff' AS TEXT) WHERE subject_id = $1",
            },
            Sql::Per {
                pg: "UPDATE acl_entries SET expires_at = '290000-01-01' WHERE subject_id = $1",
                lite: "UPDATE acl_entries SET expires_at = '' WHERE subject_id = $1",
            },
        ] {
            tx.q(damage).bind(person.as_uuid()).run().await.unwrap();
        }
        tx.commit().await.unwrap();
    };
    let update = world.permission("user.update").await;
    let set = async || {
        let held = world.rbac.assign(&context, person, role).await.unwrap().value;
        let mut rules = Vec::new();
        for (key, effect) in [("user.read", Effect::Allow), ("user.delete", Effect::Deny)] {
            let rule = NewOverride::new(person, world.permission(key).await, effect);
            rules.push(world.rbac.set_override(&context, rule).await.unwrap().value.id);
        }
        let entry = NewAclEntry::new(("document", "7"), person, update, Effect::Deny);
        (held.id, rules, world.rbac.set_acl_entry(&context, entry).await.unwrap().value.id)
    };
    let (held, rules, entry) = set().await;
    damage().await;

    // Shown as it counts: what allows is over, what denies stays.
    let over = Some(DateTime::UNIX_EPOCH);
    let query = AssignmentQuery { assignee: Some(person.into()), ..AssignmentQuery::default() };
    let listed = world.rbac.list_assignments(&context, &query).await.unwrap().items;
    assert_eq!((listed[0].id, listed[0].expires_at), (held, over));
    let listed = world.rbac.overrides(&context, &OverrideQuery::default()).await.unwrap().items;
    let end = |id| listed.iter().find(|one| one.id == id).unwrap().expires_at;
    assert_eq!([end(rules[0]), end(rules[1])], [over, None]);
    let listed = world.rbac.acl_entries(&context, &AclQuery::default()).await.unwrap().items;
    assert_eq!((listed[0].id, listed[0].expires_at), (entry, None));

    world.rbac.unassign(&context, person, role).await.unwrap();
    for rule in rules {
        world.rbac.remove_override(&context, rule).await.unwrap();
    }
    world.rbac.remove_acl_entry(&context, entry).await.unwrap();
    assert!(world.rbac.problems(Some(world.a)).is_empty());

    // One that is over makes room, and renewing mends.
    set().await;
    damage().await;
    let again = world.rbac.assign(&context, person, role).await.unwrap().value.id;
    damage().await;
    world.rbac.update_assignment(&context, again, None).await.unwrap();
    world.rbac.ensure(Some(world.a)).await.unwrap();
    assert!(may(&world, person, "user.read"));
    // Whoever has such rules can leave.
    damage().await;
    let left = world
        .db
        .transact(Scope::Tenant(world.a), async |tx| {
            world.rbac.remove_subject(tx, &context, world.a, person).await
        })
        .await;
    assert_eq!(left.unwrap(), 1);
    assert!(world.rbac.overrides(&context, &OverrideQuery::default()).await.unwrap().items.is_empty());
}
both_engines!(rules_with_a_damaged_end_are_listed_and_can_be_taken_away, SETS);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_effect_that_is_none_is_listed_as_a_denial_and_can_be_taken_away() {
    // A11: past the constraint, which on PostgreSQL only the owner of the tables can lift.
    let world = World::new(TestDb::sqlite(SETS).await).await;
    let (context, person) = (world.in_a(), world.person());
    let role = world.role_with("reader", "user.read").await.id;
    let read = world.permission("user.read").await;
    let rule = NewOverride::new(person, read, Effect::Allow);
    let rule = world.rbac.set_override(&context, rule).await.unwrap().value.id;
    let entry = NewAclEntry::new(("document", "7"), person, read, Effect::Allow);
    let entry = world.rbac.set_acl_entry(&context, entry).await.unwrap().value.id;
    let mut tx = world.db.begin(Scope::Tenant(world.a)).await.unwrap();
    tx.q("PRAGMA ignore_check_constraints = ON").run().await.unwrap();
    for damage in [
        "UPDATE role_permissions SET effect = CAST(x'ff' AS TEXT) WHERE role_id IN (SELECT id FROM roles WHERE name = 'reader')",
        "UPDATE permission_overrides SET effect = 'perhaps'",
        "UPDATE acl_entries SET effect = ''",
    ] {
        assert_eq!(tx.q(damage).run().await.unwrap(), 1);
    }
    tx.commit().await.unwrap();
    let query = RolePermissionQuery { role_id: Some(role), ..RolePermissionQuery::default() };
    let links = world.rbac.list_role_permissions(&context, &query).await.unwrap().items;
    assert_eq!(links[0].effect, Effect::Deny);
    let overrides = world.rbac.overrides(&context, &OverrideQuery::default()).await.unwrap().items;
    assert_eq!(overrides[0].effect, Effect::Deny);
    let entries = world.rbac.acl_entries(&context, &AclQuery::default()).await.unwrap().items;
    assert_eq!(entries[0].effect, Effect::Deny);
    world.rbac.ensure(Some(world.a)).await.unwrap();
    assert_eq!(
        world.rbac.problems(Some(world.a)),
        [
            unreadable("role_permissions", "effect", links[0].id.as_uuid()),
            unreadable("permission_overrides", "effect", rule.as_uuid()),
            unreadable("acl_entries", "effect", entry.as_uuid()),
        ]
    );
    world.rbac.detach(&context, role, read).await.unwrap();
    world.rbac.remove_override(&context, rule).await.unwrap();
    world.rbac.remove_acl_entry(&context, entry).await.unwrap();
    assert!(world.rbac.problems(Some(world.a)).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_assignment_without_an_id_can_be_taken_away() {
    // A11: it counts, so it must be possible to end it. Only SQLite holds such a row.
    let world = World::new(TestDb::sqlite(SETS).await).await;
    let (context, person) = (world.in_a(), world.person());
    let role = world.role_with("reader", "user.read").await.id;
    world.rbac.assign(&context, person, role).await.unwrap();
    let mut tx = world.db.begin(Scope::Tenant(world.a)).await.unwrap();
    let damage = "UPDATE role_assignments SET id = x'616263' WHERE role_id = $1";
    assert_eq!(tx.q(damage).bind(role.as_uuid()).run().await.unwrap(), 1);
    tx.commit().await.unwrap();
    world.rbac.ensure(Some(world.a)).await.unwrap();
    assert!(may(&world, person, "user.read"));
    world.rbac.unassign(&context, person, role).await.unwrap();
    assert!(!may(&world, person, "user.read"));
    assert!(world.rbac.problems(Some(world.a)).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_beyond_the_calendar_is_refused_by_postgresql() {
    let world = World::new(TestDb::postgres(SETS).await).await;
    let (context, person) = (world.in_a(), world.person());
    let role = world.role_with("reader", "user.read").await.id;
    world.rbac.assign(&context, person, role).await.unwrap();
    for damage in [
        "UPDATE role_assignments SET expires_at = 'infinity'",
        "UPDATE role_assignments SET expires_at = '-infinity'",
        "UPDATE role_assignments SET expires_at = '0044-03-15 BC'",
        "UPDATE role_assignments SET expires_at = '10000-01-01 00:00:00+00'",
    ] {
        let mut tx = world.db.begin(Scope::Tenant(world.a)).await.unwrap();
        let refused = tx.q(damage).run().await.unwrap_err();
        assert!(
            matches!(refused, Error::Constraint { kind: ConstraintKind::Check, .. }),
            "{damage}: {refused}"
        );
    }
}

async fn what_a_role_denies_stays_denied_when_its_end_cannot_be_read(db: TestDb) {
    // A11
    let world = World::new(db).await;
    let (context, person) = (world.in_a(), world.person());
    let (parent, role) = (world.role("parent").await.id, world.role_with("worker", "user.read").await.id);
    let (update, delete) = (world.permission("user.update").await, world.permission("user.delete").await);
    let deny = GrantRule { effect: Effect::Deny, condition: None };
    let owner = GrantRule { effect: Effect::Deny, condition: Some(Condition::Owner {}) };
    world.rbac.attach_rule(&context, parent, update, deny).await.unwrap();
    world.rbac.attach_rule(&context, role, delete, owner).await.unwrap();
    world.rbac.add_parent(&context, role, parent).await.unwrap();
    world.rbac.assign(&context, person, role).await.unwrap();
    for (name, key) in [("writer", "user.update"), ("remover", "user.delete")] {
        let other = world.role_with(name, key).await.id;
        world.rbac.assign(&context, person, other).await.unwrap();
    }
    lift_end_checks(&world.db).await;
    let mut tx = world.db.begin(Scope::Tenant(world.a)).await.unwrap();
    let damage = Sql::Per {
        pg: "UPDATE role_assignments SET expires_at = 'infinity' WHERE role_id = $1",
        lite: "UPDATE role_assignments SET expires_at = 'tomorrow' WHERE role_id = $1",
    };
    assert_eq!(tx.q(damage).bind(role.as_uuid()).run().await.unwrap(), 1);
    tx.commit().await.unwrap();
    let other = rbac(stylobate_db::Db::clone(&world.db), &world.clock);
    other.ensure(Some(world.a)).await.unwrap();
    let principal = Principal::person(person).in_tenant(world.a);
    assert!(!other.check(&principal, "user.read").is_allowed(), "what it allowed is over");
    assert_eq!(other.check(&principal, "user.update").reason.code(), "denied_by_override");
    let own = Resource::new("person", "1").owned_by(person);
    assert_eq!(other.check_on(&principal, "user.delete", &own).reason.code(), "denied_by_override");
    let of_others = Resource::new("person", "2").owned_by(world.person());
    assert!(other.check_on(&principal, "user.delete", &of_others).is_allowed());
}
both_engines!(what_a_role_denies_stays_denied_when_its_end_cannot_be_read, SETS);
