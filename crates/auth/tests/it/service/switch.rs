use stylobate_auth::{AuthError, MIGRATIONS, PeopleError, PersonStatus, RenewedSession, TokenPair};
use stylobate_core::{Clock as _, PersonId, Principal, RequestContext, TenantId};
use stylobate_db::Tx;
use stylobate_testkit::{TestDb, both_engines};

use super::{House, PASSWORD, SCOPE, WRONG, code, is_revoked, nobody, system, typed};

fn tenants(house: &House) -> [TenantId; 2] {
    [TenantId::new(house.clock.now()), TenantId::new(house.clock.now())]
}

async fn login_in(house: &House, tenant: TenantId) -> TokenPair {
    let verified = house.auth.verify_login(&nobody(), "ada", typed(PASSWORD)).await.unwrap();
    house.auth.start_session(&nobody(), &verified, Some(tenant)).await.unwrap()
}

async fn switch(house: &House, ctx: &RequestContext, to: TenantId) -> Result<RenewedSession, AuthError> {
    let (auth, ctx) = (house.auth.clone(), ctx.clone());
    house.db.transact(SCOPE, async move |tx: &mut Tx| auth.switch_tenant(tx, &ctx, to).await).await
}

// C18
async fn a_session_goes_on_in_another_tenant_and_lives_no_longer(db: TestDb) {
    let house = House::new(db).await;
    house.person("ada").await;
    let [left, to] = tenants(&house);
    let begun = login_in(&house, left).await;
    house.wait(60 * 60);
    let renewed = house.refresh(&begun.refresh_token).await.unwrap();
    let ctx = house.as_holder(&renewed).await;
    let before = house.auth.find_session_in(left, begun.session_id).await.unwrap();

    let RenewedSession::Tokens(pair) = switch(&house, &ctx, to).await.unwrap() else { panic!() };
    let holder = house.as_holder(&pair).await;
    assert_eq!((holder.principal.tenant, holder.principal.session), (Some(to), Some(pair.session_id)));
    assert_eq!(holder.principal.assurance, ctx.principal.assurance);
    let after = house.auth.find_session_in(to, pair.session_id).await.unwrap();
    assert_eq!(
        (after.expires_at, after.created_at, after.amr),
        (before.expires_at, before.created_at, before.amr)
    );
    // A5
    assert!(is_revoked(&house.auth, &renewed).await);
    assert_eq!(code(house.refresh(&renewed.refresh_token).await), "refresh_invalid");
    let ended = house.auth.find_session_in(left, begun.session_id).await.unwrap();
    assert_eq!(ended.end_reason.as_deref(), Some("replaced"));

    // Each trail has its own side of it.
    let mut trail = house.audit.all("auth.switch_org");
    trail.sort_by_key(|event| event.tenant != Some(to));
    let [began, over] = trail.as_slice() else { panic!("{trail:?}") };
    for (event, tenant, other, session, what) in
        [(began, to, left, pair.session_id, "began"), (over, left, to, begun.session_id, "ended")]
    {
        assert_eq!((event.tenant, event.session_id), (Some(tenant), Some(session)));
        assert_eq!(event.metadata.as_ref().unwrap()["session"], what);
        assert!(!format!("{event:?}").contains(&other.to_string()), "{event:?}");
    }
    let told = house.audit.events("auth.switch_org");
    assert_eq!((told.len(), told[0].tenant), (1, Some(to)));
    assert!(!told[0].data.to_string().contains(&left.to_string()));

    let last = house.refresh(&pair.refresh_token).await.unwrap();
    assert_eq!(house.as_holder(&last).await.principal.tenant, Some(to));
    house.wait((before.expires_at - house.clock.now()).num_seconds());
    assert_eq!(code(house.refresh(&last.refresh_token).await), "refresh_invalid");
}
both_engines!(a_session_goes_on_in_another_tenant_and_lives_no_longer, &[&MIGRATIONS]);

async fn a_cookie_goes_on_as_a_cookie(db: TestDb) {
    let house = House::new(db).await;
    house.person("ada").await;
    let [left, to] = tenants(&house);
    let verified = house.auth.verify_login(&nobody(), "ada", typed(PASSWORD)).await.unwrap();
    let begun = house.auth.start_cookie_session(&nobody(), &verified, Some(left)).await.unwrap();
    let by_cookie = async |secret: &str| house.auth.authenticate_cookie_slow(secret).await;
    house.wait(30 * 60);
    let principal = by_cookie(begun.secret.expose_secret()).await.unwrap();
    let ctx = RequestContext::new(principal);
    let RenewedSession::Cookie(next) = switch(&house, &ctx, to).await.unwrap() else { panic!() };
    assert_eq!(next.expires_in.as_secs(), begun.expires_in.as_secs() - 30 * 60);
    let principal = by_cookie(next.secret.expose_secret()).await.unwrap();
    assert_eq!((principal.tenant, principal.assurance), (Some(to), ctx.principal.assurance.clone()));
    assert!(by_cookie(begun.secret.expose_secret()).await.is_err());
    // The same again is no error: the session goes on under another id.
    let ctx = RequestContext::new(by_cookie(next.secret.expose_secret()).await.unwrap());
    drop(switch(&house, &ctx, to).await.unwrap());
    assert_eq!(house.audit.count("auth.switch_org"), 3);
}
both_engines!(a_cookie_goes_on_as_a_cookie, &[&MIGRATIONS]);

async fn only_who_may_sign_in_goes_on_elsewhere(db: TestDb) {
    let house = House::new(db).await;
    let ada = house.person("ada").await;
    let [left, to] = tenants(&house);
    let pair = login_in(&house, left).await;
    let ctx = house.as_holder(&pair).await;
    let of = RequestContext::new;
    let impersonator = Some(PersonId::new(house.clock.now()));
    for (ctx, refusal) in [
        (of(Principal { impersonator, ..ctx.principal.clone() }), "not_a_person"),
        (of(Principal { scopes: Some(vec!["*".to_owned()]), ..ctx.principal.clone() }), "not_a_person"),
        (of(Principal { session: None, ..ctx.principal.clone() }), "session_not_found"),
        (system(), "not_a_person"),
        (nobody(), "not_a_person"),
    ] {
        assert_eq!(code(switch(&house, &ctx, to).await), refusal, "{ctx:?}");
    }
    let set = async |must_change: bool| {
        let mut tx = house.db.begin(SCOPE).await.unwrap();
        tx.q("UPDATE people SET must_change_password = $1").bind(must_change).run().await.unwrap();
        tx.commit().await.unwrap();
    };
    set(true).await;
    assert_eq!(code(switch(&house, &ctx, to).await), "must_change_password");
    set(false).await;
    assert!(!is_revoked(&house.auth, &pair).await);
    assert_eq!(house.count("SELECT count(*) FROM sessions").await, 1);

    let auth = house.auth.clone();
    let disable = async move |tx: &mut Tx| {
        auth.people().set_status(tx, &system(), ada.id, PersonStatus::Disabled).await.map(drop)
    };
    house.db.transact(SCOPE, disable).await.unwrap();
    assert_eq!(code(switch(&house, &ctx, to).await), "session_not_found");
}
both_engines!(only_who_may_sign_in_goes_on_elsewhere, &[&MIGRATIONS]);

// A12
async fn what_befalls_a_person_is_filed_where_they_have_not_left(db: TestDb) {
    let house = House::new(db).await;
    let ada = house.person("ada").await.id;
    let [home, left] = tenants(&house);
    login_in(&house, home).await;
    house.wait(60);
    let of_left = [login_in(&house, left).await, login_in(&house, left).await];
    let [first, second] = of_left.map(|pair| pair.session_id);
    let (auth, db) = (house.auth.clone(), house.db.clone());
    db.transact(SCOPE, async move |tx: &mut Tx| {
        auth.revoke_session_in(tx, &system(), left, first).await.map(drop)
    })
    .await
    .unwrap();
    let filed = async || {
        assert_eq!(house.try_login("ada", WRONG).await, "invalid_credentials");
        house.audit.last("auth.login_failed").tenant
    };
    // How a session ended, and whether the membership is suspended, says nothing.
    let auth = house.auth.clone();
    let suspend = async move |tx: &mut Tx| auth.people().end_sessions_in(tx, &system(), ada, left).await;
    assert_eq!(house.db.transact::<_, PeopleError, _>(SCOPE, suspend).await.unwrap(), 1);
    assert_eq!(filed().await, Some(left));

    let leave = async |tenant| {
        let auth = house.auth.clone();
        let leave = async move |tx: &mut Tx| auth.people().leave_tenant(tx, &system(), ada, tenant).await;
        house.db.transact::<_, PeopleError, _>(SCOPE, leave).await.unwrap()
    };
    assert_eq!(leave(left).await, 0);
    assert_eq!(filed().await, Some(home));
    // Its own list says of them what it said before.
    for (session, reason) in [(first, "revoked"), (second, "membership_ended")] {
        let seen = house.auth.find_session_in(left, session).await.unwrap();
        assert_eq!(seen.end_reason.as_deref(), Some(reason));
    }
    assert_eq!(leave(home).await, 1);
    assert_eq!(filed().await, None);
    // Whoever comes back is at work there again.
    login_in(&house, left).await;
    assert_eq!(filed().await, Some(left));
}
both_engines!(what_befalls_a_person_is_filed_where_they_have_not_left, &[&MIGRATIONS]);
