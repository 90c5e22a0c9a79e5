use chrono::{DateTime, Utc};
use stylobate_core::ApiKeyId;

use super::{KeyCount, KeyCounts};

/// Holds `store` to the rules of [`KeyCounts`]; `now` is about the present, because stores may also forget by their own clock.
///
/// # Panics
/// At the first rule that does not hold.
#[expect(clippy::unwrap_used, reason = "a suite of tests, which fail by panicking")]
pub async fn key_counts_conformance(store: &dyn KeyCounts, now: DateTime<Utc>) {
    let (ada, bob) = (ApiKeyId::new(now), ApiKeyId::new(now));
    let hour = now.timestamp() / 3_600;
    let count = |key, hour, count| KeyCount { key, hour, count };

    assert!(store.add(&[]).await.unwrap().is_empty(), "nothing is counted as nothing");
    assert_eq!(store.add(&[count(ada, hour, 3)]).await.unwrap(), [3]);
    let both = [count(bob, hour, 1), count(ada, hour, 4)];
    assert_eq!(
        store.add(&both).await.unwrap(),
        [1, 7],
        "counts add up, and answers have the order of questions"
    );
    assert_eq!(store.add(&[count(ada, hour + 1, 5)]).await.unwrap(), [5], "an hour begins at nothing");
    assert_eq!(
        store.add(&[count(ada, hour, 0)]).await.unwrap(),
        [7],
        "the hour before is not forgotten at once"
    );
    let twice = [count(bob, hour, 1), count(bob, hour, 1)];
    assert_eq!(store.add(&twice).await.unwrap(), [2, 3], "a key may be named twice");
}
