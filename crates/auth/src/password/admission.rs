use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::PasswordError;

/// Who may hash now, who waits, and who is told to come back.
///
/// Permits go out in order of arrival (tokio's semaphore is fair, also towards requests for several). At most `waiting_max` callers
/// wait, none longer than `wait_max`; a caller that goes away while waiting leaves its place at once.
#[derive(Debug)]
pub(super) struct Admission {
    permits: NonZeroU32,
    semaphore: Arc<Semaphore>,
    waiting_max: usize,
    wait_max: Duration,
    waiting: AtomicUsize,
    refused: AtomicU64,
}

impl Admission {
    pub(super) fn new(permits: NonZeroU32, waiting_max: usize, wait_max: Duration) -> Self {
        Self {
            permits,
            semaphore: Arc::new(Semaphore::new(permits.get() as usize)),
            waiting_max,
            wait_max,
            waiting: AtomicUsize::new(0),
            refused: AtomicU64::new(0),
        }
    }

    /// Waits for `count` permits (at most all of them); they are given back when the result is dropped.
    pub(super) async fn admit(&self, count: u32) -> Result<OwnedSemaphorePermit, PasswordError> {
        let count = count.clamp(1, self.permits.get());
        // A free permit is never taken past somebody who waits: the semaphore hands released ones to the queue first.
        if let Ok(permit) = Arc::clone(&self.semaphore).try_acquire_many_owned(count) {
            return Ok(permit);
        }
        let Some(_place) = self.take_place() else {
            return Err(self.refuse());
        };
        match timeout(self.wait_max, Arc::clone(&self.semaphore).acquire_many_owned(count)).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_closed)) => Err(PasswordError::Stopped),
            Err(_elapsed) => Err(self.refuse()),
        }
    }

    pub(super) fn permits(&self) -> u32 {
        self.permits.get()
    }

    pub(super) fn permits_in_use(&self) -> u32 {
        let free = u32::try_from(self.semaphore.available_permits()).unwrap_or(u32::MAX);
        self.permits.get().saturating_sub(free)
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    pub(super) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    fn take_place(&self) -> Option<Place<'_>> {
        let one_more = |waiting| (waiting < self.waiting_max).then(|| waiting + 1);
        self.waiting
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more)
            .ok()
            .map(|_| Place(&self.waiting))
    }

    /// After `wait_max` everybody who waits now has been served or sent away. `Retry-After` counts whole seconds.
    fn refuse(&self) -> PasswordError {
        self.refused.fetch_add(1, Ordering::Relaxed);
        let seconds = self.wait_max.as_secs() + u64::from(self.wait_max.subsec_nanos() > 0);
        PasswordError::Busy { retry_after: Duration::from_secs(seconds.max(1)) }
    }
}

/// A place in the queue, left on drop.
struct Place<'a>(&'a AtomicUsize);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn admission(permits: u32, waiting_max: usize) -> Admission {
        Admission::new(NonZeroU32::new(permits).unwrap(), waiting_max, Duration::from_secs(1))
    }

    fn is_pending<F: Future>(future: std::pin::Pin<&mut F>) -> bool {
        future.poll(&mut Context::from_waker(Waker::noop())).is_pending()
    }

    // A2: the excess is refused with a time to come back.
    #[tokio::test(start_paused = true)]
    async fn whoever_finds_the_queue_full_is_refused_at_once() {
        let admission = admission(2, 1);
        let _running = (admission.admit(1).await.unwrap(), admission.admit(1).await.unwrap());
        let mut waiter = pin!(admission.admit(1));
        assert!(is_pending(waiter.as_mut()));
        assert_eq!((admission.permits_in_use(), admission.waiting()), (2, 1));
        let started = tokio::time::Instant::now();
        let refused = admission.admit(1).await.unwrap_err();
        assert_eq!(refused, PasswordError::Busy { retry_after: Duration::from_secs(1) });
        assert_eq!((started.elapsed(), admission.refused()), (Duration::ZERO, 1));
    }

    // A2
    #[tokio::test(start_paused = true)]
    async fn nobody_waits_past_the_deadline() {
        let admission = admission(1, 8);
        let _running = admission.admit(1).await.unwrap();
        let started = tokio::time::Instant::now();
        assert_eq!(admission.admit(1).await.unwrap_err().code(), "password_hashing_busy");
        assert!(started.elapsed() >= Duration::from_secs(1) && started.elapsed() < Duration::from_secs(2));
        assert_eq!((admission.waiting(), admission.refused()), (0, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_waiter_that_goes_away_leaves_its_place() {
        let admission = admission(1, 1);
        let running = admission.admit(1).await.unwrap();
        {
            let mut gone = pin!(admission.admit(1));
            assert!(is_pending(gone.as_mut()));
            assert_eq!(admission.waiting(), 1);
        }
        assert_eq!(admission.waiting(), 0);
        let mut next = pin!(admission.admit(1));
        assert!(is_pending(next.as_mut()));
        drop(running);
        assert!(next.await.is_ok());
        assert_eq!((admission.permits_in_use(), admission.refused()), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn permits_go_out_in_order_of_arrival() {
        let admission = admission(2, 8);
        let running = (admission.admit(1).await.unwrap(), admission.admit(1).await.unwrap());
        let mut large = pin!(admission.admit(2));
        let mut small = pin!(admission.admit(1));
        assert!(is_pending(large.as_mut()) && is_pending(small.as_mut()));
        drop(running.0);
        assert!(is_pending(small.as_mut()), "a small request does not overtake a large one");
        drop(running.1);
        assert!(is_pending(small.as_mut()));
        let Poll::Ready(Ok(permits)) = large.as_mut().poll(&mut Context::from_waker(Waker::noop())) else {
            panic!("the first is served first");
        };
        drop(permits);
        assert!(small.await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_for_more_than_all_takes_all() {
        let admission = admission(2, 0);
        let _all = admission.admit(99).await.unwrap();
        assert_eq!(admission.permits_in_use(), 2);
    }
}
