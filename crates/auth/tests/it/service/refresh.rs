use std::sync::Arc;

use stylobate_auth::{Auth, AuthConfig, AuthError, IdempotencyKey, MIGRATIONS, TokenPair};
use stylobate_core::{Clock as _, MessageTo, Outcome, SessionId};
use stylobate_db::{Db, DbOptions, Participant};
use stylobate_testkit::{TestDb, both_engines};

use super::{House, PASSWORD, Recorder, code, eventually, is_revoked, nobody};

const KEY: &str = "jgOXjkDVQ928k2iUpX-TJA";
const OTHER_KEY: &str = "8e03978e-40d5-43dd-bc93-6894a57f9324";

impl House {
    async fn refresh_with(&self, token: &str, key: &str) -> Result<TokenPair, AuthError> {
        let key = IdempotencyKey::parse(key).unwrap();
        self.auth.refresh_idempotent(&nobody(), token, None, key).await
    }
}

async fn a_renewal_gives_new_tokens_of_the_same_session(db: TestDb) {
    let house = House::new(db).await;
    let ada = house.person("ada").await;
    let first = house.login("ada", PASSWORD).await.unwrap();
    house.wait(60);
    let second = house.refresh(&first.refresh_token).await.unwrap();
    assert_eq!(second.session_id, first.session_id);
    assert_ne!(second.refresh_token, first.refresh_token);
    assert_eq!(second.expires_in.as_secs(), 15 * 60);
    let token = super::check(&house.auth, &second.access_token).await.unwrap();
    assert_eq!(token.principal.person_id(), Some(ada.id));
    assert_eq!(token.principal.session, Some(first.session_id));
    assert_eq!(token.principal.assurance.amr, ["pwd"]);
    // Renewing proves nothing anew.
    assert_eq!(token.principal.assurance.auth_time.unwrap().timestamp(), house.clock.now().timestamp() - 60);
    assert!(house.refresh(&second.refresh_token).await.is_ok());
}
both_engines!(a_renewal_gives_new_tokens_of_the_same_session, &[&MIGRATIONS]);

// A6
async fn a_token_used_again_ends_its_family_and_session(db: TestDb) {
    let house = House::new(db).await;
    let ada = house.person("ada").await.id;
    let first = house.login("ada", PASSWORD).await.unwrap();
    let other = house.login("ada", PASSWORD).await.unwrap();
    let second = house.refresh(&first.refresh_token).await.unwrap();
    house.wait(10);
    assert_eq!(code(house.refresh(&first.refresh_token).await), "refresh_reused");
    assert_eq!(code(house.refresh(&second.refresh_token).await), "refresh_invalid");
    assert_eq!(code(house.refresh(&first.refresh_token).await), "refresh_invalid");
    assert!(is_revoked(&house.auth, &second).await);
    let event = house.audit.last("session.reuse_detected");
    let event_session = Some(first.session_id.to_string());
    assert_eq!((event.outcome, &event.target.id), (Outcome::Denied, &event_session));
    let [told] = house.audit.events("session.reuse_detected").try_into().unwrap();
    assert_eq!(
        (told.aggregate, told.data["session_id"].as_str()),
        (ada.to_string(), event_session.as_deref())
    );
    eventually("the owner being told", async || house.audit.messages().len() == 1).await;
    let message = house.audit.messages().remove(0);
    assert_eq!((message.kind, &message.to), ("refresh_reuse_detected", &MessageTo::Person(ada)));
    assert!(!message.values.to_string().contains(&first.refresh_token[10..30]));
    // The person's other session goes on.
    assert!(!is_revoked(&house.auth, &other).await);
    assert!(house.refresh(&other.refresh_token).await.is_ok());
}
both_engines!(a_token_used_again_ends_its_family_and_session, &[&MIGRATIONS]);

// A6
async fn a_token_from_generations_ago_is_reuse_at_once(db: TestDb) {
    let house = House::new(db).await;
    house.person("ada").await;
    let first = house.login("ada", PASSWORD).await.unwrap();
    let second = house.refresh(&first.refresh_token).await.unwrap();
    let third = house.refresh(&second.refresh_token).await.unwrap();
    assert_eq!(code(house.refresh(&first.refresh_token).await), "refresh_reused");
    assert_eq!(code(house.refresh(&third.refresh_token).await), "refresh_invalid");
}
both_engines!(a_token_from_generations_ago_is_reuse_at_once, &[&MIGRATIONS]);

async fn a_repeat_within_ten_seconds_ends_nothing(db: TestDb) {
    let house = House::new(db).await;
    house.person("ada").await;
    let first = house.login("ada", PASSWORD).await.unwrap();
    let second = house.refresh(&first.refresh_token).await.unwrap();
    house.wait(9);
    assert_eq!(code(house.refresh(&first.refresh_token).await), "refresh_in_progress");
    assert!(!is_revoked(&house.auth, &second).await);
    assert!(house.refresh(&second.refresh_token).await.is_ok());
}
both_engines!(a_repeat_within_ten_seconds_ends_nothing, &[&MIGRATIONS]);

// A6
async fn a_repeat_with_its_idempotency_key_gives_the_same_successor(db: TestDb) {
    let house = House::new(db).await;
    house.person("ada").await;
    let first = house.login("ada", PASSWORD).await.unwrap();
    let second = house.refresh_with(&first.refresh_token, KEY).await.unwrap();
    house.wait(29);
    let again = house.refresh_with(&first.refresh_token, KEY).await.unwrap();
    assert_eq!((&again.refresh_token, again.session_id), (&second.refresh_token, second.session_id));
    assert!(super::check(&house.auth, &again.access_token).await.is_ok());
    assert_eq!(house.count("SELECT generation FROM refresh_families").await, 1);
    let third = house.refresh(&again.refresh_token).await.unwrap();
    // A rotation without a key keeps nothing, and an answer that was used is given to nobody.
    assert_eq!(house.count("SELECT count(*) FROM refresh_families WHERE sealed_answer IS NOT NULL").await, 0);
    assert_eq!(code(house.refresh_with(&first.refresh_token, KEY).await), "refresh_reused");
    assert!(is_revoked(&house.auth, &third).await);
}
both_engines!(a_repeat_with_its_idempotency_key_gives_the_same_successor, &[&MIGRATIONS]);

async fn an_idempotency_key_helps_only_with_its_own_request(db: TestDb) {
    let house = House::new(db).await;
    house.person("ada").await;
    let first = house.login("ada", PASSWORD).await.unwrap();
    let second = house.refresh_with(&first.refresh_token, KEY).await.unwrap();
    assert_eq!(code(house.refresh_with(&first.refresh_token, OTHER_KEY).await), "refresh_in_progress");
    assert_eq!(code(house.refresh(&first.refresh_token).await), "refresh_in_progress");
    assert!(!is_revoked(&house.auth, &second).await);
    // The same key with the next token is another request.
    let third = house.refresh_with(&second.refresh_token, KEY).await.unwrap();
    assert_ne!(third.refresh_token, second.refresh_token);
    house.wait(10);
    assert_eq!(code(house.refresh_with(&second.refresh_token, OTHER_KEY).await), "refresh_reused");
    assert!(is_revoked(&house.auth, &third).await);

    // After half a minute the right key is too late as well.
    let first = house.login("ada", PASSWORD).await.unwrap();
    house.refresh_with(&first.refresh_token, KEY).await.unwrap();
    house.wait(30);
    assert_eq!(code(house.refresh_with(&first.refresh_token, KEY).await), "refresh_reused");
}
both_engines!(an_idempotency_key_helps_only_with_its_own_request, &[&MIGRATIONS]);

async fn a_kept_answer_is_not_given_once_the_session_is_over(db: TestDb) {
    let house = House::new(db).await;
    house.person("ada").await;
    let first = house.login("ada", PASSWORD).await.unwrap();
    let second = house.refresh_with(&first.refresh_token, KEY).await.unwrap();
    house.auth.logout(&house.as_holder(&second).await).await.unwrap();
    assert_eq!(code(house.refresh_with(&first.refresh_token, KEY).await), "refresh_invalid");
}
both_engines!(a_kept_answer_is_not_given_once_the_session_is_over, &[&MIGRATIONS]);

// A6
async fn fifty_parallel_repeats_of_one_request_are_given_one_successor(db: TestDb) {
    let house = House::new(db).await;
    house.person("ada").await;
    let first = house.login("ada", PASSWORD).await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (auth, token) = (house.auth.clone(), first.refresh_token.clone());
        tasks.spawn(async move {
            auth.refresh_idempotent(&nobody(), &token, None, IdempotencyKey::parse(KEY).unwrap()).await
        });
    }
    let mut given: Vec<_> =
        tasks.join_all().await.into_iter().map(|result| result.unwrap().refresh_token).collect();
    given.dedup();
    assert_eq!(given.len(), 1);
    assert_eq!(house.count("SELECT generation FROM refresh_families").await, 1);
    assert!(house.refresh(&given[0]).await.is_ok());
}
both_engines!(fifty_parallel_repeats_of_one_request_are_given_one_successor, &[&MIGRATIONS]);

#[tokio::test]
async fn a_database_whose_events_nobody_takes_stops_the_start() {
    struct AuditOnly;
    impl Participant for AuditOnly {
        fn takes(&self) -> stylobate_db::Takes {
            stylobate_db::Takes { audit: true, events: false }
        }

        fn before_commit<'a>(
            &'a self,
            _: &'a mut stylobate_db::Tx,
            _: &'a stylobate_db::Pending,
        ) -> stylobate_core::BoxFuture<'a, Result<(), stylobate_db::Error>> {
            Box::pin(async { Ok(()) })
        }
    }
    let test_db = TestDb::sqlite(&[&MIGRATIONS]).await;
    let builder = Db::builder(test_db.url(), DbOptions::default()).participant(Arc::new(AuditOnly));
    let db = builder.connect().await.unwrap();
    let key = stylobate_auth::KeyEncryptionKey::generate().unwrap();
    let sealer = Arc::new(stylobate_auth::LocalSealer::new(&key));
    let built =
        Auth::builder(&db, AuthConfig::default(), sealer, Arc::new(Recorder::default())).build().await;
    assert_eq!(built.unwrap_err().code(), "db_unclaimed_events");
}

async fn a_named_session_must_be_the_tokens(db: TestDb) {
    let house = House::new(db).await;
    house.person("ada").await;
    let pair = house.login("ada", PASSWORD).await.unwrap();
    let wrong = SessionId::new(house.clock.now());
    let refused = house.auth.refresh(&nobody(), &pair.refresh_token, Some(wrong)).await;
    assert_eq!(code(refused), "refresh_invalid");
    assert!(house.auth.refresh(&nobody(), &pair.refresh_token, Some(pair.session_id)).await.is_ok());
}
both_engines!(a_named_session_must_be_the_tokens, &[&MIGRATIONS]);

// A6
async fn a_family_ends_at_its_absolute_limit_however_often_it_is_used(db: TestDb) {
    let house = House::new(db).await;
    house.person("ada").await;
    let mut pair = house.login("ada", PASSWORD).await.unwrap();
    for _ in 0..29 {
        house.wait(24 * 60 * 60);
        pair = house.refresh(&pair.refresh_token).await.unwrap();
    }
    house.wait(24 * 60 * 60 - 60);
    let last = house.refresh(&pair.refresh_token).await.unwrap();
    // No token outlives the session.
    assert_eq!(last.expires_in.as_secs(), 60);
    house.wait(60);
    assert_eq!(code(house.refresh(&last.refresh_token).await), "refresh_invalid");
    house.wait(5); // the leeway for clocks that disagree
    assert!(super::check(&house.auth, &last.access_token).await.is_err());
    house.auth.sweep().await.unwrap();
    assert_eq!(house.count("SELECT count(*) FROM sessions").await, 0);
    assert_eq!(house.count("SELECT count(*) FROM refresh_families").await, 0);
}
both_engines!(a_family_ends_at_its_absolute_limit_however_often_it_is_used, &[&MIGRATIONS]);

// A6, C17
async fn of_fifty_parallel_renewals_one_wins(db: TestDb) {
    let house = House::new(db).await;
    house.person("ada").await;
    let mut live = house.login("ada", PASSWORD).await.unwrap();
    for round in 0..20 {
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..50 {
            let (auth, token) = (house.auth.clone(), live.refresh_token.clone());
            tasks.spawn(async move { auth.refresh(&nobody(), &token, None).await });
        }
        let results = tasks.join_all().await;
        let mut winners: Vec<_> = results.iter().filter_map(|result| result.as_ref().ok()).collect();
        assert_eq!(winners.len(), 1, "round {round}");
        let losers_wait = results
            .iter()
            .filter_map(|result| result.as_ref().err())
            .all(|error| error.code() == "refresh_in_progress");
        assert!(losers_wait, "round {round}: {results:?}");
        live = winners.remove(0).clone();
        assert_eq!(house.count("SELECT generation FROM refresh_families").await, round + 1);
    }
    assert_eq!(house.count("SELECT count(*) FROM refresh_families").await, 1);
    assert!(house.refresh(&live.refresh_token).await.is_ok());
}
both_engines!(of_fifty_parallel_renewals_one_wins, &[&MIGRATIONS]);

async fn texts_that_are_no_tokens_of_ours_are_refused(db: TestDb) {
    let house = House::new(db).await;
    house.person("ada").await;
    let pair = house.login("ada", PASSWORD).await.unwrap();
    let mut forged = pair.refresh_token.clone();
    forged.replace_range(60..61, if &forged[60..61] == "A" { "B" } else { "A" });
    for text in ["", "sbr_", "nonsense", &pair.access_token, &forged, &"A".repeat(100)] {
        assert_eq!(code(house.refresh(text).await), "refresh_invalid");
    }
    // A forged token ends nobody's session.
    assert!(house.refresh(&pair.refresh_token).await.is_ok());
}
both_engines!(texts_that_are_no_tokens_of_ours_are_refused, &[&MIGRATIONS]);

async fn the_database_holds_no_token(db: TestDb) {
    let house = House::new(db).await;
    house.person("ada").await;
    let pair = house.login("ada", PASSWORD).await.unwrap();
    let stored: Vec<u8> =
        house.db.read().await.unwrap().q("SELECT current_hash FROM refresh_families").scalar().await.unwrap();
    assert_eq!(stored.len(), 32);
    assert!(!format!("{pair:?}").contains(&pair.refresh_token[10..30]));
}
both_engines!(the_database_holds_no_token, &[&MIGRATIONS]);
