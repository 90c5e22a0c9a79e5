use std::sync::Arc;

use stylobate_auth::{AuthError, AuthenticateError, MIGRATIONS};
use stylobate_testkit::{TestDb, both_engines};

use super::{House, PASSWORD, check, eventually, is_revoked};

async fn a_warm_token_is_the_same_value(db: TestDb) {
    let house = House::new(db).await;
    house.person("ada").await;
    let pair = house.login("ada", PASSWORD).await.unwrap();
    let (one, two) = (
        check(&house.auth, &pair.access_token).await.unwrap(),
        check(&house.auth, &pair.access_token).await.unwrap(),
    );
    assert!(Arc::ptr_eq(&one, &two));
}
both_engines!(a_warm_token_is_the_same_value, &[&MIGRATIONS]);

// A5
async fn a_revoked_session_is_refused_at_once_here_and_within_a_second_elsewhere(db: TestDb) {
    let house = House::new(db).await;
    house.person("ada").await;
    let elsewhere = house.another_process().await;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let background = elsewhere.clone();
    let task = tokio::spawn(async move {
        let stopped = async move {
            let _ = stopped.await;
        };
        background.run(stopped).await;
    });
    eventually("a fresh read elsewhere", async || elsewhere.revocations().is_fresh()).await;

    let pair = house.login("ada", PASSWORD).await.unwrap();
    assert!(!is_revoked(&house.auth, &pair).await && !is_revoked(&elsewhere, &pair).await);
    let ctx = house.as_holder(&pair).await;
    house.auth.logout(&ctx).await.unwrap();
    // In memory, whatever the age of the last read.
    assert!(matches!(house.auth.authenticate(&pair.access_token), Err(AuthenticateError::Revoked)));
    eventually("the revocation elsewhere", async || {
        matches!(elsewhere.authenticate(&pair.access_token), Err(AuthenticateError::Revoked))
    })
    .await;

    stop.send(()).unwrap();
    task.await.unwrap();
}
both_engines!(a_revoked_session_is_refused_at_once_here_and_within_a_second_elsewhere, &[&MIGRATIONS]);

// A5
async fn a_process_that_does_not_hear_of_revocations_reads_the_session(db: TestDb) {
    let house = House::new(db).await;
    house.person("ada").await;
    let pair = house.login("ada", PASSWORD).await.unwrap();
    // Nothing runs in its background: after a second its memory is stale.
    let deaf = house.another_process().await;
    eventually("staleness", async || !deaf.revocations().is_fresh()).await;
    assert!(matches!(deaf.authenticate(&pair.access_token), Err(AuthenticateError::Stale)));
    assert!(deaf.authenticate_slow(&pair.access_token).await.is_ok());
    let ctx = house.as_holder(&pair).await;
    house.auth.logout(&ctx).await.unwrap();
    assert!(matches!(deaf.authenticate_slow(&pair.access_token).await, Err(AuthenticateError::Revoked)));
}
both_engines!(a_process_that_does_not_hear_of_revocations_reads_the_session, &[&MIGRATIONS]);

async fn a_process_without_its_database_refuses_to_decide(db: TestDb) {
    let house = House::new(db).await;
    house.person("ada").await;
    let pair = house.login("ada", PASSWORD).await.unwrap();
    house.db.close().await;
    eventually("staleness", async || !house.auth.revocations().is_fresh()).await;
    let refused = house.auth.authenticate_slow(&pair.access_token).await;
    assert!(matches!(refused, Err(AuthenticateError::Unavailable(_))), "{refused:?}");
    // Nor does it tell others that the token is over: whoever asks has to ask again.
    let told = house.auth.introspect(&house.auth.config().audience, &pair.access_token).await;
    assert!(matches!(told, Err(AuthError::Db(_))), "{told:?}");
}
both_engines!(a_process_without_its_database_refuses_to_decide, &[&MIGRATIONS]);

async fn a_restarted_process_knows_earlier_revocations(db: TestDb) {
    let house = House::new(db).await;
    house.person("ada").await;
    let pair = house.login("ada", PASSWORD).await.unwrap();
    let ctx = house.as_holder(&pair).await;
    house.auth.logout(&ctx).await.unwrap();
    house.wait(10 * 60);
    let restarted = house.another_process().await;
    assert!(matches!(restarted.authenticate(&pair.access_token), Err(AuthenticateError::Revoked)));
    // Once the token has run out by itself, nobody remembers it.
    house.wait(10 * 60);
    assert!(house.another_process().await.revocations().is_empty());
    // Whoever sweeps may have a clock that is ahead of everybody else's, by less than a day.
    house.auth.sweep().await.unwrap();
    assert!(house.count("SELECT count(*) FROM revocations").await >= 1);
    house.wait(24 * 60 * 60);
    house.auth.sweep().await.unwrap();
    assert_eq!(house.count("SELECT count(*) FROM revocations").await, 0);
}
both_engines!(a_restarted_process_knows_earlier_revocations, &[&MIGRATIONS]);
