use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use stylobate_auth::{
    KeyEncryptionKey, KeyError, KeyRing, KeyRingConfig, LocalSealer, SealedSecrets, SigningAlgorithm,
    SigningKey,
};
use stylobate_core::{Clock, KeyId, Sealer};
use stylobate_db::{Db, Scope};
use stylobate_testkit::{ManualClock, TestDb, both_engines};

fn sealer() -> Arc<dyn Sealer> {
    Arc::new(LocalSealer::new(&KeyEncryptionKey::generate().unwrap()))
}

async fn open(db: &Db, sealer: &Arc<dyn Sealer>, clock: &Arc<ManualClock>) -> Result<KeyRing, KeyError> {
    let clock: Arc<dyn Clock> = Arc::clone(clock) as _;
    KeyRing::open(db, Arc::clone(sealer), clock, KeyRingConfig::default()).await
}

fn signing_kid(ring: &KeyRing) -> String {
    ring.keys().current().signing().unwrap().kid().to_string()
}

async fn run(db: &Db, sql: &'static str, time: DateTime<Utc>) {
    db.transact(Scope::Platform("test"), async |tx| tx.q(sql).bind(time).run().await).await.unwrap();
}

/// Adds a key of the next generation, as a rotation will.
async fn add_key(db: &Db, sealer: &Arc<dyn Sealer>, generation: i64, not_before: DateTime<Utc>) -> String {
    let kid = KeyId::new(not_before);
    let (_, pkcs8) = SigningKey::generate_ed25519().unwrap();
    let sealed = sealer.seal(&pkcs8, format!("signing_keys:{kid}").as_bytes()).await.unwrap();
    // PKCS#8 v2 (RFC 8410 §10.3) ends in the public key.
    let public_key = pkcs8[pkcs8.len() - 32..].to_vec();
    db.transact(Scope::Platform("test"), async |tx| {
        tx.q("INSERT INTO signing_keys \
              (kid, generation, algorithm, private_key_sealed, public_key, created_at, not_before) \
              VALUES ($1, $2, 'EdDSA', $3, $4, $5, $5)")
            .bind(kid.as_uuid())
            .bind(generation)
            .bind(sealed.clone())
            .bind(public_key.clone())
            .bind(not_before)
            .run()
            .await
    })
    .await
    .unwrap();
    kid.to_string()
}

async fn the_first_start_makes_one_key_and_the_second_loads_it(db: TestDb) {
    let (sealer, clock) = (sealer(), Arc::new(ManualClock::new()));
    let first = open(&db, &sealer, &clock).await.unwrap();
    let second = open(&db, &sealer, &clock).await.unwrap();
    assert_eq!(signing_kid(&first), signing_kid(&second));
    assert_eq!(second.keys().current().len(), 1);
    assert_eq!(second.keys().current().signing().unwrap().algorithm(), SigningAlgorithm::EdDsa);
    // What one process signs, the other verifies.
    let signature = first.keys().current().signing().unwrap().sign(b"message").unwrap();
    let keys = second.keys().current();
    assert!(keys.find(&signing_kid(&first)).unwrap().verify(b"message", &signature));
}
both_engines!(the_first_start_makes_one_key_and_the_second_loads_it, &[&stylobate_auth::MIGRATIONS]);

async fn starts_that_race_agree_on_one_key(db: TestDb) {
    let (sealer, clock) = (sealer(), Arc::new(ManualClock::new()));
    let starts: Vec<_> = (0..8)
        .map(|_| {
            let (db, sealer, clock) = (Db::clone(&db), Arc::clone(&sealer), Arc::clone(&clock));
            tokio::spawn(async move { signing_kid(&open(&db, &sealer, &clock).await.unwrap()) })
        })
        .collect();
    let mut kids = Vec::new();
    for start in starts {
        kids.push(start.await.unwrap());
    }
    assert!(kids.iter().all(|kid| *kid == kids[0]), "{kids:?}");
    let count: i64 = db.read().await.unwrap().q("SELECT count(*) FROM signing_keys").scalar().await.unwrap();
    assert_eq!(count, 1);
}
both_engines!(starts_that_race_agree_on_one_key, &[&stylobate_auth::MIGRATIONS]);

async fn another_key_encryption_key_is_told(db: TestDb) {
    let clock = Arc::new(ManualClock::new());
    open(&db, &sealer(), &clock).await.unwrap();
    let error = open(&db, &sealer(), &clock).await.unwrap_err();
    assert_eq!(error.code(), "kek_mismatch");
}
both_engines!(another_key_encryption_key_is_told, &[&stylobate_auth::MIGRATIONS]);

async fn a_sealed_half_moved_to_another_row_does_not_open(db: TestDb) {
    let (sealer, clock) = (sealer(), Arc::new(ManualClock::new()));
    open(&db, &sealer, &clock).await.unwrap();
    add_key(&db, &sealer, 2, clock.now()).await;
    run(
        &db,
        "UPDATE signing_keys SET not_before = $1, private_key_sealed = \
         (SELECT private_key_sealed FROM signing_keys WHERE generation = 1) WHERE generation = 2",
        clock.now(),
    )
    .await;
    assert_eq!(open(&db, &sealer, &clock).await.unwrap_err().code(), "kek_mismatch");
}
both_engines!(a_sealed_half_moved_to_another_row_does_not_open, &[&stylobate_auth::MIGRATIONS]);

async fn a_planted_public_half_is_noticed(db: TestDb) {
    let (sealer, clock) = (sealer(), Arc::new(ManualClock::new()));
    let ring = open(&db, &sealer, &clock).await.unwrap();
    add_key(&db, &sealer, 2, clock.now()).await;
    run(
        &db,
        "UPDATE signing_keys SET not_before = $1, public_key = \
         (SELECT public_key FROM signing_keys WHERE generation = 2) WHERE generation = 1",
        clock.now(),
    )
    .await;
    let before = signing_kid(&ring);
    assert_eq!(ring.reload().await.unwrap_err().code(), "key_row_corrupt");
    assert_eq!(signing_kid(&ring), before, "a failed reload changes nothing");
}
both_engines!(a_planted_public_half_is_noticed, &[&stylobate_auth::MIGRATIONS]);

async fn a_key_verifies_when_published_signs_when_due_and_goes_after_the_overlap(db: TestDb) {
    let (sealer, clock) = (sealer(), Arc::new(ManualClock::new()));
    let ring = open(&db, &sealer, &clock).await.unwrap();
    let old = signing_kid(&ring);
    let new = add_key(&db, &sealer, 2, clock.now() + TimeDelta::hours(1)).await;

    ring.reload().await.unwrap();
    assert_eq!(signing_kid(&ring), old);
    assert!(ring.keys().current().find(&new).is_some(), "published ahead");

    clock.advance(TimeDelta::hours(1));
    ring.reload().await.unwrap();
    assert_eq!(signing_kid(&ring), new);

    run(&db, "UPDATE signing_keys SET retired_at = $1 WHERE generation = 1", clock.now()).await;
    clock.advance(TimeDelta::minutes(15));
    ring.reload().await.unwrap();
    assert!(ring.keys().current().find(&old).is_some(), "its last token may still be alive");

    clock.advance(TimeDelta::minutes(1));
    ring.reload().await.unwrap();
    assert!(ring.keys().current().find(&old).is_none());
    assert_eq!(ring.keys().current().len(), 1);
}
both_engines!(
    a_key_verifies_when_published_signs_when_due_and_goes_after_the_overlap,
    &[&stylobate_auth::MIGRATIONS]
);

async fn a_ring_of_retired_keys_only_does_not_open(db: TestDb) {
    let (sealer, clock) = (sealer(), Arc::new(ManualClock::new()));
    open(&db, &sealer, &clock).await.unwrap();
    run(&db, "UPDATE signing_keys SET retired_at = $1", clock.now()).await;
    assert_eq!(open(&db, &sealer, &clock).await.unwrap_err().code(), "signing_key_missing");
}
both_engines!(a_ring_of_retired_keys_only_does_not_open, &[&stylobate_auth::MIGRATIONS]);

async fn a_key_made_by_a_clock_ahead_of_ours_still_signs(db: TestDb) {
    let (sealer, clock) = (sealer(), Arc::new(ManualClock::new()));
    let ahead = open(&db, &sealer, &clock).await.unwrap();
    clock.advance(TimeDelta::seconds(-30));
    let behind = open(&db, &sealer, &clock).await.unwrap();
    assert_eq!(signing_kid(&ahead), signing_kid(&behind));
}
both_engines!(a_key_made_by_a_clock_ahead_of_ours_still_signs, &[&stylobate_auth::MIGRATIONS]);

async fn private_halves_are_not_in_the_table(db: TestDb) {
    let (sealer, clock) = (sealer(), Arc::new(ManualClock::new()));
    open(&db, &sealer, &clock).await.unwrap();
    let sealed: Vec<u8> =
        db.read().await.unwrap().q("SELECT private_key_sealed FROM signing_keys").scalar().await.unwrap();
    assert!(SigningKey::ed25519_from_pkcs8(&sealed).is_err());
    // The head of every Ed25519 PKCS#8 structure (RFC 8410 §7): in clear it would be somewhere.
    assert!(!sealed.windows(5).any(|part| part == [0x06, 0x03, 0x2b, 0x65, 0x70])); // C41
}
both_engines!(private_halves_are_not_in_the_table, &[&stylobate_auth::MIGRATIONS]);

async fn a_sealed_secret_is_made_once_and_agreed_upon(db: TestDb) {
    let (sealer, clock) = (sealer(), Arc::new(ManualClock::new()));
    let asks: Vec<_> = (0..8)
        .map(|_| {
            let secrets = SealedSecrets::new(&db, Arc::clone(&sealer), Arc::clone(&clock) as _);
            tokio::spawn(async move { *secrets.get_or_create("session_pepper").await.unwrap().expose() })
        })
        .collect();
    let mut secrets = Vec::new();
    for ask in asks {
        secrets.push(ask.await.unwrap());
    }
    assert!(secrets.iter().all(|secret| *secret == secrets[0]));
    let store = SealedSecrets::new(&db, Arc::clone(&sealer), Arc::clone(&clock) as _);
    assert_ne!(store.get_or_create("another").await.unwrap().expose(), &secrets[0]);
    let debug = format!("{:?}", store.get_or_create("another").await.unwrap());
    assert_eq!(debug, "PlatformSecret([redacted])");
}
both_engines!(a_sealed_secret_is_made_once_and_agreed_upon, &[&stylobate_auth::MIGRATIONS]);

async fn a_sealed_secret_does_not_open_with_another_key_or_name(db: TestDb) {
    let (ours, clock) = (sealer(), Arc::new(ManualClock::new()));
    let store = SealedSecrets::new(&db, Arc::clone(&ours), Arc::clone(&clock) as _);
    store.get_or_create("first").await.unwrap();
    let theirs = SealedSecrets::new(&db, sealer(), Arc::clone(&clock) as _);
    assert_eq!(theirs.get_or_create("first").await.unwrap_err().code(), "kek_mismatch");
    run(
        &db,
        "INSERT INTO sealed_secrets (name, sealed, created_at) \
         SELECT 'second', sealed, $1 FROM sealed_secrets WHERE name = 'first'",
        clock.now(),
    )
    .await;
    assert_eq!(store.get_or_create("second").await.unwrap_err().code(), "kek_mismatch");
}
both_engines!(a_sealed_secret_does_not_open_with_another_key_or_name, &[&stylobate_auth::MIGRATIONS]);
