use stylobate_db::{Db, DbOptions, Engine, Scope, migrate, migrate_to};
use stylobate_tenancy::MIGRATIONS;
use stylobate_testkit::{POSTGRES_URL, TestDb, both_engines};

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
