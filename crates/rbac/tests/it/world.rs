use std::sync::Arc;

use stylobate_core::{Clock as _, PermissionId, PersonId, Principal, RequestContext, RoleId, TenantId};
use stylobate_db::{Db, Engine, Scope, Tx};
use stylobate_rbac::{
    Authorizer as _, MIGRATIONS, NewPermission, NewRole, PermissionQuery, Rbac, Role, SUPER_ADMIN,
    default_catalogue,
};
use stylobate_testkit::{ManualClock, MigrationSet, TestDb};

pub(crate) const SETS: &[&MigrationSet] = &[&MIGRATIONS];

/// A service on a fresh database, with two tenants and the defaults seeded.
pub(crate) struct World {
    pub(crate) rbac: Rbac,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) a: TenantId,
    pub(crate) b: TenantId,
    /// Who has the role `admin` in tenant a.
    admin: PersonId,
    pub(crate) db: TestDb,
}

impl World {
    pub(crate) async fn new(db: TestDb) -> Self {
        let clock = Arc::new(ManualClock::new());
        let (a, b) = (TenantId::new(clock.now()), TenantId::new(clock.now()));
        let admin = PersonId::new(clock.now());
        let world = Self { rbac: rbac(Db::clone(&db), &clock), clock, a, b, admin, db };
        let system = RequestContext::system("seed");
        for tenant in [a, b] {
            world.rbac.seed(&system, Some(tenant)).await.unwrap();
        }
        let rbac = world.rbac.clone();
        let assign = async move |tx: &mut Tx| {
            let role = rbac.role_named(tx, Some(a), "admin").await?.unwrap();
            rbac.assign_in(tx, &system, Some(a), admin, role.id).await
        };
        world.db.transact(Scope::Tenant(a), assign).await.unwrap();
        world
    }

    /// The administrator in tenant a.
    pub(crate) fn in_a(&self) -> RequestContext {
        self.person_in(self.admin, self.a)
    }

    pub(crate) fn in_b(&self) -> RequestContext {
        self.person_in(self.admin, self.b)
    }

    pub(crate) fn person(&self) -> PersonId {
        PersonId::new(self.clock.now())
    }

    pub(crate) fn person_in(&self, person: PersonId, tenant: TenantId) -> RequestContext {
        RequestContext::new(Principal::person(person).in_tenant(tenant))
    }

    pub(crate) async fn role(&self, name: &str) -> Role {
        self.rbac.create_role(&self.in_a(), NewRole::new(name)).await.unwrap().value
    }

    /// The id of a permission of the catalogue or of tenant a.
    pub(crate) async fn permission(&self, key: &str) -> PermissionId {
        let query = PermissionQuery { search: Some(key.into()), ..PermissionQuery::default() };
        let found = self.rbac.list_permissions(&self.in_a(), &query).await.unwrap();
        match found.items.into_iter().find(|one| one.key == key) {
            Some(permission) => permission.id,
            None => {
                self.rbac.create_permission(&self.in_a(), NewPermission::new(key)).await.unwrap().value.id
            }
        }
    }

    /// A role of tenant a with this permission.
    pub(crate) async fn role_with(&self, name: &str, key: &str) -> Role {
        let (role, permission) = (self.role(name).await, self.permission(key).await);
        self.rbac.attach(&self.in_a(), role.id, permission).await.unwrap();
        role
    }

    pub(crate) async fn super_admin_role(&self) -> RoleId {
        let mut reader = self.db.read().await.unwrap();
        self.rbac.role_named(&mut reader, None, SUPER_ADMIN).await.unwrap().unwrap().id
    }

    /// A person who may do everything.
    pub(crate) async fn super_admin(&self) -> PersonId {
        let (person, role) = (self.person(), self.super_admin_role().await);
        self.rbac.assign(&RequestContext::system("test"), person, role).await.unwrap();
        person
    }
}

pub(crate) fn rbac(db: Db, clock: &Arc<ManualClock>) -> Rbac {
    Rbac::new(db, Arc::clone(clock) as _, Arc::new(default_catalogue()))
}

/// Whether a person may do something in the first organisation, on nothing in particular.
pub(crate) fn may(world: &World, person: PersonId, name: &str) -> bool {
    world.rbac.check(&Principal::person(person).in_tenant(world.a), name).is_allowed()
}

/// Takes away what keeps PostgreSQL from holding ends beyond the calendar, as in rows from before there was that.
pub(crate) async fn lift_end_checks(db: &TestDb) {
    if db.engine() == Engine::Sqlite {
        return;
    }
    let owner = db.open_as_owner().await;
    let mut tx = owner.begin(Scope::Platform("test")).await.unwrap();
    for statement in [
        "ALTER TABLE role_assignments DROP CONSTRAINT role_assignments_expires_at_check",
        "ALTER TABLE permission_overrides DROP CONSTRAINT permission_overrides_expires_at_check",
        "ALTER TABLE acl_entries DROP CONSTRAINT acl_entries_expires_at_check",
    ] {
        tx.q(statement).run().await.unwrap();
    }
    tx.commit().await.unwrap();
    owner.close().await;
}
