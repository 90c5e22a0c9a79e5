use std::{sync::Arc, time::Duration};

use recording::Records;
use stylobate_core::{AuditEvent, Clock as _, PersonId, RequestContext, TenantId};
use stylobate_db::{Db, Engine, Participant, Scope};
use stylobate_tenancy::{
    DefaultOrg, Error, LicenseStatus, MembershipStatus, NewOrg, Org, OrgChange, Tenancy,
};
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

    /// Another organisation, whose making is not among what was audited.
    pub(crate) async fn org(&self, code: &str) -> TenantId {
        let made = self.create(&new_org(code, code)).await.unwrap();
        self.audited();
        made.id
    }

    pub(crate) async fn create(&self, new: &NewOrg) -> Result<Org, Error> {
        let mut tx = self.db.begin(Scope::Platform("test")).await.unwrap();
        let org = self.tenancy.create_org(&mut tx, &self.system, new).await?;
        tx.commit().await.unwrap();
        Ok(org)
    }

    pub(crate) async fn update(&self, id: TenantId, change: &OrgChange) -> Result<(Org, bool), Error> {
        let mut tx = self.db.begin(Scope::Platform("test")).await.unwrap();
        let done = self.tenancy.update_org(&mut tx, &self.system, id, change).await?;
        tx.commit().await.unwrap();
        Ok(done)
    }

    pub(crate) async fn deactivate(&self, id: TenantId) -> Result<(Org, bool), Error> {
        let mut tx = self.db.begin(Scope::Platform("test")).await.unwrap();
        let done = self.tenancy.deactivate_org(&mut tx, &self.system, id).await?;
        tx.commit().await.unwrap();
        Ok(done)
    }

    pub(crate) async fn activate(&self, id: TenantId) -> Result<(Org, bool), Error> {
        let mut tx = self.db.begin(Scope::Platform("test")).await.unwrap();
        let done = self.tenancy.activate_org(&mut tx, &self.system, id).await?;
        tx.commit().await.unwrap();
        Ok(done)
    }

    pub(crate) async fn begin_removal(&self, id: TenantId) -> Result<(Org, bool), Error> {
        let seen = self.find(id).await.map_or(0, |org| org.version);
        let mut tx = self.db.begin(Scope::Platform("test")).await.unwrap();
        let done = self.tenancy.begin_org_removal(&mut tx, &self.system, id, seen).await?;
        tx.commit().await.unwrap();
        Ok(done)
    }

    pub(crate) async fn find(&self, id: TenantId) -> Option<Org> {
        self.tenancy.find_org(&mut self.db.read().await.unwrap(), id).await.unwrap()
    }

    pub(crate) async fn set_status(
        &self,
        tenant: TenantId,
        person: PersonId,
        status: MembershipStatus,
    ) -> Result<bool, Error> {
        let mut tx = self.db.begin(Scope::Tenant(tenant)).await.unwrap();
        let changed = self.tenancy.set_member_status(&mut tx, &self.system, tenant, person, status).await?;
        tx.commit().await.unwrap();
        Ok(changed)
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

    /// The actions that were audited since the last call.
    pub(crate) fn actions(&self) -> Vec<&'static str> {
        self.records.take().iter().map(|event| event.action).collect()
    }
}

pub(crate) fn new_org(code: &str, name: &str) -> NewOrg {
    NewOrg {
        code: code.parse().unwrap(),
        name: name.parse().unwrap(),
        license_status: LicenseStatus::Active,
        purchase_date: None,
    }
}

/// Returns when a transaction waits for a lock of another. SQLite does not tell: there one writer at a time waits in the
/// pool.
pub(crate) async fn somebody_waits(db: &Db) {
    if db.engine() == Engine::Sqlite {
        return tokio::task::yield_now().await;
    }
    let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND pid IN \
                   (SELECT pid FROM pg_stat_activity WHERE datname = current_database())";
    let seen = async {
        while db.read().await.unwrap().q(waiting).scalar::<i64>().await.unwrap() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), seen).await.expect("somebody who waits");
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
