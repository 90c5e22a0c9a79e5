//! A database that goes away under a worker, and one that is full.

use std::{sync::atomic::Ordering, time::Duration};

use serde::{Deserialize, Serialize};
use stylobate_db::{Db, DbOptions, Engine, Error, Sql, Tx};
use stylobate_jobs::{Attempt, Failed, Job, JobsError, MIGRATIONS, Registry, Request, State, WorkerOptions};
use stylobate_testkit::{POSTGRES_URL, TestDb, both_engines};

use crate::{
    ends::{Handed, Hands},
    world::{PLATFORM, What, World, chore, enqueue, options, system},
};

/// A database that answers nobody: a PostgreSQL that takes no connections, an SQLite whose writer another process holds.
enum Outage {
    Closed { admin: Db, name: String },
    Held { tx: Box<Tx>, _other: Db },
}

/// Whether new connections to the database are taken.
async fn set_open(admin: &Db, name: &str, is_open: bool) {
    let name = name.to_owned();
    let set = async move |tx: &mut Tx| {
        tx.q("UPDATE pg_database SET datallowconn = $1 WHERE datname = CAST($2 AS text)")
            .bind(is_open)
            .bind(name.clone())
            .run()
            .await
    };
    assert_eq!(admin.transact(PLATFORM, set).await.unwrap(), 1);
}

impl Outage {
    async fn begin(db: &TestDb) -> Self {
        if db.engine() == Engine::Sqlite {
            let other = db.open(&[]).await;
            return Self::Held { tx: Box::new(other.begin(PLATFORM).await.unwrap()), _other: other };
        }
        let name = db.url().rsplit_once('/').unwrap().1.to_owned();
        let server = std::env::var(POSTGRES_URL).unwrap();
        let admin = Db::builder(&server, DbOptions { connections_max: 2, ..DbOptions::default() });
        let admin = admin.without_audit().without_events().connect().await.unwrap();
        set_open(&admin, &name, false).await;
        let ended: Vec<(bool,)> = admin
            .read()
            .await
            .unwrap()
            .q("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = CAST($1 AS text)")
            .bind(name.clone())
            .all()
            .await
            .unwrap();
        assert!(!ended.is_empty());
        Self::Closed { admin, name }
    }

    async fn end(self) {
        match self {
            Self::Closed { admin, name } => set_open(&admin, &name, true).await,
            Self::Held { tx, .. } => tx.rollback().await.unwrap(),
        }
    }
}

async fn what_a_job_came_to_is_written_when_the_database_is_back(db: TestDb) {
    let world = World::new(db);
    let lease = Duration::from_secs(60);
    let id = world.enqueue(chore(What::Block(300))).await;
    let worker = world.work(WorkerOptions { lease, ..options() });
    for _ in 0..1_000 {
        if world.ran.runs.load(Ordering::SeqCst) == 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let outage = Outage::begin(&world.db).await;
    // The handler ends while nobody can write that down.
    for _ in 0..1_000 {
        if world.ran.at_once.load(Ordering::SeqCst) == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    outage.end().await;
    world.wait_for(id, State::Completed).await;
    assert_eq!(world.ran.runs.load(Ordering::SeqCst), 1);
    // And it works on.
    let next = world.enqueue(chore(What::Succeed)).await;
    world.wait_for(next, State::Completed).await;
    worker.stop().await;
    world.assert_counts().await;
}
both_engines!(what_a_job_came_to_is_written_when_the_database_is_back, &[&MIGRATIONS]);

// A30
async fn a_database_that_is_away_for_longer_than_a_lease_stops_handlers_and_loses_no_job(db: TestDb) {
    let world = World::new(db);
    let hands = Hands::new();
    let id = enqueue(&world, Handed).await;
    let worker = world.work_with(hands.registry(), options());
    let first = hands.next().await;
    let outage = Outage::begin(&world.db).await;
    // Nothing but this process's own clock can tell.
    tokio::time::timeout(Duration::from_secs(20), first.stopped()).await.unwrap();
    outage.end().await;
    let upkeep = world.keep_up(options().lease);
    let second = hands.next().await;
    assert_eq!(second.number(), 2);
    assert_eq!(first.progress(1, None).await.unwrap_err().code(), "job_lease_lost");
    let end = async move |tx: &mut Tx| second.complete_in(tx, &2).await;
    world.db().transact(PLATFORM, end).await.unwrap();
    assert_eq!(world.state(id).await, State::Completed);
    worker.stop().await;
    upkeep.stop().await;
    world.assert_counts().await;
}
both_engines!(
    a_database_that_is_away_for_longer_than_a_lease_stops_handlers_and_loses_no_job,
    &[&MIGRATIONS]
);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_jobs_and_loses_none() {
    let world = World::new(TestDb::sqlite(&[&MIGRATIONS]).await);
    let mut kept = Vec::new();
    for _ in 0..20 {
        kept.push(world.enqueue(chore(What::Succeed)).await);
    }
    // As many pages as there are.
    let fill = async |tx: &mut Tx| tx.q("PRAGMA max_page_count = 1").scalar::<i64>().await;
    world.db().transact(PLATFORM, fill).await.unwrap();
    let refused = 'full: {
        for _ in 0..200 {
            let jobs = world.jobs.clone();
            let many = vec![chore(What::Succeed); 50];
            let add = async move |tx: &mut Tx| jobs.enqueue_many(tx, &many, Request::default()).await;
            match world.db().transact(PLATFORM, add).await {
                Ok(added) => assert_eq!(added.len(), 50),
                Err(error) => break 'full error,
            }
        }
        panic!("the disk never was full");
    };
    assert!(matches!(refused, JobsError::Db(Error::Unavailable(_))), "{refused:?}");

    let upkeep = world.keep_up(options().lease);
    let worker = world.work(options());
    for _ in 0..1_000 {
        if world.ran.runs.load(Ordering::SeqCst) > 0 {
            break;
        }
        // It may also be that not even a claim finds room.
        if world.jobs.get(&system(), kept[0]).await.unwrap().state == State::Available {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let free = async |tx: &mut Tx| tx.q("PRAGMA max_page_count = 1000000").scalar::<i64>().await;
    world.db().transact(PLATFORM, free).await.unwrap();
    for id in kept {
        world.wait_for(id, State::Completed).await;
    }
    for _ in 0..3_000 {
        let counts = world.jobs.counts().await.unwrap();
        let waiting: u64 =
            counts.iter().filter(|((_, state), _)| !state.is_finished()).map(|(_, jobs)| jobs).sum();
        if waiting == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    worker.stop().await;
    upkeep.stop().await;
    world.assert_counts().await;
    let counts = world.jobs.counts().await.unwrap();
    assert!(counts.iter().all(|((_, state), jobs)| *state == State::Completed || *jobs == 0), "{counts:?}");
}

/// Results in its number, or asks for another attempt after it in seconds.
#[derive(Debug, Serialize, Deserialize)]
enum Answer {
    With(u64),
    After(u64),
}

impl Job for Answer {
    const NAME: &'static str = "tests.answer";
    type State = ();
    type Output = u64;
    type Error = Failed;

    async fn run(self, _: Attempt, (): ()) -> Result<u64, Failed> {
        match self {
            Self::With(number) => Ok(number),
            Self::After(seconds) => Err(Failed::retry_after(Duration::from_secs(seconds), "later")),
        }
    }
}

/// Whoever may change its tables.
async fn as_owner(db: &TestDb) -> Db {
    if db.engine() == Engine::Sqlite {
        return (**db).clone();
    }
    let name = db.url().rsplit_once('/').unwrap().1.to_owned();
    let server = std::env::var(POSTGRES_URL).unwrap();
    let url = format!("{}/{name}", server.rsplit_once('/').unwrap().0);
    let owner = Db::builder(&url, DbOptions { connections_max: 2, ..DbOptions::default() });
    owner.without_audit().without_events().connect().await.unwrap()
}

async fn an_end_that_the_database_refuses_is_a_dead_letter_and_costs_no_other_its_end(db: TestDb) {
    let world = World::new(db);
    let refuse = async |tx: &mut Tx| {
        tx.q(Sql::Per {
            pg: "ALTER TABLE jobs ADD CONSTRAINT no_666 CHECK (result IS DISTINCT FROM '666')",
            lite: "CREATE TRIGGER no_666 BEFORE UPDATE ON jobs WHEN NEW.result = '666'
                   BEGIN SELECT RAISE(ABORT, 'not this one'); END",
        })
        .run()
        .await
    };
    as_owner(&world.db).await.transact(PLATFORM, refuse).await.unwrap();
    let mut innocent = Vec::new();
    for number in 0..4 {
        innocent.push(enqueue(&world, Answer::With(number)).await);
    }
    let refused = enqueue(&world, Answer::With(666)).await;
    for number in 0..4 {
        innocent.push(enqueue(&world, Answer::With(number)).await);
    }
    let worker = world.work_with(Registry::new().with::<Answer>(()), options());
    for id in innocent {
        world.wait_for(id, State::Completed).await;
    }
    world.wait_for(refused, State::Discarded).await;
    let record = world.jobs.get(&system(), refused).await.unwrap();
    assert!(record.errors[0].message.starts_with("how it ended was refused"), "{record:?}");
    assert_eq!((record.attempt, record.errors.len()), (1, 1));
    worker.stop().await;
    world.assert_counts().await;
}
both_engines!(an_end_that_the_database_refuses_is_a_dead_letter_and_costs_no_other_its_end, &[&MIGRATIONS]);

async fn a_wait_for_ever_ends_within_the_calendar_and_is_one(db: TestDb) {
    let world = World::new(db);
    let worker = world.work_with(Registry::new().with::<Answer>(()), options());
    let mut waiting = Vec::new();
    for seconds in [1_000_000_000_000, u64::MAX] {
        waiting.push(enqueue(&world, Answer::After(seconds)).await);
    }
    let other = enqueue(&world, Answer::With(7)).await;
    world.wait_for(other, State::Completed).await;
    for id in &waiting {
        world.wait_for(*id, State::Retryable).await;
    }
    let mut tx = world.db().begin(PLATFORM).await.unwrap();
    let later = world.jobs.enqueue_after(&mut tx, &Answer::With(8), Duration::MAX).await.unwrap();
    let refused =
        world.jobs.enqueue_at(&mut tx, &Answer::With(9), chrono::DateTime::<chrono::Utc>::MAX_UTC).await;
    assert_eq!(refused.unwrap_err().code(), "validation");
    tx.commit().await.unwrap();
    // Longer than it takes to look for jobs a few times.
    let last = enqueue(&world, Answer::With(10)).await;
    world.wait_for(last, State::Completed).await;
    for id in waiting.into_iter().chain([later.id]) {
        let record = world.jobs.get(&system(), id).await.unwrap();
        assert_eq!(record.run_at.to_rfc3339(), "4999-12-31T23:59:59+00:00");
        assert!(record.attempt <= 1 && record.state.is_waiting(), "{record:?}");
    }
    worker.stop().await;
}
both_engines!(a_wait_for_ever_ends_within_the_calendar_and_is_one, &[&MIGRATIONS]);

/// What a handler works with and cannot be had.
struct Brittle;

impl Clone for Brittle {
    fn clone(&self) -> Self {
        panic!("a bug in a service");
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Unlucky;

impl Job for Unlucky {
    const NAME: &'static str = "tests.unlucky";
    const ATTEMPTS_MAX: u16 = 1;
    type State = Brittle;
    type Output = ();
    type Error = Failed;

    async fn run(self, _: Attempt, _: Brittle) -> Result<(), Failed> {
        Ok(())
    }
}

async fn a_state_that_cannot_be_cloned_is_a_failed_attempt(db: TestDb) {
    let world = World::new(db);
    let id = enqueue(&world, Unlucky).await;
    let worker = world.work_with(Registry::new().with::<Unlucky>(Brittle), options());
    world.wait_for(id, State::Discarded).await;
    let record = world.jobs.get(&system(), id).await.unwrap();
    assert_eq!(record.errors[0].message, "the handler panicked");
    worker.stop().await;
    world.assert_counts().await;
}
both_engines!(a_state_that_cannot_be_cloned_is_a_failed_attempt, &[&MIGRATIONS]);

async fn a_claim_that_is_not_answered_does_not_hold_up_a_shutdown(db: TestDb) {
    let world = World::new(db);
    let worker = world.work(options());
    let id = world.enqueue(chore(What::Succeed)).await;
    world.wait_for(id, State::Completed).await;
    // On SQLite the transaction alone is enough.
    let mut tx = world.db().begin(PLATFORM).await.unwrap();
    tx.q(Sql::Per { pg: "LOCK TABLE jobs IN EXCLUSIVE MODE", lite: "SELECT 1" }).run().await.unwrap();
    // It looks every 50 ms.
    tokio::time::sleep(Duration::from_millis(500)).await;
    // Who waits for a lock waits for 5 s.
    tokio::time::timeout(Duration::from_secs(3), worker.stop()).await.unwrap();
    tx.rollback().await.unwrap();
}
both_engines!(a_claim_that_is_not_answered_does_not_hold_up_a_shutdown, &[&MIGRATIONS]);
