//! Every layer attaches to a router, a method router, a hyper service and a buffer. Most of this is proven by compiling.

use std::{convert::Infallible, sync::Arc};

use axum::{
    Router,
    body::Body,
    response::{IntoResponse, Response},
    routing::get,
};
use http::Request;
use stylobate_auth::{FixedKeys, MemoryNonces, RequestVerifier, RequestVerifierConfig};
use stylobate_core::SystemClock;
use stylobate_tower_middleware::{
    AuthenticateLayer, BodyLimitLayer, CatchPanicLayer, CsrfLayer, EdgeLayer, Permission,
    PermissionGuardLayer, SignedRequestLayer, TenantHintLayer, TimeLimitLayer, cors_layer,
};
use tower::{Layer, Service, ServiceExt, buffer::Buffer, service_fn};
use tower_http::cors::CorsLayer;

use crate::{
    support::{authenticate, edge, engine, request, router},
    tenant_hint::hints,
};

fn guard() -> PermissionGuardLayer {
    PermissionGuardLayer::require(engine(), Permission::Public("test"))
}

fn signed_request() -> SignedRequestLayer {
    let (keys, nonces) = (Arc::new(FixedKeys::new()), Arc::new(MemoryNonces::new()));
    let verifier = RequestVerifier::new(keys, nonces, RequestVerifierConfig::default()).unwrap();
    SignedRequestLayer::new(verifier, Arc::new(SystemClock), &"https://app.example".parse().unwrap())
}

async fn hello<B>(_request: Request<B>) -> Result<Response, Infallible> {
    Ok("hello".into_response())
}

macro_rules! attaches {
    ($($name:ident: $layer:ty = $make:expr;)*) => {$(
        #[tokio::test]
        async fn $name() {
            let layer: $layer = $make;
            let ask = || request("GET", "/").body(Body::empty()).unwrap();
            let statuses = [
                router([("/", get(async || "hello"))]).layer(layer.clone()).oneshot(ask()).await.unwrap().status(),
                router([("/", get(async || "hello"))]).route_layer(layer.clone()).oneshot(ask()).await.unwrap().status(),
                router([("/", get(async || "hello").layer(layer.clone()))]).oneshot(ask()).await.unwrap().status(),
                layer.layer(router([("/", get(async || "hello"))])).oneshot(ask()).await.unwrap().status(),
                layer.layer(Buffer::new(service_fn(hello::<Body>), 1)).oneshot(ask()).await.unwrap().status(),
                layer.layer(service_fn(hello::<Body>)).oneshot(ask()).await.unwrap().status(),
            ];
            assert_eq!(statuses.map(|status| status.as_u16()), [200; 6]);
            takes_hyper_requests(&layer);
        }
    )*};
}

/// A hyper server hands over `Request<Incoming>`, and wants a service without waiting for readiness.
fn takes_hyper_requests<L>(layer: &L)
where
    L: Layer<Router>,
    L::Service: Service<Request<Body>, Response = Response, Error = Infallible> + Clone + Send + 'static,
    <L::Service as Service<Request<Body>>>::Future: Send,
{
    fn is_hyper_service<S: hyper::service::Service<Request<hyper::body::Incoming>, Response = Response>>(
        _: &S,
    ) {
    }
    let service = layer.layer(Router::new());
    is_hyper_service(&hyper::service::service_fn(move |request: Request<hyper::body::Incoming>| {
        service.clone().oneshot(request.map(Body::new))
    }));
}

attaches! {
    edge_attaches: EdgeLayer = edge();
    catch_panic_attaches: CatchPanicLayer = CatchPanicLayer;
    cors_attaches: CorsLayer = cors_layer([]);
    time_limit_attaches: TimeLimitLayer = TimeLimitLayer::default();
    body_limit_attaches: BodyLimitLayer = BodyLimitLayer::default();
    authenticate_attaches: AuthenticateLayer = authenticate();
    csrf_attaches: CsrfLayer = CsrfLayer::new([]).unwrap();
    guard_attaches: PermissionGuardLayer = guard();
    tenant_hint_attaches: TenantHintLayer = hints();
    signed_request_attaches: SignedRequestLayer = signed_request();
}

/// The layers do not ask for axum's body: a service over hyper's own takes them directly.
#[test]
fn layers_take_the_bodies_of_hyper() {
    fn takes<S: Service<Request<hyper::body::Incoming>>>(_: &S) {}
    let service = || service_fn(hello::<hyper::body::Incoming>);
    takes(&edge().layer(service()));
    takes(&CatchPanicLayer.layer(service()));
    takes(&TimeLimitLayer::default().layer(service()));
    takes(&BodyLimitLayer::default().layer(service_fn(hello::<Body>)));
    takes(&authenticate().layer(service()));
    takes(&CsrfLayer::new([]).unwrap().layer(service()));
    takes(&guard().layer(service()));
    takes(&hints().layer(service()));
    takes(&signed_request().layer(service_fn(hello::<Body>)));
}
