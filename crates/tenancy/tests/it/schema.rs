use std::sync::Arc;

use stylobate_core::{Clock as _, Direction, PageLimit, RequestContext, TenantId};
use stylobate_db::{Db, DbOptions, Engine, Scope, migrate, migrate_to};
use stylobate_tenancy::{DefaultOrg, LicenseStatus, MIGRATIONS, OrgFilter, Tenancy};
use stylobate_testkit::{ManualClock, POSTGRES_URL, TestDb, both_engines};

/// The database as the role that owns the tables. On SQLite there is no other.
async fn owner(test_db: &TestDb) -> Db {
    if test_db.engine() == Engine::Sqlite {
        return test_db.open(&[]).await;
    }
    let server = std::env::var(POSTGRES_URL).unwrap();
    let name = test_db.url().split('?').next().and_then(|url| url.rsplit('/').next()).unwrap();
    let (base, query) = server.split_once('?').map_or((server.as_str(), None), |(a, b)| (a, Some(b)));
    let (authority, _) = base.rsplit_once('/').unwrap();
    let url = format!("{authority}/{name}{}", query.map(|query| format!("?{query}")).unwrap_or_default());
    Db::connect(&url, DbOptions::default()).await.unwrap()
}

async fn the_schema_can_be_undone_and_made_again(test_db: TestDb) {
    let owner = owner(&test_db).await;
    migrate_to(&owner, &[&MIGRATIONS], 20_261_121_000_000).await.unwrap();
    assert!(owner.read().await.unwrap().q("SELECT id FROM orgs").run().await.is_err());
    migrate(&owner, &[&MIGRATIONS]).await.unwrap();
    let mut tx = owner.begin_read(Scope::Platform("test")).await.unwrap();
    assert_eq!(tx.q("SELECT count(*) FROM memberships").scalar::<i64>().await.unwrap(), 0);
    drop(tx);
    owner.close().await;
}
both_engines!(the_schema_can_be_undone_and_made_again, &[&MIGRATIONS]);

async fn organisations_from_before_are_read_and_found(test_db: TestDb) {
    let owner = owner(&test_db).await;
    migrate_to(&owner, &[&MIGRATIONS], 20_261_122_000_002).await.unwrap();
    let clock = Arc::new(ManualClock::new());
    // Such codes and names are not taken any more.
    let (code, name) = ("0192d3a0000070008000000000000001", "Ac\u{200b}me ÜBER Ltd");
    let mut tx = owner.begin(Scope::Platform("test")).await.unwrap();
    tx.q("INSERT INTO orgs (id, code, code_folded, name, is_active, is_default, created_at, updated_at, version) \
          VALUES ($1, $2, $2, $3, $4, $5, $6, $6, 1)")
        .bind(TenantId::new(clock.now()).as_uuid())
        .bind(code)
        .bind(name)
        .bind(true)
        .bind(false)
        .bind(clock.now())
        .run()
        .await
        .unwrap();
    tx.commit().await.unwrap();
    migrate(&owner, &[&MIGRATIONS]).await.unwrap();
    let tenancy = Tenancy::new(clock);
    let mut tx = owner.begin(Scope::Platform("test")).await.unwrap();
    let system = RequestContext::system("test");
    tenancy.ensure_default_org(&mut tx, &system, &DefaultOrg::default()).await.unwrap();
    let keyset = Tenancy::orgs_keyset(Direction::Asc, PageLimit::default(), None).unwrap();
    let mut found = Vec::new();
    for search in ["über ltd", "ME ÜBER"] {
        let filter = OrgFilter { search: Some(search.to_owned()), ..OrgFilter::default() };
        found = tenancy.list_orgs(&mut tx, &filter, &keyset).await.unwrap().items;
        assert_eq!(found.len(), 1, "{search}");
    }
    tx.rollback().await.unwrap();
    assert_eq!((found[0].code.as_str(), found[0].name.as_str(), found[0].version), (code, name, 1));
    assert_eq!((found[0].license_status, found[0].purchase_date), (LicenseStatus::Active, None));
    owner.close().await;
}
both_engines!(organisations_from_before_are_read_and_found, &[&MIGRATIONS]);
