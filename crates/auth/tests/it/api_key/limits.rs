use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use chrono::{TimeDelta, Timelike as _};
use stylobate_auth::{
    Auth, AuthConfig, AuthenticateError, IssuedApiKey, KeyCount, KeyCounts, KeyCountsUnavailable, MIGRATIONS,
    MemoryKeyCounts, NewApiKey, RedisKeyCounts, key_counts_conformance,
};
use stylobate_core::{BoxFuture, Clock as _, SystemClock};
use stylobate_testkit::{TestDb, both_engines};

use super::{Background, House, eventually, of_person, present, tenant};

fn redis(test: &str) -> RedisKeyCounts {
    let url = std::env::var("STYLOBATE_TEST_REDIS_URL")
        .expect("STYLOBATE_TEST_REDIS_URL to be set: run `cargo xtask test`, or `cargo xtask services up`");
    RedisKeyCounts::connect(&url, &format!("test:{}:{test}:", std::process::id())).unwrap()
}

#[tokio::test]
async fn counts_in_memory_pass_the_suite() {
    key_counts_conformance(&MemoryKeyCounts::new(), SystemClock.now()).await;
}

#[tokio::test]
async fn counts_in_redis_pass_the_suite() {
    key_counts_conformance(&redis("suite"), SystemClock.now()).await;
}

#[tokio::test]
async fn a_redis_that_is_away_counts_nothing() {
    let away = RedisKeyCounts::connect("redis://127.0.0.1:1", "test:").unwrap();
    let now = SystemClock.now();
    let count = KeyCount { key: stylobate_core::ApiKeyId::new(now), hour: 1, count: 1 };
    assert!(away.add(&[count]).await.is_err());
    assert_eq!(away.add(&[]).await.unwrap(), [0; 0]);
}

/// A key that may be used `limit` times an hour; the hour has just begun.
async fn limited(house: &House, limit: u32) -> IssuedApiKey {
    let now = house.clock.now();
    let into_hour = i64::from(now.minute() * 60 + now.second());
    house.wait(3_600 - into_hour);
    let ada = house.person("ada").await.id;
    let new = NewApiKey { requests_per_hour: Some(limit), ..of_person(tenant(house), ada) };
    house.try_key(new).await.unwrap()
}

/// How many of `tries` are accepted.
async fn accepted(auth: &Auth, issued: &IssuedApiKey, tries: usize) -> usize {
    let mut accepted = 0;
    for _ in 0..tries {
        match present(auth, issued.secret.expose_secret()).await {
            Ok(_) => accepted += 1,
            Err(AuthenticateError::KeyThrottled { .. }) => {}
            Err(other) => panic!("{other:?}"),
        }
    }
    accepted
}

async fn a_key_is_used_as_often_as_its_limit_in_an_hour(db: TestDb) {
    let house = House::new(db).await;
    let issued = limited(&house, 5).await;
    assert_eq!(accepted(&house.auth, &issued, 8).await, 5);
    house.wait(60);
    let text = issued.secret.expose_secret();
    match present(&house.auth, text).await {
        Err(AuthenticateError::KeyThrottled { retry_after }) => assert_eq!(retry_after.as_secs(), 3_540),
        other => panic!("{other:?}"),
    }
    // An open connection uses nothing.
    house.auth.api_keys().still_holds(text, None).await.unwrap();
    house.wait(3_540);
    assert_eq!(accepted(&house.auth, &issued, 8).await, 5);
    let usage = house.auth.api_keys().usage(issued.key.tenant_id, issued.key.id).await.unwrap();
    let sums = usage.iter().fold((0, 0), |sum, day| (sum.0 + day.requests, sum.1 + day.refused));
    assert_eq!(sums, (10, 7));
}
both_engines!(a_key_is_used_as_often_as_its_limit_in_an_hour, &[&MIGRATIONS]);

/// Counts that are away while `is_away`.
struct Away {
    inner: MemoryKeyCounts,
    is_away: AtomicBool,
}

impl KeyCounts for Away {
    fn add<'a>(&'a self, counts: &'a [KeyCount]) -> BoxFuture<'a, Result<Vec<u64>, KeyCountsUnavailable>> {
        if self.is_away.load(Ordering::SeqCst) {
            return Box::pin(async { Err(KeyCountsUnavailable("away".into())) });
        }
        self.inner.add(counts)
    }
}

async fn processes_share_a_limit_and_each_keeps_it_while_the_store_is_away(db: TestDb) {
    let house = House::new(db).await;
    let issued = limited(&house, 10).await;
    let counts = Arc::new(Away { inner: MemoryKeyCounts::new(), is_away: AtomicBool::new(false) });
    let build = async || {
        let builder = house.configured(AuthConfig::default()).key_counts(Arc::clone(&counts) as _);
        builder.build().await.unwrap()
    };
    let (one, two) = (build().await, build().await);
    let (first, second) = (Background::of(&one).await, Background::of(&two).await);
    assert_eq!(accepted(&one, &issued, 6).await, 6);
    // Two of its own tell the second what the first had.
    assert_eq!(accepted(&two, &issued, 2).await, 2);
    let shared = async || {
        let probe = KeyCount { key: issued.key.id, hour: house.clock.now().timestamp() / 3_600, count: 0 };
        counts.inner.add(&[probe]).await.unwrap()[0]
    };
    eventually("the counts of both", async || shared().await == 8).await;
    // Whichever was told first knows less, until it is used again.
    assert_eq!(accepted(&two, &issued, 1).await, 1);
    eventually("the counts of both", async || shared().await == 9).await;
    counts.is_away.store(true, Ordering::SeqCst);
    let rest = accepted(&two, &issued, 20).await;
    assert!(rest <= 1, "{rest} beyond what the second knew");
    // The first knows of its own alone, and is no looser than its limit.
    assert!(accepted(&one, &issued, 20).await <= 4);
    first.stop().await;
    second.stop().await;
}
both_engines!(processes_share_a_limit_and_each_keeps_it_while_the_store_is_away, &[&MIGRATIONS]);

async fn uses_are_written_together_and_kept_for_90_days(db: TestDb) {
    let house = House::new(db).await;
    let issued = limited(&house, 1_000).await;
    let keys = house.auth.api_keys();
    let (home, id) = (issued.key.tenant_id, issued.key.id);
    assert_eq!(accepted(&house.auth, &issued, 300).await, 300);
    let used_at = house.clock.now();
    assert_eq!(house.count("SELECT count(*) FROM api_key_usage").await, 0);
    assert_eq!(keys.find(home, id).await.unwrap().last_used_at, None);
    let before = house.db.statements();
    keys.write_uses().await.unwrap();
    assert_eq!(house.db.statements() - before, 2);
    assert_eq!(keys.find(home, id).await.unwrap().last_used_at, Some(used_at));
    // Nothing new, nothing to write.
    let before = house.db.statements();
    keys.write_uses().await.unwrap();
    assert_eq!(house.db.statements(), before);

    house.wait(24 * 60 * 60);
    assert_eq!(accepted(&house.auth, &issued, 2).await, 2);
    let usage = keys.usage(home, id).await.unwrap();
    let days: Vec<_> = usage.iter().map(|day| (day.day, day.requests, day.refused)).collect();
    let day = used_at.date_naive();
    assert_eq!(days, [(day.succ_opt().unwrap(), 2, 0), (day, 300, 0)]);

    let later = stylobate_auth::ApiKeyChange {
        expires_at: Some(house.clock.now() + TimeDelta::days(300)),
        ..stylobate_auth::ApiKeyChange::default()
    };
    house.change_key(&issued.key, later).await.unwrap();
    house.wait(89 * 24 * 60 * 60);
    house.auth.sweep().await.unwrap();
    assert_eq!(keys.usage(home, id).await.unwrap().len(), 1);
    assert_eq!(house.count("SELECT count(*) FROM api_key_usage").await, 1);
}
both_engines!(uses_are_written_together_and_kept_for_90_days, &[&MIGRATIONS]);

async fn a_process_that_ends_writes_what_its_keys_were_used_for(db: TestDb) {
    let house = House::new(db).await;
    let issued = limited(&house, 1_000).await;
    let background = Background::of(&house.auth).await;
    assert_eq!(accepted(&house.auth, &issued, 7).await, 7);
    background.stop().await;
    assert_eq!(house.count("SELECT CAST(sum(requests) AS bigint) FROM api_key_usage").await, 7);
}
both_engines!(a_process_that_ends_writes_what_its_keys_were_used_for, &[&MIGRATIONS]);

async fn uses_that_cannot_be_written_are_not_forgotten(db: TestDb) {
    let house = House::new(db).await;
    let issued = limited(&house, 1_000).await;
    assert_eq!(accepted(&house.auth, &issued, 3).await, 3);
    let refuse =
        async |tx: &mut stylobate_db::Tx| tx.q("ALTER TABLE api_key_usage RENAME TO elsewhere").run().await;
    let back =
        async |tx: &mut stylobate_db::Tx| tx.q("ALTER TABLE elsewhere RENAME TO api_key_usage").run().await;
    let owner = house.test_db.open_as_owner().await;
    owner.transact(super::SCOPE, refuse).await.unwrap();
    assert!(house.auth.api_keys().write_uses().await.is_err());
    owner.transact(super::SCOPE, back).await.unwrap();
    house.auth.api_keys().write_uses().await.unwrap();
    assert_eq!(house.count("SELECT CAST(sum(requests) AS bigint) FROM api_key_usage").await, 3);
}
both_engines!(uses_that_cannot_be_written_are_not_forgotten, &[&MIGRATIONS]);
