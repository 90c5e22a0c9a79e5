use chrono::{DateTime, Utc};
use stylobate_core::{Direction, PageLimit, TenantId};
use stylobate_db::{ConstraintKind, Db, Error, Keyset, KeysetKey, Scope, Tx};
use stylobate_testkit::{ManualClock, TestDb, both_engines};
use uuid::Uuid;

use crate::NOTES;

const PLATFORM: Scope = Scope::Platform("test");

fn noon() -> DateTime<Utc> {
    stylobate_core::Clock::now(&ManualClock::new())
}

async fn insert(db: &Db, tenant: TenantId, name: &str, at: DateTime<Utc>) -> Result<Uuid, Error> {
    let id = TenantId::new(at).as_uuid();
    db.transact(Scope::Tenant(tenant), async |tx| {
        tx.q("INSERT INTO notes (id, tenant_id, name, created_at) VALUES ($1, $2, $3, $4)")
            .bind(id)
            .bind(tenant.as_uuid())
            .bind(name.to_owned())
            .bind(at)
            .run()
            .await
    })
    .await?;
    Ok(id)
}

async fn count(db: &Db) -> i64 {
    let mut tx = db.begin_read(PLATFORM).await.unwrap();
    tx.q("SELECT count(*) FROM notes").scalar().await.unwrap()
}

both_engines!(values_come_back_as_they_went_in, &[&NOTES]);
async fn values_come_back_as_they_went_in(db: TestDb) {
    let tenant = TenantId::new(noon());
    let id = insert(&db, tenant, "Übung", noon()).await.unwrap();
    let mut tx = db.begin_read(Scope::Tenant(tenant)).await.unwrap();
    let row: (Uuid, String, DateTime<Utc>) = tx
        .q("SELECT id, name, created_at FROM notes WHERE tenant_id = $1")
        .bind(tenant.as_uuid())
        .one()
        .await
        .unwrap();
    assert_eq!(row, (id, "Übung".to_owned(), noon()));
    let none = tx.q("SELECT id FROM notes WHERE name = $1").bind("other").scalar_opt::<Uuid>().await.unwrap();
    assert_eq!(none, None);
    let missing = tx.q("SELECT id FROM notes WHERE name = $1").bind("other").scalar::<Uuid>().await;
    assert!(matches!(missing, Err(Error::NotFound)));
}

both_engines!(constraints_carry_one_name_on_both_engines, &[&NOTES]);
async fn constraints_carry_one_name_on_both_engines(db: TestDb) {
    let tenant = TenantId::new(noon());
    insert(&db, tenant, "one", noon()).await.unwrap();
    let twice = insert(&db, tenant, "one", noon()).await.unwrap_err();
    assert!(twice.is_unique_violation("notes_tenant_id_name_key"), "{twice:?}");
    assert!(!format!("{twice:?} {twice}").contains("one"), "no value may appear: {twice:?}");
    let empty = insert(&db, tenant, "", noon()).await.unwrap_err();
    let Error::Constraint { kind: ConstraintKind::Check, name } = empty else { panic!("{empty:?}") };
    assert_eq!(name.as_deref(), Some("notes_name_is_not_empty"));
    let orphan = db
        .transact(PLATFORM, async |tx| {
            tx.q("INSERT INTO note_history (id, parent) VALUES (1, 99)").run().await
        })
        .await
        .unwrap_err();
    assert!(orphan.is_foreign_key_violation(), "{orphan:?}");
}

both_engines!(a_failed_transaction_leaves_nothing, &[&NOTES]);
async fn a_failed_transaction_leaves_nothing(db: TestDb) {
    let tenant = TenantId::new(noon());
    let result: Result<(), Error> = db
        .transact(Scope::Tenant(tenant), async |tx| {
            tx.q("INSERT INTO notes (id, tenant_id, name, created_at) VALUES ($1, $2, 'a', $3)")
                .bind(Uuid::nil())
                .bind(tenant.as_uuid())
                .bind(noon())
                .run()
                .await?;
            Err(Error::NotFound)
        })
        .await;
    assert!(matches!(result, Err(Error::NotFound)));
    assert_eq!(count(&db).await, 0);
}

both_engines!(a_savepoint_undoes_only_what_failed_inside_it, &[&NOTES]);
async fn a_savepoint_undoes_only_what_failed_inside_it(db: TestDb) {
    let tenant = TenantId::new(noon());
    insert(&db, tenant, "taken", noon()).await.unwrap();
    db.transact(Scope::Tenant(tenant), async |tx| {
        let taken = tx
            .nested(async |tx| {
                tx.q("UPDATE notes SET created_at = $1 WHERE tenant_id = $2")
                    .bind(noon() + chrono::TimeDelta::days(1))
                    .bind(tenant.as_uuid())
                    .run()
                    .await?;
                tx.q("INSERT INTO notes (id, tenant_id, name, created_at) VALUES ($1, $2, 'taken', $3)")
                    .bind(Uuid::nil())
                    .bind(tenant.as_uuid())
                    .bind(noon())
                    .run()
                    .await
            })
            .await;
        assert!(taken.is_err());
        tx.q("INSERT INTO notes (id, tenant_id, name, created_at) VALUES ($1, $2, 'free', $3)")
            .bind(Uuid::nil())
            .bind(tenant.as_uuid())
            .bind(noon())
            .run()
            .await
    })
    .await
    .unwrap();
    let mut tx = db.begin_read(Scope::Tenant(tenant)).await.unwrap();
    let times: Vec<(DateTime<Utc>,)> =
        tx.q("SELECT created_at FROM notes WHERE tenant_id = $1").bind(tenant.as_uuid()).all().await.unwrap();
    assert_eq!(times, [(noon(),), (noon(),)]);
}

// A29
both_engines!(eight_writers_lose_no_increment, &[&NOTES]);
async fn eight_writers_lose_no_increment(db: TestDb) {
    let writers: Vec<_> = (0..8)
        .map(|_| {
            let db: Db = (*db).clone();
            // Spawning also proves that the future of `transact` may move between threads.
            tokio::spawn(async move {
                for _ in 0..25 {
                    db.transact(PLATFORM, async |tx| {
                        tx.q("UPDATE counters SET value = value + 1 WHERE id = 1").run().await
                    })
                    .await?;
                }
                Ok::<(), Error>(())
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap().unwrap();
    }
    let value: i64 =
        db.read().await.unwrap().q("SELECT value FROM counters WHERE id = 1").scalar().await.unwrap();
    assert_eq!(value, 200);
}

both_engines!(a_lost_race_runs_the_work_again, &[&NOTES]);
async fn a_lost_race_runs_the_work_again(db: TestDb) {
    let mut runs = 0;
    let result: Result<(), Error> = db
        .transact(PLATFORM, async |tx| {
            tx.q("UPDATE counters SET value = value + 1 WHERE id = 1").run().await?;
            runs += 1;
            if runs < 3 { Err(Error::Serialization) } else { Ok(()) }
        })
        .await;
    result.unwrap();
    let value: i64 =
        db.read().await.unwrap().q("SELECT value FROM counters WHERE id = 1").scalar().await.unwrap();
    assert_eq!((runs, value), (3, 1), "the first two runs must have left nothing");
}

both_engines!(too_few_values_are_an_error_not_null, &[&NOTES]);
async fn too_few_values_are_an_error_not_null(db: TestDb) {
    let result =
        db.read().await.unwrap().q("SELECT value FROM counters WHERE id = $1").scalar_opt::<i64>().await;
    assert!(matches!(result, Err(Error::Statement(_))), "{result:?}");
}

both_engines!(a_failed_statement_that_is_passed_over_does_not_commit, &[&NOTES]);
async fn a_failed_statement_that_is_passed_over_does_not_commit(db: TestDb) {
    let tenant = TenantId::new(noon());
    let result: Result<(), Error> = db
        .transact(PLATFORM, async |tx| {
            tx.q("UPDATE counters SET value = 7 WHERE id = 1").run().await?;
            let failed = tx.q("INSERT INTO notes (id) VALUES ($1)").bind(tenant.as_uuid()).run().await;
            assert!(failed.is_err());
            // Not even behind a savepoint: on SQLite the failure may have ended the transaction.
            let more = async |tx: &mut Tx| tx.q("UPDATE counters SET value = 8 WHERE id = 1").run().await;
            assert!(matches!(tx.nested(more).await, Err(Error::Spoiled)));
            Ok(())
        })
        .await;
    // PostgreSQL by itself would answer the COMMIT with a silent rollback.
    assert!(matches!(result, Err(Error::Spoiled)), "{result:?}");
    let value = async || -> i64 {
        db.read().await.unwrap().q("SELECT value FROM counters WHERE id = 1").scalar().await.unwrap()
    };
    assert_eq!(value().await, 0);
    // Behind a savepoint the failure undoes itself alone.
    let result: Result<(), Error> = db
        .transact(PLATFORM, async |tx| {
            tx.q("UPDATE counters SET value = 7 WHERE id = 1").run().await?;
            let insert = async move |tx: &mut Tx| {
                tx.q("INSERT INTO notes (id) VALUES ($1)").bind(tenant.as_uuid()).run().await
            };
            assert!(tx.nested(insert).await.is_err());
            Ok(())
        })
        .await;
    result.unwrap();
    assert_eq!(value().await, 7);
}

both_engines!(a_read_transaction_refuses_to_write, &[&NOTES]);
async fn a_read_transaction_refuses_to_write(db: TestDb) {
    let mut tx = db.begin_read(PLATFORM).await.unwrap();
    let result = tx.q("UPDATE counters SET value = 9 WHERE id = 1").run().await;
    assert!(matches!(result, Err(Error::ReadOnly)), "{result:?}");
}

both_engines!(cancelled_begins_leave_no_transaction_behind, &[&NOTES]);
async fn cancelled_begins_leave_no_transaction_behind(db: TestDb) {
    let tenant = TenantId::new(noon());
    insert(&db, tenant, "secret", noon()).await.unwrap();
    for round in 0..200_u64 {
        let begin = db.begin(Scope::Tenant(tenant));
        let wait = tokio::time::sleep(std::time::Duration::from_micros(round * 3));
        tokio::select! {
            biased;
            () = wait => {}
            begun = begin => drop(begun.unwrap()),
        }
    }
    // A connection that still were inside a transaction would still have the tenant.
    for _ in 0..16 {
        let tenant: Option<String> = match db.engine() {
            stylobate_db::Engine::Postgres => {
                let mut reader = db.read().await.unwrap();
                reader
                    .q("SELECT NULLIF(current_setting('stylobate.tenant', true), '')")
                    .scalar()
                    .await
                    .unwrap()
            }
            stylobate_db::Engine::Sqlite => db.begin(PLATFORM).await.map(|_| None).unwrap(),
        };
        assert_eq!(tenant, None);
    }
}

both_engines!(pages_follow_each_other_without_gap_or_repeat, &[&NOTES]);
async fn pages_follow_each_other_without_gap_or_repeat(db: TestDb) {
    let tenant = TenantId::new(noon());
    for number in 0..23 {
        // Three notes share each time, so that the id has to break the tie.
        let at = noon() + chrono::TimeDelta::seconds(number / 3);
        insert(&db, tenant, &format!("note {number:02}"), at).await.unwrap();
    }
    for direction in [Direction::Asc, Direction::Desc] {
        let (mut seen, mut cursor) = (Vec::new(), None::<String>);
        loop {
            let keyset = Keyset::new(
                "created_at",
                "created_at",
                "id",
                true,
                direction,
                PageLimit::new(5).unwrap(),
                cursor.as_deref(),
            )
            .unwrap();
            let mut tx = db.begin_read(Scope::Tenant(tenant)).await.unwrap();
            let mut sql = tx.builder("SELECT id, created_at FROM notes WHERE tenant_id = ");
            sql.value(tenant.as_uuid());
            keyset.push(&mut sql);
            let rows: Vec<(Uuid, DateTime<Utc>)> = tx.q_build(sql).all().await.unwrap();
            let page = keyset.page(rows, |row| (KeysetKey::Time(row.1), row.0));
            seen.extend(page.items.iter().map(|row| (row.1, row.0)));
            match page.next_cursor {
                Some(next) => cursor = Some(next.encode()),
                None => break,
            }
        }
        let mut sorted = seen.clone();
        sorted.sort();
        sorted.dedup();
        if direction == Direction::Desc {
            sorted.reverse();
        }
        assert_eq!((seen.len(), &seen), (23, &sorted));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn values_that_cannot_be_stored_are_told_from_defects() {
    let db = TestDb::postgres(&[&NOTES]).await;
    let mut reader = db.read().await.unwrap();
    let nul = reader.q("SELECT $1::text").bind("secret\0").scalar::<String>().await.unwrap_err();
    let large =
        reader.q("SELECT 9223372036854775807 + $1::bigint").bind(1_i64).scalar::<i64>().await.unwrap_err();
    let early = reader
        .q("SELECT $1::timestamptz")
        .bind(DateTime::<Utc>::MIN_UTC)
        .scalar::<DateTime<Utc>>()
        .await
        .unwrap_err();
    for error in [nul, large, early] {
        assert_eq!(error.code(), "db_value", "{error:?}");
        assert!(!format!("{error:?} {error}").contains("secret"), "no value may appear: {error:?}");
    }
    let defect = reader.q("SELECT nonsense").scalar::<i64>().await.unwrap_err();
    assert_eq!(defect.code(), "db_engine", "{defect:?}");
}

both_engines!(statements_are_counted_failed_ones_included, &[&NOTES]);
async fn statements_are_counted_failed_ones_included(db: TestDb) {
    let before = db.statements();
    count(&db).await;
    assert_eq!(db.clone().statements() - before, 1);
    let failed = db.begin(PLATFORM).await.unwrap().q("SELECT nothing FROM nowhere").run().await;
    assert!(failed.is_err());
    assert_eq!(db.statements() - before, 2);
}
