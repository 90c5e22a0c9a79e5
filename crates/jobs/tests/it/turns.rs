//! Tenants take turns, and large jobs go through.

use std::{collections::HashMap, num::NonZeroU32, time::Duration};

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use stylobate_core::{Clock as _, Principal, RequestContext, SystemClock, TenantId};
use stylobate_db::{Scope, Tx};
use stylobate_jobs::{
    Attempt, Failed, Job, JobsError, MIGRATIONS, NewSchedule, Outcome, PAYLOAD_MAX, Registry, Request,
    Schedules, State, Timing, WorkerOptions,
};
use stylobate_testkit::{TestDb, both_engines};

use crate::world::{Chore, PLATFORM, What, World, chore, enqueue, options};

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

async fn nothing_is_left_of_a_tenant_that_is_gone_and_all_of_others(db: TestDb) {
    let world = World::new(db);
    let (gone, stays) = (tenant(), tenant());
    for one in [gone, stays] {
        let (jobs, all) = (world.jobs.clone(), vec![chore(What::Succeed); 5]);
        let add = async move |tx: &mut Tx| jobs.enqueue_many(tx, &all, Request::default()).await;
        world.db().transact(Scope::Tenant(one), add).await.unwrap();
        let schedules = Schedules::new(world.jobs.clone(), Registry::new().with::<Chore>(world.ran.clone()));
        let context = RequestContext::new(Principal::system().in_tenant(one));
        let new = NewSchedule::of("daily", &chore(What::Succeed), Timing::Interval { seconds: 86_400 });
        schedules.create(&context, new.unwrap()).await.unwrap();
    }
    // One that somebody works on goes too, and what comes of it is written nowhere.
    let running = world.enqueue_in(Scope::Tenant(gone), chore(What::Obey)).await.id;
    let worker = world.work(options());
    world.wait_for(running, State::Leased).await;
    let remove = |kept: &'static [&'static str], limit| {
        let (jobs, limit) = (world.jobs.clone(), NonZeroU32::new(limit).unwrap());
        let remove = async move |tx: &mut Tx| jobs.remove_tenant_rows(tx, gone, kept, limit).await;
        world.db().transact(PLATFORM, remove)
    };
    assert_eq!(remove(&[], 3).await.unwrap(), 1, "schedules first");
    assert_eq!(remove(&["other", Chore::QUEUE], 3).await.unwrap(), 0, "what something waits for stays");
    let mut removed = 0;
    loop {
        let step = remove(&["other"], 3).await.unwrap();
        assert!(step <= 3);
        removed += step;
        if step == 0 {
            break;
        }
    }
    assert_eq!(removed, 6);
    worker.stop().await;
    for (table, left) in [("jobs", 5), ("schedules", 1)] {
        for (one, count) in [(gone, 0), (stays, left)] {
            let mut tx = world.db().begin_read(PLATFORM).await.unwrap();
            let mut sql = tx.builder("SELECT count(*) FROM ");
            sql.push(table).push(" WHERE tenant_id = ").value(one.as_uuid());
            let found: i64 = tx.q_build(sql).scalar().await.unwrap();
            tx.rollback().await.unwrap();
            assert_eq!(found, count, "{table}");
        }
    }
}
both_engines!(nothing_is_left_of_a_tenant_that_is_gone_and_all_of_others, &[&MIGRATIONS]);
