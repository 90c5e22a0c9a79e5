use stylobate_auth::{
    AuthConfig, AuthError, AuthenticateError, MIGRATIONS, NewCookieSession, PersonStatus, RenewedSession,
    SessionState,
};
use stylobate_core::{Clock as _, Credential, Principal, RequestContext, TenantId};
use stylobate_db::Tx;
use stylobate_testkit::{TestDb, both_engines};

use super::{House, PASSWORD, SCOPE, WRONG, check, code, eventually, is_revoked, nobody, system, typed};

impl House {
    pub(crate) async fn cookie_login(&self, ctx: &RequestContext, name: &str) -> NewCookieSession {
        let verified = self.auth.verify_login(ctx, name, typed(PASSWORD)).await.unwrap();
        self.auth.start_cookie_session(ctx, &verified, None).await.unwrap()
    }

    /// What the middleware does with a cookie.
    async fn by_cookie(&self, session: &NewCookieSession) -> Result<Principal, AuthenticateError> {
        self.by_cookie_at(&self.auth, session).await
    }

    async fn by_cookie_at(
        &self,
        auth: &stylobate_auth::Auth,
        session: &NewCookieSession,
    ) -> Result<Principal, AuthenticateError> {
        let cookie = session.secret.expose_secret();
        match auth.authenticate_cookie(cookie) {
            Err(AuthenticateError::Stale) => auth.authenticate_cookie_slow(cookie).await,
            decided => decided,
        }
    }

    async fn holds(&self, session: &NewCookieSession) -> bool {
        match self.by_cookie(session).await {
            Ok(_) => true,
            Err(AuthenticateError::UnknownSession | AuthenticateError::Revoked) => false,
            Err(other) => panic!("{other:?}"),
        }
    }

    async fn as_cookie_holder(&self, session: &NewCookieSession) -> RequestContext {
        RequestContext::new(self.by_cookie(session).await.unwrap())
    }
}

// A5
async fn a_cookie_stands_for_its_person_until_logout(db: TestDb) {
    let house = House::new(db).await;
    let ada = house.person("ada").await;
    let tenant = TenantId::new(house.clock.now());
    let verified = house.auth.verify_login(&nobody(), "ada", typed(PASSWORD)).await.unwrap();
    let session = house.auth.start_cookie_session(&nobody(), &verified, Some(tenant)).await.unwrap();
    assert_eq!((session.expires_in.as_secs(), session.secret.expose_secret().len()), (24 * 60 * 60, 43));
    let principal = house.by_cookie(&session).await.unwrap();
    assert_eq!(
        (principal.person_id(), principal.tenant, principal.session, principal.credential),
        (Some(ada.id), Some(tenant), Some(session.session_id), Credential::Cookie)
    );
    assert_eq!(principal.assurance.amr, ["pwd"]);
    // Nothing of the secret is stored or shown.
    let stored: Vec<u8> =
        house.db.read().await.unwrap().q("SELECT token_hash FROM sessions").scalar().await.unwrap();
    assert_eq!((stored.len(), stored == session.secret.expose_secret().as_bytes()), (32, false));
    assert!(!format!("{session:?}").contains(session.secret.expose_secret()));
    assert_eq!(house.audit.last("auth.login").metadata.unwrap()["credential"], "cookie");

    let ctx = house.as_cookie_holder(&session).await;
    let [listed] = house.auth.list_sessions(&ctx).await.unwrap().try_into().unwrap();
    assert!(listed.is_current && listed.id == session.session_id);
    house.auth.logout(&ctx).await.unwrap();
    assert!(!house.holds(&session).await);
    for cookie in ["", "nonsense", &"A".repeat(43), &"A".repeat(4_000)] {
        let refused = house.auth.authenticate_cookie_slow(cookie).await.unwrap_err();
        assert_eq!(refused.code(), "session_unknown");
    }
}
both_engines!(a_cookie_stands_for_its_person_until_logout, &[&MIGRATIONS]);

// A5
async fn a_cookie_session_ends_by_idling_and_at_its_absolute_limit(db: TestDb) {
    let config = AuthConfig { session_idle_minutes: 10, session_absolute_hours: 1, ..AuthConfig::default() };
    let house = House::with(db, config).await;
    let ada = house.person("ada").await.id;
    let idle = house.cookie_login(&nobody(), "ada").await;
    house.wait(10 * 60 - 1);
    assert!(house.holds(&idle).await);
    house.wait(10 * 60);
    assert!(!house.holds(&idle).await);
    let listed = house.auth.list_sessions(&RequestContext::new(Principal::person(ada))).await.unwrap();
    assert!(listed.is_empty(), "{listed:?}");

    // Used all the time, it still ends after an hour.
    let used = house.cookie_login(&nobody(), "ada").await;
    for minute in 0..59 {
        assert!(house.holds(&used).await, "minute {minute}");
        // The clock of the test is faster than the write beside the request.
        eventually("the use being written", async || {
            let listed =
                house.auth.list_sessions(&RequestContext::new(Principal::person(ada))).await.unwrap();
            listed[0].last_seen_at == house.clock.now()
        })
        .await;
        house.wait(60);
    }
    assert!(house.holds(&used).await);
    house.wait(60);
    assert!(!house.holds(&used).await);
    assert!(matches!(
        house.by_cookie_at(&house.another_process().await, &used).await,
        Err(AuthenticateError::UnknownSession)
    ));
}
both_engines!(a_cookie_session_ends_by_idling_and_at_its_absolute_limit, &[&MIGRATIONS]);

async fn an_open_connection_is_no_use_of_its_session(db: TestDb) {
    let config = AuthConfig { session_idle_minutes: 10, ..AuthConfig::default() };
    let house = House::with(db, config).await;
    house.person("ada").await;
    let session = house.cookie_login(&nobody(), "ada").await;
    let holds = async || house.auth.cookie_holds(session.secret.expose_secret()).await;
    for minute in 0..10 {
        holds().await.unwrap_or_else(|error| panic!("minute {minute}: {error}"));
        house.wait(60);
    }
    assert!(matches!(holds().await, Err(AuthenticateError::UnknownSession)));
}
both_engines!(an_open_connection_is_no_use_of_its_session, &[&MIGRATIONS]);

async fn use_is_written_once_a_minute(db: TestDb) {
    let house = House::new(db).await;
    house.person("ada").await;
    let session = house.cookie_login(&nobody(), "ada").await;
    let begun = house.clock.now();
    let seen = async || {
        let ctx = house.as_cookie_holder(&session).await;
        (house.auth.list_sessions(&ctx).await.unwrap()[0].last_seen_at - begun).num_seconds()
    };
    for _ in 0..5 {
        house.wait(11);
        assert!(house.holds(&session).await);
    }
    assert_eq!(seen().await, 0, "not yet a minute");
    house.wait(6);
    eventually("the use being written", async || seen().await == 61).await;
    // Another process learns from the row that it is in use.
    house.wait(3_590);
    assert!(house.by_cookie_at(&house.another_process().await, &session).await.is_ok());
}
both_engines!(use_is_written_once_a_minute, &[&MIGRATIONS]);

// C18
async fn the_id_from_before_a_sign_in_is_dead_after_it(db: TestDb) {
    let house = House::new(db).await;
    house.person("ada").await;
    house.person("mallory").await;
    // Somebody planted their own session in the victim's browser.
    let planted = house.cookie_login(&nobody(), "mallory").await;
    let ctx = house.as_cookie_holder(&planted).await;
    let own = house.cookie_login(&ctx, "ada").await;
    assert_ne!(own.session_id, planted.session_id);
    assert!(house.holds(&own).await && !house.holds(&planted).await);
    // Signing in for tokens ends it as well.
    let verified = house.auth.verify_login(&nobody(), "ada", typed(PASSWORD)).await.unwrap();
    let ctx = house.as_cookie_holder(&own).await;
    let pair = house.auth.start_session(&ctx, &verified, None).await.unwrap();
    assert!(!house.holds(&own).await && !is_revoked(&house.auth, &pair).await);
}
both_engines!(the_id_from_before_a_sign_in_is_dead_after_it, &[&MIGRATIONS]);

// A5
async fn a_step_up_proves_anew_under_a_new_id(db: TestDb) {
    let house = House::new(db).await;
    house.person("ada").await;
    let session = house.cookie_login(&nobody(), "ada").await;
    let pair = house.login("ada", PASSWORD).await.unwrap();
    house.wait(30 * 60);
    let ctx = house.as_cookie_holder(&session).await;
    let refused = house.auth.step_up(&ctx, typed(WRONG)).await;
    assert_eq!(code(refused), "invalid_credentials");
    assert_eq!(house.audit.count("auth.step_up_failed"), 1);
    assert!(house.holds(&session).await);

    let RenewedSession::Cookie(renewed) = house.auth.step_up(&ctx, typed(PASSWORD)).await.unwrap() else {
        panic!("a cookie session goes on with a cookie")
    };
    assert_ne!(renewed.session_id, session.session_id);
    assert!(!house.holds(&session).await);
    let principal = house.by_cookie(&renewed).await.unwrap();
    assert_eq!(principal.assurance.auth_time, Some(house.clock.now()));
    // The absolute limit stays that of the sign-in.
    assert_eq!(renewed.expires_in.as_secs(), 24 * 60 * 60 - 30 * 60);
    // What was replaced cannot be replaced again.
    assert_eq!(code(house.auth.step_up(&ctx, typed(PASSWORD)).await), "session_not_found");

    let renewed_pair = house.refresh(&pair.refresh_token).await.unwrap();
    let ctx = house.as_holder(&renewed_pair).await;
    let RenewedSession::Tokens(tokens) = house.auth.step_up(&ctx, typed(PASSWORD)).await.unwrap() else {
        panic!("a session of tokens goes on with tokens")
    };
    assert!(is_revoked(&house.auth, &renewed_pair).await);
    assert_eq!(code(house.refresh(&renewed_pair.refresh_token).await), "refresh_invalid");
    let token = check(&house.auth, &tokens.access_token).await.unwrap();
    assert_eq!(token.principal.assurance.auth_time.unwrap().timestamp(), house.clock.now().timestamp());
    assert!(house.refresh(&tokens.refresh_token).await.is_ok());
}
both_engines!(a_step_up_proves_anew_under_a_new_id, &[&MIGRATIONS]);

// A5
async fn a_change_of_privileges_takes_a_new_id_and_proves_nothing(db: TestDb) {
    let house = House::new(db).await;
    house.person("ada").await;
    let session = house.cookie_login(&nobody(), "ada").await;
    let signed_in = house.clock.now();
    house.wait(60);
    let ctx = house.as_cookie_holder(&session).await;
    let (auth, context) = (house.auth.clone(), ctx.clone());
    let rotate = async move |tx: &mut Tx| auth.rotate_session(tx, &context).await;
    let renewed = house.db.transact(SCOPE, rotate).await.unwrap();
    assert_ne!(renewed.session_id(), session.session_id);
    let RenewedSession::Cookie(renewed) = renewed else { panic!("{renewed:?}") };
    assert!(!house.holds(&session).await);
    let principal = house.by_cookie(&renewed).await.unwrap();
    assert_eq!(principal.assurance.auth_time, Some(signed_in));
    assert_eq!(
        house.audit.last("session.rotate").metadata.unwrap()["replaces"],
        session.session_id.to_string()
    );
}
both_engines!(a_change_of_privileges_takes_a_new_id_and_proves_nothing, &[&MIGRATIONS]);

// A5
async fn an_ended_cookie_session_is_refused_at_once_here_and_within_a_second_elsewhere(db: TestDb) {
    let house = House::new(db).await;
    let ada = house.person("ada").await;
    let other = house.another_process().await;
    let background = other.clone();
    let running = tokio::spawn(async move { background.run(std::future::pending()).await });
    let sessions = [house.cookie_login(&nobody(), "ada").await, house.cookie_login(&nobody(), "ada").await];
    for session in &sessions {
        assert!(house.by_cookie_at(&other, session).await.is_ok());
    }
    house.auth.logout(&house.as_cookie_holder(&sessions[0]).await).await.unwrap();
    assert!(!house.holds(&sessions[0]).await);
    eventually("the other process learning of the logout", async || {
        house.by_cookie_at(&other, &sessions[0]).await.is_err()
    })
    .await;
    assert!(house.by_cookie_at(&other, &sessions[1]).await.is_ok());
    let auth = house.auth.clone();
    let disable = async move |tx: &mut Tx| {
        auth.people().set_status(tx, &system(), ada.id, PersonStatus::Disabled).await
    };
    house.db.transact(SCOPE, disable).await.unwrap();
    assert!(!house.holds(&sessions[1]).await);
    eventually("the other process learning of the disable", async || {
        house.by_cookie_at(&other, &sessions[1]).await.is_err()
    })
    .await;
    running.abort();
    // A process that has just been started, with an empty cache, refuses as well.
    let fresh = house.another_process().await;
    for session in &sessions {
        assert!(house.by_cookie_at(&fresh, session).await.is_err());
    }
}
both_engines!(an_ended_cookie_session_is_refused_at_once_here_and_within_a_second_elsewhere, &[&MIGRATIONS]);

// A5
async fn a_changed_password_ends_every_cookie_and_renews_its_own(db: TestDb) {
    let house = House::new(db).await;
    house.person("ada").await;
    let (own, other) =
        (house.cookie_login(&nobody(), "ada").await, house.cookie_login(&nobody(), "ada").await);
    let ctx = house.as_cookie_holder(&own).await;
    house.wait(60);
    let new = typed("an orchard of 12 pear trees");
    let changed = house.auth.change_password(&ctx, typed(PASSWORD), new).await.unwrap();
    // Whoever stole the cookie of the session that asked is out as well.
    assert!(!house.holds(&own).await && !house.holds(&other).await);
    let Some(RenewedSession::Cookie(renewed)) = changed.session else { panic!("{:?}", changed.session) };
    assert_ne!(renewed.session_id, own.session_id);
    assert_eq!(renewed.expires_in.as_secs(), 24 * 60 * 60 - 60, "the absolute limit stays");
    let principal = house.by_cookie(&renewed).await.unwrap();
    assert_eq!(principal.assurance.auth_time, Some(house.clock.now()));
    // A process that never saw it reads the row, which is of the new epoch.
    assert!(house.by_cookie_at(&house.another_process().await, &renewed).await.is_ok());
}
both_engines!(a_changed_password_ends_every_cookie_and_renews_its_own, &[&MIGRATIONS]);

// A5
async fn what_has_idled_out_is_not_ended_again(db: TestDb) {
    let house = House::new(db).await;
    let ada = house.person("ada").await;
    let tenant = TenantId::new(house.clock.now());
    let verified = house.auth.verify_login(&nobody(), "ada", typed(PASSWORD)).await.unwrap();
    let idle = house.auth.start_cookie_session(&nobody(), &verified, Some(tenant)).await.unwrap();
    house.wait(2 * 60 * 60);
    let pair = house.login("ada", PASSWORD).await.unwrap();
    let ctx = house.as_holder(&pair).await;
    let revocations = house.count("SELECT count(*) FROM revocations").await;
    assert_eq!(code(house.auth.revoke_session(&ctx, idle.session_id).await), "session_not_found");
    let auth = house.auth.clone();
    let end = async move |tx: &mut Tx| {
        let ended = auth.revoke_sessions_in(tx, &system(), tenant, ada.id).await?;
        let session = auth.revoke_session_in(tx, &system(), tenant, idle.session_id).await?;
        let left = auth.people().end_sessions_in(tx, &system(), ada.id, tenant).await?;
        Ok::<_, AuthError>((ended, session.state, left))
    };
    assert_eq!(house.db.transact(SCOPE, end).await.unwrap(), (0, SessionState::Idle, 0));
    assert_eq!(house.count("SELECT count(*) FROM revocations").await, revocations);
    assert_eq!(house.count("SELECT count(*) FROM sessions WHERE ended_at IS NOT NULL").await, 0);
    assert_eq!((house.audit.count("session.revoke"), house.audit.count("session.revoke_all")), (0, 0));
}
both_engines!(what_has_idled_out_is_not_ended_again, &[&MIGRATIONS]);

// C18
async fn a_refresh_token_that_a_sign_in_came_with_ends_with_it(db: TestDb) {
    let house = House::new(db).await;
    house.person("ada").await;
    house.person("bob").await;
    let before = house.login("ada", PASSWORD).await.unwrap();
    let verified = house.auth.verify_login(&nobody(), "bob", typed(PASSWORD)).await.unwrap();
    let (auth, token) = (house.auth.clone(), before.refresh_token.clone());
    let begin = async move |tx: &mut Tx| {
        let admitted = auth.admit(tx, &verified).await?;
        for other in ["", "nonsense"] {
            assert!(!auth.end_carried(tx, other).await?);
        }
        assert!(auth.end_carried(tx, &token).await?);
        assert!(!auth.end_carried(tx, &token).await?, "once");
        auth.begin_session(tx, &nobody(), admitted, None).await
    };
    let after = house.db.transact(SCOPE, begin).await.unwrap();
    assert!(is_revoked(&house.auth, &before).await);
    assert_eq!(code(house.refresh(&before.refresh_token).await), "refresh_invalid");
    assert!(!is_revoked(&house.auth, &after).await);
    assert_eq!(house.count("SELECT count(*) FROM sessions WHERE end_reason = 'replaced'").await, 1);
}
both_engines!(a_refresh_token_that_a_sign_in_came_with_ends_with_it, &[&MIGRATIONS]);

async fn cookies_and_tokens_share_the_limit_on_sessions(db: TestDb) {
    let house = House::with(db, AuthConfig { sessions_max: 2, ..AuthConfig::default() }).await;
    house.person("ada").await;
    let first = house.login("ada", PASSWORD).await.unwrap();
    house.wait(1);
    let second = house.cookie_login(&nobody(), "ada").await;
    house.wait(1);
    let third = house.cookie_login(&nobody(), "ada").await;
    assert!(is_revoked(&house.auth, &first).await);
    assert!(house.holds(&second).await && house.holds(&third).await);
    // One that has idled out takes no room.
    house.wait(60 * 60);
    house.login("ada", PASSWORD).await.unwrap();
    house.login("ada", PASSWORD).await.unwrap();
    assert_eq!(house.count("SELECT count(*) FROM sessions WHERE end_reason = 'session_limit'").await, 1);
}
both_engines!(cookies_and_tokens_share_the_limit_on_sessions, &[&MIGRATIONS]);
