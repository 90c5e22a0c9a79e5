use std::sync::Arc;

use recording::Records;
use stylobate_core::{AuditEvent, Clock as _, PersonId, RequestContext, TenantId};
use stylobate_db::{Db, Participant, Scope};
use stylobate_tenancy::{DefaultOrg, Org, Tenancy};
use stylobate_testkit::{ManualClock, TestDb};

/// A database whose committed audit events can be read back.
pub(crate) struct Fixture {
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) db: Db,
    pub(crate) tenancy: Tenancy,
    pub(crate) system: RequestContext,
    records: Arc<Records>,
}

impl Fixture {
    pub(crate) async fn new(test_db: &TestDb) -> Self {
        let clock = Arc::new(ManualClock::new());
        let records = Arc::new(Records::default());
        let participant: Arc<dyn Participant> = records.clone();
        Self {
            db: test_db.open(&[participant]).await,
            tenancy: Tenancy::new(clock.clone()),
            system: RequestContext::system("test"),
            clock,
            records,
        }
    }

    pub(crate) fn person(&self) -> PersonId {
        PersonId::new(self.clock.now())
    }

    pub(crate) async fn default_org(&self) -> Org {
        let mut tx = self.db.begin(Scope::Platform("test")).await.unwrap();
        let org =
            self.tenancy.ensure_default_org(&mut tx, &self.system, &DefaultOrg::default()).await.unwrap();
        tx.commit().await.unwrap();
        org
    }

    /// Another organisation; the service that makes them comes later.
    pub(crate) async fn org(&self, code: &str) -> TenantId {
        let id = TenantId::new(self.clock.now());
        let mut tx = self.db.begin(Scope::Platform("test")).await.unwrap();
        tx.q("INSERT INTO orgs (id, code, code_folded, name, is_active, is_default, created_at, updated_at, version) \
              VALUES ($1, $2, $3, $2, $4, $5, $6, $6, 1)")
            .bind(id.as_uuid())
            .bind(code.to_owned())
            .bind(code.to_ascii_lowercase())
            .bind(true)
            .bind(false)
            .bind(self.clock.now())
            .run()
            .await
            .unwrap();
        tx.commit().await.unwrap();
        id
    }

    pub(crate) async fn add(&self, tenant: TenantId, person: PersonId) -> bool {
        let mut tx = self.db.begin(Scope::Tenant(tenant)).await.unwrap();
        let added = self.tenancy.add_member(&mut tx, &self.system, tenant, person).await.unwrap();
        tx.commit().await.unwrap();
        added
    }

    pub(crate) async fn is_member(&self, tenant: TenantId, person: PersonId) -> bool {
        let mut tx = self.db.begin_read(Scope::Tenant(tenant)).await.unwrap();
        self.tenancy.is_member(&mut tx, tenant, person).await.unwrap()
    }

    /// What was audited since the last call.
    pub(crate) fn audited(&self) -> Vec<AuditEvent> {
        self.records.take()
    }
}

mod recording {
    use std::sync::Mutex;

    use stylobate_core::{AuditEvent, BoxFuture};
    use stylobate_db::{Error, Participant, Pending, Takes, Tx};

    /// Keeps committed audit events.
    #[derive(Default)]
    pub(crate) struct Records(Mutex<Vec<AuditEvent>>);

    impl Records {
        pub(crate) fn take(&self) -> Vec<AuditEvent> {
            std::mem::take(&mut self.0.lock().unwrap())
        }
    }

    impl Participant for Records {
        fn takes(&self) -> Takes {
            Takes { audit: true, events: false }
        }

        fn before_commit<'a>(&'a self, _: &'a mut Tx, _: &'a Pending) -> BoxFuture<'a, Result<(), Error>> {
            Box::pin(async { Ok(()) })
        }

        fn after_commit(&self, pending: &Pending) {
            self.0.lock().unwrap().extend(pending.audit.iter().cloned());
        }
    }
}
