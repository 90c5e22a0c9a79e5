use std::sync::Arc;

use stylobate_core::{Clock as _, TenantId};
use stylobate_db::{Engine, Scope};
use stylobate_tenancy::{Error, MIGRATIONS, Org};
use stylobate_testkit::{TestDb, both_engines};

use crate::fixture::{Fixture, somebody_waits};

impl Fixture {
    async fn hold(&self, tenant: TenantId) -> Result<Org, Error> {
        let mut tx = self.db.begin(Scope::Tenant(tenant)).await.unwrap();
        let held = self.tenancy.hold_active(&mut tx, tenant).await;
        tx.commit().await.unwrap();
        held
    }

    async fn join(&self, tenant: TenantId) -> Result<bool, Error> {
        let mut tx = self.db.begin(Scope::Tenant(tenant)).await.unwrap();
        let joined = self.tenancy.add_member(&mut tx, &self.system, tenant, self.person()).await;
        tx.commit().await.unwrap();
        joined
    }
}

async fn an_active_organisation_is_held_and_another_is_not(test_db: TestDb) {
    let fixture = Fixture::new(&test_db).await;
    let (acme, zeta) = (fixture.org("acme").await, fixture.org("zeta").await);
    assert_eq!(fixture.hold(acme).await.unwrap(), fixture.find(acme).await.unwrap());
    fixture.deactivate(acme).await.unwrap();
    let refused = fixture.hold(acme).await;
    assert!(matches!(refused, Err(Error::OrgInactive)), "{refused:?}");
    let refused = fixture.hold(TenantId::new(fixture.clock.now())).await;
    assert!(matches!(refused, Err(Error::OrgNotFound)), "{refused:?}");
    // What is only inactive can be written to: its people are looked after by the platform.
    assert!(fixture.join(acme).await.unwrap());
    fixture.activate(acme).await.unwrap();
    fixture.hold(acme).await.unwrap();
    // A12
    let mut tx = fixture.db.begin(Scope::Tenant(zeta)).await.unwrap();
    assert!(matches!(fixture.tenancy.hold_active(&mut tx, acme).await, Err(Error::ForeignTenant)));
    assert!(matches!(fixture.tenancy.lock_org_to_write(&mut tx, acme).await, Err(Error::ForeignTenant)));
}
both_engines!(an_active_organisation_is_held_and_another_is_not, &[&MIGRATIONS]);

async fn what_is_held_is_deactivated_afterwards(test_db: TestDb) {
    let fixture = Arc::new(Fixture::new(&test_db).await);
    let acme = fixture.org("acme").await;
    let mut holding = fixture.db.begin(Scope::Tenant(acme)).await.unwrap();
    fixture.tenancy.hold_active(&mut holding, acme).await.unwrap();
    if test_db.engine() == Engine::Postgres {
        // Any number of transactions hold it at once; on SQLite one writes at a time.
        fixture.hold(acme).await.unwrap();
    }
    let deactivating = tokio::spawn({
        let fixture = Arc::clone(&fixture);
        async move { fixture.deactivate(acme).await }
    });
    somebody_waits(&fixture.db).await;
    assert!(!deactivating.is_finished() && fixture.find(acme).await.unwrap().is_active);
    holding.commit().await.unwrap();
    assert!(deactivating.await.unwrap().unwrap().1);
    assert!(!fixture.find(acme).await.unwrap().is_active);
}
both_engines!(what_is_held_is_deactivated_afterwards, &[&MIGRATIONS]);

async fn who_comes_while_it_is_deactivated_waits_and_is_refused(test_db: TestDb) {
    let fixture = Arc::new(Fixture::new(&test_db).await);
    let acme = fixture.org("acme").await;
    let mut deactivating = fixture.db.begin(Scope::Platform("test")).await.unwrap();
    fixture.tenancy.deactivate_org(&mut deactivating, &fixture.system, acme).await.unwrap();
    let holding = tokio::spawn({
        let fixture = Arc::clone(&fixture);
        async move { fixture.hold(acme).await }
    });
    somebody_waits(&fixture.db).await;
    assert!(!holding.is_finished());
    deactivating.commit().await.unwrap();
    let refused = holding.await.unwrap();
    assert!(matches!(refused, Err(Error::OrgInactive)), "{refused:?}");
}
both_engines!(who_comes_while_it_is_deactivated_waits_and_is_refused, &[&MIGRATIONS]);

async fn nobody_joins_behind_a_removal(test_db: TestDb) {
    let fixture = Arc::new(Fixture::new(&test_db).await);
    let acme = fixture.org("acme").await;
    let mut removing = fixture.db.begin(Scope::Platform("test")).await.unwrap();
    fixture.tenancy.begin_org_removal(&mut removing, &fixture.system, acme, 1).await.unwrap();
    let joining = tokio::spawn({
        let fixture = Arc::clone(&fixture);
        async move { fixture.join(acme).await }
    });
    somebody_waits(&fixture.db).await;
    assert!(!joining.is_finished());
    removing.commit().await.unwrap();
    let refused = joining.await.unwrap();
    assert!(matches!(refused, Err(Error::OrgBeingDeleted)), "{refused:?}");

    // The other way round the removal waits, and meets the member.
    let zeta = fixture.org("zeta").await;
    let mut joining = fixture.db.begin(Scope::Tenant(zeta)).await.unwrap();
    let person = fixture.person();
    fixture.tenancy.add_member(&mut joining, &fixture.system, zeta, person).await.unwrap();
    let removing = tokio::spawn({
        let fixture = Arc::clone(&fixture);
        async move { fixture.begin_removal(zeta).await }
    });
    somebody_waits(&fixture.db).await;
    assert!(!removing.is_finished());
    joining.commit().await.unwrap();
    assert!(removing.await.unwrap().unwrap().1);
    assert!(fixture.is_member(zeta, person).await);
}
both_engines!(nobody_joins_behind_a_removal, &[&MIGRATIONS]);
