use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Places that wait for jobs: one at least.
pub(super) struct FreePlaces {
    places: Arc<Semaphore>,
    taken: Mutex<OwnedSemaphorePermit>,
}

impl FreePlaces {
    /// `first` is one of `places`.
    pub(super) fn new(places: &Arc<Semaphore>, first: OwnedSemaphorePermit) -> Self {
        Self { places: Arc::clone(places), taken: Mutex::new(first) }
    }

    pub(super) fn number(&self) -> usize {
        self.taken.lock().num_permits()
    }

    /// Waits until there are `most`, or `limit` is over.
    pub(super) async fn gather(&self, most: usize, limit: Duration) {
        let missing = u32::try_from(most.saturating_sub(self.number())).unwrap_or_default();
        let more = Arc::clone(&self.places).acquire_many_owned(missing);
        if let Ok(Ok(more)) = tokio::time::timeout(limit, more).await {
            self.taken.lock().merge(more);
        }
    }

    /// Takes all that nobody has, up to `most` in all.
    pub(super) fn fill(&self, most: usize) {
        while self.number() < most
            && let Ok(place) = Arc::clone(&self.places).try_acquire_owned()
        {
            self.taken.lock().merge(place);
        }
    }

    pub(super) fn pop(&self) -> Option<OwnedSemaphorePermit> {
        self.taken.lock().split(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn no_place_is_lost_or_given_twice() {
        let places = Arc::new(Semaphore::new(8));
        let first = Arc::clone(&places).acquire_owned().await.unwrap();
        let taken = Arc::clone(&places).acquire_many_owned(5).await.unwrap();
        let free = FreePlaces::new(&places, first);
        let limit = Duration::from_millis(25);
        free.gather(2, limit).await;
        assert_eq!(free.number(), 2);
        // There are no three: it goes on with what it has, and those that came meanwhile are for whoever is next.
        free.gather(4, limit).await;
        assert_eq!((free.number(), places.available_permits()), (2, 1));
        free.fill(2);
        assert_eq!(free.number(), 2);
        free.fill(8);
        assert_eq!((free.number(), places.available_permits()), (3, 0));
        drop(taken);
        let job = free.pop().unwrap();
        assert_eq!((free.number(), places.available_permits()), (2, 5));
        drop(free);
        drop(job);
        assert_eq!(places.available_permits(), 8);
    }
}
