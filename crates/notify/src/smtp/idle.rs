use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep};

use super::connection::Connection;

/// How long a connection is kept for the next mail.
const KEPT: Duration = Duration::from_secs(30);
/// How many are kept.
const KEPT_MAX: usize = 4;

/// Connections that wait for the next mail. Only one whose last command was answered, once, comes here: one that was given up in the
/// middle would take the late answer for that of the next command.
pub(super) struct Idle<C = Connection>(Mutex<Kept<C>>);

struct Kept<C> {
    /// The one that was used last at the end, with when that was.
    connections: Vec<(Instant, C)>,
    /// Whether a task closes what nobody has used for a while.
    is_swept: bool,
}

impl<C> Default for Idle<C> {
    fn default() -> Self {
        Self(Mutex::new(Kept { connections: Vec::new(), is_swept: false }))
    }
}

impl Idle {
    pub(super) fn keep(self: &Arc<Self>, connection: Connection) {
        if connection.is_whole() {
            self.keep_whole(connection);
        }
    }
}

impl<C: Send + 'static> Idle<C> {
    /// The one that was used last.
    pub(super) fn take(&self) -> Option<C> {
        let mut kept = self.lock();
        kept.forget_old();
        kept.connections.pop().map(|(_, connection)| connection)
    }

    fn keep_whole(self: &Arc<Self>, connection: C) {
        let mut kept = self.lock();
        if kept.connections.len() >= KEPT_MAX {
            return;
        }
        kept.connections.push((Instant::now(), connection));
        if std::mem::replace(&mut kept.is_swept, true) {
            return;
        }
        // Until none is kept: servers do not like clients that say nothing.
        let idle = Arc::downgrade(self);
        tokio::spawn(async move {
            loop {
                sleep(KEPT).await;
                let Some(idle) = idle.upgrade() else { return };
                let mut kept = idle.lock();
                kept.forget_old();
                if kept.connections.is_empty() {
                    kept.is_swept = false;
                    return;
                }
            }
        });
    }

    fn lock(&self) -> MutexGuard<'_, Kept<C>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<C> Kept<C> {
    fn forget_old(&mut self) {
        self.connections.retain(|(since, _)| since.elapsed() < KEPT);
    }
}

#[cfg(test)]
mod tests {
    use tokio::runtime::Handle;

    use super::*;

    fn tasks() -> usize {
        Handle::current().metrics().num_alive_tasks()
    }

    #[tokio::test(start_paused = true)]
    async fn one_task_closes_what_nobody_uses_however_many_mails_there_are() {
        let idle = Arc::new(Idle::default());
        for _ in 0..100 {
            idle.keep_whole("connection");
            assert_eq!(idle.take(), Some("connection"));
        }
        assert_eq!((idle.take(), tasks()), (None, 1));
        // It ends when there is nothing left to close, and begins anew with what comes then.
        sleep(2 * KEPT).await;
        assert_eq!(tasks(), 0);
        idle.keep_whole("another");
        assert_eq!(tasks(), 1);
        sleep(2 * KEPT).await;
        assert_eq!((idle.take(), tasks()), (None, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn the_one_that_was_used_last_comes_first_and_few_are_kept() {
        let idle = Arc::new(Idle::default());
        for n in 0..KEPT_MAX + 2 {
            idle.keep_whole(n);
        }
        assert_eq!([idle.take(), idle.take()], [Some(KEPT_MAX - 1), Some(KEPT_MAX - 2)]);
        sleep(KEPT).await;
        assert_eq!(idle.take(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_closes_goes_with_what_is_kept() {
        let idle = Arc::new(Idle::default());
        idle.keep_whole("connection");
        drop(idle);
        sleep(2 * KEPT).await;
        assert_eq!(tasks(), 0);
    }
}
