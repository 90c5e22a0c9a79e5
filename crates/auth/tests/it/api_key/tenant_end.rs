use std::{num::NonZeroU32, time::Duration};

use stylobate_auth::{
    Auth, AuthConfig, AuthError, AuthenticateError, Email, Invitation, IssuedApiKey, IssuedServiceToken,
    MIGRATIONS, NewApiKey, NewCookieSession, ServiceAccount, ServiceAccountStatus, ServiceKey,
    SigningAlgorithm, TenantEnded, TokenPair,
};
use stylobate_core::{Clock as _, InvitationId, KeyOwner, TenantId};
use stylobate_db::Tx;
use stylobate_testkit::{TestDb, both_engines};

use super::{
    Background, House, SCOPE, accepts, eventually,
    grants::grant,
    of_person, service_keys,
    service_tokens::{HERE, is_over, wanted},
    system, tenant,
};
use crate::service::{PASSWORD, code, is_revoked, nobody, typed};

/// One of everything that acts for a tenant.
struct Issued {
    pair: TokenPair,
    cookie: NewCookieSession,
    key: IssuedApiKey,
    account: ServiceAccount,
    key_of_account: IssuedApiKey,
    token: IssuedServiceToken,
    signer: ServiceKey,
}

impl House {
    async fn end_tenant(&self, tenant: TenantId) -> TenantEnded {
        let auth = self.auth.clone();
        let end = async move |tx: &mut Tx| auth.end_tenant(tx, &system(), tenant).await;
        self.db.transact(SCOPE, end).await.unwrap()
    }

    async fn resume_tenant(&self, tenant: TenantId) -> u64 {
        let auth = self.auth.clone();
        let resume = async move |tx: &mut Tx| auth.resume_tenant(tx, &system(), tenant).await;
        self.db.transact(SCOPE, resume).await.unwrap()
    }

    async fn login_in(&self, name: &str, tenant: TenantId) -> TokenPair {
        let verified = self.auth.verify_login(&nobody(), name, typed(PASSWORD)).await.unwrap();
        self.auth.start_session(&nobody(), &verified, Some(tenant)).await.unwrap()
    }

    /// For `ada`, and for a service account of the tenant.
    async fn issue_all(&self, tenant: TenantId) -> Issued {
        let verified = self.auth.verify_login(&nobody(), "ada", typed(PASSWORD)).await.unwrap();
        let account = self.service(tenant, "importer").await;
        self.set_grants(&account, &[grant(HERE, &["user.read"])]).await.unwrap();
        let ctx = self.keyed(&account, None).await;
        let owner = KeyOwner::Service { id: account.id };
        let new = NewApiKey { owner, ..of_person(tenant, verified.id()) };
        Issued {
            pair: self.auth.start_session(&nobody(), &verified, Some(tenant)).await.unwrap(),
            cookie: self.auth.start_cookie_session(&nobody(), &verified, Some(tenant)).await.unwrap(),
            key: self.try_key(of_person(tenant, verified.id())).await.unwrap(),
            key_of_account: self.try_key(new).await.unwrap(),
            token: self.token(&ctx, wanted(HERE, None)).await.unwrap(),
            signer: self.register(&account, service_keys::new(SigningAlgorithm::EdDsa)).await.unwrap(),
            account,
        }
    }

    /// Which of them are let in by `auth`: access token, cookie, both keys, service token, signature.
    async fn let_in(&self, auth: &Auth, issued: &Issued) -> [bool; 6] {
        let cookie = issued.cookie.secret.expose_secret();
        let by_cookie = match auth.authenticate_cookie(cookie) {
            Err(AuthenticateError::Stale) => auth.authenticate_cookie_slow(cookie).await,
            decided => decided,
        };
        let name = issued.signer.id.to_string();
        [
            !is_revoked(auth, &issued.pair).await,
            by_cookie.is_ok(),
            accepts(auth, &issued.key).await,
            accepts(auth, &issued.key_of_account).await,
            !is_over(auth, &issued.token).await,
            service_keys::held(auth, &name, self.clock.now()).await.is_some(),
        ]
    }
}

/// The tables with rows of tenants.
const TABLES: [&str; 8] = [
    "api_key_usage",
    "api_keys",
    "one_time_tokens",
    "refresh_families",
    "service_accounts",
    "service_grants",
    "service_keys",
    "sessions",
];

/// How many rows each of them has.
async fn rows(house: &House) -> Vec<(&'static str, i64)> {
    let mut conn = house.db.read().await.unwrap();
    let mut rows = Vec::new();
    for table in TABLES {
        let mut sql = conn.builder("SELECT count(*) FROM ");
        sql.push(table);
        rows.push((table, conn.q_build(sql).scalar().await.unwrap()));
    }
    rows
}

// A5, A8, A12
async fn everything_of_a_tenant_ends_at_once_here_and_within_a_second_elsewhere(db: TestDb) {
    let house = House::new(db).await;
    house.person("ada").await;
    let (ours, theirs) = (tenant(&house), tenant(&house));
    let (ended, others) = (house.issue_all(ours).await, house.issue_all(theirs).await);
    let elsewhere = house.another_process().await;
    let (here, there) = (Background::of(&house.auth).await, Background::of(&elsewhere).await);
    for auth in [&house.auth, &elsewhere] {
        for issued in [&ended, &others] {
            assert_eq!(house.let_in(auth, issued).await, [true; 6]);
        }
    }

    let count = house.end_tenant(ours).await;
    // One of the keys got the service token.
    assert_eq!(count, TenantEnded { sessions: 2, api_keys: 3, service_accounts: 1 });
    assert_eq!(house.let_in(&house.auth, &ended).await, [false; 6]);
    eventually("the end elsewhere", async || house.let_in(&elsewhere, &ended).await == [false; 6]).await;
    for auth in [&house.auth, &elsewhere] {
        assert!(auth.cookie_holds(ended.cookie.secret.expose_secret()).await.is_err());
        assert_eq!(code(auth.refresh(&nobody(), &ended.pair.refresh_token, None).await), "refresh_invalid");
        assert_eq!(house.let_in(auth, &others).await, [true; 6]);
        let audience = &auth.config().audience;
        for text in [&ended.pair.access_token, &ended.token.access_token] {
            assert!(auth.introspect(audience, text).await.unwrap().is_none());
        }
    }
    let revoked = house.auth.api_keys().find(ours, ended.key.key.id).await.unwrap();
    assert_eq!(revoked.revoke_reason.as_deref(), Some("tenant_ended"));
    let seen = house.auth.find_session_in(ours, ended.pair.session_id).await.unwrap();
    assert_eq!(seen.end_reason.as_deref(), Some("tenant_ended"));

    // One row says it all, in the trail and among the revocations.
    let event = house.audit.last("auth.tenant_end");
    assert_eq!((event.tenant, event.metadata.unwrap()["sessions"].as_u64()), (Some(ours), Some(2)));
    assert_eq!(house.count("SELECT count(*) FROM revocations WHERE kind = 'tenant'").await, 1);
    assert_eq!(house.count("SELECT count(*) FROM revocations WHERE kind = 'session'").await, 0);
    assert_eq!(house.audit.count("api_key.revoke"), 0);
    assert_eq!(house.end_tenant(ours).await, TenantEnded::default());
    assert_eq!(house.audit.count("auth.tenant_end"), 1);
    here.stop().await;
    there.stop().await;
}
both_engines!(everything_of_a_tenant_ends_at_once_here_and_within_a_second_elsewhere, &[&MIGRATIONS]);

// A5, A8
async fn a_tenant_that_comes_back_begins_anew(db: TestDb) {
    let house = House::new(db).await;
    house.person("ada").await;
    let ours = tenant(&house);
    let before = house.issue_all(ours).await;
    let [off, decided] = [house.service(ours, "off").await, house.service(ours, "decided").await];
    house.set_service(&off, ServiceAccountStatus::Disabled).await;
    let elsewhere = house.another_process().await;
    let (here, there) = (Background::of(&house.auth).await, Background::of(&elsewhere).await);
    assert_eq!(house.end_tenant(ours).await.service_accounts, 2);
    // It is disabled already: that somebody says so counts all the same.
    house.set_service(&decided, ServiceAccountStatus::Disabled).await;
    assert_eq!(house.resume_tenant(ours).await, 1);
    assert_eq!(house.resume_tenant(ours).await, 0);
    assert_eq!(house.audit.count("auth.tenant_resume"), 1);

    // In the same moment: no clock decides.
    let after = house.login_in("ada", ours).await;
    let key = house.try_key(of_person(ours, before.key.key.person_id.unwrap())).await.unwrap();
    let ctx = house.keyed(&before.account, None).await;
    let token = house.token(&ctx, wanted(HERE, None)).await.unwrap();
    // What signs its requests is good again, and nothing else from before.
    let left = [false, false, false, false, false, true];
    assert_eq!(house.let_in(&house.auth, &before).await, left);
    eventually("the end elsewhere", async || house.let_in(&elsewhere, &before).await == left).await;
    for auth in [&house.auth, &elsewhere] {
        assert!(!is_revoked(auth, &after).await && accepts(auth, &key).await && !is_over(auth, &token).await);
    }
    assert_eq!(code(house.refresh(&after.refresh_token).await), "ok");
    for account in [off, decided] {
        let found = house.auth.service_accounts().find(ours, account.id).await.unwrap();
        assert_eq!(found.status, ServiceAccountStatus::Disabled, "{}", found.name);
    }
    here.stop().await;
    there.stop().await;
}
both_engines!(a_tenant_that_comes_back_begins_anew, &[&MIGRATIONS]);

// A5
async fn the_end_of_a_tenant_is_remembered_as_long_as_its_tokens_live(db: TestDb) {
    let config = AuthConfig { access_ttl_minutes: 1, service_token_ttl_minutes: 60, ..AuthConfig::default() };
    let house = House::with(db, config).await;
    house.person("ada").await;
    let ours = tenant(&house);
    let issued = house.issue_all(ours).await;
    house.end_tenant(ours).await;
    // Back again, so that only its version tells a token from before.
    house.resume_tenant(ours).await;
    house.wait(3_500);
    let restarted = house.another_process().await;
    let background = Background::of(&restarted).await;
    assert!(is_over(&restarted, &issued.token).await);
    background.stop().await;
    house.wait(300);
    assert!(house.another_process().await.revocations().is_empty());
    house.wait(24 * 60 * 60);
    house.auth.sweep().await.unwrap();
    assert_eq!(house.count("SELECT count(*) FROM revocations").await, 0);
}
both_engines!(the_end_of_a_tenant_is_remembered_as_long_as_its_tokens_live, &[&MIGRATIONS]);

// A5: a session that goes on under another id at that moment is found under it.
async fn no_session_survives_the_end_of_its_tenant_by_being_replaced(db: TestDb) {
    let house = House::new(db).await;
    let ours = tenant(&house);
    let mut holders = Vec::new();
    for name in ["ada", "bob", "cyd", "dan", "eve", "fay"] {
        house.person(name).await;
        holders.push(house.as_holder(&house.login_in(name, ours).await).await);
    }
    let mut turns = tokio::task::JoinSet::new();
    for ctx in holders {
        let (db, auth) = (house.db.clone(), house.auth.clone());
        turns.spawn(async move {
            let rotate = async move |tx: &mut Tx| auth.rotate_session(tx, &ctx).await;
            db.transact::<_, AuthError, _>(SCOPE, rotate).await.map(drop)
        });
    }
    house.end_tenant(ours).await;
    for turned in turns.join_all().await {
        assert!(matches!(turned, Ok(()) | Err(AuthError::SessionNotFound)), "{turned:?}");
    }
    assert_eq!(house.count("SELECT count(*) FROM sessions WHERE ended_at IS NULL").await, 0);
    assert_eq!(house.count("SELECT count(*) FROM refresh_families").await, 0);
}
both_engines!(no_session_survives_the_end_of_its_tenant_by_being_replaced, &[&MIGRATIONS]);

// A12
async fn what_is_left_of_a_tenant_goes_in_steps_and_nothing_else(db: TestDb) {
    let house = House::new(db).await;
    house.person("ada").await;
    let here = Background::of(&house.auth).await;
    let (gone, stays) = (tenant(&house), tenant(&house));
    let (ours, others) = (house.issue_all(gone).await, house.issue_all(stays).await);
    let email = Email::parse("bob@example.org").unwrap();
    for tenant in [gone, stays] {
        let binding = house.auth.invitation_binding(tenant, InvitationId::new(house.clock.now()), &email);
        let auth = house.auth.clone();
        let draw = async move |tx: &mut Tx| {
            auth.issue_one_time::<Invitation>(tx, binding.clone(), Duration::from_secs(60)).await.map(drop)
        };
        house.db.transact(SCOPE, draw).await.unwrap();
    }
    for issued in [&ours, &others] {
        assert_eq!(house.let_in(&house.auth, issued).await, [true; 6]);
    }
    house.auth.api_keys().write_uses().await.unwrap();
    let both = rows(&house).await;
    assert!(both.iter().all(|(_, rows)| rows % 2 == 0 && *rows > 0), "{both:?}");

    house.end_tenant(gone).await;
    let (mut steps, mut removed) = (0, 0);
    loop {
        let auth = house.auth.clone();
        let remove =
            async move |tx: &mut Tx| auth.remove_tenant_rows(tx, gone, NonZeroU32::new(3).unwrap()).await;
        let step = house.db.transact(SCOPE, remove).await.unwrap();
        assert!(step <= 3);
        if step == 0 {
            break;
        }
        (steps, removed) = (steps + 1, removed + step);
    }
    assert!(steps > 3 && removed > 9, "{steps} {removed}");
    let half: Vec<_> = both.into_iter().map(|(table, rows)| (table, rows / 2)).collect();
    assert_eq!(rows(&house).await, half);
    assert_eq!(house.let_in(&house.auth, &others).await, [true; 6]);
    assert_eq!(house.let_in(&house.auth, &ours).await, [false; 6]);
    here.stop().await;
}
both_engines!(what_is_left_of_a_tenant_goes_in_steps_and_nothing_else, &[&MIGRATIONS]);
