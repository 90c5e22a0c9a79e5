use stylobate_auth::{AuthConfig, AuthError, MIGRATIONS};
use stylobate_core::RequestContext;
use stylobate_testkit::{TestDb, both_engines};

use super::{House, nobody};

async fn wrong_secrets_are_counted_and_a_right_one_begins_anew(db: TestDb) {
    let config = AuthConfig { flow_address_limit: 3, ..AuthConfig::default() };
    let house = House::with(db, config).await;
    let from = |address: &str| RequestContext { address: Some(address.parse().unwrap()), ..nobody() };
    let (eve, operator) = (from("192.0.2.7"), from("192.0.2.8"));
    for _ in 0..2 {
        house.auth.admit_bootstrap(&eve, false).await.unwrap();
    }
    house.auth.admit_bootstrap(&eve, true).await.unwrap();
    for _ in 0..3 {
        house.auth.admit_bootstrap(&eve, false).await.unwrap();
    }
    assert_eq!(house.audit.count("auth.bootstrap_failed"), 5);
    // The right one as well: whoever guesses must not learn which it was.
    for is_right in [false, true] {
        let refused = house.auth.admit_bootstrap(&eve, is_right).await.unwrap_err();
        assert!(matches!(refused, AuthError::FlowThrottled { retry_after } if retry_after.as_secs() == 300));
    }
    assert_eq!(house.audit.count("auth.bootstrap_failed"), 5);
    for _ in 0..5 {
        house.auth.admit_bootstrap(&operator, true).await.unwrap();
    }
    house.wait(300);
    house.auth.admit_bootstrap(&eve, false).await.unwrap();
}
both_engines!(wrong_secrets_are_counted_and_a_right_one_begins_anew, &[&MIGRATIONS]);
