use std::time::Duration;

use stylobate_db::{Db, Error, Hints, Scope, Tx};
use stylobate_testkit::TestDb;

use crate::NOTES;

/// Far more than any hint takes.
const PATIENCE: Duration = Duration::from_secs(10);

async fn heard(hints: &mut Hints) {
    tokio::time::timeout(PATIENCE, hints.next()).await.expect("a hint");
}

/// Whether there is one already.
async fn has(hints: &mut Hints) -> bool {
    tokio::select! {
        biased;
        () = hints.next() => true,
        () = std::future::ready(()) => false,
    }
}

async fn hint(db: &Db, topic: &'static str) {
    let give = async |tx: &mut Tx| -> Result<(), Error> {
        tx.hint(topic);
        tx.hint(topic);
        Ok(())
    };
    db.transact(Scope::Platform("test"), give).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hint_is_heard_after_its_commit_and_not_after_a_rollback() {
    let db = TestDb::sqlite(&[&NOTES]).await;
    let (mut notes, mut others) = (db.hints("notes"), db.hints("others"));
    assert!(!has(&mut notes).await);
    let mut tx = db.begin(Scope::Platform("test")).await.unwrap();
    tx.hint("notes");
    assert!(!has(&mut notes).await);
    tx.rollback().await.unwrap();
    assert!(!has(&mut notes).await);
    hint(&db, "notes").await;
    hint(&Db::clone(&db), "notes").await;
    assert!(has(&mut notes).await);
    assert!(!has(&mut notes).await, "any number are one");
    assert!(!has(&mut others).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_postgresql_hints_reach_other_processes_also_after_a_broken_connection() {
    let db = TestDb::postgres(&[&NOTES]).await;
    let elsewhere = db.open(&[]).await;
    let (mut notes, mut others) = (elsewhere.hints("notes"), elsewhere.hints("others"));
    // Whatever was said before it listened.
    heard(&mut notes).await;
    heard(&mut others).await;
    let mut tx = db.begin(Scope::Platform("test")).await.unwrap();
    tx.hint("others");
    tx.rollback().await.unwrap();
    hint(&db, "notes").await;
    heard(&mut notes).await;
    assert!(!has(&mut others).await);

    let owner = db.open_as_owner().await;
    let mut reader = owner.read().await.unwrap();
    let ended = reader
        .q("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid() AND query LIKE 'LISTEN%'")
        .scalar::<i64>()
        .await
        .unwrap();
    assert_eq!(ended, 1);
    // It says so when it listens again, for something may have been missed.
    heard(&mut notes).await;
    heard(&mut others).await;
    hint(&db, "notes").await;
    heard(&mut notes).await;
}
