use stylobate_auth::{AuthConfig, MIGRATIONS, PersonStatus};
use stylobate_core::{Clock as _, Principal, RequestContext, SessionId, TenantId};
use stylobate_db::Tx;
use stylobate_testkit::{TestDb, both_engines};

use super::{House, PASSWORD, SCOPE, check, code, ids, is_revoked, nobody, system, typed};

async fn a_session_carries_its_tenant_and_where_it_began(db: TestDb) {
    let house = House::new(db).await;
    let ada = house.person("ada").await;
    let tenant = TenantId::new(house.clock.now());
    let ctx = RequestContext {
        address: Some("192.0.2.7".parse().unwrap()),
        user_agent: Some("Browser\0 1".into()),
        ..nobody()
    };
    let verified = house.auth.verify_login(&ctx, "ada", typed(PASSWORD)).await.unwrap();
    let pair = house.auth.start_session(&ctx, &verified, Some(tenant)).await.unwrap();
    let token = check(&house.auth, &pair.access_token).await.unwrap();
    assert_eq!(token.principal.tenant, Some(tenant));
    house.wait(60);
    let renewed = house.refresh(&pair.refresh_token).await.unwrap();
    let holder = house.as_holder(&renewed).await;
    assert_eq!(holder.principal.tenant, Some(tenant));

    let sessions = house.auth.list_sessions(&holder).await.unwrap();
    let [session] = sessions.as_slice() else { panic!("{sessions:?}") };
    assert_eq!((session.id, session.person_id, session.tenant_id), (pair.session_id, ada.id, Some(tenant)));
    assert_eq!((session.address, session.user_agent.as_deref()), (ctx.address, Some("Browser 1")));
    assert_eq!((session.last_seen_at, session.is_current), (house.clock.now(), true));
    let event = house.audit.last("auth.login");
    assert_eq!((event.tenant, event.session_id), (Some(tenant), Some(pair.session_id)));
    assert_eq!(event.actor.id, Some(ada.id.to_string()));
}
both_engines!(a_session_carries_its_tenant_and_where_it_began, &[&MIGRATIONS]);

// A5, C18
async fn every_login_begins_a_new_session_and_logout_ends_it(db: TestDb) {
    let house = House::new(db).await;
    house.person("ada").await;
    let first = house.login("ada", PASSWORD).await.unwrap();
    // Signing in while signed in keeps nothing of the old session.
    let ctx = house.as_holder(&first).await;
    let verified = house.auth.verify_login(&ctx, "ada", typed(PASSWORD)).await.unwrap();
    let second = house.auth.start_session(&ctx, &verified, None).await.unwrap();
    assert_ne!(first.session_id, second.session_id);

    house.auth.logout(&ctx).await.unwrap();
    house.auth.logout(&ctx).await.unwrap();
    assert_eq!(house.audit.count("auth.logout"), 1);
    assert!(is_revoked(&house.auth, &first).await);
    assert_eq!(code(house.refresh(&first.refresh_token).await), "refresh_invalid");
    assert!(!is_revoked(&house.auth, &second).await);
}
both_engines!(every_login_begins_a_new_session_and_logout_ends_it, &[&MIGRATIONS]);

async fn a_refresh_token_signs_out_its_session(db: TestDb) {
    let house = House::new(db).await;
    house.person("ada").await;
    let first = house.login("ada", PASSWORD).await.unwrap();
    let second = house.refresh(&first.refresh_token).await.unwrap();
    house.auth.logout_refresh_token(&nobody(), "nonsense").await.unwrap();
    assert!(!is_revoked(&house.auth, &second).await);
    // The one that was redeemed before does as well.
    house.auth.logout_refresh_token(&nobody(), &first.refresh_token).await.unwrap();
    assert!(is_revoked(&house.auth, &second).await);
    house.auth.logout_refresh_token(&nobody(), &second.refresh_token).await.unwrap();
}
both_engines!(a_refresh_token_signs_out_its_session, &[&MIGRATIONS]);

// A12
async fn a_foreign_session_is_like_a_missing_one(db: TestDb) {
    let house = House::new(db).await;
    house.person("ada").await;
    house.person("bob").await;
    let ada = house.login("ada", PASSWORD).await.unwrap();
    let bob = house.login("bob", PASSWORD).await.unwrap();
    let ctx = house.as_holder(&ada).await;
    for id in [bob.session_id, SessionId::new(house.clock.now())] {
        assert_eq!(code(house.auth.revoke_session(&ctx, id).await), "session_not_found");
    }
    assert!(!is_revoked(&house.auth, &bob).await);
    house.auth.revoke_session(&ctx, ada.session_id).await.unwrap();
    assert!(is_revoked(&house.auth, &ada).await);
    assert_eq!(code(house.auth.revoke_session(&ctx, ada.session_id).await), "session_not_found");
    let machine = RequestContext::new(Principal::system());
    assert_eq!(code(house.auth.list_sessions(&machine).await), "not_a_person");
}
both_engines!(a_foreign_session_is_like_a_missing_one, &[&MIGRATIONS]);

async fn the_other_sessions_end_together(db: TestDb) {
    let house = House::new(db).await;
    house.person("ada").await;
    house.person("bob").await;
    let mut pairs = Vec::new();
    for _ in 0..3 {
        pairs.push(house.login("ada", PASSWORD).await.unwrap());
    }
    let bob = house.login("bob", PASSWORD).await.unwrap();
    let ctx = house.as_holder(&pairs[1]).await;
    assert_eq!(house.auth.list_sessions(&ctx).await.unwrap().len(), 3);
    assert_eq!(house.auth.revoke_other_sessions(&ctx).await.unwrap(), 2);
    assert_eq!(house.auth.revoke_other_sessions(&ctx).await.unwrap(), 0);
    let revoked = [
        is_revoked(&house.auth, &pairs[0]).await,
        is_revoked(&house.auth, &pairs[1]).await,
        is_revoked(&house.auth, &pairs[2]).await,
        is_revoked(&house.auth, &bob).await,
    ];
    assert_eq!(revoked, [true, false, true, false]);
    assert_eq!(ids(&house.auth.list_sessions(&ctx).await.unwrap()), [pairs[1].session_id]);
    assert_eq!(house.audit.count("session.revoke_others"), 1, "one request is one record");
}
both_engines!(the_other_sessions_end_together, &[&MIGRATIONS]);

// A12
async fn what_ends_for_a_tenant_is_on_record_there_alone(db: TestDb) {
    let house = House::new(db).await;
    house.person("ada").await;
    let [here, there] = [TenantId::new(house.clock.now()), TenantId::new(house.clock.now())];
    let login = async |tenant| {
        house.wait(1);
        let verified = house.auth.verify_login(&nobody(), "ada", typed(PASSWORD)).await.unwrap();
        house.auth.start_session(&nobody(), &verified, Some(tenant)).await.unwrap()
    };
    let asking = login(here).await;
    let ctx = house.as_holder(&asking).await;
    let one = login(there).await.session_id;
    house.auth.revoke_session(&ctx, one).await.unwrap();
    let event = house.audit.last("session.revoke");
    assert_eq!((event.tenant, event.target.id.clone()), (Some(there), Some(one.to_string())));
    assert!(!format!("{event:?}").contains(&asking.session_id.to_string()), "{event:?}");

    let own = login(here).await.session_id;
    let others = [login(there).await.session_id, login(there).await.session_id];
    assert_eq!(house.auth.revoke_other_sessions(&ctx).await.unwrap(), 3);
    let mut trail = house.audit.all("session.revoke_others");
    trail.sort_by_key(|event| event.tenant != Some(here));
    let [in_own, elsewhere] = trail.as_slice() else { panic!("{trail:?}") };
    assert_eq!((in_own.tenant, elsewhere.tenant), (Some(here), Some(there)));
    assert_eq!(in_own.metadata.as_ref().unwrap()["sessions"], serde_json::json!([own]));
    assert_eq!(in_own.session_id, Some(asking.session_id));
    assert_eq!(elsewhere.metadata.as_ref().unwrap()["sessions"], serde_json::json!(others));
    for (event, foreign) in [
        (in_own, [there.to_string(), others[0].to_string()]),
        (elsewhere, [here.to_string(), asking.session_id.to_string()]),
    ] {
        assert!(foreign.iter().all(|foreign| !format!("{event:?}").contains(foreign)), "{event:?}");
    }
}
both_engines!(what_ends_for_a_tenant_is_on_record_there_alone, &[&MIGRATIONS]);

// A5
async fn above_the_limit_the_oldest_session_makes_room(db: TestDb) {
    let house = House::with(db, AuthConfig { sessions_max: 2, ..AuthConfig::default() }).await;
    house.person("ada").await;
    let mut pairs = Vec::new();
    for _ in 0..3 {
        house.wait(1);
        pairs.push(house.login("ada", PASSWORD).await.unwrap());
    }
    assert!(is_revoked(&house.auth, &pairs[0]).await);
    let ctx = house.as_holder(&pairs[2]).await;
    let live = house.auth.list_sessions(&ctx).await.unwrap();
    assert_eq!(ids(&live), [pairs[1].session_id, pairs[2].session_id]);
}
both_engines!(above_the_limit_the_oldest_session_makes_room, &[&MIGRATIONS]);

// A5
async fn disabling_a_person_ends_everything_and_enabling_brings_nothing_back(db: TestDb) {
    let house = House::new(db).await;
    let ada = house.person("ada").await;
    let pairs = [house.login("ada", PASSWORD).await.unwrap(), house.login("ada", PASSWORD).await.unwrap()];
    let verified = house.auth.verify_login(&nobody(), "ada", typed(PASSWORD)).await.unwrap();
    let set = async |status: PersonStatus| {
        let auth = house.auth.clone();
        let set = async move |tx: &mut Tx| auth.people().set_status(tx, &system(), ada.id, status).await;
        house.db.transact(SCOPE, set).await.unwrap()
    };
    assert_eq!(set(PersonStatus::Disabled).await.status, PersonStatus::Disabled);
    for pair in &pairs {
        assert!(is_revoked(&house.auth, pair).await);
        assert_eq!(code(house.refresh(&pair.refresh_token).await), "refresh_invalid");
    }
    // A login that was half done when it happened does not finish.
    assert_eq!(code(house.auth.start_session(&nobody(), &verified, None).await), "invalid_credentials");
    assert_eq!(house.try_login("ada", PASSWORD).await, "invalid_credentials");

    assert!(set(PersonStatus::Active).await.is_active());
    assert_eq!(code(house.auth.start_session(&nobody(), &verified, None).await), "invalid_credentials");
    // In the same second: by epoch, not by time.
    let fresh = house.login("ada", PASSWORD).await.unwrap();
    assert!(!is_revoked(&house.auth, &fresh).await);
    assert!(is_revoked(&house.auth, &pairs[0]).await);
}
both_engines!(disabling_a_person_ends_everything_and_enabling_brings_nothing_back, &[&MIGRATIONS]);

// A5
async fn no_session_survives_a_disable_that_races_with_logins(db: TestDb) {
    let house = House::new(db).await;
    let ada = house.person("ada").await;
    let verified = house.auth.verify_login(&nobody(), "ada", typed(PASSWORD)).await.unwrap();
    let mut logins = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let (auth, verified) = (house.auth.clone(), verified.clone());
        logins.spawn(async move { auth.start_session(&nobody(), &verified, None).await });
    }
    let auth = house.auth.clone();
    let disable = async move |tx: &mut Tx| {
        auth.people().set_status(tx, &system(), ada.id, PersonStatus::Disabled).await
    };
    house.db.transact(SCOPE, disable).await.unwrap();
    for pair in logins.join_all().await.into_iter().flatten() {
        assert!(is_revoked(&house.auth, &pair).await);
    }
    assert_eq!(house.count("SELECT count(*) FROM sessions WHERE ended_at IS NULL").await, 0);
    assert_eq!(house.count("SELECT count(*) FROM refresh_families").await, 0);
}
both_engines!(no_session_survives_a_disable_that_races_with_logins, &[&MIGRATIONS]);
