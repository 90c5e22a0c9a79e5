use stylobate_auth::{Auth, AuthError, MIGRATIONS};
use stylobate_db::{Db, Tx};
use stylobate_testkit::{TestDb, both_engines};

use super::{House, SCOPE, code, new_person, system};

/// What the form does: the link, and the person, in one transaction.
async fn redeem(auth: &Auth, db: &Db, token: &str, name: String) -> Result<(), AuthError> {
    let (auth, token) = (auth.clone(), token.to_owned());
    let redeem = async move |tx: &mut Tx| {
        auth.redeem_setup_token(tx, &token).await?;
        auth.people().insert(tx, &system(), new_person(&name)).await?;
        Ok(())
    };
    db.transact(SCOPE, redeem).await
}

// C19
async fn a_setup_link_makes_one_administrator(db: TestDb) {
    let house = House::new(db).await;
    let replaced = house.auth.create_setup_token().await.unwrap().unwrap();
    let token = house.auth.create_setup_token().await.unwrap().unwrap();
    assert!(!house.auth.is_setup_token_open(replaced.expose_secret()).await.unwrap());
    assert!(house.auth.is_setup_token_open(token.expose_secret()).await.unwrap());
    assert_eq!(code(redeem(&house.auth, &house.db, "nonsense", "x".into()).await), "setup_token_invalid");

    let mut tasks = tokio::task::JoinSet::new();
    for index in 0..20 {
        let (auth, db, token) = (house.auth.clone(), house.db.clone(), token.expose_secret().to_owned());
        tasks.spawn(async move { redeem(&auth, &db, &token, format!("admin{index}")).await.is_ok() });
    }
    let won = tasks.join_all().await.into_iter().filter(|won| *won).count();
    assert_eq!(won, 1);
    assert_eq!(house.count("SELECT count(*) FROM people").await, 1);
    assert!(house.auth.create_setup_token().await.unwrap().is_none());
    assert!(!format!("{token:?}").contains(token.expose_secret()));
}
both_engines!(a_setup_link_makes_one_administrator, &[&MIGRATIONS]);

async fn a_setup_link_is_void_after_a_day_or_once_there_is_somebody(db: TestDb) {
    let house = House::new(db).await;
    let token = house.auth.create_setup_token().await.unwrap().unwrap();
    house.wait(24 * 60 * 60);
    assert!(!house.auth.is_setup_token_open(token.expose_secret()).await.unwrap());
    let refused = redeem(&house.auth, &house.db, token.expose_secret(), "ada".into()).await;
    assert_eq!(code(refused), "setup_token_invalid");
    house.auth.sweep().await.unwrap();
    assert_eq!(house.count("SELECT count(*) FROM setup_tokens").await, 0);

    let token = house.auth.create_setup_token().await.unwrap().unwrap();
    house.person("bob").await;
    assert!(!house.auth.is_setup_token_open(token.expose_secret()).await.unwrap());
    let refused = redeem(&house.auth, &house.db, token.expose_secret(), "ada".into()).await;
    assert_eq!(code(refused), "setup_token_invalid");
}
both_engines!(a_setup_link_is_void_after_a_day_or_once_there_is_somebody, &[&MIGRATIONS]);
