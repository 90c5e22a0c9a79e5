use std::sync::Arc;

use chrono::TimeDelta;
use stylobate_core::{Clock as _, PageLimit, Principal, RequestContext, RoleId};
use stylobate_db::{Db, Engine, Scope};
use stylobate_rbac::{
    Authorizer, Catalogue, MIGRATIONS, NewRole, PermissionDef, PermissionQuery, Rbac, RoleQuery, RoleUpdate,
    default_catalogue,
};
use stylobate_testkit::{TestDb, both_engines};

use crate::world::{SETS, World};

async fn the_defaults_are_seeded_once(db: TestDb) {
    let world = World::new(db).await;
    let (context, system) = (world.in_a(), RequestContext::system("seed-rbac"));
    let epochs = async || {
        let query = "SELECT scope_id, epoch FROM policy_epochs ORDER BY scope_id";
        world.db.read().await.unwrap().q(query).all::<(uuid::Uuid, i64)>().await.unwrap()
    };
    let query = RoleQuery { with_total: true, ..RoleQuery::default() };
    let before = (world.rbac.list_roles(&context, &query).await.unwrap(), epochs().await);
    world.rbac.seed(&system, Some(world.a)).await.unwrap();
    assert_eq!((world.rbac.list_roles(&context, &query).await.unwrap(), epochs().await), before);

    let names: Vec<_> = before.0.items.iter().map(|role| (role.name.as_str(), role.tenant_id)).collect();
    let own = Some(world.a);
    assert_eq!(
        names,
        [
            ("admin", own),
            ("auditor", own),
            ("member", own),
            ("operator", own),
            ("super_admin", None),
            ("support", own)
        ]
    );
    let all = PermissionQuery { limit: PageLimit::new(200).unwrap(), ..PermissionQuery::default() };
    let permissions = world.rbac.list_permissions(&context, &all).await.unwrap();
    let declared = world.rbac.catalogue().permissions().len();
    assert_eq!(permissions.items.len(), declared + 1, "and the pattern of everything");
}
both_engines!(the_defaults_are_seeded_once, SETS);

async fn the_default_roles_give_what_they_say(db: TestDb) {
    let world = World::new(db).await;
    let context = world.in_a();
    let roles = world.rbac.list_roles(&context, &RoleQuery::default()).await.unwrap().items;
    world.rbac.ensure(Some(world.a)).await.unwrap();
    let mut table = String::new();
    for role in roles.iter().filter(|role| role.tenant_id.is_some()) {
        let person = world.person();
        world.rbac.assign(&context, person, role.id).await.unwrap();
        let principal = Principal::person(person).in_tenant(world.a);
        let declared = world.rbac.catalogue().permissions().iter();
        let may: Vec<_> = declared
            .filter(|one| world.rbac.check(&principal, one.key).is_allowed())
            .map(|one| one.key)
            .collect();
        table += &format!("{}: {}\n", role.name, may.join(" "));
    }
    let all = world.rbac.catalogue().permissions().iter().filter(|one| !one.is_platform);
    let all: Vec<_> = all.map(|one| one.key).collect();
    assert_eq!(
        table,
        format!(
            "admin: {}\n\
         auditor: audit.log.read audit.log.export\n\
         member: docs.read\n\
         operator: user.create user.read user.update user.invite role.read perm.read docs.read\n\
         support: user.read role.read perm.read\n",
            all.join(" ")
        )
    );
}
both_engines!(the_default_roles_give_what_they_say, SETS);

/// Whether a role has a permission.
async fn has(world: &World, role: RoleId, key: &str) -> bool {
    let query = PermissionQuery { search: Some(key.into()), ..PermissionQuery::default() };
    let page = world.rbac.permissions_of(&world.in_a(), role, &query).await.unwrap();
    page.items.iter().any(|granted| granted.permission.key == key)
}

async fn seeded_role(world: &World, name: &str) -> RoleId {
    let roles = world.rbac.list_roles(&world.in_a(), &RoleQuery::default()).await.unwrap().items;
    roles.iter().find(|role| role.name == name).unwrap().id
}

async fn seeding_again_gives_back_nothing_that_a_tenant_took_away(db: TestDb) {
    let world = World::new(db).await;
    let (context, system) = (world.in_a(), RequestContext::system("seed-rbac"));
    let read = world.permission("user.read").await;
    for name in ["support", "admin"] {
        let role = seeded_role(&world, name).await;
        world.rbac.detach(&context, role, read).await.unwrap();
        world.rbac.seed(&system, Some(world.a)).await.unwrap();
        assert!(!has(&world, role, "user.read").await, "{name}");
    }
}
both_engines!(seeding_again_gives_back_nothing_that_a_tenant_took_away, SETS);

/// The program in its next version, which asks for one permission more.
fn newer(world: &World) -> Rbac {
    let known = default_catalogue();
    let mut permissions = known.permissions().to_vec();
    permissions.push(PermissionDef::new("desk.book", "Book desks"));
    let catalogue = Catalogue::new(permissions, known.roles().to_vec()).unwrap();
    Rbac::new(Db::clone(&world.db), Arc::clone(&world.clock) as _, Arc::new(catalogue))
}

async fn what_a_newer_version_declares_is_given_once(db: TestDb) {
    let world = World::new(db).await;
    let (context, system) = (world.in_a(), RequestContext::system("seed-rbac"));
    let (admin, support) = (seeded_role(&world, "admin").await, seeded_role(&world, "support").await);
    world.clock.advance(TimeDelta::days(1));
    let rbac = newer(&world);
    rbac.seed(&system, Some(world.a)).await.unwrap();
    assert!(has(&world, admin, "desk.book").await);
    assert!(!has(&world, support, "desk.book").await);
    let desk = world.permission("desk.book").await;
    rbac.detach(&context, admin, desk).await.unwrap();
    rbac.seed(&system, Some(world.a)).await.unwrap();
    assert!(!has(&world, admin, "desk.book").await);
    // The other tenant has not been seeded since.
    rbac.seed(&system, Some(world.b)).await.unwrap();
    let query = PermissionQuery { search: Some("desk.book".into()), ..PermissionQuery::default() };
    let theirs = rbac.list_roles(&world.in_b(), &RoleQuery::default()).await.unwrap().items;
    let theirs = theirs.iter().find(|role| role.name == "admin").unwrap().id;
    assert_eq!(rbac.permissions_of(&world.in_b(), theirs, &query).await.unwrap().items.len(), 1);
}
both_engines!(what_a_newer_version_declares_is_given_once, SETS);

async fn what_was_taken_before_offers_were_kept_stays_taken(db: TestDb) {
    let world = World::new(db).await;
    let (context, system) = (world.in_a(), RequestContext::system("seed-rbac"));
    let admin = seeded_role(&world, "admin").await;
    world.clock.advance(TimeDelta::days(1));
    let rbac = newer(&world);
    rbac.seed(&system, None).await.unwrap();
    rbac.detach(&context, admin, world.permission("user.read").await).await.unwrap();
    // As the migration finds the rows of an older version.
    let migration =
        MIGRATIONS.migrations.iter().find(|one| one.name.ends_with("_permission_offers")).unwrap();
    let script = match world.db.engine() {
        Engine::Postgres => migration.postgres.0,
        Engine::Sqlite => migration.sqlite.0,
    };
    let fill = &script[script.find("INSERT INTO").unwrap()..];
    let mut tx = world.db.begin(Scope::Platform("test")).await.unwrap();
    tx.q("DELETE FROM permission_offers").run().await.unwrap();
    tx.q(fill).run().await.unwrap();
    tx.commit().await.unwrap();

    rbac.seed(&system, Some(world.a)).await.unwrap();
    assert!(!has(&world, admin, "user.read").await, "the tenant took it");
    assert!(has(&world, admin, "desk.book").await, "it was never given");
}
both_engines!(what_was_taken_before_offers_were_kept_stays_taken, SETS);

async fn the_role_of_all_permissions_is_switched_off_by_the_platform_only(db: TestDb) {
    // A11: in the tenant nobody would be left to switch it on.
    let world = World::new(db).await;
    let admin = seeded_role(&world, "admin").await;
    let switch = |is_active| RoleUpdate { is_active: Some(is_active), ..RoleUpdate::default() };
    let manager = world.person();
    let role = world.role_with("manager", "role.update").await.id;
    world.rbac.assign(&world.in_a(), manager, role).await.unwrap();
    for context in [world.in_a(), world.person_in(manager, world.a)] {
        let refused = world.rbac.update_role(&context, admin, switch(false)).await.unwrap_err();
        assert_eq!(refused.code(), "declared");
        assert_eq!(world.rbac.delete_role(&context, admin).await.unwrap_err().code(), "declared");
    }
    let support = seeded_role(&world, "support").await;
    world.rbac.update_role(&world.in_a(), support, switch(false)).await.unwrap();

    // Nor by the platform while somebody administers the tenant.
    let root = world.super_admin().await;
    let refused = world.rbac.update_role(&world.person_in(root, world.a), admin, switch(false)).await;
    assert_eq!(refused.unwrap_err().code(), "last_administrator");
    // In the other one somebody has the role for a time only.
    let theirs = world.rbac.list_roles(&world.in_b(), &RoleQuery::default()).await.unwrap().items;
    let theirs = theirs.iter().find(|role| role.name == "admin").unwrap().id;
    let (temp, soon) = (world.person(), Some(world.clock.now() + TimeDelta::days(1)));
    let root = world.person_in(root, world.b);
    world.rbac.assign_until(&root, temp, theirs, soon).await.unwrap();
    world.rbac.ensure(Some(world.b)).await.unwrap();
    let temp = Principal::person(temp).in_tenant(world.b);
    for is_active in [false, true] {
        world.rbac.update_role(&root, theirs, switch(is_active)).await.unwrap();
        assert_eq!(world.rbac.check(&temp, "user.read").is_allowed(), is_active);
    }
}
both_engines!(the_role_of_all_permissions_is_switched_off_by_the_platform_only, SETS);

async fn the_names_of_seeded_roles_are_nobody_elses(db: TestDb) {
    // A11: seeding finds its roles by name; whoever called a role of their own `admin` would be given everything.
    let world = World::new(db).await;
    let (context, system) = (world.in_a(), RequestContext::system("seed-rbac"));
    let roles = world.rbac.list_roles(&context, &RoleQuery::default()).await.unwrap().items;
    let admin = roles.iter().find(|role| role.name == "admin").unwrap().id;
    let own = world.role("mine").await.id;
    let name = |name: &str| RoleUpdate { name: Some(name.into()), ..RoleUpdate::default() };
    for renamed in ["old", "ADMIN"] {
        let refused = world.rbac.update_role(&context, admin, name(renamed)).await.unwrap_err();
        assert_eq!(refused.code(), "declared");
    }
    assert_eq!(world.rbac.delete_role(&context, admin).await.unwrap_err().code(), "declared");
    for taken in ["admin", "Auditor"] {
        assert_eq!(
            world.rbac.update_role(&context, own, name(taken)).await.unwrap_err().code(),
            "role_name_taken"
        );
        let made = world.rbac.create_role(&context, NewRole::new(taken)).await;
        assert_eq!(made.unwrap_err().code(), "role_name_taken");
    }
    world.rbac.seed(&system, Some(world.a)).await.unwrap();
}
both_engines!(the_names_of_seeded_roles_are_nobody_elses, SETS);

async fn many_processes_seed_at_once(db: TestDb) {
    let world = World::new(db).await;
    let tenant = stylobate_core::TenantId::from_uuid(uuid::Uuid::from_u128(42));
    let tasks: Vec<_> = (0..6)
        .map(|_| {
            let rbac = world.rbac.clone();
            tokio::spawn(async move { rbac.seed(&RequestContext::system("seed"), Some(tenant)).await })
        })
        .collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    let roles =
        world.rbac.list_roles(&world.person_in(world.person(), tenant), &RoleQuery::default()).await.unwrap();
    assert_eq!(roles.items.len(), 6);
}
both_engines!(many_processes_seed_at_once, SETS);

#[tokio::test]
async fn the_tables_go_and_come_back() {
    let db = TestDb::sqlite(SETS).await;
    stylobate_db::migrate_to(&db, SETS, 0).await.unwrap();
    let left = "SELECT count(*) FROM sqlite_schema WHERE name IN ('roles', 'permissions', 'policy_epochs')";
    assert_eq!(db.read().await.unwrap().q(left).scalar::<i64>().await.unwrap(), 0);
    stylobate_db::migrate(&db, SETS).await.unwrap();
    assert_eq!(db.read().await.unwrap().q(left).scalar::<i64>().await.unwrap(), 3);
}
