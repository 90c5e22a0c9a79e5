//! The layers around the routes, in the order a request meets them.

use std::{sync::Arc, time::Duration};

use axum::{Router, extract::DefaultBodyLimit};
use stylobate_auth::{RequestVerifier, RequestVerifierConfig, SqlNonces};
use stylobate_endpoints::{Alias, PathService, PathTable, Routes};
use stylobate_tower_middleware::{
    AllowedHosts, AuthenticateLayer, BodyLimitLayer, CatchPanicLayer, Cookies, CsrfLayer, EdgeLayer, Hsts,
    InternalSecret, Origin, PermissionGuardLayer, SecurityHeaders, SessionCookie, SignedRequestLayer,
    TenantDomain, TenantHintLayer, TimeLimitLayer, TrustedProxies, cors_layer,
};
use tower::ServiceBuilder;

use crate::{Platform, StartError, org_codes::OrgCodes};

/// Under which prefixes and other names routes answer.
#[derive(Debug, Clone, Copy, Default)]
pub struct Paths {
    /// Prefixes under which every route answers too: `/api`.
    pub prefixes: &'static [&'static str],
    /// Other names of routes.
    pub aliases: &'static [Alias],
}

/// Largest body of a request: profiles and settings are far smaller, uploads have routes of their own.
const BODY_BYTES_MAX: usize = 1024 * 1024;
/// Longest a request may take: what was let in has ended after that.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

impl Platform {
    /// Makes the router: every route behind its permission, all of them behind the layers.
    ///
    /// A request meets, in this order: the path table; client address, request id, span, metrics and security headers; CORS;
    /// the handler of panics; time and size limits; signatures of requests; authentication; protection against cross-site requests (cookies only);
    /// the route's permission; the organisation that the request names; the handler.
    ///
    /// # Errors
    /// [`StartError::Paths`] when `paths` contradicts itself or the routes.
    pub fn router(&self, routes: Routes, paths: Paths) -> Result<PathService<Router>, StartError> {
        let table = PathTable::new(&routes.templates(), paths.prefixes, paths.aliases)?;
        let authorizer: Arc<dyn stylobate_rbac::Authorizer> = Arc::new(self.rbac().clone());
        let sink = Arc::clone(self.audit_sink());
        let authenticate = AuthenticateLayer::new(Arc::new(self.auth().clone()))
            .with_cookie(self.session_cookie())
            .with_open_routes(routes.open_routes());
        let secret = self.settings().internal_secret.clone().map(InternalSecret::new).transpose()?;
        let names = OrgCodes { db: self.db().clone(), tenancy: Arc::clone(self.tenancy()) };
        let mut hints = TenantHintLayer::new(Arc::new(names)).with_audit(Arc::clone(&sink));
        if let Some(domain) = self.tenant_domain()? {
            hints = hints.with_domain(domain);
        }
        let router = routes.into_router(&hints, |route| {
            let guard = PermissionGuardLayer::require(Arc::clone(&authorizer), route.permission());
            let guard = guard.with_audit(Arc::clone(&sink));
            match &secret {
                Some(secret) if route.takes_internal_secret() => guard.with_internal_secret(secret.clone()),
                _ => guard,
            }
        });
        let origins = self.origins()?;
        let mut csrf = CsrfLayer::new(&origins)?;
        if let Some(refresh) = &self.settings().refresh_cookie {
            csrf = csrf.and_for_cookie(refresh.name());
        }
        if self.settings().public_url.as_ref().is_some_and(|url| url.scheme() == "https") {
            csrf = csrf.https_only();
        }
        let layers = ServiceBuilder::new()
            .layer(self.edge()?)
            .layer(cors_layer(&origins))
            .layer(CatchPanicLayer::new())
            .layer(TimeLimitLayer::new(REQUEST_TIMEOUT))
            .layer(BodyLimitLayer::new(BODY_BYTES_MAX))
            .layer(self.signed_requests()?)
            .layer(authenticate)
            .layer(csrf)
            // Ours answers with a problem and counts chunked bodies as well.
            .layer(DefaultBodyLimit::disable());
        let routed = router.layer(layers);
        // A path is rewritten before it is routed, so the table stands around the router and not inside it.
        Ok(tower::Layer::layer(&table, routed))
    }

    /// Requests that service accounts have signed, with the keys that they registered. What they sign is the public address, as
    /// everybody knows the service; without one, whatever address the request names.
    fn signed_requests(&self) -> Result<SignedRequestLayer, StartError> {
        let config =
            RequestVerifierConfig { body_bytes_max: BODY_BYTES_MAX, ..RequestVerifierConfig::default() };
        let (keys, nonces) = (self.auth().service_keys().clone(), SqlNonces::new(self.db()));
        let verifier = RequestVerifier::new(Arc::new(keys), Arc::new(nonces), config)
            .map_err(|problems| StartError::Auth(Box::new(problems)))?;
        let clock = Arc::clone(self.clock());
        match &self.settings().public_url {
            Some(url) => {
                let public = url.origin().ascii_serialization().parse()?;
                Ok(SignedRequestLayer::new(verifier, clock, &public))
            }
            None => Ok(SignedRequestLayer::dangerous_answering_at_any_host(verifier, clock)),
        }
    }

    /// The cookies that flows set and read, as the settings say.
    #[must_use]
    pub fn cookies(&self) -> Cookies {
        Cookies { session: self.session_cookie(), refresh: self.settings().refresh_cookie.clone() }
    }

    /// Lets `router` know who calls: requests carry their `Principal` and `RequestContext`.
    ///
    /// For routers that were not made by [`router`](Self::router); each handler has to ask for permission itself.
    pub fn with_auth(&self, router: Router) -> Router {
        router.layer(AuthenticateLayer::new(Arc::new(self.auth().clone())).with_cookie(self.session_cookie()))
    }

    /// Gives `router` request ids, spans, metrics and security headers.
    ///
    /// # Errors
    /// [`StartError::Middleware`] when the settings do not fit the layers.
    pub fn with_observability(&self, router: Router) -> Result<Router, StartError> {
        Ok(router.layer(self.edge()?))
    }

    fn edge(&self) -> Result<EdgeLayer, StartError> {
        let settings = self.settings();
        let entries: Vec<String> = settings.trusted_proxies.iter().map(ToString::to_string).collect();
        let mut proxies = TrustedProxies::parse(entries.iter().map(String::as_str))?;
        if let Some(hops) = settings.proxies_max {
            proxies = proxies.with_hops_max(usize::from(hops));
        }
        let mut headers = SecurityHeaders::default();
        if settings.hsts {
            headers = headers.with_hsts(Hsts::Always);
        }
        let edge = EdgeLayer::new(Arc::clone(self.clock()))
            .with_proxies(proxies)
            .with_headers(headers)
            .with_hosts(self.hosts()?);
        #[cfg(feature = "metrics")]
        let edge = edge.with_metrics(self.metrics().http().clone());
        Ok(edge)
    }

    /// On a loopback address only names of this machine and the public one are answered for: a page elsewhere could point
    /// a name of its own at 127.0.0.1 (DNS rebinding). On other addresses the proxy in front decides, and probes come by
    /// address.
    fn hosts(&self) -> Result<AllowedHosts, StartError> {
        let settings = self.settings();
        let address = settings.bind_address.ip();
        if !address.is_loopback() {
            return Ok(AllowedHosts::any());
        }
        let address = if address.is_ipv6() { format!("[{address}]") } else { address.to_string() };
        let mut hosts = vec!["localhost", "127.0.0.1", "[::1]", address.as_str()];
        hosts.extend(settings.public_url.as_ref().and_then(url::Url::host_str));
        let hosts = AllowedHosts::only(hosts)?;
        Ok(match self.tenant_domain()? {
            Some(domain) => hosts.and_tenants_of(domain),
            None => hosts,
        })
    }

    /// Where organisations have addresses of their own. The public one is no organisation's.
    fn tenant_domain(&self) -> Result<Option<TenantDomain>, StartError> {
        let settings = self.settings();
        let Some(domain) = settings.tenancy_base_domain.clone() else { return Ok(None) };
        Ok(Some(match settings.public_url.as_ref().and_then(url::Url::host_str) {
            Some(own) => domain.and_own(own)?,
            None => domain,
        }))
    }

    fn origins(&self) -> Result<Vec<Origin>, StartError> {
        let parsed = self.settings().cors_origins.iter().map(|origin| origin.parse::<Origin>());
        Ok(parsed.collect::<Result<_, _>>()?)
    }

    /// Which cookies browsers take from here: those with the `__Host-` prefix when the public address is an https one.
    #[must_use]
    pub fn session_cookie(&self) -> SessionCookie {
        // Browsers refuse the `__Host-` prefix over plain http.
        let is_https = self.settings().public_url.as_ref().is_some_and(|url| url.scheme() == "https");
        if is_https { SessionCookie::Host } else { SessionCookie::Plain }
    }
}
