use std::num::NonZeroU32;

use chrono::TimeDelta;
use stylobate_core::{Clock as _, TenantId};
use stylobate_db::Scope;
use stylobate_tenancy::{Error, MIGRATIONS, NewInvitation};
use stylobate_testkit::{TestDb, both_engines};

use crate::fixture::{Fixture, new_org};

impl Fixture {
    async fn remove_rows(&self, tenant: TenantId, limit: u32) -> Result<u64, Error> {
        let mut tx = self.db.begin(Scope::Platform("test")).await.unwrap();
        let limit = NonZeroU32::new(limit).unwrap();
        let removed = self.tenancy.remove_tenant_rows(&mut tx, tenant, limit).await?;
        tx.commit().await.unwrap();
        Ok(removed)
    }

    async fn remove(&self, tenant: TenantId) -> Result<(), Error> {
        let mut tx = self.db.begin(Scope::Platform("test")).await.unwrap();
        self.tenancy.remove_org(&mut tx, &self.system, tenant).await?;
        tx.commit().await.unwrap();
        Ok(())
    }
}

async fn an_organisation_is_removed_in_batches(test_db: TestDb) {
    let fixture = Fixture::new(&test_db).await;
    let (acme, zeta) = (fixture.org("acme").await, fixture.org("zeta").await);
    for tenant in [acme, zeta] {
        let mut tx = fixture.db.begin(Scope::Tenant(tenant)).await.unwrap();
        for n in 0..5 {
            fixture.tenancy.add_member(&mut tx, &fixture.system, tenant, fixture.person()).await.unwrap();
            let email = format!("{n}@example.org");
            let expires_at = fixture.clock.now() + TimeDelta::days(7);
            let new = NewInvitation { email_key: email.clone(), email, role_id: None, expires_at };
            if n < 3 {
                fixture.tenancy.invite(&mut tx, &fixture.system, tenant, &new).await.unwrap();
            }
        }
        tx.commit().await.unwrap();
    }
    fixture.audited();

    let refused = fixture.remove_rows(acme, 2).await;
    assert!(matches!(refused, Err(Error::OrgNotBeingDeleted)), "{refused:?}");
    let refused = fixture.remove(acme).await;
    assert!(matches!(refused, Err(Error::OrgNotBeingDeleted)), "{refused:?}");
    fixture.begin_removal(acme).await.unwrap();
    // As long as there are rows, they keep it.
    let refused = fixture.remove(acme).await;
    assert!(matches!(&refused, Err(Error::Db(error)) if error.is_foreign_key_violation()), "{refused:?}");
    // A12
    let mut tx = fixture.db.begin(Scope::Tenant(zeta)).await.unwrap();
    let refused = fixture.tenancy.remove_tenant_rows(&mut tx, acme, NonZeroU32::MIN).await;
    assert!(matches!(refused, Err(Error::ForeignTenant)), "{refused:?}");
    let refused = fixture.tenancy.remove_org(&mut tx, &fixture.system, acme).await;
    assert!(matches!(refused, Err(Error::ForeignTenant)), "{refused:?}");
    tx.rollback().await.unwrap();

    // 3 invitations and 5 members: the second batch has some of both.
    for removed in [2, 2, 2, 2, 0, 0] {
        assert_eq!(fixture.remove_rows(acme, 2).await.unwrap(), removed);
    }
    fixture.remove(acme).await.unwrap();
    assert_eq!(fixture.find(acme).await, None);
    let audited = fixture.audited();
    let actions: Vec<_> = audited.iter().map(|event| event.action).collect();
    assert_eq!(actions, ["org.removal_begun", "org.delete"]);
    assert_eq!((audited[1].tenant, &audited[1].target.id), (Some(acme), &Some(acme.to_string())));
    assert_eq!(audited[1].before.as_ref().unwrap()["org_code"], "acme");
    assert!(audited[1].after.is_none());
    for refused in [fixture.remove(acme).await, fixture.remove_rows(acme, 2).await.map(drop)] {
        assert!(matches!(refused, Err(Error::OrgNotFound)), "{refused:?}");
    }

    // Nothing of another organisation went with it, and its code is free.
    let mut tx = fixture.db.begin_read(Scope::Tenant(zeta)).await.unwrap();
    assert_eq!(fixture.tenancy.count_members(&mut tx, zeta).await.unwrap().active, 5);
    assert_eq!(tx.q("SELECT count(*) FROM invitations").scalar::<i64>().await.unwrap(), 3);
    tx.rollback().await.unwrap();
    fixture.create(&new_org("acme", "Acme")).await.unwrap();
}
both_engines!(an_organisation_is_removed_in_batches, &[&MIGRATIONS]);
