use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use axum::{
    extract::{ConnectInfo, MatchedPath},
    response::IntoResponse,
};
use http::{Extensions, HeaderMap, HeaderName, Request};
use stylobate_core::RequestId;
use tower::Service;
use tracing::field::Empty;

use super::{
    Shared,
    future::{EdgeFuture, Tail},
};
use crate::{Arrival, Scheme};

/// The header that names a request, both ways.
pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The service of [`EdgeLayer`](super::EdgeLayer).
#[derive(Clone)]
pub struct Edge<S> {
    pub(super) inner: S,
    pub(super) shared: Arc<Shared>,
}

impl<S, B> Service<Request<B>> for Edge<S>
where
    S: Service<Request<B>>,
    S::Response: IntoResponse,
{
    type Response = axum::response::Response;
    type Error = S::Error;
    type Future = EdgeFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let began = Instant::now();
        let shared = &self.shared;
        let peer = peer(request.extensions());
        let scheme = request.extensions().get::<Scheme>().copied().unwrap_or_default();
        let client = shared.proxies.client(peer, scheme, request.headers());
        let told = if client.via_proxy { told_id(request.headers()) } else { None };
        let request_id = told.unwrap_or_else(|| RequestId::new(shared.clock.now()));
        let route = request.extensions().get::<MatchedPath>().cloned();
        // At level error, so that the ids are on every line whatever the filter lets through.
        let span = tracing::error_span!(
            target: "stylobate",
            "request",
            %request_id,
            tenant = Empty,
            actor = Empty,
            method = %request.method(),
            route = route.as_ref().map_or("unmatched", MatchedPath::as_str),
        );
        let host = shared.hosts.check(request.uri(), request.version(), request.headers(), peer.is_some());
        let tail = Tail {
            shared: Arc::clone(shared),
            began,
            request_id,
            client,
            #[cfg(feature = "metrics")]
            in_flight: shared.metrics.as_ref().map(stylobate_observability::HttpMetrics::begin),
            #[cfg(feature = "metrics")]
            method: request.method().clone(),
            #[cfg(feature = "metrics")]
            route,
        };
        match host {
            Err(error) => EdgeFuture::refused(error, span, tail),
            Ok(()) => {
                request.extensions_mut().insert(Arrival { request_id, client });
                let future = {
                    let _inside = span.enter();
                    self.inner.call(request)
                };
                EdgeFuture::inner(future, span, tail)
            }
        }
    }
}

impl<S: std::fmt::Debug> std::fmt::Debug for Edge<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Edge").field("inner", &self.inner).finish_non_exhaustive()
    }
}

fn peer(extensions: &Extensions) -> Option<IpAddr> {
    extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(address)| address.ip())
}

/// The id that a proxy gave the request: one line, one UUID.
fn told_id(headers: &HeaderMap) -> Option<RequestId> {
    let mut lines = headers.get_all(X_REQUEST_ID).iter();
    let id = lines.next()?.to_str().ok()?.parse().ok()?;
    lines.next().is_none().then_some(id)
}
