use std::sync::Arc;

use parking_lot::Mutex;
use stylobate_auth::{
    Auth, AuthConfig, Email, KeyEncryptionKey, LocalSealer, NewPerson, Password, People, Person,
    PersonStatus, Username,
};
use stylobate_core::{
    AuditError, AuditEvent, AuditSink, BoxFuture, Clock as _, DomainEvent, Message, PermissionId, PersonId,
    Principal, RequestContext, RoleId, TenantId,
};
use stylobate_db::{Db, Error, MessageOutbox, MigrationSet, Participant, Pending, Scope, Takes, Tx};
use stylobate_endpoints::{AccountError, Newcomers, PlainAccounts, Registration};
use stylobate_rbac::{MEMBER, PermissionQuery, Rbac, RoleQuery, default_catalogue};
use stylobate_tenancy::{DefaultOrg, Tenancy};
use stylobate_testkit::{ManualClock, TestDb};
use stylobate_tower_middleware::ApiError;

pub(super) const SCOPE: Scope = Scope::Platform("test");
pub(super) const PASSWORD: &str = "quarry moss lantern seven";
pub(super) const SETS: &[&MigrationSet] = &[
    &stylobate_db::MIGRATIONS,
    &stylobate_auth::MIGRATIONS,
    &stylobate_tenancy::MIGRATIONS,
    &stylobate_rbac::MIGRATIONS,
];

/// Keeps what was committed.
#[derive(Default)]
pub(super) struct Records(Mutex<Vec<AuditEvent>>, Mutex<Vec<DomainEvent>>, Mutex<Vec<Message>>);

impl Records {
    pub(super) fn messages(&self) -> Vec<Message> {
        self.2.lock().clone()
    }

    pub(super) fn audits(&self) -> usize {
        self.0.lock().len()
    }

    /// What the last event of a kind says.
    pub(super) fn told(&self, kind: &str) -> serde_json::Value {
        let events = self.1.lock();
        events.iter().rfind(|event| event.kind == kind).expect(kind).data.clone()
    }

    pub(super) fn events(&self, kind: &str) -> usize {
        self.1.lock().iter().filter(|event| event.kind == kind).count()
    }
}

impl Participant for Records {
    fn takes(&self) -> Takes {
        Takes { audit: true, events: true }
    }

    fn before_commit<'a>(&'a self, _: &'a mut Tx, _: &'a Pending) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async { Ok(()) })
    }

    fn after_commit(&self, pending: &Pending) {
        self.0.lock().extend(pending.audit.iter().cloned());
        self.1.lock().extend(pending.events.iter().cloned());
    }
}

impl AuditSink for Records {
    fn record(&self, event: AuditEvent) -> BoxFuture<'_, Result<(), AuditError>> {
        self.0.lock().push(event);
        Box::pin(async { Ok(()) })
    }
}

struct Outbox(Arc<Records>);

impl MessageOutbox for Outbox {
    fn hand_over<'a>(&'a self, tx: &'a mut Tx, message: Message) -> BoxFuture<'a, Result<(), Error>> {
        let records = Arc::clone(&self.0);
        tx.on_commit(move || records.2.lock().push(message));
        Box::pin(async { Ok(()) })
    }
}

/// An installation with two organisations and the default roles.
pub(super) struct House {
    pub(super) db: Db,
    pub(super) auth: Auth,
    pub(super) rbac: Rbac,
    pub(super) records: Arc<Records>,
    pub(super) newcomers: Newcomers,
    pub(super) org: TenantId,
    pub(super) foreign_org: TenantId,
    tenancy: Arc<Tenancy>,
    /// It ends with this.
    _test_db: TestDb,
}

impl House {
    pub(super) async fn new(test_db: TestDb, registration: Registration) -> Self {
        let records = Arc::new(Records::default());
        let db = test_db.open(&[Arc::clone(&records) as Arc<dyn Participant>]).await;
        let clock = Arc::new(ManualClock::new());
        let sealer = Arc::new(LocalSealer::new(&KeyEncryptionKey::generate().unwrap()));
        let sink = Arc::clone(&records) as Arc<dyn AuditSink>;
        let auth = Auth::builder(&db, AuthConfig::default(), sealer, sink)
            .clock(Arc::clone(&clock) as _)
            .build()
            .await
            .unwrap();
        let tenancy = Arc::new(Tenancy::new(Arc::clone(&clock) as _));
        let rbac = Rbac::new(db.clone(), Arc::clone(&clock) as _, Arc::new(default_catalogue()));
        let (org, foreign_org) = orgs(&db, &tenancy, &clock).await;
        for tenant in [org, foreign_org] {
            rbac.seed(&system(), Some(tenant)).await.unwrap();
        }
        let newcomers = Newcomers {
            auth: auth.clone(),
            tenancy: Arc::clone(&tenancy),
            rbac: rbac.clone(),
            db: db.clone(),
            accounts: Arc::new(PlainAccounts { auth: auth.clone(), tenancy: Arc::clone(&tenancy) }),
            messages: Arc::new(Outbox(Arc::clone(&records))),
            registration,
            default_org: org,
            role: MEMBER.into(),
        };
        Self { db, auth, rbac, records, newcomers, org, foreign_org, tenancy, _test_db: test_db }
    }

    pub(super) fn accounts(&self) -> PlainAccounts {
        PlainAccounts { auth: self.auth.clone(), tenancy: Arc::clone(&self.tenancy) }
    }

    /// A member of the organisation with a role there, at `name@example.org`.
    pub(super) async fn person(&self, name: &str, role: &str) -> RequestContext {
        let id = self.add(name, Some(self.org), true).await;
        let role = self.role(role).await;
        let (rbac, org) = (self.rbac.clone(), self.org);
        let assign =
            async move |tx: &mut Tx| rbac.assign_in(tx, &system(), Some(org), id, role).await.map(drop);
        self.db.transact(SCOPE, assign).await.unwrap();
        RequestContext::new(Principal::person(id).in_tenant(self.org))
    }

    /// A member of the other organisation alone.
    pub(super) async fn outsider(&self, name: &str) -> RequestContext {
        let id = self.add(name, Some(self.foreign_org), true).await;
        RequestContext::new(Principal::person(id).in_tenant(self.foreign_org))
    }

    pub(super) async fn without_password(&self, name: &str) {
        self.add(name, None, false).await;
    }

    async fn add(&self, name: &str, org: Option<TenantId>, has_password: bool) -> PersonId {
        let (auth, tenancy) = (self.auth.clone(), Arc::clone(&self.tenancy));
        let email = Email::parse(&format!("{name}@example.org")).unwrap();
        let new = NewPerson {
            username: Some(Username::parse(name).unwrap()),
            email,
            email_verified: false,
            must_change_password: false,
        };
        let password = Password::new(PASSWORD).unwrap();
        let hash = auth.hash_new_password(&new.context_words(), password).await.unwrap();
        let add = async move |tx: &mut Tx| {
            let person = auth.people().insert(tx, &system(), new.clone()).await?;
            if has_password {
                auth.set_password(tx, &system(), person.id, &hash, false).await?;
            }
            if let Some(org) = org {
                tenancy.add_member(tx, &system(), org, person.id).await?;
            }
            Ok::<_, AccountError>(person.id)
        };
        self.db.transact(SCOPE, add).await.unwrap()
    }

    pub(super) async fn find(&self, id: PersonId) -> Person {
        let mut reader = self.db.read().await.unwrap();
        People::find(&mut reader, id).await.unwrap().unwrap()
    }

    pub(super) async fn set_status(&self, id: PersonId, status: PersonStatus) {
        let auth = self.auth.clone();
        let set =
            async move |tx: &mut Tx| auth.people().set_status(tx, &system(), id, status).await.map(drop);
        self.db.transact(SCOPE, set).await.unwrap();
    }

    /// Deletes a person in the order in which services do.
    pub(super) async fn delete(&self, id: PersonId) {
        let (auth, rbac, tenancy, org) =
            (self.auth.clone(), self.rbac.clone(), Arc::clone(&self.tenancy), self.org);
        let delete = async move |tx: &mut Tx| {
            rbac.remove_subject_everywhere(tx, &system(), id, &[org]).await?;
            tenancy.remove_person(tx, &system(), id).await?;
            auth.people().delete(tx, &system(), id).await?;
            Ok::<_, AccountError>(())
        };
        self.db.transact(SCOPE, delete).await.unwrap();
    }

    pub(super) async fn role(&self, name: &str) -> RoleId {
        self.role_of(self.org, name).await
    }

    pub(super) async fn foreign_role(&self) -> RoleId {
        self.role_of(self.foreign_org, MEMBER).await
    }

    async fn role_of(&self, org: TenantId, name: &str) -> RoleId {
        let mut tx = self.db.begin_read(SCOPE).await.unwrap();
        self.rbac.role_named(&mut tx, Some(org), name).await.unwrap().unwrap().id
    }

    pub(super) async fn permission(&self, key: &str) -> PermissionId {
        let query = PermissionQuery { search: Some(key.into()), ..PermissionQuery::default() };
        let asking = RequestContext::new(Principal::system().in_tenant(self.org));
        let found = self.rbac.list_permissions(&asking, &query).await.unwrap();
        found.items.into_iter().find(|one| one.key == key).unwrap().id
    }

    /// The names of the roles that a person has in the organisation.
    pub(super) async fn roles_of(&self, id: PersonId) -> Vec<String> {
        let asking = RequestContext::new(Principal::system().in_tenant(self.org));
        let query = stylobate_rbac::AssignmentQuery {
            assignee: Some(id.into()),
            ..stylobate_rbac::AssignmentQuery::default()
        };
        let held = self.rbac.list_assignments(&asking, &query).await.unwrap().items;
        let roles = self.rbac.list_roles(&asking, &RoleQuery::default()).await.unwrap().items;
        let name = |role: RoleId| roles.iter().find(|one| one.id == role).unwrap().name.clone();
        held.into_iter().map(|one| name(one.role_id)).collect()
    }

    pub(super) async fn run(&self, sql: &'static str) {
        self.db.transact(SCOPE, async |tx: &mut Tx| tx.q(sql).run().await).await.unwrap();
    }

    pub(super) async fn count(&self, sql: &'static str) -> i64 {
        let mut tx = self.db.begin_read(SCOPE).await.unwrap();
        tx.q(sql).scalar().await.unwrap()
    }
}

async fn orgs(db: &Db, tenancy: &Arc<Tenancy>, clock: &ManualClock) -> (TenantId, TenantId) {
    let (tenancy, foreign, now) = (Arc::clone(tenancy), TenantId::new(clock.now()), clock.now());
    let make = async move |tx: &mut Tx| {
        let org = tenancy.ensure_default_org(tx, &system(), &DefaultOrg::default()).await?;
        tx.q("INSERT INTO orgs (id, code, code_folded, name, is_active, is_default, created_at, updated_at, version) \
              VALUES ($1, 'foreign', 'foreign', 'Foreign', $2, $3, $4, $4, 1)")
            .bind(foreign.as_uuid())
            .bind(true)
            .bind(false)
            .bind(now)
            .run()
            .await?;
        Ok::<_, AccountError>(org.id)
    };
    (db.transact(SCOPE, make).await.unwrap(), foreign)
}

pub(super) fn system() -> RequestContext {
    RequestContext::system("test")
}

pub(super) fn nobody() -> RequestContext {
    RequestContext::new(Principal::anonymous())
}

/// The code of a refusal, or `ok`.
pub(super) fn code<T>(result: Result<T, ApiError>) -> String {
    match result {
        Ok(_) => "ok".to_owned(),
        Err(error) => error.problem().code.to_string(),
    }
}
