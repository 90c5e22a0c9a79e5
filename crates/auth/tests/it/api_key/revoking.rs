use stylobate_auth::{
    AllowedNetworks, ApiKey, ApiKeyChange, AuthError, AuthenticateError, MIGRATIONS, NewApiKey, PeopleError,
    PersonStatus, ServiceAccountError,
};
use stylobate_core::KeyOwner;
use stylobate_db::Tx;
use stylobate_testkit::{TestDb, both_engines};

use super::{Background, House, SCOPE, accepts, by, client, eventually, of_person, present, system, tenant};
use crate::service::{PASSWORD, typed};

// A5, A8
async fn a_revoked_key_is_refused_at_once_here_and_within_a_second_elsewhere(db: TestDb) {
    let house = House::new(db).await;
    let issued = house.adas_key().await;
    let elsewhere = house.another_process().await;
    let (here, there) = (Background::of(&house.auth).await, Background::of(&elsewhere).await);
    assert!(accepts(&house.auth, &issued).await && accepts(&elsewhere, &issued).await);
    let revoked = house.revoke_key(&issued.key).await.unwrap();
    assert_eq!(revoked.revoke_reason.as_deref(), Some("revoked"));
    assert!(!accepts(&house.auth, &issued).await);
    eventually("the revocation elsewhere", async || !accepts(&elsewhere, &issued).await).await;
    // Again, nothing happens.
    assert_eq!(house.revoke_key(&issued.key).await.unwrap(), revoked);
    assert_eq!((house.audit.count("api_key.revoke"), house.audit.events("api_key.revoked").len()), (1, 1));
    for ended in [
        house
            .change_key(&issued.key, ApiKeyChange { is_active: Some(true), ..ApiKeyChange::default() })
            .await
            .err(),
        house.rotate_key(&issued.key, 0).await.err(),
    ] {
        assert_eq!(ended.unwrap().code(), "api_key_ended");
    }
    here.stop().await;
    there.stop().await;
}
both_engines!(a_revoked_key_is_refused_at_once_here_and_within_a_second_elsewhere, &[&MIGRATIONS]);

// A8
async fn what_a_key_may_shrinks_at_once_here_and_within_a_second_elsewhere(db: TestDb) {
    let house = House::new(db).await;
    let issued = house.adas_key().await;
    let elsewhere = house.another_process().await;
    let background = Background::of(&elsewhere).await;
    assert!(accepts(&elsewhere, &issued).await);
    let text = issued.secret.expose_secret();
    let narrow = Some(vec!["docs.read".to_owned()]);
    let change = ApiKeyChange { scopes: Some(narrow.clone()), ..ApiKeyChange::default() };
    house.change_key(&issued.key, change).await.unwrap();
    assert_eq!(present(&house.auth, text).await.unwrap().scopes, narrow);
    eventually("the scopes elsewhere", async || present(&elsewhere, text).await.unwrap().scopes == narrow)
        .await;

    let networks = AllowedNetworks::parse(["198.51.100.0/24"]).ok();
    let change = ApiKeyChange { allowed_networks: Some(networks), ..ApiKeyChange::default() };
    house.change_key(&issued.key, change).await.unwrap();
    assert!(!accepts(&house.auth, &issued).await);
    eventually("the networks elsewhere", async || !accepts(&elsewhere, &issued).await).await;

    let change =
        ApiKeyChange { allowed_networks: Some(None), is_active: Some(false), ..ApiKeyChange::default() };
    house.change_key(&issued.key, change).await.unwrap();
    assert!(!accepts(&house.auth, &issued).await);
    house
        .change_key(&issued.key, ApiKeyChange { is_active: Some(true), ..ApiKeyChange::default() })
        .await
        .unwrap();
    assert!(accepts(&house.auth, &issued).await);
    eventually("the key on again elsewhere", async || accepts(&elsewhere, &issued).await).await;
    background.stop().await;
}
both_engines!(what_a_key_may_shrinks_at_once_here_and_within_a_second_elsewhere, &[&MIGRATIONS]);

// A5
async fn a_process_that_does_not_hear_of_revocations_reads_the_key(db: TestDb) {
    let house = House::new(db).await;
    let issued = house.adas_key().await;
    let text = issued.secret.expose_secret();
    // Nothing runs in its background: after a second its memory is stale.
    let deaf = house.another_process().await;
    assert!(accepts(&deaf, &issued).await);
    eventually("staleness", async || !deaf.revocations().is_fresh()).await;
    assert!(matches!(deaf.api_keys().authenticate(text, client()), Err(AuthenticateError::Stale)));
    assert!(accepts(&deaf, &issued).await);
    house.revoke_key(&issued.key).await.unwrap();
    assert!(!accepts(&deaf, &issued).await);
}
both_engines!(a_process_that_does_not_hear_of_revocations_reads_the_key, &[&MIGRATIONS]);

// A8
async fn a_process_without_its_database_refuses_to_decide(db: TestDb) {
    let house = House::new(db).await;
    let issued = house.adas_key().await;
    assert!(house.accepts(&issued).await);
    house.db.close().await;
    eventually("staleness", async || !house.auth.revocations().is_fresh()).await;
    let refused = present(&house.auth, issued.secret.expose_secret()).await;
    assert!(matches!(refused, Err(AuthenticateError::Unavailable(_))), "{refused:?}");
    let told = house.auth.introspect(&house.auth.config().audience, issued.secret.expose_secret()).await;
    assert!(matches!(told, Err(AuthError::Db(_))), "{told:?}");
}
both_engines!(a_process_without_its_database_refuses_to_decide, &[&MIGRATIONS]);

// A8
async fn keys_end_with_their_owner(db: TestDb) {
    let house = House::new(db).await;
    let (ada, bob) = (house.person("ada").await.id, house.person("bob").await.id);
    let home = tenant(&house);
    let adas = house.try_key(of_person(home, ada)).await.unwrap();
    let bobs = house.try_key(of_person(home, bob)).await.unwrap();
    let elsewhere = house.another_process().await;
    let (here, there) = (Background::of(&house.auth).await, Background::of(&elsewhere).await);
    for auth in [&house.auth, &elsewhere] {
        assert!(accepts(auth, &adas).await && accepts(auth, &bobs).await);
    }
    let set = async |status: PersonStatus| {
        let auth = house.auth.clone();
        let set = async move |tx: &mut Tx| {
            auth.people().set_status(tx, &system(), ada, status).await?;
            Ok::<_, AuthError>(())
        };
        house.db.transact(SCOPE, set).await.unwrap();
    };
    set(PersonStatus::Disabled).await;
    assert!(!accepts(&house.auth, &adas).await);
    eventually("the end of the key elsewhere", async || !accepts(&elsewhere, &adas).await).await;
    let revoked = house.auth.api_keys().find(home, adas.key.id).await.unwrap();
    assert_eq!(revoked.revoke_reason.as_deref(), Some("owner_disabled"));
    // What was issued to somebody who was disabled does not come back.
    set(PersonStatus::Active).await;
    assert!(!accepts(&house.auth, &adas).await);

    let auth = house.auth.clone();
    let delete = async move |tx: &mut Tx| auth.people().delete(tx, &system(), bob).await;
    house.db.transact::<_, PeopleError, _>(SCOPE, delete).await.unwrap();
    assert!(!accepts(&house.auth, &bobs).await);
    eventually("the end of the other key", async || !accepts(&elsewhere, &bobs).await).await;
    here.stop().await;
    there.stop().await;
}
both_engines!(keys_end_with_their_owner, &[&MIGRATIONS]);

// A8
async fn keys_for_a_tenant_end_with_the_membership(db: TestDb) {
    let house = House::new(db).await;
    let ada = house.person("ada").await.id;
    let (left, kept) = (tenant(&house), tenant(&house));
    let of_left = house.try_key(of_person(left, ada)).await.unwrap();
    let of_kept = house.try_key(of_person(kept, ada)).await.unwrap();
    let elsewhere = house.another_process().await;
    let there = Background::of(&elsewhere).await;
    assert!(accepts(&elsewhere, &of_left).await && accepts(&elsewhere, &of_kept).await);
    let auth = house.auth.clone();
    let leave = async move |tx: &mut Tx| auth.people().end_sessions_in(tx, &system(), ada, left).await;
    house.db.transact::<_, PeopleError, _>(SCOPE, leave).await.unwrap();
    assert!(!house.accepts(&of_left).await && house.accepts(&of_kept).await);
    eventually("the end of the key elsewhere", async || !accepts(&elsewhere, &of_left).await).await;
    assert!(accepts(&elsewhere, &of_kept).await);
    let revoked = house.auth.api_keys().find(left, of_left.key.id).await.unwrap();
    assert_eq!(revoked.revoke_reason.as_deref(), Some("membership_ended"));
    there.stop().await;
}
both_engines!(keys_for_a_tenant_end_with_the_membership, &[&MIGRATIONS]);

async fn a_new_password_keeps_keys_and_their_memory(db: TestDb) {
    let house = House::new(db).await;
    let issued = house.adas_key().await;
    assert!(house.accepts(&issued).await);
    let pair = house.login("ada", PASSWORD).await.unwrap();
    let ctx = house.as_holder(&pair).await;
    let new = typed("eleven grey herons waiting");
    drop(house.auth.change_password(&ctx, typed(PASSWORD), new).await.unwrap());
    assert!(house.accepts(&issued).await);
}
both_engines!(a_new_password_keeps_keys_and_their_memory, &[&MIGRATIONS]);

// A process of the version before stops at a kind that it does not know.
async fn revocations_of_keys_are_of_a_kind_that_every_version_knows(db: TestDb) {
    let house = House::new(db).await;
    let issued = house.adas_key().await;
    let before = house.count("SELECT count(*) FROM revocations WHERE kind = 'subject'").await;
    house.revoke_key(&issued.key).await.unwrap();
    let after = house.count("SELECT count(*) FROM revocations WHERE kind = 'subject'").await;
    assert_eq!(after, before + 1);
    assert_eq!(house.count("SELECT count(*) FROM revocations WHERE kind <> 'subject'").await, 0);
    assert!(!accepts(&house.another_process().await, &issued).await);
}
both_engines!(revocations_of_keys_are_of_a_kind_that_every_version_knows, &[&MIGRATIONS]);

/// What the trail and the events say since the first `before` of each: the keys that ended, each in its own tenant.
fn ended(house: &House, before: usize, reason: &str) -> Vec<String> {
    let (trail, events) =
        (house.audit.all("api_key.revoke").split_off(before), house.audit.events("api_key.revoked"));
    for event in &trail {
        let (was, is) = (event.before.as_ref().unwrap(), event.after.as_ref().unwrap());
        assert_eq!(
            (&was["revoked_at"], &was["revoke_reason"]),
            (&serde_json::Value::Null, &serde_json::Value::Null)
        );
        assert!(is["revoked_at"].is_string(), "{is}");
        assert_eq!(is["revoke_reason"], reason);
        assert_eq!(is["tenant_id"], serde_json::json!(event.tenant.unwrap()));
    }
    let told: Vec<_> = events.into_iter().skip(before).map(|event| (event.tenant, event.aggregate)).collect();
    let recorded: Vec<_> =
        trail.into_iter().map(|event| (event.tenant, event.target.id.unwrap_or_default())).collect();
    assert_eq!(recorded, told);
    sorted(recorded.into_iter().map(|(_, id)| id))
}

fn ids(keys: &[&ApiKey]) -> Vec<String> {
    sorted(keys.iter().map(|key| key.id.to_string()))
}

/// Those that were made at one moment have no order.
fn sorted(ids: impl Iterator<Item = String>) -> Vec<String> {
    let mut ids: Vec<_> = ids.collect();
    ids.sort_unstable();
    ids
}

// A8
async fn each_key_that_ends_with_its_owner_is_on_record(db: TestDb) {
    let house = House::new(db).await;
    let (ada, bob) = (house.person("ada").await.id, house.person("bob").await.id);
    let (home, away) = (tenant(&house), tenant(&house));
    let make = async |tenant, owner| {
        let new = NewApiKey { owner, ..of_person(tenant, ada) };
        house.try_key(new).await.unwrap().key
    };
    let (of_ada, of_bob) = (KeyOwner::Person { id: ada }, KeyOwner::Person { id: bob });
    let gone = make(home, of_ada).await;
    house.revoke_key(&gone).await.unwrap();
    let (first, second, third) =
        (make(home, of_ada).await, make(home, of_ada).await, make(away, of_ada).await);
    let bobs = make(home, of_bob).await;

    let auth = house.auth.clone();
    let leave = async move |tx: &mut Tx| auth.people().end_sessions_in(tx, &by(bob), ada, away).await;
    house.db.transact::<_, PeopleError, _>(SCOPE, leave).await.unwrap();
    assert_eq!(ended(&house, 1, "membership_ended"), ids(&[&third]));
    assert_eq!(house.audit.last("api_key.revoke").actor.id, Some(bob.to_string()));

    let auth = house.auth.clone();
    let disable = async move |tx: &mut Tx| {
        auth.people().set_status(tx, &by(bob), ada, PersonStatus::Disabled).await?;
        // What stands for the whole change leaves them in place.
        tx.audit_instead(stylobate_core::AuditEvent::new(&by(bob), "person.update", "person").on(ada));
        Ok::<_, PeopleError>(())
    };
    house.db.transact(SCOPE, disable).await.unwrap();
    assert_eq!(ended(&house, 2, "owner_disabled"), ids(&[&first, &second]));

    let auth = house.auth.clone();
    let delete = async move |tx: &mut Tx| auth.people().delete(tx, &system(), bob).await;
    house.db.transact::<_, PeopleError, _>(SCOPE, delete).await.unwrap();
    assert_eq!(ended(&house, 4, "owner_deleted"), ids(&[&bobs]));

    let service = house.service(home, "importer").await.id;
    let of_service = make(home, KeyOwner::Service { id: service }).await;
    let accounts = house.auth.service_accounts().clone();
    let delete = async move |tx: &mut Tx| accounts.delete(tx, &system(), (home, service)).await;
    house.db.transact::<_, ServiceAccountError, _>(SCOPE, delete).await.unwrap();
    assert_eq!(ended(&house, 5, "owner_deleted"), ids(&[&of_service]));
    assert_eq!(house.audit.count("api_key.revoke"), 6);
}
both_engines!(each_key_that_ends_with_its_owner_is_on_record, &[&MIGRATIONS]);

// A8: either the key is among those that end, or its owner is found gone.
async fn a_key_made_while_its_owner_goes_never_works(db: TestDb) {
    let house = House::new(db).await;
    let home = tenant(&house);
    for name in ["ada", "bob", "cyd", "dan", "eve", "fay", "gus", "hal"] {
        let id = house.person(name).await.id;
        let auth = house.auth.clone();
        let is_deleted = matches!(name, "ada" | "cyd" | "eve" | "gus");
        let go = async move |tx: &mut Tx| {
            if is_deleted {
                return auth.people().delete(tx, &system(), id).await;
            }
            auth.people().set_status(tx, &system(), id, PersonStatus::Disabled).await.map(drop)
        };
        let tries: Vec<_> = (0..3)
            .map(|_| {
                let (db, keys) = (house.db.clone(), house.auth.api_keys().clone());
                tokio::spawn(async move {
                    let create =
                        async move |tx: &mut Tx| keys.create(tx, &system(), of_person(home, id)).await;
                    db.transact(SCOPE, create).await
                })
            })
            .collect();
        let db = house.db.clone();
        let gone = tokio::spawn(async move { db.transact::<_, PeopleError, _>(SCOPE, go).await });
        for tried in tries {
            match tried.await.unwrap() {
                // The other may not be through yet.
                Ok(issued) => eventually("the end of the key", async || !house.accepts(&issued).await).await,
                Err(refused) => assert_eq!(refused.code(), "api_key_owner_unknown"),
            }
        }
        gone.await.unwrap().unwrap();
    }
    assert_eq!(house.count("SELECT count(*) FROM api_keys WHERE revoked_at IS NULL").await, 0);
}
both_engines!(a_key_made_while_its_owner_goes_never_works, &[&MIGRATIONS]);
