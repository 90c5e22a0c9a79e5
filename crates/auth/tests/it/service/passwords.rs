use stylobate_auth::{AuthError, MIGRATIONS, PolicyViolation, RenewedSession};
use stylobate_db::Tx;
use stylobate_testkit::{TestDb, both_engines};

use super::{House, PASSWORD, SCOPE, WRONG, code, is_revoked, nobody, system, typed};

const NEW: &str = "gravel thimble orchard nine";

// A5
async fn a_changed_password_ends_the_other_sessions(db: TestDb) {
    let house = House::new(db).await;
    house.person("ada").await;
    let own = house.login("ada", PASSWORD).await.unwrap();
    let other = house.login("ada", PASSWORD).await.unwrap();
    let ctx = house.as_holder(&own).await;
    let changed = house.auth.change_password(&ctx, typed(PASSWORD), typed(NEW)).await.unwrap();
    // The one that asks goes on under another id: whoever stole what it had is out.
    for pair in [&other, &own] {
        assert!(is_revoked(&house.auth, pair).await);
        assert_eq!(code(house.refresh(&pair.refresh_token).await), "refresh_invalid");
    }
    let Some(RenewedSession::Tokens(pair)) = changed.session else { panic!("{:?}", changed.session) };
    assert_ne!(pair.session_id, own.session_id);
    let renewed = house.refresh(&pair.refresh_token).await.unwrap();
    assert!(!is_revoked(&house.auth, &renewed).await);
    // Also for a process that has to read the row.
    super::eventually("staleness", async || !house.auth.revocations().is_fresh()).await;
    assert!(house.auth.authenticate_slow(&pair.access_token).await.is_ok());
    assert!(house.auth.authenticate_slow(&own.access_token).await.is_err());
    let facts = house.audit.last("auth.password_change").metadata.unwrap();
    assert_eq!(facts["goes_on_as"], pair.session_id.to_string());
    assert_eq!(house.try_login("ada", PASSWORD).await, "invalid_credentials");
    assert_eq!(house.try_login("ada", NEW).await, "ok");
    assert_eq!(house.audit.count("auth.password_change"), 1);
}
both_engines!(a_changed_password_ends_the_other_sessions, &[&MIGRATIONS]);

// A4
async fn guessing_the_present_password_counts_like_a_login(db: TestDb) {
    let house = House::new(db).await;
    house.person("ada").await;
    let own = house.login("ada", PASSWORD).await.unwrap();
    let ctx = house.as_holder(&own).await;
    // Five as the holder of a session, then five as anybody.
    for _ in 0..10 {
        let refused = house.auth.change_password(&ctx, typed(WRONG), typed(NEW)).await;
        assert_eq!(code(refused), "invalid_credentials");
    }
    let refused = house.auth.change_password(&ctx, typed(PASSWORD), typed(NEW)).await;
    assert_eq!(code(refused), "login_throttled");
    assert_eq!(house.try_login("ada", PASSWORD).await, "login_throttled");
    assert_eq!(house.audit.count("auth.password_change_failed"), 10);
}
both_engines!(guessing_the_present_password_counts_like_a_login, &[&MIGRATIONS]);

async fn weak_and_unchanged_passwords_are_refused(db: TestDb) {
    let house = House::new(db).await;
    house.person("lovelace").await;
    let own = house.login("lovelace", PASSWORD).await.unwrap();
    let ctx = house.as_holder(&own).await;
    let change = async |new: &str| house.auth.change_password(&ctx, typed(PASSWORD), typed(new)).await;
    let Err(AuthError::PasswordRefused(violations)) = change("short").await else { panic!("accepted") };
    assert!(
        matches!(violations.as_slice(), [PolicyViolation::TooShort { min_chars: 15 }, ..]),
        "{violations:?}"
    );
    let Err(AuthError::PasswordRefused(violations)) = change("lovelace lovelace 1").await else {
        panic!("accepted")
    };
    assert_eq!(violations, [PolicyViolation::ContextWord]);
    assert_eq!(code(change(PASSWORD).await), "password_unchanged");
    assert_eq!(house.try_login("lovelace", PASSWORD).await, "ok");
}
both_engines!(weak_and_unchanged_passwords_are_refused, &[&MIGRATIONS]);

async fn a_password_that_somebody_else_chose_has_to_be_changed_first(db: TestDb) {
    let house = House::new(db).await;
    house.person_who("ada", true).await;
    let verified = house.auth.verify_login(&nobody(), "ada", typed(PASSWORD)).await.unwrap();
    assert!(verified.must_change_password());
    assert_eq!(code(house.auth.start_session(&nobody(), &verified, None).await), "must_change_password");
    let same = house.auth.replace_password(&nobody(), &verified, typed(PASSWORD)).await;
    assert_eq!(code(same), "password_unchanged");
    house.auth.replace_password(&nobody(), &verified, typed(NEW)).await.unwrap();
    // Once: the verification is of the old password.
    assert_eq!(
        code(house.auth.replace_password(&nobody(), &verified, typed(PASSWORD)).await),
        "invalid_credentials"
    );
    assert!(house.login("ada", NEW).await.is_ok());
}
both_engines!(a_password_that_somebody_else_chose_has_to_be_changed_first, &[&MIGRATIONS]);

async fn a_password_set_by_an_administrator_ends_all_sessions_and_locks(db: TestDb) {
    let house = House::new(db).await;
    let ada = house.person("ada").await;
    let pair = house.login("ada", PASSWORD).await.unwrap();
    for _ in 0..5 {
        house.try_login("ada", WRONG).await;
    }
    let hash = house.auth.hash_new_password(&ada.context_words(), typed(NEW)).await.unwrap();
    let auth = house.auth.clone();
    let set = async move |tx: &mut Tx| auth.set_password(tx, &system(), ada.id, &hash, false).await;
    house.db.transact(SCOPE, set).await.unwrap();
    assert!(is_revoked(&house.auth, &pair).await);
    assert!(!is_revoked(&house.auth, &house.login("ada", NEW).await.unwrap()).await);
}
both_engines!(a_password_set_by_an_administrator_ends_all_sessions_and_locks, &[&MIGRATIONS]);
