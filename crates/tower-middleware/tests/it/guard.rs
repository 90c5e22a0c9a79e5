use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use axum::{Router, body::Body, routing::get};
use http::Method;
use stylobate_core::{BoxFuture, Outcome, TenantId};
use stylobate_rbac::{Authorizer, Decision, PolicyUnavailable, Question};
use stylobate_tower_middleware::{
    CurrentPrincipal, InternalSecret, Permission, PermissionGuardLayer, RoutePermissions,
};
use tower::ServiceBuilder;

use crate::support::{Recorded, authenticate, edge, engine, problem, request, router, send, text};

fn table() -> RoutePermissions {
    let mut table = RoutePermissions::new();
    for (path, permission) in [
        ("/people", Permission::Key("user.read")),
        ("/people/{id}", Permission::Key("user.delete")),
        ("/me", Permission::Authenticated),
        ("/whoami", Permission::AnyCredential),
        ("/health", Permission::Public("probes have no credential")),
    ] {
        table.add(Method::GET, path, permission).unwrap();
    }
    table
}

fn app(guard: PermissionGuardLayer) -> Router {
    let layers = ServiceBuilder::new().layer(edge()).layer(authenticate()).layer(guard);
    let paths = ["/people", "/people/{id}", "/me", "/whoami", "/health", "/forgotten"];
    router(paths.map(|path| (path, get(async || "done")))).layer(layers)
}

fn guarded() -> Router {
    app(PermissionGuardLayer::for_routes(engine(), table()))
}

async fn status(app: Router, method: &str, path: &str, token: &str) -> u16 {
    let mut request = request(method, path);
    if !token.is_empty() {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    send(app, request.body(Body::empty()).unwrap()).await.status().as_u16()
}

#[tokio::test]
async fn who_may_gets_through_and_nobody_else() {
    for (path, anonymous, ada, grace) in [
        ("/people", 401, 200, 403),
        ("/people/7", 401, 403, 403),
        ("/me", 401, 200, 200),
        ("/health", 200, 200, 200),
        ("/forgotten", 403, 403, 403),
        ("/nowhere", 404, 404, 404),
    ] {
        assert_eq!(status(guarded(), "GET", path, "").await, anonymous, "{path}");
        assert_eq!(status(guarded(), "GET", path, "ada").await, ada, "{path}");
        assert_eq!(status(guarded(), "GET", path, "slow").await, ada, "{path}");
        assert_eq!(status(guarded(), "GET", path, "grace").await, grace, "{path}");
    }
    assert_eq!(status(guarded(), "GET", "/people", "stale").await, 401);
    assert_eq!(status(guarded(), "GET", "/people", "away").await, 503);
    assert_eq!(status(guarded(), "GET", "/health", "stale").await, 200);
    assert_eq!(status(guarded(), "HEAD", "/people", "ada").await, 200);
    assert_eq!(status(guarded(), "HEAD", "/people", "").await, 401);
}

#[tokio::test]
async fn what_is_a_persons_own_is_not_their_programs() {
    for (path, narrow, key, service) in
        [("/me", 403, 403, 403), ("/whoami", 200, 200, 200), ("/people", 200, 200, 403)]
    {
        assert_eq!(status(guarded(), "GET", path, "narrow").await, narrow, "{path}");
        assert_eq!(status(guarded(), "GET", path, "key").await, key, "{path}");
        assert_eq!(status(guarded(), "GET", path, "service").await, service, "{path}");
    }
    assert_eq!(status(guarded(), "GET", "/whoami", "").await, 401);
    assert_eq!(status(guarded(), "GET", "/whoami", "stale").await, 401);
    let key = request("GET", "/me").header("authorization", "Bearer key").body(Body::empty()).unwrap();
    assert_eq!(problem(send(guarded(), key).await).await["code"], "person_required");
}

#[tokio::test]
async fn spellings_of_a_path_never_reach_a_handler_without_its_permission() {
    // C22: what the router does not match is missing, what it matches asks the template's permission.
    for path in [
        "/people/",
        "//people",
        "/PEOPLE",
        "/people;x=1",
        "/people%2f7",
        "/people/%2e%2e/health",
        "/people/../health",
        "/./people",
        "/health/../people",
        "/people/%00",
        "/people/p%C3%A9",
        "/people/7/",
        "/people%20",
        "/peop%6Ce",
        "/people/..;/health",
    ] {
        let answered = status(guarded(), "GET", path, "").await;
        assert!([401, 404].contains(&answered), "{path} {answered}");
        let answered = status(guarded(), "GET", path, "grace").await;
        assert!([403, 404].contains(&answered), "{path} {answered}");
    }
}

#[tokio::test]
async fn a_method_that_the_route_does_not_have_is_405_with_those_it_has() {
    for method in ["POST", "DELETE", "PURGE"] {
        let response = send(guarded(), request(method, "/people").body(Body::empty()).unwrap()).await;
        assert_eq!(response.headers()["allow"], "GET");
        assert_eq!(problem(response).await["code"], "method_not_allowed");
    }
}

#[tokio::test]
async fn a_denial_names_the_permission_and_is_recorded() {
    let recorded = Arc::new(Recorded::default());
    let guard = PermissionGuardLayer::for_routes(engine(), table()).with_audit(Arc::clone(&recorded) as _);
    let request = request("GET", "/people/canary").header("authorization", "Bearer ada");
    let response = send(app(guard), request.body(Body::empty()).unwrap()).await;
    let id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
    let body = problem(response).await;
    assert_eq!((&body["code"], body["status"].as_u64()), (&"permission_denied".into(), Some(403)));
    assert_eq!(body["detail"], "The permission `user.delete` is required.");
    let events = recorded.events.lock().unwrap();
    let [event] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!((event.action, event.outcome), ("permission.deny", Outcome::Denied));
    assert_eq!(event.target.id.as_deref(), Some("user.delete"));
    assert_eq!(event.request_id.unwrap().to_string(), id);
    let metadata = event.metadata.as_ref().unwrap();
    assert_eq!(metadata["reason"], "role_lacks_permission");
    assert_eq!(metadata["missing"], "permission");
    assert_eq!((&metadata["route"], &metadata["method"]), (&"/people/{id}".into(), &"GET".into()));
}

#[tokio::test]
async fn a_denial_that_cannot_be_recorded_is_still_a_denial() {
    let recorded = Arc::new(Recorded { fails: true, ..Recorded::default() });
    let guard = PermissionGuardLayer::for_routes(engine(), table()).with_audit(Arc::clone(&recorded) as _);
    assert_eq!(status(app(guard), "GET", "/people", "grace").await, 403);
    assert_eq!(recorded.calls.load(Ordering::SeqCst), 1);
}

/// Breaks in the way that `0` says.
struct Broken(&'static str);

impl Authorizer for Broken {
    fn decide(&self, _question: Question<'_>) -> Decision {
        panic!("the engine broke")
    }

    fn prepare(
        &self,
        _tenant: Option<TenantId>,
        _at_least: Option<i64>,
    ) -> Option<BoxFuture<'_, Result<(), PolicyUnavailable>>> {
        match self.0 {
            "check" => None,
            "prepare" => panic!("loading broke"),
            _ => Some(Box::pin(async { Err(PolicyUnavailable("no route to host".into())) })),
        }
    }
}

#[tokio::test]
async fn an_engine_that_fails_denies() {
    for (broken, expected) in [("check", 403), ("prepare", 403), ("load", 503)] {
        let guard = PermissionGuardLayer::for_routes(Arc::new(Broken(broken)), table());
        assert_eq!(status(app(guard), "GET", "/people", "ada").await, expected, "{broken}"); // A11
    }
}

/// Has to load the policy once.
struct Loading {
    engine: Arc<dyn Authorizer>,
    loaded: AtomicBool,
}

impl Authorizer for Loading {
    fn decide(&self, question: Question<'_>) -> Decision {
        assert!(self.loaded.load(Ordering::SeqCst), "checked before it was loaded");
        self.engine.decide(question)
    }

    fn prepare(
        &self,
        _tenant: Option<TenantId>,
        _at_least: Option<i64>,
    ) -> Option<BoxFuture<'_, Result<(), PolicyUnavailable>>> {
        if self.loaded.load(Ordering::SeqCst) {
            return None;
        }
        Some(Box::pin(async {
            tokio::task::yield_now().await;
            self.loaded.store(true, Ordering::SeqCst);
            Ok(())
        }))
    }
}

#[tokio::test]
async fn the_policy_is_loaded_before_it_is_asked() {
    let loading = Arc::new(Loading { engine: engine(), loaded: AtomicBool::new(false) });
    let guard = PermissionGuardLayer::for_routes(loading, table());
    assert_eq!(status(app(guard.clone()), "GET", "/people", "ada").await, 200);
    assert_eq!(status(app(guard), "GET", "/people", "grace").await, 403);
}

#[tokio::test]
async fn one_permission_guards_a_whole_router() {
    let guard = PermissionGuardLayer::require(engine(), Permission::Key("user.read"));
    let layers = ServiceBuilder::new().layer(edge()).layer(authenticate()).layer(guard);
    let app = router([("/anything", get(async || "done"))]).layer(layers);
    assert_eq!(status(app.clone(), "GET", "/anything", "grace").await, 403);
    let request =
        request("GET", "/anything").header("authorization", "Bearer ada").body(Body::empty()).unwrap();
    assert_eq!(text(send(app, request).await).await, "done");
}

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// What came of a request with these headers to a route that takes the internal secret, or does not.
async fn with_headers(takes_secret: bool, headers: &[(&str, &str)]) -> (u16, String) {
    let mut guard = PermissionGuardLayer::require(engine(), Permission::Key("user.delete"));
    if takes_secret {
        guard = guard.with_internal_secret(InternalSecret::new(SECRET.into()).unwrap());
    }
    let layers = ServiceBuilder::new().layer(edge()).layer(authenticate()).layer(guard);
    let who =
        get(async |principal: CurrentPrincipal| format!("{:?} {:?}", principal.subject, principal.scopes));
    let mut request = request("GET", "/cache");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = send(router([("/cache", who)]).layer(layers), request.body(Body::empty()).unwrap()).await;
    (response.status().as_u16(), text(response).await)
}

#[tokio::test]
async fn the_internal_secret_is_the_platform_with_one_permission() {
    let secret = ("x-internal-secret", SECRET);
    let (status, who) = with_headers(true, &[secret]).await;
    assert_eq!((status, who.as_str()), (200, r#"System Some(["user.delete"])"#));
    // Elsewhere it means nothing.
    assert_eq!(with_headers(false, &[secret]).await.0, 401);
    assert_eq!(with_headers(true, &[]).await.0, 401);
    let longer = format!("{SECRET}0");
    for wrong in ["", "x", &SECRET[1..], &SECRET.to_uppercase(), &longer] {
        assert_eq!(with_headers(true, &[("x-internal-secret", wrong)]).await.0, 401, "{wrong}");
    }
    // Two opinions about who asks are none.
    for other in [("authorization", "Bearer ada"), ("authorization", "Bearer stale"), secret] {
        let (status, body) = with_headers(true, &[secret, other]).await;
        assert!(status == 400 && body.contains("ambiguous_credential"), "{other:?} {body}");
    }
}

/// Has the policies of epoch 5, and waits in vain for newer ones.
struct Fifth(Arc<dyn Authorizer>);

impl Authorizer for Fifth {
    fn decide(&self, question: Question<'_>) -> Decision {
        self.0.decide(question)
    }

    fn prepare(
        &self,
        owner: Option<TenantId>,
        at_least: Option<i64>,
    ) -> Option<BoxFuture<'_, Result<(), PolicyUnavailable>>> {
        // The platform's is one behind.
        let has = if owner.is_some() { 5 } else { 4 };
        let late = at_least.is_some_and(|wanted| wanted > has);
        late.then(|| Box::pin(async { Err(PolicyUnavailable("too old".into())) }) as BoxFuture<'_, _>)
    }
}

#[tokio::test]
async fn a_request_says_how_fresh_the_policy_has_to_be() {
    let ask = async |values: &[&str]| {
        let guard = PermissionGuardLayer::for_routes(Arc::new(Fifth(engine())), table());
        let mut request = request("GET", "/people").header("authorization", "Bearer ada");
        for value in values {
            request = request.header("x-policy-epoch", *value);
        }
        let response = send(app(guard), request.body(Body::empty()).unwrap()).await;
        match response.status().as_u16() {
            200 => "done".to_owned(),
            _ => problem(response).await["code"].as_str().unwrap().to_owned(),
        }
    };
    for (values, expected) in [
        (&["5"][..], "done"),
        (&["0", "platform=4"], "done"),
        (&["3, 5, platform=4"], "done"),
        (&["6"], "policy_stale"),
        (&["3", "6"], "policy_stale"),
        (&["platform=5"], "policy_stale"),
        (&["newest"], "bad_request"),
        (&["-1"], "bad_request"),
    ] {
        assert_eq!(ask(values).await, expected, "{values:?}");
    }
}
