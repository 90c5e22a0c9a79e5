use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// Until when the statements of a transaction may run, asked by SQLite's progress handler: the engine has no statement
/// time-out, and a statement that nobody waits for any more would keep the only writer until it is done.
///
/// It can be moved and lifted without a visit to the thread that owns the connection.
#[derive(Debug)]
pub(crate) struct Deadline {
    origin: Instant,
    /// Nanoseconds after the origin; [`LIFTED`] when there is no limit.
    at: AtomicU64,
}

const LIFTED: u64 = u64::MAX;

impl Deadline {
    /// No limit yet.
    pub(crate) fn new() -> Self {
        Self { origin: Instant::now(), at: AtomicU64::new(LIFTED) }
    }

    /// The limit is `left` from now on.
    pub(crate) fn set(&self, left: Duration) {
        let at = u64::try_from((self.origin.elapsed() + left).as_nanos()).unwrap_or(LIFTED);
        self.at.store(at, Ordering::Relaxed);
    }

    /// There is no limit any more.
    pub(crate) fn lift(&self) {
        self.at.store(LIFTED, Ordering::Relaxed);
    }

    /// Whether the limit is behind us.
    pub(crate) fn has_passed(&self) -> bool {
        let at = self.at.load(Ordering::Relaxed);
        at != LIFTED && self.origin.elapsed() > Duration::from_nanos(at)
    }
}

/// The deadline of whichever connection is the writer now. Each has its own: one that was given up keeps the limit that
/// stops what it still does, and its successor begins without.
#[derive(Debug)]
pub(crate) struct WriterDeadline(Mutex<Arc<Deadline>>);

impl Default for WriterDeadline {
    fn default() -> Self {
        Self(Mutex::new(Arc::new(Deadline::new())))
    }
}

impl WriterDeadline {
    /// A new connection is the writer.
    pub(crate) fn replace(&self, deadline: &Arc<Deadline>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(deadline);
    }

    /// The writer's.
    pub(crate) fn current(&self) -> Arc<Deadline> {
        Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_passes_until_it_is_moved_or_lifted() {
        let deadline = Deadline::new();
        assert!(!deadline.has_passed());
        deadline.set(Duration::ZERO);
        while !deadline.has_passed() {
            std::thread::yield_now();
        }
        deadline.set(Duration::from_secs(3_600));
        assert!(!deadline.has_passed());
        deadline.set(Duration::ZERO);
        deadline.lift();
        assert!(!deadline.has_passed());
        deadline.set(Duration::MAX / 2);
        assert!(!deadline.has_passed(), "too far away to count is no limit");
    }
}
