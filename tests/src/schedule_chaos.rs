//! Schedules under three schedulers that do not agree about the time: each slot has exactly one job.
//!
//! Time is simulated. The clock of each scheduler is wrong by up to an hour, by another error at every look, so that it also
//! runs backwards; some looks are broken off half way, as by a kill. Which slots there should have been is told by a
//! walk through every minute of the time zone that knows nothing of cron ([`Rule`]).

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::{DateTime, LocalResult, NaiveDateTime, TimeDelta, TimeZone as _, Timelike as _, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use stylobate_core::{Clock, RequestContext};
use stylobate_db::{Db, Scope};
use stylobate_jobs::{
    Attempt, CatchUp, Failed, Job, Jobs, MIGRATIONS, NewSchedule, Registry, Schedules, Timing,
};
use stylobate_testkit::{ManualClock, TestDb};
use uuid::Uuid;

use crate::Engine;

/// How many take part.
const SCHEDULERS: usize = 3;
/// By how many seconds a clock is wrong at most.
const WRONG_BY: i64 = 3_600;

/// How long is simulated, and how.
#[derive(Debug, Clone, Copy)]
pub struct ScheduleChaos {
    /// On which engine.
    pub engine: Engine,
    /// From 1 March 2026 at noon.
    pub days: i64,
    /// Repeats the run, as far as three schedulers at once can.
    pub seed: u64,
}

/// What was done and what came of it.
#[derive(Debug)]
pub struct ScheduleReport {
    /// How many slots there were.
    pub slots: usize,
    /// How often a scheduler looked.
    pub looks: usize,
    /// How many looks were broken off.
    pub broken_off: usize,
    /// Every broken promise, in words; none when all were kept.
    pub problems: Vec<String>,
    /// How long it took.
    pub took: Duration,
}

impl fmt::Display for ScheduleReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { slots, looks, broken_off, problems, took } = self;
        write!(
            f,
            "{slots} slots, {looks} looks by {SCHEDULERS} schedulers, {broken_off} of them broken off, in {:.0} s; problems \
             {problems:?}",
            took.as_secs_f64()
        )
    }
}

/// What is asked for.
#[derive(Debug, Serialize, Deserialize)]
struct Nothing;

impl Job for Nothing {
    const NAME: &'static str = "chaos.nothing";
    type State = ();
    type Output = ();
    type Error = Failed;

    async fn run(self, _attempt: Attempt, (): ()) -> Result<(), Failed> {
        Ok(())
    }
}

/// Which minutes are slots, told without cron.
#[derive(Debug, Clone, Copy)]
enum Rule {
    /// Once on every day: where the time does not exist, the first moment after the gap; where it comes twice, the first.
    Daily(u32, u32),
    /// Whenever the clocks show one of these minutes in one of these hours.
    Shown(&'static [u32], &'static [u32]),
}

const EVERY_HOUR: &[u32] =
    &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23];

/// Clocks are changed at 2 or 3 in Berlin, 1 or 2 in New York, by half an hour on Lord Howe, at midnight in Santiago, and at a
/// quarter to three or four on Chatham.
const CRONS: [(&str, Tz, Rule); 8] = [
    ("0 0 * * *", Tz::UTC, Rule::Daily(0, 0)),
    ("30 2 * * *", Tz::Europe__Berlin, Rule::Daily(2, 30)),
    ("30 1 * * *", Tz::America__New_York, Rule::Daily(1, 30)),
    ("15 2 * * *", Tz::Australia__Lord_Howe, Rule::Daily(2, 15)),
    ("0 0 * * *", Tz::America__Santiago, Rule::Daily(0, 0)),
    ("0 * * * *", Tz::Europe__Berlin, Rule::Shown(&[0], EVERY_HOUR)),
    ("*/30 0-4 * * *", Tz::America__New_York, Rule::Shown(&[0, 30], &[0, 1, 2, 3, 4])),
    ("45 1,2,3 * * *", Tz::Pacific__Chatham, Rule::Shown(&[45], &[1, 2, 3])),
];

const INTERVAL: u32 = 7 * 3_600 + 11;

impl ScheduleChaos {
    /// Runs it.
    ///
    /// # Panics
    /// When the database cannot be used at all.
    pub async fn run(self) -> ScheduleReport {
        let begun = Instant::now();
        let db = match self.engine {
            Engine::Sqlite => TestDb::sqlite(&[&MIGRATIONS]).await,
            Engine::Postgres => TestDb::postgres(&[&MIGRATIONS]).await,
        };
        let start = ManualClock::new().now();
        let end = start + TimeDelta::days(self.days);
        let mut schedulers = Vec::new();
        for _ in 0..SCHEDULERS {
            schedulers.push(Scheduler::new(db.open(&[]).await, start));
        }
        let wanted = make(&schedulers[0].schedules, start, end).await;

        let mut random = fastrand::Rng::with_seed(self.seed);
        let (mut looks, mut broken_off, mut now) = (0, 0, start);
        while now < end {
            now += TimeDelta::minutes(random.i64(1..180));
            for scheduler in &schedulers {
                let wrong = TimeDelta::seconds(random.i64(-WRONG_BY..=WRONG_BY));
                scheduler.set((now + wrong).clamp(start, end));
            }
            let [first, second, third] = &schedulers[..] else { unreachable!("there are three") };
            let mut patience = || match random.u8(..20) {
                0 => Duration::from_micros(random.u64(..4_000)),
                _ => Duration::from_secs(60),
            };
            let patience = [patience(), patience(), patience()];
            let done =
                tokio::join!(first.look(patience[0]), second.look(patience[1]), third.look(patience[2]));
            looks += SCHEDULERS;
            broken_off += [done.0, done.1, done.2].iter().filter(|is_whole| !**is_whole).count();
        }
        // What was broken off last is looked at again.
        schedulers[0].set(end);
        assert!(schedulers[0].look(Duration::from_secs(60)).await, "the last look ends");

        let mut problems = judge(&db, &wanted).await;
        problems.truncate(20);
        let slots = wanted.values().map(BTreeSet::len).sum();
        ScheduleReport { slots, looks, broken_off, problems, took: begun.elapsed() }
    }
}

struct Scheduler {
    clock: Arc<ManualClock>,
    schedules: Schedules,
}

impl Scheduler {
    fn new(db: Db, now: DateTime<Utc>) -> Self {
        let clock = Arc::new(ManualClock::at(now));
        let jobs = Jobs::new(db, Arc::clone(&clock) as Arc<dyn Clock>);
        Self { clock, schedules: Schedules::new(jobs, Registry::new().with::<Nothing>(())) }
    }

    fn set(&self, now: DateTime<Utc>) {
        self.clock.advance(now - self.clock.now());
    }

    /// Looks until nothing is due, or is broken off when its time is over; tells whether it was not.
    async fn look(&self, time: Duration) -> bool {
        let look = async {
            loop {
                // SQLite lets one write; who has waited too long looks again.
                if let Ok(ticked) = self.schedules.tick().await
                    && !ticked.has_more
                {
                    return;
                }
            }
        };
        tokio::time::timeout(time, look).await.is_ok()
    }
}

/// Makes the schedules; returns the slots that each must have.
async fn make(
    schedules: &Schedules,
    start: DateTime<Utc>,
    end: DateTime<Utc>,
) -> HashMap<Uuid, BTreeSet<DateTime<Utc>>> {
    let once = start + (end - start) / 2;
    let steps =
        std::iter::successors(Some(start), |slot| Some(*slot + TimeDelta::seconds(i64::from(INTERVAL))));
    let mut cases = vec![
        (Timing::Once { at: once }, BTreeSet::from([once])),
        (Timing::Interval { seconds: INTERVAL }, steps.skip(1).take_while(|slot| *slot <= end).collect()),
    ];
    for (expression, zone, rule) in CRONS {
        cases.push((Timing::cron(expression, zone.name()), rule.slots(zone, start, end)));
    }
    let mut wanted = HashMap::new();
    for (n, (timing, slots)) in cases.into_iter().enumerate() {
        let new = NewSchedule::of(format!("schedule {n}"), &Nothing, timing).expect("a schedule");
        let new = NewSchedule { catch_up: CatchUp::All { most: 1_000 }, ..new };
        let made =
            schedules.create(&RequestContext::system("chaos"), new).await.expect("a schedule to be made");
        wanted.insert(made.id.as_uuid(), slots);
    }
    wanted
}

impl Rule {
    /// After `start`, until `end`.
    fn slots(self, zone: Tz, start: DateTime<Utc>, end: DateTime<Utc>) -> BTreeSet<DateTime<Utc>> {
        match self {
            Self::Shown(minutes, hours) => {
                let every = std::iter::successors(Some(start), |time| Some(*time + TimeDelta::minutes(1)));
                let shown = |time: &DateTime<Utc>| {
                    let local = time.with_timezone(&zone);
                    minutes.contains(&local.minute()) && hours.contains(&local.hour())
                };
                every.skip(1).take_while(|time| *time <= end).filter(shown).collect()
            }
            Self::Daily(hour, minute) => {
                let days = start
                    .date_naive()
                    .iter_days()
                    .take_while(|day| *day <= end.date_naive().succ_opt().unwrap());
                let slots = days.map(|day| first_moment(zone, day.and_hms_opt(hour, minute, 0).unwrap()));
                slots.filter(|slot| *slot > start && *slot <= end).collect()
            }
        }
    }
}

/// When the clocks show `local` for the first time, or the first time after.
fn first_moment(zone: Tz, local: NaiveDateTime) -> DateTime<Utc> {
    match zone.from_local_datetime(&local) {
        LocalResult::Single(time) | LocalResult::Ambiguous(time, _) => time.with_timezone(&Utc),
        LocalResult::None => first_moment(zone, local + TimeDelta::minutes(1)),
    }
}

/// Holds the jobs that were asked for against the slots that there were.
async fn judge(db: &Db, wanted: &HashMap<Uuid, BTreeSet<DateTime<Utc>>>) -> Vec<String> {
    let mut tx = db.begin_read(Scope::Platform("chaos")).await.expect("the database");
    let rows: Vec<(Uuid, DateTime<Utc>)> = tx
        .q("SELECT schedule_id, slot FROM jobs WHERE schedule_id IS NOT NULL AND slot IS NOT NULL")
        .all()
        .await
        .expect("the jobs");
    let others: i64 = tx
        .q("SELECT count(*) FROM jobs WHERE schedule_id IS NULL OR slot IS NULL")
        .scalar()
        .await
        .expect("the jobs");
    let names: Vec<(Uuid, String, i64)> =
        tx.q("SELECT id, timing, skipped FROM schedules").all().await.expect("the schedules");
    tx.rollback().await.expect("the database");

    let mut problems = Vec::new();
    if others > 0 {
        problems.push(format!("{others} jobs have no slot"));
    }
    let mut asked: HashMap<Uuid, HashMap<DateTime<Utc>, usize>> = HashMap::new();
    for (schedule, slot) in rows {
        *asked.entry(schedule).or_default().entry(slot).or_default() += 1;
    }
    if names.len() != wanted.len() {
        problems.push(format!("{} schedules are {}", wanted.len(), names.len()));
    }
    for (id, timing, skipped) in names {
        let (wanted, asked) = (&wanted[&id], asked.remove(&id).unwrap_or_default());
        if skipped > 0 {
            problems.push(format!("{timing} left out {skipped} slots"));
        }
        for slot in wanted.iter().filter(|slot| !asked.contains_key(slot)) {
            problems.push(format!("{timing} has no job at {slot}"));
        }
        for (slot, jobs) in asked {
            if jobs > 1 {
                problems.push(format!("{timing} has {jobs} jobs at {slot}"));
            }
            if !wanted.contains(&slot) {
                problems.push(format!("{timing} has a job at {slot}, which is no slot"));
            }
        }
    }
    problems
}
