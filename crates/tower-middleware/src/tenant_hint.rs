//! Names of organisations that requests give beside their credential.

mod hints;

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{
    extract::MatchedPath,
    response::{IntoResponse, Response},
};
use http::{Method, Request};
use stylobate_core::{AuditEvent, AuditSink, BoxFuture, Outcome, RequestContext, TenantId};
use stylobate_tenancy::OrgCode;
use tower::{Layer, Service};

use crate::{ApiError, TenantDomain, denial, future::AnswerFuture};
use hints::{Hint, Named, PARAMETERS, invalid, take_parameters};

/// Where the codes of organisations come from.
pub trait TenantNames: Send + Sync + 'static {
    /// The code of the organisation `tenant`; `None` when it is gone.
    ///
    /// The future fails with what the request is to be answered.
    fn code(&self, tenant: TenantId) -> BoxFuture<'_, Result<Option<OrgCode>, ApiError>>;
}

/// Holds a request to the organisation that it names. Which one a caller acts for comes from the credential; what is named
/// beside it only asserts that.
///
/// 1. An organisation is named, by its id or its code, in the headers `X-Org-Id` and `X-Tenant-ID`, in the query parameters
///    `organization_id`, `org_id` and `tenant_id`, and by its code as a sub-domain, when there is a
///    [domain](Self::with_domain).
/// 2. Whoever names another organisation than the one they act for is answered as for a missing row, 404 `not_found`, whether it
///    exists or not, and whatever they may do elsewhere. So is whoever names one and acts for none.
/// 3. Names that contradict each other, that are given twice, or that are neither id nor code are refused: 400
///    `tenant_hint_invalid`.
/// 4. The parameters are taken out of the query: the handler does not know them. Those that a route takes
///    [itself](Self::beside) are its own.
/// 5. Where nobody is signed in, and where [nobody asks](Self::ignoring) who is, names mean nothing.
///
/// Attach it inside the [`PermissionGuardLayer`](crate::PermissionGuardLayer), so that those who may not are told that first.
#[derive(Clone)]
pub struct TenantHintLayer {
    shared: Arc<Shared>,
    parameters: Arc<[&'static str]>,
    is_ignoring: bool,
}

#[derive(Clone)]
struct Shared {
    names: Arc<dyn TenantNames>,
    audit: Option<Arc<dyn AuditSink>>,
    domain: Option<TenantDomain>,
}

impl TenantHintLayer {
    /// Compares codes with those that `names` has.
    #[must_use]
    pub fn new(names: Arc<dyn TenantNames>) -> Self {
        let shared = Arc::new(Shared { names, audit: None, domain: None });
        Self { shared, parameters: Arc::new(PARAMETERS), is_ignoring: false }
    }

    /// Records there who named another organisation. Default: that is only logged.
    #[must_use]
    pub fn with_audit(mut self, audit: Arc<dyn AuditSink>) -> Self {
        Arc::make_mut(&mut self.shared).audit = Some(audit);
        self
    }

    /// Takes names below `domain` for those of organisations. Default: hosts mean nothing.
    #[must_use]
    pub fn with_domain(mut self, domain: TenantDomain) -> Self {
        Arc::make_mut(&mut self.shared).domain = Some(domain);
        self
    }

    /// Leaves those query parameters alone that are among `own`, which the route takes itself.
    #[must_use]
    pub fn beside(mut self, own: &[&str]) -> Self {
        self.parameters = self.parameters.iter().copied().filter(|name| !own.contains(name)).collect();
        self
    }

    /// For routes that do not care who asks: what is named means nothing there.
    #[must_use]
    pub fn ignoring(mut self) -> Self {
        self.is_ignoring = true;
        self
    }

    /// Who asks, when there is somebody who could have named the wrong organisation.
    fn caller<B>(&self, request: &Request<B>) -> Option<Arc<RequestContext>> {
        let context = request.extensions().get::<Arc<RequestContext>>();
        context.filter(|context| !self.is_ignoring && context.principal.is_authenticated()).cloned()
    }
}

impl<S> Layer<S> for TenantHintLayer {
    type Service = TenantHint<S>;

    fn layer(&self, inner: S) -> TenantHint<S> {
        TenantHint { inner, layer: self.clone() }
    }
}

impl fmt::Debug for TenantHintLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TenantHintLayer").field("parameters", &self.parameters).finish_non_exhaustive()
    }
}

/// The service of [`TenantHintLayer`].
#[derive(Clone)]
pub struct TenantHint<S> {
    inner: S,
    layer: TenantHintLayer,
}

impl<S, B> Service<Request<B>> for TenantHint<S>
where
    S: Service<Request<B>> + Clone + Send + 'static,
    S::Response: IntoResponse,
    S::Future: Send,
    B: Send + 'static,
{
    type Response = Response;
    type Error = S::Error;
    type Future = AnswerFuture<S::Future, S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let parameters = match take_parameters(&self.layer.parameters, request.uri_mut()) {
            Ok(parameters) => parameters,
            Err(error) => return AnswerFuture::refused(error),
        };
        let Some(context) = self.layer.caller(&request) else {
            return AnswerFuture::inner(self.inner.call(request));
        };
        let shared = Arc::clone(&self.layer.shared);
        let hints = match hints::read(&request, parameters, shared.domain.as_ref()) {
            Ok(hints) => hints,
            Err(error) => return AnswerFuture::refused(error),
        };
        let tenant = context.principal.tenant;
        if hints.iter().all(|hint| hint.is_of(tenant, None)) {
            return AnswerFuture::inner(self.inner.call(request));
        }
        let route = request.extensions().get().cloned();
        let case = Case { shared, context, hints, route, method: request.method().clone() };
        // The service that was polled ready goes with the request, its clone stays.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        AnswerFuture::later(Box::pin(async move {
            match case.judge().await {
                Ok(()) => inner.call(request).await.map(IntoResponse::into_response),
                Err(error) => Ok(error.into_response()),
            }
        }))
    }
}

impl<S: fmt::Debug> fmt::Debug for TenantHint<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TenantHint").field("inner", &self.inner).finish_non_exhaustive()
    }
}

/// A request that names an organisation by its code, or another one than the caller's.
struct Case {
    shared: Arc<Shared>,
    context: Arc<RequestContext>,
    hints: Vec<Hint>,
    route: Option<MatchedPath>,
    method: Method,
}

impl Case {
    async fn judge(self) -> Result<(), ApiError> {
        let tenant = self.context.principal.tenant;
        let by_code = self.hints.iter().any(|hint| matches!(hint.named, Named::Code(_)));
        let code = match tenant {
            Some(tenant) if by_code => self.shared.names.code(tenant).await?,
            _ => None,
        };
        let is_own = |hint: &Hint| hint.is_of(tenant, code.as_ref());
        for (index, hint) in self.hints.iter().enumerate() {
            // Whether two others are the same one is not looked up: the answer would tell that they exist.
            let other = |other: &&Hint| is_own(other) != is_own(hint) || other.differs_from(hint);
            if let Some(other) = self.hints.iter().take(index).find(other) {
                let source = other.source;
                return Err(invalid(hint.source, "contradicts", &format!("contradicts `{source}`")));
            }
        }
        match self.hints.iter().find(|hint| !is_own(hint)) {
            None => Ok(()),
            Some(foreign) => {
                self.record(foreign).await;
                Err(ApiError::not_found())
            }
        }
    }

    async fn record(&self, hint: &Hint) {
        tracing::info!(code = "not_found", hint = hint.source, "another organisation was named");
        let Some(audit) = &self.shared.audit else { return };
        let event = AuditEvent::new(&self.context, "tenant.deny", "org")
            .on(&hint.named)
            .outcome(Outcome::Denied)
            .with("hint", hint.source)
            .with("method", self.method.as_str())
            .with("route", self.route.as_ref().map(MatchedPath::as_str));
        denial::record(audit, event).await;
    }
}
