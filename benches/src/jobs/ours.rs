//! Our queue as a service would have it: workers with handles of their own, and the upkeep beside them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use stylobate_core::SystemClock;
use stylobate_db::{Db, Scope, Tx};
use stylobate_jobs::{
    Attempt, Failed, Job, Jobs, JobsError, MIGRATIONS, Registry, Request, Retention, Worker, WorkerOptions,
};
use stylobate_testkit::TestDb;
use stylobate_tests::Engine;
use tokio::{sync::watch, task::JoinSet};

use super::{AT_ONCE, Count, workers};
use crate::{
    Result,
    rounds::{Sample, cpu_time},
};

pub(super) const SCOPE: Scope = Scope::Platform("bench");

/// Does nothing.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Nothing {
    pub(super) n: usize,
}

impl Job for Nothing {
    const NAME: &'static str = "bench.nothing";
    type State = Count;
    type Output = ();
    type Error = Failed;

    async fn run(self, _attempt: Attempt, count: Count) -> std::result::Result<(), Failed> {
        count.add();
        Ok(())
    }
}

/// Says when it began.
#[derive(Debug, Serialize, Deserialize)]
struct Begun {
    n: usize,
}

type Begins = Arc<Mutex<HashMap<usize, Instant>>>;

impl Job for Begun {
    const NAME: &'static str = "bench.begun";
    type State = Begins;
    type Output = ();
    type Error = Failed;

    async fn run(self, _attempt: Attempt, begins: Begins) -> std::result::Result<(), Failed> {
        begins.lock().unwrap_or_else(PoisonError::into_inner).insert(self.n, Instant::now());
        Ok(())
    }
}

pub(super) struct Ours {
    pub(super) db: TestDb,
    pub(super) jobs: Jobs,
    /// One handle for each worker, as processes have them.
    handles: Vec<Db>,
}

impl Ours {
    pub(super) async fn new(engine: Engine) -> Result<Self> {
        let db = match engine {
            Engine::Sqlite => TestDb::sqlite(&[&MIGRATIONS]).await,
            Engine::Postgres => TestDb::postgres(&[&MIGRATIONS]).await,
        };
        let mut handles = Vec::new();
        for _ in 0..workers(engine) {
            handles.push(match engine {
                // One process has one handle there, and hints do not leave it.
                Engine::Sqlite => (*db).clone(),
                Engine::Postgres => db.open(&[]).await,
            });
        }
        let jobs = Jobs::new((*db).clone(), Arc::new(SystemClock));
        Ok(Self { db, jobs, handles })
    }

    /// Workers and upkeep until `stop` says otherwise.
    fn start(&self, registry: &Registry, stop: &watch::Receiver<bool>) -> JoinSet<()> {
        let mut running = JoinSet::new();
        let stopped = || {
            let mut stop = stop.clone();
            async move {
                let _ = stop.wait_for(|stop| *stop).await;
            }
        };
        for (n, db) in self.handles.iter().enumerate() {
            let jobs = Jobs::new(db.clone(), Arc::new(SystemClock));
            let options = WorkerOptions {
                name: format!("bench-{n}"),
                queues: vec![("default".to_owned(), AT_ONCE)],
                ..WorkerOptions::default()
            };
            let lease = options.lease;
            let (keeper, until) = (jobs.clone(), stopped());
            // Nothing is removed: finished rows are part of what is measured.
            running.spawn(async move { keeper.keep_up(lease, Retention::FOREVER, until).await });
            running.spawn(Worker::new(jobs, registry.clone(), options).run(stopped()));
        }
        running
    }

    /// How long `number` waiting jobs take until all are completed.
    pub(super) async fn drain(&self, number: usize) -> Result<Sample> {
        let jobs = self.jobs.clone();
        let ask = async move |tx: &mut Tx| {
            let waiting: Vec<Nothing> = (0..number).map(|n| Nothing { n }).collect();
            jobs.enqueue_many(tx, &waiting, Request::default()).await
        };
        self.db.transact(SCOPE, ask).await?;
        let count = Count::default();
        let registry = Registry::new().with::<Nothing>(count.clone());
        let (stop, stopped) = watch::channel(false);
        let (begun, cpu) = (Instant::now(), cpu_time());
        let mut running = self.start(&registry, &stopped);
        count.wait_for(number).await?;
        while self.unfinished().await? > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let sample = Sample::since(begun, cpu, number);
        stop.send_replace(true);
        while running.join_next().await.is_some() {}
        Ok(sample)
    }

    async fn unfinished(&self) -> std::result::Result<i64, JobsError> {
        let mut tx = self.db.begin_read(SCOPE).await?;
        let leased = tx.q("SELECT count(*) FROM jobs WHERE state = 'leased'").scalar().await?;
        tx.rollback().await?;
        Ok(leased)
    }

    /// How long it takes from asking for a job, commit included, until its handler begins, with idle workers.
    pub(super) async fn pick_up(&self, number: usize, every: Duration) -> Result<Vec<Duration>> {
        let begins = Begins::default();
        let registry = Registry::new().with::<Begun>(Arc::clone(&begins));
        let (stop, stopped) = watch::channel(false);
        let mut running = self.start(&registry, &stopped);
        tokio::time::sleep(Duration::from_millis(500)).await;
        let mut asked = Vec::with_capacity(number);
        for n in 0..number {
            asked.push(Instant::now());
            let jobs = self.jobs.clone();
            let ask = async move |tx: &mut Tx| jobs.enqueue(tx, &Begun { n }).await;
            self.db.transact(SCOPE, ask).await?;
            tokio::time::sleep(every).await;
        }
        let patience = Instant::now();
        while begins.lock().unwrap_or_else(PoisonError::into_inner).len() < number {
            if patience.elapsed() > Duration::from_secs(30) {
                return Err("not every job began".into());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        stop.send_replace(true);
        while running.join_next().await.is_some() {}
        let begins = begins.lock().unwrap_or_else(PoisonError::into_inner);
        let latency = |(n, asked): (usize, Instant)| Some(begins.get(&n)?.saturating_duration_since(asked));
        Ok(asked.into_iter().enumerate().filter_map(latency).collect())
    }
}
