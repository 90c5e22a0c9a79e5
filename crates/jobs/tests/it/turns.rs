//! Tenants take turns, and large jobs go through.

use std::{collections::HashMap, time::Duration};

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use stylobate_core::{Clock as _, SystemClock, TenantId};
use stylobate_db::{Scope, Tx};
use stylobate_jobs::{
    Attempt, Failed, Job, JobsError, MIGRATIONS, Outcome, PAYLOAD_MAX, Registry, Request, State,
    WorkerOptions,
};
use stylobate_testkit::{TestDb, both_engines};

use crate::world::{PLATFORM, What, World, chore, enqueue, options};

fn tenant() -> TenantId {
    TenantId::new(SystemClock.now())
}

async fn tenants_take_turns_however_many_jobs_each_has(db: TestDb) {
    let world = World::new(db);
    let sizes = [400_usize, 40, 90, 30, 60];
    let tenants = sizes.map(|size| (tenant(), size));
    for (tenant, size) in tenants {
        let (jobs, all) = (world.jobs.clone(), vec![chore(What::Succeed); size]);
        let add = async move |tx: &mut Tx| jobs.enqueue_many(tx, &all, Request::default()).await;
        world.db().transact(Scope::Tenant(tenant), add).await.unwrap();
    }
    let worker = world.work(WorkerOptions { queues: vec![("default".to_owned(), 5)], ..options() });
    for _ in 0..1_000 {
        if world.ran.order.all().len() >= 150 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    worker.stop().await;
    let mut shares = HashMap::<_, usize>::new();
    for tenant in world.ran.order.all().into_iter().take(150) {
        *shares.entry(tenant).or_default() += 1;
    }
    for (tenant, size) in tenants {
        let share = shares.get(&Some(tenant)).copied().unwrap_or_default();
        // A fifth each, give or take the batches of two rounds.
        assert!((20..=40).contains(&share), "{share} of 150 for one of {size} jobs: {shares:?}");
    }
}
both_engines!(tenants_take_turns_however_many_jobs_each_has, &[&MIGRATIONS]);

async fn tenants_whose_jobs_are_for_later_hide_nobody(db: TestDb) {
    let world = World::new(db);
    let jobs = world.jobs.clone();
    let add = async move |tx: &mut Tx| {
        // Tenants of earlier have earlier lanes.
        for _ in 0..350 {
            let later =
                Request { tenant: Some(tenant()), ..Request::at(SystemClock.now() + TimeDelta::days(1)) };
            jobs.enqueue_as(tx, &chore(What::Succeed), later).await?;
        }
        let now = Request { tenant: Some(tenant()), ..Request::default() };
        Ok::<_, JobsError>(jobs.enqueue_as(tx, &chore(What::Succeed), now).await?.id)
    };
    let id = world.db().transact(PLATFORM, add).await.unwrap();
    let worker = world.work(options());
    world.wait_for(id, State::Completed).await;
    worker.stop().await;
    world.assert_counts().await;
}
both_engines!(tenants_whose_jobs_are_for_later_hide_nobody, &[&MIGRATIONS]);

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Letter {
    text: String,
}

impl Letter {
    /// One whose payload has so many bytes.
    fn of(bytes: usize) -> Self {
        Self { text: "x".repeat(bytes - r#"{"text":""}"#.len()) }
    }
}

impl Job for Letter {
    const NAME: &'static str = "tests.letter";
    type State = ();
    type Output = usize;
    type Error = Failed;

    async fn run(self, _: Attempt, (): ()) -> Result<usize, Failed> {
        Ok(self.text.len())
    }
}

async fn payloads_of_a_mebibyte_go_through_one_by_one_and_in_batches(db: TestDb) {
    let world = World::new(db);
    let letter = Letter::of(PAYLOAD_MAX);
    let first = enqueue(&world, letter.clone()).await;
    let (jobs, many) = (world.jobs.clone(), vec![letter.clone(); 40]);
    let add = async move |tx: &mut Tx| jobs.enqueue_many(tx, &many, Request::default()).await;
    assert_eq!(world.db().transact(PLATFORM, add).await.unwrap().len(), 40);
    let mut tx = world.db().begin(PLATFORM).await.unwrap();
    let refused = world.jobs.enqueue(&mut tx, &Letter::of(PAYLOAD_MAX + 1)).await.unwrap_err();
    assert_eq!(refused.code(), "payload_too_large");
    tx.rollback().await.unwrap();

    let worker = world.work_with(Registry::new().with::<Letter>(()), options());
    let handle = world.jobs.handle::<Letter>(first);
    let outcome = tokio::time::timeout(Duration::from_secs(30), handle.wait()).await.unwrap().unwrap();
    assert_eq!(outcome, Outcome::Completed(letter.text.len()));
    for _ in 0..3_000 {
        let counts = world.jobs.counts().await.unwrap();
        if counts.get(&("default".to_owned(), State::Completed)) == Some(&41) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    worker.stop().await;
    assert_eq!(world.jobs.counts().await.unwrap()[&("default".to_owned(), State::Completed)], 41);
}
both_engines!(payloads_of_a_mebibyte_go_through_one_by_one_and_in_batches, &[&MIGRATIONS]);
