use std::collections::HashMap;

use parking_lot::Mutex;
use stylobate_core::{ApiKeyId, BoxFuture};

use super::{KeyCount, KeyCounts, KeyCountsUnavailable};

/// Counts in memory: for several services in one process, and for tests.
#[derive(Debug, Default)]
pub struct MemoryKeyCounts(Mutex<HashMap<(ApiKeyId, i64), u64>>);

impl MemoryKeyCounts {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl KeyCounts for MemoryKeyCounts {
    fn add<'a>(&'a self, counts: &'a [KeyCount]) -> BoxFuture<'a, Result<Vec<u64>, KeyCountsUnavailable>> {
        let mut totals = self.0.lock();
        if let Some(latest) = counts.iter().map(|count| count.hour).max() {
            // Clocks may disagree about which hour it is, but not by an hour.
            totals.retain(|(_, hour), _| *hour >= latest - 1);
        }
        let add = |count: &KeyCount| {
            let total = totals.entry((count.key, count.hour)).or_default();
            *total = total.saturating_add(count.count);
            *total
        };
        let counted = counts.iter().map(add).collect();
        Box::pin(std::future::ready(Ok(counted)))
    }
}
