//! The layers over the real service: what it issues opens the door, what it revokes does not.

use std::sync::Arc;

use axum::{Router, body::Body, routing::get};
use stylobate_auth::{Auth, AuthConfig, KeyEncryptionKey, LocalSealer, MIGRATIONS, NewPerson, Password};
use stylobate_core::{Clock as _, RequestContext, SystemClock, TenantId};
use stylobate_db::Scope;
use stylobate_testkit::TestDb;
use stylobate_tower_middleware::{AuthenticateLayer, CurrentPrincipal};
use tower::ServiceBuilder;

use crate::support::{Recorded, edge, problem, request, router, send, text};

const PASSWORD: &str = "a long sentence nobody knows";

async fn service(db: &TestDb) -> Auth {
    let key = KeyEncryptionKey::generate().unwrap();
    let db = db.open(&[]).await;
    let sealer = Arc::new(LocalSealer::new(&key));
    Auth::builder(&db, AuthConfig::default(), sealer, Arc::new(Recorded::default())).build().await.unwrap()
}

async fn add_ada(db: &TestDb, auth: &Auth) {
    let db = db.open(&[]).await;
    let context = RequestContext::system("test");
    let new = NewPerson {
        username: None,
        email: "ada@example.org".parse().unwrap(),
        email_verified: true,
        must_change_password: false,
    };
    let hash = auth.hash_new_password(&new.context_words(), Password::new(PASSWORD).unwrap()).await.unwrap();
    let mut tx = db.begin(Scope::Platform("test")).await.unwrap();
    let person = auth.people().insert(&mut tx, &context, new).await.unwrap();
    auth.set_password(&mut tx, &context, person.id, &hash, false).await.unwrap();
    tx.commit().await.unwrap();
}

fn app(auth: &Auth) -> Router {
    let layers = ServiceBuilder::new().layer(edge()).layer(AuthenticateLayer::new(Arc::new(auth.clone())));
    router([("/me", get(async |who: CurrentPrincipal| format!("{:?} {:?}", who.tenant, who.credential)))])
        .layer(layers)
}

async fn ask(app: &Router, token: &str) -> axum::response::Response {
    let request = request("GET", "/me").header("authorization", format!("Bearer {token}"));
    send(app.clone(), request.body(Body::empty()).unwrap()).await
}

async fn a_token_works_until_its_session_is_over(db: TestDb) {
    let auth = service(&db).await;
    add_ada(&db, &auth).await;
    let app = app(&auth);
    let context = RequestContext::system("test");
    let password = Password::new(PASSWORD).unwrap();
    let verified = auth.verify_login(&context, "ada@example.org", password).await.unwrap();
    let tenant = TenantId::new(SystemClock.now());
    let tokens = auth.start_session(&context, &verified, Some(tenant)).await.unwrap();

    // Nothing re-reads the revocations here, so after a second this goes through the database: both ways must agree.
    let known = ask(&app, &tokens.access_token).await;
    assert_eq!(text(known).await, format!("{:?} Bearer", Some(tenant)));
    let tampered = format!("{}x", &*tokens.access_token);
    assert_eq!(problem(ask(&app, &tampered).await).await["code"], "unauthenticated");

    let principal = auth.authenticate_slow(&tokens.access_token).await.unwrap().principal.clone();
    auth.logout(&RequestContext::new(principal)).await.unwrap();
    let over = ask(&app, &tokens.access_token).await;
    assert_eq!(over.headers()["www-authenticate"], r#"Bearer error="invalid_token""#); // A5
    assert_eq!(problem(over).await["code"], "unauthenticated");
}

async fn a_session_cookie_works_until_its_session_is_over(db: TestDb) {
    let auth = service(&db).await;
    add_ada(&db, &auth).await;
    let app = app(&auth);
    let context = RequestContext::system("test");
    let password = Password::new(PASSWORD).unwrap();
    let verified = auth.verify_login(&context, "ada@example.org", password).await.unwrap();
    let session = auth.start_cookie_session(&context, &verified, None).await.unwrap();
    let ask = async |cookie: String| {
        let request = request("GET", "/me").header("cookie", cookie);
        send(app.clone(), request.body(Body::empty()).unwrap()).await
    };
    let cookie = format!("a=b; __Host-session={}", session.secret.expose_secret());
    for _ in 0..3 {
        assert_eq!(text(ask(cookie.clone()).await).await, "None Cookie");
    }
    let tampered = format!("__Host-session={}", "A".repeat(43));
    assert_eq!(problem(ask(tampered).await).await["code"], "unauthenticated");
    let principal = auth.authenticate_cookie_slow(session.secret.expose_secret()).await.unwrap();
    auth.logout(&RequestContext::new(principal)).await.unwrap();
    assert_eq!(problem(ask(cookie).await).await["code"], "unauthenticated"); // A5
}

stylobate_testkit::both_engines!(a_session_cookie_works_until_its_session_is_over, &[&MIGRATIONS]);

#[tokio::test]
async fn a_service_without_sql_signs_in_by_cookie() {
    use stylobate_auth::{CookieSessions, MemorySessions, SessionLimits};

    let store = Arc::new(MemorySessions::new());
    let sessions = CookieSessions::new(store, Arc::new(SystemClock), SessionLimits::default());
    let layers =
        ServiceBuilder::new().layer(edge()).layer(AuthenticateLayer::new(Arc::new(sessions.clone())));
    let app =
        router([("/me", get(async |who: CurrentPrincipal| format!("{:?}", who.credential)))]).layer(layers);
    let person = stylobate_core::PersonId::new(SystemClock.now());
    let begun = sessions.begin(&RequestContext::system("test"), person, None, &["pwd"]).await.unwrap();
    let ask = async || {
        let cookie = format!("__Host-session={}", begun.secret.expose_secret());
        let request = request("GET", "/me").header("cookie", cookie);
        send(app.clone(), request.body(Body::empty()).unwrap()).await
    };
    assert_eq!(text(ask().await).await, "Cookie");
    sessions.end(begun.secret.expose_secret()).await.unwrap();
    assert_eq!(problem(ask().await).await["code"], "unauthenticated");
}

stylobate_testkit::both_engines!(a_token_works_until_its_session_is_over, &[&MIGRATIONS]);
