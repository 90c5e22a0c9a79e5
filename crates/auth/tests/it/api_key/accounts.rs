use stylobate_auth::{
    AuthConfig, MIGRATIONS, NewApiKey, NewServiceAccount, ServiceAccount, ServiceAccountChange,
    ServiceAccountError, ServiceAccountQuery, ServiceAccountStatus,
};
use stylobate_core::{Clock as _, KeyOwner, PersonId, Subject};
use stylobate_db::Tx;
use stylobate_testkit::{TestDb, both_engines};

use super::{Background, House, SCOPE, accepts, eventually, of_person, present, system, tenant};

impl House {
    async fn change_service(
        &self,
        account: &ServiceAccount,
        change: ServiceAccountChange,
    ) -> Result<ServiceAccount, ServiceAccountError> {
        let (accounts, place) = (self.auth.service_accounts().clone(), (account.tenant_id, account.id));
        let change = async move |tx: &mut Tx| accounts.update(tx, &system(), place, change.clone()).await;
        self.db.transact(SCOPE, change).await
    }

    async fn set_service(&self, account: &ServiceAccount, status: ServiceAccountStatus) -> ServiceAccount {
        let change = ServiceAccountChange { status: Some(status), ..ServiceAccountChange::default() };
        self.change_service(account, change).await.unwrap()
    }
}

fn code<T>(result: Result<T, ServiceAccountError>) -> &'static str {
    result.map_or_else(|error| error.code(), |_| "ok")
}

// A8
async fn a_service_account_acts_with_its_key_until_it_is_disabled_or_removed(db: TestDb) {
    let house = House::new(db).await;
    let home = tenant(&house);
    let account = house.service(home, "importer").await;
    let owner = KeyOwner::Service { id: account.id };
    let nobody = PersonId::new(house.clock.now());
    let new = NewApiKey { owner, ..of_person(home, nobody) };
    let issued = house.try_key(new).await.unwrap();
    let principal = present(&house.auth, issued.secret.expose_secret()).await.unwrap();
    assert_eq!(principal.subject, Subject::ApiKey { id: issued.key.id, owner });
    assert_eq!((principal.tenant, issued.key.service_account_id), (Some(home), Some(account.id)));

    let elsewhere = house.another_process().await;
    let there = Background::of(&elsewhere).await;
    assert!(accepts(&elsewhere, &issued).await);
    house.set_service(&account, ServiceAccountStatus::Disabled).await;
    assert!(!accepts(&house.auth, &issued).await);
    eventually("the end elsewhere", async || !accepts(&elsewhere, &issued).await).await;
    // Its keys rest, and go on with it.
    house.set_service(&account, ServiceAccountStatus::Active).await;
    assert!(accepts(&house.auth, &issued).await);
    eventually("going on elsewhere", async || accepts(&elsewhere, &issued).await).await;

    let (accounts, place) = (house.auth.service_accounts().clone(), (home, account.id));
    house
        .db
        .transact(SCOPE, async move |tx: &mut Tx| accounts.delete(tx, &system(), place).await)
        .await
        .unwrap();
    assert!(!accepts(&house.auth, &issued).await);
    eventually("the end elsewhere", async || !accepts(&elsewhere, &issued).await).await;
    assert_eq!(house.count("SELECT count(*) FROM api_keys").await, 0);
    for (action, count) in
        [("service_account.create", 1), ("service_account.update", 2), ("service_account.delete", 1)]
    {
        assert_eq!(house.audit.count(action), count, "{action}");
    }
    assert_eq!(house.audit.events("service_account.updated").len(), 2);
    there.stop().await;
}
both_engines!(a_service_account_acts_with_its_key_until_it_is_disabled_or_removed, &[&MIGRATIONS]);

async fn names_are_unique_in_a_tenant_whatever_the_case(db: TestDb) {
    let house = House::new(db).await;
    let (home, away) = (tenant(&house), tenant(&house));
    let account = house.service(home, "Importer").await;
    house.service(away, "importer").await;
    let other = house.service(home, "exporter").await;
    let rename = |name: &str| ServiceAccountChange { name: Some(name.to_owned()), ..Default::default() };
    assert_eq!(code(house.change_service(&other, rename("IMPORTER")).await), "service_account_name_taken");
    assert_eq!(code(house.change_service(&account, rename("importer")).await), "ok");
    for name in ["", " ", &"a".repeat(101), "a\u{200b}b"] {
        assert_eq!(code(house.change_service(&account, rename(name)).await), "validation", "{name}");
    }
    let add = |name: &str, description: Option<String>| {
        let (accounts, name) = (house.auth.service_accounts().clone(), name.to_owned());
        let add = async move |tx: &mut Tx| {
            let new = NewServiceAccount { name: name.clone(), description: description.clone() };
            accounts.insert(tx, &system(), home, new).await
        };
        async { code(house.db.transact(SCOPE, add).await) }
    };
    assert_eq!(add("importer", None).await, "service_account_name_taken");
    assert_eq!(add("another", Some("d".repeat(501))).await, "validation");
    assert_eq!(add("another", Some("d".repeat(500))).await, "ok");
}
both_engines!(names_are_unique_in_a_tenant_whatever_the_case, &[&MIGRATIONS]);

async fn a_tenant_sees_its_service_accounts_and_no_others(db: TestDb) {
    let house = House::with(db, AuthConfig::default()).await;
    let (home, away) = (tenant(&house), tenant(&house));
    let accounts = house.auth.service_accounts();
    let one = house.service(home, "one").await;
    house.wait(1);
    let two = house.service(home, "two").await;
    let foreign = house.service(away, "foreign").await;
    assert_eq!(code(accounts.find(home, foreign.id).await), "service_account_not_found");
    let misplaced = ServiceAccount { tenant_id: home, ..foreign.clone() };
    let change = ServiceAccountChange { name: Some("mine".to_owned()), ..Default::default() };
    assert_eq!(code(house.change_service(&misplaced, change).await), "service_account_not_found");
    assert_eq!(accounts.find(home, one.id).await.unwrap(), one);
    let off = house.set_service(&two, ServiceAccountStatus::Disabled).await;
    let list = async |status| {
        let query = ServiceAccountQuery { status, with_total: true, ..Default::default() };
        let page = accounts.list(home, &query).await.unwrap();
        (page.items, page.total)
    };
    assert_eq!(list(None).await, (vec![one.clone(), off.clone()], Some(2)));
    assert_eq!(list(Some(ServiceAccountStatus::Active)).await, (vec![one], Some(1)));
    assert_eq!(list(Some(ServiceAccountStatus::Disabled)).await, (vec![off], Some(1)));
}
both_engines!(a_tenant_sees_its_service_accounts_and_no_others, &[&MIGRATIONS]);
