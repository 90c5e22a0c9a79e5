use std::{future::Future, sync::Arc, time::Duration};

use tokio::task::JoinHandle;
use tokio_util::{
    sync::{CancellationToken, WaitForCancellationFuture},
    task::{TaskTracker, task_tracker::TaskTrackerToken},
};

use crate::Error;

/// How long running work may take to finish: what orchestrators give a process by default before they kill it.
const DEADLINE: Duration = Duration::from_secs(30);

/// Brings a service to a halt in two steps: *draining* (take no new work, finish what runs), then *cut* (the deadline
/// is over, drop what is left).
///
/// Clones are the same shutdown.
#[derive(Debug, Clone)]
pub struct Shutdown {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    draining: CancellationToken,
    cut: CancellationToken,
    tasks: TaskTracker,
    deadline: Duration,
}

/// How a drain ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct Drained {
    /// How many tasks were cut off.
    pub left: usize,
}

impl Drained {
    /// Whether everything finished by itself.
    #[must_use]
    pub fn is_clean(self) -> bool {
        self.left == 0
    }
}

impl Default for Shutdown {
    /// With a deadline of 30 s.
    fn default() -> Self {
        Self::new(DEADLINE)
    }
}

impl Shutdown {
    /// A shutdown that gives running work `deadline` to finish.
    #[must_use]
    pub fn new(deadline: Duration) -> Self {
        let inner = Inner {
            draining: CancellationToken::new(),
            cut: CancellationToken::new(),
            tasks: TaskTracker::new(),
            deadline,
        };
        Self { inner: Arc::new(inner) }
    }

    /// Begins to drain at the first SIGTERM or SIGINT and cuts at the second: who asks twice is in a hurry.
    ///
    /// # Errors
    /// [`Error::Signals`] when the process may not listen for signals.
    #[cfg(unix)]
    pub fn on_signals(&self) -> Result<(), Error> {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate()).map_err(Error::Signals)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::Signals)?;
        let shutdown = self.clone();
        tokio::spawn(async move {
            for step in [Self::begin, Self::cut_now] {
                let name = tokio::select! {
                    _ = terminate.recv() => "SIGTERM",
                    _ = interrupt.recv() => "SIGINT",
                };
                tracing::info!(signal = name, "stopping");
                step(&shutdown);
            }
        });
        Ok(())
    }

    /// Begins to drain at the first Ctrl-C and cuts at the second.
    ///
    /// # Errors
    /// None on this platform.
    #[cfg(not(unix))]
    pub fn on_signals(&self) -> Result<(), Error> {
        let shutdown = self.clone();
        tokio::spawn(async move {
            for step in [Self::begin, Self::cut_now] {
                if tokio::signal::ctrl_c().await.is_err() {
                    return;
                }
                tracing::info!(signal = "Ctrl-C", "stopping");
                step(&shutdown);
            }
        });
        Ok(())
    }

    /// Begins to drain. Doing it again changes nothing.
    pub fn begin(&self) {
        self.inner.draining.cancel();
    }

    /// Ends the patience: whoever watches [`cut`](Self::cut) drops its work now.
    pub fn cut_now(&self) {
        self.begin();
        self.inner.cut.cancel();
    }

    /// Whether new work is refused.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.inner.draining.is_cancelled()
    }

    /// Resolves when draining begins.
    pub fn draining(&self) -> WaitForCancellationFuture<'_> {
        self.inner.draining.cancelled()
    }

    /// Resolves when the deadline is over and what is left has to go.
    pub fn cut(&self) -> WaitForCancellationFuture<'_> {
        self.inner.cut.cancelled()
    }

    /// A token that is cancelled when draining begins, for libraries that take one.
    #[must_use]
    pub fn token(&self) -> CancellationToken {
        self.inner.draining.child_token()
    }

    /// Runs `work` as a task that the drain waits for. When the deadline is over it is dropped where it waits.
    pub fn spawn<F>(&self, work: F) -> JoinHandle<Option<F::Output>>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let cut = self.inner.cut.clone();
        // Boxed: it is moved twice on its way, and the task would keep room for all three of them.
        let work = Box::pin(work);
        self.inner.tasks.spawn(async move { cut.run_until_cancelled(work).await })
    }

    /// Counts as running work until it is dropped: for work that is not a task of its own, for example a connection.
    pub fn hold(&self) -> TaskTrackerToken {
        self.inner.tasks.token()
    }

    /// Waits until draining begins and then until all work is done, or the deadline is over.
    pub async fn wait(&self) -> Drained {
        self.draining().await;
        self.inner.tasks.close();
        tokio::select! {
            biased;
            () = self.inner.tasks.wait() => return Drained { left: 0 },
            () = self.cut() => {}
            () = tokio::time::sleep(self.inner.deadline) => {}
        }
        let left = self.inner.tasks.len();
        self.cut_now();
        tracing::warn!(left, "work was cut off");
        Drained { left }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn running_work_is_finished_before_the_end() {
        let shutdown = Shutdown::default();
        let work = shutdown.spawn(async {
            tokio::time::sleep(Duration::from_secs(20)).await;
            7
        });
        shutdown.begin();
        assert!(shutdown.wait().await.is_clean()); // A32
        assert_eq!(work.await.unwrap(), Some(7));
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_takes_longer_than_the_deadline_is_cut() {
        let shutdown = Shutdown::default();
        let work = shutdown.spawn(tokio::time::sleep(Duration::from_secs(3_600)));
        let begun = Instant::now();
        shutdown.begin();
        assert_eq!(shutdown.wait().await, Drained { left: 1 });
        assert_eq!(begun.elapsed(), DEADLINE);
        assert_eq!(work.await.unwrap(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_ends_before_it_begins() {
        let shutdown = Shutdown::default();
        let waited = tokio::time::timeout(Duration::from_secs(3_600), shutdown.wait()).await;
        assert!(waited.is_err() && !shutdown.is_draining());
    }

    #[tokio::test(start_paused = true)]
    async fn a_held_place_keeps_the_drain_waiting() {
        let shutdown = Shutdown::default();
        let place = shutdown.hold();
        shutdown.begin();
        let waiting = tokio::spawn({
            let shutdown = shutdown.clone();
            async move { shutdown.wait().await }
        });
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(!waiting.is_finished());
        drop(place);
        assert!(waiting.await.unwrap().is_clean());
    }

    #[tokio::test(start_paused = true)]
    async fn asking_twice_cuts_at_once() {
        let shutdown = Shutdown::default();
        let _place = shutdown.hold();
        shutdown.cut_now();
        assert_eq!(shutdown.wait().await, Drained { left: 1 });
        assert!(shutdown.token().is_cancelled());
    }
}
