//! Jobs that end in the transaction of their work, and those who come too late for that.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use stylobate_db::Tx;
use stylobate_jobs::{
    Attempt, CHECKPOINT_MAX, Failed, Job, JobQuery, JobsError, MIGRATIONS, OUTPUT_MAX, Registry, State, Watch,
};
use stylobate_testkit::{TestDb, both_engines};
use tokio::sync::{Mutex, mpsc};

use crate::world::{Chore, PLATFORM, What, World, chore, enqueue, options, system};

/// Its attempts are handed to the test, which works on them; the handler itself does nothing for ever.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Handed;

/// Where the attempts come out.
#[derive(Clone)]
pub(crate) struct Hands {
    sender: mpsc::UnboundedSender<Attempt>,
    attempts: Arc<Mutex<mpsc::UnboundedReceiver<Attempt>>>,
}

impl Hands {
    pub(crate) fn new() -> Self {
        let (sender, attempts) = mpsc::unbounded_channel();
        Self { sender, attempts: Arc::new(Mutex::new(attempts)) }
    }

    pub(crate) fn registry(&self) -> Registry {
        Registry::new().with::<Handed>(self.clone())
    }

    /// The next attempt, within ten seconds.
    pub(crate) async fn next(&self) -> Attempt {
        let mut attempts = self.attempts.lock().await;
        tokio::time::timeout(Duration::from_secs(10), attempts.recv()).await.unwrap().unwrap()
    }
}

impl Job for Handed {
    const NAME: &'static str = "tests.handed";
    const QUEUE: &'static str = "handed";
    type State = Hands;
    type Output = u32;
    type Error = Failed;

    async fn run(self, attempt: Attempt, hands: Hands) -> Result<u32, Failed> {
        hands.sender.send(attempt).unwrap();
        std::future::pending().await
    }
}

/// What the work changes: it asks for a chore. Tells how it went.
async fn work(world: &World, attempt: &Attempt) -> Result<(), JobsError> {
    let (jobs, attempt) = (world.jobs.clone(), attempt.clone());
    let work = async move |tx: &mut Tx| {
        jobs.enqueue(tx, &chore(What::Succeed)).await?;
        attempt.complete_in(tx, &attempt.number()).await
    };
    world.db().transact(PLATFORM, work).await
}

async fn chores(world: &World) -> usize {
    let query = JobQuery { name: Some(Chore::NAME.to_owned()), ..JobQuery::default() };
    world.jobs.list(&system(), &query).await.unwrap().items.len()
}

// A30
async fn work_that_ends_its_job_happens_once_however_late_another_worker_is(db: TestDb) {
    let world = World::new(db);
    let hands = Hands::new();
    let id = enqueue(&world, Handed).await;
    let dying = world.work_with(hands.registry(), options());
    let late = hands.next().await;
    dying.kill();
    world.take_away_jobs().await;
    let worker = world.work_with(hands.registry(), options());
    let second = hands.next().await;
    assert_eq!((late.number(), second.number()), (1, 2));

    // Before the second has done its work, and after.
    for is_done in [false, true] {
        let refused = work(&world, &late).await.unwrap_err();
        assert_eq!(refused.code(), "job_lease_lost");
        assert_eq!(late.progress(50, None).await.unwrap_err().code(), "job_lease_lost");
        assert_eq!(late.set_checkpoint(&7).await.unwrap_err().code(), "job_lease_lost");
        assert_eq!(chores(&world).await, usize::from(is_done));
        if !is_done {
            work(&world, &second).await.unwrap();
        }
    }
    assert_eq!(work(&world, &second).await.unwrap_err().code(), "job_lease_lost");
    let record = world.jobs.get(&system(), id).await.unwrap();
    assert_eq!((record.state, record.result.unwrap()), (State::Completed, serde_json::json!(2)));
    // The handler that still runs is dropped, and what it comes to is nothing.
    worker.stop().await;
    assert_eq!((world.state(id).await, chores(&world).await), (State::Completed, 1));
    world.assert_counts().await;
}
both_engines!(work_that_ends_its_job_happens_once_however_late_another_worker_is, &[&MIGRATIONS]);

// A30
async fn a_job_that_kills_its_workers_costs_the_jobs_beside_it_no_end(db: TestDb) {
    let world = World::new(db);
    let hands = Hands::new();
    let mut all = std::collections::BTreeSet::new();
    for _ in 0..10 {
        all.insert(enqueue(&world, Handed).await);
    }
    // More often than any of them may be attempted, in one worker each time.
    // Their time has come, however long they were to wait.
    let due = async |tx: &mut Tx| tx.q("UPDATE jobs SET run_at = created_at").run().await;
    for _ in 0..11 {
        world.db().transact(PLATFORM, due).await.unwrap();
        let dying = world.work_with(hands.registry(), options());
        for _ in 0..10 {
            hands.next().await;
        }
        dying.kill();
        world.take_away_jobs().await;
    }
    let mut times = std::collections::BTreeSet::new();
    for id in &all {
        let record = world.jobs.get(&system(), *id).await.unwrap();
        assert_eq!((record.state, record.attempt), (State::Retryable, 9));
        times.insert(record.run_at);
    }
    assert!(times.len() > 5, "they wait for one time: {times:?}");
    // Nine come to an end; what is left is lost alone.
    world.db().transact(PLATFORM, due).await.unwrap();
    let dying = world.work_with(hands.registry(), options());
    let poison = hands.next().await;
    for _ in 0..9 {
        let innocent = hands.next().await;
        assert!(innocent.is_last() && innocent.number() == 10);
        work(&world, &innocent).await.unwrap();
    }
    dying.kill();
    world.take_away_jobs().await;
    for id in all {
        let state = if id == poison.id() { State::Discarded } else { State::Completed };
        assert_eq!(world.state(id).await, state);
    }
    world.assert_counts().await;
}
both_engines!(a_job_that_kills_its_workers_costs_the_jobs_beside_it_no_end, &[&MIGRATIONS]);

async fn a_job_whose_work_is_rolled_back_has_not_ended(db: TestDb) {
    let world = World::new(db);
    let hands = Hands::new();
    let id = enqueue(&world, Handed).await;
    let worker = world.work_with(hands.registry(), options());
    let attempt = hands.next().await;
    let mut tx = world.db().begin(PLATFORM).await.unwrap();
    attempt.complete_in(&mut tx, &1).await.unwrap();
    tx.rollback().await.unwrap();
    assert_eq!(world.state(id).await, State::Leased);
    // Nor has one whose output cannot be stored.
    let mut tx = world.db().begin(PLATFORM).await.unwrap();
    let refused = attempt.complete_in(&mut tx, &"x".repeat(OUTPUT_MAX)).await.unwrap_err();
    assert_eq!(refused.code(), "validation");
    tx.rollback().await.unwrap();
    work(&world, &attempt).await.unwrap();
    assert_eq!(world.state(id).await, State::Completed);
    worker.stop().await;
    world.assert_counts().await;
}
both_engines!(a_job_whose_work_is_rolled_back_has_not_ended, &[&MIGRATIONS]);

/// On SQLite nobody reads a half-done end, and nobody else writes meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_is_being_ended_is_neither_taken_away_nor_does_it_hold_up_others() {
    let world = World::new(TestDb::postgres(&[&MIGRATIONS]).await);
    let hands = Hands::new();
    let id = enqueue(&world, Handed).await;
    let worker = world.work_with(hands.registry(), options());
    let attempt = hands.next().await;
    let other = enqueue(&world, Handed).await;
    let beside = hands.next().await;
    let mut tx = world.db().begin(PLATFORM).await.unwrap();
    attempt.complete_in(&mut tx, &1).await.unwrap();
    world.jobs.pause(&system(), "handed").await.unwrap();
    // The other one alone, at a look between two signs of life: the first is being ended.
    let mut taken = 0;
    for _ in 0..1_000 {
        taken += world.jobs.reclaim(&mut Watch::default(), Duration::ZERO).await.unwrap();
        if world.state(other).await != State::Leased {
            break;
        }
    }
    assert_eq!(taken, 1);
    assert_eq!(world.state(other).await, State::Retryable);
    tx.commit().await.unwrap();
    assert_eq!(world.state(id).await, State::Completed);
    assert_eq!(beside.progress(1, None).await.unwrap_err().code(), "job_lease_lost");
    worker.stop().await;
    world.assert_counts().await;
}

async fn a_checkpoint_is_there_for_the_next_attempt(db: TestDb) {
    let world = World::new(db);
    let hands = Hands::new();
    let id = enqueue(&world, Handed).await;
    let dying = world.work_with(hands.registry(), options());
    let first = hands.next().await;
    assert_eq!(first.checkpoint::<u32>().unwrap(), None);
    first.set_checkpoint(&6).await.unwrap();
    // With a part of the work: both or neither.
    let mut tx = world.db().begin(PLATFORM).await.unwrap();
    first.set_checkpoint_in(&mut tx, &8).await.unwrap();
    tx.rollback().await.unwrap();
    let mut tx = world.db().begin(PLATFORM).await.unwrap();
    first.set_checkpoint_in(&mut tx, &7).await.unwrap();
    tx.commit().await.unwrap();
    let refused = first.set_checkpoint(&"x".repeat(CHECKPOINT_MAX)).await.unwrap_err();
    assert_eq!(refused.code(), "validation");
    dying.kill();
    world.take_away_jobs().await;
    let worker = world.work_with(hands.registry(), options());
    let second = hands.next().await;
    assert_eq!(second.checkpoint::<u32>().unwrap(), Some(7));
    assert_eq!(second.checkpoint::<String>().unwrap_err().code(), "validation");
    work(&world, &second).await.unwrap();
    assert_eq!(world.jobs.get(&system(), id).await.unwrap().checkpoint, Some(serde_json::json!(7)));
    worker.stop().await;
}
both_engines!(a_checkpoint_is_there_for_the_next_attempt, &[&MIGRATIONS]);

/// Blocks until it should stop.
#[derive(Debug, Serialize, Deserialize)]
struct Blocking;

impl Job for Blocking {
    const NAME: &'static str = "tests.blocking";
    type State = ();
    type Output = ();
    type Error = Failed;

    async fn run(self, attempt: Attempt, (): ()) -> Result<(), Failed> {
        attempt
            .blocking(|attempt| {
                for _ in 0..5_000 {
                    if attempt.should_stop() {
                        return Err(Failed::retry("told to stop"));
                    }
                    std::thread::sleep(Duration::from_millis(2));
                }
                panic!("was not told to stop");
            })
            .await
    }
}

/// As many as the runtime has threads: blocked, they would do nothing else.
async fn work_that_blocks_holds_up_nobody_and_stops_when_it_is_told_to(db: TestDb) {
    let world = World::new(db);
    let blocking = [enqueue(&world, Blocking).await, enqueue(&world, Blocking).await];
    let other = world.enqueue(chore(What::Succeed)).await;
    let registry = Registry::new().with::<Blocking>(()).with::<Chore>(world.ran.clone());
    let worker = world.work_with(registry, options());
    world.wait_for(other, State::Completed).await;
    for id in blocking {
        world.wait_for(id, State::Leased).await;
        world.jobs.cancel(&system(), id).await.unwrap();
        world.wait_for(id, State::Cancelled).await;
    }
    worker.stop().await;
}
both_engines!(work_that_blocks_holds_up_nobody_and_stops_when_it_is_told_to, &[&MIGRATIONS]);
