//! Schedules as people make, read and edit them.

use chrono::TimeDelta;
use serde_json::json;
use stylobate_core::{Clock as _, PageLimit, ScheduleId, SystemClock, TenantId};
use stylobate_db::Conn;
use stylobate_jobs::{
    CatchUp, JobsError, MIGRATIONS, NewSchedule, Overlap, PAYLOAD_MAX, ScheduleChange, ScheduleQuery, State,
    Timing,
};
use stylobate_testkit::{TestDb, both_engines};

use crate::{
    plan::{Plan, as_tenant, every, new, payload},
    world::{Chore, What, chore, system},
};

async fn a_schedule_is_read_as_it_was_made(db: TestDb) {
    let plan = Plan::new(db);
    let made = plan
        .create(NewSchedule {
            catch_up: CatchUp::All { most: 7 },
            overlap: Overlap::Skip,
            ..NewSchedule::of("nightly", &chore(What::Succeed), Timing::cron("30 2 * * *", "Europe/Berlin"))
                .unwrap()
        })
        .await;
    assert_eq!(plan.get(made.id).await, made);
    assert_eq!((made.version, made.job.as_str(), made.skipped), (1, "tests.chore", 0));
    // 2:30 in Berlin, in winter.
    assert_eq!(made.next_run_at.unwrap().to_rfc3339(), "2026-03-02T01:30:00+00:00");
    let disabled = plan.create(NewSchedule { is_enabled: false, ..new("off", every(5)) }).await;
    assert_eq!((disabled.next_run_at, plan.get(disabled.id).await), (None, disabled.clone()));
}
both_engines!(a_schedule_is_read_as_it_was_made, &[&MIGRATIONS]);

fn field(error: JobsError) -> &'static str {
    match error {
        JobsError::Invalid { field, .. } => field,
        other => panic!("{other:?}"),
    }
}

async fn what_makes_no_sense_is_refused_with_its_field(db: TestDb) {
    let plan = Plan::new(db);
    let refused = async |new| field(plan.schedules.create(&system(), new).await.unwrap_err());
    let sound = || new("sound", every(60));
    for name in ["", " x", "x ", "a\nb", "a\0b", &"x".repeat(129)] {
        assert_eq!(refused(new(name, every(60))).await, "name", "{name:?}");
    }
    assert_eq!(refused(NewSchedule { job: "tests.unknown".to_owned(), ..sound() }).await, "job");
    for payload in [json!({}), json!(null), json!({ "what": "Dance" }), json!("text")] {
        assert_eq!(refused(NewSchedule { payload, ..sound() }).await, "payload");
    }
    // What a job says of itself must be sound as well.
    let payload = serde_json::to_value(Chore { key: Some(String::new()), ..chore(What::Succeed) }).unwrap();
    assert_eq!(refused(NewSchedule { payload, ..sound() }).await, "key");
    assert_eq!(refused(new("x", every(0))).await, "interval_seconds");
    assert_eq!(refused(new("x", Timing::cron("every day", "UTC"))).await, "expression");
    assert_eq!(refused(new("x", Timing::cron("0 0 30 2 *", "UTC"))).await, "expression");
    assert_eq!(refused(new("x", Timing::cron("@daily", "Moon"))).await, "time_zone");
    assert_eq!(refused(new("x", Timing::Once { at: plan.now() })).await, "at");
    assert_eq!(refused(NewSchedule { catch_up: CatchUp::All { most: 0 }, ..sound() }).await, "catch_up");
    let large =
        serde_json::to_value(Chore { key: Some("k".repeat(PAYLOAD_MAX)), ..chore(What::Succeed) }).unwrap();
    let refused =
        plan.schedules.create(&system(), NewSchedule { payload: large, ..sound() }).await.unwrap_err();
    assert_eq!(refused.code(), "payload_too_large");

    let kept = plan.create(sound()).await;
    let taken = plan.schedules.create(&system(), sound()).await.unwrap_err();
    assert_eq!(taken.code(), "schedule_name_taken");
    let change = ScheduleChange { timing: Some(every(0)), ..ScheduleChange::default() };
    let refused = plan.schedules.update(&system(), kept.id, change, None).await.unwrap_err();
    assert_eq!(field(refused), "interval_seconds");
    assert_eq!(plan.get(kept.id).await, kept);
}
both_engines!(what_makes_no_sense_is_refused_with_its_field, &[&MIGRATIONS]);

async fn an_edit_of_another_version_is_refused(db: TestDb) {
    let plan = Plan::new(db);
    let one = plan.create(new("one", every(60))).await;
    let other = plan.create(new("other", every(60))).await;
    let change = ScheduleChange { name: Some("first".to_owned()), ..ScheduleChange::default() };
    plan.pass(7);
    let edited = plan.schedules.update(&system(), one.id, change.clone(), Some(1)).await.unwrap();
    assert_eq!((edited.version, edited.name.as_str(), edited.updated_at), (2, "first", plan.now()));
    // Nothing about its slots was edited.
    assert_eq!(edited.next_run_at, one.next_run_at);
    let stale = plan.schedules.update(&system(), one.id, change.clone(), Some(1)).await.unwrap_err();
    assert_eq!(stale.code(), "stale");
    let taken = plan.schedules.update(&system(), other.id, change.clone(), None).await.unwrap_err();
    assert_eq!(taken.code(), "schedule_name_taken");
    let gone = plan.schedules.update(&system(), ScheduleId::new(plan.now()), change, None).await.unwrap_err();
    assert_eq!(gone.code(), "not_found");
}
both_engines!(an_edit_of_another_version_is_refused, &[&MIGRATIONS]);

async fn twenty_edits_at_once_all_count(db: TestDb) {
    let plan = Plan::new(db);
    let id = plan.create(new("one", every(60))).await.id;
    let edits: Vec<_> = (0..20_u32)
        .map(|n| {
            let schedules = plan.schedules.clone();
            let change = ScheduleChange { timing: Some(every(100 + n)), ..ScheduleChange::default() };
            tokio::spawn(async move { schedules.update(&system(), id, change, None).await })
        })
        .collect();
    let mut done = 0;
    for edit in edits {
        // Who is overtaken again and again gives up in the end, and is told so.
        match edit.await.unwrap() {
            Ok(_) => done += 1,
            Err(error) => assert!(matches!(error, JobsError::Db(_)), "{error:?}"),
        }
    }
    assert!(done >= 1);
    assert_eq!(plan.get(id).await.version, 1 + done);
}
both_engines!(twenty_edits_at_once_all_count, &[&MIGRATIONS]);

async fn tenants_see_and_change_their_own_schedules_only(db: TestDb) {
    let plan = Plan::new(db);
    let (one, other) = (TenantId::new(SystemClock.now()), TenantId::new(SystemClock.now()));
    let schedule = plan.schedules.create(&as_tenant(one), new("same name", every(60))).await.unwrap();
    assert_eq!(schedule.tenant_id, Some(one));
    let (theirs, id) = (as_tenant(other), schedule.id);
    plan.schedules.create(&theirs, new("same name", every(60))).await.unwrap();
    for refused in [
        plan.schedules.get(&theirs, id).await.unwrap_err(),
        plan.schedules.update(&theirs, id, ScheduleChange::default(), None).await.unwrap_err(),
        plan.schedules.delete(&theirs, id).await.unwrap_err(),
        plan.schedules.run_now(&theirs, id).await.unwrap_err(),
    ] {
        assert_eq!(refused.code(), "not_found");
    }
    let seen =
        async |context| plan.schedules.list(&context, &ScheduleQuery::default()).await.unwrap().items.len();
    assert_eq!((seen(as_tenant(one)).await, seen(theirs).await, seen(system()).await), (1, 1, 2));
    // Jobs are of the tenant of their schedule, at its slots and beside them.
    let by_hand = plan.schedules.run_now(&as_tenant(one), id).await.unwrap();
    plan.pass(60);
    assert_eq!(plan.tick().await.enqueued, 2);
    let jobs = plan.jobs_of(id).await;
    assert!(jobs.len() == 2 && jobs.iter().any(|job| job.id == by_hand.id), "{jobs:?}");
    assert!(jobs.iter().all(|job| job.tenant_id == Some(one)), "{jobs:?}");
}
both_engines!(tenants_see_and_change_their_own_schedules_only, &[&MIGRATIONS]);

async fn schedules_are_listed_by_name(db: TestDb) {
    let plan = Plan::new(db);
    for name in ["delta", "alpha", "charlie", "bravo", "echo"] {
        plan.create(NewSchedule { is_enabled: name != "charlie", ..new(name, every(60)) }).await;
    }
    let (mut names, mut query) =
        (Vec::new(), ScheduleQuery { limit: PageLimit::new(2).unwrap(), ..ScheduleQuery::default() });
    loop {
        let page = plan.schedules.list(&system(), &query).await.unwrap();
        names.extend(page.items.into_iter().map(|one| one.name));
        let Some(next) = page.next_cursor else { break };
        query.cursor = Some(next.encode());
    }
    assert_eq!(names, ["alpha", "bravo", "charlie", "delta", "echo"]);
    let counts = plan.schedules.counts().await.unwrap();
    assert_eq!((counts.enabled, counts.disabled), (4, 1));
    let disabled = ScheduleQuery { is_enabled: Some(false), ..ScheduleQuery::default() };
    assert_eq!(plan.schedules.list(&system(), &disabled).await.unwrap().items[0].name, "charlie");
    let none = ScheduleQuery { job: Some("tests.\0".to_owned()), ..ScheduleQuery::default() };
    assert!(plan.schedules.list(&system(), &none).await.unwrap().items.is_empty());
    let bad = ScheduleQuery { cursor: Some("nonsense".to_owned()), ..ScheduleQuery::default() };
    assert_eq!(plan.schedules.list(&system(), &bad).await.unwrap_err().code(), "invalid_cursor");
}
both_engines!(schedules_are_listed_by_name, &[&MIGRATIONS]);

async fn a_schedule_is_run_by_hand_beside_its_slots(db: TestDb) {
    let plan = Plan::new(db);
    let made = plan
        .create(NewSchedule { is_enabled: false, overlap: Overlap::Skip, ..new("by hand", every(60)) })
        .await;
    let first = plan.schedules.run_now(&system(), made.id).await.unwrap();
    let second = plan.schedules.run_now(&system(), made.id).await.unwrap();
    assert!(first.is_new && second.is_new && first.id != second.id);
    let job = plan.job(second.id).await;
    assert_eq!((job.schedule_id, job.slot, job.payload), (Some(made.id), None, payload()));
    let after = plan.get(made.id).await;
    assert_eq!((after.last_job_id, after.last_slot, after.version), (Some(second.id), None, 1));
}
both_engines!(a_schedule_is_run_by_hand_beside_its_slots, &[&MIGRATIONS]);

async fn a_job_that_is_the_same_as_another_is_not_asked_for_twice(db: TestDb) {
    let plan = Plan::new(db);
    let job = Chore { unique: Some("report".to_owned()), ..chore(What::Succeed) };
    let id = plan.create(NewSchedule::of("report", &job, every(60)).unwrap()).await.id;
    plan.pass(60);
    assert_eq!(plan.tick().await.enqueued, 1);
    let first = plan.get(id).await.last_job_id.unwrap();
    plan.pass(60);
    // The slot is decided on: the job that waits stands for it.
    assert_eq!(plan.tick().await.enqueued, 0);
    let after = plan.get(id).await;
    assert_eq!(
        (after.last_job_id, after.next_run_at),
        (Some(first), Some(plan.now() + TimeDelta::seconds(60)))
    );
    assert!(!plan.schedules.run_now(&system(), id).await.unwrap().is_new);
    plan.jobs.cancel(&system(), first).await.unwrap();
    plan.pass(60);
    assert_eq!(plan.tick().await.enqueued, 1);
    assert_eq!(plan.slots_of(id).await, [60, 180]);
}
both_engines!(a_job_that_is_the_same_as_another_is_not_asked_for_twice, &[&MIGRATIONS]);

async fn a_schedule_that_is_removed_leaves_its_jobs(db: TestDb) {
    let plan = Plan::new(db);
    let id = plan.create(new("gone", every(60))).await.id;
    plan.pass(60);
    plan.tick().await;
    plan.pass(60);
    plan.schedules.delete(&system(), id).await.unwrap();
    // One slot was due.
    assert_eq!(plan.tick().await.enqueued, 0);
    let jobs = plan.jobs_of(id).await;
    assert_eq!((jobs.len(), jobs[0].state), (1, State::Available));
    assert_eq!(plan.schedules.delete(&system(), id).await.unwrap_err().code(), "not_found");
    plan.create(new("gone", every(60))).await;
}
both_engines!(a_schedule_that_is_removed_leaves_its_jobs, &[&MIGRATIONS]);

async fn a_damaged_schedule_is_seen_mended_and_removed(db: TestDb) {
    let plan = Plan::new(db);
    let sound = plan.create(new("a", every(60))).await.id;
    let (times, what) =
        (plan.create(new("b", every(60))).await.id, plan.create(new("c", every(60))).await.id);
    plan.tamper(async |conn: &mut Conn| {
        let damage = conn.q("UPDATE schedules SET timing = 'no JSON' WHERE id = $1").bind(times.as_uuid());
        damage.run().await.unwrap();
        let damage = conn.q("UPDATE schedules SET payload = '{{' WHERE id = $1").bind(what.as_uuid());
        damage.run().await.unwrap();
    })
    .await;
    let list = async || plan.schedules.list(&system(), &ScheduleQuery::default()).await.unwrap().items;
    let all = list().await;
    let unreadable: Vec<_> = all.iter().map(|one| (one.name.as_str(), one.unreadable.clone())).collect();
    assert_eq!(unreadable, [("a", vec![]), ("b", vec!["timing"]), ("c", vec!["payload"])]);
    assert_eq!(all[1].timing, Timing::Unreadable { text: "no JSON".to_owned() });
    assert_eq!((&all[2].payload, &all[1].payload), (&json!("{{"), &payload()));
    // They ask for nothing and hold up nobody, not even by hand where nobody knows what is to be done.
    plan.pass(60);
    let ticked = plan.tick().await;
    assert_eq!((ticked.enqueued, ticked.unserved, plan.slots_of(sound).await), (1, 2, vec![60]));
    assert_eq!(field(plan.schedules.run_now(&system(), what).await.unwrap_err()), "payload");
    plan.schedules.run_now(&system(), times).await.unwrap();
    // What an edit is not about stays as it is stored.
    let edit = async |id, change| plan.schedules.update(&system(), id, change, None).await;
    let named = |name: &str| ScheduleChange { name: Some(name.to_owned()), ..ScheduleChange::default() };
    let off = ScheduleChange { is_enabled: Some(false), ..ScheduleChange::default() };
    let on = ScheduleChange { is_enabled: Some(true), ..ScheduleChange::default() };
    for (id, was) in [(times, &all[1]), (what, &all[2])] {
        let after = edit(id, named(&format!("{} renamed", was.name))).await.unwrap();
        assert_eq!((&after.timing, &after.payload), (&was.timing, &was.payload));
        assert_eq!(after.unreadable, was.unreadable);
        assert_eq!(edit(id, off.clone()).await.unwrap().next_run_at, None);
    }
    assert_eq!(field(edit(times, on).await.unwrap_err()), "timing");
    let mend =
        ScheduleChange { timing: Some(every(60)), is_enabled: Some(true), ..ScheduleChange::default() };
    let mended = edit(times, mend).await.unwrap();
    assert_eq!((mended.unreadable, mended.timing, mended.payload), (vec![], every(60), payload()));
    plan.pass(60);
    assert_eq!((plan.tick().await.enqueued, plan.slots_of(times).await), (2, vec![120]));
    plan.schedules.delete(&system(), what).await.unwrap();
    assert_eq!(list().await.len(), 2);
    // Nobody asks for such a one.
    let unreadable = || Timing::Unreadable { text: String::new() };
    let asked = NewSchedule { is_enabled: false, ..new("d", unreadable()) };
    assert_eq!(field(plan.schedules.create(&system(), asked).await.unwrap_err()), "timing");
    let worse = ScheduleChange { timing: Some(unreadable()), ..ScheduleChange::default() };
    assert_eq!(field(edit(sound, worse).await.unwrap_err()), "timing");
    assert!(serde_json::from_str::<Timing>(r#"{ "type": "unreadable", "text": "" }"#).is_err());
}
both_engines!(a_damaged_schedule_is_seen_mended_and_removed, &[&MIGRATIONS]);
