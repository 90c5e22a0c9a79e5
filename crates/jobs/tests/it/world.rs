use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use serde::{Deserialize, Serialize};
use stylobate_core::{JobId, RequestContext, SystemClock};
use stylobate_db::{Db, Scope, Tx};
use stylobate_jobs::{
    Attempt, Backoff, Failed, Job, Jobs, Registry, Retention, State, Unique, Watch, Worker, WorkerOptions,
};
use stylobate_testkit::TestDb;
use tokio::{sync::oneshot, task::JoinHandle};

/// What a [`Chore`] does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum What {
    Succeed,
    FailTimes(u32),
    Discard,
    Panic,
    /// Longer than any test.
    Sleep,
    /// Until it should stop, then says so.
    Obey,
    Block(u64),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Chore {
    pub(crate) what: What,
    pub(crate) key: Option<String>,
    pub(crate) unique: Option<String>,
}

/// How often chores ran, and how many at once.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ran {
    pub(crate) runs: Arc<AtomicU32>,
    pub(crate) at_once: Arc<AtomicU32>,
    pub(crate) most: Arc<AtomicU32>,
    pub(crate) order: Arc<parking_lot_free::Order>,
}

/// A list behind the standard library's lock.
pub(crate) mod parking_lot_free {
    use std::sync::Mutex;
    use stylobate_core::TenantId;

    #[derive(Debug, Default)]
    pub(crate) struct Order(Mutex<Vec<Option<TenantId>>>);

    impl Order {
        pub(crate) fn push(&self, tenant: Option<TenantId>) {
            self.0.lock().unwrap().push(tenant);
        }

        pub(crate) fn all(&self) -> Vec<Option<TenantId>> {
            self.0.lock().unwrap().clone()
        }
    }
}

pub(crate) fn chore(what: What) -> Chore {
    Chore { what, key: None, unique: None }
}

impl Job for Chore {
    const NAME: &'static str = "tests.chore";
    const TIMEOUT: Duration = Duration::from_secs(1);
    const ATTEMPTS_MAX: u16 = 3;
    const BACKOFF: Backoff = Backoff { base: Duration::from_millis(20), max: Duration::from_millis(50) };
    const KEY_LIMIT: u16 = 2;
    type State = Ran;
    type Output = u32;
    type Error = Failed;

    fn key(&self) -> Option<String> {
        self.key.clone()
    }

    fn unique(&self) -> Option<Unique> {
        self.unique.clone().map(Unique::while_live)
    }

    async fn run(self, attempt: Attempt, ran: Ran) -> Result<u32, Failed> {
        ran.runs.fetch_add(1, Ordering::SeqCst);
        ran.order.push(attempt.tenant());
        let now = ran.at_once.fetch_add(1, Ordering::SeqCst) + 1;
        ran.most.fetch_max(now, Ordering::SeqCst);
        let result = match self.what {
            What::Succeed => {
                // Long enough for others to come in between.
                tokio::time::sleep(Duration::from_millis(5)).await;
                Ok(attempt.number())
            }
            What::FailTimes(times) if attempt.number() <= times => Err(Failed::retry("not yet")),
            What::FailTimes(_) => Ok(attempt.number()),
            What::Discard => Err(Failed::discard("never")),
            What::Panic => panic!("a bug in a handler"),
            What::Sleep => {
                tokio::time::sleep(Duration::from_secs(600)).await;
                Ok(0)
            }
            What::Obey => {
                attempt.progress(40, Some("half-way")).await?;
                attempt.stopped().await;
                Err(Failed::retry("told to stop"))
            }
            What::Block(millis) => {
                std::thread::sleep(Duration::from_millis(millis));
                Ok(attempt.number())
            }
        };
        ran.at_once.fetch_sub(1, Ordering::SeqCst);
        result
    }
}

pub(crate) struct World {
    pub(crate) db: TestDb,
    pub(crate) jobs: Jobs,
    pub(crate) ran: Ran,
}

pub(crate) fn system() -> RequestContext {
    RequestContext::system("tests")
}

pub(crate) const PLATFORM: Scope = Scope::Platform("tests");

pub(crate) fn options() -> WorkerOptions {
    WorkerOptions {
        lease: Duration::from_secs(2),
        poll: Duration::from_millis(50),
        cancel_grace: Duration::from_millis(300),
        drain: Duration::from_millis(300),
        ..WorkerOptions::default()
    }
}

/// A worker that runs until it is told to stop.
pub(crate) struct AtWork {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl AtWork {
    pub(crate) async fn stop(self) {
        let _ = self.stop.send(());
        self.task.await.unwrap();
    }

    /// From now on it claims nothing, says nothing and writes nothing; its handlers still run, as those of a process that
    /// has lost its database would.
    pub(crate) fn kill(self) {
        self.task.abort();
    }
}

/// Asks for any job on the platform.
pub(crate) async fn enqueue<J: Job>(world: &World, job: J) -> JobId {
    let (jobs, job) = (world.jobs.clone(), Arc::new(job));
    let enqueue = async move |tx: &mut Tx| jobs.enqueue(tx, &*job).await;
    world.db().transact(PLATFORM, enqueue).await.unwrap().id
}

impl World {
    pub(crate) fn new(db: TestDb) -> Self {
        let jobs = Jobs::new((*db).clone(), Arc::new(SystemClock));
        Self { db, jobs, ran: Ran::default() }
    }

    pub(crate) fn db(&self) -> &Db {
        &self.db
    }

    pub(crate) async fn enqueue_in(&self, scope: Scope, job: Chore) -> stylobate_jobs::Enqueued<Chore> {
        let jobs = self.jobs.clone();
        let enqueue = async move |tx: &mut Tx| jobs.enqueue(tx, &job).await;
        self.db().transact(scope, enqueue).await.unwrap()
    }

    pub(crate) async fn enqueue(&self, job: Chore) -> JobId {
        self.enqueue_in(PLATFORM, job).await.id
    }

    pub(crate) fn work(&self, options: WorkerOptions) -> AtWork {
        let registry = Registry::new().with::<Chore>(self.ran.clone());
        self.work_with(registry, options)
    }

    pub(crate) fn work_with(&self, registry: Registry, options: WorkerOptions) -> AtWork {
        let (stop, stopped) = oneshot::channel();
        let worker = Worker::new(self.jobs.clone(), registry, options);
        let task = tokio::spawn(worker.run(async {
            let _ = stopped.await;
        }));
        AtWork { stop, task }
    }

    /// Takes all leased jobs from their workers, as if these had not been heard of for long.
    pub(crate) async fn take_away_jobs(&self) {
        assert!(self.jobs.reclaim(&mut Watch::default(), Duration::ZERO).await.unwrap() > 0);
    }

    /// Takes jobs from silent workers, as one process of a deployment does.
    pub(crate) fn keep_up(&self, lease: Duration) -> AtWork {
        let (stop, stopped) = oneshot::channel();
        let jobs = self.jobs.clone();
        let task = tokio::spawn(async move {
            let stopped = async {
                let _ = stopped.await;
            };
            jobs.keep_up(lease, Retention::FOREVER, stopped).await;
        });
        AtWork { stop, task }
    }

    pub(crate) async fn state(&self, id: JobId) -> State {
        self.jobs.get(&system(), id).await.unwrap().state
    }

    /// Waits until the job is in `state`, at most ten seconds.
    pub(crate) async fn wait_for(&self, id: JobId, state: State) {
        for _ in 0..1_000 {
            if self.state(id).await == state {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the job is {:?}", self.jobs.get(&system(), id).await);
    }

    /// The counts as the table says them, and as the rows are.
    pub(crate) async fn assert_counts(&self) {
        self.jobs.draw_counts().await.unwrap();
        let told: Vec<_> =
            self.jobs.counts().await.unwrap().into_iter().filter(|(_, jobs)| *jobs > 0).collect();
        let mut tx = self.db().begin_read(PLATFORM).await.unwrap();
        let rows: Vec<(String, String, i64)> =
            tx.q("SELECT queue, state, count(*) FROM jobs GROUP BY queue, state").all().await.unwrap();
        let mut real: Vec<_> = rows
            .into_iter()
            .map(|(queue, state, jobs)| ((queue, state.parse::<State>().unwrap()), jobs.unsigned_abs()))
            .collect();
        real.sort();
        assert_eq!(told, real);
    }
}
