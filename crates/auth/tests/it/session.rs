//! Stores of cookie sessions, and the service over them.

use std::sync::Arc;

use chrono::TimeDelta;
use stylobate_auth::{
    CookieSessions, MIGRATIONS, MemorySessions, RedisSessions, SessionLimits, SessionStore, SqlSessions,
    session_conformance,
};
use stylobate_core::{Clock as _, Credential, PersonId, RequestContext, SystemClock};
use stylobate_testkit::{ManualClock, TestDb, both_engines};

use crate::service::{House, nobody};

/// A Redis of the test run, under keys of this test alone.
fn redis(test: &str) -> RedisSessions {
    let url = std::env::var("STYLOBATE_TEST_REDIS_URL")
        .expect("STYLOBATE_TEST_REDIS_URL to be set: run `cargo xtask test`, or `cargo xtask services up`");
    RedisSessions::connect(&url).unwrap().with_prefix(format!("test:{}:{test}:", std::process::id()))
}

fn someone() -> PersonId {
    PersonId::new(SystemClock.now())
}

#[tokio::test]
async fn sessions_in_memory_pass_the_suite() {
    let store = MemorySessions::new();
    session_conformance(&store, someone(), someone(), SystemClock.now()).await;
    assert!(store.is_empty());
}

#[tokio::test]
async fn sessions_in_redis_pass_the_suite() {
    session_conformance(&redis("suite"), someone(), someone(), SystemClock.now()).await;
}

async fn sessions_in_sql_pass_the_suite(db: TestDb) {
    let house = House::new(db).await;
    let (ada, bob) = (house.person("ada").await.id, house.person("bob").await.id);
    session_conformance(&SqlSessions::new(&house.db), ada, bob, house.clock.now()).await;
}
both_engines!(sessions_in_sql_pass_the_suite, &[&MIGRATIONS]);

#[tokio::test]
async fn a_service_without_sql_has_sessions_that_end() {
    let stores: [Arc<dyn SessionStore>; 2] = [Arc::new(MemorySessions::new()), Arc::new(redis("service"))];
    for store in stores {
        let clock = Arc::new(ManualClock::at(SystemClock.now()));
        let sessions = CookieSessions::new(store, Arc::clone(&clock) as _, SessionLimits::default());
        let ada = someone();
        let first = sessions.begin(&nobody(), ada, None, &["pwd"]).await.unwrap();
        let principal = sessions.authenticate(first.secret.expose_secret()).await.unwrap().unwrap();
        assert_eq!((principal.person_id(), principal.credential), (Some(ada), Credential::Cookie));
        // C18: signing in again ends what the request came with.
        let ctx = RequestContext::new(principal);
        let second = sessions.begin(&ctx, ada, None, &["pwd"]).await.unwrap();
        assert!(sessions.authenticate(first.secret.expose_secret()).await.unwrap().is_none());

        clock.advance(TimeDelta::minutes(59));
        let renewed = sessions.rotate(second.secret.expose_secret(), true).await.unwrap().unwrap();
        assert_eq!(renewed.expires_in.as_secs(), 23 * 60 * 60 + 60);
        assert!(sessions.authenticate(second.secret.expose_secret()).await.unwrap().is_none());
        let principal = sessions.authenticate(renewed.secret.expose_secret()).await.unwrap().unwrap();
        assert_eq!(principal.assurance.auth_time.unwrap().timestamp(), clock.now().timestamp());
        // That was a use: an hour from there it idles out.
        clock.advance(TimeDelta::minutes(59));
        assert!(sessions.authenticate(renewed.secret.expose_secret()).await.unwrap().is_some());
        clock.advance(TimeDelta::minutes(60));
        assert!(sessions.authenticate(renewed.secret.expose_secret()).await.unwrap().is_none());

        let third = sessions.begin(&nobody(), ada, None, &["pwd"]).await.unwrap();
        assert_eq!(sessions.list(ada).await.unwrap().len(), 1);
        assert!(sessions.end(third.secret.expose_secret()).await.unwrap());
        assert!(!sessions.end(third.secret.expose_secret()).await.unwrap());
        assert!(!sessions.end("nonsense").await.unwrap());
        assert!(sessions.end_all(ada, None).await.unwrap().is_empty());
    }
}

// A32
#[tokio::test]
async fn a_store_that_does_not_answer_is_given_up() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut silent = Vec::new();
        while let Ok((connection, _)) = listener.accept().await {
            silent.push(connection);
        }
    });
    let store = RedisSessions::connect(&format!("redis://{address}")).unwrap();
    let (key, now) = (stylobate_auth::SessionSecret::generate().unwrap().key(), SystemClock.now());
    // Ten times what it is to take.
    let bounded = std::time::Duration::from_secs(10);
    let found = tokio::time::timeout(bounded, store.find(key, now)).await.expect("an answer");
    assert_eq!(found.unwrap_err().code(), "session_store_unavailable");
    let ended = tokio::time::timeout(bounded, store.end(key, now)).await.expect("an answer");
    assert_eq!(ended.unwrap_err().code(), "session_store_unavailable");
}

#[tokio::test]
async fn a_store_that_is_away_is_an_error_and_nobody_is_let_in() {
    let store = RedisSessions::connect("redis://127.0.0.1:1").unwrap();
    let sessions = CookieSessions::new(Arc::new(store), Arc::new(SystemClock), SessionLimits::default());
    let cookie = stylobate_auth::SessionSecret::generate().unwrap();
    let error = sessions.authenticate(cookie.expose_secret()).await.unwrap_err();
    assert_eq!(error.code(), "session_store_unavailable"); // A32
}
