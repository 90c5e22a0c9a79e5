//! Counters in every store.

use std::sync::Arc;

use deadpool_redis::redis;
use stylobate_auth::{
    AccountKey, AddressKey, CounterStore, CounterStoreError, LoginThrottle, LoginTry, MIGRATIONS,
    MemoryCounters, RedisCounters, SqlCounters, ThrottleConfig, counter_conformance,
};
use stylobate_core::{Clock as _, PersonId, SystemClock};
use stylobate_db::Db;
use stylobate_testkit::{ManualClock, TestDb, both_engines};

/// Counters in the Redis server of the tests, apart from those of other tests.
pub(crate) fn redis_counters() -> RedisCounters {
    let url = std::env::var("STYLOBATE_TEST_REDIS_URL")
        .expect("STYLOBATE_TEST_REDIS_URL names a Redis server; `cargo xtask services up` starts one");
    let prefix = format!("stylobate:test:{}:", PersonId::new(SystemClock.now()));
    RedisCounters::connect(&url, &prefix).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counters_in_memory_keep_the_contract() {
    counter_conformance(Arc::new(MemoryCounters::new()), ManualClock::new().now()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counters_in_redis_keep_the_contract() {
    counter_conformance(Arc::new(redis_counters()), SystemClock.now()).await;
}

async fn counters_in_tables_keep_the_contract(test_db: TestDb) {
    let db: Db = test_db.open(&[]).await;
    counter_conformance(Arc::new(SqlCounters::new(&db)), ManualClock::new().now()).await;
}
both_engines!(counters_in_tables_keep_the_contract, &[&MIGRATIONS]);

#[tokio::test]
async fn a_redis_that_is_away_lets_nobody_through() {
    // A port that nothing listens on: the lowest one needs privileges.
    let store: Arc<dyn CounterStore> =
        Arc::new(RedisCounters::connect("redis://127.0.0.1:1/0", "x:").unwrap());
    let throttle = LoginThrottle::new(store, ThrottleConfig::default());
    let now = SystemClock.now();
    let account = AccountKey::Person(PersonId::new(now));
    let login = LoginTry { account, address: AddressKey::Unknown, device: None };
    assert!(matches!(throttle.judge(&login, now).await, Err(CounterStoreError::Unavailable(_))));
    assert!(matches!(throttle.failed(&login, now).await, Err(CounterStoreError::Unavailable(_))));
    assert!(matches!(throttle.succeeded(&login, now).await, Err(CounterStoreError::Unavailable(_))));
    assert!(matches!(throttle.clear(&account).await, Err(CounterStoreError::Unavailable(_))));
}

#[tokio::test]
async fn what_redis_keeps_vanishes_by_itself_except_for_persons() {
    let store = redis_counters();
    let throttle = LoginThrottle::new(Arc::new(store.clone()), ThrottleConfig::default());
    let now = SystemClock.now();
    let address = AddressKey::new(Some("192.0.2.77".parse().unwrap()));
    let person = AccountKey::Person(PersonId::new(now));
    for account in [person, AccountKey::Nobody([7; 32])] {
        throttle.failed(&LoginTry { account, address, device: None }, now).await.unwrap().unwrap();
    }
    let client = redis::Client::open(std::env::var("STYLOBATE_TEST_REDIS_URL").unwrap()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let pattern = format!("{}*", store.prefix());
    let keys: Vec<String> = redis::cmd("KEYS").arg(pattern).query_async(&mut connection).await.unwrap();
    let mut seconds = Vec::<i64>::new();
    for key in &keys {
        seconds.push(redis::cmd("TTL").arg(key).query_async(&mut connection).await.unwrap());
    }
    let day = 86_400;
    assert_eq!(seconds.len(), 3, "{keys:?} {seconds:?}");
    assert!(seconds.contains(&-1), "{keys:?} {seconds:?}");
    assert!(seconds.iter().any(|ttl| (399 * day..=400 * day).contains(ttl)), "{keys:?} {seconds:?}");
    assert!(seconds.iter().any(|ttl| (1..=15 * 60).contains(ttl)), "{keys:?} {seconds:?}");
}
