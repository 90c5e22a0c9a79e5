//! SQLite's one writer: it survives what ends a transaction from below, and holds up no reader.

use std::{sync::Arc, time::Duration};

use stylobate_db::{Db, DbOptions, Error, Scope};
use stylobate_testkit::TestDb;
use tokio::sync::Barrier;

use crate::NOTES;

const PLATFORM: Scope = Scope::Platform("test");

// A32
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_that_sqlite_ended_by_itself_does_not_stop_the_next() {
    let db = TestDb::sqlite(&[&NOTES]).await;
    let options = DbOptions { statement_timeout: Duration::from_millis(50), ..DbOptions::default() };
    let hasty = Db::connect(db.url(), options).await.unwrap();
    // Interrupted by its deadline while it writes: SQLite rolls back, so the ROLLBACK that follows finds no transaction.
    let mut tx = hasty.begin(PLATFORM).await.unwrap();
    let endless = "INSERT INTO note_history (id) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) \
                   SELECT i FROM n";
    assert!(tx.q(endless).run().await.is_err());
    assert!(tx.rollback().await.is_err(), "SQLite has rolled back by itself");
    for _ in 0..3 {
        hasty
            .transact(PLATFORM, async |tx| {
                tx.q("UPDATE counters SET value = value + 1 WHERE id = 1").run().await
            })
            .await
            .unwrap();
    }
}

/// With the default limits, so that the statement would go on for half a minute.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_waits_for_any_more_does_not_keep_the_writer() {
    let db = TestDb::sqlite(&[&NOTES]).await;
    for _ in 0..3 {
        let mut tx = db.begin(PLATFORM).await.unwrap();
        let endless = "INSERT INTO note_history (id) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) \
                       SELECT i FROM n WHERE i < 0";
        let given_up = tokio::time::timeout(Duration::from_millis(20), tx.q(endless).run()).await;
        assert!(given_up.is_err(), "{given_up:?}");
        assert!(matches!(tx.q("SELECT 1").run().await, Err(Error::Spoiled)), "it may have half happened");
        drop(tx);
        // Waits for its turn at most 5 s.
        db.transact(PLATFORM, async |tx| {
            tx.q("UPDATE counters SET value = value + 1 WHERE id = 1").run().await
        })
        .await
        .unwrap();
    }
}

/// Opening a connection that reads must not take the writer's lock.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_begins_to_read_does_not_wait_for_the_writer() {
    let db = TestDb::sqlite(&[&NOTES]).await;
    let mut tx = db.begin(PLATFORM).await.unwrap();
    tx.q("UPDATE counters SET value = 7 WHERE id = 1").run().await.unwrap();
    // More at once than were open before.
    let all_read = Arc::new(Barrier::new(4));
    let readers: Vec<_> = (0..4)
        .map(|_| {
            let (db, all_read) = (db.clone(), Arc::clone(&all_read));
            tokio::spawn(async move {
                let mut tx = db.begin_read(PLATFORM).await.unwrap();
                tx.q("SELECT value FROM counters WHERE id = 1").scalar::<i64>().await.unwrap();
                all_read.wait().await;
                tx.rollback().await.unwrap();
            })
        })
        .collect();
    for reader in readers {
        tokio::time::timeout(Duration::from_secs(4), reader).await.expect("it waits for the writer").unwrap();
    }
    tx.rollback().await.unwrap();
    let mut tx = db.begin(PLATFORM).await.unwrap();
    assert_eq!(
        tx.q("PRAGMA auto_vacuum").scalar::<i64>().await.unwrap(),
        2,
        "what is freed can be given back"
    );
    tx.rollback().await.unwrap();
}
