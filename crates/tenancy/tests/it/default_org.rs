use stylobate_core::TenantId;
use stylobate_db::{Db, Scope};
use stylobate_tenancy::{DefaultOrg, Error, MIGRATIONS, Org, Tenancy};
use stylobate_testkit::{TestDb, both_engines};

use crate::fixture::Fixture;

async fn ensure(fixture: &Fixture, org: &DefaultOrg) -> Result<Org, Error> {
    let mut tx = fixture.db.begin(Scope::Platform("test")).await.unwrap();
    let org = fixture.tenancy.ensure_default_org(&mut tx, &fixture.system, org).await?;
    tx.commit().await.unwrap();
    Ok(org)
}

async fn the_default_organisation_is_made_once(test_db: TestDb) {
    let fixture = Fixture::new(&test_db).await;
    let made = fixture.default_org().await;
    assert_eq!((made.code.as_str(), made.name.as_str()), ("default", "Default organisation"));
    assert!(made.is_active && made.is_default && made.version == 1);
    let audited = fixture.audited();
    assert_eq!(audited.len(), 1);
    assert_eq!((audited[0].action, audited[0].tenant), ("org.create", Some(made.id)));
    assert_eq!(audited[0].after.as_ref().unwrap()["org_code"], "default");

    // Another code or name afterwards finds the same organisation: it may have been renamed since.
    let renamed =
        DefaultOrg { code: "acme".parse().unwrap(), name: "Acme".parse().unwrap(), ..DefaultOrg::default() };
    assert_eq!(ensure(&fixture, &renamed).await.unwrap(), made);
    assert_eq!(fixture.audited().len(), 0);

    let mut reader = fixture.db.read().await.unwrap();
    assert_eq!(fixture.tenancy.find_org(&mut reader, made.id).await.unwrap(), Some(made.clone()));
    let code = "DEFAULT".parse().unwrap();
    assert_eq!(fixture.tenancy.find_org_by_code(&mut reader, &code).await.unwrap(), Some(made));
    let missing = "acme".parse().unwrap();
    assert_eq!(fixture.tenancy.find_org_by_code(&mut reader, &missing).await.unwrap(), None);
}
both_engines!(the_default_organisation_is_made_once, &[&MIGRATIONS]);

async fn a_configured_id_is_used_and_must_stay(test_db: TestDb) {
    let fixture = Fixture::new(&test_db).await;
    let id: TenantId = "0192d3a0-0000-7000-8000-000000000001".parse().unwrap();
    let configured = DefaultOrg { id: Some(id), ..DefaultOrg::default() };
    assert_eq!(ensure(&fixture, &configured).await.unwrap().id, id);
    assert_eq!(ensure(&fixture, &DefaultOrg::default()).await.unwrap().id, id);
    let other = TenantId::from_uuid(uuid::Uuid::from_u128(7));
    let refused = ensure(&fixture, &DefaultOrg { id: Some(other), ..DefaultOrg::default() }).await;
    assert!(
        matches!(refused, Err(Error::DefaultOrgMismatch { configured, stored }) if configured == other && stored == id),
        "{refused:?}"
    );
}
both_engines!(a_configured_id_is_used_and_must_stay, &[&MIGRATIONS]);

async fn a_code_that_another_organisation_has_is_not_taken_over(test_db: TestDb) {
    let fixture = Fixture::new(&test_db).await;
    fixture.org("Default").await;
    let refused = ensure(&fixture, &DefaultOrg::default()).await;
    assert!(matches!(refused, Err(Error::CodeTaken)), "{refused:?}");
}
both_engines!(a_code_that_another_organisation_has_is_not_taken_over, &[&MIGRATIONS]);

async fn processes_that_start_at_once_agree(test_db: TestDb) {
    let fixture = Fixture::new(&test_db).await;
    let starts: Vec<_> = (0..8)
        .map(|n| {
            let (db, tenancy): (Db, Tenancy) = (fixture.db.clone(), fixture.tenancy.clone());
            tokio::spawn(async move {
                // Even processes that are configured differently.
                let code = format!("default{n}").parse().unwrap();
                db.transact(Scope::Platform("start"), async move |tx| {
                    let context = stylobate_core::RequestContext::system("start");
                    let org = DefaultOrg { code: Clone::clone(&code), ..DefaultOrg::default() };
                    tenancy.ensure_default_org(tx, &context, &org).await
                })
                .await
            })
        })
        .collect();
    let mut orgs = Vec::new();
    for start in starts {
        orgs.push(start.await.unwrap().unwrap());
    }
    assert!(orgs.iter().all(|org| *org == orgs[0]), "{orgs:?}");
    assert_eq!(fixture.audited().len(), 1);
    let count: i64 = fixture.db.read().await.unwrap().q("SELECT count(*) FROM orgs").scalar().await.unwrap();
    assert_eq!(count, 1);
}
both_engines!(processes_that_start_at_once_agree, &[&MIGRATIONS]);

async fn organisations_are_gone_through_in_order(test_db: TestDb) {
    let fixture = Fixture::new(&test_db).await;
    let mut all = vec![fixture.default_org().await.id, fixture.org("b").await, fixture.org("c").await];
    all.sort_unstable();
    let mut reader = fixture.db.read().await.unwrap();
    let first = fixture.tenancy.org_ids(&mut reader, None, 2).await.unwrap();
    let rest = fixture.tenancy.org_ids(&mut reader, first.last().copied(), 2).await.unwrap();
    assert_eq!([first, rest].concat(), all);
    assert!(fixture.tenancy.org_ids(&mut reader, all.last().copied(), 2).await.unwrap().is_empty());
}
both_engines!(organisations_are_gone_through_in_order, &[&MIGRATIONS]);
