use stylobate_core::{PageLimit, Principal, RequestContext};
use stylobate_rbac::{Authorizer, NewRole, PermissionQuery, RoleQuery, RoleUpdate};
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
        [("admin", own), ("auditor", own), ("operator", own), ("super_admin", None), ("support", own)]
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
         operator: user.create user.read user.update user.invite role.read perm.read docs.read\n\
         support: user.read role.read perm.read\n",
            all.join(" ")
        )
    );
}
both_engines!(the_default_roles_give_what_they_say, SETS);

async fn seeding_again_gives_back_nothing_that_a_tenant_took_away(db: TestDb) {
    let world = World::new(db).await;
    let (context, system) = (world.in_a(), RequestContext::system("seed-rbac"));
    let roles = world.rbac.list_roles(&context, &RoleQuery::default()).await.unwrap().items;
    let named = |name: &str| roles.iter().find(|role| role.name == name).unwrap().id;
    let (read, has) = (world.permission("user.read").await, async |role| {
        let query = PermissionQuery { search: Some("user.read".into()), ..PermissionQuery::default() };
        !world.rbac.permissions_of(&context, role, &query).await.unwrap().items.is_empty()
    });
    for role in ["support", "admin"] {
        world.rbac.detach(&context, named(role), read).await.unwrap();
    }
    world.rbac.seed(&system, Some(world.a)).await.unwrap();
    assert!(!has(named("support")).await);
    assert!(has(named("admin")).await, "the role of all permissions has all of them");
}
both_engines!(seeding_again_gives_back_nothing_that_a_tenant_took_away, SETS);

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
    assert_eq!(roles.items.len(), 5);
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
