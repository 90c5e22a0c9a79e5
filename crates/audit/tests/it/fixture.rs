use std::sync::Arc;

use stylobate_audit::{AuditLog, AuditRecord, Filter, Writer};
use stylobate_core::{
    AuditEvent, Clock as _, Direction, PageLimit, PersonId, Principal, RequestContext, TenantId,
};
use stylobate_db::{Db, Error, Participant, Scope};
use stylobate_testkit::{ManualClock, TestDb};

/// A database whose transactions a [`Writer`] takes part in, and a person in a tenant.
pub(crate) struct Fixture {
    pub clock: Arc<ManualClock>,
    pub writer: Arc<Writer>,
    pub db: Db,
    pub log: AuditLog,
    pub alice: RequestContext,
    pub tenant: TenantId,
}

impl Fixture {
    pub(crate) async fn new(test_db: &TestDb) -> Self {
        let clock = Arc::new(ManualClock::new());
        let writer = Arc::new(Writer::new(clock.clone()));
        let participant: Arc<dyn Participant> = writer.clone();
        let db = test_db.open(&[participant]).await;
        let tenant = TenantId::new(clock.now());
        let alice = RequestContext::new(Principal::person(PersonId::new(clock.now())).in_tenant(tenant));
        Self { log: AuditLog::new(db.clone(), clock.clone()), clock, writer, db, alice, tenant }
    }

    /// Somebody in a tenant of their own.
    pub(crate) fn mallory(&self) -> RequestContext {
        let now = self.clock.now();
        RequestContext::new(Principal::person(PersonId::new(now)).in_tenant(TenantId::new(now)))
    }

    pub(crate) async fn record(&self, scope: Scope, events: Vec<AuditEvent>) -> Result<(), Error> {
        self.db
            .transact(scope, async move |tx| {
                for event in &events {
                    tx.audit(event.clone());
                }
                Ok::<_, Error>(())
            })
            .await
    }

    pub(crate) async fn record_as(&self, context: &RequestContext, events: Vec<AuditEvent>) {
        let tenant = context.principal.tenant.expect("a tenant");
        self.record(Scope::Tenant(tenant), events).await.unwrap();
    }

    pub(crate) async fn all(&self, context: &RequestContext) -> Vec<AuditRecord> {
        let limit = PageLimit::new(200).unwrap();
        self.log.list(context, &Filter::default(), limit, None, Direction::Asc).await.unwrap().items
    }
}
