//! Schedulers: each slot once, whatever happens.

use std::{sync::Arc, time::Duration};

use chrono::TimeDelta;
use stylobate_core::{Clock as _, SystemClock};
use stylobate_db::{Conn, Tx};
use stylobate_jobs::{
    CatchUp, Jobs, JobsError, MIGRATIONS, NewSchedule, Overlap, Registry, ScheduleChange, Schedules, State,
    Ticked, Timing,
};
use stylobate_testkit::{TestDb, both_engines};
use tokio::sync::oneshot;

use crate::{
    plan::{Plan, every, new, payload, registry},
    world::{PLATFORM, What, chore, system},
};

async fn a_slot_asks_for_its_job_and_the_schedule_moves_on(db: TestDb) {
    let plan = Plan::new(db);
    let made = plan.create(new("minutely", every(60))).await;
    let next = plan.now() + TimeDelta::seconds(60);
    assert_eq!(plan.tick().await, Ticked { next_run_at: Some(next), ..Ticked::default() });
    plan.pass(61);
    let after = Ticked { enqueued: 1, next_run_at: Some(next + TimeDelta::seconds(60)), ..Ticked::default() };
    assert_eq!(plan.tick().await, after);
    assert_eq!(plan.tick().await, Ticked { enqueued: 0, ..after });
    let schedule = plan.get(made.id).await;
    assert_eq!((schedule.last_slot, schedule.next_run_at), (Some(next), after.next_run_at));
    let job = plan.job(schedule.last_job_id.unwrap()).await;
    assert_eq!((job.schedule_id, job.slot, job.state), (Some(made.id), Some(next), State::Available));
    assert_eq!((job.queue.as_str(), job.name.as_str(), job.payload), ("default", "tests.chore", payload()));
    assert_eq!((job.attempts_max, job.run_at), (3, plan.now()));
}
both_engines!(a_slot_asks_for_its_job_and_the_schedule_moves_on, &[&MIGRATIONS]);

async fn missed_slots_are_caught_up_on_as_each_schedule_says(db: TestDb) {
    let plan = Plan::new(db);
    let mut ids = Vec::new();
    for (name, catch_up) in
        [("skip", CatchUp::Skip), ("one", CatchUp::One), ("all", CatchUp::All { most: 3 })]
    {
        ids.push(plan.create(NewSchedule { catch_up, ..new(name, every(600)) }).await.id);
    }
    // No scheduler ran for an hour and a bit.
    plan.pass(3_900);
    let ticked = plan.tick().await;
    assert_eq!((ticked.enqueued, ticked.skipped), (4, 6 + 5 + 3));
    assert_eq!(plan.slots_of(ids[0]).await, [] as [i64; 0]);
    assert_eq!(plan.slots_of(ids[1]).await, [3_600]);
    assert_eq!(plan.slots_of(ids[2]).await, [2_400, 3_000, 3_600]);
    assert_eq!(plan.get(ids[0]).await.skipped, 6);
    plan.pass(300);
    assert_eq!(plan.tick().await.enqueued, 3);
}
both_engines!(missed_slots_are_caught_up_on_as_each_schedule_says, &[&MIGRATIONS]);

async fn slots_are_left_out_while_a_job_of_the_schedule_is_unfinished(db: TestDb) {
    let plan = Plan::new(db);
    let careful = NewSchedule {
        overlap: Overlap::Skip,
        catch_up: CatchUp::All { most: 9 },
        ..new("careful", every(60))
    };
    let id = plan.create(careful).await.id;
    plan.pass(60);
    assert_eq!(plan.tick().await.enqueued, 1);
    let first = plan.get(id).await.last_job_id.unwrap();
    plan.pass(60);
    let ticked = plan.tick().await;
    assert_eq!((ticked.enqueued, ticked.skipped), (0, 1));
    let schedule = plan.get(id).await;
    assert_eq!((schedule.skipped, schedule.last_job_id), (1, Some(first)));
    plan.jobs.cancel(&system(), first).await.unwrap();
    // Of several that are due, one runs.
    plan.pass(180);
    let ticked = plan.tick().await;
    assert_eq!((ticked.enqueued, ticked.skipped), (1, 2));
    assert_eq!(plan.slots_of(id).await, [60, 180]);
}
both_engines!(slots_are_left_out_while_a_job_of_the_schedule_is_unfinished, &[&MIGRATIONS]);

async fn an_edit_while_a_slot_is_due_decides_what_becomes_of_it(db: TestDb) {
    let plan = Plan::new(db);
    let mut ids = Vec::new();
    for name in ["renamed", "moved", "disabled", "changed"] {
        ids.push(plan.create(new(name, every(60))).await.id);
    }
    plan.pass(60);
    let other = serde_json::to_value(chore(What::FailTimes(1))).unwrap();
    for (id, change) in ids.iter().zip([
        ScheduleChange { name: Some("other".to_owned()), ..ScheduleChange::default() },
        ScheduleChange { timing: Some(every(100)), ..ScheduleChange::default() },
        ScheduleChange { is_enabled: Some(false), ..ScheduleChange::default() },
        ScheduleChange { payload: Some(other.clone()), ..ScheduleChange::default() },
    ]) {
        plan.schedules.update(&system(), *id, change, Some(1)).await.unwrap();
    }
    assert_eq!(plan.tick().await.enqueued, 2);
    assert_eq!((plan.slots_of(ids[0]).await, plan.slots_of(ids[3]).await), (vec![60], vec![60]));
    assert_eq!(plan.job(plan.jobs_of(ids[3]).await[0].id).await.payload, other);
    plan.pass(100);
    plan.tick().await;
    assert_eq!(plan.slots_of(ids[1]).await, [160]);
    // Enabled again, it does not catch up on what it was disabled for.
    let change = ScheduleChange { is_enabled: Some(true), ..ScheduleChange::default() };
    let enabled = plan.schedules.update(&system(), ids[2], change, None).await.unwrap();
    assert_eq!(enabled.next_run_at, Some(plan.now() + TimeDelta::seconds(60)));
    plan.pass(60);
    plan.tick().await;
    assert_eq!(plan.slots_of(ids[2]).await, [220]);
}
both_engines!(an_edit_while_a_slot_is_due_decides_what_becomes_of_it, &[&MIGRATIONS]);

async fn edits_and_schedulers_at_the_same_time_lose_no_slot_and_double_none(db: TestDb) {
    let plan = Plan::new(db);
    let all = NewSchedule { catch_up: CatchUp::All { most: 1_000 }, ..new("busy", every(60)) };
    let id = plan.create(all).await.id;
    for n in 0..30_u32 {
        plan.pass(60);
        let mut work = tokio::task::JoinSet::new();
        for _ in 0..3 {
            let schedules = plan.schedules.clone();
            work.spawn(async move {
                schedules.tick().await.unwrap();
            });
        }
        let schedules = plan.schedules.clone();
        let payload = Some(serde_json::to_value(chore(What::FailTimes(n))).unwrap());
        work.spawn(async move {
            let change = ScheduleChange { payload, ..ScheduleChange::default() };
            schedules.update(&system(), id, change, None).await.unwrap();
        });
        while let Some(done) = work.join_next().await {
            done.unwrap();
        }
    }
    plan.tick().await;
    assert_eq!(plan.slots_of(id).await, (1..=30).map(|n| n * 60).collect::<Vec<_>>());
}
both_engines!(edits_and_schedulers_at_the_same_time_lose_no_slot_and_double_none, &[&MIGRATIONS]);

// A30
async fn a_clock_that_jumps_fires_nothing_twice(db: TestDb) {
    let plan = Plan::new(db);
    let id = plan.create(new("minutely", every(60))).await.id;
    plan.pass(60);
    plan.tick().await;
    // An hour on, and back again.
    plan.pass(3_630);
    plan.tick().await;
    plan.pass(-3_630);
    for _ in 0..60 {
        plan.tick().await;
        plan.pass(60);
    }
    // The slots of that hour have been decided on.
    assert_eq!(plan.slots_of(id).await, [60, 3_660]);
    // Back by an hour before anything: it waits.
    plan.pass(-3_600);
    plan.tick().await;
    for _ in 0..62 {
        plan.pass(60);
        plan.tick().await;
    }
    assert_eq!(plan.slots_of(id).await, [60, 3_660, 3_720, 3_780]);
    // Nor does an edit make slots come again that have run.
    plan.pass(-1_800);
    let change =
        ScheduleChange { timing: Some(Timing::cron("* * * * *", "UTC")), ..ScheduleChange::default() };
    let edited = plan.schedules.update(&system(), id, change, None).await.unwrap();
    assert!(edited.next_run_at > edited.last_slot);
}
both_engines!(a_clock_that_jumps_fires_nothing_twice, &[&MIGRATIONS]);

async fn a_slot_has_one_job_even_if_its_schedule_is_put_back(db: TestDb) {
    let plan = Plan::new(db);
    let id = plan.create(new("minutely", every(60))).await.id;
    let first = plan.get(id).await.next_run_at.unwrap();
    plan.pass(60);
    plan.tick().await;
    plan.tamper(async |conn: &mut Conn| {
        conn.q("UPDATE schedules SET next_run_at = $1").bind(first).run().await.unwrap();
    })
    .await;
    assert_eq!(plan.tick().await.enqueued, 0);
    assert_eq!(plan.slots_of(id).await, [60]);
    plan.pass(60);
    assert_eq!(plan.tick().await.enqueued, 1);
}
both_engines!(a_slot_has_one_job_even_if_its_schedule_is_put_back, &[&MIGRATIONS]);

async fn a_claim_that_is_rolled_back_leaves_the_slot_due(db: TestDb) {
    let plan = Plan::new(db);
    let id = plan.create(new("minutely", every(60))).await.id;
    plan.pass(60);
    // The last statement of the transaction has no table to write to.
    plan.tamper(async |conn: &mut Conn| {
        conn.q("ALTER TABLE job_count_changes RENAME TO away").run().await.unwrap();
    })
    .await;
    assert!(matches!(plan.schedules.tick().await, Err(JobsError::Db(_))));
    assert_eq!(plan.get(id).await.next_run_at, Some(plan.now()));
    plan.tamper(async |conn: &mut Conn| {
        conn.q("ALTER TABLE away RENAME TO job_count_changes").run().await.unwrap();
    })
    .await;
    assert_eq!(plan.slots_of(id).await, [] as [i64; 0]);
    assert_eq!(plan.tick().await.enqueued, 1);
    assert_eq!(plan.slots_of(id).await, [60]);
}
both_engines!(a_claim_that_is_rolled_back_leaves_the_slot_due, &[&MIGRATIONS]);

async fn what_one_scheduler_does_not_know_another_serves(db: TestDb) {
    let plan = Plan::new(db);
    let id = plan.create(new("minutely", every(60))).await.id;
    let damaged = plan.create(new("damaged", every(60))).await.id;
    plan.tamper(async |conn: &mut Conn| {
        let damage = conn.q("UPDATE schedules SET timing = 'no JSON' WHERE id = $1").bind(damaged.as_uuid());
        damage.run().await.unwrap();
    })
    .await;
    plan.pass(200);
    let ignorant = Schedules::new(plan.jobs.clone(), Registry::new());
    let ticked = ignorant.tick().await.unwrap();
    assert_eq!((ticked.enqueued, ticked.unserved), (0, 2));
    let overdue = plan.schedules.overdue(TimeDelta::seconds(60)).await.unwrap();
    let mut names: Vec<_> = overdue.iter().map(|one| one.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["damaged", "minutely"]);
    assert_eq!(overdue[0].next_run_at, plan.now() - TimeDelta::seconds(140));
    assert!(plan.schedules.overdue(TimeDelta::seconds(140)).await.unwrap().len() == 2);
    assert!(plan.schedules.overdue(TimeDelta::seconds(141)).await.unwrap().is_empty());
    assert!(plan.schedules.overdue(TimeDelta::MAX).await.unwrap().is_empty());
    let refused = ignorant.run_now(&system(), id).await.unwrap_err();
    assert!(matches!(refused, JobsError::Invalid { field: "job", .. }));

    let ticked = plan.tick().await;
    assert_eq!((ticked.enqueued, ticked.unserved), (1, 1));
    assert_eq!(plan.slots_of(id).await, [180]);
    let overdue = plan.schedules.overdue(TimeDelta::seconds(60)).await.unwrap();
    assert_eq!((overdue.len(), overdue[0].id), (1, damaged));
}
both_engines!(what_one_scheduler_does_not_know_another_serves, &[&MIGRATIONS]);

async fn two_hundred_schedules_are_served_by_one_look(db: TestDb) {
    let plan = Plan::new(db);
    for n in 0..200 {
        plan.create(new(&format!("schedule {n}"), every(60 + n % 7))).await;
    }
    plan.pass(70);
    let ticked = plan.tick().await;
    assert_eq!((ticked.enqueued, ticked.skipped, ticked.has_more), (200, 0, false));
    assert_eq!(plan.tick().await.enqueued, 0);
}
both_engines!(two_hundred_schedules_are_served_by_one_look, &[&MIGRATIONS]);

async fn the_loop_serves_what_is_made_and_edited_while_it_runs(db: TestDb) {
    let jobs = Jobs::new((*db).clone(), Arc::new(SystemClock));
    let schedules = Schedules::new(jobs.clone(), registry());
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn({
        let schedules = schedules.clone();
        async move {
            schedules.run(async { drop(stopped.await) }).await;
        }
    });
    let context = system();
    let id = schedules.create(&context, new("yearly", every(31_622_400))).await.unwrap().id;
    let change = ScheduleChange { timing: Some(every(1)), ..ScheduleChange::default() };
    schedules.update(&context, id, change, None).await.unwrap();
    // What is changed past all services sends no hint, and is found by looking.
    let hidden = schedules.create(&context, new("hidden", every(31_622_400))).await.unwrap().id;
    let earlier = SystemClock.now() - TimeDelta::seconds(1);
    let tamper = async move |tx: &mut Tx| {
        let change =
            tx.q("UPDATE schedules SET next_run_at = $1 WHERE id = $2").bind(earlier).bind(hidden.as_uuid());
        change.run().await?;
        Ok::<_, JobsError>(())
    };
    db.transact(PLATFORM, tamper).await.unwrap();
    for id in [id, hidden] {
        let mut last = None;
        for _ in 0..1_000 {
            last = schedules.get(&context, id).await.unwrap().last_job_id;
            if last.is_some() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(jobs.get(&context, last.unwrap()).await.unwrap().schedule_id, Some(id));
    }
    stop.send(()).unwrap();
    running.await.unwrap();
}
both_engines!(the_loop_serves_what_is_made_and_edited_while_it_runs, &[&MIGRATIONS]);
