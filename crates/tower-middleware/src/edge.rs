use std::{fmt, sync::Arc};

use stylobate_core::Clock;
#[cfg(feature = "metrics")]
use stylobate_observability::HttpMetrics;
use tower::Layer;

use crate::{AllowedHosts, SecurityHeaders, TrustedProxies};

mod future;
mod service;

pub use future::EdgeFuture;
pub use service::Edge;

/// The outermost layer: everything each request needs, in one pass.
///
/// 1. Refuses requests with no host, two hosts or a foreign host ([`AllowedHosts`]).
/// 2. Finds the client behind trusted proxies ([`TrustedProxies`]) and gives the request an id; both travel as
///    [`Arrival`](crate::Arrival). An incoming `X-Request-Id` is kept only when a trusted proxy sent it and it is a UUID.
/// 3. Opens the span `request` whose `request_id`, `tenant` and `actor` are on every line inside it, and writes one line
///    at level `debug` per answer (target `stylobate::access`).
/// 4. Measures the answer by method, route template and status.
/// 5. Adds `X-Request-Id` and the [security headers](SecurityHeaders), and writes the id into problems.
///
/// Attach it with `Router::layer`, so that it sees the template of the matched route.
#[derive(Clone)]
pub struct EdgeLayer {
    shared: Arc<Shared>,
}

#[derive(Clone)]
struct Shared {
    clock: Arc<dyn Clock>,
    proxies: TrustedProxies,
    hosts: AllowedHosts,
    headers: SecurityHeaders,
    #[cfg(feature = "metrics")]
    metrics: Option<HttpMetrics>,
}

impl EdgeLayer {
    /// An edge that trusts no proxy and answers for every host.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let shared = Shared {
            clock,
            proxies: TrustedProxies::none(),
            hosts: AllowedHosts::any(),
            headers: SecurityHeaders::default(),
            #[cfg(feature = "metrics")]
            metrics: None,
        };
        Self { shared: Arc::new(shared) }
    }

    /// Believes `proxies`. Default: nobody.
    #[must_use]
    pub fn with_proxies(self, proxies: TrustedProxies) -> Self {
        self.change(|shared| shared.proxies = proxies)
    }

    /// Answers for `hosts`. Default: every host.
    #[must_use]
    pub fn with_hosts(self, hosts: AllowedHosts) -> Self {
        self.change(|shared| shared.hosts = hosts)
    }

    /// Sends these security headers. Default: [`SecurityHeaders::default`].
    #[must_use]
    pub fn with_headers(self, headers: SecurityHeaders) -> Self {
        self.change(|shared| shared.headers = headers)
    }

    /// Records every answer. Default: no metrics.
    #[cfg(feature = "metrics")]
    #[must_use]
    pub fn with_metrics(self, metrics: HttpMetrics) -> Self {
        self.change(|shared| shared.metrics = Some(metrics))
    }

    fn change(mut self, change: impl FnOnce(&mut Shared)) -> Self {
        change(Arc::make_mut(&mut self.shared));
        self
    }
}

impl<S> Layer<S> for EdgeLayer {
    type Service = Edge<S>;

    fn layer(&self, inner: S) -> Edge<S> {
        Edge { inner, shared: Arc::clone(&self.shared) }
    }
}

impl fmt::Debug for EdgeLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EdgeLayer")
            .field("proxies", &self.shared.proxies)
            .field("hosts", &self.shared.hosts)
            .field("headers", &self.shared.headers)
            .finish_non_exhaustive()
    }
}
