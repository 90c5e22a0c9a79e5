use std::net::IpAddr;

use stylobate_auth::{
    AuthConfig, AuthError, HashParams, HasherOptions, MIGRATIONS, PasswordHasher, PersonStatus,
};
use stylobate_core::{Outcome, RequestContext};
use stylobate_db::Tx;
use stylobate_testkit::{TestDb, both_engines};

use super::{House, PASSWORD, SCOPE, WRONG, code, new_person, nobody, system, typed};

async fn every_spelling_of_a_name_signs_in(db: TestDb) {
    let house = House::new(db).await;
    let ada = house.person("ada").await;
    for name in ["ada", "ADA", "ａｄａ", "ada@example.org", "Ada@Example.ORG"] {
        let verified = house.auth.verify_login(&nobody(), name, typed(PASSWORD)).await.unwrap();
        assert_eq!(verified.id(), ada.id, "{name}");
        assert!(!verified.must_change_password());
    }
    // Blanks are not cut off: that would be another alias.
    for name in [" ada", "ada ", "", "ada\0", "ada@example.org ", &"a".repeat(100_000)] {
        assert_eq!(house.try_login(name, PASSWORD).await, "invalid_credentials");
    }
}
both_engines!(every_spelling_of_a_name_signs_in, &[&MIGRATIONS]);

// A3, C30
async fn unknown_wrong_disabled_and_passwordless_look_and_cost_the_same(db: TestDb) {
    let house = House::new(db).await;
    house.person("ada").await;
    let bob = house.person("bob").await;
    let auth = house.auth.clone();
    let change = async move |tx: &mut Tx| {
        auth.people().set_status(tx, &system(), bob.id, PersonStatus::Disabled).await?;
        auth.people().insert(tx, &system(), new_person("carl")).await
    };
    house.db.transact(SCOPE, change).await.unwrap();

    for (name, password) in
        [("ada", WRONG), ("nemo", WRONG), ("bob", PASSWORD), ("carl", WRONG), ("not\0a name", WRONG)]
    {
        let before = (house.auth.hasher().stats().computed, house.audit.count("auth.login_failed"));
        let refused = house.auth.verify_login(&nobody(), name, typed(password)).await.unwrap_err();
        assert!(matches!(refused, AuthError::InvalidCredentials), "{name}: {refused:?}");
        assert_eq!(refused.to_string(), "the username or password is wrong");
        let after = (house.auth.hasher().stats().computed, house.audit.count("auth.login_failed"));
        assert_eq!(after, (before.0 + 1, before.1 + 1), "{name}");
        let event = house.audit.last("auth.login_failed");
        assert_eq!(event.outcome, Outcome::Failure);
        assert!(!format!("{event:?}").contains("nemo"), "typed names are not recorded");
    }
    // Each of the five is counted on its account and on its client, persons and nobodies alike.
    assert_eq!(house.count("SELECT count(*) FROM login_counters WHERE failures = 1").await, 10);
}
both_engines!(unknown_wrong_disabled_and_passwordless_look_and_cost_the_same, &[&MIGRATIONS]);

// A4, C11
async fn all_names_of_a_person_count_as_one_account(db: TestDb) {
    let house = House::new(db).await;
    house.person("ada").await;
    for alias in ["ada", "ADA", "ada@example.org", "ADA@EXAMPLE.ORG", "ａｄａ"] {
        assert_eq!(house.try_login(alias, WRONG).await, "invalid_credentials", "{alias}");
    }
    for alias in ["ada", "Ada@example.org"] {
        let error = house.auth.verify_login(&nobody(), alias, typed(PASSWORD)).await.unwrap_err();
        let AuthError::Throttled { retry_after } = error else { panic!("{error:?}") };
        assert_eq!(retry_after.as_secs(), 15 * 60);
    }
    house.wait(15 * 60);
    assert_eq!(house.try_login("ada", PASSWORD).await, "ok");
    // The success began a new count.
    for _ in 0..4 {
        assert_eq!(house.try_login("ada", WRONG).await, "invalid_credentials");
    }
    assert_eq!(house.try_login("ada", PASSWORD).await, "ok");
    assert_eq!(house.count("SELECT count(*) FROM login_counters").await, 0);
}
both_engines!(all_names_of_a_person_count_as_one_account, &[&MIGRATIONS]);

// A3, A4
async fn a_name_that_nobody_has_is_locked_like_any_other(db: TestDb) {
    let house = House::new(db).await;
    for _ in 0..5 {
        assert_eq!(house.try_login("Nemo", WRONG).await, "invalid_credentials");
    }
    let computed = house.auth.hasher().stats().computed;
    assert_eq!(house.try_login("nemo", WRONG).await, "login_throttled");
    assert_eq!(house.auth.hasher().stats().computed, computed, "a locked account costs no hash");
    assert_eq!(house.try_login("other", WRONG).await, "invalid_credentials");
}
both_engines!(a_name_that_nobody_has_is_locked_like_any_other, &[&MIGRATIONS]);

// A4
async fn parallel_guesses_learn_no_more_than_the_limit(db: TestDb) {
    let house = House::new(db).await;
    house.person("ada").await;
    let mut tries = tokio::task::JoinSet::new();
    for _ in 0..30 {
        let auth = house.auth.clone();
        tries.spawn(async move { code(auth.verify_login(&nobody(), "ada", typed(WRONG)).await) });
    }
    let answers = tries.join_all().await;
    let told = answers.iter().filter(|answer| **answer == "invalid_credentials").count();
    assert!(told <= 5, "{answers:?}");
    assert_eq!(house.try_login("ada", PASSWORD).await, "login_throttled");
    assert_eq!(house.count("SELECT failures FROM login_counters WHERE kind = 'account'").await, 5);
    assert_eq!(house.count("SELECT failures FROM login_counters WHERE kind = 'pair'").await, 5);
}
both_engines!(parallel_guesses_learn_no_more_than_the_limit, &[&MIGRATIONS]);

async fn an_address_that_tries_many_names_is_locked(db: TestDb) {
    let house = House::with(db, AuthConfig { login_address_limit: 3, ..AuthConfig::default() }).await;
    house.person("ada").await;
    let from =
        |address: &str| RequestContext { address: Some(address.parse::<IpAddr>().unwrap()), ..nobody() };
    for name in ["x1", "x2", "x3"] {
        let failed = house.auth.verify_login(&from("2001:db8::1"), name, typed(WRONG)).await;
        assert_eq!(code(failed), "invalid_credentials");
    }
    // The same network of 64 bits; another one; the other family.
    for (address, expected) in
        [("2001:db8::ffff", "login_throttled"), ("2001:db8:0:1::1", "ok"), ("192.0.2.1", "ok")]
    {
        let result = house.auth.verify_login(&from(address), "ada", typed(PASSWORD)).await;
        assert_eq!(code(result), expected, "{address}");
    }
    house.wait(15 * 60);
    assert_eq!(code(house.auth.verify_login(&from("2001:db8::1"), "ada", typed(PASSWORD)).await), "ok");
}
both_engines!(an_address_that_tries_many_names_is_locked, &[&MIGRATIONS]);

// A1
async fn a_hash_with_other_parameters_is_renewed_at_login(db: TestDb) {
    let house = House::new(db).await;
    let ada = house.person("ada").await;
    let other = HashParams::new(20_000, 2).unwrap();
    let hasher = PasswordHasher::new(HasherOptions::default().params(other));
    let hash = hasher.hash(typed(PASSWORD)).await.unwrap();
    let auth = house.auth.clone();
    let set = async move |tx: &mut Tx| auth.set_password(tx, &system(), ada.id, &hash, false).await;
    house.db.transact(SCOPE, set).await.unwrap();
    let sql = "SELECT count(*) FROM credentials WHERE hash LIKE '%m=20000,%'";
    assert_eq!(house.count(sql).await, 1);
    assert_eq!(house.try_login("ada", PASSWORD).await, "ok");
    assert_eq!(house.count(sql).await, 0);
    assert_eq!(house.try_login("ada", PASSWORD).await, "ok");
}
both_engines!(a_hash_with_other_parameters_is_renewed_at_login, &[&MIGRATIONS]);

// A1, A3
#[cfg(feature = "legacy-hashes")]
async fn a_person_of_a_replaced_system_signs_in_and_has_a_new_hash(db: TestDb) {
    let house = House::new(db).await;
    let hashes = [
        ("ada", "$2b$05$abcdefghijklmnopqrstuuUF6lMM78hR2uUz.OcTmfbPJwiH4Nm3i"),
        ("bob", "$pbkdf2-sha256$29000$DWFMScl5b20NAcDY29ubcw$yRgRrpsfhmjBUbywIgcOizW94y9bLnkEi.NJ8XqRcdI"),
        ("eve", "$2b$31$abcdefghijklmnopqrstuuUF6lMM78hR2uUz.OcTmfbPJwiH4Nm3i"),
    ];
    for (name, hash) in hashes {
        let auth = house.auth.clone();
        let hash: stylobate_auth::StoredHash = hash.parse().unwrap();
        let import = async move |tx: &mut Tx| {
            let person = auth.people().insert(tx, &system(), new_person(name)).await?;
            let first = auth.import_password(tx, &system(), person.id, &hash).await?;
            assert!(!auth.import_password(tx, &system(), person.id, &hash).await?, "it is there already");
            Ok::<_, AuthError>(first)
        };
        let imported = house.db.transact(SCOPE, import).await;
        assert_eq!(code(imported), if name == "eve" { "password_hash_too_costly" } else { "ok" });
    }
    assert_eq!(house.audit.count("auth.password_import"), 2);
    let renewed = "SELECT count(*) FROM credentials WHERE hash LIKE '$argon2id$%'";
    for (name, count) in [("ada", 1), ("bob", 2)] {
        assert_eq!(house.try_login(name, WRONG).await, "invalid_credentials");
        assert_eq!(house.count(renewed).await, count - 1);
        assert_eq!(house.try_login(name, "quarry moss lantern").await, "ok");
        assert_eq!(house.count(renewed).await, count);
        assert_eq!(house.try_login(name, "quarry moss lantern").await, "ok");
    }
}
#[cfg(feature = "legacy-hashes")]
both_engines!(a_person_of_a_replaced_system_signs_in_and_has_a_new_hash, &[&MIGRATIONS]);

/// Bytes of Argon2 memory that a hasher keeps after its last hash, once it has.
async fn kept_memory(auth: &stylobate_auth::Auth) -> usize {
    super::eventually("the end of the hash", async || auth.hasher().stats().permits_in_use == 0).await;
    auth.hasher().stats().held_bytes
}

// A3, C30
async fn a_name_that_nobody_has_costs_what_the_hashes_of_people_cost(db: TestDb) {
    // A process that makes cheaper hashes than are stored gives the memory of theirs back; its own it would keep.
    let mut house =
        House::with(db, AuthConfig { password_memory_kib: 40_000, ..AuthConfig::default() }).await;
    let auth = house.auth.clone();
    let hash = auth.hash_new_password(&stylobate_auth::ContextWords::new(), typed(PASSWORD)).await.unwrap();
    for name in ["ada", "bob", "eve"] {
        let (auth, hash) = (auth.clone(), hash.clone());
        let add = async move |tx: &mut Tx| {
            let person = auth.people().insert(tx, &system(), new_person(name)).await?;
            auth.set_password(tx, &system(), person.id, &hash, false).await
        };
        house.db.transact(SCOPE, add).await.unwrap();
    }
    let auth = house.auth.clone();
    let add = async move |tx: &mut Tx| auth.people().insert(tx, &system(), new_person("carl")).await;
    house.db.transact(SCOPE, add).await.unwrap();
    house.config.password_memory_kib = HashParams::MEMORY_KIB_MIN;
    house.auth = house.another_process().await;
    // Known, unknown, without a password.
    for name in ["ada", "nemo", "nemo@example.org", "carl", "not\0a name"] {
        assert_eq!(house.try_login(name, WRONG).await, "invalid_credentials");
        assert_eq!(kept_memory(&house.auth).await, 0, "{name}");
    }
    // Once their hashes have been renewed, everybody costs what new ones do.
    for name in ["ada", "bob", "eve"] {
        assert_eq!(house.try_login(name, PASSWORD).await, "ok");
    }
    for name in ["ada", "nemo", "carl"] {
        let auth = house.another_process().await;
        assert_eq!(code(auth.verify_login(&nobody(), name, typed(WRONG)).await), "invalid_credentials");
        assert_eq!(kept_memory(&auth).await, HashParams::MEMORY_KIB_MIN as usize * 1024, "{name}");
    }
}
both_engines!(a_name_that_nobody_has_costs_what_the_hashes_of_people_cost, &[&MIGRATIONS]);

// A3, C30
#[cfg(feature = "legacy-hashes")]
async fn a_name_that_nobody_has_costs_what_an_imported_hash_costs(db: TestDb) {
    let house = House::new(db).await;
    let hash = "$2b$05$abcdefghijklmnopqrstuuUF6lMM78hR2uUz.OcTmfbPJwiH4Nm3i";
    let hash: stylobate_auth::StoredHash = hash.parse().unwrap();
    let auth = house.auth.clone();
    let import = async move |tx: &mut Tx| {
        let person = auth.people().insert(tx, &system(), new_person("ada")).await?;
        auth.import_password(tx, &system(), person.id, &hash).await
    };
    house.db.transact(SCOPE, import).await.unwrap();
    let auth = house.another_process().await;
    for name in ["ada", "nemo"] {
        assert_eq!(code(auth.verify_login(&nobody(), name, typed(WRONG)).await), "invalid_credentials");
        assert_eq!(kept_memory(&auth).await, 0, "bcrypt needs no memory: {name}");
        assert!(auth.hasher().stats().computed > 0);
    }
    // Also the password of somebody is none for a name that nobody has.
    let refused = auth.verify_login(&nobody(), "nemo", typed("quarry moss lantern")).await;
    assert_eq!(code(refused), "invalid_credentials");
}
#[cfg(feature = "legacy-hashes")]
both_engines!(a_name_that_nobody_has_costs_what_an_imported_hash_costs, &[&MIGRATIONS]);

// A1: rehash on login.
async fn a_hash_is_keyed_anew_at_login_when_the_secrets_change(db: TestDb) {
    const ONE: &str = "1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    const TWO: &str = "2:ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=";
    let mut house = House::new(db).await;
    house.person("ada").await;
    for (peppers, key_id) in [(ONE.to_owned(), "keyid=MQ$"), (format!("{TWO},{ONE}"), "keyid=Mg$")] {
        house.config.password_pepper = Some(peppers.into());
        house.auth = house.another_process().await;
        for _ in 0..2 {
            assert_eq!(house.try_login("ada", WRONG).await, "invalid_credentials");
            assert_eq!(house.try_login("ada", PASSWORD).await, "ok");
            let sql = "SELECT hash FROM credentials";
            let hash: String = house.db.read().await.unwrap().q(sql).scalar().await.unwrap();
            assert!(hash.contains(key_id), "{hash}");
        }
    }
    // Without the secret it looks like a wrong password, at the usual cost.
    house.config.password_pepper = None;
    house.auth = house.another_process().await;
    assert_eq!(house.try_login("ada", PASSWORD).await, "invalid_credentials");
    assert_eq!(house.auth.hasher().stats().computed, 1);
}
both_engines!(a_hash_is_keyed_anew_at_login_when_the_secrets_change, &[&MIGRATIONS]);
