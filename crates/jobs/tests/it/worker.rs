use std::{sync::atomic::Ordering, time::Duration};

use serde_json::json;
use stylobate_core::{Clock as _, SystemClock, TenantId};
use stylobate_db::{Scope, Tx};
use stylobate_jobs::{MIGRATIONS, Outcome, Registry, Request, State, Watch, WorkerOptions};
use stylobate_testkit::{TestDb, both_engines};

use crate::world::{Chore, PLATFORM, What, World, chore, options, system};

async fn a_job_runs_and_its_handle_tells_what_came_of_it(db: TestDb) {
    let world = World::new(db);
    let worker = world.work(options());
    let id = world.enqueue(chore(What::FailTimes(2))).await;
    let handle = world.jobs.handle::<Chore>(id);
    let outcome = tokio::time::timeout(Duration::from_secs(10), handle.wait()).await.unwrap().unwrap();
    assert_eq!(outcome, Outcome::Completed(3));
    let record = handle.record().await.unwrap();
    let failures: Vec<_> =
        record.errors.iter().map(|error| (error.attempt, error.message.as_str())).collect();
    assert_eq!(failures, [(1, "not yet"), (2, "not yet")]);
    worker.stop().await;
    world.assert_counts().await;
}
both_engines!(a_job_runs_and_its_handle_tells_what_came_of_it, &[&MIGRATIONS]);

async fn what_cannot_succeed_is_a_dead_letter_that_can_be_edited_and_retried(db: TestDb) {
    let world = World::new(db);
    let worker = world.work(options());
    let refused = world.enqueue(chore(What::Discard)).await;
    let panicking = world.enqueue(chore(What::Panic)).await;
    let failing = world.enqueue(chore(What::FailTimes(99))).await;
    let slow = world.enqueue(chore(What::Sleep)).await;
    for id in [refused, panicking, failing, slow] {
        world.wait_for(id, State::Discarded).await;
    }
    let attempts = async |id| world.jobs.get(&system(), id).await.unwrap().attempt;
    assert_eq!((attempts(refused).await, attempts(panicking).await, attempts(slow).await), (1, 3, 3));
    let last = world.jobs.get(&system(), slow).await.unwrap().errors.pop().unwrap();
    assert_eq!(last.message, "timed out after 1000 ms");

    let payload = json!({ "what": "Succeed", "key": null, "unique": null });
    world.jobs.edit(&system(), refused, &payload).await.unwrap();
    world.jobs.retry(&system(), refused).await.unwrap();
    world.wait_for(refused, State::Completed).await;
    worker.stop().await;
    world.assert_counts().await;
}
both_engines!(what_cannot_succeed_is_a_dead_letter_that_can_be_edited_and_retried, &[&MIGRATIONS]);

async fn a_payload_that_cannot_be_read_is_kept_as_a_dead_letter(db: TestDb) {
    let world = World::new(db);
    let id = world.enqueue(chore(What::Succeed)).await;
    world.jobs.edit(&system(), id, &json!({ "what": "alice@example.org" })).await.unwrap();
    let worker = world.work(options());
    world.wait_for(id, State::Discarded).await;
    let record = world.jobs.get(&system(), id).await.unwrap();
    assert!(record.errors[0].message.starts_with("the payload cannot be read"), "{record:?}");
    // What stands there may be personal, and this goes into logs.
    assert!(!record.errors[0].message.contains("alice"), "{record:?}");
    assert!(record.errors[0].message.contains("line 1, column"), "{record:?}");
    assert_eq!(record.payload, json!({ "what": "alice@example.org" }));
    worker.stop().await;
}
both_engines!(a_payload_that_cannot_be_read_is_kept_as_a_dead_letter, &[&MIGRATIONS]);

async fn a_job_that_nobody_knows_waits_and_loses_no_attempt(db: TestDb) {
    let world = World::new(db);
    let id = world.enqueue(chore(What::Succeed)).await;
    let only_default = WorkerOptions { queues: vec![("default".to_owned(), 2)], ..options() };
    let ignorant = world.work_with(Registry::new(), only_default);
    world.wait_for(id, State::Retryable).await;
    ignorant.stop().await;
    let record = world.jobs.get(&system(), id).await.unwrap();
    assert_eq!(record.attempts_max - record.attempt, 3);
    assert_eq!(record.errors[0].message, "no worker that looked knows a job of this name");
    world.jobs.retry(&system(), id).await.unwrap();
    let worker = world.work(options());
    world.wait_for(id, State::Completed).await;
    worker.stop().await;
    world.assert_counts().await;
}
both_engines!(a_job_that_nobody_knows_waits_and_loses_no_attempt, &[&MIGRATIONS]);

async fn a_job_that_is_handed_back_often_keeps_its_failures_and_its_attempts(db: TestDb) {
    let world = World::new(db);
    let id = world.enqueue(chore(What::FailTimes(99))).await;
    let only_default = || WorkerOptions { queues: vec![("default".to_owned(), 2)], ..options() };
    for round in 1..=4 {
        let ignorant = world.work_with(Registry::new(), only_default());
        world.wait_for(id, State::Retryable).await;
        ignorant.stop().await;
        let record = world.jobs.get(&system(), id).await.unwrap();
        assert_eq!((record.attempt, record.attempts_max, record.errors.len()), (0, 3, 1), "round {round}");
        // Its time has come again.
        let due = async |tx: &mut Tx| tx.q("UPDATE jobs SET run_at = created_at").run().await;
        world.db().transact(PLATFORM, due).await.unwrap();
    }
    let worker = world.work(options());
    world.wait_for(id, State::Discarded).await;
    worker.stop().await;
    let record = world.jobs.get(&system(), id).await.unwrap();
    let numbers: Vec<_> = record.errors.iter().map(|error| error.attempt).skip(1).collect();
    assert_eq!((record.attempt, numbers), (3, vec![1, 2, 3]));
    let again = world.jobs.retry(&system(), id).await.unwrap();
    assert_eq!((again.attempt, again.attempts_max), (0, 3));
    world.assert_counts().await;
}
both_engines!(a_job_that_is_handed_back_often_keeps_its_failures_and_its_attempts, &[&MIGRATIONS]);

async fn a_running_job_that_is_called_off_stops_and_is_cancelled(db: TestDb) {
    let world = World::new(db);
    let worker = world.work(options());
    let (obeying, deaf) = (world.enqueue(chore(What::Obey)).await, world.enqueue(chore(What::Sleep)).await);
    for id in [obeying, deaf] {
        world.wait_for(id, State::Leased).await;
        assert!(world.jobs.cancel(&system(), id).await.unwrap().cancel_requested);
    }
    for id in [obeying, deaf] {
        world.wait_for(id, State::Cancelled).await;
    }
    let again = world.jobs.cancel(&system(), deaf).await.unwrap_err();
    assert_eq!(again.code(), "job_wrong_state");
    worker.stop().await;
    world.assert_counts().await;
}
both_engines!(a_running_job_that_is_called_off_stops_and_is_cancelled, &[&MIGRATIONS]);

async fn a_worker_that_stops_hands_back_what_it_cannot_finish(db: TestDb) {
    let world = World::new(db);
    let worker = world.work(options());
    let id = world.enqueue(chore(What::Obey)).await;
    for _ in 0..500 {
        if world.jobs.handle::<Chore>(id).progress().await.unwrap().is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(world.jobs.handle::<Chore>(id).progress().await.unwrap().unwrap().percent, 40);
    worker.stop().await;
    let record = world.jobs.get(&system(), id).await.unwrap();
    // Not an attempt: as many are left as before.
    assert_eq!((record.state, record.attempts_max - record.attempt), (State::Retryable, 3));
    world.assert_counts().await;
}
both_engines!(a_worker_that_stops_hands_back_what_it_cannot_finish, &[&MIGRATIONS]);

async fn at_most_as_many_of_a_key_run_as_their_kind_says(db: TestDb) {
    let world = World::new(db);
    let mut ids = Vec::new();
    for _ in 0..12 {
        ids.push(world.enqueue(Chore { key: Some("account 7".to_owned()), ..chore(What::Succeed) }).await);
    }
    let workers = [world.work(options()), world.work(options())];
    for id in ids {
        world.wait_for(id, State::Completed).await;
    }
    assert_eq!(world.ran.runs.load(Ordering::SeqCst), 12);
    assert!(world.ran.most.load(Ordering::SeqCst) <= 2, "{:?}", world.ran.most);
    for worker in workers {
        worker.stop().await;
    }
    world.assert_counts().await;
}
both_engines!(at_most_as_many_of_a_key_run_as_their_kind_says, &[&MIGRATIONS]);

async fn a_tenant_with_few_jobs_does_not_wait_behind_one_with_many(db: TestDb) {
    let world = World::new(db);
    let (many, few) = (TenantId::new(SystemClock.now()), TenantId::new(SystemClock.now()));
    let jobs = world.jobs.clone();
    let flood: Vec<Chore> = (0..300).map(|_| chore(What::Succeed)).collect();
    let add = async move |tx: &mut Tx| jobs.enqueue_many(tx, &flood, Request::default()).await;
    world.db().transact(Scope::Tenant(many), add).await.unwrap();
    let id = world.enqueue_in(Scope::Tenant(few), chore(What::Succeed)).await.id;
    let worker = world.work(WorkerOptions { queues: vec![("default".to_owned(), 4)], ..options() });
    world.wait_for(id, State::Completed).await;
    let before = world.ran.order.all().into_iter().take_while(|tenant| *tenant != Some(few)).count();
    assert!(before < 20, "{before} jobs of the other went first");
    worker.stop().await;
}
both_engines!(a_tenant_with_few_jobs_does_not_wait_behind_one_with_many, &[&MIGRATIONS]);

async fn nothing_of_a_paused_queue_is_begun(db: TestDb) {
    let world = World::new(db);
    world.jobs.pause(&system(), "default").await.unwrap();
    let id = world.enqueue(chore(What::Succeed)).await;
    let worker = world.work(options());
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(world.state(id).await, State::Available);
    assert_eq!(world.jobs.paused().await.unwrap().len(), 1);
    world.jobs.resume(&system(), "default").await.unwrap();
    world.wait_for(id, State::Completed).await;
    worker.stop().await;
    assert_eq!(world.jobs.pause(&system(), "No Such").await.unwrap_err().code(), "validation");
}
both_engines!(nothing_of_a_paused_queue_is_begun, &[&MIGRATIONS]);

// A30
async fn a_job_of_a_dead_worker_is_taken_over_and_the_dead_finish_nothing(db: TestDb) {
    let world = World::new(db);
    let lease = Duration::from_millis(300);
    // Says that it lives every quarter of an hour: to an observer with a short lease it is dead.
    let frozen = world.work(WorkerOptions { lease: Duration::from_secs(3_600), ..options() });
    let id = world.enqueue(chore(What::Obey)).await;
    world.wait_for(id, State::Leased).await;
    world.jobs.pause(&system(), "default").await.unwrap();
    let mut watch = Watch::default();
    assert_eq!(world.jobs.reclaim(&mut watch, lease).await.unwrap(), 0);
    tokio::time::sleep(lease).await;
    assert_eq!(world.jobs.reclaim(&mut watch, lease).await.unwrap(), 1);
    assert_eq!(world.jobs.reclaim(&mut watch, lease).await.unwrap(), 0);
    // It still has the handler; what it hands in is refused.
    frozen.stop().await;
    let record = world.jobs.get(&system(), id).await.unwrap();
    assert_eq!((record.state, record.attempt, record.attempts_max), (State::Retryable, 1, 3));
    assert!(record.errors[0].message.contains("was not heard of"), "{record:?}");
    world.jobs.resume(&system(), "default").await.unwrap();
    world.jobs.edit(&system(), id, &json!({ "what": "Succeed", "key": null, "unique": null })).await.unwrap();
    let worker = world.work(options());
    world.wait_for(id, State::Completed).await;
    worker.stop().await;
    world.assert_counts().await;
}
both_engines!(a_job_of_a_dead_worker_is_taken_over_and_the_dead_finish_nothing, &[&MIGRATIONS]);

async fn five_hundred_jobs_run_once_each_with_three_workers(db: TestDb) {
    let world = World::new(db);
    let jobs = world.jobs.clone();
    let all: Vec<Chore> = (0..500).map(|_| chore(What::Succeed)).collect();
    world
        .db()
        .transact(PLATFORM, async move |tx: &mut Tx| jobs.enqueue_many(tx, &all, Request::default()).await)
        .await
        .unwrap();
    let workers = [world.work(options()), world.work(options()), world.work(options())];
    for _ in 0..1_000 {
        let counts = world.jobs.counts().await.unwrap();
        if counts.get(&("default".to_owned(), State::Completed)) == Some(&500) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for worker in workers {
        worker.stop().await;
    }
    assert_eq!(world.ran.runs.load(Ordering::SeqCst), 500);
    world.assert_counts().await;
}
both_engines!(five_hundred_jobs_run_once_each_with_three_workers, &[&MIGRATIONS]);
