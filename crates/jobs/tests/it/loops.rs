//! Loops that outlive what happens in a turn, and turns that come to an end.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use stylobate_core::{Clock, HealthCheck as _, HealthStatus, JobId, SystemClock};
use stylobate_db::{Conn, Db, Engine};
use stylobate_jobs::{
    CatchUp, Jobs, MIGRATIONS, NewSchedule, QueueHealth, Retention, ScheduleChange, Schedules, State, Timing,
    Worker,
};
use stylobate_testkit::{TestDb, both_engines};
use tokio::sync::oneshot;

use crate::{
    plan::{Plan, every, new, registry},
    world::{Chore, PLATFORM, What, World, chore, options, system},
};

/// Panics for as long as it is told to.
#[derive(Debug, Default)]
struct BadClock(AtomicBool);

impl Clock for BadClock {
    fn now(&self) -> DateTime<Utc> {
        assert!(!self.0.load(Ordering::SeqCst), "a bug");
        SystemClock.now()
    }
}

async fn finished(db: &Db, id: JobId) -> bool {
    let jobs = Jobs::new(db.clone(), Arc::new(SystemClock));
    jobs.get(&system(), id).await.unwrap().state == State::Completed
}

async fn until(what: &str, mut done: impl AsyncFnMut() -> bool) {
    for _ in 0..2_000 {
        if done().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{what}");
}

// A30
async fn a_panic_in_a_turn_does_not_end_the_loop(db: TestDb) {
    let world = World::new(db);
    let (clock, mut stops, mut tasks) = (Arc::new(BadClock::default()), Vec::new(), Vec::new());
    let jobs = Jobs::new(world.db().clone(), Arc::<BadClock>::clone(&clock));
    let schedules = Schedules::new(jobs.clone(), registry());
    let mut stop = || {
        let (stop, stopped) = oneshot::channel::<()>();
        stops.push(stop);
        async { drop(stopped.await) }
    };
    let registry = stylobate_jobs::Registry::new().with::<Chore>(world.ran.clone());
    let worker = Worker::new(jobs.clone(), registry, options());
    tasks.push(tokio::spawn(worker.run(stop())));
    let (looks, upkeep) = (stop(), stop());
    let following = schedules.clone();
    tasks.push(tokio::spawn(async move { following.run(looks).await }));
    tasks.push(tokio::spawn(async move {
        jobs.keep_up(Duration::from_secs(2), Retention::default(), upkeep).await;
    }));
    // One that is at work when it begins: its end cannot be told, and it has to be taken from the worker while nothing goes.
    let working = world.enqueue(chore(What::Block(400))).await;
    until("nobody began", async || world.ran.runs.load(Ordering::SeqCst) > 0).await;
    clock.0.store(true, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_secs(4)).await;
    clock.0.store(false, Ordering::SeqCst);
    until("a loop of the worker ended", async || finished(world.db(), working).await).await;
    let later = world.enqueue(chore(What::Succeed)).await;
    until("claims ended", async || finished(world.db(), later).await).await;
    let id = schedules.create(&system(), new("often", every(1))).await.unwrap().id;
    until("schedules ended", async || schedules.get(&system(), id).await.unwrap().last_slot.is_some()).await;
    for stop in stops {
        stop.send(()).unwrap();
    }
    for task in tasks {
        task.await.unwrap();
    }
}
both_engines!(a_panic_in_a_turn_does_not_end_the_loop, &[&MIGRATIONS]);

async fn a_text_that_is_searched_for_long_is_refused_at_once(db: TestDb) {
    let plan = Plan::new(db);
    let id = plan.create(new("sound", every(60))).await.id;
    for text in [", * * * *", "* * * * L", "0 0 1 1 +MON#5"] {
        let timing = Timing::cron(text, "UTC");
        let refused = plan.schedules.create(&system(), new("x", timing.clone())).await.unwrap_err();
        assert_eq!(refused.code(), "validation", "{text}");
        let change = ScheduleChange { timing: Some(timing), ..ScheduleChange::default() };
        let refused = plan.schedules.update(&system(), id, change, None).await.unwrap_err();
        assert_eq!(refused.code(), "validation", "{text}");
    }
}
both_engines!(a_text_that_is_searched_for_long_is_refused_at_once, &[&MIGRATIONS]);

async fn many_missed_slots_are_caught_up_on_little_by_little(db: TestDb) {
    let plan = Plan::new(db);
    let all = |name: &str| NewSchedule { catch_up: CatchUp::All { most: 700 }, ..new(name, every(1)) };
    let ids = [plan.create(all("one")).await.id, plan.create(all("other")).await.id];
    let unique = Chore { unique: Some("same".to_owned()), ..chore(What::Succeed) };
    let unique = NewSchedule::of("unique", &unique, every(1)).unwrap();
    let unique = plan.create(NewSchedule { catch_up: CatchUp::All { most: 1_000 }, ..unique }).await.id;
    plan.pass(900);
    let ticked = plan.tick().await;
    // 839 were missed of each, 61 are on time; of the unique ones the first stands for all.
    assert_eq!((ticked.enqueued, ticked.skipped, ticked.has_more), (2 * 761 + 1, 2 * 139, false));
    let mut tx = plan.db.begin_read(PLATFORM).await.unwrap();
    for id in ids {
        let (jobs, slots): (i64, i64) = tx
            .q("SELECT count(*), count(DISTINCT slot) FROM jobs WHERE schedule_id = $1")
            .bind(id.as_uuid())
            .one()
            .await
            .unwrap();
        assert_eq!((jobs, slots), (761, 761));
    }
    tx.rollback().await.unwrap();
    let after = plan.get(unique).await;
    assert_eq!(
        (after.last_job_id, after.last_slot),
        (Some(plan.jobs_of(unique).await[0].id), Some(plan.now()))
    );
}
both_engines!(many_missed_slots_are_caught_up_on_little_by_little, &[&MIGRATIONS]);

async fn a_schedule_whose_row_is_locked_holds_up_no_other(db: TestDb) {
    if db.engine() == Engine::Sqlite {
        // Where one writes at a time, no row is locked.
        return;
    }
    let plan = Plan::new(db);
    let held = plan.create(new("held", every(60))).await.id;
    let free = plan.create(new("free", every(60))).await.id;
    plan.pass(60);
    let mut other = plan.db.begin(PLATFORM).await.unwrap();
    let lock = other.q("SELECT name FROM schedules WHERE id = $1 FOR UPDATE").bind(held.as_uuid());
    lock.one::<(String,)>().await.unwrap();
    let ticked = tokio::time::timeout(Duration::from_secs(5), plan.tick()).await.unwrap();
    assert_eq!(ticked.enqueued, 1);
    assert_eq!(plan.slots_of(free).await, [60]);
    other.rollback().await.unwrap();
    assert_eq!(plan.tick().await.enqueued, 1);
    assert_eq!(plan.slots_of(held).await, [60]);
}
both_engines!(a_schedule_whose_row_is_locked_holds_up_no_other, &[&MIGRATIONS]);

async fn what_a_wrong_clock_sent_far_away_is_planned_anew(db: TestDb) {
    let plan = Plan::new(db);
    let hourly = Timing::cron("0 * * * *", "UTC");
    let often = plan.create(new("often", every(60))).await.id;
    let hour = plan.create(new("hourly", hourly)).await.id;
    let yearly = plan.create(new("yearly", Timing::cron("0 0 1 1 *", "UTC"))).await;
    let once = plan.create(new("once", Timing::Once { at: plan.now() + TimeDelta::days(900) })).await;
    let day = 86_400;
    plan.pass(400 * day);
    while plan.tick().await.has_more {}
    plan.pass(-400 * day);
    assert!(plan.get(often).await.next_run_at.unwrap() > plan.now() + TimeDelta::days(399));
    let (stop, stopped) = oneshot::channel::<()>();
    let schedules = plan.schedules.clone();
    let running = tokio::spawn(async move { schedules.run(async { drop(stopped.await) }).await });
    for (id, seconds) in [(often, 60), (hour, 3_600)] {
        let soon = plan.now() + TimeDelta::seconds(seconds);
        until("it waits still", async || plan.get(id).await.next_run_at == Some(soon)).await;
    }
    stop.send(()).unwrap();
    running.await.unwrap();
    assert_eq!(plan.get(once.id).await.next_run_at, once.next_run_at);
    assert_eq!(plan.get(yearly.id).await.next_run_at, yearly.next_run_at);
    plan.pass(60);
    assert_eq!(plan.tick().await.enqueued, 1);
}
both_engines!(what_a_wrong_clock_sent_far_away_is_planned_anew, &[&MIGRATIONS]);

async fn that_nobody_works_is_told(db: TestDb) {
    let plan = Plan::new(db);
    let health = QueueHealth::new(plan.jobs.clone());
    let status = async || health.check().await.status;
    plan.create(new("minutely", every(60))).await;
    plan.pass(60);
    plan.tick().await;
    assert_eq!(status().await, HealthStatus::Up);
    plan.pass(61);
    assert_eq!(status().await, HealthStatus::Degraded);
    assert_eq!(health.check().await.detail.unwrap(), "jobs of 1 queue wait, and nobody works");
    plan.jobs.pause(&system(), "default").await.unwrap();
    assert_eq!(status().await, HealthStatus::Up);
    plan.jobs.resume(&system(), "default").await.unwrap();
    // Somebody has one of them.
    plan.tamper(async |conn: &mut Conn| {
        let one = "INSERT INTO job_count_changes (queue, state, change) VALUES ('default', 'leased', 1)";
        conn.q(one).run().await.unwrap();
    })
    .await;
    assert_eq!(status().await, HealthStatus::Up);
}
both_engines!(that_nobody_works_is_told, &[&MIGRATIONS]);
