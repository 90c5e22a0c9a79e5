use stylobate_auth::{
    Auth, Email, Identifier, MIGRATIONS, People, PeopleError, Person, PersonChange, PersonStatus, Username,
};
use stylobate_core::{Clock as _, PersonId};
use stylobate_db::{Db, Tx};
use stylobate_testkit::{TestDb, both_engines};

use super::{House, PASSWORD, SCOPE, code, is_revoked, new_person, system};

async fn update(
    auth: &Auth,
    db: &Db,
    id: PersonId,
    version: i64,
    change: PersonChange,
) -> Result<Person, PeopleError> {
    let auth = auth.clone();
    let update =
        async move |tx: &mut Tx| auth.people().update(tx, &system(), id, version, change.clone()).await;
    db.transact(SCOPE, update).await
}

fn renamed(name: &str) -> PersonChange {
    PersonChange { username: Some(Some(Username::parse(name).unwrap())), ..PersonChange::default() }
}

async fn names_are_unique_in_every_spelling(db: TestDb) {
    let house = House::new(db).await;
    let ada = house.person("ada").await;
    let bob = house.person("bob").await;
    let insert = async |person| {
        let auth = house.auth.clone();
        let insert = async move |tx: &mut Tx| {
            let person: stylobate_auth::NewPerson = Clone::clone(&person);
            auth.people().insert(tx, &system(), person).await
        };
        house.db.transact(SCOPE, insert).await
    };
    let same_name =
        stylobate_auth::NewPerson { email: Email::parse("other@example.org").unwrap(), ..new_person("ADA") };
    assert!(matches!(insert(same_name).await, Err(PeopleError::UsernameTaken)));
    let same_email =
        stylobate_auth::NewPerson { email: Email::parse("ADA@example.org").unwrap(), ..new_person("carl") };
    assert!(matches!(insert(same_email).await, Err(PeopleError::EmailTaken)));
    let renaming = update(&house.auth, &house.db, bob.id, 2, renamed("Ada")).await;
    assert!(matches!(renaming, Err(PeopleError::UsernameTaken)), "{renaming:?}");
    // Any number of people have no username.
    for address in ["one@example.org", "two@example.org"] {
        let person = stylobate_auth::NewPerson {
            username: None,
            email: Email::parse(address).unwrap(),
            ..new_person("x")
        };
        assert_eq!(insert(person).await.unwrap().username, None);
    }
    let mut conn = house.db.read().await.unwrap();
    let found = People::find_by_identifier(&mut conn, &Identifier::new("ADA@example.ORG")).await.unwrap();
    assert_eq!(found.unwrap().id, ada.id);
    assert_eq!(house.count("SELECT count(*) FROM people").await, 4);
}
both_engines!(names_are_unique_in_every_spelling, &[&MIGRATIONS]);

async fn of_two_updates_from_one_version_the_second_is_stale(db: TestDb) {
    let house = House::new(db).await;
    let id = house.person("ada").await.id;
    let version = People::find(&mut house.db.read().await.unwrap(), id).await.unwrap().unwrap().version;
    let (one, two) = tokio::join!(
        update(&house.auth, &house.db, id, version, renamed("ada1")),
        update(&house.auth, &house.db, id, version, renamed("ada2")),
    );
    let (winner, loser) = if one.is_ok() { (one, two) } else { (two, one) };
    let winner = winner.unwrap();
    assert!(matches!(loser, Err(PeopleError::Stale)), "{loser:?}");
    assert_eq!(winner.version, version + 1);
    let stored = People::find(&mut house.db.read().await.unwrap(), id).await.unwrap().unwrap();
    assert_eq!(stored, winner);
    // A change that changes nothing is none.
    let same = update(&house.auth, &house.db, id, winner.version, PersonChange::default()).await.unwrap();
    assert_eq!(same.version, winner.version);
    assert_eq!(house.audit.count("person.update"), 1);
}
both_engines!(of_two_updates_from_one_version_the_second_is_stale, &[&MIGRATIONS]);

async fn a_new_address_is_not_verified_by_the_old_one(db: TestDb) {
    let house = House::new(db).await;
    let id = house.person("ada").await.id;
    let change = async |version, change| update(&house.auth, &house.db, id, version, change).await.unwrap();
    let verified = change(2, PersonChange { email_verified: Some(true), ..PersonChange::default() }).await;
    assert!(verified.email_verified);
    let spelled =
        PersonChange { email: Some(Email::parse("Ada@Example.org").unwrap()), ..PersonChange::default() };
    let spelled = change(verified.version, spelled).await;
    assert!(spelled.email_verified, "another spelling is the same address");
    let moved =
        PersonChange { email: Some(Email::parse("ada@example.net").unwrap()), ..PersonChange::default() };
    let moved = change(spelled.version, moved).await;
    assert!(!moved.email_verified);
    assert_eq!(house.try_login("ADA@example.net", PASSWORD).await, "ok");
    assert_eq!(house.try_login("ada@example.org", PASSWORD).await, "invalid_credentials");
    let event = house.audit.last("person.update");
    assert_eq!(event.before.unwrap()["email"], "Ada@Example.org");
    assert_eq!(event.after.unwrap()["email"], "ada@example.net");
}
both_engines!(a_new_address_is_not_verified_by_the_old_one, &[&MIGRATIONS]);

async fn a_deleted_person_leaves_nothing_that_works(db: TestDb) {
    let house = House::new(db).await;
    let ada = house.person("ada").await;
    let pair = house.login("ada", PASSWORD).await.unwrap();
    house.try_login("ada", super::WRONG).await;
    let auth = house.auth.clone();
    let delete = async move |tx: &mut Tx| auth.people().delete(tx, &system(), ada.id).await;
    house.db.transact(SCOPE, delete.clone()).await.unwrap();
    assert!(is_revoked(&house.auth, &pair).await);
    for table in [
        "SELECT count(*) FROM people",
        "SELECT count(*) FROM credentials",
        "SELECT count(*) FROM sessions",
        "SELECT count(*) FROM refresh_families",
        "SELECT count(*) FROM login_counters",
    ] {
        assert_eq!(house.count(table).await, 0, "{table}");
    }
    assert_eq!(house.try_login("ada", PASSWORD).await, "invalid_credentials");
    assert!(matches!(house.db.transact(SCOPE, delete).await, Err(PeopleError::NotFound)));
    // The name is free again.
    assert_ne!(house.person("ada").await.id, ada.id);
}
both_engines!(a_deleted_person_leaves_nothing_that_works, &[&MIGRATIONS]);

async fn missing_people_are_not_found(db: TestDb) {
    let house = House::new(db).await;
    let id = PersonId::new(house.clock.now());
    assert_eq!(People::find(&mut house.db.read().await.unwrap(), id).await.unwrap(), None);
    let updated = update(&house.auth, &house.db, id, 1, renamed("ada")).await;
    assert!(matches!(updated, Err(PeopleError::NotFound)));
    let auth = house.auth.clone();
    let set =
        async move |tx: &mut Tx| auth.people().set_status(tx, &system(), id, PersonStatus::Disabled).await;
    assert!(matches!(house.db.transact(SCOPE, set).await, Err(PeopleError::NotFound)));
}
both_engines!(missing_people_are_not_found, &[&MIGRATIONS]);

// A5: whoever has to change the password can do nothing else before.
async fn a_duty_to_change_the_password_ends_what_there_is(db: TestDb) {
    let house = House::new(db).await;
    let ada = house.person("ada").await;
    let pair = house.login("ada", PASSWORD).await.unwrap();
    let version = People::find(&mut house.db.read().await.unwrap(), ada.id).await.unwrap().unwrap().version;
    let duty = |is_due| PersonChange { must_change_password: Some(is_due), ..PersonChange::default() };
    let due = update(&house.auth, &house.db, ada.id, version, duty(true)).await.unwrap();
    assert!(is_revoked(&house.auth, &pair).await);
    assert_eq!(code(house.refresh(&pair.refresh_token).await), "refresh_invalid");
    assert_eq!(house.try_login("ada", PASSWORD).await, "must_change_password");
    let reason = "SELECT count(*) FROM sessions WHERE end_reason = 'password_change_required'";
    assert_eq!(house.count(reason).await, 1);
    assert_eq!(house.audit.count("person.update"), 1);
    // Taken back, or said again, it ends nothing.
    let free = update(&house.auth, &house.db, ada.id, due.version, duty(false)).await.unwrap();
    assert_eq!(free.credential_epoch, due.credential_epoch);
    let again = house.login("ada", PASSWORD).await.unwrap();
    update(&house.auth, &house.db, ada.id, free.version, duty(false)).await.unwrap();
    assert!(!is_revoked(&house.auth, &again).await);
}
both_engines!(a_duty_to_change_the_password_ends_what_there_is, &[&MIGRATIONS]);
