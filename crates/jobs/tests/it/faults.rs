//! A database that goes away under a worker, and one that is full.

use std::{sync::atomic::Ordering, time::Duration};

use stylobate_db::{Db, DbOptions, Engine, Error, Tx};
use stylobate_jobs::{JobsError, MIGRATIONS, Request, State, WorkerOptions};
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
