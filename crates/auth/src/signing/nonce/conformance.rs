//! What every [`NonceStore`] has to do, as one check.
#![allow(clippy::expect_used, clippy::panic, reason = "a check ends when something is wrong")]

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use stylobate_core::KeyId;
use tokio::task::JoinSet;

use super::{NonceStore, RequestNonce};

/// Holds a store to its contract. It may hold other nonces, and others may use it meanwhile; `now` is the present.
///
/// # Panics
/// When the store breaks the contract.
pub async fn nonce_conformance(store: Arc<dyn NonceStore>, now: DateTime<Utc>) {
    let now = DateTime::from_timestamp_micros(now.timestamp_micros()).expect("a time");
    a_nonce_is_new_once(&*store, now).await;
    what_tells_nonces_apart_counts(&*store, now).await;
    of_fifty_at_once_one_is_first(&store, now).await;
    what_is_live_is_not_swept(&*store, now).await;
    what_is_over_goes(&*store, now).await;
}

/// The name of a key that no other check knows.
fn key_id(now: DateTime<Utc>) -> String {
    KeyId::new(now).to_string()
}

fn nonce(key_id: &str, unique: &[u8], now: DateTime<Utc>) -> RequestNonce {
    RequestNonce::new(key_id, unique, now + TimeDelta::minutes(2) + TimeDelta::microseconds(1))
}

async fn a_nonce_is_new_once(store: &dyn NonceStore, now: DateTime<Utc>) {
    let nonce = nonce(&key_id(now), b"one", now);
    assert!(store.remember(&nonce, now).await.expect("an answer"), "it is new");
    assert!(!store.remember(&nonce, now).await.expect("an answer"), "it is known");
    let longer = RequestNonce::new(nonce.key_id(), b"one", now + TimeDelta::hours(1));
    assert!(!store.remember(&longer, now).await.expect("an answer"), "its end does not tell it apart");
}

async fn what_tells_nonces_apart_counts(store: &dyn NonceStore, now: DateTime<Utc>) {
    let (one, other) = (key_id(now), key_id(now));
    let long = "~".repeat(256);
    for (key_id, unique) in [
        (one.as_str(), &b"a"[..]),
        (one.as_str(), b"A"),
        (one.as_str(), b""),
        (one.as_str(), b"a\0"),
        (other.as_str(), b"a"),
        (long.as_str(), one.as_bytes()),
        ("' -- %_*:{}\\", one.as_bytes()),
    ] {
        let nonce = nonce(key_id, unique, now);
        assert!(store.remember(&nonce, now).await.expect("an answer"), "{key_id} {unique:?} is new");
        assert!(!store.remember(&nonce, now).await.expect("an answer"), "{key_id} {unique:?} is known");
    }
}

async fn of_fifty_at_once_one_is_first(store: &Arc<dyn NonceStore>, now: DateTime<Utc>) {
    let nonce = Arc::new(nonce(&key_id(now), b"one", now));
    let mut tries = JoinSet::new();
    for _ in 0..50 {
        let (store, nonce) = (Arc::clone(store), Arc::clone(&nonce));
        tries.spawn(async move { store.remember(&nonce, now).await.expect("an answer") });
    }
    let first = tries.join_all().await.into_iter().filter(|first| *first).count();
    assert_eq!(first, 1, "of fifty at once one is the first");
}

async fn what_is_live_is_not_swept(store: &dyn NonceStore, now: DateTime<Utc>) {
    let nonce = nonce(&key_id(now), b"one", now);
    assert!(store.remember(&nonce, now).await.expect("an answer"));
    // The last moment at which the signature might be accepted.
    store.sweep(nonce.expires_at(), 1_000).await.expect("an answer");
    assert!(!store.remember(&nonce, now).await.expect("an answer"), "it is known after a sweep");
}

/// A store may also let them vanish by itself, so only what is left is asked about.
async fn what_is_over_goes(store: &dyn NonceStore, now: DateTime<Utc>) {
    let nonce = nonce(&key_id(now), b"one", now);
    assert!(store.remember(&nonce, now).await.expect("an answer"));
    let later = nonce.expires_at() + TimeDelta::milliseconds(1);
    let mut swept = 0;
    loop {
        let batch = store.sweep(later, 10).await.expect("an answer");
        swept += batch;
        assert!(batch <= 10, "no more than asked for");
        if batch == 0 {
            break;
        }
    }
    let is_new = store.remember(&nonce, later).await.expect("an answer");
    assert_eq!(is_new, swept > 0, "what was swept is forgotten, and nothing else");
}
