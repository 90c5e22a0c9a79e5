use std::{collections::HashMap, fmt};

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use stylobate_core::BoxFuture;

use super::{AccountKey, Counter, CounterChange, CounterKey, CounterKind, CounterStore, CounterStoreError};

/// Counters in the memory of this process: for services of one process, and for tests. A restart forgets them.
///
/// There is room for a number of counters. When they are many, forgotten ones go first, and then those of names that
/// nobody has, which guard nothing but the secret of who exists; after that no login can fail any more, and so none is
/// let through.
pub struct MemoryCounters {
    counters: Mutex<HashMap<CounterKey, Counter>>,
    counters_max: usize,
}

impl MemoryCounters {
    /// Room for 500,000 counters, about 100 MB.
    #[must_use]
    pub fn new() -> Self {
        Self::with_room_for(500_000)
    }

    /// Room for so many counters.
    #[must_use]
    pub fn with_room_for(counters_max: usize) -> Self {
        Self { counters: Mutex::default(), counters_max }
    }

    fn replace_now(&self, changes: &[CounterChange], now: DateTime<Utc>) -> Result<bool, CounterStoreError> {
        let mut counters = self.counters.lock();
        if changes.iter().any(|change| counters.get(&change.key) != change.before.as_ref()) {
            return Ok(false);
        }
        let added = changes.iter().filter(|change| change.before.is_none() && change.after.is_some()).count();
        if counters.len() + added > self.counters_max {
            counters.retain(|_, counter| !counter.is_forgotten(now));
            if counters.len() + added > self.counters_max {
                counters.retain(|key, _| !matches!(key.account(), Some(AccountKey::Nobody(_))));
            }
            if counters.len() + added > self.counters_max {
                return Err(CounterStoreError::Full);
            }
        }
        for change in changes {
            match change.after {
                Some(counter) => counters.insert(change.key, counter),
                None => counters.remove(&change.key),
            };
        }
        Ok(true)
    }
}

impl Default for MemoryCounters {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryCounters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryCounters").field("counters_max", &self.counters_max).finish_non_exhaustive()
    }
}

impl CounterStore for MemoryCounters {
    fn find<'a>(
        &'a self,
        keys: &'a [CounterKey],
    ) -> BoxFuture<'a, Result<Vec<Option<Counter>>, CounterStoreError>> {
        let counters = self.counters.lock();
        let found = keys.iter().map(|key| counters.get(key).copied()).collect();
        Box::pin(std::future::ready(Ok(found)))
    }

    fn replace<'a>(
        &'a self,
        changes: &'a [CounterChange],
        now: DateTime<Utc>,
    ) -> BoxFuture<'a, Result<bool, CounterStoreError>> {
        Box::pin(std::future::ready(self.replace_now(changes, now)))
    }

    fn find_account<'a>(
        &'a self,
        account: &'a AccountKey,
    ) -> BoxFuture<'a, Result<Vec<(CounterKind, Counter)>, CounterStoreError>> {
        let counters = self.counters.lock();
        let found = counters
            .iter()
            .filter(|(key, _)| key.account() == Some(account))
            .map(|(key, counter)| (key.kind(), *counter))
            .collect();
        Box::pin(std::future::ready(Ok(found)))
    }

    fn clear_account<'a>(
        &'a self,
        account: &'a AccountKey,
    ) -> BoxFuture<'a, Result<bool, CounterStoreError>> {
        let mut counters = self.counters.lock();
        let before = counters.len();
        counters.retain(|key, _| key.account() != Some(account));
        Box::pin(std::future::ready(Ok(counters.len() < before)))
    }

    fn sweep(&self, now: DateTime<Utc>, counters_max: u32) -> BoxFuture<'_, Result<u64, CounterStoreError>> {
        let mut counters = self.counters.lock();
        let mut left = counters_max;
        counters.retain(|_, counter| {
            let goes = left > 0 && counter.is_forgotten(now);
            left -= u32::from(goes);
            !goes
        });
        Box::pin(std::future::ready(Ok(u64::from(counters_max - left))))
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use stylobate_core::PersonId;

    use super::*;

    fn change(account: AccountKey, now: DateTime<Utc>) -> CounterChange {
        let after = Counter { failures: 1, expires_at: now + TimeDelta::days(1), ..Counter::new(now) };
        CounterChange { key: CounterKey::Account(account), before: None, after: Some(after) }
    }

    #[test]
    fn a_flood_of_names_that_nobody_has_does_not_drive_out_a_persons_counter() {
        let now = DateTime::from_timestamp(1_772_366_400, 0).unwrap();
        let store = MemoryCounters::with_room_for(10);
        let ada = change(AccountKey::Person(PersonId::new(now)), now);
        assert!(store.replace_now(&[ada], now).unwrap());
        for name in 0..100 {
            assert!(store.replace_now(&[change(AccountKey::Nobody([name; 32]), now)], now).unwrap());
        }
        assert_eq!(store.counters.lock().get(&ada.key).copied(), ada.after);
        assert!(store.counters.lock().len() <= 10);
        // Persons' counters are not driven out by anything.
        for _ in 0..9 {
            assert!(store.replace_now(&[change(AccountKey::Person(PersonId::new(now)), now)], now).is_ok());
        }
        let refused = store.replace_now(&[change(AccountKey::Person(PersonId::new(now)), now)], now);
        assert!(matches!(refused, Err(CounterStoreError::Full)));
    }
}
