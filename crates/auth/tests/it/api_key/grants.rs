use stylobate_auth::{MIGRATIONS, ServiceAccount, ServiceAccountError, ServiceGrant};
use stylobate_core::ServiceId;
use stylobate_db::Tx;
use stylobate_testkit::{TestDb, both_engines};

use super::{House, SCOPE, system, tenant};

pub(super) fn grant(audience: &str, operations: &[&str]) -> ServiceGrant {
    let operations = operations.iter().map(|one| (*one).to_owned()).collect();
    ServiceGrant { audience: audience.to_owned(), operations }
}

impl House {
    pub(super) async fn set_grants(
        &self,
        account: &ServiceAccount,
        grants: &[ServiceGrant],
    ) -> Result<Vec<ServiceGrant>, ServiceAccountError> {
        let (accounts, place) = (self.auth.service_accounts().clone(), (account.tenant_id, account.id));
        let grants = grants.to_vec();
        let set = async move |tx: &mut Tx| accounts.set_grants(tx, &system(), place, &grants).await;
        self.db.transact(SCOPE, set).await
    }
}

fn code<T>(result: &Result<T, ServiceAccountError>) -> &'static str {
    result.as_ref().map_or_else(ServiceAccountError::code, |_| "ok")
}

async fn the_registry_is_replaced_as_a_whole(db: TestDb) {
    let house = House::new(db).await;
    let (home, away) = (tenant(&house), tenant(&house));
    let account = house.service(home, "importer").await;
    let accounts = house.auth.service_accounts();
    assert_eq!(accounts.grants(home, account.id).await.unwrap(), []);
    let said = [grant("billing", &["invoice.read", "invoice.read"]), grant("audit", &["*"])];
    let set = house.set_grants(&account, &said).await.unwrap();
    assert_eq!(set, [grant("audit", &["*"]), grant("billing", &["invoice.read"])]);
    assert_eq!(accounts.grants(home, account.id).await.unwrap(), set);
    let version = accounts.find(home, account.id).await.unwrap().version;
    assert_eq!(version, account.version + 1);
    // The same again is no change.
    house.set_grants(&account, &said).await.unwrap();
    assert_eq!(accounts.find(home, account.id).await.unwrap().version, version);
    assert_eq!(house.audit.count("service_account.grant"), 1);
    assert_eq!(house.audit.events("service_account.updated").len(), 1);

    let other = [grant("billing", &["invoice.*"])];
    assert_eq!(house.set_grants(&account, &other).await.unwrap(), other);
    assert_eq!(accounts.grants(home, account.id).await.unwrap(), other);
    let change = house.audit.last("service_account.grant");
    assert!(format!("{change:?}").contains("invoice.*"), "{change:?}");

    // What is wrong changes nothing, and other tenants' accounts are missing.
    assert_eq!(code(&house.set_grants(&account, &[grant("a b", &["x"])]).await), "validation");
    assert_eq!(code(&house.set_grants(&account, &[grant("a", &[])]).await), "validation");
    let foreign = ServiceAccount { tenant_id: away, ..account.clone() };
    assert_eq!(code(&house.set_grants(&foreign, &other).await), "service_account_not_found");
    assert_eq!(code(&accounts.grants(away, account.id).await), "service_account_not_found");
    let nobody = ServiceId::new(house.clock_now());
    assert_eq!(code(&accounts.grants(home, nobody).await), "service_account_not_found");
    assert_eq!(accounts.grants(home, account.id).await.unwrap(), other);

    // They go with the account.
    assert_eq!(house.set_grants(&account, &[]).await.unwrap(), []);
    house.set_grants(&account, &said).await.unwrap();
    let (accounts, place) = (accounts.clone(), (home, account.id));
    let delete = async move |tx: &mut Tx| accounts.delete(tx, &system(), place).await;
    house.db.transact(SCOPE, delete).await.unwrap();
    assert_eq!(house.count("SELECT count(*) FROM service_grants").await, 0);
}
both_engines!(the_registry_is_replaced_as_a_whole, &[&MIGRATIONS]);
