use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use axum::{Router, body::Body, routing::get};
use http::{Method, Uri};
use stylobate_core::{BoxFuture, Outcome, Problem, TenantId};
use stylobate_tenancy::OrgCode;
use stylobate_tower_middleware::{
    ApiError, Permission, PermissionGuardLayer, RoutePermissions, TenantDomain, TenantHintLayer, TenantNames,
};
use tower::ServiceBuilder;

use crate::support::{Recorded, authenticate, edge, engine, problem, request, router, send, tenant, text};

/// The organisation of everybody who signs in is called `acme`.
const OWN: &str = "00000000-0000-0000-0000-00000000007e";
const FOREIGN: &str = "00000000-0000-0000-0000-0000000000ff";

/// Knows codes, unless it is away.
#[derive(Default)]
struct Names {
    is_away: bool,
    asked: AtomicUsize,
}

impl TenantNames for Names {
    fn code(&self, asked: TenantId) -> BoxFuture<'_, Result<Option<OrgCode>, ApiError>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        Box::pin(async move {
            tokio::task::yield_now().await;
            match self.is_away {
                true => Err(Problem::new(503, "unavailable").into()),
                false => Ok((asked == tenant()).then(|| "Acme".parse().unwrap())),
            }
        })
    }
}

pub(crate) fn hints() -> TenantHintLayer {
    TenantHintLayer::new(Arc::new(Names::default()))
}

/// Routes that say which path and query reached them.
fn app(hints: TenantHintLayer) -> Router {
    let mut table = RoutePermissions::new();
    for (path, permission) in [
        ("/people", Permission::Key("user.read")),
        ("/people/{id}", Permission::Key("user.delete")),
        ("/me", Permission::AnyCredential),
        ("/socket", Permission::Public("the handler looks who asks")),
    ] {
        table.add(Method::GET, path, permission).unwrap();
    }
    let layers = ServiceBuilder::new()
        .layer(edge())
        .layer(authenticate())
        .layer(PermissionGuardLayer::for_routes(engine(), table))
        .layer(hints);
    let paths = ["/people", "/people/{id}", "/me", "/socket"];
    router(paths.map(|path| (path, get(async |uri: Uri| uri.to_string())))).layer(layers)
}

async fn ask(hints: TenantHintLayer, path: &str, headers: &[(&str, &str)]) -> (u16, String) {
    let host = headers.iter().find(|(name, _)| *name == "host").map_or("app.example", |(_, host)| *host);
    let mut asked = http::Request::builder().method("GET").uri(path).header("host", host);
    for (name, value) in headers.iter().filter(|(name, _)| *name != "host") {
        asked = asked.header(*name, *value);
    }
    let response = send(app(hints), asked.body(Body::empty()).unwrap()).await;
    let status = response.status().as_u16();
    match status {
        200 => (status, text(response).await),
        _ => {
            let problem = problem(response).await;
            let field = problem["errors"][0]["field"].as_str().unwrap_or_default();
            (status, format!("{} {field}", problem["code"].as_str().unwrap()).trim_end().to_owned())
        }
    }
}

/// As Ada.
async fn status(hints: TenantHintLayer, path: &str, headers: &[(&str, &str)]) -> u16 {
    let headers = [headers, &[("authorization", "Bearer ada")]].concat();
    ask(hints, path, &headers).await.0
}

fn below(base: &str) -> TenantHintLayer {
    hints().with_domain(TenantDomain::new(base).unwrap().and_own("app.example.org").unwrap())
}

#[tokio::test]
async fn whoever_names_their_own_organisation_is_served_and_nobody_else_is() {
    for (named, expected) in [
        (OWN, 200),
        ("00000000-0000-0000-0000-00000000007E", 200),
        ("acme", 200),
        ("ACME", 200),
        (FOREIGN, 404),
        ("globex", 404),
    ] {
        for name in ["x-org-id", "x-tenant-id", "X-Tenant-ID"] {
            assert_eq!(status(hints(), "/people", &[(name, named)]).await, expected, "{name}: {named}");
        }
        for name in ["organization_id", "org_id", "tenant_id"] {
            let path = format!("/people?{name}={named}");
            assert_eq!(status(hints(), &path, &[]).await, expected, "{path}");
        }
    }
    for (host, expected) in [
        ("acme.example.org", 200),
        ("ACME.example.org:8443", 200),
        ("globex.example.org", 404),
        ("app.example.org", 200),
        ("example.org", 200),
        ("globex.example.com", 200),
    ] {
        assert_eq!(status(below("example.org"), "/people", &[("host", host)]).await, expected, "{host}");
    }
    assert_eq!(status(hints(), "/people", &[("host", "globex.example.org")]).await, 200);
}

#[tokio::test]
async fn what_is_named_beside_the_routes_own_parameters_does_not_reach_it() {
    let ada = [("authorization", "Bearer ada")];
    for (path, seen) in [
        (format!("/people?limit=5&org_id={OWN}"), "/people?limit=5"),
        (format!("/people?tenant_id={OWN}&organization_id=acme&org_id=Acme"), "/people"),
        (format!("/people?org%5Fid={OWN}&search=a%20b"), "/people?search=a%20b"),
    ] {
        assert_eq!(ask(hints(), &path, &ada).await, (200, seen.to_owned()), "{path}");
    }
    let own = || hints().beside(&["organization_id", "limit"]);
    let path = format!("/people?organization_id={FOREIGN}&org_id={OWN}");
    let seen = format!("/people?organization_id={FOREIGN}");
    assert_eq!(ask(own(), &path, &ada).await, (200, seen));
    assert_eq!(status(own(), &format!("/people?org_id={FOREIGN}"), &[]).await, 404);
}

#[tokio::test]
async fn unclear_names_are_refused_by_their_place() {
    let (id, code) = (("x-org-id", OWN), ("x-org-id", "acme"));
    for (path, headers, field) in [
        ("/people", &[("x-org-id", "")][..], "X-Org-Id"),
        ("/people", &[("x-org-id", "a b")], "X-Org-Id"),
        ("/people", &[("x-org-id", "acme, globex")], "X-Org-Id"),
        ("/people", &[("x-tenant-id", "-acme")], "X-Tenant-ID"),
        ("/people", &[("x-tenant-id", "acme'--")], "X-Tenant-ID"),
        ("/people", &[id, id], "X-Org-Id"),
        ("/people", &[id, ("x-tenant-id", FOREIGN)], "X-Tenant-ID"),
        ("/people", &[code, ("x-tenant-id", "globex")], "X-Tenant-ID"),
        ("/people", &[code, ("x-tenant-id", FOREIGN)], "X-Tenant-ID"),
        ("/people", &[("x-org-id", "initech"), ("x-tenant-id", "globex")], "X-Tenant-ID"),
        ("/people?org_id=globex", &[id], "org_id"),
        ("/people?org_id=acme&org_id=acme", &[], "org_id"),
        ("/people?tenant_id=", &[], "tenant_id"),
        ("/people?organization_id=%00", &[], "organization_id"),
        ("/people", &[("host", "a.b.example.org")], "Host"),
        ("/people", &[("host", "globex.example.org"), id], "Host"),
    ] {
        let headers = [headers, &[("authorization", "Bearer ada")]].concat();
        let expected = (400, format!("tenant_hint_invalid {field}"));
        assert_eq!(ask(below("example.org"), path, &headers).await, expected, "{path} {headers:?}");
    }
    // Any number of names of one organisation agree.
    let all = [id, ("x-tenant-id", "ACME"), ("host", "acme.example.org")];
    assert_eq!(
        status(below("example.org"), &format!("/people?org_id=acme&tenant_id={OWN}"), &all).await,
        200
    );
    // Nothing tells whether both are the same.
    let others = [("x-org-id", FOREIGN), ("x-tenant-id", "globex")];
    assert_eq!(status(hints(), "/people", &others).await, 404);
}

#[tokio::test]
async fn a_foreign_organisation_looks_like_a_missing_row() {
    let fetch = async |named: &str| {
        let asked = request("GET", "/people").header("authorization", "Bearer ada").header("x-org-id", named);
        let response = send(app(hints()), asked.body(Body::empty()).unwrap()).await;
        let mut headers = response.headers().clone();
        headers.remove("x-request-id");
        let mut body = problem(response).await;
        body["request_id"] = "".into();
        (headers, body)
    };
    let (headers, body) = fetch(FOREIGN).await;
    assert_eq!((&body["code"], &body["detail"]), (&"not_found".into(), &"There is no such resource.".into()));
    assert_eq!(fetch("globex").await, (headers, body));
}

#[tokio::test]
async fn who_may_not_is_told_that_first_and_names_bind_every_credential() {
    let foreign = ("x-org-id", FOREIGN);
    let fetch = async |path: &str, name: &'static str, value: &'static str| {
        ask(hints(), path, &[foreign, (name, value)]).await.0
    };
    assert_eq!(ask(hints(), "/people", &[foreign]).await.0, 401);
    assert_eq!(fetch("/people", "authorization", "Bearer stale").await, 401);
    assert_eq!(fetch("/people", "authorization", "Bearer grace").await, 403);
    for credential in ["Bearer ada", "Bearer slow", "Bearer narrow", "Bearer key"] {
        assert_eq!(fetch("/people", "authorization", credential).await, 404, "{credential}");
    }
    assert_eq!(fetch("/people", "cookie", "__Host-session=ada").await, 404);
    assert_eq!(fetch("/me", "authorization", "Bearer service").await, 404);
    assert_eq!(status(hints(), "/people/7", &[foreign]).await, 403);
    let own = [("x-org-id", "acme"), ("cookie", "__Host-session=ada")];
    assert_eq!(ask(hints(), "/people", &own).await.0, 200);
}

#[tokio::test]
async fn whoever_acts_for_no_organisation_can_name_none() {
    for named in [OWN, FOREIGN, "acme"] {
        let headers = [("authorization", "Bearer platform"), ("x-org-id", named)];
        assert_eq!(ask(hints(), "/me", &headers).await, (404, "not_found".to_owned()), "{named}");
    }
    assert_eq!(ask(hints(), "/me", &[("authorization", "Bearer platform")]).await.0, 200);
}

#[tokio::test]
async fn names_mean_nothing_where_nobody_asks_who_it_is() {
    for headers in [&[("x-org-id", FOREIGN)][..], &[("x-org-id", "a b")], &[("x-tenant-id", "globex")]] {
        // Nobody is signed in.
        assert_eq!(ask(hints(), "/socket?org_id=globex", headers).await, (200, "/socket".to_owned()));
        let with_ada = [headers, &[("authorization", "Bearer ada")]].concat();
        assert_ne!(ask(hints(), "/socket", &with_ada).await.0, 200);
        let answer = ask(hints().ignoring(), "/socket?org_id=globex&x=1", &with_ada).await;
        assert_eq!(answer, (200, "/socket?x=1".to_owned()));
    }
}

#[tokio::test]
async fn codes_are_asked_for_when_one_is_named_only() {
    let names = Arc::new(Names::default());
    let hints = || TenantHintLayer::new(Arc::clone(&names) as _);
    for (headers, asked) in [
        (&[][..], 0),
        (&[("x-org-id", OWN)], 0),
        (&[("x-org-id", FOREIGN)], 0),
        (&[("x-org-id", "acme"), ("x-tenant-id", "acme")], 1),
    ] {
        status(hints(), "/people", headers).await;
        assert_eq!(names.asked.swap(0, Ordering::SeqCst), asked, "{headers:?}");
    }
    let away = || TenantHintLayer::new(Arc::new(Names { is_away: true, ..Names::default() }));
    assert_eq!(status(away(), "/people", &[("x-org-id", "acme")]).await, 503);
    assert_eq!(status(away(), "/people", &[("x-org-id", OWN)]).await, 200);
}

#[tokio::test]
async fn a_foreign_name_is_recorded_and_refused_when_it_cannot_be() {
    let recorded = Arc::new(Recorded::default());
    let hints = hints().with_audit(Arc::clone(&recorded) as _);
    assert_eq!(status(hints.clone(), "/people?tenant_id=Globex", &[("x-org-id", FOREIGN)]).await, 404);
    assert_eq!(status(hints.clone(), "/people", &[("x-org-id", "a b")]).await, 400);
    assert_eq!(status(hints, "/people", &[("x-org-id", OWN)]).await, 200);
    let events = std::mem::take(&mut *recorded.events.lock().unwrap());
    let [event] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!((event.action, event.outcome), ("tenant.deny", Outcome::Denied));
    assert_eq!((event.target.id.as_deref(), event.tenant), (Some(FOREIGN), Some(tenant())));
    let metadata = event.metadata.as_ref().unwrap();
    assert_eq!((&metadata["hint"], &metadata["route"]), (&"X-Org-Id".into(), &"/people".into()));
    let failing = Arc::new(Recorded { fails: true, ..Recorded::default() });
    let hints = self::hints().with_audit(Arc::clone(&failing) as _);
    assert_eq!(status(hints, "/people", &[("x-org-id", FOREIGN)]).await, 404);
    assert_eq!(failing.calls.load(Ordering::SeqCst), 1);
}
