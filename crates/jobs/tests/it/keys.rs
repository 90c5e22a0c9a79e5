//! Jobs that share a key run one after the other, and hold up nobody else.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use stylobate_core::{Clock as _, SystemClock, TenantId};
use stylobate_db::{Scope, Tx};
use stylobate_jobs::{Attempt, Failed, Job, JobId, MIGRATIONS, Registry, Request, State, WorkerOptions};
use stylobate_testkit::{TestDb, both_engines};

use crate::world::{PLATFORM, World, options};

/// One of each account at once.
#[derive(Serialize, Deserialize)]
struct Sync {
    account: Option<String>,
    stays: bool,
}

impl Job for Sync {
    const NAME: &'static str = "tests.sync";
    type State = ();
    type Output = ();
    type Error = Failed;

    fn key(&self) -> Option<String> {
        self.account.clone()
    }

    async fn run(self, attempt: Attempt, (): ()) -> Result<(), Failed> {
        if self.stays {
            attempt.stopped().await;
            return Err(Failed::retry("told to stop"));
        }
        Ok(())
    }
}

fn sync(account: Option<&str>, stays: bool) -> Sync {
    Sync { account: account.map(str::to_owned), stays }
}

async fn add(world: &World, scope: Scope, job: Sync) -> JobId {
    let jobs = world.jobs.clone();
    let add = async move |tx: &mut Tx| jobs.enqueue(tx, &job).await;
    world.db().transact(scope, add).await.unwrap().id
}

/// Looks at nothing by itself for as long as a test lasts.
fn told_only() -> WorkerOptions {
    WorkerOptions { poll: Duration::from_secs(3_600), ..options() }
}

fn registry() -> Registry {
    Registry::new().with::<Sync>(())
}

async fn those_of_a_key_follow_each_other_at_once(db: TestDb) {
    let world = World::new(db);
    let mut ids = Vec::new();
    for _ in 0..30 {
        ids.push(add(&world, PLATFORM, sync(Some("7"), false)).await);
    }
    let worker = world.work_with(registry(), told_only());
    for id in ids {
        world.wait_for(id, State::Completed).await;
    }
    worker.stop().await;
    world.assert_counts().await;
}
both_engines!(those_of_a_key_follow_each_other_at_once, &[&MIGRATIONS]);

async fn many_that_wait_for_their_key_hide_nobody(db: TestDb) {
    let world = World::new(db);
    let holder = add(&world, PLATFORM, sync(Some("7"), true)).await;
    let (jobs, all) = (world.jobs.clone(), (0..3_000).map(|_| sync(Some("7"), false)).collect::<Vec<_>>());
    let add_all = async move |tx: &mut Tx| jobs.enqueue_many(tx, &all, Request::default()).await;
    world.db().transact(PLATFORM, add_all).await.unwrap();
    let others =
        [add(&world, PLATFORM, sync(None, false)).await, add(&world, PLATFORM, sync(Some("8"), false)).await];
    let worker = world.work_with(registry(), told_only());
    for id in others {
        world.wait_for(id, State::Completed).await;
    }
    assert_eq!(world.state(holder).await, State::Leased);
    let mut tx = world.db().begin_read(PLATFORM).await.unwrap();
    let met_again = "SELECT count(*) FROM jobs WHERE state = 'available' AND NOT is_parked";
    assert_eq!(tx.q(met_again).scalar::<i64>().await.unwrap(), 0, "no claim meets them again");
    tx.rollback().await.unwrap();
    worker.stop().await;
    world.assert_counts().await;
}
both_engines!(many_that_wait_for_their_key_hide_nobody, &[&MIGRATIONS]);

async fn a_key_is_of_one_tenant(db: TestDb) {
    // A12: nobody stalls others by guessing what their jobs share.
    let world = World::new(db);
    let (a, b) = (TenantId::new(SystemClock.now()), TenantId::new(SystemClock.now()));
    let holder = add(&world, Scope::Tenant(a), sync(Some("import"), true)).await;
    let waits = add(&world, Scope::Tenant(a), sync(Some("import"), false)).await;
    let theirs = add(&world, Scope::Tenant(b), sync(Some("import"), false)).await;
    let worker = world.work_with(registry(), told_only());
    world.wait_for(theirs, State::Completed).await;
    world.wait_for(holder, State::Leased).await;
    assert_eq!(world.state(waits).await, State::Available);
    worker.stop().await;
}
both_engines!(a_key_is_of_one_tenant, &[&MIGRATIONS]);
