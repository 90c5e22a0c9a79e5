//! A4: strangers, known devices and administrators.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use stylobate_auth::{
    AdmittedPerson, Auth, AuthConfig, AuthError, CounterStore, DeviceCookie, LockState, MIGRATIONS,
    MemoryCounters, PersonStatus, RedisCounters,
};
use stylobate_core::{PersonId, RequestContext};
use stylobate_db::Tx;
use stylobate_testkit::{TestDb, both_engines};

use super::{House, PASSWORD, SCOPE, WRONG, code, eventually, nobody, system, typed};

const NEW: &str = "gravel thimble orchard nine";

fn client(n: u8) -> RequestContext {
    RequestContext { address: Some(IpAddr::V4(Ipv4Addr::new(198, 51, 100, n))), ..nobody() }
}

async fn try_from(auth: &Auth, n: u8, name: &str, password: &str, device: Option<&str>) -> &'static str {
    let verified = auth.verify_login_from(&client(n), name, typed(password), device).await;
    match verified {
        Ok(verified) => code(auth.start_session(&client(n), &verified, None).await),
        Err(error) => error.code(),
    }
}

/// Signs in and keeps the cookie.
async fn cookie(house: &House, name: &str, device: Option<&str>) -> DeviceCookie {
    let verified = house.auth.verify_login_from(&client(99), name, typed(PASSWORD), device).await.unwrap();
    let auth = house.auth.clone();
    let begin = async move |tx: &mut Tx| {
        let admitted: AdmittedPerson<'_> = auth.admit(tx, &verified).await?;
        let cookie = auth.remember_device(&admitted)?;
        auth.begin_session(tx, &client(99), admitted, None).await?;
        Ok::<_, AuthError>(cookie)
    };
    house.db.transact(SCOPE, begin).await.unwrap()
}

/// Strangers on four addresses fail until the account is locked for all of them.
async fn attack(auth: &Auth, name: &str) {
    for n in 1..=4 {
        for _ in 0..5 {
            assert_eq!(try_from(auth, n, name, WRONG, None).await, "invalid_credentials");
        }
    }
    assert_eq!(try_from(auth, 50, name, PASSWORD, None).await, "login_throttled");
}

async fn strangers_cannot_lock_the_owner_out(db: TestDb) {
    let house = House::new(db).await;
    let ada = house.person("ada").await;
    house.person("bob").await;
    let cookie_of_ada = cookie(&house, "ada", None).await;
    let cookie_of_bob = cookie(&house, "bob", None).await;
    attack(&house.auth, "ada").await;
    let at = async |device: &str| try_from(&house.auth, 50, "ada", PASSWORD, Some(device)).await;
    assert_eq!(at(cookie_of_ada.expose_secret()).await, "ok");
    // From an address of the attackers, too, and by another name.
    let text = cookie_of_ada.expose_secret();
    assert_eq!(try_from(&house.auth, 1, "Ada@Example.org", PASSWORD, Some(text)).await, "ok");
    // C14: that of another person, a forged one, or none at all is of no use.
    let forged =
        cookie_of_ada.expose_secret().replace(&text[30..31], if &text[30..31] == "A" { "B" } else { "A" });
    for other in [cookie_of_bob.expose_secret(), &forged, "", "x", &"A".repeat(76), &"A".repeat(100_000)] {
        assert_eq!(at(other).await, "login_throttled");
    }
    // A success from the device excuses the device alone.
    assert_eq!(try_from(&house.auth, 50, "ada", PASSWORD, None).await, "login_throttled");
    let state = lock_state(&house.auth, &house, ada.id).await;
    assert_eq!((state.failures, state.clients_locked, state.device_failures), (20, 4, 0));
    assert!(state.is_locked() && !state.is_closed);
    assert_eq!(state.locked_until, Some(house.clock_now() + chrono::TimeDelta::minutes(15)));
}
both_engines!(strangers_cannot_lock_the_owner_out, &[&MIGRATIONS]);

async fn a_known_device_has_failures_of_its_own(db: TestDb) {
    let house = House::new(db).await;
    let ada = house.person("ada").await;
    let first = cookie(&house, "ada", None).await;
    let text = first.expose_secret();
    for _ in 0..5 {
        assert_eq!(try_from(&house.auth, 1, "ada", WRONG, Some(text)).await, "invalid_credentials");
    }
    let facts = house.audit.last("auth.login_failed").metadata.unwrap();
    assert_eq!((&facts["known_device"], &facts["failures"]), (&true.into(), &5.into()));
    assert!(facts["device_locked_until"].is_string(), "{facts}");
    assert_eq!(house.count("SELECT count(*) FROM login_counters WHERE kind IN ('account', 'pair')").await, 0);
    // It is a stranger now, and may sign in as one; that makes it known again.
    assert_eq!(try_from(&house.auth, 60, "ada", WRONG, Some(text)).await, "invalid_credentials");
    assert_eq!(house.audit.last("auth.login_failed").metadata.unwrap()["known_device"], false);
    let again = cookie(&house, "ada", Some(text)).await;
    assert_eq!(house.count("SELECT count(*) FROM login_counters WHERE kind = 'device'").await, 0);
    attack(&house.auth, "ada").await;
    assert_eq!(try_from(&house.auth, 1, "ada", PASSWORD, Some(again.expose_secret())).await, "ok");
    assert_eq!(try_from(&house.auth, 1, "ada", PASSWORD, Some(text)).await, "ok", "it is the same device");
    let state = lock_state(&house.auth, &house, ada.id).await;
    assert_eq!((state.devices_locked, state.are_devices_closed), (0, false));
}
both_engines!(a_known_device_has_failures_of_its_own, &[&MIGRATIONS]);

async fn a_new_password_or_a_disabled_person_voids_the_cookie(db: TestDb) {
    // C14
    let house = House::new(db).await;
    house.person("ada").await;
    let before = cookie(&house, "ada", None).await;
    let own = house.login("ada", PASSWORD).await.unwrap();
    attack(&house.auth, "ada").await;
    // Whoever is signed in changes the password all the same, and that ends the attack.
    let ctx = house.as_holder(&own).await;
    let _ = house.auth.change_password(&ctx, typed(PASSWORD), typed(NEW)).await.unwrap();
    assert_eq!(house.count("SELECT count(*) FROM login_counters WHERE kind <> 'address'").await, 0);
    assert_eq!(try_from(&house.auth, 50, "ada", NEW, None).await, "ok");
    attack(&house.auth, "ada").await;
    assert_eq!(try_from(&house.auth, 50, "ada", NEW, Some(before.expose_secret())).await, "login_throttled");

    let bob = house.person("bob").await;
    let cookie = cookie(&house, "bob", None).await;
    for status in [PersonStatus::Disabled, PersonStatus::Active] {
        let auth = house.auth.clone();
        let set = async move |tx: &mut Tx| auth.people().set_status(tx, &system(), bob.id, status).await;
        house.db.transact(SCOPE, set).await.unwrap();
    }
    for n in 11..=14 {
        for _ in 0..5 {
            try_from(&house.auth, n, "bob", WRONG, None).await;
        }
    }
    assert_eq!(
        try_from(&house.auth, 50, "bob", PASSWORD, Some(cookie.expose_secret())).await,
        "login_throttled"
    );
}
both_engines!(a_new_password_or_a_disabled_person_voids_the_cookie, &[&MIGRATIONS]);

async fn an_administrator_unlocks(db: TestDb) {
    let house = House::new(db).await;
    let ada = house.person("ada").await;
    let cookie = cookie(&house, "ada", None).await;
    for _ in 0..5 {
        try_from(&house.auth, 9, "ada", WRONG, Some(cookie.expose_secret())).await;
    }
    attack(&house.auth, "ada").await;
    assert!(unlock(&house.auth, &house, ada.id).await);
    assert_eq!(try_from(&house.auth, 1, "ada", PASSWORD, None).await, "ok", "clients are unlocked as well");
    assert_eq!(house.audit.count("auth.unlock"), 1);
    let kept = house.count("SELECT count(*) FROM login_counters WHERE kind <> 'address'").await;
    assert_eq!(kept, 0, "devices, too");
    assert!(!unlock(&house.auth, &house, ada.id).await, "there is nothing left");
    assert_eq!(house.audit.count("auth.unlock"), 1);
}
both_engines!(an_administrator_unlocks, &[&MIGRATIONS]);

async fn lock_state(auth: &Auth, house: &House, person: PersonId) -> LockState {
    auth.credential_of(&mut house.db.read().await.unwrap(), person).await.unwrap().lock
}

async fn unlock(auth: &Auth, house: &House, person: PersonId) -> bool {
    let auth = auth.clone();
    let unlock = async move |tx: &mut Tx| auth.unlock(tx, &system(), person).await;
    house.db.transact(SCOPE, unlock).await.unwrap()
}

/// A3: whoever looks from outside learns nothing from how a lock comes and goes.
async fn a_name_that_nobody_has_answers_like_a_person_throughout(db: TestDb) {
    let house = House::new(db).await;
    house.person("ada").await;
    let (mut ada, mut nemo) = (Vec::new(), Vec::new());
    for (name, answers) in [("ada", &mut ada), ("nemo", &mut nemo)] {
        // Distributed, for 90 tries, with the waits that the answers ask for.
        for n in 0..90_u8 {
            let from = RequestContext {
                address: Some(IpAddr::V4(Ipv4Addr::new(203, 0, n, if name == "ada" { 1 } else { 2 }))),
                ..nobody()
            };
            let refused = house.auth.verify_login(&from, name, typed(WRONG)).await.unwrap_err();
            answers.push(match refused {
                AuthError::Throttled { retry_after } => {
                    house.clock.advance(chrono::TimeDelta::from_std(retry_after).unwrap());
                    format!("throttled for {} s", retry_after.as_secs())
                }
                other => other.code().to_owned(),
            });
        }
    }
    assert_eq!(ada, nemo);
    assert_eq!(ada.iter().filter(|answer| *answer == "invalid_credentials").count(), 80);
    assert_eq!(ada.last().unwrap(), "throttled for 86400 s");
    let written = "SELECT count(*) FROM login_counters WHERE failures = 80";
    assert_eq!(house.count(written).await, 2);
}
both_engines!(a_name_that_nobody_has_answers_like_a_person_throughout, &[&MIGRATIONS]);

async fn counters_elsewhere_decide_the_same(db: TestDb) {
    let house = House::new(db).await;
    let ada = house.person("ada").await;
    let redis: Arc<dyn CounterStore> = Arc::new(crate::throttle::redis_counters());
    for (store, at_once) in [(Arc::new(MemoryCounters::new()) as Arc<dyn CounterStore>, true), (redis, false)]
    {
        let auth = house.counting_in(store).await;
        assert_eq!(try_from(&auth, 9, "ada", PASSWORD, None).await, "ok");
        attack(&auth, "ada").await;
        let state = lock_state(&auth, &house, ada.id).await;
        assert_eq!((state.failures, state.clients_locked), (20, 4));
        // Nothing is forgotten before the transaction commits, and a second round of it finds what the first found.
        for _ in 0..2 {
            let mut tx = house.db.begin(SCOPE).await.unwrap();
            assert!(auth.unlock(&mut tx, &system(), ada.id).await.unwrap());
            tx.rollback().await.unwrap();
        }
        assert_eq!(try_from(&auth, 50, "ada", PASSWORD, None).await, "login_throttled");
        let unlocked = house.audit.count("auth.unlock");
        assert!(unlock(&auth, &house, ada.id).await);
        assert_eq!(house.audit.count("auth.unlock"), unlocked + 1);
        let is_clear = async || lock_state(&auth, &house, ada.id).await == LockState::default();
        assert!(!at_once || is_clear().await);
        eventually("clearing the counters", is_clear).await;
        assert_eq!(try_from(&auth, 1, "ada", PASSWORD, None).await, "ok");
        // A success ends its own failures.
        for _ in 0..4 {
            assert_eq!(try_from(&auth, 60, "ada", WRONG, None).await, "invalid_credentials");
        }
        assert_eq!(try_from(&auth, 60, "ada", PASSWORD, None).await, "ok");
        assert_eq!(try_from(&auth, 60, "ada", WRONG, None).await, "invalid_credentials");
        unlock(&auth, &house, ada.id).await;
        auth.sweep().await.unwrap();
    }
    assert_eq!(house.count("SELECT count(*) FROM login_counters").await, 0);
}
both_engines!(counters_elsewhere_decide_the_same, &[&MIGRATIONS]);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_store_of_counters_sign_in_is_unavailable() {
    let house = House::new(TestDb::sqlite(&[&MIGRATIONS]).await).await;
    house.person("ada").await;
    let away = RedisCounters::connect("redis://127.0.0.1:1/0", "x:").unwrap();
    let auth = house.counting_in(Arc::new(away)).await;
    for (name, password) in [("ada", PASSWORD), ("ada", WRONG), ("nemo", WRONG)] {
        let computed = auth.hasher().stats().computed;
        let refused = auth.verify_login(&client(1), name, typed(password)).await.unwrap_err();
        assert!(refused.is_outage(), "{refused:?}");
        assert_eq!(refused.code(), "login_counters_unavailable");
        assert_eq!(auth.hasher().stats().computed, computed, "no password is looked at");
    }
}

/// A32: what administrators do about people does not depend on where failures are counted.
async fn without_its_store_of_counters_people_are_deleted_and_given_passwords(db: TestDb) {
    let house = House::new(db).await;
    let ada = house.person("ada").await;
    let away = RedisCounters::connect("redis://127.0.0.1:1/0", "x:").unwrap();
    let auth = house.counting_in(Arc::new(away)).await;
    let hash = auth.hash_new_password(&ada.context_words(), typed(NEW)).await.unwrap();
    let change = async move |tx: &mut Tx| {
        auth.set_password(tx, &system(), ada.id, &hash, false).await?;
        Ok::<_, AuthError>(auth.people().delete(tx, &system(), ada.id).await?)
    };
    house.db.transact(SCOPE, change).await.unwrap();
    assert_eq!(house.count("SELECT count(*) FROM people").await, 0);
}
both_engines!(without_its_store_of_counters_people_are_deleted_and_given_passwords, &[&MIGRATIONS]);

async fn counters_that_are_forgotten_are_swept_and_no_others(db: TestDb) {
    let house = House::new(db).await;
    let insert = async |from: i64, to: i64, at: chrono::DateTime<chrono::Utc>| {
        let fill = async move |tx: &mut Tx| {
            for key in from..to {
                tx.q("INSERT INTO login_counters (kind, key, failures, window_started_at, expires_at) \
                      VALUES ('address', $1, 1, $2, $2)")
                    .bind(key.to_be_bytes().to_vec())
                    .bind(at)
                    .run()
                    .await?;
            }
            Ok::<_, stylobate_db::Error>(())
        };
        house.db.transact(SCOPE, fill).await.unwrap();
    };
    // More than one batch, all at once and one after the other.
    let now = house.clock_now();
    insert(0, 600, now).await;
    insert(600, 700, now - chrono::TimeDelta::minutes(1)).await;
    insert(700, 710, now + chrono::TimeDelta::minutes(1)).await;
    assert_eq!(house.auth.sweep().await.unwrap(), 700);
    assert_eq!(house.count("SELECT count(*) FROM login_counters").await, 10);
}
both_engines!(counters_that_are_forgotten_are_swept_and_no_others, &[&MIGRATIONS]);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_limit_of_strangers_is_a_setting() {
    let config = AuthConfig { login_strangers_limit: Some(6), ..AuthConfig::default() };
    let house = House::with(TestDb::sqlite(&[&MIGRATIONS]).await, config).await;
    house.person("ada").await;
    for n in 1..=6 {
        assert_eq!(try_from(&house.auth, n, "ada", WRONG, None).await, "invalid_credentials");
    }
    assert_eq!(try_from(&house.auth, 7, "ada", PASSWORD, None).await, "login_throttled");
}

/// Failures and successes of one account at the same moment, on all its counters.
async fn parallel_failures_and_successes_do_not_wait_for_each_other_for_ever(db: TestDb) {
    let config = AuthConfig { login_attempt_limit: 20, ..AuthConfig::default() };
    let house = House::with(db, config).await;
    house.person("ada").await;
    let mut tries = tokio::task::JoinSet::new();
    for n in 0..24_u8 {
        let auth = house.auth.clone();
        let password = if n % 3 == 0 { PASSWORD } else { WRONG };
        tries.spawn(async move { (password, try_from(&auth, n % 2, "ada", password, None).await) });
    }
    for (password, answer) in tries.join_all().await {
        let expected = if password == PASSWORD { "ok" } else { "invalid_credentials" };
        // A busy machine sends some away before anything is counted.
        assert!([expected, "password_hashing_busy"].contains(&answer), "{answer}");
    }
}
both_engines!(parallel_failures_and_successes_do_not_wait_for_each_other_for_ever, &[&MIGRATIONS]);
