use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use stylobate_auth::{
    Auth, HeldKey, KeySource as _, MIGRATIONS, NewServiceKey, ServiceAccount, ServiceAccountError,
    ServiceAccountStatus, ServiceKey, SigningAlgorithm, VerifyingKey,
};
use stylobate_core::{Clock as _, ServiceKeyId};
use stylobate_db::Tx;
use stylobate_testkit::{TestDb, both_engines};

use super::{Background, House, SCOPE, eventually, system, tenant};

fn public(algorithm: SigningAlgorithm) -> VerifyingKey {
    crate::key::key_for(algorithm).verifying_key().clone()
}

pub(super) fn new(algorithm: SigningAlgorithm) -> NewServiceKey {
    NewServiceKey { label: "first".to_owned(), key: public(algorithm), not_before: None, expires_at: None }
}

impl House {
    pub(super) async fn register(
        &self,
        account: &ServiceAccount,
        new: NewServiceKey,
    ) -> Result<ServiceKey, ServiceAccountError> {
        let (accounts, place) = (self.auth.service_accounts().clone(), (account.tenant_id, account.id));
        let add = async move |tx: &mut Tx| accounts.insert_key(tx, &system(), place, new.clone()).await;
        self.db.transact(SCOPE, add).await
    }

    async fn revoke(
        &self,
        account: &ServiceAccount,
        key: ServiceKeyId,
    ) -> Result<ServiceKey, ServiceAccountError> {
        let (accounts, place) = (self.auth.service_accounts().clone(), (account.tenant_id, account.id));
        let revoke = async move |tx: &mut Tx| accounts.revoke_key(tx, &system(), place, key).await;
        self.db.transact(SCOPE, revoke).await
    }

    async fn held(&self, key: &ServiceKey) -> Option<Arc<HeldKey>> {
        held(&self.auth, &key.id.to_string(), self.clock.now()).await
    }
}

pub(super) async fn held(auth: &Auth, name: &str, now: DateTime<Utc>) -> Option<Arc<HeldKey>> {
    auth.service_keys().find(name, now).await.unwrap()
}

fn code<T>(result: &Result<T, ServiceAccountError>) -> &'static str {
    result.as_ref().map_or_else(ServiceAccountError::code, |_| "ok")
}

// A5, A9
async fn a_key_signs_for_its_account_until_it_is_revoked(db: TestDb) {
    let house = House::new(db).await;
    let account = house.service(tenant(&house), "orders").await;
    let elsewhere = house.another_process().await;
    let there = Background::of(&elsewhere).await;
    let key = house.register(&account, new(SigningAlgorithm::EdDsa)).await.unwrap();
    let found = house.held(&key).await.unwrap();
    assert_eq!((found.holder.service, found.holder.tenant), (account.id, Some(account.tenant_id)));
    assert_eq!((&*found.holder.name, found.key.kid().to_string()), ("orders", key.id.to_string()));
    assert_eq!(found.key, public(SigningAlgorithm::EdDsa).with_kid(found.key.kid().clone()));
    // Remembered, it is the same one, in each process by itself.
    assert!(Arc::ptr_eq(&found, &house.held(&key).await.unwrap()) || !house.auth.revocations().is_fresh());
    let name = key.id.to_string();
    let at_hand = |now| elsewhere.service_keys().find_now(&name, now).is_some();
    let found_there = async || held(&elsewhere, &name, house.clock.now()).await.is_some();
    eventually("the key at hand", async || found_there().await && at_hand(house.clock.now())).await;
    assert!(!at_hand(house.clock.now() + TimeDelta::days(366)), "it has an end");

    // One spelling, and nothing else.
    for wrong in ["", "orders", &name.to_uppercase(), &name.replace('-', ""), &account.id.to_string()] {
        assert!(held(&house.auth, wrong, house.clock.now()).await.is_none(), "{wrong}");
    }

    house.set_service(&account, ServiceAccountStatus::Disabled).await;
    assert!(house.held(&key).await.is_none());
    let gone = async || held(&elsewhere, &name, house.clock.now()).await.is_none();
    eventually("the end elsewhere", gone).await;
    assert!(!at_hand(house.clock.now()));
    house.set_service(&account, ServiceAccountStatus::Active).await;
    assert!(house.held(&key).await.is_some());
    eventually("going on elsewhere", async || !gone().await).await;

    // Lists are in the order of time.
    house.wait(1);
    let other = house.register(&account, new(SigningAlgorithm::Es256)).await.unwrap();
    let revoked = house.revoke(&account, key.id).await.unwrap();
    assert_eq!(house.revoke(&account, key.id).await.unwrap(), revoked);
    assert!(revoked.revoked_at.is_some() && house.held(&key).await.is_none());
    eventually("the end elsewhere", gone).await;
    assert!(house.held(&other).await.is_some());
    assert_eq!(
        house.auth.service_accounts().keys(account.tenant_id, account.id).await.unwrap(),
        [revoked, other]
    );
    for (action, count) in [("service_key.create", 2), ("service_key.revoke", 1)] {
        assert_eq!(house.audit.count(action), count, "{action}");
    }
    there.stop().await;
}
both_engines!(a_key_signs_for_its_account_until_it_is_revoked, &[&MIGRATIONS]);

async fn a_key_has_a_beginning_and_an_end(db: TestDb) {
    let house = House::new(db).await;
    let account = house.service(tenant(&house), "orders").await;
    let now = house.clock.now();
    let at = |minutes| now + TimeDelta::minutes(minutes);
    let windowed = |from, to| NewServiceKey {
        not_before: Some(from),
        expires_at: Some(to),
        ..new(SigningAlgorithm::EdDsa)
    };
    let key = house.register(&account, windowed(at(1), at(3))).await.unwrap();
    let name = key.id.to_string();
    for (minutes, is_good) in [(0, false), (1, true), (2, true), (3, false), (4, false)] {
        let found = held(&house.auth, &name, at(minutes)).await;
        assert_eq!(found.is_some(), is_good, "after {minutes} minutes");
    }
    for (from, to) in [(at(0), at(0)), (at(-5), at(-1)), (at(3), at(2)), (at(0), at(60 * 24 * 731))] {
        assert_eq!(code(&house.register(&account, windowed(from, to)).await), "validation", "{from} {to}");
    }
    let whole = house.register(&account, new(SigningAlgorithm::Ps512)).await.unwrap();
    assert_eq!((whole.not_before, whole.expires_at), (now, now + TimeDelta::days(365)));
    assert!(house.held(&whole).await.is_some());

    // What shares a secret, or is for other systems, is none.
    for algorithm in SigningAlgorithm::ALL {
        let is_accepted = ServiceKey::ALGORITHMS.contains(&algorithm);
        let refused = house.register(&account, new(algorithm)).await;
        assert_eq!(code(&refused), if is_accepted { "ok" } else { "validation" }, "{algorithm}");
    }
    for _ in 0..5 {
        house.register(&account, new(SigningAlgorithm::EdDsa)).await.unwrap();
    }
    assert_eq!(code(&house.register(&account, new(SigningAlgorithm::EdDsa)).await), "service_key_limit");
    // One that is over makes room.
    house.wait(181);
    house.register(&account, new(SigningAlgorithm::EdDsa)).await.unwrap();

    let foreign = ServiceAccount { tenant_id: tenant(&house), ..account.clone() };
    let refused = house.register(&foreign, new(SigningAlgorithm::EdDsa)).await;
    assert_eq!(code(&refused), "service_account_not_found");
    assert_eq!(code(&house.revoke(&foreign, key.id).await), "service_account_not_found");
    let other = house.service(account.tenant_id, "other").await;
    assert_eq!(code(&house.revoke(&other, key.id).await), "service_account_not_found");
    let listed = house.auth.service_accounts().keys(foreign.tenant_id, account.id).await;
    assert_eq!(code(&listed), "service_account_not_found");

    let (accounts, place) = (house.auth.service_accounts().clone(), (account.tenant_id, account.id));
    let delete = async move |tx: &mut Tx| accounts.delete(tx, &system(), place).await;
    house.db.transact(SCOPE, delete).await.unwrap();
    assert!(house.held(&whole).await.is_none());
    assert_eq!(house.count("SELECT count(*) FROM service_keys").await, 0);
}
both_engines!(a_key_has_a_beginning_and_an_end, &[&MIGRATIONS]);
