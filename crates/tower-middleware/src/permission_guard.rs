use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    extract::MatchedPath,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, Method, Request, header};
use stylobate_core::{AuditEvent, AuditSink, Outcome, Problem, RequestContext};
use stylobate_rbac::Authorizer;
use tower::{Layer, Service};
use tracing::Instrument as _;

use crate::{
    ApiError, Permission, RoutePermissions, api_error::log_cause, authenticate::Refused,
    future::AnswerFuture, route_permissions::Asked,
};

/// How long the record of a denial may keep the caller waiting. It is written all the same.
const AUDIT_WAIT: Duration = Duration::from_secs(1);

/// Lets a request through only when its caller has the permission that the matched route asks.
///
/// | situation | answer |
/// |---|---|
/// | no route matched | 404 `not_found` |
/// | the route has no such method | 405 `method_not_allowed` |
/// | nobody said what the route asks | 403 `permission_denied`, and an error in the log |
/// | nobody is signed in, or the credential was refused | 401 `unauthenticated` (503 `auth_unavailable` when it could not be judged) |
/// | the policy cannot be loaded | 503 `policy_unavailable` |
/// | the caller lacks the permission, or the engine fails | 403 `permission_denied` naming the permission, and an audit event |
///
/// Attach it inside [`AuthenticateLayer`](crate::AuthenticateLayer), with `Router::layer` for a table of routes, or with
/// `route_layer` for one permission.
#[derive(Clone)]
pub struct PermissionGuardLayer {
    guard: Arc<Guard>,
}

#[derive(Clone)]
struct Guard {
    authorizer: Arc<dyn Authorizer>,
    audit: Option<Arc<dyn AuditSink>>,
    rule: Rule,
}

#[derive(Clone)]
enum Rule {
    Table(RoutePermissions),
    One(Permission),
}

impl PermissionGuardLayer {
    /// Asks what the table says about each route.
    #[must_use]
    pub fn for_routes(authorizer: Arc<dyn Authorizer>, routes: RoutePermissions) -> Self {
        Self::of(authorizer, Rule::Table(routes))
    }

    /// Asks one permission of every request.
    #[must_use]
    pub fn require(authorizer: Arc<dyn Authorizer>, permission: Permission) -> Self {
        Self::of(authorizer, Rule::One(permission))
    }

    fn of(authorizer: Arc<dyn Authorizer>, rule: Rule) -> Self {
        Self { guard: Arc::new(Guard { authorizer, audit: None, rule }) }
    }

    /// Records denials there. Default: they are only logged.
    #[must_use]
    pub fn with_audit(mut self, audit: Arc<dyn AuditSink>) -> Self {
        Arc::make_mut(&mut self.guard).audit = Some(audit);
        self
    }
}

impl<S> Layer<S> for PermissionGuardLayer {
    type Service = PermissionGuard<S>;

    fn layer(&self, inner: S) -> PermissionGuard<S> {
        PermissionGuard { inner, guard: Arc::clone(&self.guard) }
    }
}

impl fmt::Debug for PermissionGuardLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PermissionGuardLayer").finish_non_exhaustive()
    }
}

/// The service of [`PermissionGuardLayer`].
#[derive(Clone)]
pub struct PermissionGuard<S> {
    inner: S,
    guard: Arc<Guard>,
}

impl<S, B> Service<Request<B>> for PermissionGuard<S>
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

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let route = request.extensions().get::<MatchedPath>();
        let permission = match &self.guard.rule {
            Rule::One(permission) => *permission,
            Rule::Table(routes) => match route.map(|route| routes.asked(route.as_str(), request.method())) {
                Some(Asked::Permission(permission)) => permission,
                Some(Asked::OtherMethods(allow)) => {
                    let method = request.method().clone();
                    return AnswerFuture::later(Box::pin(async move { Ok(other_method(&method, &allow)) }));
                }
                Some(Asked::Unstated) => {
                    tracing::error!("the route states no permission");
                    return AnswerFuture::refused(Problem::new(403, "permission_denied").into());
                }
                None => return AnswerFuture::refused(Problem::not_found().into()),
            },
        };
        let name = match permission {
            Permission::Public(_) => return AnswerFuture::inner(self.inner.call(request)),
            Permission::Authenticated => None,
            Permission::Key(name) => Some(name),
        };
        let context = match caller(&request) {
            Ok(context) => context,
            Err(error) => return AnswerFuture::refused(error),
        };
        let Some(name) = name else { return AnswerFuture::inner(self.inner.call(request)) };
        if self.guard.is_prepared(&context) && self.guard.check(&context, name).is_ok() {
            return AnswerFuture::inner(self.inner.call(request));
        }
        let case = Case {
            guard: Arc::clone(&self.guard),
            context,
            permission: name,
            route: route.cloned(),
            method: request.method().clone(),
        };
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

fn caller<B>(request: &Request<B>) -> Result<Arc<RequestContext>, ApiError> {
    let refused = request.extensions().get().map(|Refused(refused)| ApiError::from(*refused));
    let context = request.extensions().get::<Arc<RequestContext>>();
    match (refused, context) {
        (Some(refused), _) => Err(refused),
        (None, Some(context)) if context.principal.is_authenticated() => Ok(Arc::clone(context)),
        (None, _) => Err(Problem::unauthenticated().into()),
    }
}

fn other_method(method: &Method, allow: &str) -> Response {
    let mut response = ApiError::method_not_allowed(method).into_response();
    if let Ok(allow) = HeaderValue::from_str(allow) {
        response.headers_mut().insert(header::ALLOW, allow);
    }
    response
}

fn denied(permission: &str) -> ApiError {
    let detail = format!("The permission `{permission}` is required.");
    Problem::new(403, "permission_denied").detail(detail).into()
}

impl Guard {
    fn is_prepared(&self, context: &RequestContext) -> bool {
        let prepare = || self.authorizer.prepare(context.principal.tenant, None).is_none();
        catch_unwind(AssertUnwindSafe(prepare)).unwrap_or(false)
    }

    /// Asks the engine; its failure is a no (SECURITY A11).
    fn check(&self, context: &RequestContext, permission: &str) -> Result<(), &'static str> {
        let check = || self.authorizer.check(&context.principal, permission);
        match catch_unwind(AssertUnwindSafe(check)) {
            Ok(decision) if decision.is_allowed() => Ok(()),
            Ok(decision) => Err(decision.reason.code()),
            Err(_) => Err("engine_failure"),
        }
    }
}

/// A request that could not be let through at once: its policy has to be loaded, or it is a denial to record.
struct Case {
    guard: Arc<Guard>,
    context: Arc<RequestContext>,
    permission: &'static str,
    route: Option<MatchedPath>,
    method: Method,
}

impl Case {
    async fn judge(self) -> Result<(), ApiError> {
        let prepare = || self.guard.authorizer.prepare(self.context.principal.tenant, None);
        match catch_unwind(AssertUnwindSafe(prepare)) {
            Ok(None) => {}
            Ok(Some(loading)) => {
                if let Err(error) = loading.await {
                    log_cause("policy_unavailable", &error);
                    let detail = "Permissions cannot be decided at the moment.";
                    return Err(Problem::new(503, "policy_unavailable").detail(detail).retry_after(1).into());
                }
            }
            Err(_) => return Err(self.deny("engine_failure").await),
        }
        match self.guard.check(&self.context, self.permission) {
            Ok(()) => Ok(()),
            Err(reason) => Err(self.deny(reason).await),
        }
    }

    async fn deny(&self, reason: &'static str) -> ApiError {
        tracing::info!(code = "permission_denied", permission = self.permission, reason, "denied");
        if let Some(audit) = &self.guard.audit {
            let event = AuditEvent::new(&self.context, "permission.deny", "permission")
                .on(self.permission)
                .outcome(Outcome::Denied)
                .with("reason", reason)
                .with("method", self.method.as_str())
                .with("route", self.route.as_ref().map(MatchedPath::as_str));
            let audit = Arc::clone(audit);
            // A task of its own: who is refused and hangs up is recorded as well.
            let recording = tokio::spawn(async move { audit.record(event).await }.in_current_span());
            match tokio::time::timeout(AUDIT_WAIT, recording).await {
                Ok(Ok(Ok(()))) => {}
                Ok(Ok(Err(error))) => log_cause("audit_failed", &error),
                Ok(Err(error)) => log_cause("audit_failed", &error),
                Err(_) => tracing::warn!(code = "audit_slow", "the record of a denial takes long"),
            }
        }
        denied(self.permission)
    }
}
