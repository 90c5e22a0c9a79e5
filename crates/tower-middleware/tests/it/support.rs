use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{Router, body::Body, extract::ConnectInfo, response::Response, routing::MethodRouter};
use http::{Request, request::Builder};
use serde_json::Value;
use stylobate_core::{
    AuditError, AuditEvent, AuditSink, BoxFuture, Clock, Credential, KeyOwner, PersonId, Principal, Subject,
    SystemClock, TenantId,
};
use stylobate_rbac::{
    Authorizer, Engine, Policy, PolicyAssignment, PolicyGrant, PolicyPermission, PolicyRole,
    default_catalogue,
};
use stylobate_tower_middleware::{
    AuthenticateLayer, Authenticator, BodyLimitLayer, CatchPanicLayer, CredentialRefused, CsrfLayer,
    EdgeLayer, Presented, SessionCookie, TimeLimitLayer,
};
use tower::{Layer, Service, ServiceBuilder, ServiceExt};

pub(crate) fn id<T: From<uuid::Uuid>>(n: u128) -> T {
    uuid::Uuid::from_u128(n).into()
}

pub(crate) fn ada() -> PersonId {
    id(0xada)
}

pub(crate) fn tenant() -> TenantId {
    id(0x7e)
}

/// Knows `Bearer ada` and the session `ada` at once, `Bearer slow` after waiting, and cannot judge `Bearer away`.
pub(crate) struct Known;

impl Known {
    fn decide(presented: Presented<'_>) -> Result<Principal, CredentialRefused> {
        let person = Principal::person(ada()).in_tenant(tenant());
        match presented {
            Presented::Bearer("ada" | "slow") => Ok(person),
            Presented::Bearer("grace") => Ok(Principal::person(id(0x6ace)).in_tenant(tenant())),
            Presented::Bearer("narrow") => Ok(Principal { scopes: Some(vec!["user.read".into()]), ..person }),
            Presented::Bearer("key") => {
                let subject = Subject::ApiKey { id: id(0x6e1), owner: KeyOwner::Person { id: ada() } };
                Ok(Principal { subject, credential: Credential::ApiKey, ..person })
            }
            Presented::Bearer("service") => {
                Ok(Principal { subject: Subject::Service { id: id(0x5e) }, ..person })
            }
            Presented::Bearer("platform") => Ok(Principal::person(id(0x9f))),
            Presented::Bearer("away") => Err(CredentialRefused::Unavailable),
            Presented::Session("ada") => Ok(Principal { credential: Credential::Cookie, ..person }),
            _ => Err(CredentialRefused::Invalid),
        }
    }
}

impl Authenticator for Known {
    fn authenticate_now(&self, presented: Presented<'_>) -> Option<Result<Principal, CredentialRefused>> {
        (presented != Presented::Bearer("slow")).then(|| Self::decide(presented))
    }

    fn authenticate<'a>(
        &'a self,
        presented: Presented<'a>,
    ) -> BoxFuture<'a, Result<Principal, CredentialRefused>> {
        Box::pin(async move {
            tokio::task::yield_now().await;
            Self::decide(presented)
        })
    }
}

pub(crate) fn authenticate() -> AuthenticateLayer {
    AuthenticateLayer::new(Arc::new(Known)).with_cookie(SessionCookie::Host)
}

/// An engine in which Ada may read people and nobody may do anything else.
pub(crate) fn engine() -> Arc<dyn Authorizer> {
    let now = SystemClock.now();
    let engine = Engine::new(Arc::new(default_catalogue()), Arc::new(SystemClock));
    let (role, permission) = (stylobate_core::RoleId::new(now), stylobate_core::PermissionId::new(now));
    let policy = Policy {
        epoch: 1,
        permissions: vec![PolicyPermission { id: permission, key: "user.read".into(), is_active: true }],
        roles: vec![PolicyRole { id: role, is_active: true }],
        grants: vec![PolicyGrant::allow(role, permission)],
        assignments: vec![PolicyAssignment::new(ada(), role)],
        ..Policy::default()
    };
    let _ = engine.install(Some(tenant()), &policy);
    Arc::new(engine)
}

/// Keeps what it is given, or fails.
#[derive(Default)]
pub(crate) struct Recorded {
    pub(crate) events: Mutex<Vec<AuditEvent>>,
    pub(crate) fails: bool,
    pub(crate) calls: AtomicUsize,
}

impl AuditSink for Recorded {
    fn record(&self, event: AuditEvent) -> BoxFuture<'_, Result<(), AuditError>> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        Box::pin(async move {
            if self.fails {
                return Err(AuditError("the disk is full".into()));
            }
            self.events.lock().unwrap().push(event);
            Ok(())
        })
    }
}

pub(crate) fn edge() -> EdgeLayer {
    EdgeLayer::new(Arc::new(SystemClock))
}

#[expect(clippy::disallowed_methods, reason = "Routes is one floor up")]
pub(crate) fn router(routes: impl IntoIterator<Item = (&'static str, MethodRouter)>) -> Router {
    routes.into_iter().fold(Router::new(), |router, (path, method)| router.route(path, method))
}

/// All layers in their order, as a service would attach them.
pub(crate) fn platform(routes: impl IntoIterator<Item = (&'static str, MethodRouter)>) -> Router {
    let layers = ServiceBuilder::new()
        .layer(edge())
        .layer(CatchPanicLayer)
        .layer(TimeLimitLayer::default())
        .layer(BodyLimitLayer::default())
        .layer(authenticate())
        .layer(CsrfLayer::new([]).unwrap());
    router(routes).layer(layers)
}

pub(crate) fn request(method: &str, path: &str) -> Builder {
    Request::builder().method(method).uri(path).header("host", "app.example")
}

pub(crate) fn from_peer<B>(mut request: Request<B>, peer: &str) -> Request<B> {
    let address: SocketAddr = peer.parse().unwrap();
    request.extensions_mut().insert(ConnectInfo(address));
    request
}

pub(crate) async fn send<S, E: std::fmt::Debug>(service: S, request: Request<Body>) -> Response
where
    S: Service<Request<Body>, Response = Response, Error = E>,
{
    service.oneshot(request).await.unwrap()
}

pub(crate) async fn get<L>(service: Router, layer: L, path: &str) -> Response
where
    L: Layer<Router>,
    L::Service: Service<Request<Body>, Response = Response, Error = std::convert::Infallible>,
{
    send(layer.layer(service), request("GET", path).body(Body::empty()).unwrap()).await
}

pub(crate) async fn text(response: Response) -> String {
    let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The problem of a response, held to its form.
pub(crate) async fn problem(response: Response) -> Value {
    let status = response.status().as_u16();
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    assert_eq!(response.headers()["cache-control"], "no-store");
    let id = response.headers().get("x-request-id").map(|id| id.to_str().unwrap().to_owned());
    let body: Value = serde_json::from_str(&text(response).await).unwrap();
    assert_eq!(body["status"], status);
    assert_eq!(body["type"], format!("urn:stylobate:problem:{}", body["code"].as_str().unwrap()));
    assert_eq!(body["request_id"].as_str().map(str::to_owned), id);
    body
}
