//! Used signatures in every store.

#[cfg(feature = "redis")]
use stylobate_auth::{
    MIGRATIONS, NonceStore, NonceStoreError, RedisNonces, RequestNonce, SqlNonces, nonce_conformance,
};
use stylobate_core::{PersonId, SystemClock};
use stylobate_testkit::{TestDb, both_engines};

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nonces_in_memory_keep_the_contract() {
    nonce_conformance(Arc::new(MemoryNonces::new()), now()).await;
}

/// Nonces in the Redis server of the tests, apart from those of other tests.
fn redis_nonces() -> (String, String) {
    let url = std::env::var("STYLOBATE_TEST_REDIS_URL")
        .expect("STYLOBATE_TEST_REDIS_URL names a Redis server; `cargo xtask services up` starts one");
    (url, format!("stylobate:test:{}:", PersonId::new(SystemClock.now())))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nonces_in_redis_keep_the_contract() {
    let (url, prefix) = redis_nonces();
    nonce_conformance(Arc::new(RedisNonces::connect(&url, &prefix).unwrap()), SystemClock.now()).await;
}

async fn nonces_in_tables_keep_the_contract(test_db: TestDb) {
    let db = test_db.open(&[]).await;
    nonce_conformance(Arc::new(SqlNonces::new(&db)), now()).await;
}
both_engines!(nonces_in_tables_keep_the_contract, &[&MIGRATIONS]);

/// A9: replay refused across processes: three verifiers that share nothing but the store.
async fn a_signature_is_good_for_one_of_three_processes(stores: [Arc<dyn NonceStore>; 3]) {
    let pair = Pair::new();
    let key = crate::key::key_for(SigningAlgorithm::EdDsa);
    let processes = stores.map(|store| {
        let keys = FixedKeys::new().with(key.verifying_key().clone(), holder()).unwrap();
        RequestVerifier::new(Arc::new(keys), store, RequestVerifierConfig::default()).unwrap()
    });
    let now = SystemClock.now();
    for first in 0..3 {
        let message = Message::post("/invoices", "{}").signed_by(&pair.signer, now);
        processes[first].verify(&message.parts(), &message.body, now).await.unwrap();
        for process in &processes {
            let again = process.verify(&message.parts(), &message.body, now).await;
            assert!(matches!(again, Err(SignatureError::Replayed { .. })));
        }
    }
    let message = Arc::new(Message::post("/invoices", "{}").signed_by(&pair.signer, now));
    let mut tries = tokio::task::JoinSet::new();
    for process in processes.iter().cycle().take(30) {
        let (process, message) = (process.clone(), Arc::clone(&message));
        tries.spawn(async move { process.verify(&message.parts(), &message.body, now).await.is_ok() });
    }
    assert_eq!(tries.join_all().await.into_iter().filter(|accepted| *accepted).count(), 1);
}

async fn one_database_refuses_a_replay_at_every_process(test_db: TestDb) {
    let stores = [test_db.open(&[]).await, test_db.open(&[]).await, test_db.open(&[]).await];
    let stores = stores.map(|db| Arc::new(SqlNonces::new(&db)) as Arc<dyn NonceStore>);
    a_signature_is_good_for_one_of_three_processes(stores).await;
}
both_engines!(one_database_refuses_a_replay_at_every_process, &[&MIGRATIONS]);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_redis_refuses_a_replay_at_every_process() {
    let (url, prefix) = redis_nonces();
    let store = || Arc::new(RedisNonces::connect(&url, &prefix).unwrap()) as Arc<dyn NonceStore>;
    a_signature_is_good_for_one_of_three_processes([store(), store(), store()]).await;
}

#[tokio::test]
async fn a_redis_that_is_away_lets_no_signed_request_through() {
    // A port that nothing listens on: the lowest one needs privileges.
    let store = RedisNonces::connect("redis://127.0.0.1:1/0", "x:").unwrap();
    let nonce = RequestNonce::new("k", b"n", now());
    let refused = store.remember(&nonce, now()).await.unwrap_err();
    assert!(matches!(refused, NonceStoreError::Unavailable(_)));
    assert_eq!(refused.code(), "request_nonces_unavailable");
}

async fn a_database_that_is_away_lets_no_signed_request_through(test_db: TestDb) {
    let owner = test_db.open_as_owner().await;
    owner
        .transact(stylobate_db::Scope::Platform("test"), async |tx| {
            tx.q("DROP TABLE request_nonces").run().await
        })
        .await
        .unwrap();
    let store = SqlNonces::new(&test_db.open(&[]).await);
    let pair = Pair::new();
    let key = crate::key::key_for(SigningAlgorithm::EdDsa);
    let keys = FixedKeys::new().with(key.verifying_key().clone(), holder()).unwrap();
    let config = RequestVerifierConfig::default();
    let verifier = RequestVerifier::new(Arc::new(keys), Arc::new(store), config).unwrap();
    let message = pair.signed();
    let refused = verifier.verify(&message.parts(), &message.body, now()).await.unwrap_err();
    assert_eq!(refused.code(), "signature_store_unavailable");
}
both_engines!(a_database_that_is_away_lets_no_signed_request_through, &[&MIGRATIONS]);

async fn used_signatures_are_swept_when_they_are_over(test_db: TestDb) {
    let house = crate::service::House::new(test_db).await;
    let store = SqlNonces::new(&house.db);
    for (unique, seconds) in [(b"a", 60), (b"b", 120)] {
        let nonce = RequestNonce::new("k", unique, now() + TimeDelta::seconds(seconds));
        assert!(store.remember(&nonce, now()).await.unwrap());
    }
    house.clock.advance(TimeDelta::seconds(61));
    house.auth.sweep().await.unwrap();
    assert_eq!(house.count("SELECT count(*) FROM request_nonces").await, 1);
    house.clock.advance(TimeDelta::seconds(60));
    house.auth.sweep().await.unwrap();
    assert_eq!(house.count("SELECT count(*) FROM request_nonces").await, 0);
}
both_engines!(used_signatures_are_swept_when_they_are_over, &[&MIGRATIONS]);

async fn the_table_goes_and_comes_back(test_db: TestDb) {
    let owner = test_db.open_as_owner().await;
    let store = SqlNonces::new(&owner);
    let nonce = RequestNonce::new("k", b"n", now());
    assert!(store.remember(&nonce, now()).await.unwrap());
    stylobate_db::migrate_to(&owner, &[&MIGRATIONS], 20_261_122_000_010).await.unwrap();
    assert!(matches!(store.remember(&nonce, now()).await, Err(NonceStoreError::Db(_))));
    stylobate_db::migrate(&owner, &[&MIGRATIONS]).await.unwrap();
    assert!(store.remember(&nonce, now()).await.unwrap());
}
both_engines!(the_table_goes_and_comes_back, &[&MIGRATIONS]);

#[tokio::test]
async fn what_redis_keeps_vanishes_by_itself() {
    use deadpool_redis::redis;

    let (url, prefix) = redis_nonces();
    let store = RedisNonces::connect(&url, &prefix).unwrap();
    let now = SystemClock.now();
    let nonce = RequestNonce::new("k", b"n", now + TimeDelta::seconds(120));
    assert!(store.remember(&nonce, now).await.unwrap());
    let client = redis::Client::open(url).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let pattern = format!("{prefix}*");
    let keys: Vec<String> = redis::cmd("KEYS").arg(pattern).query_async(&mut connection).await.unwrap();
    assert_eq!(keys.len(), 1, "{keys:?}");
    let ms: i64 = redis::cmd("PTTL").arg(&keys[0]).query_async(&mut connection).await.unwrap();
    // Not a second shorter than it is needed, give or take how slow this machine is; and no longer.
    assert!((60_000..=120_002).contains(&ms), "{ms}");
}
