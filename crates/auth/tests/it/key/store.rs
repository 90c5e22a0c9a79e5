use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use stylobate_auth::{
    JwkSet, KeyEncryptionKey, KeyError, KeyPhase, KeyRing, KeyRingConfig, Kid, LocalSealer, Rotation,
    SigningAlgorithm, SigningKey,
};
use stylobate_core::{Clock, KeyId, RequestContext, Sealer};
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
    let (_, pkcs8) = SigningKey::generate(SigningAlgorithm::EdDsa).unwrap();
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
    clock.advance(TimeDelta::minutes(17));
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
    assert!(SigningKey::from_pkcs8(SigningAlgorithm::EdDsa, &sealed).is_err());
    // The head of every Ed25519 PKCS#8 structure (RFC 8410 §7): in clear it would be somewhere.
    assert!(!sealed.windows(5).any(|part| part == [0x06, 0x03, 0x2b, 0x65, 0x70])); // C41
}
both_engines!(private_halves_are_not_in_the_table, &[&stylobate_auth::MIGRATIONS]);

fn operator() -> RequestContext {
    RequestContext::system("test")
}

fn verifies(ring: &KeyRing, kid: &str) -> bool {
    ring.keys().current().find(kid).is_some()
}

fn phases(infos: &[stylobate_auth::KeyInfo]) -> Vec<KeyPhase> {
    infos.iter().map(|info| info.phase).collect()
}

async fn a_rotation_is_published_ahead_and_overlaps_in_every_process(db: TestDb) {
    // A18
    let (sealer, clock) = (sealer(), Arc::new(ManualClock::new()));
    let (here, there) =
        (open(&db, &sealer, &clock).await.unwrap(), open(&db, &sealer, &clock).await.unwrap());
    let old = signing_kid(&here);
    let new = here.rotate(&operator(), Rotation::PublishAhead).await.unwrap();
    assert_eq!((new.phase, new.is_signing), (KeyPhase::Published, false));
    there.reload().await.unwrap();
    for ring in [&here, &there] {
        assert_eq!(signing_kid(ring), old);
        assert!(verifies(ring, new.kid.as_str()), "published ahead");
        assert_eq!(JwkSet::of(&ring.keys().current()).keys().len(), 2);
    }
    let again = there.rotate(&operator(), Rotation::PublishAhead).await;
    assert!(matches!(again, Err(KeyError::RotationPending)));

    // Due: a process that was not told so takes over as well, and so does one that was restarted.
    clock.advance(TimeDelta::minutes(10));
    there.reload().await.unwrap();
    here.reload().await.unwrap();
    let restarted = open(&db, &sealer, &clock).await.unwrap();
    for ring in [&here, &there, &restarted] {
        assert_eq!(signing_kid(ring), new.kid.as_str());
        assert!(verifies(ring, &old), "its last token may still be alive");
    }
    assert_eq!(phases(&here.list().await.unwrap()), [KeyPhase::Active, KeyPhase::Retiring]);

    clock.advance(TimeDelta::minutes(18));
    for ring in [&here, &there] {
        ring.reload().await.unwrap();
        assert!(!verifies(ring, &old));
    }
    assert_eq!(phases(&here.list().await.unwrap()), [KeyPhase::Active, KeyPhase::Over]);
    assert!(here.rotate(&operator(), Rotation::PublishAhead).await.is_ok(), "the next one");
}
both_engines!(a_rotation_is_published_ahead_and_overlaps_in_every_process, &[&stylobate_auth::MIGRATIONS]);

async fn no_key_goes_while_a_token_it_signed_is_alive(db: TestDb) {
    // A18: over a day of rotations, minute by minute.
    let (sealer, clock) = (sealer(), Arc::new(ManualClock::new()));
    let ring = open(&db, &sealer, &clock).await.unwrap();
    let tokens = stylobate_auth::TokenConfig::new("https://id.example.test", "api");
    assert!(KeyRingConfig::default().overlap >= tokens.lifetime + 2 * tokens.leeway);
    let mut alive: Vec<(DateTime<Utc>, String)> = Vec::new();
    for minute in 0..200 {
        if minute % 37 == 0 {
            ring.rotate(&operator(), Rotation::PublishAhead).await.unwrap();
        }
        ring.reload().await.unwrap();
        alive.push((clock.now() + TimeDelta::minutes(15), signing_kid(&ring)));
        alive.retain(|(until, _)| *until + TimeDelta::seconds(5) > clock.now());
        for (_, kid) in &alive {
            assert!(verifies(&ring, kid), "minute {minute}");
        }
        clock.advance(TimeDelta::minutes(1));
    }
    assert!(ring.keys().current().len() <= 3);
}
both_engines!(no_key_goes_while_a_token_it_signed_is_alive, &[&stylobate_auth::MIGRATIONS]);

async fn a_rotation_now_replaces_one_that_was_pending(db: TestDb) {
    let (sealer, clock) = (sealer(), Arc::new(ManualClock::new()));
    let ring = open(&db, &sealer, &clock).await.unwrap();
    let old = signing_kid(&ring);
    let pending = ring.rotate(&operator(), Rotation::PublishAhead).await.unwrap();
    let new = ring.rotate(&operator(), Rotation::Now).await.unwrap();
    assert!(new.is_signing);
    assert_eq!(signing_kid(&ring), new.kid.as_str());
    assert!(verifies(&ring, &old));
    clock.advance(TimeDelta::minutes(11));
    ring.reload().await.unwrap();
    assert_eq!(signing_kid(&ring), new.kid.as_str(), "not the one that was pending");
    clock.advance(TimeDelta::minutes(8));
    ring.reload().await.unwrap();
    assert_eq!((verifies(&ring, &old), verifies(&ring, pending.kid.as_str())), (false, false));
}
both_engines!(a_rotation_now_replaces_one_that_was_pending, &[&stylobate_auth::MIGRATIONS]);

async fn tokens_of_a_revoked_key_stop_and_another_signs(db: TestDb) {
    let (sealer, clock) = (sealer(), Arc::new(ManualClock::new()));
    let (here, there) =
        (open(&db, &sealer, &clock).await.unwrap(), open(&db, &sealer, &clock).await.unwrap());
    let stolen = signing_kid(&here);
    let kid: Kid = stolen.parse().unwrap();
    here.revoke(&operator(), &kid).await.unwrap();
    there.reload().await.unwrap();
    let restarted = open(&db, &sealer, &clock).await.unwrap();
    for ring in [&here, &there, &restarted] {
        assert!(!verifies(ring, &stolen));
        assert_ne!(signing_kid(ring), stolen);
        assert_eq!(signing_kid(ring), signing_kid(&here));
    }
    assert_eq!(phases(&here.list().await.unwrap()), [KeyPhase::Active, KeyPhase::Revoked]);
    for unknown in
        [kid.clone(), "0191e000-0000-7000-8000-000000000001".parse().unwrap(), "k1".parse().unwrap()]
    {
        assert!(matches!(here.revoke(&operator(), &unknown).await, Err(KeyError::KeyUnknown)), "{unknown}");
    }
    // It does not come back with time.
    clock.advance(TimeDelta::days(1));
    here.reload().await.unwrap();
    assert!(!verifies(&here, &stolen));
}
both_engines!(tokens_of_a_revoked_key_stop_and_another_signs, &[&stylobate_auth::MIGRATIONS]);

async fn revoking_a_published_key_leaves_somebody_to_sign(db: TestDb) {
    let (sealer, clock) = (sealer(), Arc::new(ManualClock::new()));
    let ring = open(&db, &sealer, &clock).await.unwrap();
    let pending = ring.rotate(&operator(), Rotation::PublishAhead).await.unwrap();
    ring.revoke(&operator(), &pending.kid).await.unwrap();
    assert!(!verifies(&ring, pending.kid.as_str()));
    for minutes in [0, 10, 20, 10_000] {
        clock.advance(TimeDelta::minutes(minutes));
        ring.reload().await.unwrap();
        assert_ne!(signing_kid(&ring), pending.kid.as_str());
    }
}
both_engines!(revoking_a_published_key_leaves_somebody_to_sign, &[&stylobate_auth::MIGRATIONS]);

async fn rotations_that_race_make_one_key(db: TestDb) {
    let (sealer, clock) = (sealer(), Arc::new(ManualClock::new()));
    open(&db, &sealer, &clock).await.unwrap();
    let rotations: Vec<_> = (0..8)
        .map(|_| {
            let (db, sealer, clock) = (Db::clone(&db), Arc::clone(&sealer), Arc::clone(&clock));
            tokio::spawn(async move {
                let ring = open(&db, &sealer, &clock).await.unwrap();
                match ring.rotate(&operator(), Rotation::PublishAhead).await {
                    Ok(_) => 1,
                    Err(KeyError::RotationPending) => 0,
                    Err(error) => panic!("{error}"),
                }
            })
        })
        .collect();
    let mut made = 0;
    for rotation in rotations {
        made += rotation.await.unwrap();
    }
    assert_eq!(made, 1);
    assert_eq!(open(&db, &sealer, &clock).await.unwrap().keys().current().len(), 2);
}
both_engines!(rotations_that_race_make_one_key, &[&stylobate_auth::MIGRATIONS]);

async fn another_algorithm_takes_over_by_a_rotation(db: TestDb) {
    let (sealer, clock) = (sealer(), Arc::new(ManualClock::new()));
    let old = open(&db, &sealer, &clock).await.unwrap();
    let config = KeyRingConfig { algorithm: SigningAlgorithm::Es384, ..KeyRingConfig::default() };
    let with = async |config| KeyRing::open(&db, Arc::clone(&sealer), Arc::clone(&clock) as _, config).await;
    for _ in 0..3 {
        let ring = with(config).await.unwrap();
        assert_eq!(signing_kid(&ring), signing_kid(&old), "published ahead, too");
        assert_eq!(ring.keys().current().len(), 2, "once, however often it starts");
    }
    clock.advance(TimeDelta::minutes(10));
    let ring = with(config).await.unwrap();
    let set = ring.keys().current();
    let key = set.signing().unwrap();
    assert_eq!(key.algorithm(), SigningAlgorithm::Es384);
    assert!(set.find(key.kid().as_str()).unwrap().verify(b"message", &key.sign(b"message").unwrap()));
    assert!(verifies(&ring, &signing_kid(&old)));

    let hmac = KeyRingConfig { algorithm: SigningAlgorithm::Hs256, ..config };
    assert!(matches!(with(hmac).await, Err(KeyError::NotGenerated(_))));
}
both_engines!(another_algorithm_takes_over_by_a_rotation, &[&stylobate_auth::MIGRATIONS]);

async fn of_rotations_at_once_each_is_made_or_told_that_it_was_not(db: TestDb) {
    let (sealer, clock) = (sealer(), Arc::new(ManualClock::new()));
    let ring = Arc::new(open(&db, &sealer, &clock).await.unwrap());
    let mut rotations = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let ring = Arc::clone(&ring);
        rotations.spawn(async move { ring.rotate(&RequestContext::system("test"), Rotation::Now).await });
    }
    let mut made = 0;
    for rotation in rotations.join_all().await {
        match rotation {
            Ok(_) => made += 1,
            Err(error) => assert_eq!(error.code(), "key_rotation_concurrent"),
        }
    }
    assert!(made > 0);
    assert_eq!(ring.list().await.unwrap().len(), made + 1);
}
both_engines!(of_rotations_at_once_each_is_made_or_told_that_it_was_not, &[&stylobate_auth::MIGRATIONS]);
