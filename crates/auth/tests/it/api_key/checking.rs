use chrono::TimeDelta;
use stylobate_auth::{AllowedNetworks, ApiKeyConfig, AuthConfig, AuthenticateError, MIGRATIONS, NewApiKey};
use stylobate_core::Clock as _;
use stylobate_db::Tx;
use stylobate_testkit::{TestDb, both_engines};

use super::{Background, House, SCOPE, accepts, client, eventually, of_person, present, tenant};

// A8
async fn a_known_key_costs_no_statement(db: TestDb) {
    let house = House::new(db).await;
    let issued = house.adas_key().await;
    let text = issued.secret.expose_secret();
    eventually("a warm answer", async || {
        // One that stops has just read the revocations: for a second memory decides, and nothing else runs.
        Background::of(&house.auth).await.stop().await;
        present(&house.auth, text).await.unwrap();
        let before = house.db.statements();
        let is_warm = (0..200).all(|_| house.auth.api_keys().authenticate(text, None).is_ok());
        assert_eq!(house.db.statements(), before);
        is_warm
    })
    .await;
}
both_engines!(a_known_key_costs_no_statement, &[&MIGRATIONS]);

// A8
async fn a_wrong_text_is_refused_before_anything_is_looked_up(db: TestDb) {
    let house = House::new(db).await;
    let issued = house.adas_key().await;
    let text = issued.secret.expose_secret();
    let (head, last) = text.split_at(text.len() - 1);
    let wrong = [
        String::new(),
        "sb_test_".to_owned(),
        head.to_owned(),
        format!("{text}0"),
        format!(" {head}"),
        text.replacen('_', "-", 1),
        format!("{head}{}", if last == "0" { "1" } else { "0" }),
        text.replacen("sb_test_", "sb_live_", 1),
        "é".repeat(40),
        "A".repeat(100_000),
    ];
    let before = house.db.statements();
    for wrong in wrong {
        let refused = present(&house.auth, &wrong).await;
        assert!(matches!(refused, Err(AuthenticateError::UnknownKey)), "{wrong}: {refused:?}");
    }
    assert_eq!(house.db.statements(), before);
    assert!(house.accepts(&issued).await);
}
both_engines!(a_wrong_text_is_refused_before_anything_is_looked_up, &[&MIGRATIONS]);

// A8
async fn a_key_is_good_in_its_own_environment_alone(db: TestDb) {
    let house = House::new(db).await;
    let test = house.adas_key().await;
    let api_keys = ApiKeyConfig { is_live: true, ..ApiKeyConfig::default() };
    let config = AuthConfig { api_keys, ..AuthConfig::default() };
    let production = house.configured(config).build().await.unwrap();
    let (keys, new) =
        (production.api_keys().clone(), of_person(test.key.tenant_id, test.key.person_id.unwrap()));
    let create = async move |tx: &mut Tx| keys.create(tx, &super::system(), new.clone()).await;
    let live = house.db.transact(SCOPE, create).await.unwrap();
    assert!(live.secret.expose_secret().starts_with("sb_live_") && live.key.prefix.starts_with("sb_live_"));
    assert!(accepts(&production, &live).await && accepts(&house.auth, &test).await);
    assert!(!accepts(&production, &test).await && !accepts(&house.auth, &live).await);
}
both_engines!(a_key_is_good_in_its_own_environment_alone, &[&MIGRATIONS]);

// A8
async fn an_unknown_id_and_a_wrong_secret_are_refused_alike(db: TestDb) {
    let house = House::new(db).await;
    let issued = house.adas_key().await;
    // Its checksum is right, and its secret was.
    house.rotate_key(&issued.key, 0).await.unwrap();
    assert!(!house.accepts(&issued).await);
    eventually("the refusal on record", async || house.audit.count("api_key.refuse") == 1).await;
    let event = house.audit.last("api_key.refuse");
    let key = Some(issued.key.id.to_string());
    assert_eq!((event.target.id, event.tenant, event.address), (key, Some(issued.key.tenant_id), client()));
    assert_eq!(event.metadata.unwrap()["reason"], "secret");
    // Repeated, it is counted and not recorded.
    for _ in 0..20 {
        assert!(!house.accepts(&issued).await);
    }
    assert_eq!(house.audit.count("api_key.refuse"), 1);
    let usage = house.auth.api_keys().usage(issued.key.tenant_id, issued.key.id).await.unwrap();
    assert_eq!((usage[0].requests, usage[0].refused), (0, 21));

    let forget = async |tx: &mut Tx| tx.q("DELETE FROM api_keys").run().await;
    house.db.transact(SCOPE, forget).await.unwrap();
    assert!(!house.accepts(&issued).await);
    assert_eq!(house.audit.count("api_key.refuse"), 1);
}
both_engines!(an_unknown_id_and_a_wrong_secret_are_refused_alike, &[&MIGRATIONS]);

// A8
async fn whoever_tries_wrong_secrets_hides_no_other_refusal(db: TestDb) {
    let house = House::new(db).await;
    let old = house.adas_key().await;
    let present = house.rotate_key(&old.key, 0).await.unwrap();
    let refused = async |issued: &stylobate_auth::IssuedApiKey| {
        for _ in 0..3 {
            assert!(!house.accepts(issued).await);
        }
    };
    let change = |change| house.change_key(&old.key, change);
    let unchanged = stylobate_auth::ApiKeyChange::default;
    refused(&old).await;
    let elsewhere = Some(AllowedNetworks::parse(["198.51.100.0/24"]).ok());
    change(stylobate_auth::ApiKeyChange { allowed_networks: elsewhere, ..unchanged() }).await.unwrap();
    refused(&present).await;
    refused(&old).await;
    change(stylobate_auth::ApiKeyChange { is_active: Some(false), ..unchanged() }).await.unwrap();
    refused(&present).await;
    house.revoke_key(&old.key).await.unwrap();
    refused(&present).await;
    let reasons = || -> Vec<String> {
        let events = house.audit.all("api_key.refuse");
        let mut reasons: Vec<_> = events
            .iter()
            .map(|event| event.metadata.as_ref().unwrap()["reason"].as_str().unwrap().to_owned())
            .collect();
        reasons.sort_unstable();
        reasons
    };
    eventually("each reason on record", async || reasons() == ["address", "inactive", "revoked", "secret"])
        .await;
    // All that was asked for is counted.
    let usage = house.auth.api_keys().usage(old.key.tenant_id, old.key.id).await.unwrap();
    assert_eq!((usage[0].requests, usage[0].refused), (0, 15));
}
both_engines!(whoever_tries_wrong_secrets_hides_no_other_refusal, &[&MIGRATIONS]);

async fn a_key_ends_when_its_time_has_come(db: TestDb) {
    let house = House::new(db).await;
    let (ada, now) = (house.person("ada").await.id, house.clock.now());
    let new = NewApiKey { expires_at: Some(now + TimeDelta::minutes(5)), ..of_person(tenant(&house), ada) };
    let issued = house.try_key(new).await.unwrap();
    house.wait(5 * 60 - 1);
    assert!(house.accepts(&issued).await);
    house.wait(1);
    assert!(!house.accepts(&issued).await);
    // Nothing brings it back.
    let later = stylobate_auth::ApiKeyChange {
        expires_at: Some(now + TimeDelta::days(1)),
        ..stylobate_auth::ApiKeyChange::default()
    };
    assert_eq!(house.change_key(&issued.key, later).await.unwrap_err().code(), "api_key_ended");
    assert_eq!(house.rotate_key(&issued.key, 0).await.unwrap_err().code(), "api_key_ended");
    // Long after its end it is removed with what it was used for.
    house.auth.api_keys().write_uses().await.unwrap();
    house.wait(90 * 24 * 60 * 60 - 1);
    house.auth.sweep().await.unwrap();
    assert_eq!(house.count("SELECT count(*) FROM api_keys").await, 1);
    house.wait(1);
    house.auth.sweep().await.unwrap();
    assert_eq!(house.count("SELECT count(*) FROM api_keys").await, 0);
    assert_eq!(house.count("SELECT count(*) FROM api_key_usage").await, 0);
}
both_engines!(a_key_ends_when_its_time_has_come, &[&MIGRATIONS]);

async fn a_key_is_accepted_from_its_networks_alone(db: TestDb) {
    let house = House::new(db).await;
    let ada = house.person("ada").await.id;
    let networks = AllowedNetworks::parse(["192.0.2.0/29", "2001:db8::/64"]).unwrap();
    let new = NewApiKey { allowed_networks: Some(networks.clone()), ..of_person(tenant(&house), ada) };
    let issued = house.try_key(new).await.unwrap();
    assert_eq!(issued.key.allowed_networks, Some(networks.clone()));
    let from = async |address: Option<&str>| {
        let (keys, address) = (house.auth.api_keys(), address.map(|text| text.parse().unwrap()));
        keys.authenticate_slow(issued.secret.expose_secret(), address).await.is_ok()
    };
    for address in ["192.0.2.0", "192.0.2.7", "::ffff:192.0.2.7", "2001:db8::1"] {
        assert!(from(Some(address)).await, "{address}");
    }
    for address in ["192.0.2.8", "::ffff:192.0.2.8", "2001:db8:0:1::1", "::1"] {
        assert!(!from(Some(address)).await, "{address}");
    }
    // Whose address is not known is not in a network.
    assert!(!from(None).await);
    let read = house.auth.api_keys().find(issued.key.tenant_id, issued.key.id).await.unwrap();
    assert_eq!(read.allowed_networks, Some(networks));
}
both_engines!(a_key_is_accepted_from_its_networks_alone, &[&MIGRATIONS]);
