use stylobate_auth::{
    AuthError, CredentialRecord, HashParams, HasherOptions, MIGRATIONS, PasswordHash, PasswordHasher,
};
use stylobate_core::{Clock as _, PersonId};
use stylobate_db::Tx;
use stylobate_testkit::{TestDb, both_engines};

use super::{House, PASSWORD, SCOPE, WRONG, code, is_revoked, new_person, system, typed};

const NEW: &str = "gravel thimble orchard nine";

async fn record(house: &House, person: PersonId) -> CredentialRecord {
    let mut conn = house.db.read().await.unwrap();
    house.auth.credential_of(&mut conn, person).await.unwrap()
}

async fn change<T: Send + 'static>(
    house: &House,
    work: impl AsyncFn(&mut Tx) -> Result<T, AuthError> + Send + Sync,
) -> Result<T, AuthError> {
    let mut tx = house.db.begin(SCOPE).await?;
    let done = work(&mut tx).await?;
    tx.commit().await?;
    Ok(done)
}

async fn hash(house: &House, password: &str) -> PasswordHash {
    house.auth.hash_new_password(&stylobate_auth::ContextWords::new(), typed(password)).await.unwrap()
}

async fn a_record_tells_everything_but_the_secret(db: TestDb) {
    let house = House::new(db).await;
    let ada = house.person("ada").await;
    let made = record(&house, ada.id).await;
    assert_eq!((made.id, made.person_id), (ada.id.as_uuid(), ada.id));
    assert_eq!((made.username.as_deref(), made.is_active), (Some("ada"), true));
    assert_eq!((made.created_at, made.last_login_at), (house.clock.now(), None));
    assert!(!serde_json::to_string(&made).unwrap().contains("argon2")); // A24

    house.wait(60);
    house.login("ada", PASSWORD).await.unwrap();
    assert_eq!(record(&house, ada.id).await.last_login_at, Some(house.clock.now()));
    for _ in 0..5 {
        house.try_login("ada", WRONG).await;
    }
    let locked = record(&house, ada.id).await;
    assert_eq!((locked.lock.failures, locked.lock.clients_locked), (5, 1));
    assert!(locked.lock.refused_until() > Some(house.clock.now()));
    house.wait(16 * 60);
    assert_eq!(record(&house, ada.id).await.lock.refused_until(), None, "a lock that is over is none");

    let bob = house.person("bob").await;
    let mut conn = house.db.read().await.unwrap();
    let nobody = PersonId::new(house.clock.now());
    let both = house.auth.credentials_of(&mut conn, &[bob.id, nobody, ada.id]).await.unwrap();
    assert_eq!(both.iter().map(|record| record.person_id).collect::<Vec<_>>(), [bob.id, ada.id]);
    assert_eq!(code(house.auth.credential_of(&mut conn, nobody).await), "credential_not_found");
}
both_engines!(a_record_tells_everything_but_the_secret, &[&MIGRATIONS]);

// A5
async fn a_credential_that_is_off_or_gone_signs_nobody_in(db: TestDb) {
    let house = House::new(db).await;
    let ada = house.person("ada").await;
    let set = async |is_active: bool| {
        let (auth, id) = (house.auth.clone(), ada.id);
        change(&house, async |tx: &mut Tx| auth.set_credential_active(tx, &system(), id, is_active).await)
            .await
    };
    let pair = house.login("ada", PASSWORD).await.unwrap();
    let ctx = house.as_holder(&pair).await;
    set(false).await.unwrap();
    assert!(is_revoked(&house.auth, &pair).await);
    assert_eq!(code(house.refresh(&pair.refresh_token).await), "refresh_invalid");
    assert_eq!(house.try_login("ada", PASSWORD).await, "invalid_credentials");
    let own = house.auth.change_password(&ctx, typed(PASSWORD), typed(NEW)).await;
    assert_eq!(code(own), "invalid_credentials");
    set(false).await.unwrap();
    assert_eq!(house.audit.count("credential.update"), 1, "what is off already changes nothing");
    set(true).await.unwrap();
    // What failed meanwhile does not count against a success.
    let again = house.login("ada", PASSWORD).await.unwrap();

    let delete = async || {
        let (auth, id) = (house.auth.clone(), ada.id);
        change(&house, async |tx: &mut Tx| auth.delete_credential(tx, &system(), id).await).await
    };
    delete().await.unwrap();
    assert!(is_revoked(&house.auth, &again).await);
    assert_eq!(house.try_login("ada", PASSWORD).await, "invalid_credentials");
    assert_eq!(code(delete().await), "credential_not_found");
    assert_eq!(code(set(true).await), "credential_not_found");
    assert_eq!(house.audit.count("credential.delete"), 1);
}
both_engines!(a_credential_that_is_off_or_gone_signs_nobody_in, &[&MIGRATIONS]);

async fn a_credential_is_made_once(db: TestDb) {
    let house = House::new(db).await;
    let auth = house.auth.clone();
    let person = change(&house, async |tx: &mut Tx| {
        Ok(auth.people().insert(tx, &system(), new_person("ada")).await?)
    })
    .await
    .unwrap();
    let hash = hash(&house, PASSWORD).await;
    let create = async || {
        change(&house, async |tx: &mut Tx| {
            auth.create_credential(tx, &system(), person.id, &hash, true).await
        })
        .await
    };
    create().await.unwrap();
    assert_eq!(code(create().await), "credential_exists");
    assert_eq!(house.try_login("ada", PASSWORD).await, "must_change_password");
    assert!(record(&house, person.id).await.must_change_password);
    assert_eq!(house.audit.count("credential.create"), 1);
}
both_engines!(a_credential_is_made_once, &[&MIGRATIONS]);

// A4
async fn an_account_that_is_closed_is_seen_to_be(db: TestDb) {
    let house = House::new(db).await;
    let ada = house.person("ada").await;
    house.try_login("ada", WRONG).await;
    assert!(!record(&house, ada.id).await.lock.is_closed);
    // As after eighty of them.
    change(&house, async |tx: &mut Tx| {
        Ok(tx.q("UPDATE login_counters SET failures = 80 WHERE kind = 'account'").run().await?)
    })
    .await
    .unwrap();
    house.wait(2 * 24 * 60 * 60);
    assert_eq!(house.try_login("ada", PASSWORD).await, "login_throttled");
    let lock = record(&house, ada.id).await.lock;
    assert_eq!((lock.failures, lock.refused_until(), lock.is_closed), (80, None, true));
    // A clock that was wrong holds nobody, and so shows nothing.
    change(&house, async |tx: &mut Tx| {
        let far = house.clock.now() + chrono::TimeDelta::days(9_000);
        let sql = "UPDATE login_counters SET failures = 5, locked_until = $1 WHERE kind = 'account'";
        Ok(tx.q(sql).bind(far).run().await?)
    })
    .await
    .unwrap();
    assert_eq!(record(&house, ada.id).await.lock.refused_until(), None);
    assert_eq!(house.try_login("ada", PASSWORD).await, "ok");
}
both_engines!(an_account_that_is_closed_is_seen_to_be, &[&MIGRATIONS]);

async fn a_renewed_hash_is_no_new_password(db: TestDb) {
    let house = House::new(db).await;
    let other = HasherOptions::default().params(HashParams::new(20_000, 2).unwrap());
    let imported = PasswordHasher::new(other).hash(typed(PASSWORD)).await.unwrap().into();
    let auth = house.auth.clone();
    let ada = change(&house, async |tx: &mut Tx| {
        let ada = auth.people().insert(tx, &system(), new_person("ada")).await?;
        assert!(auth.import_password(tx, &system(), ada.id, &imported).await?);
        Ok(ada)
    })
    .await
    .unwrap();
    let made = record(&house, ada.id).await;
    assert_eq!((made.created_at, made.password_updated_at), (house.clock.now(), house.clock.now()));
    house.wait(60);
    house.login("ada", PASSWORD).await.unwrap();
    let renewed = record(&house, ada.id).await;
    assert_eq!(renewed.updated_at, house.clock.now(), "it was renewed");
    assert_eq!(
        (renewed.created_at, renewed.password_updated_at),
        (made.created_at, made.password_updated_at)
    );
    house.wait(60);
    let new = hash(&house, NEW).await;
    change(&house, async |tx: &mut Tx| auth.set_password(tx, &system(), ada.id, &new, false).await)
        .await
        .unwrap();
    let changed = record(&house, ada.id).await;
    assert_eq!((changed.created_at, changed.password_updated_at), (made.created_at, house.clock.now()));
    // Of a row that another program wrote, `updated_at` is what there is, until it moves.
    change(&house, async |tx: &mut Tx| {
        Ok(tx.q("UPDATE credentials SET created_at = NULL, password_updated_at = NULL").run().await?)
    })
    .await
    .unwrap();
    house.wait(60);
    change(&house, async |tx: &mut Tx| auth.set_credential_active(tx, &system(), ada.id, false).await)
        .await
        .unwrap();
    let off = record(&house, ada.id).await;
    assert_eq!((off.updated_at, off.password_updated_at), (house.clock.now(), changed.password_updated_at));
}
both_engines!(a_renewed_hash_is_no_new_password, &[&MIGRATIONS]);
