//! What is stored and how it is hashed, for operators.

use std::sync::Arc;

use stylobate_auth::{
    Auth, AuthConfig, AuthError, HashCount, HashParams, HasherOptions, MIGRATIONS, PasswordHasher,
};
use stylobate_core::AuditSink;
use stylobate_db::Tx;
use stylobate_testkit::{TestDb, both_engines};

use super::{House, PASSWORD, SCOPE, new_person, system};

const ONE: &str = "1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

async fn stored_hashes_are_counted_by_kind_and_version_of_the_pepper(db: TestDb) {
    let mut house = House::new(db).await;
    assert_eq!(house.auth.count_password_hashes().await.unwrap().total(), 0);
    house.person("ada").await;
    house.person("bob").await;
    house.config.password_pepper = Some(ONE.into());
    house.auth = house.another_process().await;
    house.login("ada", PASSWORD).await.unwrap();
    let imported = "$2b$05$abcdefghijklmnopqrstuuUF6lMM78hR2uUz.OcTmfbPJwiH4Nm3i".parse().unwrap();
    let auth = house.auth.clone();
    let import = async move |tx: &mut Tx| {
        let person = auth.people().insert(tx, &system(), new_person("eve")).await?;
        auth.import_password(tx, &system(), person.id, &imported).await
    };
    house.db.transact(SCOPE, import).await.unwrap();

    let own = |pepper_version, unusable| HashCount {
        scheme: "argon2id",
        cost: Some((19_456, 2)),
        pepper_version,
        unusable,
        count: 1,
    };
    let bcrypt = HashCount { scheme: "bcrypt", cost: None, pepper_version: None, unusable: None, count: 1 };
    let counts = house.auth.count_password_hashes().await.unwrap();
    assert_eq!(counts.0, [own(None, None), own(Some(1), None), bcrypt]);
    assert_eq!((counts.total(), counts.keyed_with(1), counts.keyed_with(2)), (3, 1, 0));
    // A version that is taken out too early, and what is no hash at all.
    house.config.password_pepper = None;
    house.auth = house.another_process().await;
    let spoil = async |tx: &mut Tx| {
        let spoil = tx.q("UPDATE credentials SET hash = 'x' WHERE hash LIKE $1").bind("$2b$%".to_owned());
        spoil.run().await.map_err(AuthError::Db)
    };
    house.db.transact(SCOPE, spoil).await.unwrap();
    let counts = house.auth.count_password_hashes().await.unwrap().0;
    assert_eq!(counts[1], own(Some(1), Some("password_pepper_missing")));
    assert_eq!((counts[2].scheme, counts[2].unusable), ("unknown", Some("password_hash_unknown")));
}
both_engines!(stored_hashes_are_counted_by_kind_and_version_of_the_pepper, &[&MIGRATIONS]);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_said_about_hashing_beside_a_hasher_is_refused() {
    let house = House::new(TestDb::sqlite(&[&MIGRATIONS]).await).await;
    let hasher = PasswordHasher::new(HasherOptions::default().params(HashParams::new(20_000, 2).unwrap()));
    let build = async |config: AuthConfig| {
        let audit = Arc::clone(&house.audit) as Arc<dyn AuditSink>;
        Auth::builder(&house.db, config, Arc::clone(&house.sealer), audit)
            .hasher(hasher.clone())
            .build()
            .await
    };
    build(AuthConfig::default()).await.unwrap();
    let config = AuthConfig {
        password_memory_kib: 32_768,
        password_passes: 3,
        password_stored_memory_kib_max: 131_072,
        password_pepper: Some(ONE.into()),
        ..AuthConfig::default()
    };
    let Err(AuthError::Config(problems)) = build(config).await else { panic!("built") };
    let fields: Vec<&str> = problems.0.iter().map(|problem| problem.field).collect();
    let all = ["password_pepper", "password_memory_kib", "password_passes", "password_stored_memory_kib_max"];
    assert_eq!(fields, all);
}
