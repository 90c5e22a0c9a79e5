//! The life of jobs in the real store, held against a model of it: whatever happens to jobs in whatever order, the rows are as
//! the table of transitions says.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use serde_json::json;
use stylobate_core::{Clock as _, JobId, RequestContext};
use stylobate_db::{ConstraintKind, Scope, Tx};
use stylobate_testkit::{ManualClock, TestDb, both_engines};
use uuid::Uuid;

use crate::{
    Backoff, Jobs, JobsError, MIGRATIONS, Retention, State, Step, Unique,
    kind::{Marks, Shape},
    store::{
        claim::{Ask, Lease, claim},
        finish::{Ended, finish},
        places, upkeep,
    },
    watch::Silent,
};

const SCOPE: Scope = Scope::Platform("a model of jobs");
const KEY_LIMIT: usize = 2;
const QUEUES: [&str; 2] = ["one", "two"];

/// Something that happens. The numbers choose among the jobs that there are.
#[derive(Debug, Clone)]
enum Happens {
    Enqueue {
        queue: usize,
        key: Option<u8>,
        unique: Option<(u8, bool)>,
        attempts_max: u16,
        later: u8,
    },
    Claim {
        queue: usize,
        most: u8,
    },
    End {
        which: usize,
        step: Step,
    },
    /// By somebody who lost the job.
    EndLate {
        which: usize,
        step: Step,
    },
    LoseWorker {
        which: usize,
    },
    /// Its worker says that it lives between the look at it and the decision.
    AlmostLoseWorker {
        which: usize,
    },
    Beat,
    Cancel {
        which: usize,
    },
    Retry {
        which: usize,
    },
    Edit {
        which: usize,
    },
    Prune,
    Pass {
        seconds: u8,
    },
}

fn happenings() -> impl Strategy<Value = Vec<Happens>> {
    let step = || {
        prop::sample::select(vec![
            Step::Succeed,
            Step::Fail,
            Step::Fail,
            Step::GiveUp,
            Step::Release,
            Step::EndCancelled,
        ])
    };
    let unique = prop::option::weighted(0.4, (0_u8..2, any::<bool>()));
    let one = prop_oneof![
        6 => (0..2_usize, prop::option::weighted(0.4, 0_u8..2), unique, 1_u16..4, prop_oneof![3 => Just(0_u8), 1 => 1_u8..100])
            .prop_map(|(queue, key, unique, attempts_max, later)| Happens::Enqueue { queue, key, unique, attempts_max, later }),
        6 => (0..2_usize, 1_u8..5).prop_map(|(queue, most)| Happens::Claim { queue, most }),
        5 => (any::<usize>(), step()).prop_map(|(which, step)| Happens::End { which, step }),
        2 => (any::<usize>(), step()).prop_map(|(which, step)| Happens::EndLate { which, step }),
        2 => any::<usize>().prop_map(|which| Happens::LoseWorker { which }),
        1 => any::<usize>().prop_map(|which| Happens::AlmostLoseWorker { which }),
        1 => Just(Happens::Beat),
        3 => any::<usize>().prop_map(|which| Happens::Cancel { which }),
        3 => any::<usize>().prop_map(|which| Happens::Retry { which }),
        1 => any::<usize>().prop_map(|which| Happens::Edit { which }),
        1 => Just(Happens::Prune),
        2 => (1_u8..120).prop_map(|seconds| Happens::Pass { seconds }),
    ];
    prop::collection::vec(one, 1..60)
}

/// A job as it ought to be.
#[derive(Debug, Clone)]
struct Model {
    queue: &'static str,
    state: State,
    attempt: u32,
    handed_back: u32,
    losses: u32,
    attempts_max: u32,
    run_at: DateTime<Utc>,
    cancel_requested: bool,
    key: Option<u8>,
    unique: Option<u8>,
    /// Whether it holds its unique key, if it has one, and until when at least.
    is_unique: bool,
    unique_until: Option<DateTime<Utc>>,
    lease: Option<Lease>,
    finished_at: Option<DateTime<Utc>>,
}

impl Model {
    /// Attempts that count.
    fn counted(&self) -> u32 {
        self.attempt - self.handed_back
    }

    fn holds_unique(&self, now: DateTime<Utc>) -> bool {
        self.is_unique && (self.finished_at.is_none() || self.unique_until.is_some_and(|until| until > now))
    }

    /// An attempt ended, or its worker was lost.
    fn end(&mut self, to: State, now: DateTime<Utc>) {
        let to = if self.cancel_requested && !to.is_finished() { State::Cancelled } else { to };
        self.state = to;
        self.finished_at = to.is_finished().then_some(now);
        self.is_unique = self.holds_unique(now);
        self.cancel_requested = false;
        self.lease = None;
    }
}

struct World<'a> {
    db: &'a TestDb,
    jobs: Jobs,
    clock: Arc<ManualClock>,
    model: BTreeMap<JobId, Model>,
    /// Leases that were lost, or ended.
    lost: Vec<Lease>,
}

fn wrong_state(result: &Result<(), JobsError>) -> bool {
    matches!(result, Err(JobsError::WrongState { .. }))
}

fn context() -> RequestContext {
    RequestContext::system("a model of jobs")
}

impl World<'_> {
    fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    fn nth(&self, which: usize) -> Option<JobId> {
        self.model.keys().nth(which.checked_rem(self.model.len())?).copied()
    }

    fn leased(&self, which: usize) -> Option<(JobId, Lease)> {
        let all: Vec<_> = self.model.iter().filter_map(|(id, job)| Some((*id, job.lease?))).collect();
        all.get(which.checked_rem(all.len())?).copied()
    }

    async fn happen(&mut self, what: Happens) {
        match what {
            Happens::Enqueue { queue, key, unique, attempts_max, later } => {
                self.enqueue(QUEUES[queue], key, unique, attempts_max, later).await;
            }
            Happens::Claim { queue, most } => self.claim(QUEUES[queue], most).await,
            Happens::End { which, step } => {
                if let Some((id, lease)) = self.leased(which) {
                    self.end(id, lease, step).await;
                }
            }
            Happens::EndLate { which, step } => {
                if let Some(index) = which.checked_rem(self.lost.len()) {
                    let lease = self.lost[index];
                    assert!(
                        !self.write_end(lease, step, State::Leased.after(step, true).unwrap()).await,
                        "A30"
                    );
                }
            }
            Happens::LoseWorker { which } => {
                if let Some((id, lease)) = self.leased(which) {
                    let job = &self.model[&id];
                    // All are the same worker's: beside others, the last attempt is made once more.
                    let is_alone = self.model.values().filter(|job| job.lease.is_some()).count() == 1;
                    let is_beside = !is_alone && job.attempts_max > 1 && job.losses < job.attempts_max + 20;
                    let (has_more, losses) = (job.counted() < job.attempts_max, job.losses);
                    let to = match State::Leased.after(Step::LoseWorker, has_more || is_beside) {
                        _ if job.cancel_requested => State::Cancelled,
                        to => to.unwrap(),
                    };
                    let now = self.now();
                    assert_eq!(self.reclaim(lease, is_alone, false).await, Some(to));
                    let job = self.model.get_mut(&id).unwrap();
                    job.end(to, now);
                    job.losses += 1;
                    if to == State::Retryable {
                        job.handed_back += u32::from(!has_more);
                        if losses > 0 {
                            job.run_at = self.jobs.get(&context(), id).await.unwrap().run_at;
                            let wait = Duration::from_secs(1 << (losses - 1).min(12))
                                .min(Duration::from_secs(3_600));
                            let waits = (job.run_at - now).to_std().unwrap();
                            assert!(waits >= wait * 3 / 4 && waits <= wait * 5 / 4, "{waits:?} of {wait:?}");
                        }
                    }
                    self.lost.push(lease);
                }
            }
            Happens::AlmostLoseWorker { which } => {
                if let Some((_, lease)) = self.leased(which) {
                    assert_eq!(self.reclaim(lease, false, true).await, None);
                }
            }
            Happens::Beat => self.beat().await,
            Happens::Cancel { which } => self.cancel(which).await,
            Happens::Retry { which } => self.retry(which).await,
            Happens::Edit { which } => {
                if let Some(id) = self.nth(which) {
                    let edited = self.jobs.edit(&context(), id, &json!({ "edited": true })).await.map(|_| ());
                    assert_eq!(wrong_state(&edited), self.model[&id].state == State::Leased);
                }
            }
            Happens::Prune => {
                let kept = TimeDelta::zero();
                let now = self.now();
                let removed =
                    self.jobs.prune(Retention { completed: kept, cancelled: kept, discarded: kept }).await;
                let before = self.model.len();
                self.model
                    .retain(|_, job| job.finished_at.is_none_or(|at| at >= now) || job.holds_unique(now));
                assert_eq!(removed.unwrap(), (before - self.model.len()) as u64);
            }
            Happens::Pass { seconds } => self.clock.advance(TimeDelta::seconds(seconds.into())),
        }
    }

    async fn enqueue(
        &mut self,
        queue: &'static str,
        key: Option<u8>,
        unique: Option<(u8, bool)>,
        attempts_max: u16,
        later: u8,
    ) {
        let now = self.now();
        let shape = Shape {
            name: "model",
            version: 1,
            queue,
            timeout_ms: 1_000,
            attempts_max,
            key_limit: u16::try_from(KEY_LIMIT).unwrap(),
            backoff: Backoff::DEFAULT,
        };
        let rule = unique.map(|(key, has_window)| Unique {
            key: key.to_string(),
            within: has_window.then_some(TimeDelta::seconds(60)),
        });
        let marks = Marks { key: key.map(|key| key.to_string()), unique: rule };
        let mut new = self.jobs.draft(&shape, marks, None, "{}".to_owned()).unwrap();
        new.run_at += TimeDelta::seconds(later.into());
        let (jobs, run_at, unique_until) = (self.jobs.clone(), new.run_at, new.unique_until);
        let enqueue = async move |tx: &mut Tx| jobs.store(tx, new.clone()).await;
        let enqueued = self.db.transact(SCOPE, enqueue).await.unwrap();
        let unique = unique.map(|(key, _)| key);
        let holder = self
            .model
            .iter()
            .find(|(_, job)| job.unique == unique && job.holds_unique(now) && unique.is_some());
        if let Some((id, _)) = holder {
            assert_eq!((enqueued.id, enqueued.is_new), (*id, false));
            return;
        }
        assert!(enqueued.is_new);
        for job in self.model.values_mut().filter(|job| job.unique == unique) {
            job.is_unique = job.holds_unique(now);
        }
        let job = Model {
            queue,
            state: State::Available,
            attempt: 0,
            handed_back: 0,
            losses: 0,
            attempts_max: attempts_max.into(),
            run_at,
            cancel_requested: false,
            key,
            unique,
            is_unique: unique.is_some(),
            unique_until,
            lease: None,
            finished_at: None,
        };
        assert!(self.model.insert(enqueued.id, job).is_none());
    }

    /// How many of `key` run.
    fn running(&self, queue: &str, key: u8) -> usize {
        self.model
            .values()
            .filter(|job| job.lease.is_some() && job.queue == queue && job.key == Some(key))
            .count()
    }

    async fn claim(&mut self, queue: &'static str, most: u8) {
        let now = self.now();
        let take = async move |tx: &mut Tx| {
            // As upkeep does now and then: a place of a key is free, too, after a job that had it in view was called off.
            places::release_free(tx, queue).await?;
            let ask = Ask { queue, worker: "model", most: most.into(), from: Uuid::nil() };
            loop {
                match claim(tx, ask, now).await {
                    Err(stylobate_db::Error::Constraint { kind: ConstraintKind::Unique, .. }) => {
                        panic!("alone, it collides")
                    }
                    // It has put some aside, and looks at what was behind them.
                    Ok(taken) if taken.jobs.is_empty() && !taken.at_end => {}
                    result => return Ok::<_, JobsError>(result?),
                }
            }
        };
        let taken = self.db.transact(SCOPE, take).await.unwrap();
        let may_run = |job: &Model| {
            job.queue == queue
                && job.state.is_waiting()
                && job.run_at <= now
                && job.key.is_none_or(|key| self.running(queue, key) < KEY_LIMIT)
        };
        assert_eq!(taken.jobs.is_empty(), !self.model.values().any(may_run), "{:?}", taken.jobs);
        assert!(taken.jobs.len() <= usize::from(most));
        for claimed in taken.jobs {
            let job = self.model.get_mut(&claimed.lease.id).unwrap();
            assert!(job.queue == queue && job.run_at <= now);
            job.state = job.state.after(Step::Claim, true).unwrap();
            job.attempt += 1;
            job.cancel_requested = false;
            job.lease = Some(claimed.lease);
            assert_eq!((claimed.attempt, claimed.attempts_max), (job.counted(), job.attempts_max));
            if let Some(key) = job.key {
                assert!(self.running(queue, key) <= KEY_LIMIT);
            }
        }
    }

    /// Tells whether the end was accepted.
    async fn write_end(&self, lease: Lease, step: Step, to: State) -> bool {
        let now = self.now();
        let run_at = (to == State::Retryable).then_some(now + TimeDelta::seconds(10));
        let ended = Ended { run_at, handed_back: step == Step::Release, ..Ended::new(lease, to) };
        let write =
            async move |tx: &mut Tx| Ok::<_, JobsError>(finish(tx, std::slice::from_ref(&ended), now).await?);
        self.db.transact(SCOPE, write).await.unwrap() == [lease]
    }

    async fn end(&mut self, id: JobId, lease: Lease, step: Step) {
        let now = self.now();
        let job = &self.model[&id];
        let to = State::Leased.after(step, job.counted() < job.attempts_max).unwrap();
        assert!(self.write_end(lease, step, to).await);
        let job = self.model.get_mut(&id).unwrap();
        job.handed_back += u32::from(step == Step::Release);
        job.losses = 0;
        if to == State::Retryable {
            job.run_at = now + TimeDelta::seconds(10);
        }
        job.end(to, now);
        self.lost.push(lease);
    }

    async fn reclaim(&self, lease: Lease, is_alone: bool, beats: bool) -> Option<State> {
        let now = self.now();
        let look = async move |tx: &mut Tx| {
            let pulses = upkeep::pulses(tx).await?;
            let pulse = pulses
                .into_iter()
                .find(|pulse| pulse.lease_token == lease.token && pulse.id == lease.id.as_uuid());
            let pulse = pulse.unwrap();
            if beats {
                upkeep::beat(tx, &[lease]).await?;
            }
            let silent = Silent { pulse, silence: Duration::from_secs(1), is_alone };
            Ok::<_, JobsError>(upkeep::reclaim(tx, &[silent], now).await?)
        };
        let taken = self.db.transact(SCOPE, look).await.unwrap();
        taken.first().map(|(_, state)| *state)
    }

    async fn beat(&self) {
        let held: BTreeMap<JobId, bool> = self
            .model
            .iter()
            .filter(|(_, job)| job.lease.is_some())
            .map(|(id, job)| (*id, job.cancel_requested))
            .collect();
        let held_leases = self.model.values().filter_map(|job| job.lease);
        let leases: Vec<Lease> = held_leases.chain(self.lost.iter().copied()).collect();
        let beat = async move |tx: &mut Tx| Ok::<_, JobsError>(upkeep::beat(tx, &leases).await?);
        let beaten = self.db.transact(SCOPE, beat).await.unwrap();
        assert!(beaten.iter().all(|one| one.is_beaten));
        let beaten = beaten.into_iter().map(|one| (JobId::from_uuid(one.id), one.is_cancelled));
        assert_eq!(beaten.collect::<BTreeMap<_, _>>(), held);
    }

    async fn cancel(&mut self, which: usize) {
        let (Some(id), now) = (self.nth(which), self.now()) else { return };
        let cancelled = self.jobs.cancel(&context(), id).await.map(|_| ());
        let job = self.model.get_mut(&id).unwrap();
        match job.state.after(Step::Cancel, true) {
            None => assert!(wrong_state(&cancelled)),
            Some(State::Leased) => {
                cancelled.unwrap();
                job.cancel_requested = true;
            }
            Some(to) => {
                cancelled.unwrap();
                (job.state, job.finished_at, job.is_unique) = (to, Some(now), false);
            }
        }
    }

    async fn retry(&mut self, which: usize) {
        let (Some(id), now) = (self.nth(which), self.now()) else { return };
        let retried = self.jobs.retry(&context(), id).await.map(|_| ());
        let job = self.model[&id].clone();
        let Some(to) = job.state.after(Step::Retry, true) else {
            assert!(wrong_state(&retried), "{retried:?}");
            return;
        };
        let others = |other: &(&JobId, &Model)| {
            *other.0 != id && other.1.unique == job.unique && other.1.holds_unique(now)
        };
        if job.unique.is_some() && self.model.iter().any(|other| others(&other)) {
            assert!(matches!(retried, Err(JobsError::NotUnique)), "{retried:?}");
            return;
        }
        retried.unwrap();
        for other in
            self.model.values_mut().filter(|other| job.unique.is_some() && other.unique == job.unique)
        {
            other.is_unique = other.holds_unique(now);
        }
        let job = self.model.get_mut(&id).unwrap();
        (job.state, job.attempt, job.run_at, job.finished_at) = (to, 0, now, None);
        (job.is_unique, job.cancel_requested) = (job.unique.is_some(), false);
        (job.handed_back, job.losses) = (0, 0);
    }

    /// The rows are as the model says, and the counts are as the rows.
    async fn compare(&self) {
        type Row = (Uuid, String, i64, i64, i64, i64, bool, DateTime<Utc>, Option<DateTime<Utc>>);
        let mut tx = self.db.begin_read(SCOPE).await.unwrap();
        let rows: Vec<Row> = tx
            .q("SELECT id, state, attempt, handed_back, losses, attempts_max, cancel_requested, run_at, finished_at FROM jobs ORDER BY id")
            .all()
            .await
            .unwrap();
        tx.rollback().await.unwrap();
        let expected: Vec<Row> = self
            .model
            .iter()
            .map(|(id, job)| {
                let state = job.state.as_str().to_owned();
                let (attempt, most) = (job.attempt.into(), job.attempts_max.into());
                let (handed_back, losses) = (job.handed_back.into(), job.losses.into());
                (
                    id.as_uuid(),
                    state,
                    attempt,
                    handed_back,
                    losses,
                    most,
                    job.cancel_requested,
                    job.run_at,
                    job.finished_at,
                )
            })
            .collect();
        assert_eq!(rows, expected);
        let mut counts: BTreeMap<(String, State), u64> = BTreeMap::new();
        for job in self.model.values() {
            *counts.entry((job.queue.to_owned(), job.state)).or_default() += 1;
        }
        let told = self.jobs.counts().await.unwrap();
        assert_eq!(told.into_iter().filter(|(_, jobs)| *jobs > 0).collect::<BTreeMap<_, _>>(), counts);
    }
}

/// Runs them on an empty store.
async fn go_through(db: &TestDb, all: Vec<Happens>) {
    let clear = async |tx: &mut Tx| {
        tx.q("DELETE FROM jobs").run().await?;
        tx.q("DELETE FROM job_counts").run().await?;
        tx.q("DELETE FROM job_count_changes").run().await?;
        Ok::<_, JobsError>(())
    };
    db.transact(SCOPE, clear).await.unwrap();
    let clock = Arc::new(ManualClock::new());
    let jobs = Jobs::new((**db).clone(), Arc::<ManualClock>::clone(&clock));
    let mut world = World { db, jobs, clock, model: BTreeMap::new(), lost: Vec::new() };
    for what in all {
        world.happen(what).await;
        world.compare().await;
    }
    world.jobs.draw_counts().await.unwrap();
    world.compare().await;
}

async fn whatever_happens_to_jobs_their_rows_are_as_the_model_says(db: TestDb) {
    let config = Config { cases: 40, failure_persistence: None, max_shrink_iters: 300, ..Config::default() };
    let runtime = tokio::runtime::Handle::current();
    let run = |all| {
        tokio::task::block_in_place(|| runtime.block_on(go_through(&db, all)));
        Ok(())
    };
    tokio::task::block_in_place(|| TestRunner::new(config).run(&happenings(), run)).unwrap();
}
both_engines!(whatever_happens_to_jobs_their_rows_are_as_the_model_says, &[&MIGRATIONS]);
