use stylobate_auth::{AuthError, MIGRATIONS, SessionQuery, SessionState, TokenPair};
use stylobate_core::{Clock as _, Direction, PageLimit, SessionId, TenantId};
use stylobate_db::Tx;
use stylobate_testkit::{TestDb, both_engines};

use super::{House, PASSWORD, SCOPE, code, is_revoked, nobody, system, typed};

async fn login_in(house: &House, name: &str, tenant: TenantId) -> TokenPair {
    house.wait(1);
    let verified = house.auth.verify_login(&nobody(), name, typed(PASSWORD)).await.unwrap();
    house.auth.start_session(&nobody(), &verified, Some(tenant)).await.unwrap()
}

async fn list(house: &House, tenant: TenantId, query: SessionQuery) -> Vec<SessionId> {
    let page = house.auth.list_sessions_in(tenant, &query).await.unwrap();
    page.items.iter().map(|session| session.id).collect()
}

async fn revoke(house: &House, tenant: TenantId, id: SessionId) -> Result<SessionState, AuthError> {
    let auth = house.auth.clone();
    let end = async move |tx: &mut Tx| auth.revoke_session_in(tx, &system(), tenant, id).await;
    Ok(house.db.transact(SCOPE, end).await?.state)
}

// A12
async fn a_tenant_sees_and_ends_its_own_sessions_alone(db: TestDb) {
    let house = House::new(db).await;
    let ada = house.person("ada").await;
    house.person("bob").await;
    let (ours, theirs) = (TenantId::new(house.clock.now()), TenantId::new(house.clock.now()));
    let first = login_in(&house, "ada", ours).await;
    let elsewhere = login_in(&house, "ada", theirs).await;
    let second = login_in(&house, "bob", ours).await;
    let third = login_in(&house, "ada", ours).await;
    let without = house.login("ada", PASSWORD).await.unwrap();

    let all = list(&house, ours, SessionQuery::default()).await;
    assert_eq!(all, [first.session_id, second.session_id, third.session_id]);
    let of_ada = SessionQuery { person: Some(ada.id), direction: Direction::Desc, ..SessionQuery::default() };
    assert_eq!(list(&house, ours, of_ada).await, [third.session_id, first.session_id]);
    for id in [elsewhere.session_id, without.session_id, SessionId::new(house.clock.now())] {
        assert_eq!(code(house.auth.find_session_in(ours, id).await), "session_not_found");
        assert_eq!(code(revoke(&house, ours, id).await), "session_not_found");
    }
    assert!(!is_revoked(&house.auth, &elsewhere).await);

    assert_eq!(revoke(&house, ours, first.session_id).await.unwrap(), SessionState::Ended);
    assert!(is_revoked(&house.auth, &first).await); // A5
    assert_eq!(revoke(&house, ours, first.session_id).await.unwrap(), SessionState::Ended);
    assert_eq!(house.audit.count("session.revoke"), 1);
    let event = house.audit.last("session.revoke");
    assert_eq!(event.tenant, Some(ours));

    let auth = house.auth.clone();
    let end = async move |tx: &mut Tx| auth.revoke_sessions_in(tx, &system(), ours, ada.id).await;
    assert_eq!(house.db.transact(SCOPE, end).await.unwrap(), 1);
    assert!(is_revoked(&house.auth, &third).await);
    for pair in [&elsewhere, &second, &without] {
        assert!(!is_revoked(&house.auth, pair).await);
    }
    let live = SessionQuery { is_live: Some(true), with_total: true, ..SessionQuery::default() };
    let page = house.auth.list_sessions_in(ours, &live).await.unwrap();
    assert_eq!((page.items.len(), page.total), (1, Some(1)));
    let ended = SessionQuery { is_ended: Some(true), ..SessionQuery::default() };
    assert_eq!(list(&house, ours, ended).await, [first.session_id, third.session_id]);
}
both_engines!(a_tenant_sees_and_ends_its_own_sessions_alone, &[&MIGRATIONS]);

async fn the_sessions_of_a_tenant_are_paged(db: TestDb) {
    let house = House::new(db).await;
    house.person("ada").await;
    let tenant = TenantId::new(house.clock.now());
    for _ in 0..5 {
        login_in(&house, "ada", tenant).await;
    }
    let all = list(&house, tenant, SessionQuery::default()).await;
    let mut query = SessionQuery { limit: PageLimit::new(2).unwrap(), ..SessionQuery::default() };
    let mut seen = Vec::new();
    loop {
        let page = house.auth.list_sessions_in(tenant, &query).await.unwrap();
        seen.extend(page.items.iter().map(|session| session.id));
        let Some(cursor) = page.next_cursor else { break };
        query.cursor = Some(cursor.encode());
    }
    assert_eq!(seen, all);
    let turned = SessionQuery { direction: Direction::Desc, ..query };
    assert_eq!(code(house.auth.list_sessions_in(tenant, &turned).await), "cursor_invalid");
}
both_engines!(the_sessions_of_a_tenant_are_paged, &[&MIGRATIONS]);
