//! A23: rows of the audit trail are written once.

use stylobate_audit::MIGRATIONS;
use stylobate_core::AuditEvent;
use stylobate_db::{Db, DbOptions, Engine, Error, Scope, migrate, migrate_to};
use stylobate_testkit::{POSTGRES_URL, TestDb, both_engines};

use crate::fixture::Fixture;

// A23: even the owner of the table is refused by the trigger.
async fn the_owner_can_neither_update_nor_delete_rows(test_db: TestDb) {
    let fixture = Fixture::new(&test_db).await;
    fixture.record_as(&fixture.alice, vec![AuditEvent::new(&fixture.alice, "role.create", "role")]).await;
    let before = fixture.all(&fixture.alice).await;
    let owner = owner(&test_db).await;
    for statement in [
        "UPDATE audit_events SET action = 'x'",
        "DELETE FROM audit_events",
        "DELETE FROM audit_events WHERE action = 'role.create'",
    ] {
        let mut tx = owner.begin(Scope::Platform("test")).await.unwrap();
        let refused = tx.q(statement).run().await;
        assert!(matches!(refused, Err(Error::Refused)), "{statement}: {refused:?}");
        tx.rollback().await.unwrap();
    }
    let mut tx = owner.begin(Scope::Platform("test")).await.unwrap();
    let overwritten = match owner.engine() {
        Engine::Postgres => tx.q("TRUNCATE audit_events").run().await,
        Engine::Sqlite => {
            tx.q("INSERT OR REPLACE INTO audit_events (id, occurred_at, actor_kind, action, target_kind, outcome) \
                  SELECT id, occurred_at, actor_kind, 'x', target_kind, outcome FROM audit_events")
                .run()
                .await
        }
    };
    assert!(matches!(overwritten, Err(Error::Refused)), "{overwritten:?}");
    drop(tx);
    assert_eq!(fixture.all(&fixture.alice).await, before);
    owner.close().await;
}
both_engines!(the_owner_can_neither_update_nor_delete_rows, &[&MIGRATIONS]);

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

// A23: the server's role does not even hold the privilege.
#[tokio::test]
async fn the_role_of_the_server_may_only_read_and_add() {
    let test_db = TestDb::postgres(&[&MIGRATIONS]).await;
    for statement in
        ["UPDATE audit_events SET action = 'x'", "DELETE FROM audit_events", "TRUNCATE audit_events"]
    {
        let mut tx = test_db.begin(Scope::Platform("test")).await.unwrap();
        let refused = tx.q(statement).run().await;
        assert!(matches!(refused, Err(Error::Forbidden)), "{statement}: {refused:?}");
    }
}

async fn the_schema_can_be_undone_and_made_again(test_db: TestDb) {
    let owner = owner(&test_db).await;
    migrate_to(&owner, &[&MIGRATIONS], 20_261_121_000_000).await.unwrap();
    let mut tx = owner.begin_read(Scope::Platform("test")).await.unwrap();
    assert!(tx.q("SELECT id FROM audit_events").run().await.is_err());
    tx.rollback().await.unwrap();
    migrate(&owner, &[&MIGRATIONS]).await.unwrap();
    let mut tx = owner.begin_read(Scope::Platform("test")).await.unwrap();
    assert_eq!(tx.q("SELECT count(*) FROM audit_events").scalar::<i64>().await.unwrap(), 0);
    drop(tx);
    owner.close().await;
}
both_engines!(the_schema_can_be_undone_and_made_again, &[&MIGRATIONS]);
