use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use stylobate_core::{AuditEvent, BoxFuture, RequestContext};
use stylobate_db::{Db, DbOptions, Error, Participant, Pending, Scope, Takes, Tx};
use stylobate_testkit::{TestDb, both_engines};

use crate::NOTES;

/// Counts audit events into the counter row, or fails.
#[derive(Default)]
struct Counting {
    fails: bool,
    told: AtomicU32,
}

impl Participant for Counting {
    fn takes(&self) -> Takes {
        Takes { audit: true, events: false }
    }

    fn before_commit<'a>(&'a self, tx: &'a mut Tx, pending: &'a Pending) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            if self.fails {
                return Err(Error::Participant("on purpose".into()));
            }
            let count = i64::try_from(pending.audit.len()).unwrap();
            tx.q("UPDATE counters SET value = value + $1 WHERE id = 1").bind(count).run().await?;
            Ok(())
        })
    }

    fn after_commit(&self, _pending: &Pending) {
        self.told.fetch_add(1, Ordering::SeqCst);
    }
}

fn event() -> AuditEvent {
    AuditEvent::new(&RequestContext::system("test"), "note.create", "note")
}

async fn change(db: &Db) -> Result<(), Error> {
    db.transact(Scope::Platform("test"), async |tx| {
        tx.q("INSERT INTO note_history (id, parent) VALUES (7, NULL)").run().await?;
        tx.audit(event());
        tx.audit(event());
        Ok(())
    })
    .await
}

async fn value(db: &Db, sql: &'static str) -> i64 {
    db.read().await.unwrap().q(sql).scalar().await.unwrap()
}

both_engines!(change_and_events_commit_together, &[&NOTES]);
async fn change_and_events_commit_together(db: TestDb) {
    let participant = Arc::new(Counting::default());
    let handle = db.open(&[Arc::clone(&participant) as Arc<dyn Participant>]).await;
    change(&handle).await.unwrap();
    assert_eq!(value(&handle, "SELECT value FROM counters WHERE id = 1").await, 2);
    assert_eq!(value(&handle, "SELECT count(*) FROM note_history").await, 1);
    assert_eq!(participant.told.load(Ordering::SeqCst), 1);
}

both_engines!(a_failing_participant_undoes_the_change, &[&NOTES]);
async fn a_failing_participant_undoes_the_change(db: TestDb) {
    let participant = Arc::new(Counting { fails: true, ..Counting::default() });
    let handle = db.open(&[Arc::clone(&participant) as Arc<dyn Participant>]).await;
    assert!(matches!(change(&handle).await, Err(Error::Participant(_))));
    assert_eq!(value(&handle, "SELECT count(*) FROM note_history").await, 0);
    assert_eq!(participant.told.load(Ordering::SeqCst), 0);
}

both_engines!(events_that_nobody_takes_fail_the_commit, &[&NOTES]);
async fn events_that_nobody_takes_fail_the_commit(db: TestDb) {
    let strict = Db::builder(db.url(), DbOptions::default()).without_events().connect().await.unwrap();
    assert!(matches!(change(&strict).await, Err(Error::Unclaimed("audit"))));
    assert_eq!(value(&strict, "SELECT count(*) FROM note_history").await, 0);
}

both_engines!(hooks_run_after_a_commit_and_only_then, &[&NOTES]);
async fn hooks_run_after_a_commit_and_only_then(db: TestDb) {
    let ran = Arc::new(AtomicU32::new(0));
    for commits in [true, false] {
        let ran = Arc::clone(&ran);
        let mut tx = db.begin(Scope::Platform("test")).await.unwrap();
        tx.on_commit(move || {
            ran.fetch_add(1, Ordering::SeqCst);
        });
        if commits { tx.commit().await.unwrap() } else { tx.rollback().await.unwrap() }
    }
    assert_eq!(ran.load(Ordering::SeqCst), 1);
}

both_engines!(one_event_may_stand_for_those_of_several_stores, &[&NOTES]);
async fn one_event_may_stand_for_those_of_several_stores(db: TestDb) {
    let handle = db.open(&[Arc::new(Counting::default()) as Arc<dyn Participant>]).await;
    let mut tx = handle.begin(Scope::Platform("test")).await.unwrap();
    tx.audit(event());
    tx.audit(event());
    tx.audit_instead(event());
    tx.commit().await.unwrap();
    assert_eq!(value(&handle, "SELECT value FROM counters WHERE id = 1").await, 1);
}

both_engines!(one_event_may_stand_for_a_part_of_a_transaction, &[&NOTES]);
async fn one_event_may_stand_for_a_part_of_a_transaction(db: TestDb) {
    let handle = db.open(&[Arc::new(Counting::default()) as Arc<dyn Participant>]).await;
    let mut tx = handle.begin(Scope::Platform("test")).await.unwrap();
    tx.audit(event());
    let mark = tx.audit_mark();
    tx.audit(event());
    tx.audit(event());
    tx.audit_instead_since(mark, event());
    tx.audit(event());
    tx.commit().await.unwrap();
    assert_eq!(value(&handle, "SELECT value FROM counters WHERE id = 1").await, 3);
}

both_engines!(one_event_does_not_stand_for_what_is_on_record_beside_it, &[&NOTES]);
async fn one_event_does_not_stand_for_what_is_on_record_beside_it(db: TestDb) {
    let handle = db.open(&[Arc::new(Counting::default()) as Arc<dyn Participant>]).await;
    let mut tx = handle.begin(Scope::Platform("test")).await.unwrap();
    tx.audit(event());
    tx.audit_also(event());
    tx.audit_instead(event());
    let undone = tx
        .nested(async |tx: &mut Tx| {
            tx.audit_also(event());
            Err::<(), _>(Error::NotFound)
        })
        .await;
    assert!(matches!(undone, Err(Error::NotFound)));
    tx.commit().await.unwrap();
    assert_eq!(value(&handle, "SELECT value FROM counters WHERE id = 1").await, 2);
}
