use chrono::TimeDelta;
use stylobate_auth::MIGRATIONS;
use stylobate_core::Clock as _;
use stylobate_testkit::{TestDb, both_engines};

use super::{Background, House, accepts, eventually};

// A8
async fn both_secrets_are_good_until_the_overlap_ends(db: TestDb) {
    let house = House::new(db).await;
    let first = house.adas_key().await;
    assert!(house.accepts(&first).await);
    house.wait(60);
    let second = house.rotate_key(&first.key, 3_600).await.unwrap();
    let now = house.clock.now();
    assert_eq!(second.key.id, first.key.id);
    assert_eq!(second.key.expires_at, first.key.expires_at);
    assert_eq!(
        (second.key.rotated_at, second.key.previous_until),
        (Some(now), Some(now + TimeDelta::hours(1)))
    );
    assert_ne!(second.secret.expose_secret(), first.secret.expose_secret());
    assert!(house.accepts(&first).await && house.accepts(&second).await);
    // A third would end one of the two early.
    assert_eq!(house.rotate_key(&first.key, 3_600).await.unwrap_err().code(), "api_key_rotating");
    house.wait(3_599);
    assert!(house.accepts(&first).await && house.accepts(&second).await);
    house.wait(1);
    assert!(!house.accepts(&first).await && house.accepts(&second).await);
    let third = house.rotate_key(&first.key, 0).await.unwrap();
    assert!(!house.accepts(&first).await && !house.accepts(&second).await && house.accepts(&third).await);
    // After a leak nothing is waited for.
    let fourth = house.rotate_key(&first.key, 3_600).await.unwrap();
    assert!(house.accepts(&third).await && house.accepts(&fourth).await);
    let fifth = house.rotate_key(&first.key, 0).await.unwrap();
    assert!(!house.accepts(&third).await && !house.accepts(&fourth).await && house.accepts(&fifth).await);
    assert_eq!(house.audit.count("api_key.rotate"), 4);
    assert_eq!(house.audit.events("api_key.rotated").len(), 4);
    let told =
        format!("{:?} {:?}", house.audit.last("api_key.rotate"), house.audit.events("api_key.rotated"));
    assert!(!told.contains(&fifth.secret.expose_secret()[fifth.key.prefix.len()..]));
}
both_engines!(both_secrets_are_good_until_the_overlap_ends, &[&MIGRATIONS]);

async fn an_overlap_is_bounded_by_the_key_and_a_month(db: TestDb) {
    let house = House::new(db).await;
    let issued = house.adas_key().await;
    let month = 30 * 24 * 60 * 60;
    assert_eq!(house.rotate_key(&issued.key, month + 1).await.unwrap_err().code(), "validation");
    house.wait(80 * 24 * 60 * 60);
    let rotated = house.rotate_key(&issued.key, month).await.unwrap();
    assert_eq!(rotated.key.previous_until, Some(issued.key.expires_at));
}
both_engines!(an_overlap_is_bounded_by_the_key_and_a_month, &[&MIGRATIONS]);

// A8
async fn of_two_rotations_at_once_one_happens(db: TestDb) {
    let house = std::sync::Arc::new(House::new(db).await);
    let issued = house.adas_key().await;
    for round in 0..10 {
        let tries: Vec<_> = (0..4)
            .map(|_| {
                let (house, key) = (std::sync::Arc::clone(&house), issued.key.clone());
                tokio::spawn(async move { house.rotate_key(&key, 60).await })
            })
            .collect();
        let mut won = Vec::new();
        for tried in tries {
            match tried.await.unwrap() {
                Ok(rotated) => won.push(rotated),
                Err(error) => assert_eq!(error.code(), "api_key_rotating"),
            }
        }
        assert_eq!(won.len(), 1, "round {round}");
        assert!(house.accepts(&won[0]).await);
        house.wait(61);
    }
}
both_engines!(of_two_rotations_at_once_one_happens, &[&MIGRATIONS]);

async fn a_new_secret_is_good_at_once_in_a_process_that_knows_the_old_one(db: TestDb) {
    let house = House::new(db).await;
    let first = house.adas_key().await;
    let elsewhere = house.another_process().await;
    let background = Background::of(&elsewhere).await;
    assert!(accepts(&elsewhere, &first).await);
    let second = house.rotate_key(&first.key, 0).await.unwrap();
    assert!(accepts(&elsewhere, &second).await);
    eventually("the end of the old secret elsewhere", async || !accepts(&elsewhere, &first).await).await;
    assert!(accepts(&elsewhere, &second).await);
    background.stop().await;
}
both_engines!(a_new_secret_is_good_at_once_in_a_process_that_knows_the_old_one, &[&MIGRATIONS]);
