//! Groups: who is in one has what it has, and nobody gains by one what they could not be given.

use std::sync::Arc;

use chrono::TimeDelta;
use stylobate_core::{
    Clock as _, Direction, GroupId, PageLimit, PersonId, Principal, RequestContext, ServiceId, Subject,
};
use stylobate_db::{Db, Engine, Scope, Sql, Tx};
use stylobate_rbac::{
    AclQuery, AssignmentQuery, Authorizer as _, Effect, GrantRule, Group, GroupMemberQuery, GroupOrder,
    GroupQuery, GroupUpdate, NewAclEntry, NewGroup, NewOverride, OverrideQuery, PolicyProblem, Question,
    Rbac, RbacError, Resource,
};
use stylobate_testkit::{TestDb, both_engines};

use crate::{
    freshness::Recorder,
    subjects::{self, code},
    world::{SETS, World, may, rbac},
};

async fn group(world: &World, name: &str) -> GroupId {
    world.rbac.create_group(&world.in_a(), NewGroup::new(name)).await.unwrap().value.id
}

/// A group of tenant a with this permission, by a role.
async fn group_with(world: &World, name: &str, key: &str) -> GroupId {
    let (group, role) = (group(world, name).await, world.role_with(name, key).await.id);
    world.rbac.assign(&world.in_a(), group, role).await.unwrap();
    group
}

both_engines!(a_group_is_made_changed_and_deleted, SETS);
async fn a_group_is_made_changed_and_deleted(db: TestDb) {
    // A13
    let world = World::new(db).await;
    let recorder = Arc::new(Recorder::default());
    let audited = rbac(world.db.open(&[Arc::clone(&recorder) as _]).await, &world.clock);
    let (context, person) = (world.in_a(), world.person());
    let new = NewGroup { description: Some("Nights".into()), ..NewGroup::new("Night shift") };
    let made = audited.create_group(&context, new).await.unwrap().value;
    assert_eq!((made.tenant_id, made.version, made.name.as_str()), (world.a, 1, "Night shift"));
    assert_eq!(audited.find_group(&context, made.id).await.unwrap(), Some(made.clone()));

    world.clock.advance(TimeDelta::seconds(5));
    let rename = |name: &str, version| GroupUpdate {
        name: Some(name.into()),
        description: Some(None),
        version: Some(version),
    };
    let changed = audited.update_group(&context, made.id, rename("Late shift", 1)).await.unwrap().value;
    assert_eq!((changed.version, changed.description.clone()), (2, None));
    assert_eq!((changed.created_at, changed.name.as_str()), (made.created_at, "Late shift"));
    assert_eq!(audited.find_group(&context, made.id).await.unwrap(), Some(changed.clone()));
    assert_eq!(code(audited.update_group(&context, made.id, rename("x", 1)).await), Err("stale"));
    let same = audited.update_group(&context, made.id, GroupUpdate::default()).await.unwrap().value;
    assert_eq!(same, changed, "a change of nothing changes nothing");

    let other = audited.create_group(&context, NewGroup::new("Other")).await.unwrap().value;
    for taken in ["late shift", "LATE SHIFT"] {
        assert_eq!(code(audited.create_group(&context, NewGroup::new(taken)).await), Err("group_name_taken"));
        let refused = audited.update_group(&context, other.id, rename(taken, 1)).await;
        assert_eq!(code(refused), Err("group_name_taken"));
    }
    audited.create_group(&world.in_b(), NewGroup::new("late shift")).await.unwrap();
    for name in ["", " x", "x\n", "grüppe", &"a".repeat(81)] {
        let refused = audited.create_group(&context, NewGroup::new(name)).await.unwrap_err();
        assert!(matches!(refused, RbacError::Invalid { field: "name", .. }), "{name:.20}");
    }

    audited.add_to_group(&context, made.id, person).await.unwrap();
    audited.remove_from_group(&context, made.id, person).await.unwrap();
    audited.delete_group(&context, made.id).await.unwrap();
    assert_eq!(audited.find_group(&context, made.id).await.unwrap(), None);
    let again = audited.delete_group(&context, made.id).await;
    assert!(matches!(again, Err(RbacError::NotFound { entity: "group" })));
    let events = recorder.0.lock();
    let told: Vec<_> = events.iter().map(|event| event.action).collect();
    assert_eq!(
        told,
        [
            "group.create",
            "group.update",
            "group.create",
            "group.create",
            "group.member.add",
            "group.member.remove",
            "group.delete"
        ]
    );
    assert_eq!(events[1].before.as_ref().unwrap()["name"], "Night shift");
    assert_eq!(events[1].after.as_ref().unwrap()["name"], "Late shift");
    assert_eq!(events[4].after.as_ref().unwrap()["member"]["id"], person.to_string());
    assert_eq!((events[6].tenant, events[6].target.id.clone()), (Some(world.a), Some(made.id.to_string())));
}

both_engines!(who_is_in_a_group_has_what_it_has, SETS);
async fn who_is_in_a_group_has_what_it_has(db: TestDb) {
    // A11
    let world = World::new(db).await;
    let (context, rbac, ada) = (world.in_a(), &world.rbac, world.person());
    let service = ServiceId::new(world.clock.now());
    let team = group_with(&world, "team", "user.read").await;
    rbac.ensure(Some(world.a)).await.unwrap();
    assert!(!may(&world, ada, "user.read"));
    let added = rbac.add_to_group(&context, team, ada).await.unwrap();
    assert_eq!(Some(added.epoch), rbac.engine().epoch(Some(world.a)), "it counts when the call returns");
    assert_eq!((added.value.group_id, added.value.member), (team, ada.into()));
    assert!(may(&world, ada, "user.read"));
    assert!(!rbac.check(&Principal::person(ada).in_tenant(world.b), "user.read").is_allowed());
    assert_eq!(code(rbac.add_to_group(&context, team, ada).await), Err("already_in_group"));
    rbac.add_to_group(&context, team, service).await.unwrap();
    let of_service =
        Principal { subject: Subject::Service { id: service }, ..Principal::person(ada).in_tenant(world.a) };
    assert!(rbac.check(&of_service, "user.read").is_allowed());

    // Why, and who.
    let principal = Principal::person(ada).in_tenant(world.a);
    let explained = rbac.engine().explain(Question::new(&principal, "user.read"));
    assert_eq!(explained.rules[0].group, Some(team.into()));
    let who = rbac.engine().who_can(Some(world.a), "user.read");
    for subject in [ada.into(), service.into(), team.into()] {
        assert!(who.contains(&subject), "{subject:?} is not in {who:?}");
    }
    let effective = rbac.effective_permissions(&context, ada).await.unwrap();
    assert_eq!((effective.len(), effective[0].key.as_str()), (1, "user.read"));

    // Rules beside roles.
    let (update, delete) = (world.permission("user.update").await, world.permission("user.delete").await);
    rbac.set_override(&context, NewOverride::new(team, update, Effect::Allow)).await.unwrap();
    let entry = NewAclEntry::new(("document", "7"), team, delete, Effect::Allow);
    rbac.set_acl_entry(&context, entry).await.unwrap();
    let on_document =
        |rbac: &Rbac| rbac.check_on(&principal, "user.delete", &Resource::new("document", "7")).is_allowed();
    assert!(may(&world, ada, "user.update") && on_document(rbac) && !may(&world, ada, "user.delete"));
    // As another process reads it, and as casbin does.
    let other = crate::world::rbac(world.db.open(&[]).await, &world.clock);
    other.ensure(Some(world.a)).await.unwrap();
    assert!(other.check(&principal, "user.update").is_allowed() && on_document(&other));
    assert!(other.problems(Some(world.a)).is_empty());
    #[cfg(feature = "casbin")]
    {
        let catalogue = Arc::new(stylobate_rbac::default_catalogue());
        let engine = stylobate_rbac::Engine::new(catalogue, Arc::clone(&world.clock) as _);
        let by_casbin =
            Rbac::with_engine(Db::clone(&world.db), Arc::clone(&world.clock) as _, engine.with_casbin());
        by_casbin.ensure(Some(world.a)).await.unwrap();
        assert!(by_casbin.check(&principal, "user.update").is_allowed() && on_document(&by_casbin));
        by_casbin.remove_from_group(&context, team, ada).await.unwrap();
        assert!(!by_casbin.check(&principal, "user.update").is_allowed() && !on_document(&by_casbin));
        by_casbin.add_to_group(&context, team, ada).await.unwrap();
        rbac.ensure_at_least(Some(world.a), by_casbin.engine().epoch(Some(world.a)).unwrap()).await.unwrap();
    }

    rbac.remove_from_group(&context, team, ada).await.unwrap();
    for name in ["user.read", "user.update"] {
        assert!(!may(&world, ada, name), "{name}");
    }
    assert!(!on_document(rbac) && rbac.check(&of_service, "user.read").is_allowed());
    assert_eq!(code(rbac.remove_from_group(&context, team, ada).await), Err("not_found"));
}

both_engines!(a_group_takes_along_what_it_has, SETS);
async fn a_group_takes_along_what_it_has(db: TestDb) {
    let world = World::new(db).await;
    let (context, rbac, ada) = (world.in_a(), &world.rbac, world.person());
    let team = group_with(&world, "team", "user.read").await;
    rbac.add_to_group(&context, team, ada).await.unwrap();
    let update = world.permission("user.update").await;
    rbac.set_override(&context, NewOverride::new(team, update, Effect::Allow)).await.unwrap();
    rbac.set_acl_entry(&context, NewAclEntry::new(("doc", "1"), team, update, Effect::Allow)).await.unwrap();
    rbac.ensure(Some(world.a)).await.unwrap();
    assert!(may(&world, ada, "user.read"));
    rbac.delete_group(&context, team).await.unwrap();
    assert!(!may(&world, ada, "user.read") && !may(&world, ada, "user.update"));
    let assignments = AssignmentQuery { assignee: Some(team.into()), ..AssignmentQuery::default() };
    assert!(rbac.list_assignments(&context, &assignments).await.unwrap().items.is_empty());
    let overrides = OverrideQuery { assignee: Some(team.into()), ..OverrideQuery::default() };
    assert!(rbac.overrides(&context, &overrides).await.unwrap().items.is_empty());
    let entries = AclQuery { assignee: Some(team.into()), ..AclQuery::default() };
    assert!(rbac.acl_entries(&context, &entries).await.unwrap().items.is_empty());
    assert!(rbac.groups_of(&context, ada, &GroupQuery::default()).await.unwrap().items.is_empty());
    assert!(rbac.policy(Some(world.a)).await.unwrap().members.is_empty());
}

both_engines!(nobody_gains_by_a_group_what_they_could_not_be_given, SETS);
async fn nobody_gains_by_a_group_what_they_could_not_be_given(db: TestDb) {
    // A11
    let world = World::new(db).await;
    let (admin, rbac, clerk) = (world.in_a(), &world.rbac, world.person());
    let asking = world.person_in(clerk, world.a);
    let weak = world.role_with("weak", "user.read").await.id;
    let strong = world.role_with("strong", "user.delete").await.id;
    rbac.assign(&admin, clerk, weak).await.unwrap();
    let (delete, update) = (world.permission("user.delete").await, world.permission("user.update").await);
    let beyond = Err("beyond_own_permissions");

    // By a role, by a rule beside roles, by a rule about one thing, and by one that denies: that locks others out.
    let by_role = group(&world, "by role").await;
    rbac.assign(&admin, by_role, strong).await.unwrap();
    let by_rule = group(&world, "by rule").await;
    rbac.set_override(&admin, NewOverride::new(by_rule, delete, Effect::Allow)).await.unwrap();
    let by_entry = group(&world, "by entry").await;
    let entry = NewAclEntry::new(("doc", "1"), by_entry, delete, Effect::Allow);
    rbac.set_acl_entry(&admin, entry).await.unwrap();
    let denied = group(&world, "denied").await;
    rbac.set_override(&admin, NewOverride::new(denied, delete, Effect::Deny)).await.unwrap();
    let locked = group(&world, "locked").await;
    let locks = world.role("locks").await.id;
    let deny = GrantRule { effect: Effect::Deny, condition: None };
    rbac.attach_rule(&admin, locks, delete, deny).await.unwrap();
    rbac.assign(&admin, locked, locks).await.unwrap();
    for one in [by_role, by_rule, by_entry, denied, locked] {
        for member in [clerk, world.person()] {
            assert_eq!(code(rbac.add_to_group(&asking, one, member).await), beyond);
        }
    }
    // A group that they are in, or might be, gets no more than they could give.
    let own = group(&world, "own").await;
    rbac.add_to_group(&asking, own, clerk).await.unwrap();
    assert_eq!(code(rbac.assign(&asking, own, strong).await), beyond);
    assert_eq!(code(rbac.set_override(&asking, NewOverride::new(own, update, Effect::Allow)).await), beyond);
    let entry = NewAclEntry::new(("doc", "1"), own, update, Effect::Allow);
    assert_eq!(code(rbac.set_acl_entry(&asking, entry).await), beyond);
    rbac.assign(&asking, own, weak).await.unwrap();
    // Nor is a denial shed by leaving, or by having the group gone.
    for one in [denied, locked] {
        rbac.add_to_group(&admin, one, clerk).await.unwrap();
        assert_eq!(code(rbac.remove_from_group(&asking, one, clerk).await), beyond);
        assert_eq!(code(rbac.delete_group(&asking, one).await), beyond);
        rbac.remove_from_group(&admin, one, clerk).await.unwrap();
    }
    // What is taken is not given to anybody.
    let other = world.person();
    rbac.add_to_group(&admin, by_role, other).await.unwrap();
    rbac.remove_from_group(&asking, by_role, other).await.unwrap();

    // What they have by a group they have, and hand out.
    rbac.add_to_group(&admin, by_role, clerk).await.unwrap();
    rbac.add_to_group(&asking, by_role, other).await.unwrap();
    rbac.assign(&asking, other, strong).await.unwrap();
    rbac.add_to_group(&asking, by_rule, other).await.unwrap();
    // For as long as it lasts, and within the scopes of the credential.
    let soon = Some(world.clock.now() + TimeDelta::hours(1));
    let brief = group(&world, "brief").await;
    let briefly = world.role_with("briefly", "user.update").await.id;
    rbac.assign_until(&admin, brief, briefly, soon).await.unwrap();
    rbac.add_to_group(&admin, brief, clerk).await.unwrap();
    rbac.add_to_group(&asking, brief, other).await.unwrap();
    assert_eq!(code(rbac.assign(&asking, other, briefly).await), beyond);
    rbac.assign_until(&asking, other, briefly, soon).await.unwrap();
    let mut narrow = asking.clone();
    narrow.principal.scopes = Some(vec!["user.read".to_owned()]);
    assert_eq!(code(rbac.add_to_group(&narrow, by_rule, world.person()).await), beyond);
    // What is over is nothing that anybody would be given.
    world.clock.advance(TimeDelta::hours(2));
    let bare = world.person_in(world.person(), world.a);
    rbac.add_to_group(&bare, brief, world.person()).await.unwrap();
    assert_eq!(code(rbac.add_to_group(&bare, by_role, world.person()).await), beyond);
}

both_engines!(whose_account_is_whose_to_manage_counts_groups, SETS);
async fn whose_account_is_whose_to_manage_counts_groups(db: TestDb) {
    // A11: who sets the password of an account may do everything that it may.
    let world = World::new(db).await;
    let (admin, rbac) = (world.in_a(), &world.rbac);
    let (desk, manager) = (world.person(), world.person());
    let weak = world.role_with("weak", "user.read").await.id;
    rbac.assign(&admin, desk, weak).await.unwrap();
    let chiefs = group(&world, "chiefs").await;
    rbac.add_to_group(&admin, chiefs, manager).await.unwrap();
    let asking = world.person_in(desk, world.a);
    let become_them = async |context: &RequestContext| {
        let ask = async |tx: &mut Tx| rbac.require_may_become(tx, context, manager).await;
        world.db.transact(Scope::Platform("test"), ask).await.map_err(|error| error.code())
    };
    assert_eq!(become_them(&asking).await, Ok(()));
    let delete = world.permission("user.delete").await;
    let rule = rbac.set_override(&admin, NewOverride::new(chiefs, delete, Effect::Allow)).await.unwrap();
    assert_eq!(become_them(&asking).await, Err("beyond_own_permissions"));
    rbac.remove_override(&admin, rule.value.id).await.unwrap();
    let strong = world.role_with("strong", "user.delete").await.id;
    rbac.assign(&admin, chiefs, strong).await.unwrap();
    assert_eq!(become_them(&asking).await, Err("beyond_own_permissions"));
    assert_eq!(become_them(&admin).await, Ok(()));
    rbac.add_to_group(&admin, chiefs, desk).await.unwrap();
    assert_eq!(become_them(&asking).await, Ok(()));
}

both_engines!(only_members_are_put_into_groups_that_are_there, subjects::SETS);
async fn only_members_are_put_into_groups_that_are_there(db: TestDb) {
    // A12, C20
    let (world, rbac) = subjects::world(db).await;
    let (context, foreign) = (world.in_a(), world.in_b());
    let (known, stranger) = (subjects::member(&world).await, world.person());
    let team = group(&world, "team").await;
    let missing = |answer: Result<(), RbacError>, of: &'static str| {
        assert!(matches!(answer, Err(RbacError::NotFound { entity }) if entity == of), "{answer:?}");
    };
    rbac.add_to_group(&context, team, known).await.unwrap();
    missing(rbac.add_to_group(&context, team, stranger).await.map(drop), "subject");
    let inner = group(&world, "inner").await;
    let refused = rbac.add_to_group(&context, team, inner).await;
    assert!(matches!(refused, Err(RbacError::Invalid { field: "member", .. })), "{refused:?}");

    // Another tenant's group is as if missing, as member of a path and as the subject of a rule.
    let nobody = GroupId::from_uuid(uuid::Uuid::from_u128(1));
    let theirs = world.rbac.create_group(&foreign, NewGroup::new("theirs")).await.unwrap().value.id;
    let (role, read) = (world.role_with("reader", "user.read").await.id, world.permission("user.read").await);
    let held = rbac.assign(&context, known, role).await.unwrap().value.id;
    for id in [nobody, theirs] {
        assert_eq!(rbac.find_group(&context, id).await.unwrap(), None);
        missing(rbac.update_group(&context, id, GroupUpdate::default()).await.map(drop), "group");
        missing(rbac.delete_group(&context, id).await.map(drop), "group");
        missing(rbac.add_to_group(&context, id, known).await.map(drop), "group");
        missing(rbac.remove_from_group(&context, id, known).await.map(drop), "group");
        let members = rbac.list_group_members(&context, id, &GroupMemberQuery::default()).await;
        missing(members.map(drop), "group");
        missing(rbac.assign(&context, id, role).await.map(drop), "subject");
        let rule = NewOverride::new(id, read, Effect::Allow);
        missing(rbac.set_override(&context, rule).await.map(drop), "subject");
        let entry = NewAclEntry::new(("doc", "1"), id, read, Effect::Allow);
        missing(rbac.set_acl_entry(&context, entry).await.map(drop), "subject");
        missing(rbac.replace_assignment(&context, held, Some(id.into()), None).await.map(drop), "subject");
    }
    assert_eq!(rbac.find_group(&foreign, theirs).await.unwrap().map(|group| group.id), Some(theirs));
    // The platform has none.
    let system = RequestContext::system("test");
    missing(rbac.create_group(&system, NewGroup::new("x")).await.map(drop), "tenant");
    missing(rbac.list_groups(&system, &GroupQuery::default()).await.map(drop), "tenant");
}

both_engines!(groups_and_members_are_listed_by_pages, SETS);
async fn groups_and_members_are_listed_by_pages(db: TestDb) {
    let world = World::new(db).await;
    let (context, rbac) = (world.in_a(), &world.rbac);
    let (ada, mut people) = (world.person(), Vec::new());
    let mut made = Vec::new();
    for n in 0..5 {
        world.clock.advance(TimeDelta::seconds(1));
        made.push(group(&world, &format!("Team_{n}")).await);
    }
    for &one in &made[1..4] {
        rbac.add_to_group(&context, one, ada).await.unwrap();
    }
    for _ in 0..5 {
        world.clock.advance(TimeDelta::seconds(1));
        let person = world.person();
        rbac.add_to_group(&context, made[0], person).await.unwrap();
        people.push(person);
    }
    rbac.add_to_group(&context, made[0], ServiceId::new(world.clock.now())).await.unwrap();

    let two = PageLimit::new(2).unwrap();
    for (order_by, direction, last) in
        [(GroupOrder::Name, Direction::Asc, "Team_4"), (GroupOrder::CreatedAt, Direction::Desc, "Team_0")]
    {
        let mut query = GroupQuery { order_by, direction, limit: two, ..GroupQuery::default() };
        let mut seen: Vec<Group> = Vec::new();
        loop {
            let page = rbac.list_groups(&context, &query).await.unwrap();
            seen.extend(page.items);
            let Some(next) = page.next_cursor else { break };
            query.cursor = Some(next.encode());
        }
        assert_eq!((seen.len(), seen.last().unwrap().name.as_str()), (5, last));
    }
    let search = GroupQuery { search: Some("TEAM_3".into()), with_total: true, ..GroupQuery::default() };
    let found = rbac.list_groups(&context, &search).await.unwrap();
    assert_eq!((found.total, found.items[0].id), (Some(1), made[3]));
    let of_ada = GroupQuery { limit: two, with_total: true, ..GroupQuery::default() };
    let found = rbac.groups_of(&context, ada, &of_ada).await.unwrap();
    let ids: Vec<_> = found.items.iter().map(|group| group.id).collect();
    assert_eq!((found.total, ids), (Some(3), made[1..3].to_vec()));
    assert!(rbac.groups_of(&world.in_b(), ada, &of_ada).await.unwrap().items.is_empty());
    let bad = GroupQuery { cursor: Some("x".into()), ..GroupQuery::default() };
    assert_eq!(rbac.list_groups(&context, &bad).await.unwrap_err().code(), "cursor_invalid");

    let mut query = GroupMemberQuery {
        kind: Some(stylobate_rbac::AssigneeKind::Person),
        limit: two,
        with_total: true,
        ..GroupMemberQuery::default()
    };
    let mut seen = Vec::new();
    loop {
        let page = rbac.list_group_members(&context, made[0], &query).await.unwrap();
        assert_eq!(page.total, Some(5));
        seen.extend(page.items.into_iter().map(|member| PersonId::from_uuid(member.member.id)));
        let Some(next) = page.next_cursor else { break };
        query.cursor = Some(next.encode());
    }
    assert_eq!(seen, people);
    let all = rbac.list_group_members(&context, made[0], &GroupMemberQuery::default()).await.unwrap();
    assert_eq!(all.items.len(), 6, "and the service");
}

both_engines!(groups_and_their_members_are_bounded, SETS);
async fn groups_and_their_members_are_bounded(db: TestDb) {
    let world = World::new(db).await;
    let (context, rbac) = (world.in_a(), &world.rbac);
    let team = group(&world, "team").await;
    rbac.add_to_group(&context, team, world.person()).await.unwrap();
    let mut tx = world.db.begin(Scope::Tenant(world.a)).await.unwrap();
    let random = Sql::Per { pg: "gen_random_uuid()", lite: "randomblob(16)" };
    let mut sql = tx.builder(
        "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 998)
         INSERT INTO groups (id, tenant_id, name, name_folded, version, created_at, updated_at) SELECT ",
    );
    sql.push_sql(random);
    sql.push(", tenant_id, 'g' || CAST(n AS text), 'g' || CAST(n AS text), 1, created_at, updated_at FROM groups, n");
    assert_eq!(tx.q_build(sql).run().await.unwrap(), 998);
    tx.commit().await.unwrap();
    fill(&world, team, 9_998).await;

    group(&world, "the thousandth").await;
    assert_eq!(code(rbac.create_group(&context, NewGroup::new("more")).await), Err("group_limit"));
    rbac.create_group(&world.in_b(), NewGroup::new("more")).await.unwrap();
    let last = world.person();
    rbac.add_to_group(&context, team, last).await.unwrap();
    assert_eq!(code(rbac.add_to_group(&context, team, world.person()).await), Err("group_full"));
    rbac.remove_from_group(&context, team, last).await.unwrap();
    rbac.add_to_group(&context, team, world.person()).await.unwrap();
}

both_engines!(whoever_leaves_leaves_the_groups, SETS);
async fn whoever_leaves_leaves_the_groups(db: TestDb) {
    let world = World::new(db).await;
    let (context, rbac, ada, bob) = (world.in_a(), &world.rbac, world.person(), world.person());
    let system = RequestContext::system("test");
    let team = group_with(&world, "team", "user.read").await;
    let theirs = rbac.create_group(&world.in_b(), NewGroup::new("theirs")).await.unwrap().value.id;
    for person in [ada, bob] {
        rbac.add_to_group(&context, team, person).await.unwrap();
        rbac.add_to_group(&world.in_b(), theirs, person).await.unwrap();
    }
    rbac.ensure(Some(world.a)).await.unwrap();
    let leave = async |tx: &mut Tx| rbac.remove_subject(tx, &context, world.a, ada).await;
    assert_eq!(world.db.transact(Scope::Tenant(world.a), leave).await.unwrap(), 0, "no role of its own");
    rbac.ensure(Some(world.a)).await.unwrap();
    assert!(!may(&world, ada, "user.read") && may(&world, bob, "user.read"));
    let left = async |person: PersonId| {
        let query = GroupQuery::default();
        let mut left = Vec::new();
        for context in [world.in_a(), world.in_b()] {
            left.push(rbac.groups_of(&context, person, &query).await.unwrap().items.len());
        }
        left
    };
    assert_eq!((left(ada).await, left(bob).await), (vec![0, 1], vec![1, 1]));
    // Of tenants that nobody has named, too.
    let delete = async |tx: &mut Tx| rbac.remove_subject_everywhere(tx, &system, bob, &[]).await;
    world.db.transact(Scope::Platform("test"), delete).await.unwrap();
    rbac.ensure(Some(world.a)).await.unwrap();
    assert!(!may(&world, bob, "user.read"));
    assert_eq!((left(ada).await, left(bob).await), (vec![0, 1], vec![0, 0]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_are_walled_off() {
    // A12: by statements that forget the tenant, proven as the plain role that the server uses.
    let world = World::new(TestDb::postgres(SETS).await).await;
    let team = group(&world, "team").await;
    world.rbac.add_to_group(&world.in_a(), team, world.person()).await.unwrap();
    let mut tx = world.db.begin(Scope::Tenant(world.b)).await.unwrap();
    for sql in ["SELECT count(*) FROM groups", "SELECT count(*) FROM group_members"] {
        assert_eq!(tx.q(sql).scalar::<i64>().await.unwrap(), 0, "{sql}");
    }
    for sql in [
        "UPDATE groups SET name = 'mine'",
        "DELETE FROM groups",
        "UPDATE group_members SET subject_kind = 'service'",
        "DELETE FROM group_members",
    ] {
        assert_eq!(tx.q(sql).run().await.unwrap(), 0, "{sql}");
    }
    // C20: foreign keys look past row-level security, so the key itself carries the tenant.
    let refused = tx
        .q("INSERT INTO group_members (tenant_id, group_id, subject_kind, subject_id, created_at)
            SELECT $1, $2, 'person', $2, created_at FROM roles LIMIT 1")
        .bind(world.b.as_uuid())
        .bind(team.as_uuid())
        .run()
        .await;
    assert!(refused.is_err_and(|error| error.is_foreign_key_violation()));
    tx.rollback().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_membership_that_cannot_be_read_gives_nothing() {
    // A11: only SQLite can hold such rows.
    let world = World::new(TestDb::sqlite(SETS).await).await;
    assert_eq!(world.db.engine(), Engine::Sqlite);
    let (context, rbac) = (world.in_a(), &world.rbac);
    let team = group_with(&world, "team", "user.read").await;
    let (ada, hurt, other) = (world.person(), world.person(), world.person());
    for person in [ada, hurt, other] {
        rbac.add_to_group(&context, team, person).await.unwrap();
    }
    let mut tx = world.db.begin(Scope::Tenant(world.a)).await.unwrap();
    tx.q("PRAGMA ignore_check_constraints = ON").run().await.unwrap();
    for (damage, person) in [
        ("UPDATE group_members SET subject_id = x'616263' WHERE subject_id = $1", hurt),
        ("UPDATE group_members SET subject_kind = 'robot' WHERE subject_id = $1", other),
    ] {
        assert_eq!(tx.q(damage).bind(person.as_uuid()).run().await.unwrap(), 1, "{damage}");
    }
    tx.commit().await.unwrap();
    let restarted = crate::world::rbac(Db::clone(&world.db), &world.clock);
    restarted.ensure(Some(world.a)).await.unwrap();
    let may =
        |person| restarted.check(&Principal::person(person).in_tenant(world.a), "user.read").is_allowed();
    assert!(may(ada) && !may(hurt) && !may(other));
    let problems = restarted.problems(Some(world.a));
    for column in ["subject_id", "subject_kind"] {
        let problem = PolicyProblem::Unreadable { table: "group_members", column, id: Some(team.as_uuid()) };
        assert!(problems.contains(&problem), "{problem:?} is not in {problems:?}");
    }
    // Nothing of it keeps the group from being listed and deleted.
    let listed = rbac.list_group_members(&context, team, &GroupMemberQuery::default()).await.unwrap().items;
    assert_eq!(listed.len(), 2, "one has no id");
    rbac.delete_group(&context, team).await.unwrap();
    assert!(rbac.policy(Some(world.a)).await.unwrap().members.is_empty());
}

/// Puts so many more people into a group that has one.
async fn fill(world: &World, group: GroupId, count: u64) {
    let mut tx = world.db.begin(Scope::Tenant(world.a)).await.unwrap();
    let mut sql = tx.builder("WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < ");
    sql.value(i64::try_from(count).unwrap());
    sql.push(") INSERT INTO group_members (tenant_id, group_id, subject_kind, subject_id, created_at)");
    sql.push(" SELECT tenant_id, group_id, subject_kind, ");
    sql.push_sql(Sql::Per { pg: "gen_random_uuid()", lite: "randomblob(16)" });
    sql.push(", created_at FROM group_members, n WHERE group_id = ").value(group.as_uuid());
    assert_eq!(tx.q_build(sql).run().await.unwrap(), count);
    tx.commit().await.unwrap();
}

#[cfg(feature = "casbin")]
both_engines!(members_of_groups_survive_the_way_through_casbin, SETS);
#[cfg(feature = "casbin")]
async fn members_of_groups_survive_the_way_through_casbin(db: TestDb) {
    use stylobate_rbac::{CasbinImport, CasbinRules};

    let world = World::new(db).await;
    let (context, rbac) = (world.in_a(), &world.rbac);
    let (ada, bob) = (world.person(), world.person());
    let team = group_with(&world, "team", "user.read").await;
    rbac.add_to_group(&context, team, ada).await.unwrap();
    rbac.add_to_group(&context, team, bob).await.unwrap();
    let export = rbac.export_casbin(&context).await.unwrap();
    assert!(export.problems.is_empty(), "{:?}", export.problems);
    let csv = export.rules.to_csv();
    for line in [
        format!("g, group:{team}, role:team, {}\n", world.a),
        format!("g, person:{ada}, group:{team}, {}\n", world.a),
    ] {
        assert!(csv.contains(&line), "{line} in {csv}");
    }
    rbac.remove_from_group(&context, team, ada).await.unwrap();
    let take_over = async |context: &RequestContext, csv: &str| {
        let rules = CasbinRules::parse(csv).unwrap().0;
        let import = CasbinImport::of(&rules, Some(world.a), world.clock.now()).unwrap();
        rbac.import_casbin(context, &import).await
    };
    let imported = take_over(&context, &csv).await.unwrap();
    assert_eq!((imported.rules, imported.problems.len()), (1, 0), "the one who was not there");
    rbac.ensure(Some(world.a)).await.unwrap();
    assert!(may(&world, ada, "user.read"));

    // A11: nobody imports more than they could hand out, also what the same import adds to the group.
    let clerk = world.person();
    let weak = world.role_with("weak", "user.update").await.id;
    rbac.assign(&context, clerk, weak).await.unwrap();
    let asking = world.person_in(clerk, world.a);
    let join = format!("g, person:{clerk}, group:{team}, {}\n", world.a);
    assert_eq!(take_over(&asking, &join).await.unwrap_err().code(), "beyond_own_permissions");
    let idle = group(&world, "idle").await;
    let join = format!("g, person:{clerk}, group:{idle}, {}\n", world.a);
    let more = format!("{join}g, group:{idle}, role:team, {}\n", world.a);
    assert_eq!(take_over(&asking, &more).await.unwrap_err().code(), "beyond_own_permissions");
    assert_eq!(take_over(&asking, &join).await.unwrap().rules, 1);
    // Who is named twice, or is there, comes once; and a group takes no more by an import than one by one.
    let (some, most) = (group(&world, "some").await, group(&world, "most").await);
    let (cyd, dan) = (world.person(), world.person());
    rbac.add_to_group(&context, some, cyd).await.unwrap();
    let both = format!(
        "g, person:{cyd}, group:{some}, {0}\ng, person:{dan}, group:{some}, {0}\n\
         g, person:{dan}, group:{most}, {0}\ng, person:{dan}, group:{some}, {0}\n",
        world.a
    );
    assert_eq!(take_over(&context, &both).await.unwrap().rules, 2);
    for team in [some, most] {
        let listed = rbac.list_group_members(&context, team, &GroupMemberQuery::default()).await.unwrap();
        assert_eq!(listed.items.len(), if team == some { 2 } else { 1 });
    }
    fill(&world, most, 9_998).await;
    let join = |person| format!("g, person:{person}, group:{most}, {}\n", world.a);
    let one_too_many = format!("{}{}", join(ada), join(bob));
    assert_eq!(take_over(&context, &one_too_many).await.unwrap_err().code(), "group_full");
    assert_eq!(take_over(&context, &join(ada)).await.unwrap().rules, 1);
    assert_eq!(take_over(&context, &join(ada)).await.unwrap().rules, 0);
    assert_eq!(take_over(&context, &join(bob)).await.unwrap_err().code(), "group_full");
    // A group that is not here is told of, and nobody is in it.
    let nobody = GroupId::from_uuid(uuid::Uuid::from_u128(1));
    let strange = format!("g, person:{ada}, group:{nobody}, {}\n", world.a);
    let imported = take_over(&context, &strange).await.unwrap();
    assert_eq!((imported.rules, imported.problems.len(), imported.problems[0].rule), (0, 1, 0));
}
