//! What every [`CounterStore`] has to do, as one check.
#![allow(clippy::expect_used, clippy::panic, reason = "a check ends when something is wrong")]

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use stylobate_core::PersonId;
use tokio::task::JoinSet;

use super::{
    AccountKey, AddressKey, Counter, CounterChange, CounterKey, CounterKind, CounterStore, DeviceId,
    LoginThrottle, LoginTry, Standing, ThrottleConfig, TryBy,
};

/// Holds a store to its contract. It may hold other counters, and others may use it meanwhile; `now` is the present.
///
/// # Panics
/// When the store breaks the contract.
pub async fn counter_conformance(store: Arc<dyn CounterStore>, now: DateTime<Utc>) {
    let now = DateTime::from_timestamp_micros(now.timestamp_micros()).expect("a time");
    counters_are_kept_as_they_are(&*store, now).await;
    of_several_changes_all_are_made_or_none(&*store, now).await;
    an_account_is_read_and_cleared_as_a_whole(&*store, now).await;
    what_matters_is_not_swept(&*store, now).await;
    fifty_parallel_failures_are_fifty(&store, now).await;
    parallel_failures_stop_at_the_limit(&store, now).await;
    a_success_ends_its_own_failures(&store, now).await;
}

/// Somebody whom no other check knows.
fn somebody(now: DateTime<Utc>) -> LoginTry {
    let random = *PersonId::new(now).as_uuid().as_bytes();
    let [.., a, b, c, d, e, f, g, h] = random;
    LoginTry {
        account: AccountKey::Person(PersonId::new(now)),
        address: AddressKey::V6Network([a, b, c, d, e, f, g, h]),
        device: Some(DeviceId::from_bytes(random)),
    }
}

fn failures(failures: u32, now: DateTime<Utc>) -> Counter {
    Counter { failures, expires_at: now + TimeDelta::days(30), ..Counter::new(now) }
}

async fn counters_are_kept_as_they_are(store: &dyn CounterStore, now: DateTime<Utc>) {
    let keys = somebody(now).keys();
    assert_eq!(store.find(&keys).await.expect("an answer"), vec![None; keys.len()], "nothing is there yet");
    assert_eq!(store.find(&[]).await.expect("an answer"), []);
    let never = DateTime::from_timestamp(253_402_300_799, 0).expect("a time");
    let micros = TimeDelta::microseconds(1);
    for (n, key) in (1..).zip(&keys) {
        let locked_until = (n % 2 == 0).then_some(now + TimeDelta::minutes(15) + micros);
        let expires_at = if n % 3 == 0 { never } else { now + TimeDelta::days(30) + micros };
        let window_started_at = now - micros;
        let counter = Counter { failures: n, window_started_at, locked_until, expires_at };
        let made = CounterChange { key: *key, before: None, after: Some(counter) };
        assert!(store.replace(&[made], now).await.expect("an answer"), "{key:?} is made");
        assert_eq!(store.find(&[*key]).await.expect("an answer"), [Some(counter)]);
        assert!(!store.replace(&[made], now).await.expect("an answer"), "{key:?} is made twice");
        let more = Counter { failures: n + 1, ..counter };
        let changed = CounterChange { key: *key, before: Some(counter), after: Some(more) };
        assert!(store.replace(&[changed], now).await.expect("an answer"), "{key:?} is changed");
        assert!(!store.replace(&[changed], now).await.expect("an answer"), "{key:?} is changed twice");
        let gone = CounterChange { key: *key, before: Some(more), after: None };
        assert!(store.replace(&[gone], now).await.expect("an answer"), "{key:?} is removed");
        assert_eq!(store.find(&[*key]).await.expect("an answer"), [None]);
    }
}

async fn of_several_changes_all_are_made_or_none(store: &dyn CounterStore, now: DateTime<Utc>) {
    let keys = somebody(now).keys();
    let first = |key: &CounterKey| CounterChange { key: *key, before: None, after: Some(failures(1, now)) };
    let changes: Vec<CounterChange> = keys.iter().map(first).collect();
    assert!(store.replace(&changes, now).await.expect("an answer"), "all are made");
    let mut second: Vec<CounterChange> = changes
        .iter()
        .map(|change| CounterChange { before: change.after, after: Some(failures(2, now)), ..*change })
        .collect();
    if let Some(last) = second.last_mut() {
        last.before = Some(failures(9, now));
    }
    assert!(!store.replace(&second, now).await.expect("an answer"), "one is not what it was");
    assert_eq!(
        store.find(&keys).await.expect("an answer"),
        vec![Some(failures(1, now)); keys.len()],
        "so none is changed"
    );
}

async fn an_account_is_read_and_cleared_as_a_whole(store: &dyn CounterStore, now: DateTime<Utc>) {
    let (one, other) = (somebody(now), somebody(now));
    let another_client = LoginTry { address: other.address, ..one };
    let mut keys = one.keys();
    keys.extend(another_client.key(CounterKind::Pair));
    for key in keys.iter().chain(&other.keys()) {
        let made = CounterChange { key: *key, before: None, after: Some(failures(1, now)) };
        assert!(store.replace(&[made], now).await.expect("an answer"));
    }
    let mut found: Vec<CounterKind> =
        store.find_account(&one.account).await.expect("an answer").iter().map(|(kind, _)| *kind).collect();
    found.sort_unstable();
    let expected = [
        CounterKind::Device,
        CounterKind::Devices,
        CounterKind::Account,
        CounterKind::Pair,
        CounterKind::Pair,
    ];
    assert_eq!(found, expected);
    assert!(store.clear_account(&one.account).await.expect("an answer"));
    assert!(!store.clear_account(&one.account).await.expect("an answer"), "it is clear");
    assert_eq!(store.find_account(&one.account).await.expect("an answer"), []);
    let left = store.find(&keys).await.expect("an answer");
    let left = keys.iter().zip(left).filter_map(|(key, counter)| counter.map(|_| key.kind()));
    assert_eq!(left.collect::<Vec<_>>(), [CounterKind::Address], "an address belongs to no account");
    assert_eq!(store.find_account(&other.account).await.expect("an answer").len(), 4);
}

async fn what_matters_is_not_swept(store: &dyn CounterStore, now: DateTime<Utc>) {
    let keys = somebody(now).keys();
    let changes: Vec<CounterChange> = keys
        .iter()
        .map(|key| CounterChange { key: *key, before: None, after: Some(failures(1, now)) })
        .collect();
    assert!(store.replace(&changes, now).await.expect("an answer"));
    store.sweep(now, 1_000).await.expect("an answer");
    assert!(store.find(&keys).await.expect("an answer").iter().all(Option::is_some));
}

fn throttle(store: &Arc<dyn CounterStore>, account_failures_max: u32) -> LoginThrottle {
    let config = ThrottleConfig {
        account_failures_max,
        strangers_failures_max: 80,
        address_failures_max: 10_000,
        ..ThrottleConfig::default()
    };
    LoginThrottle::new(Arc::clone(store), config)
}

/// Fails 50 times at once; says how many were counted.
async fn fail_at_once(throttle: &LoginThrottle, login: LoginTry, now: DateTime<Utc>) -> usize {
    let mut tries = JoinSet::new();
    for _ in 0..50 {
        let throttle = throttle.clone();
        tries.spawn(async move { throttle.failed(&login, now).await.expect("an answer").is_ok() });
    }
    tries.join_all().await.into_iter().filter(|counted| *counted).count()
}

async fn standing(store: &Arc<dyn CounterStore>, login: &LoginTry) -> Standing {
    let keys = login.keys();
    let mut standing = Standing::default();
    for (key, counter) in keys.iter().zip(store.find(&keys).await.expect("an answer")) {
        standing.set(key.kind(), counter);
    }
    standing
}

async fn fifty_parallel_failures_are_fifty(store: &Arc<dyn CounterStore>, now: DateTime<Utc>) {
    let login = LoginTry { device: None, ..somebody(now) };
    assert_eq!(fail_at_once(&throttle(store, 1_000), login, now).await, 50);
    let standing = standing(store, &login).await;
    for kind in TryBy::Stranger.counters() {
        assert_eq!(standing.get(*kind).map(|counter| counter.failures), Some(50), "{kind:?}");
    }
}

async fn parallel_failures_stop_at_the_limit(store: &Arc<dyn CounterStore>, now: DateTime<Utc>) {
    let login = LoginTry { device: None, ..somebody(now) };
    assert_eq!(fail_at_once(&throttle(store, 5), login, now).await, 5);
    // A device has its own five, then those of a stranger.
    let device = somebody(now);
    assert_eq!(fail_at_once(&throttle(store, 5), device, now).await, 10);
    let state = throttle(store, 5).lock_state(&device.account, now).await.expect("an answer");
    assert_eq!((state.failures, state.device_failures, state.devices_locked), (5, 5, 1));
}

async fn a_success_ends_its_own_failures(store: &Arc<dyn CounterStore>, now: DateTime<Utc>) {
    let (throttle, login) = (throttle(store, 5), LoginTry { device: None, ..somebody(now) });
    let elsewhere = LoginTry { address: somebody(now).address, ..login };
    for one in [&login, &login, &elsewhere] {
        throttle.failed(one, now).await.expect("an answer").expect("a count");
    }
    let (by, _) = throttle.succeeded(&login, now).await.expect("an answer").expect("no lock");
    assert_eq!(by, TryBy::Stranger);
    let (own, other) = (standing(store, &login).await, standing(store, &elsewhere).await);
    assert_eq!((own.account, own.pair), (None, None));
    assert_eq!(own.address.map(|counter| counter.failures), Some(2));
    assert_eq!(other.pair.map(|counter| counter.failures), Some(1));
    // With nothing to end, nothing changes.
    assert!(throttle.succeeded(&somebody(now), now).await.expect("an answer").is_ok());
}
