//! Claims, runs and ends jobs.

mod ending;
mod fetching;
mod free_places;
mod performing;
mod pulse;

use std::{future::Future, sync::Arc, time::Duration};

use tokio::{
    sync::{Semaphore, mpsc, watch},
    task::JoinSet,
    time::Instant,
};

use crate::{Jobs, Registry, attempt::Stop, record::shortened};
use pulse::Running;

/// How a worker works. What is out of its range counts as the nearest that is not.
#[derive(Debug, Clone)]
pub struct WorkerOptions {
    /// What it is called in the rows of its jobs: 1 to 119 characters, for example host and process id. Each worker adds a
    /// random part of its own.
    pub name: String,
    /// Its queues, and how many jobs of each it runs at once. Empty: every queue of the registry, ten at once.
    pub queues: Vec<(String, usize)>,
    /// How long a job stays with a worker that nothing is heard of. Default 30 s. Others take it over at most twice that
    /// after the worker has died. 1 s to 1 hour.
    pub lease: Duration,
    /// How often it looks for jobs when nobody has told it of any. Default 1 s, with some jitter. 10 ms to 1 minute.
    pub poll: Duration,
    /// How long a handler that should stop may go on before it is dropped. Default 10 s, at most 1 hour.
    pub cancel_grace: Duration,
    /// How long running jobs may go on when the worker shuts down; then they should stop, and after `cancel_grace` they are
    /// handed back. Default 20 s, at most 1 day.
    pub drain: Duration,
}

impl Default for WorkerOptions {
    fn default() -> Self {
        Self {
            name: format!("worker-{}", std::process::id()),
            queues: Vec::new(),
            lease: Duration::from_secs(30),
            poll: Duration::from_secs(1),
            cancel_grace: Duration::from_secs(10),
            drain: Duration::from_secs(20),
        }
    }
}

impl WorkerOptions {
    /// How many jobs of a queue run at once unless told otherwise.
    pub const CONCURRENCY: usize = 10;

    /// The shortest and the longest lease.
    pub(crate) const LEASES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(3_600));

    /// The same, all within their ranges: a lease of no time would be a loop without rest.
    fn checked(mut self) -> Self {
        let name = shortened(&self.name, 119);
        self.name = if name.is_empty() { Self::default().name } else { name };
        self.lease = self.lease.clamp(Self::LEASES.0, Self::LEASES.1);
        self.poll = self.poll.clamp(Duration::from_millis(10), Duration::from_secs(60));
        self.cancel_grace = self.cancel_grace.min(Duration::from_secs(3_600));
        self.drain = self.drain.min(Duration::from_secs(86_400));
        self
    }

    /// How often it says that it lives: three times before a lease is over.
    fn beat_every(&self) -> Duration {
        self.lease / 4
    }
}

/// Runs the jobs that its registry knows, until it is told to stop.
///
/// It keeps what it was promised without trusting clocks or the order of things: a job it claims has a lease with a token of
/// its own; it says several times per lease that it lives; and every statement about the job names the token. A worker that
/// froze and comes back finds its tokens void.
#[derive(Debug)]
pub struct Worker {
    jobs: Jobs,
    registry: Registry,
    options: WorkerOptions,
}

/// What the parts of a running worker share.
#[derive(Debug)]
pub(crate) struct Shared {
    jobs: Jobs,
    registry: Registry,
    options: WorkerOptions,
    running: Arc<Running>,
    /// Places for ends that are written one by one.
    alone: Semaphore,
    endings: mpsc::Sender<ending::Ending>,
}

impl Worker {
    /// A worker that knows `registry`.
    #[must_use]
    pub fn new(jobs: Jobs, registry: Registry, options: WorkerOptions) -> Self {
        let mut options = options.checked();
        // Host and process id come again when a container is started anew; what is said of one worker must not be of two.
        options.name = format!("{}-{:08x}", options.name, fastrand::u32(..));
        Self { jobs, registry, options }
    }

    /// Works until `shutdown` is done; then claims nothing more, and returns when what runs has finished or has been handed
    /// back. Survives a database that goes away and comes back. Dropping the future stops the handlers; others take their
    /// jobs over when the leases are over.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let Self { jobs, registry, options } = self;
        let queues = match options.queues.is_empty() {
            true => registry
                .queues()
                .iter()
                .map(|queue| ((*queue).to_owned(), WorkerOptions::CONCURRENCY))
                .collect(),
            false => options.queues.clone(),
        };
        let (endings, ended) = mpsc::channel(1_024);
        let running = Arc::<Running>::default();
        let _stops = StopsOnDrop(Arc::clone(&running));
        let alone = Semaphore::new(WRITTEN_ALONE);
        let shared = Arc::new(Shared { jobs, registry, options, running, alone, endings });
        let (stop, stopped) = watch::channel(false);

        let mut fetching = JoinSet::new();
        for (queue, concurrency) in queues {
            let worker = Arc::clone(&shared);
            fetching.spawn(fetching::fetch(worker, queue, concurrency.max(1), stopped.clone()));
        }
        let mut upkeep = JoinSet::new();
        upkeep.spawn(pulse::keep(Arc::clone(&shared)));
        upkeep.spawn(ending::write(Arc::clone(&shared), ended));

        shutdown.await;
        stop.send_replace(true);
        let deadline = Instant::now() + shared.options.drain;
        // A claim that the database does not answer is given up; if it was made, others take the jobs over.
        let claims_until = deadline.max(Instant::now() + CLAIMS_END);
        if tokio::time::timeout_at(claims_until, async { while fetching.join_next().await.is_some() {} })
            .await
            .is_err()
        {
            fetching.shutdown().await;
        }
        shared.running.drain(&shared.options, deadline).await;
        upkeep.shutdown().await;
    }
}

/// How many ends are written one by one at the same time.
const WRITTEN_ALONE: usize = 4;
/// How long a claim that is under way at shutdown has to come back, however short the drain is.
const CLAIMS_END: Duration = Duration::from_secs(2);

/// Tells the handlers that are left to stop when the worker is gone, or its future has been dropped: nobody says any more that
/// their jobs live.
struct StopsOnDrop(Arc<Running>);

impl Drop for StopsOnDrop {
    fn drop(&mut self) {
        self.0.stop_all(Stop::LeaseLost);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_out_of_their_ranges_count_as_the_nearest_within() {
        let zero = Duration::ZERO;
        let least = WorkerOptions {
            name: String::new(),
            lease: zero,
            poll: zero,
            cancel_grace: zero,
            drain: zero,
            ..WorkerOptions::default()
        };
        let least = least.checked();
        assert_eq!((least.lease, least.poll), (Duration::from_secs(1), Duration::from_millis(10)));
        assert_eq!((least.cancel_grace, least.drain), (zero, zero));
        assert_eq!(least.name, WorkerOptions::default().name);
        let most = Duration::MAX;
        let most = WorkerOptions {
            name: "\0é".repeat(100),
            lease: most,
            poll: most,
            cancel_grace: most,
            drain: most,
            ..WorkerOptions::default()
        };
        let most = most.checked();
        assert_eq!((most.lease, most.poll), (Duration::from_secs(3_600), Duration::from_secs(60)));
        assert_eq!(
            (most.cancel_grace, most.drain),
            (Duration::from_secs(3_600), Duration::from_secs(86_400))
        );
        assert_eq!((most.name.chars().count(), most.name.contains('\0')), (119, false));
        let usual = WorkerOptions::default();
        assert_eq!(format!("{:?}", usual.clone().checked()), format!("{usual:?}"));
    }
}
