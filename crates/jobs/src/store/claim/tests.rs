use std::{collections::BTreeSet, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use stylobate_core::{Clock as _, JobId, SystemClock, TenantId};
use stylobate_db::{Scope, Tx};
use stylobate_testkit::TestDb;
use uuid::Uuid;

use super::{Ask, claim};
use crate::{
    Backoff, Jobs, JobsError, MIGRATIONS, State,
    kind::{Marks, Shape},
    store::{
        finish::{Ended, finish},
        places,
    },
};

const SCOPE: Scope = Scope::Platform("a test of claims");
const QUEUE: &str = "default";

async fn enqueue(db: &TestDb, key: Option<&str>, tenant: Option<TenantId>) -> JobId {
    let jobs = Jobs::new(stylobate_db::Db::clone(db), Arc::new(SystemClock));
    let shape = Shape {
        name: "tests.claim",
        version: 1,
        queue: QUEUE,
        timeout_ms: 1_000,
        attempts_max: 3,
        key_limit: 1,
        backoff: Backoff::DEFAULT,
    };
    let marks = Marks { key: key.map(str::to_owned), unique: None };
    let new = jobs.draft(&shape, marks, tenant, "{}".to_owned()).unwrap();
    let store = async move |tx: &mut Tx| jobs.store(tx, new.clone()).await;
    db.transact(SCOPE, store).await.unwrap().id
}

fn later() -> DateTime<Utc> {
    SystemClock.now() + chrono::TimeDelta::seconds(1)
}

async fn take(tx: &mut Tx, most: i64) -> Vec<super::Claimed> {
    let ask = Ask { queue: QUEUE, worker: "test", most, from: Uuid::nil() };
    claim(tx, ask, later()).await.unwrap().jobs
}

async fn take_alone(db: &TestDb) -> Vec<super::Claimed> {
    let mut tx = db.begin(SCOPE).await.unwrap();
    let taken = take(&mut tx, 10).await;
    tx.commit().await.unwrap();
    taken
}

fn ids(taken: &[super::Claimed]) -> BTreeSet<JobId> {
    taken.iter().map(|job| job.lease.id).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_that_freezes_holds_up_nobody_else() {
    // A30. SQLite has one writer.
    let db = TestDb::postgres(&[&MIGRATIONS]).await;
    let (first, second) =
        (enqueue(&db, Some("account"), None).await, enqueue(&db, Some("account"), None).await);
    let other = enqueue(&db, None, None).await;
    let mut frozen = db.begin(SCOPE).await.unwrap();
    assert_eq!(ids(&take(&mut frozen, 1).await), BTreeSet::from([first]));
    // Well within the time that a statement waits for a lock.
    let taken = tokio::time::timeout(Duration::from_secs(3), take_alone(&db)).await.expect("an answer");
    assert_eq!(ids(&taken), BTreeSet::from([other]));

    // Nobody has the key after all: what was put aside for it comes back.
    frozen.rollback().await.unwrap();
    let release = async |tx: &mut Tx| Ok::<_, JobsError>(places::release_free(tx, QUEUE).await?);
    assert_eq!(db.transact(SCOPE, release).await.unwrap(), 1);
    let taken = take_alone(&db).await;
    assert_eq!(ids(&taken), BTreeSet::from([first]));
    // And when the one before it ends.
    let lease = taken[0].lease;
    let ended = Ended::new(lease, State::Completed);
    let end =
        async move |tx: &mut Tx| Ok::<_, JobsError>(finish(tx, std::slice::from_ref(&ended), later()).await?);
    assert_eq!(db.transact(SCOPE, end).await.unwrap(), [lease]);
    assert_eq!(ids(&take_alone(&db).await), BTreeSet::from([second]));
}
