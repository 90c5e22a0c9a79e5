//! Schedules in the real store, held against a model of them: whatever people and clocks do while three schedulers look at the
//! same time, the rows and the jobs are as the pure decision says.

use chrono::{DateTime, TimeDelta, Utc};
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use stylobate_core::{JobId, ScheduleId};
use stylobate_db::Tx;
use stylobate_jobs::{
    CatchUp, JobsError, MIGRATIONS, NewSchedule, Overlap, Schedule, ScheduleChange, Timing, tick,
};
use stylobate_testkit::{TestDb, both_engines};
use uuid::Uuid;

use crate::{
    plan::{Plan, new},
    world::{PLATFORM, system},
};

/// When, told from the present so that it can be soon.
#[derive(Debug, Clone)]
enum When {
    Cron(&'static str, &'static str),
    Every(u32),
    /// In so many seconds.
    Once(i64),
}

impl When {
    fn timing(&self, now: DateTime<Utc>) -> Timing {
        match self {
            Self::Cron(expression, zone) => Timing::cron(*expression, *zone),
            Self::Every(seconds) => Timing::Interval { seconds: *seconds },
            Self::Once(seconds) => Timing::Once { at: now + TimeDelta::seconds(*seconds) },
        }
    }
}

/// Something that happens. The numbers choose among the schedules that there are.
#[derive(Debug, Clone)]
enum Happens {
    Create {
        when: When,
        catch_up: CatchUp,
        overlap: Overlap,
        is_enabled: bool,
    },
    Time {
        which: usize,
        when: When,
    },
    Rule {
        which: usize,
        catch_up: CatchUp,
        overlap: Overlap,
    },
    Switch {
        which: usize,
        is_enabled: bool,
    },
    RunNow {
        which: usize,
    },
    /// All its jobs end.
    Finish {
        which: usize,
    },
    Delete {
        which: usize,
    },
    Look,
    Pass {
        seconds: i64,
    },
}

fn happenings() -> impl Strategy<Value = Vec<Happens>> {
    let when = || {
        prop_oneof![
            prop::sample::select(vec![
                ("*/5 * * * *", "UTC"),
                ("0 * * * *", "Europe/Berlin"),
                ("*/20 0-14 * * *", "Asia/Kolkata")
            ])
            .prop_map(|(expression, zone)| When::Cron(expression, zone)),
            (30_u32..4_000).prop_map(When::Every),
            (-1_000_i64..8_000).prop_map(When::Once),
        ]
    };
    let catch_up = || {
        prop_oneof![
            Just(CatchUp::Skip),
            Just(CatchUp::One),
            (1_u16..20).prop_map(|most| CatchUp::All { most })
        ]
    };
    let overlap = || prop_oneof![2 => Just(Overlap::Allow), 1 => Just(Overlap::Skip)];
    let which = any::<usize>;
    let one = prop_oneof![
        3 => (when(), catch_up(), overlap(), prop::bool::weighted(0.8))
            .prop_map(|(when, catch_up, overlap, is_enabled)| Happens::Create { when, catch_up, overlap, is_enabled }),
        2 => (which(), when()).prop_map(|(which, when)| Happens::Time { which, when }),
        2 => (which(), catch_up(), overlap())
            .prop_map(|(which, catch_up, overlap)| Happens::Rule { which, catch_up, overlap }),
        2 => (which(), any::<bool>()).prop_map(|(which, is_enabled)| Happens::Switch { which, is_enabled }),
        1 => which().prop_map(|which| Happens::RunNow { which }),
        2 => which().prop_map(|which| Happens::Finish { which }),
        1 => which().prop_map(|which| Happens::Delete { which }),
        7 => Just(Happens::Look),
        6 => prop_oneof![4 => 1_i64..600, 2 => 600_i64..8_000, 1 => -3_600_i64..0]
            .prop_map(|seconds| Happens::Pass { seconds }),
    ];
    prop::collection::vec(one, 1..50)
}

/// A schedule as it ought to be.
struct Model {
    schedule: Schedule,
    ran: Vec<DateTime<Utc>>,
    unfinished: usize,
}

/// The first slot after the present and all that ran, or why there is none.
fn first_slot(schedule: &Schedule, now: DateTime<Utc>) -> Option<Option<DateTime<Utc>>> {
    if !schedule.is_enabled {
        return Some(None);
    }
    let from = schedule.last_slot.map_or(now, |slot| slot.max(now));
    schedule.timing.upcoming(from, 1).unwrap().first().map(|slot| Some(*slot))
}

struct World<'a> {
    plan: &'a Plan,
    model: Vec<Model>,
    made: usize,
}

impl World<'_> {
    fn nth(&mut self, which: usize) -> Option<&mut Model> {
        let index = which.checked_rem(self.model.len())?;
        self.model.get_mut(index)
    }

    async fn happen(&mut self, what: Happens) {
        let now = self.plan.now();
        match what {
            Happens::Create { when, catch_up, overlap, is_enabled } => {
                self.made += 1;
                let new = NewSchedule {
                    catch_up,
                    overlap,
                    is_enabled,
                    ..new(&format!("schedule {}", self.made), when.timing(now))
                };
                match self.plan.schedules.create(&system(), new).await {
                    Ok(schedule) => {
                        assert_eq!(Some(schedule.next_run_at), first_slot(&schedule, now));
                        self.model.push(Model { schedule, ran: Vec::new(), unfinished: 0 });
                    }
                    Err(error) => {
                        assert!(is_too_late(&error, &when) && is_enabled, "{error:?} {when:?}")
                    }
                }
            }
            Happens::Time { which, when } => {
                self.edit(
                    which,
                    ScheduleChange { timing: Some(when.timing(now)), ..ScheduleChange::default() },
                )
                .await;
            }
            Happens::Rule { which, catch_up, overlap } => {
                let change = ScheduleChange {
                    catch_up: Some(catch_up),
                    overlap: Some(overlap),
                    ..ScheduleChange::default()
                };
                self.edit(which, change).await;
            }
            Happens::Switch { which, is_enabled } => {
                self.edit(
                    which,
                    ScheduleChange { is_enabled: Some(is_enabled), ..ScheduleChange::default() },
                )
                .await;
            }
            Happens::RunNow { which } => {
                let plan = self.plan;
                if let Some(model) = self.nth(which) {
                    let enqueued = plan.schedules.run_now(&system(), model.schedule.id).await.unwrap();
                    assert!(enqueued.is_new);
                    model.schedule.last_job_id = Some(enqueued.id);
                    model.unfinished += 1;
                }
            }
            Happens::Finish { which } => {
                let plan = self.plan;
                if let Some(model) = self.nth(which) {
                    let unfinished = jobs(plan, model.schedule.id).await.into_iter().filter(|job| job.2);
                    for (id, _, _) in unfinished {
                        plan.jobs.cancel(&system(), JobId::from_uuid(id)).await.unwrap();
                    }
                    model.unfinished = 0;
                }
            }
            Happens::Delete { which } => {
                let plan = self.plan;
                if let Some(index) = which.checked_rem(self.model.len()) {
                    let id = self.model.remove(index).schedule.id;
                    plan.schedules.delete(&system(), id).await.unwrap();
                    assert_eq!(plan.schedules.get(&system(), id).await.unwrap_err().code(), "not_found");
                }
            }
            Happens::Look => self.look().await,
            Happens::Pass { seconds } => self.plan.pass(seconds),
        }
    }

    async fn edit(&mut self, which: usize, change: ScheduleChange) {
        let (plan, now) = (self.plan, self.plan.now());
        let Some(model) = self.nth(which) else { return };
        let mut after = model.schedule.clone();
        let ScheduleChange { timing, catch_up, overlap, is_enabled, .. } = change.clone();
        after.timing = timing.unwrap_or(after.timing);
        after.catch_up = catch_up.unwrap_or(after.catch_up);
        after.overlap = overlap.unwrap_or(after.overlap);
        after.is_enabled = is_enabled.unwrap_or(after.is_enabled);
        let before = &model.schedule;
        let edited = plan.schedules.update(&system(), before.id, change, Some(before.version)).await;
        if (&after.timing, after.is_enabled) != (&before.timing, before.is_enabled) {
            let Some(next) = first_slot(&after, now) else {
                assert!(matches!(edited, Err(JobsError::Invalid { field: "at", .. })), "{edited:?}");
                return;
            };
            after.next_run_at = next;
        }
        (after.version, after.updated_at) = (after.version + 1, now);
        assert_eq!(edited.unwrap(), after);
        model.schedule = after;
    }

    /// Three schedulers at once.
    async fn look(&mut self) {
        let mut looks = tokio::task::JoinSet::new();
        for _ in 0..3 {
            let schedules = self.plan.schedules.clone();
            looks.spawn(async move { schedules.tick().await.unwrap() });
        }
        let (mut enqueued, mut skipped) = (0, 0);
        while let Some(look) = looks.join_next().await {
            let ticked = look.unwrap();
            assert_eq!((ticked.unserved, ticked.has_more), (0, false));
            enqueued += ticked.enqueued;
            skipped += usize::try_from(ticked.skipped).unwrap();
        }
        let (now, mut expected) = (self.plan.now(), (0, 0));
        for model in &mut self.model {
            let schedule = &mut model.schedule;
            let Some(from) = schedule.next_run_at.filter(|next| *next <= now) else { continue };
            let mut ticks = tick(&schedule.timing, schedule.catch_up, from, now).unwrap();
            if schedule.overlap == Overlap::Skip {
                let most = usize::from(model.unfinished == 0).min(ticks.slots.len());
                ticks.skipped += ticks.slots.len() - most;
                ticks.slots.truncate(most);
            }
            expected = (expected.0 + ticks.slots.len(), expected.1 + ticks.skipped);
            schedule.next_run_at = ticks.next_run_at;
            schedule.last_slot = ticks.slots.last().copied().or(schedule.last_slot);
            schedule.skipped += i64::try_from(ticks.skipped).unwrap();
            model.unfinished += ticks.slots.len();
            model.ran.extend(ticks.slots);
        }
        assert_eq!((enqueued, skipped), expected);
    }

    async fn compare(&mut self) {
        for model in &mut self.model {
            let stored = self.plan.get(model.schedule.id).await;
            let jobs = jobs(self.plan, stored.id).await;
            let slots: Vec<_> = jobs.iter().filter_map(|(_, slot, _)| *slot).collect();
            model.ran.sort_unstable();
            assert_eq!(slots, model.ran);
            assert_eq!(jobs.iter().filter(|(_, _, is_unfinished)| *is_unfinished).count(), model.unfinished);
            // Which of several jobs is the last is the store's to say, if it is one of them.
            if let Some(last) = stored.last_job_id {
                assert!(jobs.iter().any(|(id, _, _)| *id == last.as_uuid()));
            }
            model.schedule.last_job_id = stored.last_job_id;
            assert_eq!(stored, model.schedule);
        }
    }
}

fn is_too_late(error: &JobsError, when: &When) -> bool {
    matches!((error, when), (JobsError::Invalid { field: "at", .. }, When::Once(i64::MIN..=0)))
}

/// The jobs of a schedule: id, slot, and whether it has not finished; by slot.
async fn jobs(plan: &Plan, id: ScheduleId) -> Vec<(Uuid, Option<DateTime<Utc>>, bool)> {
    let mut tx = plan.db.begin_read(PLATFORM).await.unwrap();
    let rows = tx
        .q("SELECT id, slot, finished_at IS NULL FROM jobs WHERE schedule_id = $1 ORDER BY slot")
        .bind(id.as_uuid())
        .all()
        .await;
    tx.rollback().await.unwrap();
    rows.unwrap()
}

async fn go_through(plan: &Plan, all: Vec<Happens>) {
    let clear = async |tx: &mut Tx| {
        tx.q("DELETE FROM schedules").run().await?;
        tx.q("DELETE FROM jobs").run().await?;
        Ok::<_, JobsError>(())
    };
    plan.db.transact(PLATFORM, clear).await.unwrap();
    let mut world = World { plan, model: Vec::new(), made: 0 };
    for what in all {
        world.happen(what).await;
        world.compare().await;
    }
}

async fn whatever_happens_to_schedules_their_rows_and_jobs_are_as_the_model_says(db: TestDb) {
    let plan = Plan::new(db);
    let config = Config { cases: 30, failure_persistence: None, max_shrink_iters: 200, ..Config::default() };
    let runtime = tokio::runtime::Handle::current();
    let run = |all| {
        tokio::task::block_in_place(|| runtime.block_on(go_through(&plan, all)));
        Ok(())
    };
    tokio::task::block_in_place(|| TestRunner::new(config).run(&happenings(), run)).unwrap();
}
both_engines!(whatever_happens_to_schedules_their_rows_and_jobs_are_as_the_model_says, &[&MIGRATIONS]);
